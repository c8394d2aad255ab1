"""The ledger: which files of a target are claimed, ingested or failed; kept in a control table.

Every write is one transaction and is fenced: a row changes only where it is still as it was seen,
so of two ingestors one wins, and a process that was given up can no longer change anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from lakeflow_meta.control.tables import FILES, ControlTables
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.ingest.batch import BatchCounts, BatchId
from lakeflow_meta.ingest.discovery import Claim, Link
from lakeflow_meta.ingest.files import FoundFile
from lakeflow_meta.ingest.snapshot import COLUMNS, Entry, FileStatus, Snapshot
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Clock, ControlStore, Row

LEFT_OUT = "another process committed the batch without this file"


@dataclass(frozen=True, slots=True)
class Won:
    """What a claim came to."""

    entries: dict[str, Entry]
    """Rows that the batch holds now, by path."""
    yielded: tuple[FoundFile, ...]
    """Files given back: another ingestor was first to claim the same bytes."""


class Ledger:
    """The rows of one target in the ledger table."""

    def __init__(
        self, store: ControlStore, tables: ControlTables, target: TableName, clock: Clock
    ) -> None:
        self._store = store
        self._table = tables.of(FILES)
        self._target = target.key
        self._clock = clock

    def read(self, version: int | None = None) -> Snapshot:
        """The rows of the target. A ledger that does not exist yet is made, and is empty."""
        try:
            return self._read(version)
        except NotFoundError:
            if version is not None:
                raise
            self._store.ensure(self._table, FILES)
            return self._read(None)

    def _read(self, version: int | None) -> Snapshot:
        where = {"target_table": self._target}
        return Snapshot(
            self._store.read(self._table, columns=COLUMNS, where=where, version=version)
        )

    def claim(
        self, claims: Sequence[Claim], batch_id: BatchId, owner: str, until: datetime | None
    ) -> Won:
        """Try to claim files for a batch; what was won, read back at the claim's own version.

        At that version whatever else holds the same bytes was there first: such a claim is given
        back at once, so that equal files under two paths are not loaded by two ingestors.
        """
        now = self._clock()
        rows = [
            self._row(claim.file.file, claim.file.file_hash, claim.seen, FileStatus.PROCESSING, now)
            | {
                "batch_id": str(batch_id),
                "attempt": (claim.seen.attempt if claim.seen else 0) + 1,
                "lease_owner": owner,
                "lease_until": until,
            }
            for claim in claims
        ]
        superseded = [claim.file.path for claim in claims if claim.replaces_failed]
        version = self._write(rows, "claim", superseded)
        return self._won(batch_id, self.read(version))

    def _won(self, batch_id: BatchId, after: Snapshot) -> Won:
        mine = {entry.path: entry for entry in after.claimed_by(batch_id)}
        rivals = after.rivals(batch_id, {entry.file_hash for entry in mine.values()})
        yielded = [entry for entry in mine.values() if entry.file_hash in rivals]
        self.release(yielded)
        kept = {path: entry for path, entry in mine.items() if entry.file_hash not in rivals}
        return Won(kept, tuple(entry.file for entry in yielded))

    def release(self, entries: Sequence[Entry]) -> None:
        """Give claims back. Only for batches whose transaction can never be committed."""
        now = self._clock()
        self._write(
            [self._row(e.file, e.file_hash, e, FileStatus.PENDING, now) for e in entries],
            "release",
        )

    def exclude(self, entries: Mapping[str, Entry], reasons: Mapping[str, str]) -> dict[str, Entry]:
        """Record that files of a batch cannot go along, before the batch is tried without them.

        They stay with the batch until it is settled. Returns all rows of the batch as they are now.
        """
        now = self._clock()
        rows = [
            self._row(entry.file, entry.file_hash, entry, FileStatus.FAILED, now)
            | {"batch_id": entry.batch_id, "error_message": reasons[path]}
            for path, entry in entries.items()
            if path in reasons
        ]
        self._write(rows, "exclude")
        return {
            path: _failed(entry, reasons[path], now) if path in reasons else entry
            for path, entry in entries.items()
        }

    def settle(
        self, entries: Mapping[str, Entry], counts: BatchCounts, twins: Sequence[Link]
    ) -> dict[str, str]:
        """Record what the batch's transaction holds; the reason of each file it does not hold.

        ``twins`` share the fate of the file whose bytes they repeat.
        """
        now = self._clock()
        failures = {
            path: entry.error or LEFT_OUT
            for path, entry in entries.items()
            if path not in counts.rows
        }
        rows = [
            self._loaded_row(e, counts.rows[p], now) for p, e in entries.items() if p in counts.rows
        ]
        rows += [
            self._row(entry.file, entry.file_hash, entry, FileStatus.FAILED, now)
            | {"batch_id": entry.batch_id, "error_message": failures[path]}
            for path, entry in entries.items()
            if path in failures and entry.status is not FileStatus.FAILED
        ]
        rows += [self._link_row(t, now) for t in twins if t.original in counts.rows]
        rows += [self._failed_twin(t, failures, now) for t in twins if t.original in failures]
        self._write(rows, "settle")
        return failures

    def link(self, links: Sequence[Link], touched: Sequence[Link]) -> None:
        """Record duplicates, and new modification times of ingested files."""
        now = self._clock()
        self._write([self._link_row(link, now) for link in links], "link")
        self._write(
            [
                {
                    "target_table": self._target,
                    "file_path": link.file.path,
                    "file_hash": link.file.file_hash,
                    "size_bytes": link.file.file.size_bytes,
                    "modified_at": link.file.file.modified_at,
                    "fence": link.seen.fence + 1,
                }
                for link in touched
                if link.seen is not None
            ],
            "touch",
        )

    def record_unreadable(
        self, reasons: Mapping[FoundFile, str], entries: Mapping[str, list[Entry]]
    ) -> None:
        """Record files whose bytes could not even be read; such a row has an empty digest."""
        now = self._clock()
        rows = []
        for file, reason in reasons.items():
            seen = next((e for e in entries.get(file.path, []) if not e.file_hash), None)
            rows.append(
                self._row(file, "", seen, FileStatus.FAILED, now) | {"error_message": reason}
            )
        self._write(rows, "unreadable")

    def _loaded_row(self, entry: Entry, count: int | None, now: datetime) -> Row:
        row = self._row(entry.file, entry.file_hash, entry, FileStatus.SUCCESS, now)
        return row | {"batch_id": entry.batch_id, "record_count": count}

    def _link_row(self, link: Link, now: datetime) -> Row:
        row = self._row(link.file.file, link.file.file_hash, link.seen, FileStatus.SUCCESS, now)
        return row | {
            "record_count": 0,
            "duplicate_of": link.original,
            "error_message": f"skipped: the same bytes as {link.original}",
        }

    def _failed_twin(self, link: Link, failures: Mapping[str, str], now: datetime) -> Row:
        row = self._row(link.file.file, link.file.file_hash, link.seen, FileStatus.FAILED, now)
        reason = f"the same bytes as {link.original}, which failed: {failures[link.original]}"
        return row | {"error_message": reason}

    def _row(
        self,
        file: FoundFile,
        file_hash: str,
        seen: Entry | None,
        status: FileStatus,
        now: datetime,
    ) -> Row:
        return {
            "file_path": file.path,
            "file_hash": file_hash,
            "status": status.value,
            "processed_at": now,
            "record_count": None,
            "error_message": None,
            "target_table": self._target,
            "size_bytes": file.size_bytes,
            "modified_at": file.modified_at,
            "batch_id": None,
            "attempt": seen.attempt if seen else 0,
            "lease_owner": None,
            "lease_until": None,
            "duplicate_of": None,
            "fence": (seen.fence if seen else 0) + 1,
        }

    def _write(
        self, rows: Sequence[Row], action: str, superseded: Sequence[str] = ()
    ) -> int | None:
        if not rows:
            return None
        scope = {
            "target_table": self._target,
            "file_path": list(superseded),
            "status": FileStatus.FAILED.value,
        }
        result = self._store.merge(
            self._table,
            rows,
            keys=FILES.keys,
            fence="fence",
            scope=scope if superseded else None,
            note={"verb": "ingest", "action": action},
        )
        return result.version


def _failed(entry: Entry, reason: str, now: datetime) -> Entry:
    return replace(
        entry, status=FileStatus.FAILED, error=reason, changed_at=now, fence=entry.fence + 1
    )
