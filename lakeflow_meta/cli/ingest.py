"""Commands on files that become rows: ingest. The jobs of a module call these same commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from lakeflow_meta.cli import completion
from lakeflow_meta.cli.help_text import Group
from lakeflow_meta.cli.live import watching
from lakeflow_meta.cli.output import Session, pairs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lakeflow_meta.ingest.source import FileSource

Module = Annotated[
    str | None,
    typer.Option(
        "--module",
        help="Only what belongs to this module.",
        autocompletion=completion.modules,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be ingested.")]

_MOST_LINES = 50


class _RunUnlessNamed(Group):
    """``ingest SOURCE`` is ``ingest run SOURCE``: a first word that is no command is a source."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Say ``run`` where nobody did."""
        if not args or args[0] not in (*self.commands, "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


def register(cli: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(
        cls=_RunUnlessNamed,
        help="Ingest new files, each exactly once: `ingest [SOURCE…]` is `ingest run [SOURCE…]`.",
    )
    group.command("run")(ingest_run)
    group.command("file")(ingest_file)
    group.command("log")(ingest_log)
    cli.add_typer(group, name="ingest")


def ingest_run(
    context: typer.Context,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Sources (source or module/source); all when left out.",
            autocompletion=completion.sources,
        ),
    ] = None,
    module: Module = None,
    files: Annotated[
        list[str] | None,
        typer.Option("--file", help="Only this file, by its path or a pattern of it; repeatable."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Ingest again what was ingested; it is recorded.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Ingest the new files of file sources, each exactly once.

    Examples: lakeflow-meta ingest nyc_flights/flights;
    lakeflow-meta ingest flights --file 'landing/2013-01-*.csv' --force
    """
    from lakeflow_meta import ingest_operations as operations

    session: Session = context.obj
    act = operations.plan_ingest if dry_run else operations.ingest
    _show(session, lambda: act(session.app, sources, module, files=files, force=force))


def ingest_file(
    context: typer.Context,
    path: Annotated[str, typer.Argument(help="A file, a folder, or a pattern in quotes.")],
    table: Annotated[str, typer.Option("--table", help="Where the rows go: catalog.schema.table.")],
    file_format: Annotated[
        str | None, typer.Option("--format", help="csv, json, parquet, …; else by the name.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="name=value for Spark's reader; repeatable."),
    ] = None,
    schema: Annotated[
        str | None, typer.Option("--schema", help="Columns as SQL: 'id INT, name STRING'.")
    ] = None,
    evolution: Annotated[
        str | None,
        typer.Option(
            "--evolution",
            help="fail, add_new_columns or rescue.",
            autocompletion=completion.one_of("fail", "add_new_columns", "rescue"),
        ),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode",
            help="append, overwrite or merge.",
            autocompletion=completion.one_of("append", "overwrite", "merge"),
        ),
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option("--key", help="Column that tells rows apart; repeatable.")
    ] = None,
    glob: Annotated[str | None, typer.Option("--glob", help="Only files of such names.")] = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="Folders below, too.")] = False,
    transform: Annotated[
        str | None, typer.Option("--transform", help="file.py:function for each file's rows.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Ingest again what was ingested; it is recorded.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Ingest files that no source names, into a table; the same ledger knows them.

    Example: lakeflow-meta ingest file landing/orders.csv --table main.raw.orders
    """
    from lakeflow_meta import ingest_operations as operations

    reading = {
        "path": path,
        "format": file_format,
        "options": pairs(option, "--option"),
        "schema": schema,
        "schema_evolution": evolution,
        "glob": glob,
        "recursive": recursive,
        "transform": transform,
    }
    session: Session = context.obj
    given = operations.with_format(session.app, {k: v for k, v in reading.items() if v})
    source = _source(path, given, {"table": table, "write_mode": mode, "keys": key})
    act = operations.plan_source if dry_run else operations.ingest_source
    _show(session, lambda: act(session.app, source, force=force))


def _source(path: str, reading: dict[str, Any], writing: dict[str, Any]) -> FileSource:
    """What the options say; those that were not given say nothing. Raises SpecError."""
    from lakeflow_meta.ingest.source import FileSource

    return FileSource.parse(path, reading, {k: v for k, v in writing.items() if v})


class _Report(Protocol):
    def to_dict(self) -> dict[str, Any]: ...
    def lines(self) -> Iterable[str]: ...
    def raise_failures(self) -> None: ...


def _show(session: Session, act: Callable[[], _Report]) -> None:
    with watching(session.progress, session.output.err):
        report = act()
    lines = list(report.lines())
    session.output.result(report.to_dict(), lines)
    if not lines:
        session.output.message("nothing to ingest: no file source is recorded")
    report.raise_failures()


def ingest_log(
    context: typer.Context,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Sources; the whole ledger when left out.", autocompletion=completion.sources
        ),
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            help="pending, processing, success or failed.",
            autocompletion=completion.one_of("pending", "processing", "success", "failed"),
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only what happened since: 2025-01-31T08:00:00Z.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=1, help="The last so many.", show_default="50; with --json all"
        ),
    ] = None,
) -> None:
    """Show which files were ingested, when, with how many rows, and what failed.

    Examples: lakeflow-meta ingest log; lakeflow-meta ingest log orders --status failed
    """
    from lakeflow_meta import ingest_operations as operations

    session: Session = context.obj
    if limit is None and not session.output.as_json:
        limit = _MOST_LINES
    rows = operations.ingest_log(session.app, sources, status=status, limit=limit, since=since)
    session.output.result(rows, operations.log_lines(rows) if rows else ["no files"])
