"""The ingestor: every file of a source into its table, once, whatever is killed and whenever.

A batch is claimed in the ledger, appended as one Delta transaction with the batch's identity, and
settled in the ledger. A run first settles what an earlier one left behind: it asks the target
whether the batch was committed, and repeats it under the same identity where it was not.

What may happen between any two steps:

- died before the claim: the lane's version is skipped; nothing else was done.
- died after the claim: the next run finds the claims, and loads the batch under its identity.
- died in the append, or right after its commit: the next run asks the target which it was.
- died after the ledger was told: nothing is left to do but to take the lane over, and to put
  files away where the source asks for that.
- two at once: claims are fenced in the ledger, lanes in the state table; each file has one claim.
- slow, and given up by mistake: Delta takes a version of a lane once, and no version below one
  that it has; what the slow one writes to the ledger afterwards finds other fences.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from uuid import uuid4

from lakeflow_meta.ingest.batch import BatchLimits, IngestResult
from lakeflow_meta.ingest.batch_work import BatchWork
from lakeflow_meta.ingest.discovery import CHANGED
from lakeflow_meta.ingest.ingest_plan import IngestPlan
from lakeflow_meta.ingest.intake import Discovery, Intake
from lakeflow_meta.ingest.lanes import IsAlive, Lanes, LeaseTerms
from lakeflow_meta.ingest.ledger import Ledger
from lakeflow_meta.ingest.ledger_tables import TableNames
from lakeflow_meta.ingest.listing import FileListing
from lakeflow_meta.ingest.selection import Selection, batches
from lakeflow_meta.ingest.snapshot import Snapshot
from lakeflow_meta.ingest.source import FileSource, WriteMode
from lakeflow_meta.ingest.tally import Tally
from lakeflow_meta.ports import (
    Actor,
    BatchLoader,
    Clock,
    ControlStore,
    FileLister,
    nobody,
    utc_now,
)
from lakeflow_meta.progress import Progress, silent


class Ingestor:
    """Ingests file sources into Delta tables, exactly once.

    ``loader`` is called only when there is something to load, so that a run with nothing new
    starts no Spark. ``owner`` names this process, ``is_alive`` judges such names. One ingestor may
    serve several threads.
    """

    def __init__(
        self,
        store: ControlStore,
        tables: TableNames,
        loader: Callable[[], BatchLoader],
        lister: FileLister,
        *,
        owner: str,
        is_alive: IsAlive,
        clock: Clock = utc_now,
        progress: Progress = silent,
        limits: BatchLimits | None = None,
        lease: LeaseTerms | None = None,
        actor: Actor = nobody,
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
        self._actor = actor

    def ingest(self, source: FileSource, selection: Selection | None = None) -> IngestResult:
        """Ingest what is new, or what ``selection`` asks for; what came of every file.

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
        selection = selection or Selection()
        intake = Intake(source, self._lister, self._clock, selection)
        tally = Tally(source, self._progress)
        ledger = self._ledger(source)
        work = BatchWork(source, ledger, lanes, self._loader, self._lister, self._clock, tally)
        with lanes.at_work(), closing(work):
            run = _Run(source, ledger, intake, work, tally)
            return run.run(self._limits, self._actor if selection.force else None)

    def plan(self, source: FileSource, selection: Selection | None = None) -> IngestPlan:
        """What `ingest` would do. Reads files, and writes nothing. Raises as `ingest` does."""
        selection = selection or Selection()
        intake = Intake(source, self._lister, self._clock, selection)
        found, snapshot = intake.find(), self._ledger(source).look()
        discovery = intake.discover(found.files, snapshot)
        forced = intake.forced(found.files, snapshot) if selection.force else []
        return IngestPlan.of(source, self._limits, found, discovery, forced, snapshot)

    def _ledger(self, source: FileSource) -> Ledger:
        replaces = source.target_config.write_mode is WriteMode.OVERWRITE
        return Ledger(self._store, self._tables, source.target, self._clock, replaces=replaces)


class _Run:
    """One run of one source."""

    def __init__(
        self, source: FileSource, ledger: Ledger, intake: Intake, work: BatchWork, tally: Tally
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._intake = intake
        self._work = work
        self._tally = tally

    def run(self, limits: BatchLimits, actor: Actor | None) -> IngestResult:
        """Settle what is open, find what is new, load it. For an ``actor`` load all again."""
        found = self._intake.find()
        self._tally.failed(found.listed.refused)
        self._tally.waiting(found.young)
        if actor is None and self._is_idle(found.files):
            self._tally.known(found.files)
            return self._tally.finish()
        snapshot = self._ledger.read()
        if self._work.recover(snapshot, found.listed):
            snapshot = self._ledger.read()
        if actor is not None:
            self._ledger.force(
                self._intake.forced(found.files, snapshot), actor(), self._source.name
            )
            snapshot = self._ledger.read()
        self._take_in(found.files, snapshot, limits)
        return self._tally.finish()

    def _is_idle(self, found: FileListing) -> bool:
        """Whether there is nothing to do; this much can be told from very little."""
        glance = self._ledger.glance()
        if glance.has_claims or (found and self._source.puts_away):
            return False
        return not glance.new(found)

    def _take_in(self, found: FileListing, snapshot: Snapshot, limits: BatchLimits) -> None:
        discovery = self._intake.discover(found, snapshot)
        self._work.put_away(self._intake.leftovers(discovery.known, snapshot))
        self._record(discovery, snapshot)
        if discovery.findings.claims:
            self._work.look_at_target(snapshot)
        for claims in batches(discovery.findings.claims, self._source, limits):
            self._work.load(claims, snapshot)

    def _record(self, discovery: Discovery, snapshot: Snapshot) -> None:
        """Put down what is settled without loading."""
        unreadable, findings = discovery.unreadable, discovery.findings
        self._ledger.record_unreadable(
            unreadable, snapshot.entries(file.path for file in unreadable)
        )
        self._ledger.link(findings.links, findings.touched)
        self._ledger.pass_over(findings.passed_over)
        self._ledger.refuse(findings.refused, CHANGED)
        self._tally.failed({file.path: why for file, why in unreadable.items()})
        self._tally.known(discovery.known)
        self._tally.waiting(discovery.waiting)
        self._tally.found(findings)
        self._work.put_away([*findings.in_target])
