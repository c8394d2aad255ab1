"""Runs as results: the JSON of one, and what people see of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lakeflow_meta.cli.output import Session

if TYPE_CHECKING:
    from datetime import datetime

    from lakeflow_meta.ports import JobRun, TaskRun

SHOWN_ITERATIONS = 20
SHOWN_LOGS = 5
SHOWN_INPUT = 40
"""How much of a run fits on a screen."""


def run_dict(run: JobRun) -> dict[str, Any]:
    """The JSON result of a run."""
    return {
        "run_id": run.run_id,
        "job_id": run.job_id,
        "job_name": run.job_name,
        "state": str(run.state),
        "error": run.error,
        "trigger": str(run.trigger.kind),
        "parameters": dict(run.parameters),
        "queued_at": run.queued_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "repair_count": run.repair_count,
        "repaired_at": run.repaired_at,
        "parent_run_id": run.parent_run_id,
        "tasks": [_task_dict(task) for task in run.tasks],
    }


def _task_dict(task: TaskRun) -> dict[str, Any]:
    return {**attempt_dict(task), "iterations": [attempt_dict(one) for one in task.iterations]}


def attempt_dict(task: TaskRun) -> dict[str, Any]:
    """The JSON result of one attempt of a task or of an iteration."""
    return {
        "task_key": task.task_key,
        "iteration": task.iteration,
        "attempt": task.attempt,
        "state": str(task.state),
        "outcome": task.outcome,
        "input": json.loads(task.input) if task.input else None,
        "started_at": task.started_at,
        "ended_at": task.ended_at,
        "seconds": round(task.seconds, 3),
        "error": task.error,
        "child_run_id": task.child_run_id,
        "log": task.log_path,
    }


def show_runs(session: Session, ended: Iterable[JobRun]) -> None:
    """Runs with their tasks, and where to look for what went wrong."""
    if session.output.as_json:
        return
    for one in ended:
        word = "in" if one.state.ended else "for"
        session.output.line(
            f"\n{one.job_name}: {one.state} {word} {seconds_of(one):.1f} s (run {one.run_id})"
        )
        for line in _about(one):
            session.output.line(line)
        rows = [
            (row.label, _how(row), _seconds_so_far(row), row.error)
            for task in sorted(one.tasks, key=_began)
            for row in (task, *_shown_iterations(task))
        ]
        session.output.table(("task", "state", "seconds", "error"), rows)
        for line in (*_longer(one), *_logs_of_failed(one)):
            session.output.line(line)


def _began(task: TaskRun) -> tuple[bool, float]:
    """In the order of the graph: by their start, and last those that never did."""
    return task.started_at is None, task.started_at.timestamp() if task.started_at else 0.0


def _about(run: JobRun) -> Iterator[str]:
    """What is worth a line because it is not as usual."""
    if run.error:
        yield f"error: {run.error}"
    if run.trigger.kind != "manual":
        yield f"trigger: {run.trigger.kind}"
    if run.parent_run_id is not None:
        yield f"started by run {run.parent_run_id}"
    if run.parameters:
        yield "parameters: " + ", ".join(f"{k}={v}" for k, v in run.parameters.items())
    if run.queued_at is not None:
        end = run.started_at if run.started_at > run.queued_at else run.ended_at
        waited = f" for {(end - run.queued_at).total_seconds():.1f} s" if end else ""
        yield f"queued{waited}"
    if run.repair_count:
        times = "once" if run.repair_count == 1 else f"{run.repair_count} times"
        yield f"repaired {times}"


def _how(task: TaskRun) -> str:
    """The state of a task, with what it decided, ran, or repeated."""
    words = [str(task.state)]
    if task.outcome:
        words.append(f"({task.outcome})")
    if task.child_run_id is not None:
        words.append(f"(run {task.child_run_id})")
    if task.attempt:
        words.append(f"(attempt {task.attempt})")
    if task.input:
        words.append(_short(task.input))
    return " ".join(words)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_INPUT else text[: SHOWN_INPUT - 1] + "…"


def _shown_iterations(task: TaskRun) -> list[TaskRun]:
    """As many as fit, those that went wrong before others, in their order."""
    wrong_first = sorted(task.iterations, key=lambda one: not one.state.bad)
    return sorted(wrong_first[:SHOWN_ITERATIONS], key=lambda one: one.iteration or 0)


def _longer(run: JobRun) -> Iterator[str]:
    for task in run.tasks:
        more = len(task.iterations) - SHOWN_ITERATIONS
        if more > 0:
            hint = f"lakeflow-meta --json runs {run.run_id}"
            yield f"… and {more} more iterations of {task.task_key}: {hint}"


def _logs_of_failed(run: JobRun) -> Iterator[str]:
    """Where to look, and what to do then."""
    rows = [row for task in run.tasks for row in (task, *task.iterations)]
    failed = [row for row in rows if row.error and row.log_path]
    for row in failed[:SHOWN_LOGS]:
        yield f"log of {row.label}: {row.log_path}"
    if len(failed) > SHOWN_LOGS:
        more = f"… and {len(failed) - SHOWN_LOGS} more"
        yield f"{more}: lakeflow-meta runs {run.run_id} --logs TASK"
    if run.state.ended and any(row.state.bad for row in rows):
        yield f"run again what failed: lakeflow-meta run --repair {run.run_id}"


def show_attempts(session: Session, run: JobRun, attempts: Sequence[TaskRun]) -> None:
    """Attempts that were followed by another."""
    last = {(t.label, t.attempt) for task in run.tasks for t in (task, *task.iterations)}
    former = [one for one in attempts if (one.label, one.attempt) not in last]
    if former:
        rows = [(one.label, one.attempt, one.state, one.seconds, one.error) for one in former]
        session.output.line("\nformer attempts:")
        session.output.table(("task", "attempt", "state", "seconds", "error"), rows)


def seconds_of(run: JobRun) -> float:
    """From its start, or the start of its last repair, to its end, or to now."""
    began = run.repaired_at or run.started_at
    return max(0.0, ((run.ended_at or _now()) - began).total_seconds())


def _seconds_so_far(task: TaskRun) -> float:
    if task.started_at is None or task.ended_at is not None or task.state.ended:
        return task.seconds
    return max(0.0, (_now() - task.started_at).total_seconds())


def _now() -> datetime:
    from lakeflow_meta.ports import utc_now

    return utc_now()
