"""One little world for the ingestor: files, a target, a store, and processes that can be killed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from lakeflow_meta.control.tables import FILES, STATE, ControlTables
from lakeflow_meta.ingest.batch import BatchLimits, IngestResult
from lakeflow_meta.ingest.ingestor import Ingestor
from lakeflow_meta.ingest.selection import Selection
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.progress import Event
from lakeflow_meta.testing.clock import FixedClock
from lakeflow_meta.testing.fake_ingest import FakeFiles, FakeLoader, FakeTarget
from lakeflow_meta.testing.fake_store import FakeStore

TABLES = ControlTables.named("main.lakeflow.etl_control")


class Killed(BaseException):
    """The process is gone: from now on it can do nothing."""


class Process:
    """One ingestor process over the world; it can be stopped at any call to the outside.

    ``stop_at`` counts its calls to store, files and loader from 1; ``when`` says whether the call
    has its effect before the stop or after it. ``stop`` raises Killed, or lets others run
    meanwhile and returns.
    """

    def __init__(
        self,
        world: World,
        name: str,
        stop_at: int = 0,
        when: str = "before",
        stop: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.calls = 0
        self.steps: list[str] = []
        self._stop_at = stop_at
        self._when = when
        self._stop = stop or self.die
        self._world = world
        self.loader = FakeLoader(world.files, world.target)

    def door(self, name: str, thing: Any) -> Any:
        return _Door(self, name, thing)

    def die(self) -> None:
        self._world.dead.add(self.name)
        raise Killed

    def pass_through(self, step: str, call: Callable[[], Any]) -> Any:
        if self.name in self._world.dead:
            raise Killed
        self.calls += 1
        self.steps.append(step)
        if self.calls == self._stop_at and self._when == "before":
            self._stop()
        number = self.calls
        try:
            return call()
        finally:
            if number == self._stop_at and self._when == "after":
                self._stop()

    def ingest(
        self,
        source: FileSource,
        limits: BatchLimits | None = None,
        selection: Selection | None = None,
    ) -> IngestResult:
        return self.ingestor(limits).ingest(source, selection)

    def ingestor(self, limits: BatchLimits | None = None) -> Ingestor:
        world = self._world
        return Ingestor(
            self.door("store", world.store),
            TABLES,
            lambda: self.door("loader", self.loader),
            self.door("files", world.files),
            owner=self.name,
            is_alive=world.is_alive,
            clock=world.clock,
            progress=world.events.append,
            limits=limits,
            actor=lambda: "ann",
        )


class _Door:
    def __init__(self, process: Process, name: str, thing: Any) -> None:
        self._process = process
        self._name = name
        self._thing = thing

    def __getattr__(self, method: str) -> Any:
        inner = getattr(self._thing, method)

        def call(*args: Any, **kwargs: Any) -> Any:
            step = f"{self._name}.{method}"
            return self._process.pass_through(step, lambda: inner(*args, **kwargs))

        return call


class World:
    """Everything outside the process."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.store = FakeStore(self.clock)
        self.files = FakeFiles()
        self.target = FakeTarget()
        self.events: list[Event] = []
        self.dead: set[str] = set()
        self.one_machine = True

    def is_alive(self, owner: str) -> bool | None:
        """A process of another machine cannot be seen."""
        if owner.partition("/")[0] in self.dead:
            return False
        return True if self.one_machine else None

    def process(self, name: str = "p1", **kwargs: Any) -> Process:
        return Process(self, name, **kwargs)

    def ingest(self, **kwargs: Any) -> IngestResult:
        return self.process().ingest(source(), **kwargs)

    def ledger(self, *columns: str) -> dict[str, Any]:
        """Ledger rows by path; by path and hash where a path has several contents."""
        rows = self.store.read(TABLES.of(FILES)).to_pylist()
        return {row["file_path"]: _chosen(row, columns) for row in rows}

    def ledger_rows(self) -> list[dict[str, Any]]:
        return list(self.store.read(TABLES.of(FILES)).to_pylist())

    def versions(self) -> tuple[int | None, int | None]:
        return self.store.version(TABLES.of(FILES)), self.store.version(TABLES.of(STATE))


def _chosen(row: Mapping[str, Any], columns: tuple[str, ...]) -> Any:
    if not columns:
        return row
    return row[columns[0]] if len(columns) == 1 else tuple(row[name] for name in columns)


def source(
    path: str = "/in", name: str = "m/s", target: Mapping[str, Any] | None = None, **config: Any
) -> FileSource:
    into = {"table": "main.raw.people", **(target or {})}
    return FileSource.parse(name, {"path": path, "format": "csv", **config}, into)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def world_factory() -> type[World]:
    return World


@pytest.fixture
def killed() -> type[BaseException]:
    return Killed
