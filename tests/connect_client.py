"""What a client of Spark Connect does with the ingestor: a process of its own, without a JVM.

Prints one JSON document of what came of each step.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.backends.local_files import LocalFiles
from lakeflow_meta.backends.processes import process_name
from lakeflow_meta.backends.spark_files import SparkFiles
from lakeflow_meta.backends.spark_ingest.loader import SparkLoader
from lakeflow_meta.backends.spark_ingest.remote_columns import RemoteColumns
from lakeflow_meta.control.tables import FILES, ControlTables
from lakeflow_meta.ingest.batch import Batch, BatchCounts, BatchId
from lakeflow_meta.ingest.formats import FileFormat
from lakeflow_meta.ingest.ingestor import Ingestor
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.paths import PathMap
from lakeflow_meta.ports import utc_now

GIVE_UP_SECONDS = 150

TABLES = ControlTables.named("main.lakeflow.etl_control")


class Client:
    """One landing folder and one schema, by Spark Connect."""

    def __init__(self, port: str, root: Path, schema: str) -> None:
        self.spark = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate()
        self.root = root
        self.schema = schema
        self.paths = PathMap(root)
        self.store = DeltaRsStore(root / "control")
        self.spark.sql(f"CREATE SCHEMA {schema} LOCATION '{(root / 'warehouse').as_uri()}'")

    def loader(self) -> SparkLoader:
        return SparkLoader(lambda: self.spark, self.paths, locate=lambda _table: None)

    def put(self, folder: str, **files: str) -> None:
        (self.root / folder).mkdir(exist_ok=True)
        for number, (name, text) in enumerate(files.items()):
            path = self.root / folder / f"{name}.csv"
            path.write_text(text)
            os.utime(path, (number, number))

    def source(self, folder: str, function: Any = None, **target: Any) -> FileSource:
        source = FileSource.parse(
            "m/s",
            {"path": folder, "format": "csv"},
            {"table": f"{self.schema}.{folder}", **target},
        )
        return source.model_copy(update={"transform_fn": function})

    def ingest(self, source: FileSource) -> dict[str, Any]:
        ingestor = Ingestor(
            self.store,
            TABLES,
            self.loader,
            LocalFiles(self.paths),
            owner=process_name(),
            is_alive=lambda _owner: False,
        )
        result = ingestor.ingest(source)
        failures = {_name(each.path): each.reason for each in result.failures}
        return {
            "processed": result.processed,
            "skipped": result.skipped,
            "rows": result.rows,
            "violations": dict(result.violations),
            "failures": failures,
        }

    def rows(self, table: str, *columns: str) -> list[list[Any]]:
        found = self.spark.table(f"{self.schema}.{table}").select(*columns).collect()
        return sorted(list(row) for row in found)

    def counts(self, folder: str) -> dict[str, Any]:
        where = {"target_table": f"{self.schema}.{folder}"}
        found = self.store.read(TABLES.of(FILES), where=where).to_pylist()
        return {_name(row["file_path"]): row["record_count"] for row in found}


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def append(client: Client) -> Any:
    client.put("added", a="id,name\n1,a\n2,b\n", b="name,id\nc,3\n", bad="id,name\nx,y\n")
    client.spark.sql(f"CREATE TABLE {client.schema}.added (id INT, name STRING)")
    first = client.ingest(client.source("added"))
    again = client.ingest(client.source("added"))
    return [first, again, client.rows("added", "id", "name"), client.counts("added")]


def merge(client: Client) -> Any:
    source = client.source("merged", write_mode="merge", keys=["id"])
    client.put("merged", a="id,name\n1,a\n2,b\n")
    client.ingest(source)
    client.put("merged", b="id,name\n2,B\n3,c\n", c="id,name\n3,C\n", null='id,name\n"",x\n')
    result = client.ingest(source)
    left = [key for key in client.spark.conf.getAll if "txn" in key]
    return [result, client.rows("merged", "id", "name"), client.counts("merged"), left]


def once(client: Client) -> Any:
    """The same batch twice, in each mode."""
    client.put("twice", a="id\n1\n", b="id\n2\n3\n")
    found = []
    modes: list[dict[str, Any]] = [{}, {"write_mode": "overwrite"}]
    for number, target in enumerate([*modes, {"write_mode": "merge", "keys": ["id"]}], 1):
        source = client.source("twice", **target)
        files = tuple(LocalFiles(client.paths).list_files(source))
        batch = Batch(BatchId("lane", number), source, files, utc_now(), utc_now())
        first, again = (client.loader().load(batch) for _ in range(2))
        slow = client.loader()
        slow.committed_version = lambda *_: None  # type: ignore[method-assign] # did not look
        rows = len(client.rows("twice", "id"))
        found.append([_by_name(each) for each in (first, again, slow.load(batch))] + [rows])
    return found


def _by_name(counts: BatchCounts) -> dict[str, int | None]:
    return {_name(path): count for path, count in counts.rows.items()}


def transform(client: Client) -> Any:
    client.put("shaped", a="id\n1\n", b="id\n13\n", c="id\n3\n4\n")

    def picky(frame: DataFrame) -> DataFrame:
        @F.udf("int")
        def checked(value: int) -> int:
            if value == 13:
                raise RuntimeError("unlucky")
            return value * 10

        return frame.select(checked("id").alias("id"))

    result = client.ingest(client.source("shaped", picky))
    return [result, client.rows("shaped", "id")]


def expect(client: Client) -> Any:
    client.put("expected", a="id,n\n1,5\n2,-5\n", b="id,n\n3,7\n", bad="id,n\n,1\n")
    expectations = [
        {"name": "positive", "condition": "n > 0", "on_violation": "drop"},
        {"name": "known", "condition": "id IS NOT NULL", "on_violation": "fail"},
    ]
    quarantine = f"{client.schema}.dropped"
    source = client.source("expected", expectations=expectations, quarantine_table=quarantine)
    result = client.ingest(source)
    dropped = client.rows("dropped", "id", "_failed_expectations")
    return [result, client.rows("expected", "id"), dropped]


def listing(client: Client) -> Any:
    """Files as Spark lists and hashes them are what this machine says they are."""
    client.put("listed", a="id\n1\n", empty="")
    (client.root / "listed/sub").mkdir()
    (client.root / "listed/sub/b c%20.csv").write_text("id\n2\n")
    config = {"path": str(client.root / "listed"), "format": "csv", "recursive": True}
    source = FileSource.parse("m/s", config, {"table": f"{client.schema}.listed"})
    by_spark, local = SparkFiles(lambda: client.spark), LocalFiles(client.paths)
    files = list(by_spark.list_files(source))
    here = {each.path: each.size_bytes for each in local.list_files(source)}
    hashes = {
        item.path: item.file_hash for item in local.digest([*local.list_files(source)]).hashed
    }
    gone = f"{client.root}/listed/gone.csv"
    return {
        "same files": here == {each.path: each.size_bytes for each in files},
        "same hashes": hashes == {i.path: i.file_hash for i in by_spark.digest(files).hashed},
        "stat": {_name(path) for path in by_spark.stat([*here, gone])} == {*map(_name, here)},
    }


def evolve(client: Client) -> Any:
    """New and unfitting values of JSON, with a column of the folders."""
    folder = client.root / "evolved/day=2024-01-31"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text('{"id": 1, "s": {"x": 1, "y": 2}, "new": true}\n')
    (folder / "b.json").write_text('{"ID": 2, "id": 3}\n')
    (folder / "c.json").write_text('{"Id": 4, "s": {"x": "one"}}\n')
    table = f"{client.schema}.evolved"
    client.spark.sql(f"CREATE TABLE {table} (id INT, s STRUCT<x: INT>, day DATE)")
    found = []
    for evolution in ("add_new_columns", "rescue"):
        config = {
            "path": "evolved",
            "format": "json",
            "recursive": True,
            "partition_columns": ["day"],
            "schema_evolution": evolution,
        }
        found.append(client.ingest(FileSource.parse("m/s", config, {"table": table}))["failures"])
    shown = ("id", "to_json(s)", "CAST(day AS STRING)", "new", "_rescued_data")
    rows = client.spark.table(table).selectExpr(*shown).collect()
    return [found, sorted([list(row) for row in rows], key=str)]


def remote(client: Client) -> Any:
    """What files tell of their columns, read by Spark alone."""
    client.put("remote", a="id,name\n1,a\n", bad="id,ID\n")
    source = client.source("remote")
    files = sorted(LocalFiles(client.paths).list_files(source))
    bad: dict[str, str] = {}
    asked = RemoteColumns(client.spark, FileFormat.CSV, {"header": "true"})
    small = asked.of(files, bad)
    large = asked.of([replace(file, size_bytes=2**40) for file in files[:1]], bad)
    return [[*map(_name, small)], list(small.values()) == list(large.values()), [*map(_name, bad)]]


STEPS: list[Callable[[Client], Any]] = [
    *(append, merge, once, transform, expect, listing),
    *(evolve, remote),
]


def main() -> None:
    faulthandler.dump_traceback_later(GIVE_UP_SECONDS, exit=True)
    port, root, schema = sys.argv[1:]
    client = Client(port, Path(root), schema)
    print(json.dumps({step.__name__: step(client) for step in STEPS}, default=str))  # noqa: T201
    client.spark.stop()


if __name__ == "__main__":
    main()
