"""condition, for_each and run_job tasks, and task values, in whole runs."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from lakeflow_meta.backends.local.runs.value_store import RunValues, ValueStore
from lakeflow_meta.backends.local.tasks.task_context import MAX_VALUE_BYTES, TaskOutput
from lakeflow_meta.backends.local.tasks.task_runners import TaskRunners
from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.ports import RunState as S
from lakeflow_meta.ports import TriggerKind

Bench = Any  # the class of conftest.py, which tests cannot import
Crowd = Any


class Seen:
    """A command that notes its arguments, and fails for those that it is told to."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.bad: set[str] = set()

    def __call__(self, arguments: list[str]) -> None:
        self.calls.append(arguments)
        sys.stdout.write(f"saw {arguments}\n")
        if self.bad & set(arguments):
            raise ValueError(f"bad {arguments[0]}")


@pytest.fixture
def seen(bench: Bench) -> Seen:
    found = bench.commands["see"] = Seen()
    return found


def loop(bench: Bench, key: str, inputs: str, *parents: str, **options: Any) -> dict[str, Any]:
    arguments = options.pop("arguments", ["{{input}}"])
    inner = bench.own(f"{key}_each", options.pop("command", "see"), arguments=arguments)
    inner = {**inner, **options.pop("inner", {}), "depends_on": []}
    work = {"inputs": inputs, "task": inner, "concurrency": options.pop("concurrency", 1)}
    edges = [{"task_key": parent} for parent in parents]
    return {"task_key": key, "for_each_task": work, "depends_on": edges, **options}


def condition(key: str, op: str, left: str, right: str, *parents: str) -> dict[str, Any]:
    work = {"op": op, "left": left, "right": right}
    return {
        "task_key": key,
        "condition_task": work,
        "depends_on": [{"task_key": parent} for parent in parents],
    }


def branch(bench: Bench, key: str, of: str, outcome: str, **fields: Any) -> dict[str, Any]:
    edges = [{"task_key": of, "outcome": outcome}]
    return {**bench.own(key, "see", arguments=[key]), "depends_on": edges, **fields}


def values(bench: Bench, run_id: int, key: str) -> RunValues:
    return RunValues(ValueStore(bench.workspace._database), run_id, key)


# --------------------------------------------------------------------------- condition


def test_a_condition_lets_one_branch_run_and_excludes_the_other(bench: Bench, seen: Seen) -> None:
    run = bench.run(
        bench.own("first"),
        condition("choice", "EQUAL_TO", "{{tasks.first.result_state}}", "success", "first"),
        branch(bench, "yes", "choice", "true"),
        branch(bench, "no", "choice", "false"),
        bench.own("after_no", "see", "no", arguments=["after_no"]),
        bench.own("join", "see", "yes", "no", arguments=["join"]),
    )
    assert run.state is S.SUCCESS
    assert seen.calls == [["yes"], ["join"]]
    states = bench.states(run)
    assert (states["no"], states["after_no"]) == (S.EXCLUDED, S.EXCLUDED)
    assert [task.outcome for task in run.tasks][:3] == ["", "true", ""]


def test_a_condition_that_cannot_be_told_fails_and_so_do_both_branches(
    bench: Bench, seen: Seen
) -> None:
    run = bench.run(
        bench.own("first"),
        condition("choice", "GREATER_THAN", "{{tasks.first.values.n}}", "1", "first"),
        branch(bench, "yes", "choice", "true"),
        branch(bench, "no", "choice", "false"),
    )
    assert [t.state for t in run.tasks][1:] == [S.FAILED, S.UPSTREAM_FAILED, S.UPSTREAM_FAILED]
    assert "has set no task value 'n'" in run.tasks[1].error
    assert seen.calls == []


# --------------------------------------------------------------------------- for_each


def test_a_loop_runs_its_task_for_each_element_and_records_each(bench: Bench, seen: Seen) -> None:
    arguments = ["{{input.name}}", "{{task.name}}", "{{job.parameters.day}}"]
    run_id = bench.start(
        loop(bench, "all", '[{"name": "a"}, {"name": "b"}]', arguments=arguments),
        bench.own("after", "see", "all", arguments=["after"]),
        parameters=[{"name": "day", "default": "monday"}],
    )
    run = bench.workspace.follow_run(run_id)
    assert run.state is S.SUCCESS
    assert seen.calls == [["a", "all_each", "monday"], ["b", "all_each", "monday"], ["after"]]
    (task, _) = run.tasks
    assert (task.state, task.log_path) == (S.SUCCESS, None)
    assert [(i.label, i.state, i.input) for i in task.iterations] == [
        ("all[0]", S.SUCCESS, '{"name": "a"}'),
        ("all[1]", S.SUCCESS, '{"name": "b"}'),
    ]
    assert bench.workspace.task_log(run_id, "all[1]") == "saw ['b', 'all_each', 'monday']\n"
    with pytest.raises(NotFoundError, match=r"ask for all\[0\]"):
        bench.workspace.task_log(run_id, "all")
    with pytest.raises(NotFoundError, match="did you mean 'after'"):
        bench.workspace.task_log(run_id, "afetr")
    with pytest.raises(NotFoundError, match="has no attempt 3; it has 0"):
        bench.workspace.task_log(run_id, "after", 3)


def test_no_more_iterations_run_at_once_than_the_loop_allows(
    make_bench: Callable[..., Bench], crowd: Crowd
) -> None:
    bench = make_bench(max_parallel=8)
    bench.commands["count"] = crowd
    run = bench.run(loop(bench, "l", "[1,2,3,4,5,6,7,8]", command="count", concurrency=3))
    assert (run.state, crowd.most) == (S.SUCCESS, 3)


def test_a_failed_iteration_fails_the_loop_after_the_others(bench: Bench, seen: Seen) -> None:
    seen.bad = {"2", "4"}
    run = bench.run(
        loop(bench, "l", "[1, 2, 3, 4, 5]", inner={"max_retries": 1}),
        bench.own("after", "see", "l", arguments=["after"]),
    )
    assert bench.states(run) == {"l": S.FAILED, "after": S.UPSTREAM_FAILED}
    assert sorted(seen.calls) == [["1"], ["2"], ["2"], ["3"], ["4"], ["4"], ["5"]]
    assert run.tasks[0].error == "2 of 5 iterations failed; l[1]: ValueError: bad 2"
    assert [i.attempt for i in run.tasks[0].iterations] == [0, 1, 0, 1, 0]
    attempts = [t for t in bench.workspace.attempts(run.run_id) if t.label == "l[3]"]
    assert [(t.attempt, t.state) for t in attempts] == [(0, S.FAILED), (1, S.FAILED)]
    assert bench.workspace.task_log(run.run_id, "l[3]", 0).startswith("saw ['4']")


def test_a_loop_that_is_tried_again_repeats_only_what_failed(bench: Bench, seen: Seen) -> None:
    seen.bad = {"2"}
    run = bench.run(loop(bench, "l", "[1, 2, 3]", max_retries=1))
    assert seen.calls == [["1"], ["2"], ["3"], ["2"]]
    assert (run.tasks[0].attempt, run.tasks[0].state) == (1, S.FAILED)


def test_a_loop_over_nothing_is_a_success(bench: Bench, seen: Seen) -> None:
    run = bench.run(loop(bench, "l", "[]"), bench.own("after", "see", "l", arguments=["after"]))
    assert (run.state, seen.calls, run.tasks[0].iterations) == (S.SUCCESS, [["after"]], ())


def test_a_loop_whose_inputs_are_no_array_when_it_starts_fails(bench: Bench, seen: Seen) -> None:
    run_id = bench.start(
        bench.own("a", "put"),
        loop(bench, "l", "{{tasks.a.values.list}}", "a"),
        bench.own("z", "see", "l", run_if="ALL_DONE", arguments=["z"]),
    )
    run = bench.workspace.follow_run(run_id)
    assert (run.tasks[1].state, run.state) == (S.UPSTREAM_FAILED, S.SUCCESS_WITH_FAILURES)
    bench.commands["put"] = lambda _: values(bench, run_id, "a").put("list", {"no": "array"})
    bench.workspace.repair_run(run_id)
    run = bench.workspace.follow_run(run_id)
    assert run.tasks[1].error == 'for_each_task.inputs is no JSON array: {"no": "array"}'
    values(bench, run_id, "a").put("list", [7])
    bench.workspace.repair_run(run_id)
    assert bench.workspace.follow_run(run_id).state is S.SUCCESS
    assert seen.calls == [["z"], ["z"], ["7"], ["z"]]


def test_a_loop_that_takes_too_long_stops_its_iterations_and_drops_the_rest(bench: Bench) -> None:
    release = threading.Event()

    def block(arguments: list[str]) -> None:
        while not release.wait(0.01):
            pass

    bench.commands["block"] = block
    run = bench.run(
        loop(bench, "l", "[1, 2, 3]", command="block", concurrency=2, timeout_seconds=1)
    )
    assert (run.tasks[0].state, run.tasks[0].error) == (S.TIMED_OUT, "stopped after 1 s")
    assert [i.state for i in run.tasks[0].iterations] == [S.TIMED_OUT, S.TIMED_OUT, S.SKIPPED]


def test_a_cancelled_run_cancels_its_loops_and_the_runs_it_started(bench: Bench) -> None:
    started = threading.Semaphore(0)

    def block(arguments: list[str]) -> None:
        started.release()
        while True:
            time.sleep(0.01)

    bench.commands["block"] = block
    child = bench.workspace.create_job({"name": "child", "tasks": [bench.own("c", "block")]})
    run_id = bench.start(
        loop(bench, "l", "[1, 2, 3]", command="block"),
        {"task_key": "r", "run_job_task": {"job_id": child}},
    )
    for _ in range(2):
        assert started.acquire(timeout=5)
    bench.workspace.cancel_run(run_id)
    run = bench.workspace.follow_run(run_id)
    assert bench.states(run) == {"l": S.CANCELLED, "r": S.CANCELLED}
    assert [i.state for i in run.tasks[0].iterations] == [S.CANCELLED] * 3
    (child_run,) = bench.workspace.list_runs(child)
    assert child_run.state is S.CANCELLED


# --------------------------------------------------------------------------- run_job


def test_a_run_job_task_runs_the_other_job_with_its_parameters(bench: Bench, seen: Seen) -> None:
    child = bench.workspace.create_job(
        {
            "name": "child",
            "parameters": [{"name": "day", "default": "x"}, {"name": "area", "default": "all"}],
            "tasks": [
                bench.own(
                    "c",
                    "see",
                    arguments=["{{job.parameters.day}}", "{{job.parameters.area}}"],
                )
            ],
        }
    )
    work = {"job_id": child, "job_parameters": {"day": "{{job.run_id}}"}}
    run = bench.run({"task_key": "r", "run_job_task": work}, bench.own("z", "ok", "r"))
    assert (run.state, seen.calls) == (S.SUCCESS, [[str(run.run_id), "all"]])
    (child_run,) = bench.workspace.list_runs(child)
    assert run.tasks[0].child_run_id == child_run.run_id
    assert (child_run.parent_run_id, child_run.trigger.kind) == (run.run_id, TriggerKind.RUN_JOB)
    assert str(child_run.run_id) in bench.workspace.task_log(run.run_id, "r")
    assert [e.key for e in bench.events if "/" in e.key] == ["r/c", "r/c"]


def test_the_failure_of_the_other_job_is_that_of_the_task_and_a_repair_goes_on_in_it(
    bench: Bench, seen: Seen
) -> None:
    seen.bad = {"second"}
    child = bench.workspace.create_job(
        {
            "name": "child",
            "tasks": [
                bench.own("one", "see", arguments=["first"]),
                bench.own("two", "see", "one", arguments=["second"]),
            ],
        }
    )
    run = bench.run({"task_key": "r", "run_job_task": {"job_id": child}})
    child_id = run.tasks[0].child_run_id
    assert run.state is S.FAILED
    assert run.tasks[0].error == (
        f"run {child_id} of job 'child' is failed; task two: ValueError: bad second"
    )
    seen.bad = set()
    bench.workspace.repair_run(run.run_id)
    assert bench.workspace.follow_run(run.run_id).state is S.SUCCESS
    assert seen.calls == [["first"], ["second"], ["second"]]
    (child_run,) = bench.workspace.list_runs(child)
    assert (child_run.run_id, child_run.repair_count) == (child_id, 1)


def test_runs_of_other_jobs_take_no_slot_from_the_tasks_they_wait_for(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(max_parallel=1)
    inner = bench.workspace.create_job({"name": "i", "tasks": [bench.own("a")]})
    nested = {"task_key": "r", "run_job_task": {"job_id": inner}}
    outer = bench.workspace.create_job({"name": "o", "tasks": [nested], "max_concurrent_runs": 3})
    bench.workspace.update_job(inner, {"max_concurrent_runs": 3})
    work = {"task_key": "each", "run_job_task": {"job_id": outer}}
    inputs = {"inputs": "[1, 2, 3]", "task": work, "concurrency": 3}
    assert bench.run({"task_key": "l", "for_each_task": inputs}).state is S.SUCCESS
    assert len(bench.workspace.list_runs(inner)) == 3
    assert {e.key for e in bench.events if e.part_of == "i"} == {f"l[{n}]/r/a" for n in range(3)}


def test_jobs_in_a_circle_are_refused_before_anything_starts(bench: Bench) -> None:
    first = bench.workspace.create_job({"name": "a"})
    second = bench.workspace.create_job(
        {"name": "b", "tasks": [{"task_key": "r", "run_job_task": {"job_id": first}}]}
    )
    circle = {"task_key": "r", "run_job_task": {"job_id": second}}
    bench.workspace.update_job(first, {"tasks": [circle]})
    with pytest.raises(BackendError, match="a -> b -> a"):
        bench.workspace.run_job(first, {})
    assert bench.workspace.list_runs() == []


def test_a_run_job_task_that_takes_too_long_cancels_the_run_that_it_started(bench: Bench) -> None:
    def block(arguments: list[str]) -> None:
        while True:
            time.sleep(0.01)

    bench.commands["block"] = block
    child = bench.workspace.create_job({"name": "child", "tasks": [bench.own("c", "block")]})
    work = {"task_key": "r", "run_job_task": {"job_id": child}, "timeout_seconds": 1}
    run = bench.run({**work, "max_retries": 1, "retry_on_timeout": True})
    assert (run.tasks[0].state, run.tasks[0].attempt) == (S.TIMED_OUT, 1)
    assert [r.state for r in bench.workspace.list_runs(child)] == [S.CANCELLED] * 2


# --------------------------------------------------------------------------- what tasks leave


def test_the_rows_of_a_task_reach_those_behind_it_and_survive_a_repair(
    bench: Bench, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_work = TaskRunners.run
    rows: list[dict[str, Any]] = [{"id": 1, "name": "x"}, {"id": 2, "name": "y" * 100}]

    def with_rows(self: TaskRunners, *given: Any) -> TaskOutput | None:
        run_work(self, *given)
        return TaskOutput({"rows": rows}) if given[2].task_key == "query" else None

    monkeypatch.setattr(TaskRunners, "run", with_rows)
    seen.bad = {"2"}
    tasks = (
        bench.own("query"),
        bench.own("first", "see", "query", arguments=["{{tasks.query.output.first_row.name}}"]),
        loop(bench, "l", "{{tasks.query.output.rows}}", "query", arguments=["{{input.id}}"]),
    )
    run = bench.run(*tasks)
    assert sorted(seen.calls) == [["1"], ["2"], ["x"]]
    seen.bad = set()
    bench.workspace.repair_run(run.run_id)
    assert bench.workspace.follow_run(run.run_id).state is S.SUCCESS
    assert seen.calls[3:] == [["2"]]
    rows *= 500  # more than is kept
    run = bench.run(*tasks)
    assert bench.states(run) == {"query": S.SUCCESS, "first": S.FAILED, "l": S.FAILED}
    assert "'query' (success) gave nothing back" in run.tasks[2].error


# --------------------------------------------------------------------------- task values


def test_values_of_a_task_reach_those_behind_it(bench: Bench, seen: Seen) -> None:
    running: list[int] = []
    bench.commands["put"] = lambda arguments: values(bench, running[0], "a").put(
        arguments[0], {"n": [1, True, None]} if arguments[0] == "deep" else "plain"
    )
    hold = threading.Event()
    bench.commands["hold"] = lambda _: hold.wait(5)
    run_id = bench.start(
        bench.own("h", "hold"),
        bench.own("a", "put", "h", arguments=["deep"]),
        bench.own("b", "put", "a", arguments=["text"]),
        bench.own(
            "c", "see", "b", arguments=["{{tasks.a.values.deep}}", "{{tasks.a.values.text}}"]
        ),
        bench.own("d", "see", "b", arguments=["{{tasks.a.values.txet}}"], max_retries=1),
    )
    running.append(run_id)
    hold.set()
    run = bench.workspace.follow_run(run_id)
    assert seen.calls == [['{"n": [1, true, null]}', "plain"]]
    assert (run.tasks[4].state, run.tasks[4].attempt) == (S.FAILED, 1)
    assert run.tasks[4].error == (
        "{{tasks.a.values.txet}}: task 'a' (success) has set no task value 'txet';"
        " it set: deep, text"
    )


def test_a_value_is_json_of_at_most_48_kib_and_a_missing_one_is_not_found(bench: Bench) -> None:
    run = bench.run(bench.own("a"))
    mine = values(bench, run.run_id, "a")
    mine.put("most", "x" * (MAX_VALUE_BYTES - 2))
    mine.put("most", "y" * (MAX_VALUE_BYTES - 2))
    assert mine.get("a", "most")[0] == "y"
    for wrong in ("x" * (MAX_VALUE_BYTES - 1), "ä" * (MAX_VALUE_BYTES // 2), {1, 2}, float("nan")):
        with pytest.raises(BackendError, match="task value 'w' of 'a'"):
            mine.put("w", wrong)
    with pytest.raises(NotFoundError, match="no task value 'w'; it set most"):
        mine.get("a", "w")
    with pytest.raises(NotFoundError, match="it set none"):
        mine.get("b", "w")
    for number in range(249):
        mine.put(f"k{number}", number)
    with pytest.raises(BackendError, match="250 task values already"):
        mine.put("one_more", 1)


def test_references_that_cannot_be_met_are_told_before_the_run(bench: Bench) -> None:
    tasks = [
        bench.own("a", arguments=["{{tasks.b.values.x}}"]),
        bench.own("b", arguments=["{{tasks.b.values.x}}"]),
        bench.own("c", "ok", "b", arguments=["{{tasks.bb.output.rows}}"]),
        loop(bench, "l", "{{tasks.c.values.list}}"),
        loop(bench, "m", "[1, 2", arguments=["{{tasks.a.values.x}}"]),
        condition("n", "LESS_THAN", "x", "1"),
        {"task_key": "r", "run_job_task": {"job_id": 77}},
    ]
    with pytest.raises(BackendError) as refused:
        bench.run(*tasks)
    lines = [line.strip() for line in str(refused.value).splitlines()[1:]]
    assert lines == [
        "task 'r' of job runs job 77, which does not exist",
        "task 'a': {{tasks.b.values.x}} names task 'b', which this task does not depend on",
        "task 'b': {{tasks.b.values.x}} names task 'b', which this task does not depend on",
        (
            "task 'c': {{tasks.bb.output.rows}} names task 'bb', which this job does not have;"
            " did you mean 'b'?"
        ),
        "task 'l': {{tasks.c.values.list}} names task 'c', which this task does not depend on",
        "task 'm': for_each_task.inputs is no JSON array: [1, 2",
        "task 'n': LESS_THAN compares numbers, and 'x' is none",
    ]
