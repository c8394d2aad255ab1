"""Commands on DDL scripts: ddl run, ddl log. The jobs of a module call these same commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lakeflow_meta.cli import completion
from lakeflow_meta.cli.help_text import Group
from lakeflow_meta.cli.live import watching
from lakeflow_meta.cli.output import Session

Targets = Annotated[
    list[str] | None,
    typer.Argument(help="Targets; all when left out.", autocompletion=completion.ddl_targets),
]


def register(cli: typer.Typer) -> None:
    """Add this group's commands."""
    ddl = typer.Typer(cls=Group, no_args_is_help=True, help="Run DDL scripts, each once.")
    ddl.command("run")(ddl_run)
    ddl.command("log")(ddl_log)
    cli.add_typer(ddl, name="ddl")


def ddl_run(
    context: typer.Context,
    targets: Targets = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would run.")] = False,
    accept_changed: Annotated[
        bool,
        typer.Option(
            "--accept-changed",
            help="Let the new text of scripts that were changed after they ran count as what ran.",
        ),
    ] = False,
) -> None:
    """Run the DDL scripts of targets that did not run yet, in order; targets at the same time.

    Examples: lakeflow-meta ddl run nyc; lakeflow-meta ddl run --dry-run
    """
    session: Session = context.obj
    with watching(session.progress, session.output.err) as output:
        report = session.app.script_runner.run(
            targets, dry_run=dry_run, accept_changed=accept_changed, output=output
        )
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
    columns = ("script", "execution_status", "update_date", "duration_seconds", "error")
    session.output.table(columns, [[_script(row), *(row[c] for c in columns[1:])] for row in rows])


def _script(row: dict[str, Any]) -> str:
    """A script by its path; a work function by its name and the beginning of its guid."""
    script_id = row["script_id"]
    return script_id if "/" in script_id else f"{row['script_name']} ({script_id[:8]}…)"
