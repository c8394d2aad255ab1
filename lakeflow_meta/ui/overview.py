"""The first page: is everything as recorded, what ran last, what failed, what is next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lakeflow_meta.status import declared_status, monitor_status
from lakeflow_meta.ui.blocks import (
    Banner,
    Block,
    Cards,
    Cell,
    Kind,
    Lines,
    Link,
    Mark,
    Page,
    Place,
    Table,
    Text,
    Tone,
    place,
    shown_lines,
)
from lakeflow_meta.ui.run_pages import run_rows

if TYPE_CHECKING:
    from lakeflow_meta.ports import JobRun
    from lakeflow_meta.serve_operations import Upcoming
    from lakeflow_meta.ui.snapshot import KeptPlan, Snapshot

_SHOWN = 10
_PROBLEMS = 20


def overview(snapshot: Snapshot, at: Place) -> Page:
    """Answers from what is recorded and what ran; the plan is told of where there is one."""
    blocks: list[Block] = [_verdict(snapshot), _counts(snapshot)]
    blocks += [*_declared(snapshot), *_problems(snapshot)]
    latest = list(snapshot.last_runs.values())
    failed = [run for run in latest if run.state.bad]
    if failed:
        blocks.append(_runs(snapshot, "Failed last time", failed))
    blocks.append(_runs(snapshot, "Ran last", snapshot.runs))
    blocks.append(_upcoming(snapshot))
    blocks.append(_monitor(snapshot))
    return Page(at, "Overview", blocks, changing=any(not run.state.ended for run in latest))


_ASK = Link("Work the plan out", place(Kind.PLAN, again=1))


def _verdict(snapshot: Snapshot) -> Banner:
    if not snapshot.recorded.modules:
        return Banner(Mark("Nothing is recorded yet", Tone.OFF), "lakeflow-meta sync PATH loads it")
    plan = snapshot.plan
    if plan is not None and snapshot.holds(plan):
        return _of_plan(plan)
    changed = sorted(snapshot.changed_modules)
    if changed:
        names = ", ".join(changed[:5]) + (f" and {len(changed) - 5:,} more" if changed[5:] else "")
        count = f"{len(changed):,} module{'s' if len(changed) > 1 else ''}"
        text = f"{count} changed since the last apply"
        return Banner(Mark(text, Tone.WARNING), names, (_ASK,))
    text = "No module changed since the last apply"
    return Banner(Mark(text, Tone.GOOD), "The platform was not compared.", (_ASK,))


def _of_plan(plan: KeptPlan) -> Banner:
    shown = (Link("See the plan", place(Kind.PLAN)),)
    if plan.failed:
        return Banner(Mark("Something cannot be done as recorded", Tone.BAD), "", shown)
    if plan.pending:
        return Banner(Mark("There are changes to apply", Tone.WARNING), "", shown)
    return Banner(Mark("Everything is as recorded", Tone.GOOD), "", shown)


def _counts(snapshot: Snapshot) -> Cards:
    modules = [m for m in snapshot.recorded.modules.values() if m.is_active]
    files = snapshot.file_counts
    failed = files.get("failed", 0)
    items: list[tuple[str, Cell]] = [
        ("modules", Link(f"{len(modules):,}", place(Kind.MODULES))),
        ("sources", sum(len(m.sources) for m in modules)),
        ("tables", Link(f"{sum(len(m.tables) for m in modules):,}", place(Kind.TABLES))),
        ("files ingested", Link(f"{files.get('success', 0):,}", place(Kind.FILES))),
    ]
    if failed:
        place_of_failed = place(Kind.FILES, status="failed")
        items.append(("files failed", Link(f"{failed:,}", place_of_failed)))
    return Cards(tuple(items))


def _declared(snapshot: Snapshot) -> Iterator[Block]:
    """The metadata folder of the project, where it has one, against what is recorded."""
    found = declared_status(snapshot.app)
    if found is None:
        return
    if found.problems:
        rows = [(line,) for line in shown_lines(found.problems, _PROBLEMS)]
        yield Table(f"Problems in {found.folder}", ("problem",), rows)
    elif found.changes:
        caption = f"To be recorded: lakeflow-meta sync {found.folder}"
        yield Lines(caption, shown_lines(found.changes, _PROBLEMS))
    else:
        yield Text(" ".join(found.lines()))


def _problems(snapshot: Snapshot) -> Iterator[Block]:
    found = [*map(str, snapshot.recorded.problems), *snapshot.extract_problems]
    if found:
        rows = [(line,) for line in shown_lines(found, _PROBLEMS)]
        yield Table("Rows that cannot be read", ("problem",), rows)


def _runs(snapshot: Snapshot, caption: str, runs: Sequence[JobRun]) -> Table:
    columns, rows = run_rows(snapshot, runs[:_SHOWN])
    empty = "no job has run yet: lakeflow-meta run MODULE"
    return Table(caption, columns, rows, empty)


def _upcoming(snapshot: Snapshot) -> Table:
    rows = [_upcoming_row(snapshot, one) for one in snapshot.upcoming[:_SHOWN]]
    return Table("Next", ("job", "starts by", "next"), rows, "no job starts by itself")


def _upcoming_row(snapshot: Snapshot, one: Upcoming) -> tuple[Cell, ...]:
    known = one.module in snapshot.recorded.modules
    job = Link(one.job_name, place(Kind.MODULE, name=one.module)) if known else one.job_name
    return job, one.trigger, Mark("paused", Tone.OFF) if one.paused else one.next_at


def _monitor(snapshot: Snapshot) -> Block:
    found = monitor_status(snapshot.app)
    if found is None:
        return Text("No monitor has run with this home.")
    tones = {"running": Tone.GOOD, "dead": Tone.BAD, "silent": Tone.BAD}
    said, *errors = found.lines()
    tone = tones.get(found.state, Tone.OFF)
    rows = [(Mark(found.state, tone), said), *((Mark("error", Tone.BAD), e) for e in errors)]
    return Table("Monitor", ("state", "what it said"), rows)
