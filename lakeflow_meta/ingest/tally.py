"""What a run came to, counted file by file, and told while it happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakeflow_meta.ingest.batch import BatchCounts, BatchId, FileFailure, IngestResult
from lakeflow_meta.ingest.discovery import Findings, Link
from lakeflow_meta.ingest.files import FoundFile
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.progress import Event, Progress, StepState


class Tally:
    """Counts each file once, under what became of it last."""

    def __init__(self, source: FileSource, progress: Progress) -> None:
        self._source = source
        self._progress = progress
        self._skipped = self._duplicates = self._waiting = 0
        self._rows = self._batches = self._total = 0
        self._processed: set[str] = set()
        self._failures: dict[str, str] = {}

    def known(self, files: Sequence[FoundFile]) -> None:
        """Files that the ledger holds as ingested; some may be this run's own doing."""
        self._skipped += sum(file.path not in self._processed for file in files)

    def waiting(self, files: int) -> None:
        """Files that are left for later."""
        self._waiting += files

    def failed(self, reasons: Mapping[str, str]) -> None:
        """Files that could not be ingested."""
        self._failures.update(reasons)

    def found(self, findings: Findings) -> None:
        """It is known what there is to load."""
        self._total = sum(1 + len(claim.twins) for claim in findings.claims)
        self._waiting += len(findings.waiting)
        self._duplicates += len(findings.links)
        self._skipped += len(findings.links) + len(findings.touched)
        if self._total:
            self._tell(StepState.STARTED, f"{self._total} new files")

    def settled(
        self,
        batch_id: BatchId,
        counts: BatchCounts,
        failures: Mapping[str, str],
        twins: Sequence[Link],
    ) -> None:
        """A batch is in the target and in the ledger."""
        repeated = [twin for twin in twins if twin.original in counts.rows]
        self._failures.update(failures)
        for twin in twins:
            if twin.original in failures:
                self._failures[twin.file.path] = f"the same bytes as {twin.original}"
        for path in counts.rows:
            self._failures.pop(path, None)
        self._processed.update(counts.rows)
        self._duplicates += len(repeated)
        self._skipped += len(repeated)
        self._rows += counts.total
        self._batches += bool(counts.rows)
        self._tell(StepState.RUNNING, f"batch {batch_id}: {counts.total} rows")

    def finish(self) -> IngestResult:
        """The result; tells how it ended."""
        result = IngestResult(
            source=self._source.name,
            target=str(self._source.target),
            processed=len(self._processed),
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
        done = len(self._processed) + self._duplicates + len(self._failures)
        total = max(done, self._total)
        self._progress(Event("ingest", self._source.name, state, done, total, detail))


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
