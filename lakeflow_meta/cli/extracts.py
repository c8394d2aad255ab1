"""The `extract` commands: files from tables, views, procedures and queries. The jobs of a module
call these same commands.
"""

from __future__ import annotations

from typing import Annotated

import typer

from lakeflow_meta.cli import completion
from lakeflow_meta.cli.help_text import Group
from lakeflow_meta.cli.live import watching
from lakeflow_meta.cli.output import Session

Names = Annotated[
    list[str] | None,
    typer.Argument(
        help="Names of extracts; all when left out.", autocompletion=completion.extracts
    ),
]


def register(cli: typer.Typer) -> None:
    """Add this group's commands."""
    extract = typer.Typer(cls=Group, no_args_is_help=True, help="Write extracts to files.")
    extract.command("run")(extract_run)
    extract.command("log")(extract_log)
    extract.command("reset")(extract_reset)
    cli.add_typer(extract, name="extract")


def extract_run(
    context: typer.Context,
    names: Names = None,
    group: Annotated[
        str | None,
        typer.Option(help="All extracts of this group.", autocompletion=completion.extract_groups),
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only those whose latest run did not succeed.")
    ] = False,
    parallel: Annotated[
        int | None, typer.Option(help="So many at the same time.", show_default="4")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be written.")
    ] = False,
) -> None:
    """Write the files of extracts: all that are active, a group, or the named ones.

    Examples: lakeflow-meta extract run --group DAILY_EXTRACTS;
    lakeflow-meta extract run --failed
    """
    if names and group is not None:
        raise typer.BadParameter("--group says which extracts; leave out the names")
    from lakeflow_meta import extract_operations

    session: Session = context.obj
    with watching(session.progress, session.output.err):
        report = extract_operations.run_extracts(
            session.app,
            names,
            group=group,
            failed=failed,
            dry_run=dry_run,
            max_parallel=parallel,
        )
    session.output.result(report.to_dict(), report.lines())
    report.raise_failures()


def extract_log(
    context: typer.Context,
    names: Names = None,
    limit: Annotated[int, typer.Option(min=1, help="The last so many runs.")] = 50,
) -> None:
    """Show which extracts ran, when, what they wrote, and how they ended.

    Example: lakeflow-meta extract log customers_daily
    """
    from lakeflow_meta import extract_operations

    session: Session = context.obj
    rows = extract_operations.extract_log(session.app, names, limit)
    if session.output.as_json:
        session.output.result(rows)
        return
    columns = extract_operations.LOG_COLUMNS
    session.output.table(columns, [[row[name] for name in columns] for row in rows])


def extract_reset(
    context: typer.Context,
    names: Annotated[
        list[str], typer.Argument(help="Names of extracts.", autocompletion=completion.extracts)
    ],
) -> None:
    """Forget watermarks: the next run takes rows as the first one did.

    Example: lakeflow-meta extract reset orders_changed
    """
    session: Session = context.obj
    forgotten = session.app.extractor.reset(names)
    lines = [f"{name}: the watermark is forgotten" for name in forgotten]
    session.output.result({"forgotten": forgotten}, lines or ["no watermark: nothing to forget"])
