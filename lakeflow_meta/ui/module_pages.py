"""Modules: the list, and one module with its task graph, sources, job and runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from lakeflow_meta.errors import NotFoundError, SpecError
from lakeflow_meta.jobs.job_settings import build_job
from lakeflow_meta.ui.blocks import (
    Banner,
    Block,
    Cell,
    Code,
    Facts,
    Kind,
    Link,
    Mark,
    Output,
    Page,
    Place,
    Table,
    Tone,
    place,
    state_mark,
)
from lakeflow_meta.ui.feed_pages import feed_table
from lakeflow_meta.ui.job_graph import job_graph
from lakeflow_meta.ui.named_list import named_list
from lakeflow_meta.ui.paging import Part
from lakeflow_meta.ui.run_pages import run_rows

if TYPE_CHECKING:
    from lakeflow_meta.control.rows import Module, Source
    from lakeflow_meta.ports import JobRun
    from lakeflow_meta.ui.snapshot import Snapshot

_RUNS = 10
_CHANGES = 10


def modules(snapshot: Snapshot, at: Place) -> Page:
    """All modules by name, or those whose name holds a text."""
    return named_list(
        at,
        "Modules",
        ("module", "recorded", "sources", "tables", "last run", "started"),
        snapshot.recorded.modules.items(),
        lambda module: _module_row(snapshot, module),
        "no module is recorded: lakeflow-meta sync PATH",
    )


def _module_row(snapshot: Snapshot, module: Module) -> tuple[Cell, ...]:
    name = module.module_name
    run = _last_run(snapshot, name)
    return (
        Link(name, place(Kind.MODULE, name=name)),
        _recorded_mark(snapshot, module),
        len(module.sources),
        len(module.tables),
        state_mark(run.state if run else None),
        run.started_at if run else None,
    )


def _recorded_mark(snapshot: Snapshot, module: Module) -> Mark:
    if module.module_name in snapshot.recorded.unreadable:
        return Mark("has bad rows", Tone.BAD)
    if not module.is_active:
        return Mark("inactive", Tone.OFF)
    if module.module_name in snapshot.changed_modules:
        return Mark("changed", Tone.WARNING)
    return Mark("as applied", Tone.GOOD)


def _last_run(snapshot: Snapshot, name: str) -> JobRun | None:
    job_id = snapshot.job_ids.get(name)
    return None if job_id is None else snapshot.last_runs.get(job_id)


# --------------------------------------------------------------------------- one module


def module_page(snapshot: Snapshot, at: Place) -> Page:
    """One module. Raises NotFoundError."""
    name = at.get("name")
    module = snapshot.recorded.modules.get(name)
    if module is None:
        raise NotFoundError(f"no module {name!r} is recorded")
    mark = _recorded_mark(snapshot, module)
    blocks: list[Block] = [Banner(mark, module.description), _facts(snapshot, module)]
    blocks += _bad_rows(snapshot, name)
    run = _last_run(snapshot, name)
    blocks += _graph(snapshot, module, run)
    blocks.append(_sources(module))
    if module.tables:
        tables = [(Link(table, place(Kind.TABLE, name=table)),) for table in module.tables]
        blocks.append(Table("Tables that it keeps", ("table",), tables))
    blocks += _runs(snapshot, name)
    blocks.append(feed_table(snapshot, Part(place(Kind.FEED, object=name), _CHANGES, 1), name))
    if module.job_config:
        blocks.append(Output("Settings of the job", pretty(module.job_config)))
    trail = (Link("Modules", place(Kind.MODULES)),)
    running = run is not None and not run.state.ended
    return Page(at, name, blocks, trail, changing=running)


def pretty(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """JSON for people, where it is not nested as no person would do it."""
    try:
        return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
    except RecursionError:
        return "(nested too deeply to be shown)"


def _facts(snapshot: Snapshot, module: Module) -> Facts:
    job_id = snapshot.job_ids.get(module.module_name)
    starts = [one for one in snapshot.upcoming if one.job_id == job_id and job_id is not None]
    return Facts(
        (
            ("job", "not made yet: lakeflow-meta apply" if job_id is None else Code(str(job_id))),
            ("starts by", "; ".join(one.trigger for one in starts) or "hand"),
            ("next", next((one.next_at for one in starts if one.next_at), None)),
            ("DDL targets", ", ".join(module.ddl_targets) or "none"),
        )
    )


def _bad_rows(snapshot: Snapshot, name: str) -> Iterator[Block]:
    bad = [row for row in snapshot.recorded.bad_rows if row.module_name == name]
    if bad:
        rows = [(str(row.problem),) for row in bad]
        yield Table("Rows that cannot be read", ("problem",), rows)


def _graph(snapshot: Snapshot, module: Module, run: JobRun | None) -> Iterator[Block]:
    """The tasks as they are recorded, with the states of the last run."""
    try:
        job = build_job(module, snapshot.app.job_context)
    except SpecError as error:
        rows = [(str(problem),) for problem in error.problems]
        yield Table("Why it cannot become a job", ("problem",), rows)
        return
    tasks = job.settings.get("tasks") or ()
    if not tasks:
        return
    otherwise = partial(_changes_of, module.module_name)
    if run is None:
        yield job_graph("Tasks; the job has not run yet", tasks, None, (), otherwise)
        return
    ran = snapshot.app.jobs.get_run(run.run_id).tasks
    caption = "Tasks, with the states of the last run"
    yield job_graph(caption, tasks, run.run_id, ran, otherwise)


def _changes_of(module_name: str, source_id: str) -> Place:
    """What was done to a source."""
    return place(Kind.FEED, object=f"{module_name}/{source_id}")


def _sources(module: Module) -> Table:
    rows = [_source_row(source) for source in module.sources]
    columns = ("source", "type", "order", "from", "to")
    return Table("Sources", columns, rows, "no source is active")


def _source_row(source: Source) -> tuple[Cell, ...]:
    return (
        Link(source.source_id, _changes_of(source.module_name, source.source_id)),
        source.source_type,
        source.execution_order,
        _said(source.source_config, ("path", "table", "query", "file_path")),
        _said(source.target_config, ("table", "target_table", "name", "path")),
    )


def _said(config: Mapping[str, Any], names: Sequence[str]) -> Cell:
    """The one thing to know of a configuration."""
    found = next((str(config[name]) for name in names if config.get(name)), None)
    return None if found is None else Code(found)


def _runs(snapshot: Snapshot, name: str) -> Iterator[Block]:
    job_id = snapshot.job_ids.get(name)
    if job_id is None:
        return
    found = snapshot.app.jobs.list_runs(job_id, _RUNS)
    columns, rows = run_rows(snapshot, found)
    yield Table("Its last runs", columns, rows, "it has not run yet: lakeflow-meta run " + name)
