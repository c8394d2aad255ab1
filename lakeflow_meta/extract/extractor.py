"""Runs extracts: all that are active, a group, named ones, or those that failed last. A verb.

Extracts of one execution order run at the same time, lower orders first. Each stands for itself:
what fails is told at the end, and stops none of the others.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import groupby

from lakeflow_meta.control.tables import EXTRACT_DETAILS, EXTRACTS, ControlTables, TableLayout
from lakeflow_meta.errors import ConfigError, LakeflowMetaError, NotFoundError
from lakeflow_meta.extract.config import Extract
from lakeflow_meta.extract.extract_run import ExtractRun, MemoryMb, RunParts
from lakeflow_meta.extract.history import to_be_repeated
from lakeflow_meta.extract.overlaps import overlaps
from lakeflow_meta.extract.publisher import Publisher
from lakeflow_meta.extract.recorded import RecordedExtracts, read_extracts
from lakeflow_meta.extract.report import ExtractOutcome, ExtractsReport, ExtractStatus
from lakeflow_meta.extract.run_files import RunFiles
from lakeflow_meta.extract.run_log import RunLog
from lakeflow_meta.extract.source_rows import SourceRows
from lakeflow_meta.extract.watermarks import Watermarks
from lakeflow_meta.extract.words import Datastore, LoadMode, RefusedError
from lakeflow_meta.findings import did_you_mean
from lakeflow_meta.ports import (
    Actor,
    Clock,
    ControlStore,
    ExtractFolders,
    LeaseOf,
    RenderTemplate,
    Row,
    RowSource,
    nobody,
    utc_now,
)
from lakeflow_meta.progress import Progress, silent

logger = logging.getLogger(__name__)

SourceOf = Callable[[Datastore], RowSource]
"""The datastore of a kind; asked for when the first extract needs it."""
Work = Callable[[Extract], ExtractOutcome]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which extracts: ``names``, else those of ``group``, else all; ``failed``: only those of them
    whose latest run did not succeed.
    """

    names: tuple[str, ...] | None = None
    group: str | None = None
    failed: bool = False


class Extractor:
    """Runs the recorded extracts of one family of control tables."""

    def __init__(
        self,
        store: ControlStore,
        tables: ControlTables,
        source_of: SourceOf,
        folders: ExtractFolders,
        lease_of: LeaseOf,
        *,
        render: RenderTemplate | None = None,
        clock: Clock = utc_now,
        progress: Progress = silent,
        actor: Actor = nobody,
        memory_mb: MemoryMb = lambda: None,
        max_parallel: int = 4,
    ) -> None:
        self._store = store
        self._tables = tables
        self._source_of = _one_at_a_time(source_of)
        self._folders = folders
        self._lease_of = lease_of
        self._render = render
        self._clock = clock
        self._progress = progress
        self._actor = cache(actor)
        self._memory_mb = memory_mb
        self._max_parallel = max_parallel
        self._log = RunLog(store, tables)
        self._watermarks = Watermarks(store, tables)
        self._stopped = threading.Event()

    def run(
        self,
        choice: Choice | None = None,
        *,
        dry_run: bool = False,
        max_parallel: int | None = None,
        run_id: str = "",
    ) -> ExtractsReport:
        """Run extracts; failures are in the report (`ExtractsReport.raise_failures`).

        Raises ConfigError for names and groups that nobody recorded, BackendError when the control
        tables cannot be read.
        """
        choice = choice or Choice()
        started = time.monotonic()
        chosen = self._chosen(choice)
        run_id = run_id or uuid.uuid4().hex
        work: Work = self._plan
        if not dry_run and chosen.extracts:
            work = partial(self._run_one, self._parts(run_id))
        found = dict(chosen.settled)
        workers = _workers(self._max_parallel if max_parallel is None else max_parallel)
        for wave in chosen.waves():
            done = _at_once(wave, work, workers, self._stopped)
            found |= {outcome.extract_name: outcome for outcome in done}
        return ExtractsReport(
            outcomes=tuple(found[name] for name in chosen.order),
            run_id=run_id,
            group=choice.group,
            seconds=time.monotonic() - started,
            dry_run=dry_run,
        )

    def reset(self, names: Sequence[str]) -> list[str]:
        """Forget the watermarks of extracts; those that had one.

        Raises ConfigError for a name that nobody recorded, ConflictError where it runs just now.
        """
        recorded = self._recorded()
        known = [extract.extract_name for extract in recorded.extracts]
        for name in names:
            if name not in known:
                raise ConfigError(f"no extract {name!r} is recorded; {did_you_mean(name, known)}")
        self._watermarks.ensure()
        forgotten = []
        for name in names:
            with self._lease_of(name).held():
                if self._watermarks.forget(name):
                    forgotten.append(name)
        return forgotten

    # --- which

    def _recorded(self) -> RecordedExtracts:
        rows, details = (self._rows(layout) for layout in (EXTRACTS, EXTRACT_DETAILS))
        return read_extracts(rows, details, table=str(self._tables.sources))

    def _rows(self, layout: TableLayout) -> list[Row]:
        try:
            rows: list[Row] = self._store.read(self._tables.of(layout)).to_pylist()
        except NotFoundError:
            return []
        return rows

    def _chosen(self, choice: Choice) -> _Chosen:
        recorded = self._recorded()
        wanted = _wanted(recorded, choice)
        if choice.failed:
            wanted &= to_be_repeated(self._log.ends())
        settled = dict(_settled(recorded, wanted, named=choice.names is not None))
        extracts = [
            extract
            for extract in recorded.active
            if extract.extract_name in wanted and extract.extract_name not in settled
        ]
        order = [*(extract.extract_name for extract in extracts), *settled]
        return _Chosen(tuple(extracts), settled, tuple(order))

    # --- running

    def _parts(self, run_id: str) -> RunParts:
        """What all extracts of a run share; the control tables that they write are made."""
        self._log.ensure()
        self._watermarks.ensure()
        return RunParts(
            folders=self._folders,
            log=self._log,
            watermarks=self._watermarks,
            publisher=Publisher(self._folders, self._log, self._watermarks, self._clock),
            open_source=self._open,
            clock=self._clock,
            progress=self._progress,
            memory_mb=self._memory_mb,
            actor=self._actor(),
            run_id=run_id,
            run_at=self._clock(),
            stopped=self._stopped.is_set,
        )

    def _run_one(self, parts: RunParts, extract: Extract) -> ExtractOutcome:
        return ExtractRun(parts, extract, self._lease_of(extract.extract_name)).run()

    def _open(self, extract: Extract) -> SourceRows:
        return SourceRows(extract, self._source_of(extract.source.datastore), self._render)

    def _plan(self, extract: Extract) -> ExtractOutcome:
        """What would be written, and by which statement; no datastore is asked."""
        names = RunFiles(extract, self._clock())
        files = [names.archive or names.data(1), names.manifest, names.trigger]
        before = None
        if extract.load.mode is LoadMode.INCREMENTAL:
            before, _ = self._watermarks.read(extract.extract_name)
        try:
            statement = self._open(extract).planned(before)
        except (LakeflowMetaError, RefusedError) as error:
            return ExtractOutcome.of(extract, ExtractStatus.FAILED, error=str(error))
        return ExtractOutcome.of(
            extract,
            ExtractStatus.PLANNED,
            files=tuple(name for name in files if name is not None),
            watermark=before.text if before else extract.load.initial_watermark,
            statement=statement,
        )


@dataclass(frozen=True, slots=True)
class _Chosen:
    extracts: tuple[Extract, ...]
    settled: Mapping[str, ExtractOutcome]
    """Those that are not run, and why."""
    order: tuple[str, ...]

    def waves(self) -> Iterator[list[Extract]]:
        """Extracts that may run at the same time, in turn."""
        for _, wave in groupby(self.extracts, key=lambda extract: extract.execution_order):
            yield list(wave)


def _wanted(recorded: RecordedExtracts, choice: Choice) -> set[str]:
    """Names of the chosen extracts. Raises ConfigError."""
    known = {extract.extract_name: extract for extract in recorded.extracts}
    bad = {each.extract_name: each for each in recorded.bad}
    if choice.names is not None:
        for name in choice.names:
            if name not in known and name not in bad:
                hint = did_you_mean(name, [*known, *bad]) if known or bad else "none is recorded"
                raise ConfigError(f"no extract {name!r} is recorded; {hint}")
        return set(choice.names)
    if choice.group is not None:
        group = {name for name, extract in known.items() if extract.group == choice.group}
        group |= {name for name, each in bad.items() if each.group == choice.group}
        if not group:
            raise ConfigError(
                f"No active extract configurations found for execution group {choice.group!r}"
            )
        return group
    active = {extract.extract_name for extract in recorded.active}
    return active | {name for name, each in bad.items() if each.is_active}


def _settled(
    recorded: RecordedExtracts, wanted: set[str], *, named: bool
) -> Iterator[tuple[str, ExtractOutcome]]:
    """Extracts that cannot be run, or must not."""
    for each in recorded.bad:
        if each.extract_name in wanted and (each.is_active or named):
            yield (
                each.extract_name,
                ExtractOutcome(each.extract_name, ExtractStatus.FAILED, error=str(each.problem)),
            )
    for extract in recorded.extracts:
        if extract.is_active is False and extract.extract_name in wanted:
            yield extract.extract_name, ExtractOutcome.of(extract, ExtractStatus.SKIPPED)
    for later, _, finding in overlaps(recorded.extracts):
        extract = recorded.extracts[later]
        if extract.extract_name in wanted:
            error = f"{finding.message} ({finding.hint})"
            outcome = ExtractOutcome.of(extract, ExtractStatus.FAILED, error=error)
            yield extract.extract_name, outcome


def _workers(asked: int) -> int:
    if asked < 1:
        logger.warning("max_parallel %d is less than 1: one extract at a time", asked)
    return max(asked, 1)


def _at_once(
    extracts: Sequence[Extract], work: Work, workers: int, stopped: threading.Event
) -> list[ExtractOutcome]:
    """All outcomes. Ctrl-C ends the other threads at their next rows."""
    if workers == 1 or len(extracts) == 1:
        return [work(extract) for extract in extracts]
    with ThreadPoolExecutor(min(workers, len(extracts)), "extract") as pool:
        futures = [pool.submit(work, extract) for extract in extracts]
        try:
            return [future.result() for future in futures]
        except (KeyboardInterrupt, SystemExit):
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _one_at_a_time(source_of: SourceOf) -> SourceOf:
    """Two threads that ask for the same datastore at once get the same one."""
    lock, found = threading.Lock(), dict[Datastore, RowSource]()

    def of(datastore: Datastore) -> RowSource:
        with lock:
            if datastore not in found:
                found[datastore] = source_of(datastore)
            return found[datastore]

    return of
