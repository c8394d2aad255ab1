"""Runs and their tasks as rows of ``workspace.db``, and back. Pure."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from lakeflow_meta.ports import JobRun, RunState, TaskRun, Trigger, TriggerKind

THE_TASK = -1
"""What the column ``iteration`` holds for a task itself."""


_KINDS = {kind.value: kind for kind in TriggerKind}


def iteration_of(task: TaskRun) -> int:
    """The column ``iteration`` of a task run."""
    return THE_TASK if task.iteration is None else task.iteration


def values_of(run_id: int, task: TaskRun) -> dict[str, Any]:
    """The columns of a task run."""
    return {
        "run_id": run_id,
        "task_key": task.task_key,
        "iteration": iteration_of(task),
        "attempt": task.attempt,
        "state": task.state,
        "started_at": text_of(task.started_at),
        "ended_at": text_of(task.ended_at),
        "error": task.error,
        "log": str(task.log_path) if task.log_path else None,
        "outcome": task.outcome,
        "input": task.input,
    }


def run_of(row: sqlite3.Row) -> JobRun:
    """A run without its tasks."""
    return JobRun(
        run_id=row["run_id"],
        job_id=row["job_id"],
        job_name=row["job_name"],
        state=RunState(row["state"]),
        started_at=datetime.fromisoformat(row["started_at"]),
        ended_at=moment_of(row["ended_at"]),
        error=row["error"],
        trigger=trigger_of(row),
        parameters=json.loads(row["parameters"]),
        queued_at=moment_of(row["queued_at"]),
        repair_count=row["repair_count"],
        repaired_at=moment_of(row["repaired_at"]),
        parent_run_id=row["parent_run_id"],
    )


def trigger_of(row: sqlite3.Row) -> Trigger:
    """What made a run start."""
    kind = _KINDS.get(row["trigger_kind"], TriggerKind.OTHER)
    return Trigger(kind, moment_of(row["trigger_at"]), json.loads(row["trigger_details"]))


def task_of(row: sqlite3.Row) -> TaskRun:
    """One attempt of a task or of an iteration."""
    return TaskRun(
        task_key=row["task_key"],
        state=RunState(row["state"]),
        started_at=moment_of(row["started_at"]),
        ended_at=moment_of(row["ended_at"]),
        attempt=row["attempt"],
        error=row["error"],
        log_path=Path(row["log"]) if row["log"] else None,
        iteration=None if row["iteration"] == THE_TASK else row["iteration"],
        input=row["input"],
        outcome=row["outcome"],
        child_run_id=row["child_run_id"],
    )


def last_attempts(attempts: Iterable[TaskRun]) -> tuple[TaskRun, ...]:
    """Each task by its last attempt, with its iterations, in the order of the first ones."""
    tasks: dict[str, TaskRun] = {}
    iterations: dict[str, dict[int, TaskRun]] = {}
    for run in attempts:
        if run.iteration is None:
            tasks[run.task_key] = run
        else:
            iterations.setdefault(run.task_key, {})[run.iteration] = run
    return tuple(
        replace(task, iterations=tuple(iterations[key].values())) if key in iterations else task
        for key, task in tasks.items()
    )


def text_of(moment: datetime | None) -> str | None:
    """A moment as it is kept."""
    return None if moment is None else moment.isoformat()


def moment_of(text: str | None) -> datetime | None:
    """A moment that was kept."""
    return None if text is None else datetime.fromisoformat(text)
