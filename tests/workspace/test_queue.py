"""Runs that wait for others of their job; why a run started; runs that are started once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from lakeflow_meta.errors import ConflictError, NotFoundError
from lakeflow_meta.ports import BY_HAND, Trigger, TriggerKind
from lakeflow_meta.ports import RunState as S

Bench = Any  # the class of conftest.py, which tests cannot import
QUEUE = {"queue": {"enabled": True}}


class Gate:
    """A command that notes when it starts, and ends when it is let."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.open = threading.Event()

    def __call__(self, arguments: list[str]) -> None:
        self.started.append(arguments[0])
        while not self.open.wait(0.005):
            pass


def job(bench: Bench, gate: Gate, **fields: Any) -> int:
    bench.commands["gate"] = gate
    task = bench.own("a", "gate", arguments=["{{job.run_id}}"])
    return int(bench.workspace.create_job({"name": "j", "tasks": [task], **fields}))


def until(met: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not met():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_run_of_a_job_with_a_queue_waits_for_its_turn(bench: Bench) -> None:
    gate, workspace = Gate(), bench.workspace
    job_id = job(bench, gate, **QUEUE, max_concurrent_runs=2)
    ids = [workspace.run_job(job_id, {}) for _ in range(4)]
    until(lambda: len(gate.started) == 2)
    assert [workspace.get_run(i).state for i in ids] == [S.RUNNING, S.RUNNING, S.QUEUED, S.QUEUED]
    waiting = workspace.get_run(ids[2])
    assert (waiting.queued_at, waiting.tasks[0].state) == (waiting.started_at, S.QUEUED)
    gate.open.set()
    runs = [workspace.follow_run(run_id) for run_id in ids]
    assert [run.state for run in runs] == [S.SUCCESS] * 4
    assert sorted(gate.started[2:]) == [str(run_id) for run_id in ids[2:]]
    assert runs[0].queued_at is None
    assert runs[2].queued_at < runs[2].started_at
    told = [(event.state, event.detail) for event in bench.events if event.step == "wait"]
    assert sorted(told[:2]) == [
        ("started", f"run {run_id} is in the queue: as many run as the job allows at once")
        for run_id in sorted(ids[2:])
    ]
    assert told[2:] == [("done", "")] * 2


def test_without_a_queue_or_room_a_run_is_refused(bench: Bench) -> None:
    gate = Gate()
    plain = job(bench, gate)
    none = job(bench, gate, **QUEUE, max_concurrent_runs=0)
    first = bench.workspace.run_job(plain, {})
    for job_id, told in ((plain, f"run {first} is under way"), (none, "it allows none")):
        with pytest.raises(ConflictError, match=told):
            bench.workspace.run_job(job_id, {})
    gate.open.set()


@pytest.mark.parametrize("run_id", [1, 10**30])
def test_a_run_that_is_not_there_cannot_be_cancelled(bench: Bench, run_id: int) -> None:
    with pytest.raises(NotFoundError, match=f"run {run_id} does not exist"):
        bench.workspace.cancel_run(run_id)


def test_a_queued_run_can_be_cancelled_and_lets_the_next_one_go(bench: Bench) -> None:
    gate, workspace = Gate(), bench.workspace
    job_id = job(bench, gate, **QUEUE)
    first, second, third = (workspace.run_job(job_id, {}) for _ in range(3))
    workspace.cancel_run(second)
    run = workspace.follow_run(second)
    assert (run.state, run.error) == (S.CANCELLED, "the run was cancelled")
    assert run.tasks[0].state is S.SKIPPED
    gate.open.set()
    assert [workspace.follow_run(i).state for i in (first, third)] == [S.SUCCESS] * 2
    assert gate.started == [str(first), str(third)]
    ended = [(event.state, event.detail) for event in bench.events if event.step == "wait"]
    assert ("skipped", "the run was cancelled") in ended


def test_closing_the_workspace_leaves_no_queued_run_behind(
    make_bench: Callable[..., Bench],
) -> None:
    bench, gate = make_bench(), Gate()
    job_id = job(bench, gate, **QUEUE)
    ids = [bench.workspace.run_job(job_id, {}) for _ in range(3)]
    bench.workspace.close()
    assert {make_bench().workspace.get_run(i).state for i in ids} == {S.CANCELLED}


def test_a_run_that_waited_two_days_is_given_up(make_bench: Callable[..., Bench]) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    bench, gate = make_bench(clock=lambda: now[0]), Gate()
    job_id = job(bench, gate, **QUEUE)
    bench.workspace.run_job(job_id, {})
    second = bench.workspace.run_job(job_id, {})
    now[0] = datetime(2026, 1, 3, 0, 0, 1, tzinfo=UTC)
    run = bench.workspace.follow_run(second)
    assert (run.state, run.error) == (S.SKIPPED, "it waited too long in the queue")
    gate.open.set()


def test_why_a_run_started_is_kept_and_can_be_referred_to(bench: Bench) -> None:
    seen: list[str] = []
    bench.commands["see"] = seen.extend
    arguments = ["{{job.trigger.type}}", "{{job.trigger.time.iso_datetime}}"]
    job_id = bench.workspace.create_job({"tasks": [bench.own("a", "see", arguments=arguments)]})
    due = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    run_id = bench.workspace.run_job(job_id, {}, Trigger(TriggerKind.PERIODIC, due, {"n": "1"}))
    assert bench.workspace.follow_run(run_id).trigger == Trigger(
        TriggerKind.PERIODIC, due, {"n": "1"}
    )
    assert seen == ["periodic", "2026-03-29T01:00:00"]
    by_hand = bench.workspace.follow_run(bench.workspace.run_job(job_id, {}))
    assert (by_hand.trigger, seen[2]) == (Trigger(), "one_time")


def test_one_token_starts_one_run_of_a_job(bench: Bench) -> None:
    calls: list[str] = []
    bench.commands["note"] = calls.extend
    task = bench.own("a", "note", arguments=["x"])
    one, two = (bench.workspace.create_job({"tasks": [task]}) for _ in range(2))
    first = bench.workspace.run_job(one, {}, BY_HAND, "2026-01-01T00:00")
    bench.workspace.follow_run(first)
    assert bench.workspace.run_job(one, {}, BY_HAND, "2026-01-01T00:00") == first
    others = [bench.workspace.run_job(two, {}, BY_HAND, "2026-01-01T00:00")]
    others.append(bench.workspace.run_job(one, {}, BY_HAND, "2026-01-02T00:00"))
    for run_id in others:
        bench.workspace.follow_run(run_id)
    assert len({first, *others}) == 3
    assert calls == ["x"] * 3
