"""The ledger: which files of a target are claimed, ingested or failed; kept in a control table.

Every write is one transaction and is fenced: a row changes only where it is still as it was seen,
so of two ingestors one wins, and a process that was given up can no longer change anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from lakeflow_meta.control.tables import EVENTS, FILES
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.ingest.batch import BatchCounts, BatchId
from lakeflow_meta.ingest.discovery import Claim, Link
from lakeflow_meta.ingest.files import FoundFile, HashedFile
from lakeflow_meta.ingest.ledger_tables import TableNames
from lakeflow_meta.ingest.snapshot import COLUMNS, Entry, FileStatus, Glance, Snapshot
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Clock, ControlStore, Row

if TYPE_CHECKING:
    import pyarrow as pa

LEFT_OUT = "another process committed the batch without this file"
CHANGED_MEANWHILE = (
    "it changed while it was read: its rows are in the table, but whether they are of these bytes"
    " is not certain"
)
PASSED_OVER = "skipped: its content changed since it was ingested (on_change: skip)"

_FEW_HASHES = 500
_EVENT_PATHS = 100
"""Names of files that one event shows."""


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
        self,
        store: ControlStore,
        tables: TableNames,
        target: TableName,
        clock: Clock,
        *,
        replaces: bool = False,
    ) -> None:
        """``replaces``: each batch replaces what is in the target."""
        self._store = store
        self._replaces = replaces
        self._table = tables.of(FILES)
        self._events = tables.of(EVENTS)
        self._target = target.key
        self._clock = clock

    def glance(self) -> Glance:
        """What tells whether there is anything to do."""
        try:
            return Glance(self._rows(Glance.COLUMNS, None))
        except NotFoundError:
            return Snapshot.empty().glance

    def look(self) -> Snapshot:
        """The rows of the target; nothing is made where there is no ledger yet."""
        try:
            return self._snapshot(None)
        except NotFoundError:
            return Snapshot.empty()

    def read(self, version: int | None = None) -> Snapshot:
        """The rows of the target. A ledger that does not exist yet is made, and is empty."""
        try:
            return self._snapshot(version)
        except NotFoundError:
            if version is not None:
                raise
            self._store.ensure(self._table, FILES)
            return self._snapshot(None)

    def _snapshot(self, version: int | None) -> Snapshot:
        return Snapshot(self._rows(COLUMNS, version), replaces=self._replaces)

    def _rows(self, columns: Sequence[str], version: int | None) -> pa.Table:
        where = {"target_table": self._target}
        return self._store.read(self._table, columns=columns, where=where, version=version)

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
                "error_message": claim.seen.error if claim.seen and claim.seen.forced else None,
                "attempt": (claim.seen.attempt if claim.seen else 0) + 1,
                "lease_owner": owner,
                "lease_until": until,
            }
            for claim in claims
        ]
        superseded = [claim.file.path for claim in claims if claim.replaces_failed]
        version = self._write(rows, "claim", superseded)
        return self._won(batch_id, self._after(version, {c.file.file_hash for c in claims}))

    def _after(self, version: int | None, hashes: Set[str]) -> Snapshot:
        """The rows of these contents; where they are many, all rows, which is quicker to ask."""
        if self._replaces or len(hashes) > _FEW_HASHES:
            return self.read(version)
        where = {"target_table": self._target, "file_hash": sorted(hashes)}
        found = self._store.read(self._table, columns=COLUMNS, where=where, version=version)
        return Snapshot(found, replaces=self._replaces)

    def _won(self, batch_id: BatchId, after: Snapshot) -> Won:
        mine = {entry.path: entry for entry in after.claimed_by(batch_id)}
        rivals = after.rivals(batch_id, mine.values())
        yielded = [entry for path, entry in mine.items() if path in rivals]
        self.release(yielded)
        kept = {path: entry for path, entry in mine.items() if path not in rivals}
        return Won(kept, tuple(entry.file for entry in yielded))

    def release(self, entries: Sequence[Entry]) -> None:
        """Give claims back. Only for batches whose transaction can never be committed."""
        now = self._clock()
        rows = [
            self._row(entry.file, entry.file_hash, entry, FileStatus.PENDING, now)
            | {"error_message": entry.error if entry.forced else None}
            for entry in entries
        ]
        self._write(rows, "release")

    def force(
        self, files: Sequence[tuple[HashedFile, Entry | None]], actor: str, source: str
    ) -> None:
        """Have files ingested again, whatever is known of them.

        The event is written first: a process that dies in between has announced what it did not do.
        """
        if not files:
            return
        now = self._clock()
        why = f"to be ingested again, as {actor or 'somebody'} asked"
        rows = [
            self._row(item.file, item.file_hash, seen, FileStatus.PENDING, now)
            | {"error_message": why}
            for item, seen in files
        ]
        self._tell_force(files, actor, source, now)
        self._write(rows, "force", actor=actor)

    def _tell_force(
        self,
        files: Sequence[tuple[HashedFile, Entry | None]],
        actor: str,
        source: str,
        now: datetime,
    ) -> None:
        paths = sorted(item.path for item, _ in files)
        told = {"source": source, "files": len(paths), "paths": paths[:_EVENT_PATHS]}
        event = {
            "at": now,
            "actor": actor,
            "verb": "ingest",
            "object": self._target,
            "action": "forced",
            "after": canonical_json(told),
            "outcome": "done",
        }
        self._store.ensure(self._events, EVENTS)
        self._store.append(self._events, [event], note={"verb": "ingest", "action": "forced"})

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
        self,
        entries: Mapping[str, Entry],
        counts: BatchCounts,
        twins: Sequence[Link],
        changed: Collection[str] = (),
    ) -> dict[str, str]:
        """Record what the batch's transaction holds; the reason of each file it does not hold.

        ``twins`` share the fate of the file whose bytes they repeat. Files in ``changed`` are no
        longer what was claimed: their rows are there, but they hold no bytes for others.
        """
        now = self._clock()
        failures = {
            path: entry.error or LEFT_OUT
            for path, entry in entries.items()
            if path not in counts.rows
        }
        rows = [
            self._loaded_row(entry, counts.rows[path], now)
            | {"error_message": CHANGED_MEANWHILE if path in changed else None}
            for path, entry in entries.items()
            if path in counts.rows
        ]
        rows += [
            self._row(entry.file, entry.file_hash, entry, FileStatus.FAILED, now)
            | {"batch_id": entry.batch_id, "error_message": failures[path]}
            for path, entry in entries.items()
            if path in failures and entry.status is not FileStatus.FAILED
        ]
        sure = counts.rows.keys() - set(changed)
        rows += [self._link_row(twin, now) for twin in twins if twin.original in sure]
        rows += [self._failed_twin(t, failures, now) for t in twins if t.original in failures]
        self._write(rows, "settle")
        return failures

    def link(self, links: Sequence[Link], touched: Sequence[Link]) -> None:
        """Record duplicates, and new modification times of ingested files.

        A file that was touched while it was read, and has the bytes that were claimed, is what was
        read.
        """
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
                    "error_message": None if link.seen.batch_id else link.seen.error or None,
                    "fence": link.seen.fence + 1,
                }
                for link in touched
                if link.seen is not None
            ],
            "touch",
        )

    def pass_over(self, links: Sequence[Link]) -> None:
        """Record new content of ingested files that is not to be loaded: settled, with no rows."""
        now = self._clock()
        rows = [
            self._row(link.file.file, link.file.file_hash, link.seen, FileStatus.SUCCESS, now)
            | {"record_count": 0, "error_message": PASSED_OVER}
            for link in links
        ]
        self._write(rows, "pass over")

    def refuse(self, links: Sequence[Link], reason: str) -> None:
        """Record files that are not to be loaded, as failed; nothing where that is known."""
        now = self._clock()
        news = [link for link in links if not _is_known(link.seen, link.file.file, reason)]
        rows = [
            self._row(link.file.file, link.file.file_hash, link.seen, FileStatus.FAILED, now)
            | {"error_message": reason}
            for link in news
        ]
        self._write(rows, "refuse", [link.file.path for link in news])

    def record_unreadable(
        self, reasons: Mapping[FoundFile, str], entries: Mapping[str, list[Entry]]
    ) -> None:
        """Record files whose bytes could not even be read; such a row has an empty digest."""
        now = self._clock()
        rows = []
        for file, reason in reasons.items():
            seen = next((e for e in entries.get(file.path, []) if not e.file_hash), None)
            if not _is_known(seen, file, reason):
                row = self._row(file, "", seen, FileStatus.FAILED, now)
                rows.append(row | {"error_message": reason})
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
        self,
        rows: Sequence[Row],
        action: str,
        superseded: Sequence[str] = (),
        actor: str = "",
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
            note={"verb": "ingest", "action": action} | ({"actor": actor} if actor else {}),
        )
        return result.version


def _is_known(seen: Entry | None, file: FoundFile, reason: str) -> bool:
    """Whether the ledger says just that."""
    return (
        seen is not None
        and seen.status is FileStatus.FAILED
        and seen.file == file
        and seen.error == reason
    )


def _failed(entry: Entry, reason: str, now: datetime) -> Entry:
    return replace(
        entry, status=FileStatus.FAILED, error=reason, changed_at=now, fence=entry.fence + 1
    )
