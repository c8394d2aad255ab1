"""What the embedded workspace costs: a task that does nothing, 500 of them, and the Spark session.

    python bench/workspace.py [--small] [--no-spark] [--tasks 500] [--runs 3] [--cache DIR]

- overhead of a task: a run of N tasks that call a function which does nothing, four at once,
  against the same calls in a thread pool of the same width (the floor), and against a pool that
  also makes a log file for each call, as every task does;
- shapes of a graph of N tasks: a chain, a fan, layers of ten that depend on all of the one before;
- start of the embedded session, from the call to its first answer, against a bare Spark session
  with the same jars as local files, the same settings and JVM options, each in a new process.

Every figure is the best of some runs; ratios are ours to the floor.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

sys.path.insert(0, str(Path(__file__).parents[1]))

from lakeflow_meta.backends.local.jobs.workspace import LocalWorkspace
from lakeflow_meta.backends.local.spark.runtime import default_cache

WIDTH = 4
LAYER = 10

SESSION = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from lakeflow_meta.backends.local.spark.session import EmbeddedSpark
embedded = EmbeddedSpark(Path({home!r}), cache=Path({cache!r}))
embedded.prepare()
began = time.perf_counter()
{start}
assert session.sql("SELECT 1").collect()[0][0] == 1
seconds = time.perf_counter() - began
{stop}
print("seconds", seconds)
"""
OURS = {"start": "session = embedded.task_session()", "stop": "embedded.stop()"}
BARE = {
    "start": """
from pyspark.sql import SparkSession
builder = SparkSession.builder.master("local[*]")
for name, value in embedded._settings().items():
    builder = builder.config(name, value)
session = builder.getOrCreate()
""",
    "stop": "session.stop()",
}


def nothing(_arguments: list[str], _output: TextIO | None) -> None:
    """What every task of this bench does."""


def task(number: int, parents: range = range(0)) -> dict[str, Any]:
    wheel = {"package_name": "lakeflow_meta", "entry_point": "x", "parameters": ["nothing"]}
    edges = [{"task_key": f"t{parent}"} for parent in parents]
    return {"task_key": f"t{number}", "python_wheel_task": wheel, "depends_on": edges}


def above(number: int) -> range:
    """The layer before that of a task."""
    start = (number // LAYER - 1) * LAYER
    return range(max(start, 0), max(start + LAYER, 0))


def shapes(count: int) -> dict[str, list[dict[str, Any]]]:
    return {
        "fan": [task(n) for n in range(count)],
        "chain": [task(n, range(max(n - 1, 0), n)) for n in range(count)],
        "layers": [task(n, above(n)) for n in range(count)],
    }


def best(runs: int, act: Callable[[], float]) -> float:
    return min(act() for _ in range(runs))


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def run_of(workspace: LocalWorkspace, job_id: int) -> float:
    began = time.perf_counter()
    run = workspace.follow_run(workspace.run_job(job_id, {}))
    seconds = time.perf_counter() - began
    if run.state != "success":
        raise SystemExit(f"a run of the bench is {run.state}")
    return seconds


def pool(count: int) -> float:
    with ThreadPoolExecutor(WIDTH) as threads:
        return timed(lambda: list(threads.map(lambda _: nothing([], None), range(count))))


def pool_with_logs(count: int, home: Path) -> float:
    folder = Path(tempfile.mkdtemp(dir=home))

    def logged(number: int) -> None:
        with (folder / f"{number}.log").open("w") as log:
            nothing([], log)

    with ThreadPoolExecutor(WIDTH) as threads:
        return timed(lambda: list(threads.map(logged, range(count))))


def graphs(count: int, runs: int) -> None:
    print(f"{count} tasks that do nothing, {WIDTH} at once; microseconds a task")
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        floor = best(runs, lambda: pool(count))
        logs = best(runs, lambda: pool_with_logs(count, home))
        print(f"  {'thread pool':<34}{floor / count * 1e6:>10.1f}")
        print(f"  {'thread pool, a log file a call':<34}{logs / count * 1e6:>10.1f}")
        workspace = LocalWorkspace(
            home / "home", home, task_session=no_spark, own_task=nothing, max_parallel=WIDTH
        )
        with workspace:
            for shape, tasks in shapes(count).items():
                job_id = workspace.create_job({"name": shape, "tasks": tasks})
                seconds = best(runs, lambda job_id=job_id: run_of(workspace, job_id))
                each = seconds / count * 1e6
                ratios = f"{seconds / floor:>8.0f} x pool{seconds / logs:>7.1f} x pool with logs"
                print(f"  run, {shape:<29}{each:>10.1f}{ratios}   {seconds:.2f} s in all")


def no_spark() -> Any:
    raise AssertionError("no task of this bench needs Spark")


def session(parts: dict[str, str], cache: Path) -> float:
    """Seconds of one start, in a process of its own."""
    with tempfile.TemporaryDirectory() as home:
        root = str(Path(__file__).parents[1])
        code = SESSION.format(root=root, home=home, cache=str(cache), **parts)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return float(done.stdout.split()[-1])


def sessions(runs: int, cache: Path) -> None:
    print("start of Spark to its first answer; seconds")
    ours = best(runs, lambda: session(OURS, cache))
    bare = best(runs, lambda: session(BARE, cache))
    print(f"  {'embedded session':<34}{ours:>10.2f}{ours / bare:>8.2f} x bare")
    print(f"  {'bare session, same settings':<34}{bare:>10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="50 tasks, once, and no Spark")
    parser.add_argument("--no-spark", action="store_true", help="leave the session out")
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cache", type=Path, help="where the jars lie, if not in the usual place")
    arguments = parser.parse_args()
    small = arguments.small
    graphs(50 if small else arguments.tasks, 1 if small else arguments.runs)
    if not (small or arguments.no_spark):
        sessions(arguments.runs, arguments.cache or default_cache())


if __name__ == "__main__":
    main()
