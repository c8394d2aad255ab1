"""One extract: its rows into staged files, the decision, and then the files get their names.
A verb.

Everything up to the decision leaves nothing behind that anybody sees; everything after it is done
by whoever comes next, should this process die. So a run is published whole, or not at all, and its
watermark moves with its files.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from lakeflow_meta.errors import BackendError, ConflictError, LakeflowMetaError
from lakeflow_meta.extract.config import Extract
from lakeflow_meta.extract.file_plan import FilePlan
from lakeflow_meta.extract.history import RunStart, failed, succeeded
from lakeflow_meta.extract.publication import Publication, WrittenFile, manifest_text
from lakeflow_meta.extract.publisher import Publisher, staging_of
from lakeflow_meta.extract.report import ExtractOutcome, ExtractStatus
from lakeflow_meta.extract.run_files import RunFiles
from lakeflow_meta.extract.run_log import RunLog
from lakeflow_meta.extract.selection import HighestValue, Selection, Watermark
from lakeflow_meta.extract.source_rows import SourceRows
from lakeflow_meta.extract.watermarks import Watermarks
from lakeflow_meta.extract.words import LoadMode, RefusedError
from lakeflow_meta.ports import Clock, ExtractFolders, Lease, RowStream
from lakeflow_meta.progress import Event, Progress, StepState

logger = logging.getLogger(__name__)

STEP = "extract"
_MANIFEST, _TRIGGER = "manifest.partial", "trigger.partial"

OpenSource = Callable[[Extract], SourceRows]
MemoryMb = Callable[[], int | None]


@dataclass(frozen=True, slots=True)
class RunParts:
    """What every extract of a run shares. ``stopped`` tells that the whole run was given up."""

    folders: ExtractFolders
    log: RunLog
    watermarks: Watermarks
    publisher: Publisher
    open_source: OpenSource
    clock: Clock
    progress: Progress
    memory_mb: MemoryMb
    actor: str
    run_id: str
    run_at: datetime
    stopped: Callable[[], bool]


class ExtractRun:
    """Runs one extract, for the holder of its lease."""

    def __init__(self, parts: RunParts, extract: Extract, lease: Lease) -> None:
        self._parts = parts
        self._extract = extract
        self._lease = lease
        self._staging = staging_of(extract.extract_name, extract.target.path, parts.run_id)
        self._names = RunFiles(extract, parts.run_at)

    def run(self) -> ExtractOutcome:
        """Do it; a failure is in the outcome, and in the table of runs."""
        started = time.monotonic()
        completed: tuple[str, ...] = ()
        name = self._extract.extract_name
        self._tell(StepState.STARTED)
        try:
            with self._lease.held():
                folder = self._extract.target.path
                completed = tuple(
                    self._parts.publisher.recover(
                        name, folder, self._lease.check, self._parts.actor
                    )
                )
                outcome = self._run(started, completed)
        except LakeflowMetaError as error:
            outcome = self._failure(str(error), started, completed)
        failed_ = outcome.status is ExtractStatus.FAILED
        self._tell(
            StepState.FAILED if failed_ else StepState.DONE, outcome.rows, outcome.error.strip()
        )
        return outcome

    def _run(self, started: float, completed: tuple[str, ...]) -> ExtractOutcome:
        parts = self._parts
        start = RunStart(
            self._extract,
            parts.run_id,
            parts.run_at,
            parts.clock(),
            parts.actor,
            parts.memory_mb(),
        )
        parts.log.write(start.row(), parts.actor)
        try:
            publication, files = self._write(start)
        except (LakeflowMetaError, RefusedError) as error:
            return self._given_up(start, error, started, completed)
        parts.publisher.carry_out(publication, self._lease.check, parts.actor)
        return ExtractOutcome.of(
            self._extract,
            ExtractStatus.SUCCESS,
            files=tuple(name for _, name in publication.renamed),
            data_files=len(files),
            rows=sum(file.rows for file in files),
            size_bytes=sum(file.size_bytes for file in files),
            seconds=time.monotonic() - started,
            watermark=publication.watermark.text if publication.watermark else None,
            completed=completed,
        )

    # --- before the decision

    def _write(self, start: RunStart) -> tuple[Publication, list[WrittenFile]]:
        """Files, whole and staged, and the note that decides the run."""
        source = self._parts.open_source(self._extract)
        before, fence = self._parts.watermarks.read(self._extract.extract_name)
        selection = source.selection(before)
        source.validate()
        with source.rows(selection) as stream:
            written = self._write_rows(stream, source.dropped, selection)
        publication = self._decided(start, selection, written, fence)
        self._lease.check()
        self._parts.folders.decide(self._staging, publication.to_json())
        return publication, written.files

    def _write_rows(
        self, stream: RowStream, dropped: str | None, selection: Selection
    ) -> _WrittenRows:
        tally = _Tally(stream, self._extract, dropped, self._counted)
        plan = FilePlan(self._extract, self._names)
        plan.check(tally.schema)
        files = self._parts.folders.write(self._staging, plan, tally.schema, tally.batches())
        self._check_count(tally.rows)
        return _WrittenRows(files, tally.rows, tally.watermark(selection.after))

    def _counted(self, rows: int) -> None:
        """So many rows went by. Raises BackendError where that is too many, or all is given up."""
        if self._parts.stopped():
            raise BackendError("stopped", code="STOPPED")
        validation = self._extract.validation
        if validation and validation.max_rows is not None and rows > validation.max_rows:
            raise RefusedError(f"validation failed: more than {validation.max_rows} rows")
        self._tell(StepState.RUNNING, rows)

    def _check_count(self, rows: int) -> None:
        validation = self._extract.validation
        if validation and validation.min_rows is not None and rows < validation.min_rows:
            raise RefusedError(
                f"validation failed: {rows} rows, and min_rows is {validation.min_rows}"
            )

    def _decided(
        self, start: RunStart, selection: Selection, written: _WrittenRows, fence: int
    ) -> Publication:
        files, names, parts = written.files, self._names, self._parts
        present = parts.folders.names(self._extract.target.path)
        self._refuse_overwriting(files, present)
        renamed = [(file.staged, file.name) for file in files]
        if names.manifest is not None:
            text = manifest_text(
                self._extract.extract_name, parts.run_id, parts.run_at, tuple(files)
            )
            parts.folders.put(self._staging, _MANIFEST, text)
            renamed.append((_MANIFEST, names.manifest))
        if names.trigger is not None:
            parts.folders.put(self._staging, _TRIGGER, "")
            renamed.append((_TRIGGER, names.trigger))
        removed = [names.trigger] if names.trigger in present and names.trigger else []
        return Publication(
            extract_name=self._extract.extract_name,
            run_id=parts.run_id,
            folder=self._extract.target.path,
            removed=(*removed, *names.replaced(present, len(files))),
            renamed=tuple(renamed),
            watermark=written.watermark,
            watermark_fence=fence,
            row=succeeded(
                start,
                rows_extracted=written.rows,
                files=files,
                trigger=names.trigger,
                selection=selection,
                watermark=written.watermark,
                now=parts.clock(),
                memory_mb=parts.memory_mb(),
            ),
        )

    def _refuse_overwriting(self, files: list[WrittenFile], present: list[str]) -> None:
        """A file of an incremental run holds rows that no other run will write again."""
        if self._extract.load.mode is not LoadMode.INCREMENTAL:
            return
        taken = [file.name for file in files if file.name in present]
        if taken:
            folder = self._extract.target.path
            raise RefusedError(
                f"{folder}/{taken[0]} is there already, with rows that no other run writes again",
                "take it away, or give the names a time: timestamp_format: yyyyMMdd_HHmmss",
            )

    # --- failures

    def _given_up(
        self,
        start: RunStart,
        error: LakeflowMetaError | RefusedError,
        started: float,
        completed: tuple[str, ...],
    ) -> ExtractOutcome:
        """Nothing was decided: nothing is left behind, and the table of runs says why."""
        parts = self._parts
        message, code = str(error), getattr(error, "code", "") or type(error).__name__
        if isinstance(error, RefusedError) and error.hint:
            message += f" ({error.hint})"
        try:
            parts.folders.discard(self._staging)
        except BackendError as second:  # the next run clears it
            logger.warning("%s: %s", self._extract.extract_name, second)
        try:
            row = failed(
                start.row(), message, parts.clock(), details=code, memory_mb=parts.memory_mb()
            )
            parts.log.write(row, parts.actor)
        except (BackendError, ConflictError) as second:
            logger.warning("%s: %s", self._extract.extract_name, second)
            message = f"{message}; and the table of runs could not be written: {second}"
        return self._failure(message, started, completed)

    def _failure(self, error: str, started: float, completed: tuple[str, ...]) -> ExtractOutcome:
        return ExtractOutcome.of(
            self._extract,
            ExtractStatus.FAILED,
            seconds=time.monotonic() - started,
            completed=completed,
            error=error,
        )

    def _tell(self, state: StepState, rows: int = 0, detail: str = "") -> None:
        name = self._extract.extract_name
        self._parts.progress(Event(STEP, name, state, rows, detail=detail, unit="rows"))


@dataclass(frozen=True, slots=True)
class _WrittenRows:
    files: list[WrittenFile]
    rows: int
    watermark: Watermark | None


class _Tally:
    """Counts rows on their way, keeps the highest watermark, and takes its column out where only
    the watermark needs it.
    """

    def __init__(
        self,
        stream: RowStream,
        extract: Extract,
        dropped: str | None,
        counted: Callable[[int], None],
    ) -> None:
        self._stream = stream
        self._counted = counted
        self.rows = 0
        schema = stream.schema
        self._highest: HighestValue | None = None
        if extract.load.mode is LoadMode.INCREMENTAL:
            self._highest = HighestValue(extract.load.watermark_column or "", schema)
        self._written = schema.names if dropped is None else schema.names[:-1]
        self.schema = pa.schema([schema.field(at) for at in range(len(self._written))])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """What is to be written."""
        for batch in self._stream:
            if self._highest is not None:
                self._highest.add(batch)
            self.rows += batch.num_rows
            self._counted(self.rows)
            columns = batch.columns[: len(self._written)]
            yield pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def watermark(self, before: Watermark | None) -> Watermark | None:
        """After the last batch."""
        return None if self._highest is None else self._highest.watermark(before)
