"""Commands on the course of time: monitor, history, restore."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakeflow_meta.cli import completion
from lakeflow_meta.cli.options import PruneMetadata, Settle, Variables
from lakeflow_meta.cli.output import Session, pairs
from lakeflow_meta.cli.signals import asked_by_signals

if TYPE_CHECKING:
    from lakeflow_meta.control.history import HistoryEntry


def register(cli: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (monitor, history, restore):
        cli.command()(command)


def monitor(
    context: typer.Context,
    volume: Annotated[
        str | None,
        typer.Argument(help="Folder of metadata to watch; without it only the control tables."),
    ] = None,
    interval: Annotated[
        float, typer.Option(min=0, help="Seconds from the start of a look to the next.")
    ] = 60.0,
    max_iterations: Annotated[
        int | None, typer.Option(min=1, help="End after so many looks.", show_default="never")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply/--no-apply", help="Update jobs, or only report changes.")
    ] = True,
    prune: PruneMetadata = False,
    settle: Settle = 2.0,
    var: Variables = None,
) -> None:
    """Watch metadata files and control tables, and keep the jobs as they say. SIGTERM ends it.

    Example: lakeflow-meta monitor /Volumes/main/lakeflow/metadata --interval 60
    """
    from lakeflow_meta.monitor_operations import monitor_of

    session: Session = context.obj
    stop = threading.Event()
    watcher = monitor_of(
        session.app,
        volume,
        interval_seconds=interval,
        settle_seconds=settle,
        apply=apply,
        prune=prune,
        variables=pairs(var, "--var"),
        stop=stop,
    )
    failed = False

    def show(result: dict[str, Any]) -> None:
        nonlocal failed
        failed = bool(result["errors"])
        session.output.line(_line(session, result))

    with asked_by_signals(stop.set):
        watcher.run_continuous(max_iterations, on_result=show)
    if failed and max_iterations is not None:
        raise typer.Exit(1)


def history(
    context: typer.Context,
    module: Annotated[
        str | None,
        typer.Argument(help="A module; default: all.", autocompletion=completion.modules),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many entries, the newest first.")] = 50,
    since: Annotated[str | None, typer.Option(help="Nothing older: a time with a zone.")] = None,
) -> None:
    """Say who changed what and when, by YAML or by SQL, and what was applied.

    Example: lakeflow-meta history nyc_flights --limit 20
    """
    from lakeflow_meta import operations

    session: Session = context.obj
    found = operations.history(session.app, module, limit=limit, since=since)
    session.output.result([entry.to_dict() for entry in found], list(_history_lines(found)))


def restore(
    context: typer.Context,
    modules: Annotated[
        list[str] | None,
        typer.Argument(help="Modules; default: all.", autocompletion=completion.modules),
    ] = None,
    to: Annotated[
        str,
        typer.Option(help="A version of the control table (see history), or a time with a zone."),
    ] = ...,  # type: ignore[assignment]  # typer's word for: must be given
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change.")
    ] = False,
) -> None:
    """Set recorded rows back to what they were: a new commit, history kept. Then apply.

    Example: lakeflow-meta restore nyc_flights --to 12 --dry-run
    """
    from lakeflow_meta import operations

    session: Session = context.obj
    result = operations.restore(session.app, modules, to=to, dry_run=dry_run)
    session.output.result(result, list(_restore_lines(result)))


# --------------------------------------------------------------------------- text


def _line(session: Session, result: Mapping[str, Any]) -> str:
    from lakeflow_meta.control.monitor_report import status_line

    if session.output.as_json:
        return json.dumps(result, ensure_ascii=False)
    errors = "".join(f"\n  ✗ {error}" for error in result["errors"])
    return status_line({**result, "errors": []} if errors else result) + errors


def _history_lines(entries: list[HistoryEntry]) -> Iterator[str]:
    for entry in entries:
        version = "" if entry.version is None else f" v{entry.version}"
        failed = f" FAILED: {entry.error}" if entry.error else ""
        yield (
            f"{_short(entry.at)}  {entry.actor or '?'}  {entry.verb}  {entry.table}{version}:"
            f" {entry.action} {entry.object}{failed}"
        )
        if entry.version is not None and entry.action == "changed":
            for name in entry.after:
                yield f"    {name}: {entry.before.get(name)} → {entry.after[name]}"
    if not entries:
        yield "no history"


def _short(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="seconds")


def _restore_lines(result: Mapping[str, Any]) -> Iterator[str]:
    for table, part in result["tables"].items():
        for sign, action in (("+", "added"), ("~", "changed"), ("-", "removed")):
            yield from (f"{sign} {table}: {name}" for name in part[action])
    yield from result["notes"]
    prefix = "would be: " if result["dry_run"] else ""
    counts = "added {added}, changed {changed}, unchanged {unchanged}, removed {removed}"
    yield prefix + counts.format(**result) + f" (to {result['to']})"
    if not result["dry_run"] and any(result[a] for a in ("added", "changed", "removed")):
        yield "next: lakeflow-meta plan, then lakeflow-meta apply"
