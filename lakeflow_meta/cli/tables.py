"""The `tables` commands: the schema engine. The jobs of a module call these same commands."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lakeflow_meta.cli import completion
from lakeflow_meta.cli.help_text import Group
from lakeflow_meta.cli.ingest import Module
from lakeflow_meta.cli.live import watching
from lakeflow_meta.cli.output import Output, Session

Names = Annotated[
    list[str] | None,
    typer.Argument(
        help="Full names of tables; all when left out.", autocompletion=completion.tables
    ),
]


class Form(StrEnum):
    """What `tables import` writes."""

    YAML = "yaml"
    PYTHON = "python"


def register(cli: typer.Typer) -> None:
    """Add this group's commands."""
    tables = typer.Typer(
        cls=Group, no_args_is_help=True, help="Make Delta tables and views as declared."
    )
    tables.command("plan")(plan)
    tables.command("sync")(sync)
    tables.command("show")(show)
    tables.command("import")(import_)
    cli.add_typer(tables, name="tables")


def plan(
    context: typer.Context,
    names: Names = None,
    module: Module = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 when anything would change.")
    ] = False,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the statements that a sync would run, as a script.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Keep it in this file, for `tables sync --plan FILE`."),
    ] = None,
) -> None:
    """Show what `tables sync` would do.

    Starts Spark only where the data has to be asked: before a CHECK is added, or a column becomes
    NOT NULL.

    Examples: lakeflow-meta tables plan nyc.bronze.flights; lakeflow-meta tables plan --sql
    """
    from lakeflow_meta import table_operations

    session: Session = context.obj
    with watching(session.progress, session.output.err):
        found = table_operations.plan_tables(session.app, names, module)
    if output is not None:
        table_operations.keep_plan(session.app, found, output)
    session.output.result(found.to_dict(), [found.sql_text() if sql else found.text()])
    if found.has_rejections or (check and found.has_changes):
        raise typer.Exit(1)


def sync(
    context: typer.Context,
    names: Names = None,
    module: Module = None,
    plan_file: Annotated[
        Path | None,
        typer.Option("--plan", help="Do exactly what this file of `tables plan -o` says."),
    ] = None,
) -> None:
    """Make the declared tables and views so. What is as declared already costs no Spark.

    Examples: lakeflow-meta tables sync --module nyc_flights;
    lakeflow-meta tables sync --plan reviewed.json
    """
    if plan_file is not None and (names or module):
        raise typer.BadParameter("--plan says which tables; leave out names and --module")
    from lakeflow_meta import table_operations

    session: Session = context.obj
    with watching(session.progress, session.output.err):
        report = table_operations.sync_tables(session.app, names, module, plan_file=plan_file)
    session.output.result(report.to_dict(), [report.text()])
    report.raise_failures()


def show(
    context: typer.Context,
    names: Names = None,
    undeclared: Annotated[
        bool, typer.Option("--undeclared", help="Only tables beside these that nobody declared.")
    ] = False,
) -> None:
    """Show what is declared: tables with their columns, and views.

    Examples: lakeflow-meta tables show nyc.bronze.flights; lakeflow-meta tables show --undeclared
    """
    from lakeflow_meta import table_operations

    session: Session = context.obj
    if undeclared:
        found = table_operations.undeclared_tables(session.app)
        session.output.result(found, found)
        return
    declared = table_operations.declared_tables(session.app, names)
    if session.output.as_json:
        session.output.result([{"table": name, **value} for name, value in declared.items()])
        return
    for name, value in declared.items():
        _show_one(session.output, name, value)


def import_(
    context: typer.Context,
    names: Annotated[
        list[str], typer.Argument(help="Full names, or catalog.schema for all of a schema.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file.")
    ] = None,
    form: Annotated[
        Form | None, typer.Option("--format", help="By default as the file is named, else yaml.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Declare the policy strict: nothing else may be there.")
    ] = False,
) -> None:
    """Write the declaration of tables and views that exist. Changes nothing.

    Examples: lakeflow-meta tables import main.silver -o tables.yml;
    lakeflow-meta tables import main.silver.orders --format python
    """
    from lakeflow_meta import table_operations
    from lakeflow_meta.control.tables_text import tables_yaml
    from lakeflow_meta.operations import write_text
    from lakeflow_meta.schema.python_text import python_module

    session: Session = context.obj
    found = table_operations.import_tables(session.app, names, strict=strict)
    as_python = form is Form.PYTHON or (form is None and output and output.suffix == ".py")
    text = python_module(found.tables) if as_python else tables_yaml(found.tables)
    if output is not None:
        write_text(output, text)
    result = {
        "tables": [str(table.full_name) for table in found.tables],
        "left_out": [str(name) for name in found.left_out],
        "warnings": [str(warning) for warning in found.warnings],
        "text": None if output else text,
    }
    shown = f"{output}: {len(found.tables)} tables" if output else text.rstrip()
    session.output.result(result, [shown])
    for warning in found.warnings:
        session.output.message(f"warning: {warning}")
    if found.left_out:
        raise typer.Exit(1)


def _show_one(output: Output, name: str, value: dict[str, Any]) -> None:
    if value.get("drop"):
        output.line(f"{name}  is to be dropped")
        return
    output.line(f"{name}  {value.get('comment', '')}".rstrip())
    if "view" in value:
        output.line(f"  view: {value['view']}")
        return
    rows = [
        (c["name"], c["type"], "" if c.get("nullable", True) else "NOT NULL", c.get("comment"))
        for c in value["columns"]
    ]
    output.table(("column", "type", "", "comment"), rows)
