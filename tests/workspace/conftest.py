"""A workspace in a temporary directory, whose tasks need no Spark."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest

from lakeflow_meta.backends.local.jobs.workspace import LocalWorkspace
from lakeflow_meta.ports import JobRun, RunState
from lakeflow_meta.progress import Event

OwnCommand = Callable[[list[str]], object]


class Bench:
    """A workspace and short ways to make tasks for it.

    ``own(key, name, …)`` is a task of this package that calls the function registered under
    ``name`` with its arguments; ``program(key, code)`` is a Python file.
    """

    def __init__(self, tmp_path: Path, **options: Any) -> None:
        self.project = tmp_path / "project"
        self.project.mkdir(exist_ok=True)
        self.home = tmp_path / "home"
        self.commands: dict[str, OwnCommand] = {"ok": len}
        self.events: list[Event] = []
        self.workspace = LocalWorkspace(
            self.home,
            self.project,
            task_session=self._no_spark,
            own_task=self._call,
            progress=self.events.append,
            **options,
        )

    def _no_spark(self) -> Any:
        raise AssertionError("no task of this test needs Spark")

    def _call(self, parameters: list[str], output: TextIO) -> None:
        self.commands[parameters[0]](parameters[1:])

    def own(self, key: str, name: str = "ok", *parents: str, **fields: Any) -> dict[str, Any]:
        arguments = fields.pop("arguments", [])
        return {
            "task_key": key,
            "python_wheel_task": {
                "package_name": "lakeflow_meta",
                "entry_point": "lakeflow-meta",
                "parameters": [name, *arguments],
            },
            "depends_on": [{"task_key": parent} for parent in parents],
            **fields,
        }

    def program(self, key: str, code: str, *parents: str, **fields: Any) -> dict[str, Any]:
        (self.project / f"{key}.py").write_text(code)
        return {
            "task_key": key,
            "spark_python_task": {
                "python_file": f"{key}.py",
                "parameters": fields.pop("arguments", []),
            },
            "depends_on": [{"task_key": parent} for parent in parents],
            **fields,
        }

    def start(self, *tasks: dict[str, Any], given: dict[str, str] | None = None, **job: Any) -> int:
        job_id = self.workspace.create_job({"name": "job", **job, "tasks": list(tasks)})
        return self.workspace.run_job(job_id, given or {})

    def run(self, *tasks: dict[str, Any], **job: Any) -> JobRun:
        return self.workspace.follow_run(self.start(*tasks, **job))

    def states(self, run: JobRun) -> dict[str, RunState]:
        return {task.task_key: task.state for task in run.tasks}


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**options: Any) -> Bench:
        made.append(Bench(tmp_path, **options))
        return made[-1]

    yield make
    for bench in made:
        bench.workspace.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


class Crowd:
    """A command that takes a moment, and the most of it that ran at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = self.most = 0

    def __call__(self, _arguments: list[str]) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.02)
        with self._lock:
            self._now -= 1


@pytest.fixture
def crowd() -> Crowd:
    """One that nobody has run yet."""
    return Crowd()
