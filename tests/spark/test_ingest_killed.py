"""Real processes, killed for real between two effects: one more run ends as if nothing had been.

The JVM outlives the killed process here, so what it was asked to write may still be committed after
the next run began; `test_ingest_kill.py` kills a process together with its JVM.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ingest_victim
import joined_spark
import pytest
from ingest_victim import TABLES, Place
from pyspark.sql import SparkSession

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.backends.local.spark.session import EmbeddedSpark
from lakeflow_meta.control.tables import FILES

PROCESS_SECONDS = 120


@dataclass(frozen=True)
class Mode:
    """One way of ingesting, and the files that are there."""

    files: Mapping[str, str]
    path: str = "in"
    source: Mapping[str, Any] = field(default_factory=dict)
    target: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, str] = field(default_factory=dict)
    """Files that an earlier run ingested."""


MODES = {
    "directory": Mode(
        files={
            "a.csv": "id,name\n1,a\n2,b\n",
            "bad.csv": "id,name\nx,d\n",
            "c.csv": "id,name\n4,e\n5,f\n6,g\n",
            "same.csv": "id,name\n1,a\n2,b\n",
        },
        source={"max_files": 2, "after_success": "archive", "archive_path": "old"},
    ),
    "file": Mode(files={"a.csv": "id,name\n1,a\n2,b\n"}, path="in/a.csv"),
    "merge": Mode(
        files={"b.csv": "id,name\n1,new\n2,b\n", "c.csv": "id,name\n2,newer\n"},
        target={"write_mode": "merge", "keys": ["id"]},
        before={"old.csv": "id,name\n0,z\n1,old\n"},
    ),
}


@dataclass
class World:
    """The outside of one case."""

    mode: Mode
    place: Place
    spark: SparkSession
    table: str

    def fill(self) -> None:
        columns = "id INT, name STRING, _source_file STRING, _batch_id STRING"
        self.spark.sql(f"CREATE TABLE {self.table} ({columns})")
        if self.mode.before:
            self._put(self.mode.before)
            self.place.ingest(self.spark)
        self._put(self.mode.files)

    def _put(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.place.root / "in" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    def outcome(self) -> dict[str, Any]:
        """What has to be equal whatever happened on the way."""
        rows = self.spark.table(self.table).select("id", "name", "_source_file").collect()
        ledger = DeltaRsStore(self.place.root / "control").read(TABLES.of(FILES)).to_pylist()
        columns = ("status", "record_count", "duplicate_of")
        return {
            "rows": sorted((row.id, row.name, self._short(row._source_file)) for row in rows),
            "ledger": {
                self._short(row["file_path"]): tuple(self._short(row[name]) for name in columns)
                for row in ledger
            },
            "folders": sorted(
                path.relative_to(self.place.root).as_posix()
                for folder in ("in", "old")
                for path in (self.place.root / folder).rglob("*.csv")
            ),
        }

    def _short(self, value: Any) -> Any:
        return value.removeprefix(str(self.place.root)) if isinstance(value, str) else value


@pytest.fixture
def world_of(
    tmp_path: Path, interpreted: SparkSession, embedded: EmbeddedSpark, schema: str
) -> Callable[[Mode], World]:
    made = iter(range(1000))

    def make(mode: Mode) -> World:
        number = next(made)
        root, table = tmp_path / str(number), f"{schema}.t{number}"
        root.mkdir()
        place = Place(
            root,
            embedded.warehouse,
            {"path": mode.path, "format": "csv", **mode.source},
            {"table": table, **mode.target},
        )
        world = World(mode, place, interpreted, table)
        world.fill()
        return world

    return make


@pytest.fixture
def jvm(spark: SparkSession, embedded: EmbeddedSpark) -> joined_spark.Jvm:
    return joined_spark.Jvm.of(spark, embedded.warehouse, ("main", "testcat"))


def killed(target: Callable[..., None], *args: Any) -> bool:
    """Whether the process was killed; False when it came to its end."""
    process = joined_spark.start(target, *args)
    process.join(PROCESS_SECONDS)
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0


def _kill_points(steps: list[str]) -> list[int]:
    """Before the first effect, and before and after each one that is more than a row of control
    tables: so behind every claim, commit, mark and move. The others are stopped at in tests/crash.
    """
    great = [number for number, step in enumerate(steps) if not step.startswith("store.")]
    return sorted({0, len(steps), *great, *(number + 1 for number in great)})


@pytest.mark.parametrize("name", MODES)
def test_killed_after_any_effect_the_next_run_ends_as_if_nothing_had_happened(
    name: str, world_of: Callable[[Mode], World], jvm: joined_spark.Jvm
) -> None:
    undisturbed = world_of(MODES[name])
    steps: list[str] = []
    undisturbed.place.ingest(
        undisturbed.spark, lambda step, after: steps.append(step) if after else None
    )
    expected = undisturbed.outcome()
    assert expected["rows"]
    assert "loader.load" in steps

    for done in _kill_points(steps):
        world = world_of(MODES[name])
        assert killed(ingest_victim.ingest_until_killed, jvm, world.place, done), done
        world.place.ingest(world.spark)
        assert world.outcome() == expected, (done, steps[:done])


def test_killed_while_rows_are_written_which_are_committed_later_nothing_is_twice(
    world_of: Callable[[Mode], World], jvm: joined_spark.Jvm
) -> None:
    lines = "".join(f"{number},{'x' * 50}\n" for number in range(200_000))
    mode = Mode(files={"big.csv": f"id,name\n{lines}", "small.csv": "id,name\n1,a\n"})
    world = world_of(mode)
    assert killed(ingest_victim.ingest_until_rows_are_written, jvm, world.place, world.table)
    world.place.ingest(world.spark)
    counts = world.spark.table(world.table).groupBy("_source_file").count().collect()
    assert {Path(row._source_file).name: row["count"] for row in counts} == {
        "big.csv": 200_000,
        "small.csv": 1,
    }
    assert world.outcome()["ledger"] == {
        "/in/big.csv": ("success", 200_000, None),
        "/in/small.csv": ("success", 1, None),
    }


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_at_once_on_one_folder_ingest_every_file_once(
    processes: int, world_of: Callable[[Mode], World], jvm: joined_spark.Jvm
) -> None:
    files = {f"{number:03}.csv": f"id,name\n{number},x\n{number},y\n" for number in range(40)}
    world = world_of(Mode(files=files, source={"max_files": 5}))
    running = [
        joined_spark.start(ingest_victim.ingest_to_the_end, jvm, world.place)
        for _ in range(processes)
    ]
    for process in running:
        process.join(PROCESS_SECONDS)
        assert process.exitcode == 0
    rows = [row[0] for row in world.outcome()["rows"]]
    assert rows == sorted(2 * list(range(40)))
    assert set(world.outcome()["ledger"].values()) == {("success", 2, None)}
