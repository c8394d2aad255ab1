"""What a Delta table remembers of our batches: transaction versions, and notes in its commits.

Local tables are asked through delta-rs, in milliseconds and without Spark. Tables that lie
elsewhere, or use a feature that delta-rs does not know, are asked through Spark.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from lakeflow_meta.errors import BackendError
from lakeflow_meta.ingest.batch import Batch, BatchId
from lakeflow_meta.names import TableName
from lakeflow_meta.paths import path_of_location
from lakeflow_meta.sql import qualified

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_FEW = 20
_CLOCK_SKEW = timedelta(hours=1)

Locate = Callable[[TableName], Path | None]
"""Where a table lies that can be found without Spark; None where it cannot."""


@dataclass(frozen=True, slots=True)
class BatchCommit:
    """One commit that a batch left. ``attempt`` tells which of its tries it was."""

    batch_id: str
    attempt: str
    excluded: tuple[str, ...]
    rows: int | None


@dataclass(frozen=True, slots=True)
class _Entry:
    version: int
    at: datetime
    commit: BatchCommit | None


class DeltaCommits:
    """Reads the history of target tables."""

    def __init__(self, session: Callable[[], SparkSession], locate: Locate) -> None:
        self._session = session
        self._locate = locate

    def last_version(self, table: TableName, app_id: str) -> int | None:
        """The highest transaction version of an application, None if there is none."""
        path = self._path(table)
        if path is not None:
            try:
                return DeltaTable(path).transaction_version(app_id)
            except TableNotFoundError:
                return None
            except DeltaError:
                pass  # a feature that delta-rs does not know; Spark does
        if not self._exists(table):
            return None
        notes = (entry.commit for entry in self._spark_history(table, None))
        ids = [BatchId.parse(note.batch_id) for note in notes if note is not None]
        return max((each.version for each in ids if each.app_id == app_id), default=None)

    def find(
        self, table: TableName, batch: Batch, attempt: str | None = None
    ) -> BatchCommit | None:
        """The commit of a batch (of one attempt of it), None when there is none.

        Raises BackendError when the history was cut off behind the claim of the batch.
        """
        for limit in (_FEW, None):
            oldest: _Entry | None = None
            for entry in self._history(table, limit):
                found, oldest = entry.commit, entry
                if found is not None and found.batch_id == str(batch.id):
                    return found if attempt in (None, found.attempt) else None
            if oldest is None or _reaches(oldest, batch):
                return None
        raise BackendError(
            f"whether batch {batch.id} was committed to {table} can no longer be told: the"
            " history of the table does not reach back to when it was claimed; if its rows are"
            " there set its files to success in the ledger, else to pending",
            code="HISTORY_TRUNCATED",
        )

    def _history(self, table: TableName, limit: int | None) -> Iterator[_Entry]:
        path = self._path(table)
        if path is not None:
            try:
                return iter([_entry(row) for row in DeltaTable(path).history(limit)])
            except TableNotFoundError:
                return iter(())
            except DeltaError:
                pass  # a feature that delta-rs does not know; Spark does
        return self._spark_history(table, limit) if self._exists(table) else iter(())

    def _path(self, table: TableName) -> str | None:
        found = self._locate(table)
        if found is not None:
            return str(found)
        if not self._exists(table):
            return None
        row = self._spark_table(table).detail().first()
        place = path_of_location(str(row["location"]))
        return None if place is None else str(place)

    def _exists(self, table: TableName) -> bool:
        return bool(self._session().catalog.tableExists(qualified(table)))

    def _spark_history(self, table: TableName, limit: int | None) -> Iterator[_Entry]:
        rows = self._spark_table(table).history(limit).collect()
        return (_entry(row.asDict()) for row in rows)

    def _spark_table(self, table: TableName) -> Any:
        from delta.tables import DeltaTable as SparkDeltaTable

        return SparkDeltaTable.forName(self._session(), qualified(table))


def _reaches(oldest: _Entry, batch: Batch) -> bool:
    return oldest.version == 0 or oldest.at <= batch.claimed_at - _CLOCK_SKEW


def _entry(row: Mapping[str, Any]) -> _Entry:
    at = row["timestamp"]
    if not isinstance(at, datetime):
        at = datetime.fromtimestamp(at / 1000, UTC)
    elif at.tzinfo is None:
        at = at.astimezone(UTC)
    rows = (row.get("operationMetrics") or {}).get("numOutputRows")
    return _Entry(row["version"], at, _commit(row.get("userMetadata"), rows))


def _commit(text: str | None, rows: Any) -> BatchCommit | None:
    """Our note in a commit; None for notes of others."""
    try:
        note = json.loads(text or "null")
    except ValueError:
        return None
    if not isinstance(note, dict) or not {"batch_id", "attempt", "excluded"} <= note.keys():
        return None
    count = int(rows) if rows is not None else None
    return BatchCommit(note["batch_id"], note["attempt"], tuple(note["excluded"]), count)
