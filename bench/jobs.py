"""How many calls and seconds the jobs of a workspace take. Prints a table, to be read against bars.

    python bench/jobs.py [--modules 1000] [--latency 0.02] [--writes-per-second 20]
                         [--peer-python PYTHON] [--peer-jars FOLDER] [--peer-modules 50]

The workspace is the stand-in of the tests: an HTTP server in a process of its own, which answers
each request ``--latency`` seconds late. Ours is `DatabricksJobs` through the real SDK, with the
control tables in `DeltaRsStore`, in one process. Each module has three notebook tasks, one after
the other. The peer is lakeflow-jobs-meta 0.2.0 with the same tasks, over the same kind of server,
in the environment of ``--peer-python``; without it that part is skipped.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

import yaml  # noqa: E402 (after the path)
from contract.jobs_stand_in import Workspace  # noqa: E402
from contract.stand_in_server import TOKEN  # noqa: E402
from databricks.sdk import WorkspaceClient  # noqa: E402

from lakeflow_meta.backends.databricks_jobs import DatabricksJobs  # noqa: E402
from lakeflow_meta.backends.databricks_permissions import DatabricksPermissions  # noqa: E402
from lakeflow_meta.backends.databricks_queries import DatabricksQueries  # noqa: E402
from lakeflow_meta.backends.deltars import DeltaRsStore  # noqa: E402
from lakeflow_meta.backends.request_gate import RequestGate  # noqa: E402
from lakeflow_meta.backends.workspace_calls import WorkspaceCalls  # noqa: E402
from lakeflow_meta.control.declared import Declared, read_declared  # noqa: E402
from lakeflow_meta.control.manager import MetadataManager  # noqa: E402
from lakeflow_meta.control.tables import ControlTables  # noqa: E402
from lakeflow_meta.jobs.job_context import JobContext  # noqa: E402
from lakeflow_meta.jobs.orchestrator import JobOrchestrator  # noqa: E402
from lakeflow_meta.jobs.outcomes import raise_failures  # noqa: E402

TABLES = ControlTables.named("main.lakeflow.etl_control")
CONTEXT = JobContext(str(TABLES.sources))
TASKS = ("extract", "transform", "load")
JOBS_AT_ONCE = 8
"""As `Settings.jobs_at_once` has it."""


# --- the server


@dataclass(frozen=True)
class Calls:
    """What came since the last look."""

    reads: int
    writes: int
    most_at_once: int
    by_path: Mapping[str, int]


def serve(pipe: Connection, latency: float) -> None:
    """The workspace's process: answers HTTP, and over the pipe tells what came."""
    logging.disable(logging.CRITICAL)
    with Workspace(latency=latency).running() as workspace:
        pipe.send(workspace.host)
        while pipe.recv() is not None:
            writes = len(workspace.writes)
            paths = Counter(f"{r.method} {r.path}" for r in workspace.requests)
            reads = len(workspace.requests) - writes
            pipe.send(Calls(reads, writes, workspace.most_busy, dict(paths)))
            workspace.requests.clear()
            workspace.most_busy = 0


@dataclass(frozen=True)
class RunningServer:
    host: str
    pipe: Any

    def calls(self) -> Calls:
        """What came since this was asked last."""
        self.pipe.send("calls")
        return self.pipe.recv()  # type: ignore[no-any-return]  # as `serve` sends it


@contextmanager
def server(latency: float) -> Iterator[RunningServer]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, latency), daemon=True)
    process.start()
    try:
        yield RunningServer(ours.recv(), ours)
    finally:
        ours.send(None)
        process.join(10)


# --- ours


def document(count: int, changed: int | None = None) -> dict[str, Any]:
    return {"jobs": {f"m{n:05d}": job(n, 2 if n == changed else 1) for n in range(count)}}


def job(number: int, edition: int) -> dict[str, Any]:
    tasks: list[dict[str, Any]] = []
    for key in TASKS:
        task = {
            "task_key": key,
            "task_type": "notebook",
            "file_path": f"/Workspace/etl/{key}",
            "parameters": {"table": f"t{number}", "edition": str(edition)},
            "timeout_seconds": 3600,
        }
        tasks.append(task | ({"depends_on": [tasks[-1]["task_key"]]} if tasks else {}))
    return {"name": f"Job {number}", "tags": {"team": "bench"}, "tasks": tasks}


def declared(count: int, changed: int | None = None) -> Declared:
    text = yaml.safe_dump(document(count, changed))
    found = read_declared({"jobs.yml": text}, {}, variables={}, context=CONTEXT)
    assert not found.problems  # noqa: S101 (a bench checks itself)
    return found


class Ours:
    """Control tables in a folder, and what keeps a workspace equal to them."""

    def __init__(self, folder: Path, host: str, writes_per_second: float) -> None:
        self.store = DeltaRsStore(folder)
        self.manager = MetadataManager(str(TABLES.sources), store=self.store)
        client = WorkspaceClient(host=host, token=TOKEN)
        gate = RequestGate()

        def calls() -> WorkspaceCalls:
            return WorkspaceCalls(client, gate, writes_per_second=writes_per_second)

        self.jobs = DatabricksJobs(calls())
        self.queries = DatabricksQueries(calls())
        self.permissions = DatabricksPermissions(calls())

    def orchestrator(self) -> JobOrchestrator:
        return JobOrchestrator(
            self.store,
            self.jobs,
            self.queries,
            tables=TABLES,
            context=CONTEXT,
            permissions=self.permissions,
            max_parallel=JOBS_AT_ONCE,
            unknown_fields=self.jobs.unknown_fields,
        )

    def apply(self) -> Counter[str]:
        outcomes = self.orchestrator().apply()
        raise_failures(outcomes)
        return Counter(outcome.action for outcome in outcomes)

    def plan(self) -> Counter[str]:
        return Counter(action.kind.value for action in self.orchestrator().plan().actions)


def measure(name: str, act: Any, running: RunningServer, bar: str = "") -> Calls:
    running.calls()
    began = time.perf_counter()
    done = act()
    seconds = time.perf_counter() - began
    calls = running.calls()
    said = ", ".join(f"{count} {action}" for action, count in sorted(done.items()))
    print(
        f"  {name:<46}{seconds:>8.2f} s {calls.reads:>6} reads {calls.writes:>6} writes"
        f"  {calls.most_at_once} at once  {said}  {bar}"
    )
    return calls


def bench_ours(folder: Path, count: int, latency: float, writes_per_second: float) -> None:
    most_reads = count // 100 + 5
    one = count // 2
    print(f"ours: {count:,} modules, {latency * 1000:.0f} ms a call, {JOBS_AT_ONCE} at once")
    for rate, name in ((1e6, "no rate"), (writes_per_second, f"{writes_per_second:g} writes a s")):
        with server(latency) as running:
            ours = Ours(folder / name, running.host, rate)
            ours.manager.load(declared(count))
            measure(f"first plan, {name}", ours.plan, running, "bar 0 writes")
            calls = measure(f"first apply, {name}", ours.apply, running, f"bar {count} writes")
            check(calls.writes == count, f"{calls.writes} writes")
            measure(f"plan of nothing, {name}", ours.plan, running, "bar 0 writes")
            bar = f"bar 0 writes, {most_reads} reads"
            calls = measure(f"apply again, nothing new, {name}", ours.apply, running, bar)
            check(calls.writes == 0 and calls.reads <= most_reads, f"{calls.by_path}")
            ours.manager.load(declared(count, changed=one))
            bar = f"bar 1 write, {most_reads} reads"
            calls = measure(f"apply, one module changed, {name}", ours.apply, running, bar)
            check(calls.writes == 1 and calls.reads <= most_reads, f"{calls.by_path}")


def check(good: bool, said: str) -> None:
    if not good:
        print(f"  ✗ beyond the bar: {said}")


# --- the peer


def bench_peer(
    folder: Path, python: str | None, jars: str | None, count: int, latency: float
) -> None:
    print(f"the same with {count} modules: ours, and lakeflow-jobs-meta 0.2.0")
    with server(latency) as running:
        ours = Ours(folder / "ours", running.host, 1e6)
        ours.manager.load(declared(count))
        for name in ("first apply", "apply again, nothing new"):
            measure(f"ours, {name}", ours.apply, running)
    if python is None:
        print("  peer: skipped, no --peer-python is given")
        return
    (folder / "peer").mkdir(parents=True)
    file = folder / "peer" / "jobs.yml"
    file.write_text(yaml.safe_dump(document(count)), encoding="utf-8")
    with server(latency) as running:
        command = [python, str(Path(__file__).with_name("jobs_peer.py"))]
        command += [str(file), str(folder / "peer"), running.host, TOKEN, *([jars] if jars else [])]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            follow(process, running, count)


def follow(process: Any, running: RunningServer, count: int) -> None:
    """The peer says when a part has ended, and goes on when it is told to."""
    for line in process.stdout:
        if not line.startswith(b"{"):
            continue
        part = json.loads(line)
        calls = running.calls()
        each = (calls.reads + calls.writes) / count
        print(
            f"  peer, {part['name']:<40}{part['seconds']:>8.2f} s {calls.reads:>6} reads"
            f" {calls.writes:>6} writes  {each:.1f} calls a module  {part['jobs']} jobs"
        )
        process.stdin.write(b"on\n")
        process.stdin.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds")
    parser.add_argument("--writes-per-second", type=float, default=20.0)
    parser.add_argument("--peer-python", help="interpreter with lakeflow-jobs-meta and delta-spark")
    parser.add_argument("--peer-jars", help="folder of the Delta jars, to fetch none")
    parser.add_argument("--peer-modules", type=int, default=50)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench_ours(folder / "ours", given.modules, given.latency, given.writes_per_second)
        peer = given.peer_python, given.peer_jars, given.peer_modules
        bench_peer(folder / "peer", *peer, given.latency)


if __name__ == "__main__":
    main()
