"""The command that takes older control tables over: migrate."""

from __future__ import annotations

from typing import Annotated

import typer

from lakeflow_meta.cli.output import Session
from lakeflow_meta.errors import ConfigError, NotFoundError


def register(cli: typer.Typer) -> None:
    """Add this group's commands."""
    cli.command()(migrate)


def migrate(
    context: typer.Context,
    table: Annotated[
        str | None,
        typer.Argument(help="The older control table; default: the control table itself."),
    ] = None,
    jobs_table: Annotated[
        str | None, typer.Option(help="The older table of job ids; default: TABLE_jobs.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change.")
    ] = False,
) -> None:
    """Take the control tables of lakeflow-jobs-meta over; job ids stay. Again adds nothing.

    Example: lakeflow-meta migrate main.default.job_metadata_control_table --dry-run
    """
    from lakeflow_meta.control.migrate import Migrator
    from lakeflow_meta.names import TableName

    session: Session = context.obj
    app = session.app
    migrator = Migrator(
        app.store, app.tables, context=app.job_context, actor=app.actor, clock=app.clock
    )
    try:
        report = migrator.migrate(
            None if table is None else TableName.parse(table),
            jobs_table=None if jobs_table is None else TableName.parse(jobs_table),
            dry_run=dry_run,
        )
    except NotFoundError as error:
        hint = "name the older control table: lakeflow-meta migrate CATALOG.SCHEMA.TABLE"
        raise ConfigError(f"{error}; {hint}") from error
    session.output.result(report.to_dict(), report.lines())
