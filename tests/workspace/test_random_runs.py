"""Graphs made by dice, with failures, cancels and repairs: every run comes to an end.

The dice are fixed by a seed, which is printed; what runs at the same time is not.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from lakeflow_meta.errors import ConflictError
from lakeflow_meta.ports import JobRun
from lakeflow_meta.ports import RunState as S

Bench = Any  # the class of conftest.py, which tests cannot import
SEED = 9
ROUNDS = 25
CONDITIONS = [
    *["ALL_SUCCESS"] * 5,
    "ALL_DONE",
    "NONE_FAILED",
    "AT_LEAST_ONE_SUCCESS",
    "ALL_FAILED",
    "AT_LEAST_ONE_FAILED",
]


class World:
    """A workspace whose tasks fail by chance, until they are mended."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench = bench
        self.dice = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self.is_mended = False
        self._lock = threading.Lock()
        bench.commands["work"] = self._work
        inner = [self._plain("a"), self._plain("b", "a")]
        self.inner = bench.workspace.create_job(
            {"name": "inner", "max_concurrent_runs": 50, "tasks": inner}
        )

    def _work(self, arguments: list[str]) -> None:
        with self._lock:
            seconds, bad = self.dice.random() * 0.004, self.dice.random() < 0.15
        time.sleep(seconds)
        if bad and not self.is_mended:
            raise ValueError("by chance")

    def _plain(self, key: str, *parents: str) -> dict[str, Any]:
        retries = self.dice.randint(0, 1)
        return dict(self.bench.own(key, "work", *parents, max_retries=retries))

    def graph(self) -> list[dict[str, Any]]:
        tasks: list[dict[str, Any]] = []
        for number in range(self.dice.randint(1, 12)):
            parents = [task for task in tasks if self.dice.random() < 0.3]
            task = self._task(f"t{number}")
            task["depends_on"] = [self._edge(parent) for parent in parents]
            if parents:
                task["run_if"] = self.dice.choice(CONDITIONS)
            tasks.append(task)
        return tasks

    def _edge(self, parent: dict[str, Any]) -> dict[str, str]:
        edge = {"task_key": parent["task_key"]}
        if "condition_task" in parent and self.dice.random() < 0.7:
            edge["outcome"] = self.dice.choice(["true", "false"])
        return edge

    def _task(self, key: str) -> dict[str, Any]:
        match self.dice.choice("pppfcr"):
            case "f":
                inputs = json.dumps(list(range(self.dice.randint(0, 6))))
                each = {**self._plain("each"), "depends_on": []}
                work = {"inputs": inputs, "task": each, "concurrency": self.dice.randint(1, 3)}
                retries = self.dice.randint(0, 1)
                return {"task_key": key, "for_each_task": work, "max_retries": retries}
            case "c":
                left = str(self.dice.randint(0, 1))
                work = {"op": "LESS_THAN", "left": left, "right": "1"}
                return {"task_key": key, "condition_task": work}
            case "r":
                return {"task_key": key, "run_job_task": {"job_id": self.inner}}
        return self._plain(key)


def check_that_all_has_ended(run: JobRun) -> None:
    for task in run.tasks:
        assert all(step.state.ended for step in (task, *task.iterations)), run


def test_every_run_ends_and_every_repair_ends_well(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(max_parallel=6)
    world, workspace = World(bench, SEED), bench.workspace
    sys.stdout.write(f"seed {SEED}\n")
    ended: list[S] = []
    for _ in range(ROUNDS):
        world.is_mended = False
        queue = {"max_concurrent_runs": 3, "queue": {"enabled": True}}
        job_id = workspace.create_job({"tasks": world.graph(), **queue})
        ids = [workspace.run_job(job_id, {}) for _ in range(world.dice.randint(1, 5))]
        time.sleep(world.dice.random() * 0.02)
        for run_id in ids:
            if world.dice.random() < 0.3:
                workspace.cancel_run(run_id)
        runs = [workspace.follow_run(run_id) for run_id in ids]
        ended += [run.state for run in runs]
        world.is_mended = True
        for run in runs:
            check_that_all_has_ended(run)
            if run.state is S.SUCCESS:
                with pytest.raises(ConflictError, match="nothing to repair"):
                    workspace.repair_run(run.run_id)
                continue
            workspace.repair_run(run.run_id)
            repaired = workspace.follow_run(run.run_id)
            check_that_all_has_ended(repaired)
            assert repaired.state is S.SUCCESS
    assert {S.SUCCESS, S.FAILED, S.CANCELLED} <= set(ended)
    barrier = threading.Barrier(6, timeout=5)
    bench.commands["meet"] = lambda _: barrier.wait()
    all_slots = [bench.own(f"t{number}", "meet") for number in range(6)]
    assert bench.run(*all_slots).state is S.SUCCESS
