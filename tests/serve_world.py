"""An embedded workspace whose tasks need no Spark, a clock that is told to move, and servers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from lakeflow_meta.backends.local.jobs.workspace import LocalWorkspace
from lakeflow_meta.backends.local.serving import ChangedJobs, WorkspaceRuns
from lakeflow_meta.backends.processes import process_name
from lakeflow_meta.backends.serve_store import ServeStore
from lakeflow_meta.errors import BackendError
from lakeflow_meta.ports import JobRun
from lakeflow_meta.serve.happenings import Happening, What
from lakeflow_meta.serve.server import Server, StopSignal
from lakeflow_meta.serve.triggers import StartedJob, chosen_by, started_job
from lakeflow_meta.testing import CrashPoint, FixedClock


class Seen:
    """A `ports.Sightings` in memory. ``tables`` holds the versions that changed data."""

    def __init__(self) -> None:
        self.folders: dict[str, dict[str, tuple[int, int]]] = {}
        self.tables: dict[str, list[bool]] = {}
        self.broken: set[str] = set()

    def put(self, url: str, *names: str, size: int = 1) -> None:
        self.folders.setdefault(url, {}).update(dict.fromkeys(names, (size, 0)))

    def files(self, url: str) -> dict[str, tuple[int, int]]:
        if url in self.broken:
            raise BackendError(f"{url} cannot be listed: no permission")
        return dict(self.folders.get(url, {}))

    def data_version(self, table: str, known: int) -> tuple[int, bool]:
        versions = self.tables.get(table, [])
        return len(versions) - 1, any(versions[known + 1 :])


class ServeWorld:
    """``gate`` closed lets no task end."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.clock = FixedClock()
        self.seen = Seen()
        self.told: list[Happening] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fails = False
        self.workspace = LocalWorkspace(
            self.home,
            folder,
            task_session=self._no_spark,
            own_task=self._own_task,
            clock=self.clock,
            sleep=lambda _seconds: time.sleep(0.005),
        )
        self._processes = 0
        self.stores: list[ServeStore] = []

    def _no_spark(self) -> Any:
        raise AssertionError("no task of this test needs Spark")

    def _own_task(self, _parameters: list[str], _output: TextIO) -> None:
        until = time.monotonic() + 20
        while not self.gate.wait(0.01) and time.monotonic() < until:
            pass  # a cancel comes between two steps
        if self.fails:
            raise BackendError("as it was told")

    def job(self, name: str = "job", **settings: Any) -> int:
        task = {
            "task_key": "t",
            "python_wheel_task": {
                "package_name": "lakeflow_meta",
                "entry_point": "lakeflow-meta",
                "parameters": ["ok"],
            },
        }
        return self.workspace.create_job({"name": name, "tasks": [task], **settings})

    def cron(self, expression: str, name: str = "job", **settings: Any) -> int:
        schedule = {"quartz_cron_expression": expression, "timezone_id": "UTC"}
        return self.job(name, schedule=schedule, **settings)

    def server(self, crash: CrashPoint | None = None, *, make_up: bool = False) -> Server:
        """The server of a new process; those before it are dead."""
        self._processes += 1
        dead = process_name().replace(f":{os.getpid()}:", f":{9_000_000 + self._processes}:")
        store = ServeStore(self.home / "serve.db", self.clock, process=dead)
        self.stores.append(store)
        changed = ChangedJobs(self.home, self.workspace)
        runs: Any = WorkspaceRuns(self.workspace)

        def jobs() -> list[StartedJob] | None:
            found = changed()
            return None if found is None else [j for j in map(started_job, found) if j]

        server = Server(
            crash.wrap(store) if crash else store,
            crash.wrap(runs) if crash else runs,
            self.seen,
            jobs,
            chosen=chosen_by(()),
            tell=self.told.append,
            clock=self.clock,
            sleep=lambda _seconds: time.sleep(0.005),
            stop=StopSignal(),
            poll_seconds=1e6,  # however slow the machine is, no trigger rests
        )
        server.begin(make_up=make_up)
        return server

    def look(self, server: Server, after: float = 0.0) -> None:
        """Let time pass, look, and wait for what was started, unless the gate is closed."""
        self.clock.advance(after)
        server.look()
        if self.gate.is_set():
            self.wait(server)

    def wait(self, server: Server) -> None:
        """Until its runs have ended."""
        give_up = threading.Timer(20, lambda: setattr(server.stop, "asked", 9))
        give_up.start()
        server.wait()
        give_up.cancel()
        assert server.stop.asked < 9, "a run does not end"

    def runs(self, job_id: int) -> list[JobRun]:
        """Oldest first."""
        return self.workspace.list_runs(job_id, 1000)[::-1]

    def count(self, job_id: int) -> int:
        return len(self.runs(job_id))

    def said(self, what: What) -> list[str]:
        return [happening.text for happening in self.told if happening.what is what]

    def close(self) -> None:
        self.gate.set()
        self.workspace.close()
        for store in self.stores:
            store.close()


def eventually(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.01)
