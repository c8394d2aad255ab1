"""What a run would do, found without doing it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakeflow_meta.ingest.batch import BatchLimits, FileFailure
from lakeflow_meta.ingest.discovery import CHANGED, Claim
from lakeflow_meta.ingest.files import HashedFile
from lakeflow_meta.ingest.intake import Discovery, Found, would_force
from lakeflow_meta.ingest.selection import batches
from lakeflow_meta.ingest.snapshot import Entry, Snapshot
from lakeflow_meta.ingest.source import FileSource


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """Files of one transaction."""

    paths: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """What `Ingestor.ingest` would do with one source."""

    source: str
    target: str
    batches: tuple[PlannedBatch, ...]
    open_batches: tuple[str, ...]
    """Batches that an earlier run left unfinished; they would be settled first."""
    skipped: int
    waiting: int
    failures: tuple[FileFailure, ...]

    @classmethod
    def of(
        cls,
        source: FileSource,
        limits: BatchLimits,
        found: Found,
        discovery: Discovery,
        forced: list[tuple[HashedFile, Entry | None]],
        snapshot: Snapshot,
    ) -> IngestPlan:
        """The plan for what was found. Forced files may be among the known ones."""
        findings = discovery.findings
        again = discovery.known.count({item.path for item, _ in forced})
        would_force(findings, forced)
        passed = len(findings.links) + len(findings.touched) + len(findings.passed_over)
        reasons = {
            **found.listed.refused,
            **{file.path: why for file, why in discovery.unreadable.items()},
            **{link.file.path: CHANGED for link in findings.refused},
        }
        twins = sum(len(claim.twins) for claim in findings.claims)
        return cls(
            source=source.name,
            target=str(source.target),
            batches=tuple(map(_planned, batches(findings.claims, source, limits))),
            open_batches=tuple(map(str, snapshot.open_batches())),
            skipped=len(discovery.known) - again + passed + twins,
            waiting=found.young + discovery.waiting + len(findings.waiting),
            failures=tuple(FileFailure(path, why) for path, why in sorted(reasons.items())),
        )

    @property
    def files(self) -> int:
        """Files that would be loaded."""
        return sum(len(batch.paths) for batch in self.batches)

    @property
    def size_bytes(self) -> int:
        """Their bytes."""
        return sum(batch.size_bytes for batch in self.batches)

    def to_dict(self) -> Mapping[str, Any]:
        """As JSON."""
        return {
            "target": self.target,
            "files": self.files,
            "bytes": self.size_bytes,
            "skipped": self.skipped,
            "waiting": self.waiting,
            "open_batches": list(self.open_batches),
            "batches": [{"bytes": b.size_bytes, "files": list(b.paths)} for b in self.batches],
            "failures": [{"path": f.path, "reason": f.reason} for f in self.failures],
        }

    def lines(self, most: int = 20) -> Iterator[str]:
        """For people; of each batch the first files."""
        waiting = f", {self.waiting:,} waiting" if self.waiting else ""
        yield (
            f"{self.source} → {self.target}: {self.files:,} files to ingest"
            f" ({self.size_bytes:,} bytes), {self.skipped:,} known{waiting}"
        )
        for batch_id in self.open_batches:
            yield f"  an earlier run left batch {batch_id} unfinished; it is settled first"
        for number, batch in enumerate(self.batches, 1):
            yield f"  batch {number}: {len(batch.paths):,} files, {batch.size_bytes:,} bytes"
            yield from (f"    + {path}" for path in batch.paths[:most])
            more = len(batch.paths) - most
            yield from [f"    … and {more:,} more"] if more > 0 else []
        yield from (f"  ✗ {failure.path}: {failure.reason}" for failure in self.failures)


def _planned(claims: Sequence[Claim]) -> PlannedBatch:
    paths = tuple(claim.file.path for claim in claims)
    return PlannedBatch(paths, sum(claim.file.file.size_bytes for claim in claims))
