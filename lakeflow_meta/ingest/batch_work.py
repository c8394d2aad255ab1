"""Batches of one source, in one run: settled where an earlier run left them, claimed, loaded.

Every step may be the last one of the process; see `ingestor` for what the next run makes of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from lakeflow_meta.ingest.batch import BadFilesError, Batch, BatchCounts, BatchId, FencedOutError
from lakeflow_meta.ingest.discovery import Claim, Link
from lakeflow_meta.ingest.files import HashedFile
from lakeflow_meta.ingest.lanes import Lane, LaneLostError, Lanes
from lakeflow_meta.ingest.ledger import Ledger
from lakeflow_meta.ingest.listing import FileListing
from lakeflow_meta.ingest.snapshot import Entry, FileStatus, Snapshot
from lakeflow_meta.ingest.source import FileSource, WriteMode
from lakeflow_meta.ingest.tally import Tally
from lakeflow_meta.ingest.target_state import target_warnings
from lakeflow_meta.ports import BatchLoader, Clock, FileLister

logger = logging.getLogger(__name__)

PATIENCE = 3
"""After so many refusals that name files, the rest of a batch is probed at once."""


class BatchWork:
    """Holds at most one lane; `close` gives it back."""

    def __init__(
        self,
        source: FileSource,
        ledger: Ledger,
        lanes: Lanes,
        loader: Callable[[], BatchLoader],
        lister: FileLister,
        clock: Clock,
        tally: Tally,
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._lanes = lanes
        self._make_loader = loader
        self._lister = lister
        self._clock = clock
        self._tally = tally
        self._lane: Lane | None = None

    def look_at_target(self, snapshot: Snapshot) -> None:
        """Tell where the target is not what the ledger takes it for. Raises ConfigError."""
        loaded, target = snapshot.loaded_versions(), self._source.target
        state = self._loader.target_state(target, loaded)
        for text in target_warnings(target, state, loaded, self._lanes.terms.seconds):
            self._tally.warn(text)

    def put_away(self, files: Sequence[HashedFile]) -> None:
        """Archive or delete files that the ledger holds as ingested."""
        if files and self._source.puts_away:
            self._tally.moved(len(files), self._lister.put_away(self._source, files))

    def close(self) -> None:
        """Let others have the lane."""
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.release()

    @cached_property
    def _loader(self) -> BatchLoader:
        return self._make_loader()

    # --- what an earlier run left behind

    def recover(self, snapshot: Snapshot, listed: FileListing) -> bool:
        """Settle open batches that nobody works on and that are this source's; whether any was."""
        settled = False
        for batch_id, entries in snapshot.open_batches().items():
            if self._concerns(entries, listed):
                self._lane = self._lanes.acquire_app(batch_id.app_id)
                if self._lane is not None:
                    self._settle_open(self._lane, batch_id)
                    settled = True
                self.close()
        return settled

    def _concerns(self, entries: Sequence[Entry], listed: FileListing) -> bool:
        """Whether this source may settle the batch: it lists a file of it, or all are gone."""
        if listed.has_any({entry.path for entry in entries}):
            return True
        return not self._lister.stat(entry.path for entry in entries)

    def _settle_open(self, lane: Lane, batch_id: BatchId) -> None:
        """Settle a batch, with its rows as they are now that its lane is held."""
        rows = self._ledger.read().open_batches().get(batch_id)
        if rows is None:
            return
        logger.info("batch %s was left unfinished; settling it", batch_id)
        entries = {row.path: row for row in rows}
        batch = self._batch(batch_id, entries)
        with lane.kept():
            counts = self._loader.recount(batch)
            if counts is not None:
                self._settle(batch, counts, entries, [])
            else:
                entries, batch = self._without_changed(entries, batch)
                self._append(batch, entries, [], left_behind=True)

    def _without_changed(
        self, entries: dict[str, Entry], batch: Batch
    ) -> tuple[dict[str, Entry], Batch]:
        """Leave out files that are no longer what was claimed: gone, or changed since."""
        now = self._lister.stat(batch.paths)
        reasons: Mapping[str, str] = {
            file.path: "it changed after it was claimed" if file.path in now else "it is gone"
            for file in batch.files
            if now.get(file.path) != file
        }
        if not reasons:
            return entries, batch
        reasons = self._whole_batch(batch, reasons)
        return self._ledger.exclude(entries, reasons), batch.without(reasons)

    # --- what is new

    def load(self, claims: Sequence[Claim], snapshot: Snapshot) -> None:
        """Claim files, put their rows into the table, and settle them."""
        claims = self._unchanged(claims)
        if not claims:
            return
        lane, batch_id = self._start(snapshot)
        with lane.kept():
            won = self._ledger.claim(claims, batch_id, lane.owner, lane.until)
            self._tally.waiting(len(claims) - len(won.entries))
            if won.entries:
                carried = [claim for claim in claims if claim.file.path in won.entries]
                twins = [twin for claim in carried for twin in claim.twins]
                self._append(self._batch(batch_id, won.entries), won.entries, twins)

    def _unchanged(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """Claims whose files are as they were hashed: a run may last for hours."""
        now = self._lister.stat(claim.file.path for claim in claims)
        kept = [claim for claim in claims if now.get(claim.file.path) == claim.file.file]
        self._tally.waiting(len(claims) - len(kept))
        return kept

    def _start(self, snapshot: Snapshot) -> tuple[Lane, BatchId]:
        """A lane with its next version; another lane where the held one was lost."""
        if self._lane is None:
            busy = {batch_id.app_id for batch_id in snapshot.open_batches()}
            self._lane = self._lanes.acquire(avoid=busy)
        lane = self._lane
        last = self._loader.committed_version(self._source.target, lane.app_id) or 0
        version = max(last, lane.version, snapshot.last_version(lane.app_id)) + 1
        try:
            lane.start_version(version)
        except LaneLostError:
            self._lane = None
            return self._start(snapshot)
        return lane, BatchId(lane.app_id, version)

    def _batch(self, batch_id: BatchId, entries: Mapping[str, Entry]) -> Batch:
        now = self._clock()
        going = [e for e in entries.values() if e.status is FileStatus.PROCESSING]
        return Batch(
            id=batch_id,
            source=self._source,
            files=tuple(entry.file for entry in going),
            claimed_at=min((e.changed_at for e in going if e.changed_at), default=now),
            ingested_at=now,
            excluded=tuple(p for p, e in entries.items() if e.status is FileStatus.FAILED),
        )

    # --- one batch

    def _append(
        self,
        batch: Batch,
        entries: dict[str, Entry],
        twins: Sequence[Link],
        *,
        left_behind: bool = False,
    ) -> None:
        """Append a batch, leaving out what cannot be read, and settle it.

        ``left_behind``: another process began it, and what that one asked for may still be at work;
        where nothing is left to append, its commit has to be kept out.
        """
        attempt = 0
        while batch.files:
            attempt += 1
            try:
                counts = self._loader.load(batch)
            except BadFilesError as error:
                reasons = self._whole_batch(batch, self._blamed(batch, error, attempt))
                entries = self._ledger.exclude(entries, reasons)
                batch = batch.without(reasons)
            except FencedOutError as error:
                logger.warning("%s; its files are claimed anew by the next run", error)
                self._ledger.release([*entries.values()])
                self._tally.waiting(len(entries))
                return
            else:
                break
        else:
            held = self._loader.fence(batch) if left_behind else None
            counts = held or BatchCounts({})
        self._settle(batch, counts, entries, twins)

    def _blamed(self, batch: Batch, error: BadFilesError, attempt: int) -> Mapping[str, str]:
        """Which files of the batch are bad; all of them at once when patience is over."""
        reasons = {path: why for path, why in error.reasons.items() if path in batch.paths}
        if not reasons:
            raise error
        if attempt < PATIENCE and not self._replaces:
            return reasons
        return {**self._loader.probe(batch.without(reasons)), **reasons}

    @property
    def _replaces(self) -> bool:
        return self._source.target_config.write_mode is WriteMode.OVERWRITE

    def _whole_batch(self, batch: Batch, reasons: Mapping[str, str]) -> Mapping[str, str]:
        """Why each file cannot go along: what overwrites a table goes together, or not at all."""
        if not self._replaces:
            return reasons
        others = f"left out because {min(reasons)} is bad: what overwrites a table goes together"
        return {**dict.fromkeys(batch.paths, others), **reasons}

    def _settle(
        self,
        batch: Batch,
        counts: BatchCounts,
        entries: Mapping[str, Entry],
        twins: Sequence[Link],
    ) -> None:
        """Record what came of a batch; then its files may be put away.

        A file that is no longer as it was claimed may have changed before it was read: nobody can
        tell, so its rows are recorded and its bytes are not taken for ingested.
        """
        going = [entry for path, entry in entries.items() if path in counts.rows]
        changed = self._changed(going)
        failures = self._ledger.settle(entries, counts, twins, changed)
        self._tally.settled(batch, counts, failures, twins, changed)
        sure = {entry.path for entry in going} - changed
        brought = [HashedFile(e.file, e.file_hash) for e in going if e.path in sure]
        self.put_away([*brought, *(twin.file for twin in twins if twin.original in sure)])

    def _changed(self, entries: Sequence[Entry]) -> set[str]:
        """Files that are there, and not as they were claimed."""
        now = self._lister.stat(entry.path for entry in entries)
        return {e.path for e in entries if e.path in now and now[e.path] != e.file}
