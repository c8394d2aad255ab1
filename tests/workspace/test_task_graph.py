"""Databricks' rules for what runs, what never will, and how the run ended."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.backends.local.runs.frontier import Frontier
from lakeflow_meta.backends.local.runs.run_plan import PlannedTask
from lakeflow_meta.backends.local.runs.task_graph import (
    Dependency,
    Ended,
    RunIf,
    TaskNode,
    run_outcome,
    verdict,
)
from lakeflow_meta.backends.local.tasks.task_work import Requirements, RetryPolicy
from lakeflow_meta.ports import RunState as S

OK, BAD, OUT, OFF = S.SUCCESS, S.FAILED, S.EXCLUDED, S.DISABLED
UP_BAD, UP_GONE, GONE, LATE = S.UPSTREAM_FAILED, S.UPSTREAM_CANCELLED, S.CANCELLED, S.TIMED_OUT
RUNS = S.QUEUED


def after(run_if: RunIf, *parents: S) -> S | None:
    edges = tuple(Dependency(str(number)) for number in range(len(parents)))
    ended = {str(number): Ended(state) for number, state in enumerate(parents)}
    return verdict(TaskNode("task", edges, run_if), ended)


@pytest.mark.parametrize(
    ("run_if", "parents", "expected"),
    [
        # https://docs.databricks.com/jobs/run-if: the six conditions
        (RunIf.ALL_SUCCESS, [OK, OK], RUNS),
        (RunIf.ALL_SUCCESS, [OK, BAD], UP_BAD),
        (RunIf.ALL_SUCCESS, [OK, UP_BAD], UP_BAD),
        (RunIf.ALL_SUCCESS, [OK, LATE], UP_BAD),
        (RunIf.AT_LEAST_ONE_SUCCESS, [BAD, OK], RUNS),
        (RunIf.AT_LEAST_ONE_SUCCESS, [BAD, BAD], UP_BAD),
        (RunIf.NONE_FAILED, [OK, OK], RUNS),
        (RunIf.NONE_FAILED, [OK, BAD], UP_BAD),
        (RunIf.ALL_DONE, [BAD, UP_BAD], RUNS),
        (RunIf.ALL_FAILED, [BAD, LATE], RUNS),
        (RunIf.ALL_FAILED, [BAD, UP_BAD], RUNS),
        (RunIf.ALL_FAILED, [BAD, OK], OUT),
        (RunIf.AT_LEAST_ONE_FAILED, [BAD, OK], RUNS),
        (RunIf.AT_LEAST_ONE_FAILED, [OK, OK], OUT),
        # "Excluded tasks are skipped and are treated as successful"
        (RunIf.ALL_SUCCESS, [OK, OUT], RUNS),
        (RunIf.NONE_FAILED, [OK, OUT], RUNS),
        (RunIf.ALL_FAILED, [BAD, OUT], OUT),
        # "If all task dependencies are excluded, the task is also excluded, regardless"
        *((run_if, [OUT, OUT], OUT) for run_if in RunIf),
        # cancelling goes downstream, and tasks that handle failure run
        (RunIf.ALL_SUCCESS, [OK, GONE], UP_GONE),
        (RunIf.ALL_SUCCESS, [UP_GONE], UP_GONE),
        (RunIf.ALL_SUCCESS, [GONE, BAD], UP_BAD),
        (RunIf.ALL_DONE, [GONE], RUNS),
        (RunIf.AT_LEAST_ONE_FAILED, [OK, GONE], RUNS),
        (RunIf.ALL_FAILED, [GONE], RUNS),
        # https://docs.databricks.com/jobs/disabled-tasks: its table
        (RunIf.ALL_SUCCESS, [OFF], OFF),
        (RunIf.ALL_SUCCESS, [OFF, OK], OFF),
        (RunIf.ALL_SUCCESS, [OFF, BAD], UP_BAD),
        (RunIf.AT_LEAST_ONE_SUCCESS, [OFF, OK], RUNS),
        (RunIf.AT_LEAST_ONE_SUCCESS, [OFF, OFF], OFF),
        (RunIf.NONE_FAILED, [OFF, OUT], RUNS),
        (RunIf.NONE_FAILED, [OFF, OFF], OFF),
        (RunIf.ALL_DONE, [OFF], RUNS),
        (RunIf.AT_LEAST_ONE_FAILED, [OFF, BAD], RUNS),
        (RunIf.AT_LEAST_ONE_FAILED, [OFF, OK], OFF),
        (RunIf.ALL_FAILED, [OFF], OFF),
        (RunIf.ALL_FAILED, [OFF, BAD], OFF),
    ],
)
def test_a_task_runs_or_ends_by_what_became_of_its_dependencies(
    run_if: RunIf, parents: list[S], expected: S
) -> None:
    assert after(run_if, *parents) is expected
    assert after(run_if, *reversed(parents)) is expected


def test_a_task_waits_until_all_its_dependencies_have_ended() -> None:
    node = TaskNode("c", (Dependency("a"), Dependency("b")), RunIf.AT_LEAST_ONE_FAILED)
    assert verdict(node, {"a": Ended(BAD)}) is None
    assert verdict(node, {"a": Ended(BAD), "b": Ended(OK)}) is RUNS


def test_a_disabled_task_never_runs_and_waits_for_nobody() -> None:
    assert verdict(TaskNode("b", (Dependency("a"),), disabled=True), {}) is OFF


@pytest.mark.parametrize(
    ("asked", "chosen", "expected"), [("true", "true", RUNS), ("false", "true", OUT)]
)
def test_the_branch_that_a_condition_did_not_choose_is_excluded(
    asked: str, chosen: str, expected: S
) -> None:
    node = TaskNode("b", (Dependency("a", outcome=asked),))
    assert verdict(node, {"a": Ended(OK, outcome=chosen)}) is expected


def test_a_failed_condition_fails_both_branches() -> None:
    for asked in ("true", "false"):
        node = TaskNode("b", (Dependency("a", outcome=asked),))
        assert verdict(node, {"a": Ended(BAD)}) is UP_BAD


A, B = TaskNode("a"), TaskNode("b", (Dependency("a"),))


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (OK, OK, S.SUCCESS),
        (BAD, UP_BAD, S.FAILED),
        (BAD, OK, S.SUCCESS_WITH_FAILURES),
        (OK, LATE, S.FAILED),
        (OK, GONE, S.CANCELLED),
        (OK, OUT, S.SUCCESS),
        (BAD, OUT, S.SUCCESS_WITH_FAILURES),
        (OK, OFF, S.SUCCESS),
        (BAD, OFF, S.FAILED),
        (OFF, OFF, S.SUCCESS),
    ],
)
def test_a_run_ends_as_its_leaves_do_and_a_disabled_leaf_hides_nothing(
    first: S, last: S, expected: S
) -> None:
    assert run_outcome([A, B], {"a": Ended(first), "b": Ended(last)}) is expected


def test_a_run_without_tasks_is_a_success() -> None:
    assert run_outcome([], {}) is S.SUCCESS


@st.composite
def graphs(draw: st.DrawFn) -> list[TaskNode]:
    count = draw(st.integers(1, 8))
    nodes = []
    for number in range(count):
        parents = draw(st.sets(st.integers(0, number - 1))) if number else set()
        edges = tuple(Dependency(str(parent)) for parent in sorted(parents))
        run_if = draw(st.sampled_from(RunIf))
        nodes.append(TaskNode(str(number), edges, run_if, draw(st.booleans())))
    return draw(st.permutations(nodes))


@given(graphs(), st.lists(st.sampled_from([OK, BAD, LATE, GONE]), min_size=8, max_size=8))
def test_every_task_of_any_graph_gets_exactly_one_end(nodes: list[TaskNode], ends: list[S]) -> None:
    ended: dict[str, Ended] = {}
    for _ in nodes:
        ready = [node for node in nodes if node.task_key not in ended]
        for node, state in [(node, verdict(node, ended)) for node in ready]:
            if state is not None:
                ran = state is RUNS
                ended[node.task_key] = Ended(ends[int(node.task_key)] if ran else state)
    assert set(ended) == {node.task_key for node in nodes}
    assert all(end.state.ended for end in ended.values())
    fine = all(end.state in {OK, OUT, OFF} for end in ended.values())
    outcome = run_outcome(nodes, ended)
    assert (outcome is S.SUCCESS) == fine


@given(graphs(), st.lists(st.sampled_from([OK, BAD, LATE, GONE]), min_size=8, max_size=8))
def test_looking_at_a_task_once_gives_what_looking_at_all_again_and_again_gives(
    nodes: list[TaskNode], ends: list[S]
) -> None:
    naive: dict[str, Ended] = {}
    for _ in nodes:
        for node in nodes:
            state = None if node.task_key in naive else verdict(node, naive)
            if state is not None:
                naive[node.task_key] = Ended(ends[int(node.task_key)] if state is RUNS else state)
    frontier = Frontier([PlannedTask(n, {}, RetryPolicy(), Requirements()) for n in nodes], {})
    running: list[str] = []
    while frontier.is_open or running:
        for task, state in frontier.decide():
            key = task.node.task_key
            if state is RUNS:
                running.append(key)
            else:
                frontier.end(key, Ended(state))
        if running:
            key = running.pop()
            frontier.end(key, Ended(ends[int(key)]))
    assert frontier.ended == naive


def test_every_condition_is_decided_for_every_pair_of_ends() -> None:
    ends = [state for state in S if state.ended and state is not S.SUCCESS_WITH_FAILURES]
    for run_if, pair in itertools.product(RunIf, itertools.product(ends, repeat=2)):
        assert after(run_if, *pair) in {RUNS, OUT, OFF, UP_BAD, UP_GONE}
