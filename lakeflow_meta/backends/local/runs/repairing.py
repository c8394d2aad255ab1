"""What a repair of a run does again, and what it keeps. Pure.

"Only the failed tasks and their dependent tasks are run again":
https://docs.databricks.com/jobs/repair-job-failures
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lakeflow_meta.backends.local.runs.run_plan import Before, Step
from lakeflow_meta.backends.local.runs.task_graph import Ended, TaskNode
from lakeflow_meta.ports import RunState, TaskRun

_DONE_WITH = frozenset({RunState.SUCCESS, RunState.EXCLUDED, RunState.DISABLED})


def to_repair(nodes: Sequence[TaskNode], tasks: Iterable[TaskRun]) -> frozenset[str]:
    """The tasks that failed or did not run, and all that depends on them, directly or not."""
    ended = {task.task_key: task.state for task in tasks}
    children: dict[str, list[str]] = {}
    for node in nodes:
        for edge in node.depends_on:
            children.setdefault(edge.task_key, []).append(node.task_key)
    found: set[str] = set()
    waiting = [n.task_key for n in nodes if ended.get(n.task_key) not in _DONE_WITH]
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += children.get(key, ())
    return frozenset(found)


def before_repair(attempts: Iterable[TaskRun], again: frozenset[str]) -> Before:
    """What is kept of a run, read after the tasks ``again`` were queued once more."""
    last = {Step(run.task_key, run.iteration): run for run in attempts}
    return Before(
        ended={
            step.task_key: Ended(run.state, run.outcome)
            for step, run in last.items()
            if step.iteration is None and step.task_key not in again
        },
        attempts={step: _next_attempt(step, run) for step, run in last.items()},
        iterations={step: run for step, run in last.items() if step.iteration is not None},
        children=_children(attempts),
    )


def _next_attempt(step: Step, run: TaskRun) -> int:
    """A task has its row already; an iteration that had started gets another."""
    started = step.iteration is not None and run.started_at is not None
    return run.attempt + 1 if started else run.attempt


def _children(attempts: Iterable[TaskRun]) -> Mapping[Step, int]:
    """The last run that each run_job step has started."""
    found = ((Step(run.task_key, run.iteration), run.child_run_id) for run in attempts)
    return {step: child for step, child in found if child is not None}
