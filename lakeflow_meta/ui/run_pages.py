"""Runs: the list, one run as a timeline, one task with what it printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from lakeflow_meta.errors import ConfigError, NotFoundError
from lakeflow_meta.ports import JobRun, RunState, TaskRun
from lakeflow_meta.ui.blocks import (
    Banner,
    Block,
    Cell,
    Choice,
    Code,
    Course,
    Facts,
    Filter,
    Kind,
    Link,
    Output,
    Page,
    Place,
    Seconds,
    Table,
    Text,
    place,
    state_mark,
)
from lakeflow_meta.ui.job_graph import job_graph
from lakeflow_meta.ui.paging import Part
from lakeflow_meta.ui.task_logs import read_tail, read_whole, whole_number
from lakeflow_meta.ui.timeline import Span, timeline

if TYPE_CHECKING:
    from lakeflow_meta.app import App
    from lakeflow_meta.ui.snapshot import Snapshot

_T = TypeVar("_T")
_PAGE = 50


def runs(snapshot: Snapshot, at: Place) -> Page:
    """The newest runs, of one job or of all, in one state or in any."""
    job, state = at.get("job"), at.get("state")
    found = [
        run for run in snapshot.runs if job in ("", run.job_name) and state in ("", str(run.state))
    ]
    part = Part.asked(at, _PAGE)
    columns, rows = run_rows(snapshot, found[part.start : part.start + part.size])
    full = len(snapshot.runs) >= snapshot.most_runs
    pager = part.pager(len(found), "runs", more=full)
    names = tuple(sorted({run.job_name for run in snapshot.runs}))
    choices = (
        Choice("job", "Job", job, names),
        Choice("state", "State", state, tuple(map(str, RunState))),
    )
    table = Table("Runs, the newest first", columns, rows, "no run is like that", pager)
    running = any(not run.state.ended for run in found)
    return Page(at, "Runs", [Filter(Kind.RUNS, choices), table], changing=running)


def run_rows(
    snapshot: Snapshot, found: Sequence[JobRun]
) -> tuple[tuple[str, ...], list[tuple[Cell, ...]]]:
    """Runs as rows of a table, with its columns."""
    rows: list[tuple[Cell, ...]] = [
        (
            Link(str(run.run_id), place(Kind.RUN, id=run.run_id)),
            _job_cell(snapshot, run),
            state_mark(run.state),
            run.started_at,
            Seconds(_seconds(snapshot, run)),
        )
        for run in found
    ]
    return ("run", "job", "state", "started", "took"), rows


def _job_cell(snapshot: Snapshot, run: JobRun) -> Cell:
    module = snapshot.modules_of_jobs.get(run.job_id)
    return run.job_name if module is None else Link(run.job_name, place(Kind.MODULE, name=module))


def _seconds(snapshot: Snapshot, run: JobRun) -> float:
    return ((run.ended_at or snapshot.now) - run.started_at).total_seconds()


# --------------------------------------------------------------------------- one run


def run_page(snapshot: Snapshot, at: Place) -> Page:
    """One run. Raises NotFoundError."""
    run = snapshot.app.jobs.get_run(whole_number(at.get("id"), "run"))
    attempts = attempts_of(snapshot, run)
    blocks: list[Block] = [_run_banner(run), _facts(snapshot, run)]
    graph = _graph(snapshot, run)
    blocks += [] if graph is None else [graph]
    blocks += [_course(snapshot, run, attempts), _attempts(run.run_id, attempts)]
    title = f"Run {run.run_id} of {run.job_name}"
    trail = (Link("Runs", place(Kind.RUNS)),)
    return Page(at, title, blocks, trail, changing=not run.state.ended)


def _run_banner(run: JobRun) -> Banner:
    """How it ended; of a failure the first cause, and the remedy."""
    causes = [f"{t.label}: {t.error}" for t in run.tasks if t.state in _CAUSES and t.error]
    more = [f"{len(causes) - 1} more failed"] if len(causes) > 1 else []
    lines = [run.error, *causes[:1], *more]
    if run.state.bad and run.state.ended:
        lines.append(f"lakeflow-meta run --repair {run.run_id} runs again what failed")
    return Banner(state_mark(run.state), "\n".join(filter(None, lines)))


_CAUSES = frozenset({RunState.FAILED, RunState.TIMED_OUT})
"""What fails by itself, not because another task did."""


def attempts_of(snapshot: Snapshot, run: JobRun) -> Sequence[TaskRun]:
    """Every attempt of every task and iteration where that is known, else the last ones."""
    found = snapshot.app.target.attempts(run.run_id)
    return list(dict.fromkeys(one for task in found for one in (task, *task.iterations)))


def _facts(snapshot: Snapshot, run: JobRun) -> Facts:
    parent = run.parent_run_id
    queued = run.queued_at
    waited = None if queued is None else (run.started_at - queued).total_seconds()
    return Facts(
        (
            ("job", _job_cell(snapshot, run)),
            ("started by", str(run.trigger.kind).replace("_", " ")),
            ("due at", run.trigger.at),
            ("part of run", None if parent is None else _run_link(parent)),
            ("queued for", None if waited is None else Seconds(waited)),
            ("started", run.started_at),
            ("ended", run.ended_at),
            ("took", Seconds(_seconds(snapshot, run))),
            ("repairs", run.repair_count or None),
            ("last repaired", run.repaired_at),
            *((f"parameter {name}", Code(value)) for name, value in run.parameters.items()),
        )
    )


def _run_link(run_id: int) -> Link:
    return Link(str(run_id), place(Kind.RUN, id=run_id))


def _graph(snapshot: Snapshot, run: JobRun) -> Block | None:
    """The tasks as the job has them now; those that the run did not have are left out."""
    try:
        settings = snapshot.app.jobs.get_job(run.job_id).settings
    except NotFoundError:
        return None
    ran = {task.task_key for task in run.tasks}
    tasks = [task for task in settings.get("tasks") or () if task["task_key"] in ran]
    return job_graph("Tasks of this run", tasks, run.run_id, run.tasks) if tasks else None


def _course(snapshot: Snapshot, run: JobRun, attempts: Sequence[TaskRun]) -> Course:
    """Lanes of tasks, of iterations below theirs, and of the time in the queue."""
    lanes: dict[str, RunState] = {}
    places: dict[str, Place] = {}
    spans = list(_spans(attempts))
    if run.queued_at is not None and run.queued_at < run.started_at:
        lanes[_QUEUE] = RunState.QUEUED
        spans.append(Span(_QUEUE, "waited for other runs", run.queued_at, run.started_at, None))
    for task in sorted(attempts, key=_lane_order(attempts)):
        lanes[task.label] = task.state
        places[task.label] = _task_place(run.run_id, task)
    since = min(filter(None, (run.queued_at, run.started_at)))
    picture = timeline(list(lanes.items()), spans, since, run.ended_at or snapshot.now)
    return Course("Timeline", picture, places)


_QUEUE = "(queue)"


def _lane_order(attempts: Sequence[TaskRun]) -> Callable[[TaskRun], tuple[int, int]]:
    """Tasks in their order, each followed by its iterations."""
    order = {task: at for at, task in enumerate(dict.fromkeys(t.task_key for t in attempts))}
    return lambda task: (order[task.task_key], -1 if task.iteration is None else task.iteration)


def _spans(attempts: Sequence[TaskRun]) -> Iterator[Span]:
    """The attempts, and the waits between two of one task."""
    before: dict[str, TaskRun] = {}
    for task in attempts:
        if task.started_at is None:
            continue
        last = before.get(task.label)
        if last is not None and last.ended_at is not None:
            label = f"waited before attempt {task.attempt + 1}"
            yield Span(task.label, label, last.ended_at, task.started_at, None)
        label = f"attempt {task.attempt + 1}: {task.state}"
        yield Span(task.label, label, task.started_at, task.ended_at, task.state)
        before[task.label] = task


def _attempts(run_id: int, attempts: Sequence[TaskRun], caption: str = "Attempts") -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            Link(task.label, _task_place(run_id, task)),
            state_mark(task.state),
            task.attempt + 1,
            task.started_at,
            Seconds(_took(task)),
            task.outcome or task.input,
            task.error,
        )
        for task in attempts
    ]
    columns: tuple[str, ...] = (
        "task",
        "state",
        "attempt",
        "started",
        "took",
        "detail",
        "error",
    )
    if not any(row[5] for row in rows):
        columns, rows = _without(columns, 5), [_without(row, 5) for row in rows]
    return Table(caption, columns, rows)


def _without(values: tuple[_T, ...], at: int) -> tuple[_T, ...]:
    return values[:at] + values[at + 1 :]


def _took(task: TaskRun) -> float | None:
    return task.seconds if task.started_at and task.ended_at else None


def _task_place(run_id: int, task: TaskRun, kind: Kind = Kind.TASK) -> Place:
    return place(
        kind, run=run_id, key=task.task_key, attempt=task.attempt, iteration=task.iteration
    )


# --------------------------------------------------------------------------- one task


def task_page(snapshot: Snapshot, at: Place) -> Page:
    """One attempt of a task or iteration, the last where none is named. Raises NotFoundError."""
    run, of_task, task = _found(snapshot, at)
    blocks: list[Block] = [Banner(state_mark(task.state), task.error), _task_facts(task)]
    blocks.append(_output(snapshot.app, run.run_id, task))
    same = [one for one in of_task if one.iteration == task.iteration]
    if len(same) > 1:
        blocks.append(_attempts(run.run_id, same))
    inside = [one for one in of_task if one.iteration is not None]
    if inside and task.iteration is None:
        blocks.append(_attempts(run.run_id, inside, "Iterations"))
    trail = (
        Link("Runs", place(Kind.RUNS)),
        Link(f"Run {run.run_id} of {run.job_name}", place(Kind.RUN, id=run.run_id)),
    )
    return Page(at, task.label, blocks, trail, changing=not task.state.ended)


def log_of(snapshot: Snapshot, at: Place) -> tuple[int, Iterator[bytes]]:
    """The whole log of an attempt: its size, and its bytes in pieces. Raises NotFoundError."""
    run, _, task = _found(snapshot, at)
    return read_whole(snapshot.app, run.run_id, task)


def _found(snapshot: Snapshot, at: Place) -> tuple[JobRun, Sequence[TaskRun], TaskRun]:
    """The run, everything of the task, and the attempt that is asked for."""
    run = snapshot.app.jobs.get_run(whole_number(at.get("run"), "run"))
    key, iteration, attempt = (at.get(name) for name in ("key", "iteration", "attempt"))
    of_task = [task for task in attempts_of(snapshot, run) if task.task_key == key]
    found = [
        task
        for task in of_task
        if iteration == ("" if task.iteration is None else str(task.iteration))
        and attempt in ("", str(task.attempt))
    ]
    if not found:
        raise NotFoundError(f"run {run.run_id} has no such attempt of a task {key!r}")
    return run, of_task, found[-1]


def _task_facts(task: TaskRun) -> Facts:
    child = task.child_run_id
    return Facts(
        (
            ("task", Code(task.label)),
            ("attempt", task.attempt + 1),
            ("input", Code(task.input) if task.input else None),
            ("outcome", task.outcome),
            ("run that it started", None if child is None else _run_link(child)),
            ("started", task.started_at),
            ("ended", task.ended_at),
            ("took", Seconds(_took(task))),
        )
    )


def _output(app: App, run_id: int, task: TaskRun) -> Block:
    try:
        tail = read_tail(app, run_id, task)
    except ConfigError as error:  # this target has no logs to show
        return Text(str(error))
    if tail is None:
        return Text("It has printed nothing: there is no log.")
    links = (Link("Whole log as text", _task_place(run_id, task, Kind.LOG)),)
    note = f"the end of {tail.size_bytes:,} bytes" if tail.cut else ""
    return Output("Log", tail.text, note, links)
