"""What a run came to, counted file by file, and told while it happens."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from lakeflow_meta.ingest.batch import Batch, BatchCounts, FileFailure, IngestResult
from lakeflow_meta.ingest.discovery import CHANGED, Findings, Link
from lakeflow_meta.ingest.ledger import CHANGED_MEANWHILE
from lakeflow_meta.ingest.listing import FileListing
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.progress import Event, Progress, StepState

logger = logging.getLogger(__name__)


class Tally:
    """Counts each file once, under what became of it last."""

    def __init__(self, source: FileSource, progress: Progress) -> None:
        self._source = source
        self._progress = progress
        self._skipped = self._duplicates = self._waiting = 0
        self._rows = self._batches = self._total = 0
        self._bytes = self._put_away = 0
        self._processed: set[str] = set()
        self._failures: dict[str, str] = {}
        self._not_put_away: dict[str, str] = {}
        self._violations: Counter[str] = Counter()
        self._warnings: dict[str, None] = {}
        self._began = time.monotonic()

    def known(self, files: FileListing) -> None:
        """Files that the ledger holds as ingested; some may be this run's own doing."""
        self._skipped += len(files) - files.count(self._processed)

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
        self._skipped += len(findings.links) + len(findings.touched) + len(findings.passed_over)
        self._failures.update({link.file.path: CHANGED for link in findings.refused})
        if self._total:
            self._tell(StepState.STARTED, f"{self._total} new files")

    def settled(
        self,
        batch: Batch,
        counts: BatchCounts,
        failures: Mapping[str, str],
        twins: Sequence[Link],
        changed: Collection[str] = (),
    ) -> None:
        """A batch is in the target and in the ledger; files in ``changed`` changed meanwhile."""
        self._failures.update(failures)
        for twin in twins:
            if twin.original in failures:
                self._failures[twin.file.path] = f"the same bytes as {twin.original}"
            elif twin.original in changed:
                self._waiting += 1
            else:
                self._duplicates += 1
                self._skipped += 1
        for path in counts.rows:
            self._failures.pop(path, None)
        self._processed.update(counts.rows)
        self._rows += counts.total
        self._batches += bool(counts.rows)
        self._bytes += sum(file.size_bytes for file in batch.files if file.path in counts.rows)
        self._violations.update(counts.violations)
        self._warnings.update(dict.fromkeys(counts.warnings))
        for path in sorted(changed):
            self.warn(f"{path}: {CHANGED_MEANWHILE}")
        self._tell(StepState.RUNNING, f"{self._rows:,} rows, {self._rate()}")

    def warn(self, text: str) -> None:
        """Something that people should know, and that is no failure."""
        logger.warning("%s: %s", self._source.name, text)
        self._warnings[text] = None

    def moved(self, files: int, failures: Mapping[str, str]) -> None:
        """So many files were to be archived or deleted; some could not."""
        self._put_away += files - len(failures)
        self._not_put_away.update(failures)

    def _rate(self) -> str:
        seconds = max(time.monotonic() - self._began, 0.001)
        return f"{self._rows / seconds:,.0f} rows/s, {self._bytes / 2**20 / seconds:,.1f} MB/s"

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
            failures=_failures(self._failures),
            violations=dict(self._violations),
            warnings=tuple(self._warnings),
            put_away=self._put_away,
            not_put_away=_failures(self._not_put_away),
        )
        self._tell(_end_state(result), _summary(result))
        return result

    def _tell(self, state: StepState, detail: str) -> None:
        done = len(self._processed) + self._duplicates + len(self._failures)
        total = max(done, self._total)
        name = self._source.name
        self._progress(Event("ingest", name, state, done, total, detail, unit="files"))


def _failures(reasons: Mapping[str, str]) -> tuple[FileFailure, ...]:
    return tuple(FileFailure(path, why) for path, why in sorted(reasons.items()))


def _end_state(result: IngestResult) -> StepState:
    if result.failures or result.not_put_away:
        return StepState.FAILED
    return StepState.DONE if result.processed or result.duplicates else StepState.UNCHANGED


def _summary(result: IngestResult) -> str:
    parts = [f"{result.processed:,} files, {result.rows:,} rows"]
    parts += [f"{result.skipped:,} known"] if result.skipped else []
    parts += [f"{result.waiting:,} waiting"] if result.waiting else []
    parts += [f"{result.failed:,} failed"] if result.failed else []
    parts += [f"{result.put_away:,} put away"] if result.put_away else []
    stuck = len(result.not_put_away)
    parts += [f"{stuck:,} could not be put away"] if stuck else []
    return ", ".join(parts)
