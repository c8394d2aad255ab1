"""The log of one attempt of a run, found by the name that people type."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.ports import JobRun, RunState, TaskRun


def read_log(
    run: JobRun, attempts: Sequence[TaskRun], label: str, attempt: int | None = None
) -> str:
    """What an attempt has printed so far; the last that started if none is named.

    Raises NotFoundError that says what there is instead.
    """
    of_task = [task for task in attempts if task.label == label]
    if not of_task:
        raise _missing(_no_task(run, attempts, label))
    found = [task for task in of_task if attempt in {None, task.attempt}]
    if not found:
        numbers = ", ".join(str(task.attempt) for task in of_task)
        raise _missing(
            f"task {label!r} of run {run.run_id} has no attempt {attempt}; it has {numbers}"
        )
    paths = [task.log_path for task in found if task.log_path and task.log_path.is_file()]
    if not paths:
        raise _missing(_no_log(run, found[-1]))
    return paths[-1].read_text(encoding="utf-8", errors="replace")


def _no_task(run: JobRun, attempts: Sequence[TaskRun], label: str) -> str:
    labels = list(dict.fromkeys(task.label for task in attempts))
    near = get_close_matches(label, labels, n=1)
    plain = [task for task in labels if "[" not in task]
    known = ", ".join(plain[:10]) + (", …" if len(plain) > 10 else "")
    hint = f"did you mean {near[0]!r}?" if near else f"it has {known or 'none'}"
    return f"run {run.run_id} has no task {label!r}; {hint}"


def _no_log(run: JobRun, task: TaskRun) -> str:
    if run.tasks and any(t.task_key == task.task_key and t.iterations for t in run.tasks):
        return f"task {task.label!r} has a log for each iteration: ask for {task.label}[0]"
    if task.outcome:
        return f"task {task.label!r} is a condition and prints nothing; it was {task.outcome}"
    why = "has not started yet" if not task.state.ended else f"is {task.state} and has no log"
    if task.state is RunState.SUCCESS:
        why = "has no log any more"
    cause = f": {task.error}" if task.error else ""
    return f"task {task.label!r} of run {run.run_id} {why}{cause}"


def _missing(message: str) -> NotFoundError:
    return NotFoundError(message, code="NO_LOG")
