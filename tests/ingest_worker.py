"""An ingestor in a process of its own, on real control tables and a real Delta table; no Spark.

``python ingest_worker.py ROOT NAME [EFFECTS]`` ingests ``ROOT/in`` until nothing is left to do.
With ``EFFECTS`` it kills itself, for real, when it has done that many things to the outside.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.backends.local_files import LocalFiles
from lakeflow_meta.backends.processes import is_running, process_name
from lakeflow_meta.control.tables import ControlTables
from lakeflow_meta.ingest.batch import Batch, BatchCounts, BatchLimits, FencedOutError
from lakeflow_meta.ingest.ingestor import Ingestor
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.ingest.target_state import TargetState
from lakeflow_meta.names import TableName
from lakeflow_meta.paths import PathMap

TABLES = ControlTables.named("main.lakeflow.etl_control")
ROWS = pa.schema([("line", pa.string()), ("file", pa.string()), ("batch", pa.string())])
EFFECTS = {
    "store.merge",
    "store.append",
    "store.ensure",
    "loader.load",
    "loader.fence",
    "files.put_away",
}


class DeltaRsLoader:
    """A `ports.BatchLoader` whose rows are lines, written by delta-rs with Delta's transactions."""

    def __init__(self, table: Path) -> None:
        self._uri = str(table)

    def committed_version(self, table: TableName, app_id: str) -> int | None:
        """The highest version that the table holds."""
        return self._table().transaction_version(app_id)

    def target_state(self, table: TableName, app_ids: Collection[str]) -> TargetState:
        """What the table remembers."""
        handle = self._table()
        known = {app_id: handle.transaction_version(app_id) for app_id in app_ids}
        return TargetState(True, {a: version for a, version in known.items() if version})

    def fence(self, batch: Batch) -> BatchCounts | None:
        """Commit nothing in the batch's name."""
        if (found := self.recount(batch)) is None:
            self._write(batch, [])
        return found

    def _table(self) -> DeltaTable:
        return DeltaTable.create(self._uri, ROWS, mode="ignore")

    def recount(self, batch: Batch) -> BatchCounts | None:
        """Rows by file of the batch's commit."""
        rows = self._table().to_pyarrow_table(filters=[("batch", "=", str(batch.id))])
        if not rows.num_rows:
            return None
        files = rows["file"].to_pylist()
        return BatchCounts({path: files.count(path) for path in set(files)})

    def load(self, batch: Batch) -> BatchCounts:
        """Append once."""
        handle = self._table()
        last = handle.transaction_version(batch.id.app_id)
        if last is not None and last >= batch.id.version:
            found = self.recount(batch)
            if found is None:
                raise FencedOutError(f"{batch.id} comes after {last}")
            return found
        lines = {path: Path(path).read_text().splitlines() for path in batch.paths}
        rows = [(line, path, str(batch.id)) for path in lines for line in lines[path]]
        self._write(batch, rows)
        return BatchCounts({path: len(found) for path, found in lines.items()})

    def _write(self, batch: Batch, rows: list[tuple[str, str, str]]) -> None:
        columns = list(zip(*rows, strict=True)) or [(), (), ()]
        transaction = Transaction(batch.id.app_id, batch.id.version)
        properties = CommitProperties(app_transactions=[transaction], max_commit_retries=50)
        data = pa.table(columns, schema=ROWS)
        write_deltalake(self._table(), data, mode="append", commit_properties=properties)

    def probe(self, batch: Batch) -> Mapping[str, str]:
        """No file is bad here."""
        return {}


class _Door:
    """Passes calls on; the process dies when it has had its number of effects."""

    def __init__(self, name: str, thing: Any, effects: int | None) -> None:
        self._name = name
        self._thing = thing
        self._effects = effects

    done = 0

    def __getattr__(self, method: str) -> Any:
        inner = getattr(self._thing, method)
        if f"{self._name}.{method}" not in EFFECTS:
            return inner

        def call(*args: Any, **kwargs: Any) -> Any:
            result = inner(*args, **kwargs)
            _Door.done += 1
            if _Door.done == self._effects:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call


def source_of(root: Path) -> FileSource:
    config = {
        "path": str(root / "in"),
        "format": "text",
        "after_success": "archive",
        "archive_path": str(root / "done"),
    }
    return FileSource.parse("m/s", config, {"table": "main.raw.lines"})


def ingest(root: Path, effects: int | None) -> Collection[str]:
    """Until nothing is left; the files that this process ingested."""
    loader = _Door("loader", DeltaRsLoader(root / "target"), effects)
    ingestor = Ingestor(
        _Door("store", DeltaRsStore(root / "control"), effects),
        TABLES,
        lambda: loader,
        _Door("files", LocalFiles(PathMap(root)), effects),
        owner=process_name(),
        is_alive=is_running,
        limits=BatchLimits(max_files=5),
    )
    for _ in range(100):
        result = ingestor.ingest(source_of(root))
        if not result.waiting and not result.processed:
            return ()
        time.sleep(0.02)
    raise AssertionError("files are waiting for ever")


if __name__ == "__main__":
    ingest(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
