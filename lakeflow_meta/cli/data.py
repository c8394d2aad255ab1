"""Commands on data: ddl, ingest. The jobs of a module call these same commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lakeflow_meta.cli.live import watching
from lakeflow_meta.cli.output import Session

Module = Annotated[str | None, typer.Option("--module", help="Only what belongs to this module.")]
Targets = Annotated[list[str] | None, typer.Argument(help="Targets; all when left out.")]


def register(cli: typer.Typer) -> None:
    """Add this group's commands."""
    cli.command()(ingest)
    ddl = typer.Typer(no_args_is_help=True, help="Run DDL scripts, each once.")
    ddl.command("run")(ddl_run)
    ddl.command("log")(ddl_log)
    cli.add_typer(ddl, name="ddl")


def ingest(
    context: typer.Context,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Sources (source or module/source); all when left out. `log`: the ledger."
        ),
    ] = None,
    module: Module = None,
) -> None:
    """Ingest the new files of file sources, each exactly once; or show the ledger.

    Examples: lakeflow-meta ingest nyc_flights/flights; lakeflow-meta ingest log
    """
    from lakeflow_meta import operations

    session: Session = context.obj
    if sources == ["log"]:
        _show_ledger(session)
        return
    with watching(session.progress, session.output.err):
        report = operations.ingest(session.app, sources, module)
    session.output.result(report.to_dict(), report.lines())
    report.raise_failures()


def _show_ledger(session: Session) -> None:
    from lakeflow_meta import operations

    rows = operations.ingest_log(session.app)
    if session.output.as_json:
        session.output.result(rows)
        return
    columns = ("file_path", "target_table", "status", "record_count", "attempt", "error_message")
    session.output.table(columns, [[row[name] for name in columns] for row in rows])


def ddl_run(
    context: typer.Context,
    targets: Targets = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would run.")] = False,
) -> None:
    """Run the DDL scripts of targets that did not run yet, in order.

    Example: lakeflow-meta ddl run nyc
    """
    session: Session = context.obj
    with watching(session.progress, session.output.err):
        report = session.app.script_runner.run(targets, dry_run=dry_run)
    session.output.result(report.to_dict(), report.lines())
    report.raise_failures()


def ddl_log(context: typer.Context, targets: Targets = None) -> None:
    """Show which DDL scripts ran, when, and how they ended.

    Example: lakeflow-meta ddl log
    """
    from lakeflow_meta import operations

    session: Session = context.obj
    rows: list[dict[str, Any]] = operations.ddl_log(session.app, targets)
    if session.output.as_json:
        session.output.result(rows)
        return
    columns = ("script_id", "execution_status", "update_date", "duration_seconds", "error")
    session.output.table(columns, [[row[name] for name in columns] for row in rows])
