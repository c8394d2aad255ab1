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
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

from lakeflow_meta.control.tables import ControlTables
from lakeflow_meta.ingest.batch import (
    BadFilesError,
    Batch,
    BatchCounts,
    BatchId,
    BatchLimits,
    FencedOutError,
    FileFailure,
    IngestResult,
    packed,
)
from lakeflow_meta.ingest.discovery import Claim, Findings, Link, candidates, sort_out
from lakeflow_meta.ingest.files import FoundFile
from lakeflow_meta.ingest.lanes import IsAlive, Lane, LaneLostError, Lanes, LeaseTerms
from lakeflow_meta.ingest.ledger import Ledger
from lakeflow_meta.ingest.snapshot import Entry, FileStatus, Snapshot
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.ports import BatchLoader, Clock, ControlStore, FileLister, utc_now
from lakeflow_meta.progress import Event, Progress, StepState, silent

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
        tally = _Tally(source, self._progress)
        run = _Run(source, ledger, lanes, self._loader, self._lister, self._clock, tally)
        return run.run(self._limits)


class _Run:
    """One run of one source."""

    def __init__(
        self,
        source: FileSource,
        ledger: Ledger,
        lanes: Lanes,
        loader: Callable[[], BatchLoader],
        lister: FileLister,
        clock: Clock,
        tally: _Tally,
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._lanes = lanes
        self._make_loader = loader
        self._lister = lister
        self._clock = clock
        self._tally = tally

    def run(self, limits: BatchLimits) -> IngestResult:
        listed = self._lister.list_files(self._source)
        snapshot = self._ledger.read()
        if self._recover(snapshot, listed):
            snapshot = self._ledger.read()
        found = self._old_enough(listed)
        findings = self._discover(found, snapshot)
        self._ledger.link(findings.links, findings.touched)
        self._tally.found(found, findings)
        self._load_all(findings.claims, limits, snapshot)
        return self._tally.finish()

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
        findings = sort_out([*new.hashed, *digests.hashed], snapshot)
        changing = len(new.to_hash) - len(digests.hashed) - len(digests.unreadable)
        self._tally.waiting(len(new.waiting) + changing)
        return findings

    # --- what an earlier run left behind

    def _recover(self, snapshot: Snapshot, listed: Sequence[FoundFile]) -> bool:
        """Settle open batches that nobody works on and that are this source's; whether any was."""
        paths = {file.path for file in listed}
        settled = False
        for batch_id, entries in snapshot.open_batches().items():
            if not self._concerns(entries, paths):
                continue
            lane = self._lanes.acquire_app(batch_id.app_id)
            if lane is None:
                continue
            with _released(lane):
                settled = self._settle_open(lane, batch_id) or settled
        return settled

    def _concerns(self, entries: Sequence[Entry], listed: set[str]) -> bool:
        """Whether this source may settle the batch: it lists a file of it, or all are gone."""
        if any(entry.path in listed for entry in entries):
            return True
        return not self._lister.stat(entry.path for entry in entries)

    def _settle_open(self, lane: Lane, batch_id: BatchId) -> bool:
        """Settle a batch, with its rows as they are now that its lane is held."""
        rows = self._ledger.read().open_batches().get(batch_id)
        if rows is None:
            return True
        entries = {row.path: row for row in rows}
        logger.info("batch %s was left unfinished; settling it", batch_id)
        batch = self._batch(batch_id, entries)
        loader = self._make_loader()
        with lane.kept():
            counts = loader.recount(batch)
            if counts is None:
                entries, batch = self._without_changed(entries, batch)
                self._append(loader, batch, entries, [])
                return True
        self._record(batch, counts, entries, [])
        return True

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

    def _load_all(
        self, claims: Sequence[Claim], limits: BatchLimits, snapshot: Snapshot
    ) -> None:
        lane: Lane | None = None
        try:
            for batch in _batches(claims, limits):
                lane = self._load_batch(lane, batch, snapshot)
        finally:
            if lane is not None:
                lane.release()

    def _load_batch(
        self, held: Lane | None, claims: Sequence[Claim], snapshot: Snapshot
    ) -> Lane:
        loader = self._make_loader()
        lane, batch_id = self._start(held, loader, snapshot)
        with lane.kept():
            won = self._ledger.claim(claims, batch_id, lane.owner, lane.until)
            self._tally.waiting(len(claims) - len(won.entries))
            if won.entries:
                twins = [t for claim in claims if claim.file.path in won.entries for t in claim.twins]
                batch = self._batch(batch_id, won.entries)
                self._append(loader, batch, won.entries, twins)
        return lane

    def _start(
        self, held: Lane | None, loader: BatchLoader, snapshot: Snapshot
    ) -> tuple[Lane, BatchId]:
        """A lane with its next version; another lane where the held one was lost."""
        lane = held or self._lanes.acquire()
        last = loader.committed_version(self._source.target, lane.app_id) or 0
        version = max(last, lane.version, snapshot.last_version(lane.app_id)) + 1
        try:
            lane.start_version(version)
        except LaneLostError:
            return self._start(None, loader, snapshot)
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
        self, loader: BatchLoader, batch: Batch, entries: dict[str, Entry], twins: Sequence[Link]
    ) -> None:
        """Append a batch, leaving out what cannot be read, and settle it."""
        for attempt in range(len(entries) + 1):
            try:
                counts = loader.load(batch) if batch.files else BatchCounts({})
                break
            except BadFilesError as error:
                reasons = error.reasons if attempt < PATIENCE else {**error.reasons, **loader.probe(batch)}
                entries = self._ledger.exclude(entries, reasons)
                batch = batch.without(reasons)
            except FencedOutError as error:
                logger.warning("%s; its files are claimed anew by the next run", error)
                self._ledger.release([*entries.values()])
                self._tally.waiting(len(entries))
                return
        self._record(batch, counts, entries, twins)

    def _record(
        self,
        batch: Batch,
        counts: BatchCounts,
        entries: Mapping[str, Entry],
        twins: Sequence[Link],
    ) -> None:
        failures = self._ledger.settle(entries, counts, twins)
        self._tally.settled(batch, counts, failures, twins)


def _batches(claims: Sequence[Claim], limits: BatchLimits) -> Iterator[Sequence[Claim]]:
    """Batches in order; files that failed before go last, so that they disturb no new ones."""
    for retried in (False, True):
        chosen = [claim for claim in claims if claim.retry is retried]
        yield from packed(chosen, [claim.file.file.size_bytes for claim in chosen], limits)


@contextmanager
def _released(lane: Lane) -> Iterator[None]:
    try:
        yield
    finally:
        lane.release()


class _Tally:
    """Counts what happens, and tells it."""

    def __init__(self, source: FileSource, progress: Progress) -> None:
        self._source = source
        self._progress = progress
        self._processed = self._skipped = self._duplicates = self._waiting = 0
        self._rows = self._batches = self._total = 0
        self._failures: dict[str, str] = {}

    def found(self, found: Sequence[FoundFile], findings: Findings) -> None:
        """What is to be loaded is known."""
        twins = sum(len(claim.twins) for claim in findings.claims)
        self._total = len(findings.claims) + twins
        busy = self._total + len(findings.links) + len(findings.waiting)
        self._waiting += len(findings.waiting)
        self._duplicates += len(findings.links)
        self._skipped += max(0, len(found) - busy - len(self._failures)) + len(findings.links)
        if self._total:
            self._tell(StepState.STARTED, f"{self._total} new files")

    def waiting(self, files: int) -> None:
        self._waiting += files

    def failed(self, reasons: Mapping[str, str]) -> None:
        self._failures.update(reasons)

    def settled(
        self, batch: Batch, counts: BatchCounts, failures: Mapping[str, str], twins: Sequence[Link]
    ) -> None:
        """A batch is in the target and in the ledger."""
        repeated = sum(twin.original in counts.rows for twin in twins)
        self._failures.update(failures)
        self._failures.update(
            (twin.file.path, f"the same bytes as {twin.original}")
            for twin in twins
            if twin.original in failures
        )
        self._batches += bool(counts.rows)
        self._processed += len(counts.rows)
        self._duplicates += repeated
        self._skipped += repeated
        self._rows += counts.total
        self._tell(StepState.RUNNING, f"batch {batch.id}: {counts.total} rows")

    def finish(self) -> IngestResult:
        """The result; tells how it ended."""
        result = IngestResult(
            source=self._source.name,
            target=str(self._source.target),
            processed=self._processed,
            skipped=self._skipped,
            duplicates=self._duplicates,
            waiting=self._waiting,
            rows=self._rows,
            batches=self._batches,
            failures=tuple(FileFailure(path, why) for path, why in sorted(self._failures.items())),
        )
        self._tell(_end_state(result), _summary(result))
        return result

    def _tell(self, state: StepState, detail: str) -> None:
        done = self._processed + len(self._failures)
        event = Event("ingest", self._source.name, state, done, max(done, self._total), detail)
        self._progress(event)


def _end_state(result: IngestResult) -> StepState:
    if result.failures:
        return StepState.FAILED
    return StepState.DONE if result.processed or result.duplicates else StepState.UNCHANGED


def _summary(result: IngestResult) -> str:
    parts = [f"{result.processed} files, {result.rows} rows"]
    parts += [f"{result.skipped} known"] if result.skipped else []
    parts += [f"{result.waiting} waiting"] if result.waiting else []
    parts += [f"{result.failed} failed"] if result.failed else []
    return ", ".join(parts)
