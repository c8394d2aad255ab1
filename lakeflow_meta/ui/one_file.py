"""The pages as one file: for a mail, a ticket, or an artefact of CI.

It loads nothing: the style sheet is in it, links lead to its own parts, and what it leaves out is
plain text. Its size is bounded by how many runs, modules, tables and lines it takes up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from markupsafe import Markup

from lakeflow_meta.control.tables import TABLES
from lakeflow_meta.ui.blocks import (
    Block,
    Course,
    Graph,
    Kind,
    Lines,
    Output,
    Page,
    Pager,
    Place,
    Table,
    Text,
    place,
    shown_lines,
)
from lakeflow_meta.ui.markup import View, render, style_hash, stylesheet
from lakeflow_meta.ui.run_pages import attempts_of
from lakeflow_meta.ui.site import MENU, PAGES
from lakeflow_meta.ui.snapshot import Memory, Snapshot
from lakeflow_meta.ui.task_logs import read_tail

if TYPE_CHECKING:
    from lakeflow_meta.app import App
    from lakeflow_meta.ports import JobRun

LOG_BYTES = 8 * 1024
"""How much of the log of a failed task is taken up."""
_MOST_ROWS = 100
_MOST_LINES = 1000
_MOST_FAILED = 20
"""Failed tasks of one run whose logs are taken up."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of each kind a report takes up, at most."""

    runs: int = 20
    modules: int = 100
    tables: int = 100


class _Anchors:
    """Links to the parts that are in the file."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._ids = {_whole(at): f"part-{number}" for number, at in enumerate(places, 1)}

    def id_of(self, at: Place) -> str:
        """The id of a part."""
        return self._ids[_whole(at)]

    def address(self, at: Place) -> str | None:
        """A way inside of the file, None to what is not in it."""
        found = self._ids.get(_whole(at))
        return None if found is None else f"#{found}"


def _whole(at: Place) -> Place:
    """A part stands for the page as it is without a filter, and a task for its last attempt."""
    if at.kind is Kind.TASK:
        return at
    kept = {name: value for name, value in at.values if name in ("id", "name")}
    return place(at.kind, **kept) if kept == dict(at.values) else at


def report(app: App, *, run_id: int | None = None, bounds: Bounds | None = None) -> str:
    """The state of a project as one HTML document; with ``run_id`` of that run alone.

    Raises NotFoundError, BackendError.
    """
    snapshot = Snapshot(app, Memory())
    chosen = bounds or Bounds()
    whole = run_id is None
    pages = list(_all_pages(snapshot, chosen) if whole else _run_pages(snapshot, run_id or 0))
    anchors = _Anchors([page.place for page in pages])
    views = [View(anchors, snapshot.now, 2, anchors.id_of(page.place)) for page in pages]
    parts = list(zip(pages, views, strict=True))
    kinds = {kind for _, kind in MENU}
    title = str(app.tables.sources) if whole else pages[0].title
    return render(
        "report.html",
        View(anchors, snapshot.now),
        title=title,
        home=str(app.tables.sources),
        pages=parts,
        menu=[part for part in parts if not whole or part[0].place.kind in kinds],
        notes=list(_notes(snapshot, chosen)) if whole else [],
        style=Markup(stylesheet()),  # noqa: S704 (our own file)
        style_hash=style_hash(),
    )


def _all_pages(snapshot: Snapshot, bounds: Bounds) -> Iterator[Page]:
    """Everything that the menu has, each followed by the single ones that it lists."""
    snapshot.plan_now()
    for _, kind in MENU:
        yield _page(snapshot, place(kind))
        for at in _singles(snapshot, kind, bounds):
            yield from _single(snapshot, at)


def _run_pages(snapshot: Snapshot, run_id: int) -> Iterator[Page]:
    """One run, what its failed tasks printed, and its module."""
    yield from _single(snapshot, place(Kind.RUN, id=run_id))
    run = snapshot.app.jobs.get_run(run_id)
    module = snapshot.modules_of_jobs.get(run.job_id)
    if module in snapshot.recorded.modules:
        yield _page(snapshot, place(Kind.MODULE, name=module))


def _singles(snapshot: Snapshot, kind: Kind, bounds: Bounds) -> list[Place]:
    """The single pages below one of the menu."""
    match kind:
        case Kind.MODULES:
            names = list(snapshot.recorded.modules)[: bounds.modules]
            return [place(Kind.MODULE, name=name) for name in names]
        case Kind.RUNS:
            return [place(Kind.RUN, id=run.run_id) for run in snapshot.runs[: bounds.runs]]
        case Kind.TABLES:
            names = sorted(str(row["table_name"]) for row in snapshot.rows(TABLES))
            return [place(Kind.TABLE, name=name) for name in names[: bounds.tables]]
        case _:
            return []


def _page(snapshot: Snapshot, at: Place) -> Page:
    page = PAGES[at.kind](snapshot, at)
    return replace(page, blocks=[_bounded(block) for block in page.blocks])


def _bounded(block: Block) -> Block:
    """As much of a block as a file has room for; it says what is missing."""
    match block:
        case Table() if len(block.rows) > _MOST_ROWS:
            pager = Pager(f"the first {_MOST_ROWS} of {len(block.rows):,} rows")
            return replace(block, rows=block.rows[:_MOST_ROWS], pager=pager)
        case Graph() if len(block.nodes) > _MOST_ROWS:
            return Text(f"The graph of {len(block.nodes):,} tasks is not in this file.")
        case Course() if len(block.timeline.lanes) > _MOST_ROWS:
            lanes = block.timeline.lanes[:_MOST_ROWS]
            caption = f"{block.caption}, the first {_MOST_ROWS} tasks"
            return replace(block, caption=caption, timeline=replace(block.timeline, lanes=lanes))
        case Lines():
            return replace(block, lines=shown_lines(block.lines, _MOST_LINES))
        case Output() if len(block.text) > LOG_BYTES:
            return replace(block, text=block.text[:LOG_BYTES], note="the beginning of it")
        case _:
            return block


def _single(snapshot: Snapshot, at: Place) -> Iterator[Page]:
    """A page; after one of a run, what its failed tasks printed last."""
    page = _page(snapshot, at)
    if at.kind is not Kind.RUN:
        yield page
        return
    run = snapshot.app.jobs.get_run(int(at.get("id")))
    yield replace(page, blocks=[*page.blocks, *_failures(snapshot, run)])


def _failures(snapshot: Snapshot, run: JobRun) -> Iterator[Output]:
    if not snapshot.app.target.runs_here:
        return  # its logs are on the platform
    failed = [task for task in attempts_of(snapshot, run) if task.state.bad and task.started_at]
    for task in failed[:_MOST_FAILED]:
        tail = read_tail(snapshot.app, run.run_id, task, LOG_BYTES)
        if tail is not None:
            note = f"the end of {tail.size_bytes:,} bytes" if tail.cut else ""
            caption = f"Log of {task.label}, attempt {task.attempt + 1}"
            yield Output(caption, tail.text, note)


def _notes(snapshot: Snapshot, bounds: Bounds) -> Iterator[str]:
    """What was left out."""
    counts = (
        ("modules", len(snapshot.recorded.modules), bounds.modules),
        ("runs", len(snapshot.runs), bounds.runs),
        ("tables", len(snapshot.rows(TABLES)), bounds.tables),
    )
    for what, count, most in counts:
        if count > most:
            yield f"Of {count:,} {what} it shows {most:,} in full."
