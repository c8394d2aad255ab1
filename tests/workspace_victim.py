"""A workspace whose runs are killed: the jobs, and the process that dies.

Run as a program it opens nothing itself: for each line on its input, ``SECONDS RUN_ID``, it forks
a process that runs the job twice, or repairs the run if its id is not 0, and kills it with SIGKILL
when the time is over (a negative number lets it end). So each victim is a real process, and costs
no start of Python. It answers with the seconds that the victim lived.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from lakeflow_meta.backends.local.jobs.workspace import LocalWorkspace
from lakeflow_meta.backends.local.runs import local_runs  # noqa: F401 (no victim imports it anew)
from lakeflow_meta.backends.local.tasks import dbutils, task_runners  # noqa: F401 (nor these)

STEPS = "steps.txt"


def opened(home: Path) -> LocalWorkspace:
    """The workspace, with tasks that note in a file that they ran."""

    def own_task(arguments: list[str], _output: TextIO) -> None:
        run_id, label, kind = arguments[0], arguments[1], arguments[2]
        with (home / STEPS).open("a") as steps:  # one short write: whole, whoever else writes
            steps.write(f"{run_id} {label}\n")
        time.sleep(0.002)
        if kind == "flaky" and executions(home)[run_id, label] == 1:
            raise ValueError("the first time it fails")

    return LocalWorkspace(home, home, task_session=no_spark, own_task=own_task, max_parallel=3)


def no_spark() -> Any:
    raise AssertionError("no task needs Spark")


def executions(home: Path) -> dict[tuple[str, str], int]:
    """How often each step of each run was begun."""
    counts: dict[tuple[str, str], int] = {}
    path = home / STEPS
    for line in path.read_text().splitlines() if path.exists() else ():
        run_id, label = line.split()
        counts[run_id, label] = counts.get((run_id, label), 0) + 1
    return counts


def task(key: str, *parents: str, kind: str = "plain", **fields: Any) -> dict[str, Any]:
    wheel = {"package_name": "lakeflow_meta", "entry_point": "x"}
    arguments = {"parameters": ["{{job.run_id}}", fields.pop("label", key), kind]}
    edges = [{"task_key": parent} for parent in parents]
    return {
        "task_key": key,
        "python_wheel_task": {**wheel, **arguments},
        "depends_on": edges,
        **fields,
    }


def make_jobs(workspace: LocalWorkspace) -> int:
    """The job that is run: retries, a condition, a loop, and a job that it runs; its id."""
    inner = workspace.create_job(
        {
            "name": "inner",
            "max_concurrent_runs": 5,
            "tasks": [task("one"), task("two", "one", kind="flaky", max_retries=2)],
        }
    )
    each = task("each", label="loop[{{input}}]", kind="flaky", max_retries=3)
    loop = {"inputs": "[0, 1, 2, 3]", "task": {**each, "depends_on": []}, "concurrency": 2}
    yes = {"depends_on": [{"task_key": "if", "outcome": "true"}]}
    no = {"depends_on": [{"task_key": "if", "outcome": "false"}]}
    condition = {"op": "LESS_THAN", "left": "1", "right": "2"}
    return workspace.create_job(
        {
            "name": "outer",
            "queue": {"enabled": True},
            "tasks": [
                task("first"),
                {"task_key": "if", "condition_task": condition, "depends_on": _on("first")},
                {**task("yes"), **yes},
                {**task("no"), **no},
                {"task_key": "loop", "for_each_task": loop, "depends_on": _on("first")},
                {"task_key": "job", "run_job_task": {"job_id": inner}, "depends_on": _on("yes")},
                task("retried", "yes", kind="flaky", max_retries=2),
                task("last", "loop", "job", "retried", "no"),
            ],
        }
    )


def _on(key: str) -> list[Mapping[str, str]]:
    return [{"task_key": key}]


def live(home: Path, job_id: int, repaired: int) -> None:
    """What a victim does: a repair, or two runs, of which the second waits for the first."""
    with opened(home) as workspace:
        if repaired:
            workspace.repair_run(repaired)
            workspace.follow_run(repaired)
            return
        for run_id in [workspace.run_job(job_id, {}) for _ in range(2)]:
            workspace.follow_run(run_id)


def main(home: Path, job_id: int) -> None:
    for line in sys.stdin:
        seconds, repaired = float(line.split()[0]), int(line.split()[1])
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            live(home, job_id, repaired)
            os._exit(0)
        if seconds >= 0:
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        sys.stdout.write(f"{time.monotonic() - began}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
