"""What the controller did, the plan, and runs of scripts and extracts: lists by time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeflow_meta.arrow_values import rows_of, scalar_of
from lakeflow_meta.ui.blocks import (
    Banner,
    Block,
    Cell,
    Choice,
    Code,
    Facts,
    Filter,
    Kind,
    Lines,
    Link,
    Mark,
    Page,
    Place,
    Seconds,
    Table,
    Text,
    Tone,
    place,
    shown_lines,
)
from lakeflow_meta.ui.paging import Part

if TYPE_CHECKING:
    from lakeflow_meta.control.rows import Row
    from lakeflow_meta.ui.snapshot import KeptPlan, Snapshot

_PAGE = 100
_PLAN_LINES = 5000


def feed(snapshot: Snapshot, at: Place) -> Page:
    """The events, the newest first; all, or those of one object and what belongs to it."""
    wanted = at.get("object")
    table = feed_table(snapshot, Part.asked(at, _PAGE), wanted)
    choice = Choice("object", "Module, table or script", wanted)
    return Page(at, "Change feed", [Filter(Kind.FEED, (choice,)), table])


def feed_table(snapshot: Snapshot, part: Part, wanted: str) -> Table:
    """A part of the events; of ``wanted`` and of what lies below it where that is given."""
    columns = ("when", "who", "did", "object", "action", "outcome")
    rows: list[tuple[Cell, ...]] = []
    total = 0
    if (events := snapshot.feed) is not None:
        if wanted:
            import pyarrow as pa
            import pyarrow.compute as pc

            mine = pc.equal(events["object"], scalar_of(wanted, pa.string()))
            below = pc.starts_with(events["object"], f"{wanted}/")
            events = events.filter(pc.or_(mine, below))
        total = events.num_rows
        found = rows_of(events.slice(part.start, part.size))
        rows = [_event_row(snapshot, row) for row in found]
    caption = f"What was done to {wanted}" if wanted else "What was done, the newest first"
    return Table(caption, columns, rows, "nothing was recorded", part.pager(total, "entries"))


def _event_row(snapshot: Snapshot, row: Row) -> tuple[Cell, ...]:
    return (
        row["at"],
        row["actor"],
        row["verb"],
        _object(snapshot, row["object"] or ""),
        row["action"],
        Mark(row["error"], Tone.BAD) if row["error"] else row["outcome"],
    )


def _object(snapshot: Snapshot, name: str) -> Cell:
    module = name.partition("/")[0]
    known = module in snapshot.recorded.modules
    return Link(name, place(Kind.MODULE, name=module)) if known else Code(name)


# --------------------------------------------------------------------------- the plan


def plan(snapshot: Snapshot, at: Place) -> Page:
    """The plan that was worked out last; with ``again`` it is worked out now."""
    kept = snapshot.plan_now() if at.get("again") else snapshot.plan
    again = Link("Work it out again" if kept else "Work it out", place(Kind.PLAN, again=1))
    if kept is None:
        text = "Nobody has asked for the plan yet. It compares what is recorded with the platform,"
        return Page(at, "Plan", [Text(f"{text} which may take a moment.", (again,))])
    blocks: list[Block] = [_plan_banner(kept, again), _plan_facts(snapshot, kept)]
    if kept.lines:
        blocks.append(Lines("What would change", shown_lines(kept.lines, _PLAN_LINES)))
    return Page(place(Kind.PLAN), "Plan", blocks)


def _plan_banner(kept: KeptPlan, again: Link) -> Banner:
    if kept.error:
        return Banner(Mark("There is no plan", Tone.BAD), kept.error, (again,))
    if kept.failed:
        return Banner(Mark("Something cannot be done as recorded", Tone.BAD), "", (again,))
    if kept.pending:
        text = "lakeflow-meta apply, then a run, would change this"
        return Banner(Mark("There are changes to apply", Tone.WARNING), text, (again,))
    return Banner(Mark("Everything is as recorded", Tone.GOOD), "", (again,))


def _plan_facts(snapshot: Snapshot, kept: KeptPlan) -> Facts:
    holds = snapshot.holds(kept)
    fresh = Mark("nothing was recorded since", Tone.GOOD)
    stale = Mark("the control tables have changed since", Tone.WARNING)
    return Facts(
        (
            ("worked out", kept.made_at),
            ("took", Seconds(kept.seconds)),
            ("still true", fresh if holds else stale),
        )
    )


# --------------------------------------------------------------------------- scripts and extracts


def scripts(snapshot: Snapshot, at: Place) -> Page:
    """Executions of DDL scripts, the newest first."""
    part = Part.asked(at, _PAGE)
    found = snapshot.executions
    rows = [
        (
            row["script_name"],
            row["target"],
            _status(row["execution_status"], good="Success"),
            row["update_date"],
            Seconds(row["duration_seconds"]),
            row["executed_by"],
            row["error"],
        )
        for row in found[part.start : part.start + part.size]
    ]
    columns = ("script", "target", "status", "ended", "took", "who", "error")
    empty = "no script has run: lakeflow-meta ddl run"
    pager = part.pager(len(found), "executions")
    return Page(at, "DDL scripts", [Table("Executions", columns, rows, empty, pager)])


def extracts(snapshot: Snapshot, at: Place) -> Page:
    """Runs of extracts, the newest first."""
    part = Part.asked(at, _PAGE)
    found = snapshot.extract_runs
    rows = [
        (
            row["extract_name"],
            _status(row["run_status"], good="SUCCESS"),
            row["run_timestamp"],
            row["rows_written"],
            Seconds(row["duration_seconds"]),
            row["error_message"],
        )
        for row in found[part.start : part.start + part.size]
    ]
    columns = ("extract", "status", "started", "rows", "took", "error")
    empty = "no extract has run: lakeflow-meta extract run"
    pager = part.pager(len(found), "runs")
    return Page(at, "Extracts", [Table("Runs of extracts", columns, rows, empty, pager)])


def _status(text: str, *, good: str) -> Mark:
    if text == good:
        return Mark(text.lower(), Tone.GOOD)
    busy = text.upper() == "IN_PROGRESS"
    return Mark(text.lower().replace("_", " "), Tone.BUSY if busy else Tone.BAD)
