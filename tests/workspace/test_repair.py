"""A repair runs again what failed and what depends on it, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from lakeflow_meta.errors import BackendError, ConflictError, NotFoundError
from lakeflow_meta.ports import RunState as S

Bench = Any  # the class of conftest.py, which tests cannot import


class Flaky:
    """A command that notes its first argument and fails while that is in ``bad``."""

    def __init__(self, *bad: str) -> None:
        self.bad = set(bad)
        self.calls: list[str] = []

    def __call__(self, arguments: list[str]) -> None:
        self.calls.append(arguments[0])
        if arguments[0] in self.bad:
            raise ValueError("not yet")


def task(bench: Bench, key: str, *parents: str, **fields: Any) -> dict[str, Any]:
    return dict(bench.own(key, "flaky", *parents, arguments=[key], **fields))


def test_a_repair_ends_the_run_and_repeats_no_finished_task(bench: Bench) -> None:
    flaky = bench.commands["flaky"] = Flaky("b")
    run = bench.run(
        task(bench, "a"),
        task(bench, "b", "a", max_retries=1),
        task(bench, "c", "b"),
        task(bench, "apart"),
        task(bench, "always", "b", run_if="ALL_DONE"),
        parameters=[{"name": "day", "default": "monday"}],
    )
    assert run.state is S.FAILED
    assert sorted(flaky.calls) == ["a", "always", "apart", "b", "b"]
    flaky.calls.clear()
    bench.workspace.update_job(run.job_id, {"parameters": [], "name": "other"})
    flaky.bad = set()
    bench.workspace.repair_run(run.run_id)
    repaired = bench.workspace.follow_run(run.run_id)
    assert (repaired.run_id, repaired.state, repaired.repair_count) == (run.run_id, S.SUCCESS, 1)
    assert (repaired.job_name, repaired.parameters) == ("job", {"day": "monday"})
    assert repaired.started_at == run.started_at
    assert repaired.repaired_at > run.ended_at
    assert sorted(flaky.calls) == ["always", "b", "c"]
    assert {t.task_key: t.attempt for t in repaired.tasks} == {
        "a": 0,
        "b": 2,
        "c": 0,
        "apart": 0,
        "always": 1,
    }
    assert [t.state for t in bench.workspace.attempts(run.run_id) if t.task_key == "b"] == [
        S.FAILED,
        S.FAILED,
        S.SUCCESS,
    ]
    with pytest.raises(ConflictError, match="nothing to repair"):
        bench.workspace.repair_run(run.run_id)


def test_a_repair_that_fails_can_be_repaired_and_retries_count_anew(bench: Bench) -> None:
    flaky = bench.commands["flaky"] = Flaky("a")
    count = bench.own("a", "flaky", arguments=["a"], max_retries=1)
    run = bench.run(count, bench.own("n", "flaky", "a", arguments=["{{job.repair_count}}"]))
    for expected in (S.FAILED, S.SUCCESS):
        if expected is S.SUCCESS:
            flaky.bad = set()
        bench.workspace.repair_run(run.run_id)
        assert bench.workspace.follow_run(run.run_id).state is expected
    assert flaky.calls == ["a"] * 5 + ["2"]
    run = bench.workspace.get_run(run.run_id)
    assert (run.repair_count, run.tasks[0].attempt) == (2, 4)


def test_what_a_condition_decided_stays_decided(bench: Bench) -> None:
    flaky = bench.commands["flaky"] = Flaky("yes")
    work = {"op": "EQUAL_TO", "left": "1", "right": "1"}
    branches = [
        {**task(bench, key), "depends_on": [{"task_key": "if", "outcome": outcome}]}
        for key, outcome in (("yes", "true"), ("no", "false"))
    ]
    run = bench.run({"task_key": "if", "condition_task": work}, *branches, task(bench, "z", "yes"))
    flaky.bad = set()
    bench.workspace.repair_run(run.run_id)
    run = bench.workspace.follow_run(run.run_id)
    assert [t.state for t in run.tasks] == [S.SUCCESS, S.SUCCESS, S.EXCLUDED, S.SUCCESS]
    assert flaky.calls == ["yes", "yes", "z"]


def test_a_run_that_goes_on_or_a_job_that_is_busy_is_not_repaired(bench: Bench) -> None:
    flaky = bench.commands["flaky"] = Flaky("a")
    failed = bench.run(task(bench, "a"))
    hold = threading.Event()
    bench.commands["flaky"] = lambda _: hold.wait(5)
    active = bench.workspace.run_job(failed.job_id, {})
    with pytest.raises(ConflictError, match="is under way"):
        bench.workspace.repair_run(active)
    with pytest.raises(ConflictError, match=f"run {active} is under way"):
        bench.workspace.repair_run(failed.run_id)
    assert bench.workspace.get_run(failed.run_id) == failed
    hold.set()
    bench.workspace.follow_run(active)
    bench.commands["flaky"] = flaky
    with pytest.raises(NotFoundError):
        bench.workspace.repair_run(1)


def test_a_repair_that_cannot_run_changes_nothing(bench: Bench) -> None:
    run = bench.run(bench.program("p", "raise SystemExit(1)"), bench.program("q", "", "p"))
    (bench.project / "p.py").unlink()
    with pytest.raises(BackendError, match=r"p\.py"):
        bench.workspace.repair_run(run.run_id)
    assert bench.workspace.get_run(run.run_id) == run


def test_only_one_of_many_repairs_at_once_happens(make_bench: Callable[..., Bench]) -> None:
    first, second = make_bench(), make_bench()
    flaky = Flaky("a")
    first.commands["flaky"] = second.commands["flaky"] = flaky
    run = first.run(task(first, "a"))
    flaky.bad = set()
    done: list[object] = []

    def repair(bench: Bench) -> None:
        try:
            done.append(bench.workspace.repair_run(run.run_id))
        except ConflictError as error:
            done.append(error)

    threads = [threading.Thread(target=repair, args=(b,)) for b in (first, second) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert first.workspace.follow_run(run.run_id).repair_count == 1
    assert (done.count(None), flaky.calls) == (1, ["a", "a"])
