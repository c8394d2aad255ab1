"""The process that runs jobs of the embedded workspace is killed at random moments of its runs."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import workspace_victim as victim

from lakeflow_meta.backends.local.jobs.workspace import LocalWorkspace
from lakeflow_meta.ports import JobRun, TaskRun
from lakeflow_meta.ports import RunState as S

RUNS = 100
MOST_ROUNDS = 400
"""Each starts up to two runs, so that one of them is queued while the other is under way."""
SEED = 20261121


class Killer:
    """Lets victims live for so long, one after another."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def victim_lives(self, seconds: float, repaired: int = 0) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{seconds} {repaired}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


@contextmanager
def killer(home: Path, job_id: int) -> Iterator[Killer]:
    command = [sys.executable, str(Path(victim.__file__)), str(home), str(job_id)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    with process:
        yield Killer(process)


def family(workspace: LocalWorkspace, run: JobRun) -> list[JobRun]:
    """A run and those that its tasks have started."""
    children = [task.child_run_id for task in run.tasks if task.child_run_id is not None]
    return [run, *(workspace.get_run(child) for child in children)]


def finished(workspace: LocalWorkspace, run: JobRun) -> set[tuple[str, str]]:
    """The steps that are recorded as done."""
    return {
        (str(one.run_id), task.label)
        for one in family(workspace, run)
        for task in workspace.attempts(one.run_id)
        if task.state is S.SUCCESS
    }


def begun(attempts: list[TaskRun], label: str) -> int:
    return sum(task.label == label and task.started_at is not None for task in attempts)


def test_runs_that_are_killed_end_and_their_repair_repeats_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with victim.opened(home) as workspace:
        job_id = victim.make_jobs(workspace)
    dice = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    states: list[S] = []
    repaired: list[int] = []
    with killer(home, job_id) as killing:
        whole = killing.victim_lives(-1)
        for number in range(MOST_ROUNDS):
            if len(states) >= RUNS:
                break
            seconds = dice.uniform(0.0, whole)
            sys.stdout.write(f"seed {SEED}, round {number}: killed after {seconds:.4f} s\n")
            killing.victim_lives(seconds)
            with victim.opened(home) as workspace:
                runs = [r for r in workspace.list_runs(limit=1000) if r.job_id == job_id]
                assert all(r.state.ended for r in workspace.list_runs(limit=1000))
                for run in runs[: len(runs) - 2 - len(states)]:
                    states.append(run.state)
                    if run.state is not S.SUCCESS:
                        again = dice.uniform(0.0, whole / 2) if dice.random() < 0.5 else None
                        repaired.append(mend(workspace, home, run.run_id, killing, again))
    assert len(states) >= RUNS
    assert {S.SUCCESS, S.FAILED} <= set(states)
    assert len(repaired) >= RUNS // 4
    assert {1, 2} <= set(repaired)


def mend(
    workspace: LocalWorkspace, home: Path, run_id: int, killing: Killer, killed: float | None
) -> int:
    """Repair a run to its end, perhaps killed once on the way; how many repairs that took."""
    while (run := workspace.get_run(run_id)).state is not S.SUCCESS:
        assert all(task.state.ended for one in family(workspace, run) for task in one.tasks)
        done, before = finished(workspace, run), victim.executions(home)
        if killed is not None:
            sys.stdout.write(f"  the repair is killed after {killed:.4f} s\n")
            killing.victim_lives(killed, run_id)
            killed = None
        else:
            workspace.repair_run(run_id)
            assert workspace.follow_run(run_id).state is S.SUCCESS
        after = victim.executions(home)
        for step in done:
            assert after.get(step) == before.get(step), f"{step} was done and ran again"
        check_that_all_is_recorded(workspace, run_id, after)
    return run.repair_count


def check_that_all_is_recorded(
    workspace: LocalWorkspace, run_id: int, executions: dict[tuple[str, str], int]
) -> None:
    for one in family(workspace, workspace.get_run(run_id)):
        attempts = workspace.attempts(one.run_id)
        for (key, label), count in executions.items():
            if key == str(one.run_id):
                assert count <= begun(attempts, label), f"{label} ran without being recorded"
