"""Runs as the Jobs API tells of them, in our words. Pure.

https://docs.databricks.com/api/workspace/jobs/getrun
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from lakeflow_meta.ports import JobRun, RunState, TaskRun, Trigger, TriggerKind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LIFE_CYCLE = {
    "QUEUED": RunState.QUEUED,
    "PENDING": RunState.QUEUED,
    "BLOCKED": RunState.QUEUED,
    "WAITING": RunState.QUEUED,
    "WAITING_FOR_RETRY": RunState.WAITING_FOR_RETRY,
    "RUNNING": RunState.RUNNING,
    "TERMINATING": RunState.RUNNING,
    "SKIPPED": RunState.SKIPPED,
    "INTERNAL_ERROR": RunState.FAILED,
}
"""Life cycle states but TERMINATED, whose result says more."""

RESULTS = {
    "SUCCESS": RunState.SUCCESS,
    "SUCCESS_WITH_FAILURES": RunState.SUCCESS_WITH_FAILURES,
    "FAILED": RunState.FAILED,
    "TIMEDOUT": RunState.TIMED_OUT,
    "CANCELED": RunState.CANCELLED,
    "UPSTREAM_FAILED": RunState.UPSTREAM_FAILED,
    "UPSTREAM_CANCELED": RunState.UPSTREAM_CANCELLED,
    "EXCLUDED": RunState.EXCLUDED,
    "DISABLED": RunState.DISABLED,
    "MAXIMUM_CONCURRENT_RUNS_REACHED": RunState.SKIPPED,
}

ENDS = {
    "SUCCESS": RunState.SUCCESS,
    "SUCCESS_WITH_FAILURES": RunState.SUCCESS_WITH_FAILURES,
    "USER_CANCELED": RunState.CANCELLED,
    "CANCELED": RunState.CANCELLED,
    "SKIPPED": RunState.SKIPPED,
    "DISABLED": RunState.DISABLED,
    "MAX_CONCURRENT_RUNS_EXCEEDED": RunState.SKIPPED,
    "MAX_JOB_QUEUE_SIZE_EXCEEDED": RunState.SKIPPED,
}
"""Termination codes that are no failure; every other one is."""


TRIGGERS = {
    "ONE_TIME": TriggerKind.MANUAL,
    "PERIODIC": TriggerKind.PERIODIC,
    "FILE_ARRIVAL": TriggerKind.FILE_ARRIVAL,
    "TABLE": TriggerKind.TABLE,
    "CONTINUOUS": TriggerKind.CONTINUOUS,
    "CONTINUOUS_RESTART": TriggerKind.CONTINUOUS,
    "RUN_JOB_TASK": TriggerKind.RUN_JOB,
    "RETRY": TriggerKind.OTHER,
}


def job_run(answer: Mapping[str, Any], *, with_tasks: bool = True) -> JobRun:
    """A run from the answer of ``runs/get``, or one entry of ``runs/list``."""
    state = run_state(answer)
    return JobRun(
        run_id=int(answer["run_id"]),
        job_id=int(answer.get("job_id") or 0),
        job_name=str(answer.get("run_name") or ""),
        state=state,
        started_at=_moment(answer.get("start_time")) or _EPOCH,
        ended_at=_moment(answer.get("end_time")) if state.ended else None,
        tasks=_task_runs(answer.get("tasks") or ()) if with_tasks else (),
        error=_error(answer, state),
        trigger=Trigger(TRIGGERS.get(answer.get("trigger") or "", TriggerKind.OTHER)),
        parameters=_parameters(answer.get("job_parameters") or ()),
        **_repairs(answer),
    )


def latest_repair(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What a further repair must name, from the answer of ``runs/get`` with its history."""
    repairs = _history(answer)
    return {"latest_repair_id": repairs[-1]["id"]} if repairs else {}


def _repairs(answer: Mapping[str, Any]) -> dict[str, Any]:
    """When a run was last repaired, and how often, where its history was asked for."""
    repairs = _history(answer)
    if not repairs:
        return {}
    return {
        "repair_count": len(repairs),
        "repaired_at": _moment(repairs[-1].get("start_time")),
    }


def _history(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [item for item in answer.get("repair_history") or () if item.get("type") == "REPAIR"]


def _parameters(given: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """``value`` is what the run was given, where that is not the default."""
    return {str(p["name"]): str(p.get("value", p.get("default", ""))) for p in given}


def run_state(answer: Mapping[str, Any]) -> RunState:
    """How far a run or a task is. A state that is not known yet counts as running."""
    state, status = answer.get("state") or {}, answer.get("status") or {}
    life_cycle = state.get("life_cycle_state") or status.get("state")
    result = RESULTS.get(state.get("result_state") or "")
    if life_cycle in LIFE_CYCLE:
        ended = LIFE_CYCLE[life_cycle].ended
        return result if ended and result is not None else LIFE_CYCLE[life_cycle]
    if life_cycle != "TERMINATED":
        return RunState.RUNNING
    if result is not None:
        return result
    details = status.get("termination_details") or {}
    by_type = RunState.SUCCESS if details.get("type") == "SUCCESS" else RunState.FAILED
    return ENDS.get(details.get("code") or "", by_type)


def _task_runs(tasks: Iterable[Mapping[str, Any]]) -> tuple[TaskRun, ...]:
    """The last attempt of every task, in the order of the first ones."""
    last: dict[str, TaskRun] = {}
    for task in tasks:
        run = _task_run(task)
        if run.task_key not in last or last[run.task_key].attempt <= run.attempt:
            last[run.task_key] = run
    return tuple(last.values())


def _task_run(task: Mapping[str, Any]) -> TaskRun:
    state = run_state(task)
    return TaskRun(
        task_key=str(task["task_key"]),
        state=state,
        started_at=_moment(task.get("start_time")),
        ended_at=_moment(task.get("end_time")) if state.ended else None,
        attempt=int(task.get("attempt_number") or 0),
        error=_error(task, state),
        outcome=str((task.get("condition_task") or {}).get("outcome") or ""),
    )


def _error(answer: Mapping[str, Any], state: RunState) -> str:
    """One short line of why it did not end well."""
    if not state.bad and state is not RunState.SKIPPED:
        return ""
    details = (answer.get("status") or {}).get("termination_details") or {}
    told = (answer.get("state") or {}).get("state_message") or details.get("message")
    text = str(told or details.get("code") or "").strip()
    return text.splitlines()[0][:200] if text else ""


def _moment(milliseconds: Any) -> datetime | None:
    """The API's milliseconds since 1970; 0 is "not yet"."""
    return _EPOCH + timedelta(milliseconds=int(milliseconds)) if milliseconds else None
