"""Commands on data: tables, ddl, ingest. The jobs of a module call these same commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lakeflow_meta.cli.live import watching
from lakeflow_meta.cli.output import Session

Module = Annotated[str | None, typer.Option("--module", help="Only what belongs to this module.")]
Targets = Annotated[list[str] | None, typer.Argument(help="Targets; all when left out.")]
Names = Annotated[list[str] | None, typer.Argument(help="Full names of tables; all when left out.")]


def register(cli: typer.Typer) -> None:
    """Add this group's commands."""
    cli.command()(ingest)
    tables = typer.Typer(no_args_is_help=True, help="Make Delta tables look as declared.")
    tables.command("plan")(tables_plan)
    tables.command("sync")(tables_sync)
    tables.command("show")(tables_show)
    cli.add_typer(tables, name="tables")
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


def tables_plan(
    context: typer.Context,
    names: Names = None,
    module: Module = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 when anything would change.")
    ] = False,
) -> None:
    """Show what `tables sync` would do. Starts no Spark.

    Example: lakeflow-meta tables plan nyc.bronze.flights
    """
    from lakeflow_meta import operations

    session: Session = context.obj
    found = operations.plan_tables(session.app, names, module)
    session.output.result(found.to_dict(), [found.text()])
    if found.has_rejections or (check and found.has_changes):
        raise typer.Exit(1)


def tables_sync(context: typer.Context, names: Names = None, module: Module = None) -> None:
    """Create and extend the declared tables. What is as declared already costs no Spark.

    Example: lakeflow-meta tables sync --module nyc_flights
    """
    from lakeflow_meta import operations

    session: Session = context.obj
    with watching(session.progress, session.output.err):
        report = operations.sync_tables(session.app, names, module)
    session.output.result(report.to_dict(), [report.text()])
    report.raise_failures()


def tables_show(context: typer.Context, names: Names = None) -> None:
    """Show declared tables with their columns.

    Example: lakeflow-meta tables show nyc.bronze.flights
    """
    from lakeflow_meta import operations

    session: Session = context.obj
    declared = operations.declared_tables(session.app, names)
    if session.output.as_json:
        session.output.result([{"table": name, **value} for name, value in declared.items()])
        return
    for name, value in declared.items():
        session.output.line(f"{name}  {value.get('comment', '')}")
        rows = [
            (c["name"], c["type"], "" if c.get("nullable", True) else "NOT NULL", c.get("comment"))
            for c in value["columns"]
        ]
        session.output.table(("column", "type", "", "comment"), rows)


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
