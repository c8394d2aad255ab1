"""Conditions, what for_each tasks repeat, which jobs run each other: the rules by themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.backends.local.runs.control_tasks import (
    Condition,
    ForEach,
    Op,
    inputs_of,
    read_condition,
    read_for_each,
    read_run_job,
)
from lakeflow_meta.backends.local.runs.job_tree import tree_problems
from lakeflow_meta.backends.local.runs.references import RunContext, TaskFacts
from lakeflow_meta.backends.local.runs.repairing import to_repair
from lakeflow_meta.backends.local.runs.task_graph import Dependency, TaskNode
from lakeflow_meta.backends.local.tasks.task_work import UnrunnableTaskError
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.ports import LiveJob, TaskRun
from lakeflow_meta.ports import RunState as S


@pytest.mark.parametrize(
    ("op", "left", "right", "holds"),
    [
        # the examples of jobs/create, condition_task.op
        ("EQUAL_TO", "12.0", "12", False),
        ("GREATER_THAN_OR_EQUAL", "12.0", "12", True),
        ("GREATER_THAN_OR_EQUAL", "10.0", "12", False),
        ("EQUAL_TO", "true", "true", True),
        ("NOT_EQUAL", "a", "A", True),
        ("NOT_EQUAL", "", "", False),
        ("GREATER_THAN", "12", "12.0", False),
        ("LESS_THAN", "9", "10", True),
        ("LESS_THAN", " -1e3 ", "0", True),
        ("LESS_THAN_OR_EQUAL", "0.1", "0.10", True),
        ("GREATER_THAN", "9007199254740993", "9007199254740992", True),
    ],
)
def test_texts_are_compared_as_texts_and_sizes_as_numbers(
    op: str, left: str, right: str, holds: bool
) -> None:
    assert read_condition({"condition_task": {"op": op, "left": left, "right": right}}).holds() is (
        holds
    )


@pytest.mark.parametrize("text", ["", "abc", "NaN", "inf", "1,5", "{{tasks.a.values.n}}"])
def test_what_is_no_number_has_no_size(text: str) -> None:
    with pytest.raises(UnrunnableTaskError, match="compares numbers"):
        Condition(Op.LESS_THAN, text, "1").holds()


@given(st.decimals(allow_nan=False, allow_infinity=False), st.decimals(-1e9, 1e9))
def test_exactly_one_of_less_equal_and_greater_holds(left: Any, right: Any) -> None:
    texts = str(left), str(right)
    less, more = (Condition(op, *texts).holds() for op in (Op.LESS_THAN, Op.GREATER_THAN))
    assert less + more + (left == right) == 1
    assert Condition(Op.LESS_THAN_OR_EQUAL, *texts).holds() is not more


WORK = {"notebook_task": {"notebook_path": "n"}}


@pytest.mark.parametrize(
    ("loop", "told"),
    [
        ({"inputs": "[]"}, "for_each_task.task"),
        ({"inputs": [1], "task": {"task_key": "t", **WORK}}, "for_each_task.inputs"),
        ({"inputs": "[]", "task": {"task_key": "t"}}, "one field of its work"),
        ({"inputs": "[]", "task": WORK}, "task_key"),
        (
            {"inputs": "[]", "task": {"task_key": "t", "for_each_task": {}}},
            "cannot repeat a for_each_task",
        ),
        (
            {"inputs": "[]", "task": {"task_key": "t", "condition_task": {}}},
            "cannot repeat a condition_task",
        ),
        (
            {"inputs": "[]", "task": {"task_key": "t", **WORK, "depends_on": [{"task_key": "a"}]}},
            "no depends_on",
        ),
        (
            {"inputs": "[]", "task": {"task_key": "t", **WORK, "run_if": "ALL_DONE"}},
            "no run_if",
        ),
        ({"inputs": "[]", "task": {"task_key": "t", **WORK}, "concurrency": 101}, "concurrency"),
    ],
)
def test_what_a_loop_cannot_do_is_refused_by_name(loop: dict[str, Any], told: str) -> None:
    with pytest.raises(UnrunnableTaskError, match=told):
        read_for_each({"for_each_task": loop})


def test_a_condition_is_not_tried_again() -> None:
    work = {"op": "EQUAL_TO", "left": "1", "right": "1"}
    assert read_condition({"condition_task": work, "max_retries": 0}).holds()
    with pytest.raises(UnrunnableTaskError, match="max_retries"):
        read_condition({"condition_task": work, "max_retries": 2})


def test_a_run_job_task_takes_job_parameters_and_nothing_older() -> None:
    with pytest.raises(UnrunnableTaskError, match=r"run_job_task\.notebook_params"):
        read_run_job({"run_job_task": {"job_id": 1, "notebook_params": {"a": "b"}}})


NOW = datetime(2026, 1, 1, tzinfo=UTC)
FACTS = TaskFacts(S.SUCCESS, values={"list": ["a", {"b": 1}]}, output={"rows": [{"id": 1}]})
CONTEXT = RunContext(1, "j", 2, NOW, {"csv": '"], ["', "array": '["x"]'}, tasks={"t": FACTS})


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ("[]", []),
        ('[1, "a", {"k": [2]}, null, true]', [1, "a", {"k": [2]}, None, True]),
        ('["{{job.id}}", {"run": "{{job.run_id}}"}]', ["1", {"run": "2"}]),
        ('["{{job.parameters.csv}}"]', ['"], ["']),
        ("{{job.parameters.array}}", ["x"]),
        ("{{tasks.t.values.list}}", ["a", {"b": 1}]),
        ("{{tasks.t.output.rows}}", [{"id": 1}]),
    ],
)
def test_the_elements_of_a_loop(inputs: str, expected: list[Any]) -> None:
    assert inputs_of(ForEach(inputs, {}, 1), CONTEXT) == expected


@pytest.mark.parametrize("inputs", ["", "a,b", '{"a": 1}', "{{job.name}}", '"[1]"', "[1"])
def test_what_is_no_array_has_no_elements(inputs: str) -> None:
    with pytest.raises(UnrunnableTaskError, match="no JSON array"):
        inputs_of(ForEach(inputs, {}, 1), CONTEXT)


# --------------------------------------------------------------------------- jobs that run jobs


def job(job_id: int, *runs: int, **fields: Any) -> LiveJob:
    tasks = [
        {"task_key": f"t{n}", "run_job_task": {"job_id": other}} for n, other in enumerate(runs)
    ]
    return LiveJob(job_id, {"name": f"j{job_id}", "tasks": tasks, **fields})


def problems(*jobs: LiveJob) -> list[str]:
    known = {one.job_id: one for one in jobs}

    def get_job(job_id: int) -> LiveJob:
        if job_id not in known:
            raise NotFoundError("no", code="X")
        return known[job_id]

    return list(tree_problems(jobs[0], get_job))


def test_jobs_that_run_each_other_are_told_as_a_chain() -> None:
    assert problems(job(1, 2), job(2, 3), job(3, 1)) == [
        "jobs run each other without end: j1 -> j2 -> j3 -> j1"
    ]
    assert problems(job(1, 1)) == ["jobs run each other without end: j1 -> j1"]


def test_three_run_job_tasks_may_lie_in_each_other_and_no_more() -> None:
    assert problems(job(1, 2), job(2, 3), job(3, 4), job(4)) == []
    assert problems(job(1, 2), job(2, 3), job(3, 4), job(4, 5), job(5)) == [
        "more than 3 run_job tasks lie in each other: j1 -> j2 -> j3 -> j4 -> j5"
    ]


def test_a_job_may_be_run_in_two_ways_and_its_problems_are_told_once() -> None:
    assert problems(job(1, 2, 3), job(2, 4), job(3, 4), job(4)) == []
    assert problems(job(1, 2, 2), job(2, 9)) == [
        "task 't0' of j1 -> j2 runs job 9, which does not exist"
    ]


def test_parameters_that_the_other_job_does_not_have_are_told() -> None:
    work = {"job_id": 2, "job_parameters": {"dya": "1"}}
    loop = {"inputs": "[1]", "task": {"task_key": "each", "run_job_task": work}}
    outer = LiveJob(1, {"name": "a", "tasks": [{"task_key": "l", "for_each_task": loop}]})
    inner = LiveJob(2, {"name": "b", "parameters": [{"name": "day", "default": ""}]})
    assert problems(outer, inner) == [
        "task 'l': job 'b' has no parameter 'dya'; did you mean 'day'?"
    ]


# --------------------------------------------------------------------------- repair


def test_a_repair_takes_what_failed_or_did_not_run_and_all_behind_it() -> None:
    parents = {"a": "", "b": "a", "c": "b", "d": "", "e": "d", "f": "be", "g": "d"}
    nodes = [TaskNode(k, tuple(map(Dependency, up))) for k, up in parents.items()]
    states = {"a": S.SUCCESS, "b": S.FAILED, "c": S.SUCCESS, "d": S.SUCCESS, "e": S.EXCLUDED}
    states |= {"f": S.UPSTREAM_FAILED, "g": S.DISABLED}
    assert to_repair(nodes, [TaskRun(k, s) for k, s in states.items()]) == {"b", "c", "f"}
    for state in (S.SKIPPED, S.CANCELLED, S.TIMED_OUT, S.QUEUED):
        runs = [TaskRun(k, state if k == "d" else S.SUCCESS) for k in parents]
        assert to_repair(nodes, runs) == {"d", "e", "f", "g"}
