"""What a Delta table remembers of our batches: transaction versions, and notes in its commits.

Local tables are asked through delta-rs, in milliseconds and without Spark. Tables that lie
elsewhere, or use a feature that delta-rs does not know, are asked by SQL.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from lakeflow_meta.errors import BackendError
from lakeflow_meta.ingest.batch import Batch, BatchId
from lakeflow_meta.ingest.target_state import TargetState, retention_of
from lakeflow_meta.names import TableName
from lakeflow_meta.paths import path_of_location
from lakeflow_meta.sql import qualified
from lakeflow_meta.sql_ingest import describe_detail
from lakeflow_meta.sql_rows import history_of

if TYPE_CHECKING:
    from pyspark.sql import Row, SparkSession

_FEW = 20
_RECENT = 500
"""Commits that are looked through by SQL for the newest batch of a lane. One that is older is not
found; then Delta itself skips the write, which is seen."""
_CLOCK_SKEW = timedelta(hours=1)

Locate = Callable[[TableName], Path | None]
"""Where a table lies that can be found without Spark; None where it cannot."""


@dataclass(frozen=True, slots=True)
class BatchCommit:
    """One commit that a batch left, as version ``version`` of the table."""

    batch_id: str
    attempt: str
    """Which of the tries of the batch it was."""
    excluded: tuple[str, ...]
    counts: tuple[int, ...] | None
    """Rows of its files, in the order of their paths; None where the note does not say."""
    rows: int | None
    """Rows that were written; of a merge with those that were only copied."""
    version: int

    def counts_of(self, paths: Collection[str]) -> dict[str, int] | None:
        """The noted rows of these files; None where the note is not about just these."""
        if self.counts is None or len(self.counts) != len(paths):
            return None
        return dict(zip(sorted(paths), self.counts, strict=True))


@dataclass(frozen=True, slots=True)
class _Entry:
    version: int
    at: datetime
    commit: BatchCommit | None


class DeltaCommits:
    """Reads the history of target tables."""

    def __init__(self, session: Callable[[], SparkSession], locate: Locate) -> None:
        self._session = session
        self.locate = locate

    def last_version(self, table: TableName, app_id: str) -> int | None:
        """The highest transaction version of an application, None if there is none.

        Where only SQL can be asked, None may also mean that it is many commits ago.
        """
        return self.state(table, (app_id,)).versions.get(app_id)

    def state(self, table: TableName, app_ids: Collection[str]) -> TargetState:
        """What the table is now, and the highest version of each application."""
        path = self._path(table)
        if path is not None:
            try:
                return _state_of(DeltaTable(path), app_ids)
            except TableNotFoundError:
                return TargetState(exists=False)
            except DeltaError:
                pass  # a feature that delta-rs does not know; Spark does
        if not self._exists(table):
            return TargetState(exists=False)
        return self._state_by_sql(table, app_ids)

    def _state_by_sql(self, table: TableName, app_ids: Collection[str]) -> TargetState:
        entries = list(self._history_by_sql(table, _RECENT))
        versions: dict[str, int] = {}
        for entry in entries:
            batch_id = BatchId.parse(entry.commit.batch_id) if entry.commit else None
            if batch_id is not None and batch_id.app_id in app_ids:
                known = versions.get(batch_id.app_id, 0)
                versions[batch_id.app_id] = max(known, batch_id.version)
        properties = dict(self._detail(table)["properties"] or {})
        complete = bool(entries) and entries[-1].version == 0
        return TargetState(True, versions, complete, retention_of(properties))

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
            if oldest is None or oldest.version == 0:
                return None
            if _reaches(oldest, batch) and (limit is None or not self._has(table, batch)):
                return None
        raise BackendError(
            f"whether batch {batch.id} was committed to {table} can no longer be told: the"
            " history of the table does not reach back to when it was claimed; if its rows are"
            " there set its files to success in the ledger, else to pending",
            code="HISTORY_TRUNCATED",
        )

    def _has(self, table: TableName, batch: Batch) -> bool:
        """Whether the table knows the transaction: then all of its history is looked through,
        because a clock that jumped tells nothing of how far back the commit is."""
        last = self.last_version(table, batch.id.app_id)
        return last is not None and last >= batch.id.version

    def _history(self, table: TableName, limit: int | None) -> Iterator[_Entry]:
        path = self._path(table)
        if path is not None:
            try:
                return iter([_entry(row) for row in DeltaTable(path).history(limit)])
            except TableNotFoundError:
                return iter(())
            except DeltaError:
                pass  # a feature that delta-rs does not know; Spark does
        return self._history_by_sql(table, limit) if self._exists(table) else iter(())

    def _path(self, table: TableName) -> str | None:
        found = self.locate(table)
        if found is not None:
            return str(found)
        if not self._exists(table):
            return None
        place = path_of_location(str(self._detail(table)["location"]))
        return str(place) if place is not None and place.is_dir() else None

    def _exists(self, table: TableName) -> bool:
        return bool(self._session().catalog.tableExists(qualified(table)))

    def _detail(self, table: TableName) -> Row:
        return self._session().sql(describe_detail(table)).collect()[0]

    def _history_by_sql(self, table: TableName, limit: int | None) -> Iterator[_Entry]:
        rows = self._session().sql(history_of(table, limit)).collect()
        return (_entry(row.asDict()) for row in rows)


def _state_of(table: DeltaTable, app_ids: Collection[str]) -> TargetState:
    asked = {app_id: table.transaction_version(app_id) for app_id in app_ids}
    versions = {app_id: version for app_id, version in asked.items() if version is not None}
    return TargetState(True, versions, True, retention_of(table.metadata().configuration))


def _reaches(oldest: _Entry, batch: Batch) -> bool:
    return oldest.version == 0 or oldest.at <= batch.claimed_at - _CLOCK_SKEW


def _entry(row: Mapping[str, Any]) -> _Entry:
    at = row["timestamp"]
    if not isinstance(at, datetime):
        at = datetime.fromtimestamp(at / 1000, UTC)
    elif at.tzinfo is None:
        at = at.astimezone(UTC)
    rows = (row.get("operationMetrics") or {}).get("numOutputRows")
    return _Entry(row["version"], at, _commit(row.get("userMetadata"), rows, row["version"]))


def _commit(text: str | None, rows: Any, version: int) -> BatchCommit | None:
    """Our note in a commit; None for notes of others."""
    try:
        note = json.loads(text or "null")
    except ValueError:
        return None
    if not isinstance(note, dict) or not {"batch_id", "attempt", "excluded"} <= note.keys():
        return None
    counts = tuple(note["counts"]) if "counts" in note else None
    written = int(rows) if rows is not None else None
    excluded = tuple(note["excluded"])
    return BatchCommit(note["batch_id"], note["attempt"], excluded, counts, written, version)
