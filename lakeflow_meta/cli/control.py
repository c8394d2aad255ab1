"""Commands on metadata: validate, sync, changes, sql, export, schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lakeflow_meta.cli import completion
from lakeflow_meta.cli.live import watching
from lakeflow_meta.cli.options import PruneMetadata, Variables
from lakeflow_meta.cli.output import Session, pairs

Paths = Annotated[list[Path], typer.Argument(help="YAML files, or folders of them.")]


def register(cli: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (validate, sync, changes, sql, export, schema):
        cli.command()(command)


def validate(context: typer.Context, paths: Paths, var: Variables = None) -> None:
    """Check YAML: every problem at once, with file and line. No control table is touched.

    Example: lakeflow-meta validate metadata/
    """
    session: Session = context.obj
    with watching(session.progress, session.output.err):
        declared = session.app.declared(paths, pairs(var, "--var"))
    from lakeflow_meta.cli.main import problem_dict

    result = {"problems": [problem_dict(p) for p in declared.problems]}
    count = len(declared.problems)
    summary = "1 problem" if count == 1 else f"{count} problems"
    lines = [str(problem) for problem in declared.problems] or [_summary(declared)]
    session.output.result(result, [*lines, *([summary] if count else [])])
    if declared.problems:
        raise typer.Exit(2)


def sync(
    context: typer.Context,
    paths: Paths,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change.")
    ] = False,
    prune: PruneMetadata = False,
    var: Variables = None,
) -> None:
    """Record what YAML declares in the control tables. The same content again writes nothing.

    Example: lakeflow-meta sync metadata/ --dry-run
    """
    session: Session = context.obj
    with watching(session.progress, session.output.err):
        declared = session.app.declared(paths, pairs(var, "--var"))
        manager = session.app.manager
        load = manager.plan_load if dry_run else manager.load
        report = load(declared, prune=prune)
    result = report.to_dict()
    session.output.result(result, _sync_lines(result))


def changes(
    context: typer.Context,
    since: Annotated[
        str | None, typer.Option(help="A time with a zone; default: since last applied.")
    ] = None,
) -> None:
    """Say what changed in the control tables since it was last applied, or since a time.

    Example: lakeflow-meta changes --since 2025-01-31T08:00:00+00:00
    """
    session: Session = context.obj
    found = session.app.manager.changes(since)
    lines = [
        *(f"+ module {name}" for name in found.new_modules),
        *(f"~ module {name}" for name in found.updated_modules),
        *(f"- module {name}" for name in found.deactivated_modules),
        *(f"    {c.action} {c.module_name}/{c.source_id}" for c in found.changed_sources),
        *(f"✗ {problem}" for problem in found.problems),
        *(f"note: {warning}" for warning in found.warnings),
    ]
    session.output.result(found.to_dict(), lines or ["nothing changed"])
    if found.problems:
        raise typer.Exit(1)


def sql(
    context: typer.Context,
    statement: Annotated[
        str, typer.Argument(help="SELECT, INSERT, UPDATE, DELETE or MERGE; several with a ; each.")
    ],
) -> None:
    """Run SQL on the control tables, without a JVM. INSERT may leave out trailing columns.

    Example: lakeflow-meta sql "SELECT module_name, count(*) FROM etl_control GROUP BY 1"
    """
    from lakeflow_meta.cli.records import show_rows

    session: Session = context.obj
    results = session.app.manager.sql(statement)
    if session.output.as_json:
        values = [result.to_dict() for result in results]
        session.output.result(values[0] if len(values) == 1 else values)
        return
    for result in results:
        if result.rows is None:
            session.output.line(str(result))
        else:
            show_rows(session.output, result.columns, [tuple(r.values()) for r in result.rows])


def export(
    context: typer.Context,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write to this file instead.")
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="yaml, or bundle: a Databricks Asset Bundle.",
            autocompletion=completion.one_of("yaml", "bundle"),
        ),
    ] = "yaml",
) -> None:
    """Write the recorded state as YAML: the same bytes each time, loads back as it is.

    Example: lakeflow-meta export -o metadata.yml
    """
    from lakeflow_meta import operations

    session: Session = context.obj
    text = operations.export(session.app, form)
    if output is None:
        session.output.out.write(text)
        return
    operations.write_text(output, text)
    session.output.result({"file": str(output)}, [f"wrote {output}"])


def schema(context: typer.Context) -> None:
    """Print the JSON Schema of metadata files, for completion in editors.

    Example: lakeflow-meta schema > lakeflow.schema.json
    """
    from lakeflow_meta.cli.templates import schema_text

    session: Session = context.obj
    session.output.has_result = True
    session.output.out.write(schema_text())


def _summary(declared: Any) -> str:
    counts = {
        "module": declared.modules,
        "source": declared.sources,
        "table": declared.tables,
        "DDL script": declared.ddl_scripts,
        "extract": declared.extracts,
    }
    parts = [f"{len(v)} {name}{'' if len(v) == 1 else 's'}" for name, v in counts.items()]
    return f"no problems: {', '.join(parts)}"


def _sync_lines(result: dict[str, Any]) -> list[str]:
    lines = []
    for table, sync in result["tables"].items():
        for sign, action in (("+", "added"), ("~", "changed"), ("-", "removed")):
            lines += [f"{sign} {table}: {name}" for name in sync[action]]
    kept = result["not_declared"]
    return [
        *lines,
        "{prefix}added {added}, changed {changed}, unchanged {unchanged}, removed {removed}".format(
            prefix="would be: " if result["dry_run"] else "", **result
        ),
        *(
            [f"{kept} recorded row(s) are not declared (kept; --prune removes them)"]
            if kept
            else []
        ),
    ]
