"""An ingestor in a process of its own, killed for real at one of its effects on the outside."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joined_spark import Jvm

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.backends.local_files import LocalFiles
from lakeflow_meta.backends.processes import may_be_alive, process_name
from lakeflow_meta.backends.spark_ingest.loader import SparkLoader
from lakeflow_meta.control.tables import ControlTables
from lakeflow_meta.ingest.batch import IngestResult
from lakeflow_meta.ingest.ingestor import Ingestor
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.paths import PathMap

TABLES = ControlTables.named("main.lakeflow.etl_control")

READS = {
    "store.read",
    "store.version",
    "files.list_files",
    "files.stat",
    "files.digest",
    "loader.committed_version",
    "loader.recount",
    "loader.probe",
}
"""Calls that leave nothing behind: to be killed before or after one of them is the same."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one ingestor works. ``source`` and ``target`` are the two configurations."""

    root: Path
    warehouse: Path
    source: Mapping[str, Any]
    target: Mapping[str, Any]

    def ingest(self, spark: Any, effect: Callable[[str, bool], None] | None = None) -> IngestResult:
        """One run; ``effect`` is told of each effect, before (False) and after it (True)."""
        paths = PathMap(self.root)

        def door(name: str, thing: Any) -> Any:
            return thing if effect is None else _Door(name, thing, effect)

        def loader() -> Any:
            return door(
                "loader", SparkLoader(lambda: spark, paths, locate=self.locate, parallelism=2)
            )

        ingestor = Ingestor(
            door("store", DeltaRsStore(self.root / "control")),
            TABLES,
            loader,
            door("files", LocalFiles(paths)),
            owner=process_name(),
            is_alive=may_be_alive,
        )
        return ingestor.ingest(FileSource.parse("m/s", self.source, self.target))

    def locate(self, table: Any) -> Path | None:
        """The table's folder, once there is a table."""
        path = self.warehouse.joinpath(*table.key.split("."))
        return path if (path / "_delta_log").is_dir() else None


class _Door:
    def __init__(self, name: str, thing: Any, effect: Callable[[str, bool], None]) -> None:
        self._name = name
        self._thing = thing
        self._effect = effect

    def __getattr__(self, method: str) -> Any:
        inner = getattr(self._thing, method)
        step = f"{self._name}.{method}"
        if step in READS or not callable(inner):
            return inner

        def call(*args: Any, **kwargs: Any) -> Any:
            self._effect(step, False)
            result = inner(*args, **kwargs)
            self._effect(step, True)
            return result

        return call


def ingest_until_killed(jvm: Jvm, place: Place, effects: int) -> None:
    """Ingest; die when that many effects are done. The body of a process."""
    done = 0
    if effects == 0:
        os.kill(os.getpid(), signal.SIGKILL)

    def effect(_step: str, after: bool) -> None:
        nonlocal done
        done += after
        if done >= effects:
            os.kill(os.getpid(), signal.SIGKILL)

    place.ingest(jvm.join(), effect)


def ingest_until_rows_are_written(jvm: Jvm, place: Place, table: Any) -> None:
    """Ingest; die as soon as a data file of the append is there, whose commit is still to come."""
    import threading
    import time

    def watch() -> None:
        folder = place.warehouse.joinpath(*table.split("."))
        while not any(folder.rglob("*.parquet")):
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    place.ingest(jvm.join())


def ingest_to_the_end(jvm: Jvm, place: Place) -> None:
    """Ingest as often as it takes until nothing is left for others to do."""
    spark = jvm.join()
    for _ in range(200):
        result = place.ingest(spark)
        if not result.waiting and not result.processed:
            return
    raise AssertionError("files are waiting for ever")
