"""What the ledger says of one target at one moment. Pure.

A ledger may hold a hundred thousand files of which one is new: questions are answered on columns,
and rows become objects only where something is to be done with them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakeflow_meta.arrow_values import rows_of
from lakeflow_meta.control.arrow import arrow_schema
from lakeflow_meta.control.tables import FILES
from lakeflow_meta.ingest.batch import BatchId
from lakeflow_meta.ingest.files import FoundFile
from lakeflow_meta.ingest.listing import IDENTITY, FileListing, texts


class FileStatus(StrEnum):
    """How far a file is."""

    PENDING = "pending"
    """Known, held by nobody: to be claimed. With a message: to be ingested again on purpose."""
    PROCESSING = "processing"
    """Claimed by the batch of ``batch_id``, which is not settled."""
    SUCCESS = "success"
    """Its bytes are in the target; it brought them, or ``duplicate_of`` did. With a message and
    no ``duplicate_of`` that is not certain: it was passed over, or changed while it was read."""
    FAILED = "failed"
    """It could not be loaded; the next run tries again."""


COLUMNS = (
    "file_path",
    "file_hash",
    "status",
    "processed_at",
    "error_message",
    "size_bytes",
    "modified_at",
    "batch_id",
    "attempt",
    "fence",
    "duplicate_of",
    "record_count",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the ledger: one content of one file."""

    file: FoundFile
    file_hash: str
    status: FileStatus
    batch_id: str
    attempt: int
    fence: int
    changed_at: datetime | None
    error: str
    duplicate_of: str

    @property
    def path(self) -> str:
        """What the ledger knows the file by."""
        return self.file.path

    @property
    def in_target(self) -> bool:
        """Whether the bytes are in the target for certain."""
        return self.status is FileStatus.SUCCESS and (bool(self.duplicate_of) or not self.error)

    @property
    def brought(self) -> bool:
        """Whether this file brought its bytes into the target."""
        return self.in_target and not self.duplicate_of

    @property
    def forced(self) -> bool:
        """Whether the file is to be ingested again, whatever the ledger says of its bytes."""
        return self.status in (FileStatus.PENDING, FileStatus.PROCESSING) and bool(self.error)


class Glance:
    """As little of the ledger as tells whether there is anything to do."""

    COLUMNS = (*IDENTITY, "status")

    def __init__(self, rows: pa.Table) -> None:
        settled = _has_status(rows, FileStatus.SUCCESS)
        self._settled = rows if pc.all(settled).as_py() else rows.filter(settled)
        self._claimed = pc.any(_has_status(rows, FileStatus.PROCESSING)).as_py()

    @property
    def has_claims(self) -> bool:
        """Whether a batch is open."""
        return bool(self._claimed)

    def new(self, found: FileListing) -> FileListing:
        """Files whose path, size and modification time are not those of a settled one."""
        return found.unlike(self._settled)


class Snapshot:
    """The ledger of one target."""

    def __init__(self, rows: pa.Table, *, replaces: bool = False) -> None:
        """``replaces``: each batch replaces what is in the target, so only the last one holds."""
        self._rows = rows
        self._replaces = replaces
        unsettled = pc.invert(_has_status(rows, FileStatus.SUCCESS))
        self._unsettled = [_entry(row) for row in rows_of(rows.filter(unsettled))]

    @classmethod
    def empty(cls) -> Snapshot:
        """Of a ledger that does not exist."""
        return cls(pa.Table.from_batches([], arrow_schema(FILES)))

    @property
    def glance(self) -> Glance:
        """The part of it that tells what is new."""
        return Glance(self._rows.select(Glance.COLUMNS))

    def holds(self, entry: Entry) -> bool:
        """Whether the file is settled, and its bytes were not replaced in the target since."""
        if entry.status is not FileStatus.SUCCESS:
            return False
        if not self._replaces or not entry.in_target:
            return True
        if entry.batch_id:
            return entry.batch_id == self._last_batch
        return any(self._brings(row) for row in self._where("file_hash", {entry.file_hash}))

    def _brings(self, entry: Entry) -> bool:
        return entry.brought and (not self._replaces or entry.batch_id == self._last_batch)

    @cached_property
    def _last_batch(self) -> str:
        """The batch that was settled last: of a lane the highest version, of lanes the latest."""
        last: dict[str, tuple[int, datetime, str]] = {}
        for entry in self._where("status", {FileStatus.SUCCESS.value}):
            if entry.batch_id and entry.changed_at is not None:
                batch_id = BatchId.parse(entry.batch_id)
                found = (batch_id.version, entry.changed_at, entry.batch_id)
                last[batch_id.app_id] = max(last.get(batch_id.app_id, found), found)
        return max(((at, name) for _, at, name in last.values()), default=(None, ""))[1]

    def entries(self, paths: Iterable[str]) -> Mapping[str, list[Entry]]:
        """Every content that is known of each path."""
        by_path: dict[str, list[Entry]] = defaultdict(list)
        for entry in self._where("file_path", set(paths)):
            by_path[entry.path].append(entry)
        return by_path

    def holders(self, hashes: Iterable[str]) -> Mapping[str, Entry]:
        """For each content that was ingested or is being ingested, one file that brings it."""
        found: dict[str, Entry] = {}
        for entry in self._where("file_hash", set(hashes)):
            if self._brings(entry) or entry.status is FileStatus.PROCESSING:
                held = found.get(entry.file_hash)
                if held is None or _precedence(entry) < _precedence(held):
                    found[entry.file_hash] = entry
        return found

    def open_batches(self) -> dict[BatchId, list[Entry]]:
        """Batches that hold claims, oldest version first, with all their rows.

        Rows that such a batch had to leave out (``failed``) belong to it until it is settled: its
        transaction, if another process committed it, may hold them.
        """
        batches: dict[BatchId, list[Entry]] = defaultdict(list)
        for entry in self._unsettled:
            if entry.batch_id and entry.status is not FileStatus.PENDING:
                batches[BatchId.parse(entry.batch_id)].append(entry)
        return {
            batch_id: entries
            for batch_id, entries in sorted(batches.items())
            if any(entry.status is FileStatus.PROCESSING for entry in entries)
        }

    @cached_property
    def open_ids(self) -> frozenset[str]:
        """Names of the batches that hold claims."""
        return frozenset(map(str, self.open_batches()))

    def last_version(self, app_id: str) -> int:
        """The highest transaction version that the ledger names for an application; 0 if none."""
        ids = _batch_ids(self._rows["batch_id"])
        return max((found.version for found in ids if found.app_id == app_id), default=0)

    def loaded_versions(self) -> dict[str, int]:
        """By application, the highest version whose rows are recorded as in the target."""
        with_rows = pc.fill_null(pc.cast(self._rows["record_count"], pa.bool_()), False)
        brought = pc.and_(with_rows, _has_status(self._rows, FileStatus.SUCCESS))
        versions: dict[str, int] = {}
        for found in _batch_ids(self._rows["batch_id"].filter(brought)):
            versions[found.app_id] = max(found.version, versions.get(found.app_id, 0))
        return versions

    def claimed_by(self, batch_id: BatchId) -> list[Entry]:
        """The rows that a batch holds."""
        return [
            entry
            for entry in self._unsettled
            if entry.batch_id == str(batch_id) and entry.status is FileStatus.PROCESSING
        ]

    def rivals(self, batch_id: BatchId, claimed: Collection[Entry]) -> set[str]:
        """Claims of a batch whose bytes another file brought, or is bringing; by path.

        Bytes that are in the target are no rival of a file that is ingested again on purpose.
        """
        same = self._has("file_hash", {entry.file_hash for entry in claimed})
        own = self._has("batch_id", {str(batch_id)})
        others: dict[str, list[Entry]] = defaultdict(list)
        for entry in self._entries(pc.and_not(same, own)):
            others[entry.file_hash].append(entry)
        return {
            mine.path
            for mine in claimed
            for other in others[mine.file_hash]
            if other.status is FileStatus.PROCESSING or (self._brings(other) and not mine.forced)
        }

    def _where(self, column: str, values: Collection[str]) -> list[Entry]:
        return self._entries(self._has(column, values))

    def _has(self, column: str, values: Collection[str]) -> pa.ChunkedArray:
        return pc.is_in(self._rows[column], value_set=texts(sorted(values)))

    def _entries(self, wanted: pa.ChunkedArray) -> list[Entry]:
        return [_entry(row) for row in rows_of(self._rows.filter(wanted))]


def _batch_ids(column: pa.ChunkedArray) -> list[BatchId]:
    return [BatchId.parse(text) for text in pc.unique(column).to_pylist() if text]


def _has_status(rows: pa.Table, status: FileStatus) -> pa.ChunkedArray:
    return pc.is_in(rows["status"], value_set=texts([status.value]))


def _precedence(entry: Entry) -> tuple[bool, str]:
    """Ingested before being ingested, then by name."""
    return (entry.status is not FileStatus.SUCCESS, entry.path)


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(
        file=FoundFile(row["file_path"], row["size_bytes"] or 0, row["modified_at"]),
        file_hash=row["file_hash"] or "",
        status=FileStatus(row["status"]),
        batch_id=row["batch_id"] or "",
        attempt=row["attempt"] or 0,
        fence=row["fence"] or 0,
        changed_at=row["processed_at"],
        error=row["error_message"] or "",
        duplicate_of=row["duplicate_of"] or "",
    )
