"""Which task of a run may start, which never will, and how the run ended. Pure.

Databricks' rules, from these pages:
- run_if and excluded tasks: https://docs.databricks.com/jobs/run-if
- disabled tasks and what depends on them: https://docs.databricks.com/jobs/disabled-tasks
- the state of the run is that of its leaf tasks: same page as run_if
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

from lakeflow_meta.ports import RunState


class RunIf(StrEnum):
    """The condition over a task's dependencies, checked when all of them have ended."""

    ALL_SUCCESS = "ALL_SUCCESS"
    ALL_DONE = "ALL_DONE"
    NONE_FAILED = "NONE_FAILED"
    AT_LEAST_ONE_SUCCESS = "AT_LEAST_ONE_SUCCESS"
    ALL_FAILED = "ALL_FAILED"
    AT_LEAST_ONE_FAILED = "AT_LEAST_ONE_FAILED"


@dataclass(frozen=True, slots=True)
class Dependency:
    """One edge. ``outcome`` is the branch of a condition task, None for every other task."""

    task_key: str
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class TaskNode:
    """A task as the graph sees it."""

    task_key: str
    depends_on: tuple[Dependency, ...] = ()
    run_if: RunIf = RunIf.ALL_SUCCESS
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """How a task ended; ``outcome`` is what a condition task decided, "" for other tasks."""

    state: RunState
    outcome: str = ""


def nodes_of(tasks: Iterable[Mapping[str, Any]]) -> tuple[TaskNode, ...]:
    """The graph of a checked settings document."""
    return tuple(
        TaskNode(
            task_key=task["task_key"],
            depends_on=tuple(
                Dependency(edge["task_key"], edge.get("outcome"))
                for edge in task.get("depends_on", ())
            ),
            run_if=RunIf(task.get("run_if", RunIf.ALL_SUCCESS)),
            disabled=bool(task.get("disabled", False)),
        )
        for task in tasks
    )


_SUCCESS_LIKE = frozenset({RunState.SUCCESS, RunState.EXCLUDED})
_CANCELLED = frozenset({RunState.CANCELLED, RunState.UPSTREAM_CANCELLED})
_FAILED = frozenset({RunState.FAILED, RunState.TIMED_OUT, RunState.UPSTREAM_FAILED}) | _CANCELLED
_HANDLES_FAILURE = frozenset({RunIf.ALL_FAILED, RunIf.AT_LEAST_ONE_FAILED})


def verdict(node: TaskNode, ended: Mapping[str, Ended]) -> RunState | None:
    """What becomes of a task that has not started.

    None: some dependency still runs. QUEUED: it may start. Anything else: it ends as that,
    without running.
    """
    if node.disabled:
        return RunState.DISABLED
    if not all(edge.task_key in ended for edge in node.depends_on):
        return None
    if not node.depends_on:
        return RunState.QUEUED
    parents = [_seen_through(edge, ended[edge.task_key]) for edge in node.depends_on]
    if all(state is RunState.EXCLUDED for state in parents):
        return RunState.EXCLUDED
    return RunState.QUEUED if _met(node.run_if, parents) else _unmet(node.run_if, parents)


def _seen_through(edge: Dependency, parent: Ended) -> RunState:
    """A condition task that chose the other branch counts as excluded."""
    chosen = edge.outcome is None or edge.outcome == parent.outcome
    return parent.state if chosen or parent.state is not RunState.SUCCESS else RunState.EXCLUDED


def _met(run_if: RunIf, parents: Sequence[RunState]) -> bool:
    match run_if:
        case RunIf.ALL_SUCCESS:
            return all(state in _SUCCESS_LIKE for state in parents)
        case RunIf.AT_LEAST_ONE_SUCCESS:
            return any(state in _SUCCESS_LIKE for state in parents)
        case RunIf.NONE_FAILED:
            failed = any(state in _FAILED for state in parents)
            return not failed and any(state in _SUCCESS_LIKE for state in parents)
        case RunIf.ALL_DONE:
            return True
        case RunIf.ALL_FAILED:
            return all(state in _FAILED for state in parents)
        case RunIf.AT_LEAST_ONE_FAILED:
            return any(state in _FAILED for state in parents)
        case _:
            assert_never(run_if)


def _unmet(run_if: RunIf, parents: Sequence[RunState]) -> RunState:
    """The state of a task whose condition is not met, by what stood in its way."""
    if run_if in _HANDLES_FAILURE:
        disabled = any(state is RunState.DISABLED for state in parents)
        return RunState.DISABLED if disabled else RunState.EXCLUDED
    if any(state in _FAILED - _CANCELLED for state in parents):
        return RunState.UPSTREAM_FAILED
    if any(state in _CANCELLED for state in parents):
        return RunState.UPSTREAM_CANCELLED
    return RunState.DISABLED


def run_outcome(nodes: Sequence[TaskNode], ended: Mapping[str, Ended]) -> RunState:
    """The state of a run whose tasks have all ended: that of its leaves.

    A disabled task is no leaf and hides none: the tasks that it depends on count instead, so that
    disabling the last task of a chain never turns a failure into a success.
    """
    states = {node.task_key: ended[node.task_key].state for node in nodes}
    live = [node for node in nodes if states[node.task_key] is not RunState.DISABLED]
    inner = {edge.task_key for node in live for edge in node.depends_on}
    leaves = [states[node.task_key] for node in live if node.task_key not in inner]
    if any(state in _FAILED - _CANCELLED for state in leaves):
        return RunState.FAILED
    if any(state in _CANCELLED for state in leaves):
        return RunState.CANCELLED
    failed = any(state in _FAILED for state in states.values())
    return RunState.SUCCESS_WITH_FAILURES if failed else RunState.SUCCESS
