"""What the ledger says of one target at one moment. Pure.

A ledger may hold a hundred thousand files of which one is new: questions are answered on columns,
and rows become objects only where something is to be done with them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakeflow_meta.ingest.batch import BatchId
from lakeflow_meta.ingest.files import FoundFile


class FileStatus(StrEnum):
    """How far a file is."""

    PENDING = "pending"
    """Known, held by nobody: to be claimed."""
    PROCESSING = "processing"
    """Claimed by the batch of ``batch_id``, which is not settled."""
    SUCCESS = "success"
    """Its bytes are in the target; it brought them, or ``duplicate_of`` did."""
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


class Snapshot:
    """The ledger of one target."""

    def __init__(self, rows: pa.Table) -> None:
        self._rows = rows
        settled = pc.equal(rows["status"], FileStatus.SUCCESS.value)
        self._settled = rows.filter(settled)
        self._unsettled = [_entry(row) for row in rows.filter(pc.invert(settled)).to_pylist()]

    def not_ingested(self, found: Sequence[FoundFile]) -> list[FoundFile]:
        """Files whose path, size and modification time are not those of an ingested one."""
        listing = pa.table(
            {
                "file_path": pa.array([file.path for file in found], pa.string()),
                "size_bytes": pa.array([file.size_bytes for file in found], pa.int64()),
                "modified_at": pa.array(
                    [file.modified_at for file in found], pa.timestamp("us", "UTC")
                ),
                "position": pa.array(range(len(found)), pa.int64()),
            }
        )
        keys = ["file_path", "size_bytes", "modified_at"]
        unknown = listing.join(self._settled.select(keys), keys=keys, join_type="left anti")
        return [found[position] for position in sorted(unknown["position"].to_pylist())]

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
            if entry.status in (FileStatus.SUCCESS, FileStatus.PROCESSING):
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

    def last_version(self, app_id: str) -> int:
        """The highest transaction version that the ledger names for an application; 0 if none."""
        texts = pc.unique(self._rows["batch_id"].drop_null()).to_pylist()
        ids = [BatchId.parse(text) for text in texts]
        return max((found.version for found in ids if found.app_id == app_id), default=0)

    def claimed_by(self, batch_id: BatchId) -> list[Entry]:
        """The rows that a batch holds."""
        return [
            entry
            for entry in self._unsettled
            if entry.batch_id == str(batch_id) and entry.status is FileStatus.PROCESSING
        ]

    def rivals(self, batch_id: BatchId, hashes: Iterable[str]) -> set[str]:
        """Of these contents, the ones that others than the batch ingested or are ingesting."""
        return {
            entry.file_hash
            for entry in self._where("file_hash", set(hashes))
            if entry.status in (FileStatus.SUCCESS, FileStatus.PROCESSING)
            and entry.batch_id != str(batch_id)
        }

    def _where(self, column: str, values: Collection[str]) -> list[Entry]:
        wanted = pa.array(sorted(values), pa.string())
        rows = self._rows.filter(pc.is_in(self._rows[column], value_set=wanted))
        return [_entry(row) for row in rows.to_pylist()]


def _precedence(entry: Entry) -> tuple[bool, bool, str]:
    """Ingested before being ingested, bringer before duplicate, then by name."""
    return (entry.status is not FileStatus.SUCCESS, bool(entry.duplicate_of), entry.path)


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
