"""The ingestor: every file of a source into its table, once, whatever is killed and whenever.

A batch is claimed in the ledger, appended as one Delta transaction with the batch's identity, and
settled in the ledger. A run first settles what an earlier one left behind: it asks the target
whether the batch was committed, and repeats it under the same identity where it was not.

What may happen between any two steps:

- died before the claim: the lane's version is skipped; nothing else was done.
- died after the claim: the next run finds the claims, and loads the batch under its identity.
- died in the append, or right after its commit: the next run asks the target which it was.
- died after the ledger was told: nothing is left to do but to take the lane over.
- two at once: claims are fenced in the ledger, lanes in the state table; each file has one claim.
- slow, and given up by mistake: Delta takes a version of a lane once, and no version below one
  that it has; what the slow one writes to the ledger afterwards finds other fences.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from functools import cached_property
from uuid import uuid4

from lakeflow_meta.control.tables import ControlTables
from lakeflow_meta.ingest.batch import (
    BadFilesError,
    Batch,
    BatchCounts,
    BatchId,
    BatchLimits,
    FencedOutError,
    IngestResult,
    packed,
)
from lakeflow_meta.ingest.discovery import Claim, Findings, Link, candidates, sort_out
from lakeflow_meta.ingest.files import FoundFile
from lakeflow_meta.ingest.lanes import IsAlive, Lane, LaneLostError, Lanes, LeaseTerms
from lakeflow_meta.ingest.ledger import Ledger
from lakeflow_meta.ingest.snapshot import Entry, FileStatus, Snapshot
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.ingest.tally import Tally
from lakeflow_meta.ports import BatchLoader, Clock, ControlStore, FileLister, utc_now
from lakeflow_meta.progress import Progress, silent

logger = logging.getLogger(__name__)

PATIENCE = 3
"""After so many refusals that name files, the rest of a batch is probed at once."""


class Ingestor:
    """Ingests file sources into Delta tables, exactly once.

    ``loader`` is called only when there is something to load, so that a run with nothing new
    starts no Spark. ``owner`` names this process, ``is_alive`` judges such names. One ingestor may
    serve several threads.
    """

    def __init__(
        self,
        store: ControlStore,
        tables: ControlTables,
        loader: Callable[[], BatchLoader],
        lister: FileLister,
        *,
        owner: str,
        is_alive: IsAlive,
        clock: Clock = utc_now,
        progress: Progress = silent,
        limits: BatchLimits | None = None,
        lease: LeaseTerms | None = None,
    ) -> None:
        self._store = store
        self._tables = tables
        self._loader = loader
        self._lister = lister
        self._owner = owner
        self._is_alive = is_alive
        self._clock = clock
        self._progress = progress
        self._limits = limits or BatchLimits()
        self._lease = lease or LeaseTerms()

    def ingest(self, source: FileSource) -> IngestResult:
        """Ingest what is new; what came of every file.

        Files that cannot be loaded are among the result's ``failures``; the others are loaded.
        Raises NotFoundError (no such directory), ConflictError, BackendError. Whatever it raises,
        the next run goes on where this one ended.
        """
        lanes = Lanes(
            self._store,
            self._tables,
            source.target,
            owner=f"{self._owner}/{uuid4().hex[:8]}",
            is_alive=self._is_alive,
            clock=self._clock,
            terms=self._lease,
        )
        ledger = Ledger(self._store, self._tables, source.target, self._clock)
        tally = Tally(source, self._progress)
        run = _Run(source, ledger, lanes, self._loader, self._lister, self._clock, tally)
        with closing(run):
            return run.run(self._limits)


class _Run:
    """One run of one source. Holds at most one lane; `close` gives it back."""

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

    def run(self, limits: BatchLimits) -> IngestResult:
        """Settle what is open, find what is new, load it."""
        listed = self._lister.list_files(self._source)
        snapshot = self._ledger.read()
        if self._recover(snapshot, listed):
            snapshot = self._ledger.read()
        findings = self._discover(self._old_enough(listed), snapshot)
        self._ledger.link(findings.links, findings.touched)
        self._tally.found(findings)
        for claims in _batches(findings.claims, limits):
            self._load_batch(claims, snapshot)
        return self._tally.finish()

    def close(self) -> None:
        """Let others have the lane."""
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.release()

    @cached_property
    def _loader(self) -> BatchLoader:
        return self._make_loader()

    # --- what is there

    def _old_enough(self, listed: Sequence[FoundFile]) -> list[FoundFile]:
        seconds = self._source.source_config.min_age_seconds
        if not seconds:
            return list(listed)
        newest = self._clock() - timedelta(seconds=seconds)
        self._tally.waiting(sum(file.modified_at > newest for file in listed))
        return [file for file in listed if file.modified_at <= newest]

    def _discover(self, found: Sequence[FoundFile], snapshot: Snapshot) -> Findings:
        new = candidates(found, snapshot)
        digests = self._lister.digest(new.to_hash)
        if digests.unreadable:
            entries = snapshot.entries(file.path for file in digests.unreadable)
            self._ledger.record_unreadable(digests.unreadable, entries)
            self._tally.failed({file.path: why for file, why in digests.unreadable.items()})
        changing = len(new.to_hash) - len(digests.hashed) - len(digests.unreadable)
        self._tally.known(new.known)
        self._tally.waiting(len(new.waiting) + changing)
        return sort_out([*new.hashed, *digests.hashed], snapshot)

    # --- what an earlier run left behind

    def _recover(self, snapshot: Snapshot, listed: Sequence[FoundFile]) -> bool:
        """Settle open batches that nobody works on and that are this source's; whether any was."""
        paths = {file.path for file in listed}
        settled = False
        for batch_id, entries in snapshot.open_batches().items():
            if self._concerns(entries, paths):
                self._lane = self._lanes.acquire_app(batch_id.app_id)
                if self._lane is not None:
                    self._settle_open(self._lane, batch_id)
                    settled = True
                self.close()
        return settled

    def _concerns(self, entries: Sequence[Entry], listed: set[str]) -> bool:
        """Whether this source may settle the batch: it lists a file of it, or all are gone."""
        if any(entry.path in listed for entry in entries):
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
                self._append(batch, entries, [])

    def _without_changed(
        self, entries: dict[str, Entry], batch: Batch
    ) -> tuple[dict[str, Entry], Batch]:
        """Leave out files that are no longer what was claimed: gone, or changed since."""
        now = self._lister.stat(batch.paths)
        reasons = {
            file.path: "it changed after it was claimed" if file.path in now else "it is gone"
            for file in batch.files
            if now.get(file.path) != file
        }
        if not reasons:
            return entries, batch
        return self._ledger.exclude(entries, reasons), batch.without(reasons)

    # --- what is new

    def _load_batch(self, claims: Sequence[Claim], snapshot: Snapshot) -> None:
        lane, batch_id = self._start(snapshot)
        with lane.kept():
            won = self._ledger.claim(claims, batch_id, lane.owner, lane.until)
            self._tally.waiting(len(claims) - len(won.entries))
            if won.entries:
                carried = [claim for claim in claims if claim.file.path in won.entries]
                twins = [twin for claim in carried for twin in claim.twins]
                self._append(self._batch(batch_id, won.entries), won.entries, twins)

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

    def _append(self, batch: Batch, entries: dict[str, Entry], twins: Sequence[Link]) -> None:
        """Append a batch, leaving out what cannot be read, and settle it."""
        attempt = 0
        while batch.files:
            attempt += 1
            try:
                counts = self._loader.load(batch)
            except BadFilesError as error:
                reasons = self._blamed(batch, error, attempt)
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
            counts = BatchCounts({})
        self._settle(batch, counts, entries, twins)

    def _blamed(self, batch: Batch, error: BadFilesError, attempt: int) -> Mapping[str, str]:
        """Which files of the batch are bad; all of them at once when patience is over."""
        reasons = {path: why for path, why in error.reasons.items() if path in batch.paths}
        if not reasons:
            raise error
        if attempt < PATIENCE:
            return reasons
        return {**self._loader.probe(batch.without(reasons)), **reasons}

    def _settle(
        self,
        batch: Batch,
        counts: BatchCounts,
        entries: Mapping[str, Entry],
        twins: Sequence[Link],
    ) -> None:
        failures = self._ledger.settle(entries, counts, twins)
        self._tally.settled(batch.id, counts, failures, twins)


def _batches(claims: Sequence[Claim], limits: BatchLimits) -> Iterator[Sequence[Claim]]:
    """Batches in order; files that failed before go last, so that they disturb no new ones."""
    for retried in (False, True):
        chosen = [claim for claim in claims if claim.retry is retried]
        yield from packed(chosen, [claim.file.file.size_bytes for claim in chosen], limits)
