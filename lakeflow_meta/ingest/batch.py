"""A batch: the files that one Delta transaction carries, and what came of it. Pure.

The identity of a batch is Delta's own for exactly once writes: an application id (ours: one per
lane, kept in the controller's state) and a version that only rises. Delta commits a version of an
application once, and skips it ever after, so a batch may be tried as often as need be.
https://docs.delta.io/latest/delta-batch.html#idempotent-table-writes-in-foreachbatch
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from lakeflow_meta.errors import ConflictError, LakeflowMetaError
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.ingest.files import FoundFile
from lakeflow_meta.ingest.source import FileSource

SOURCE_FILE = "_source_file"
INGESTED_AT = "_ingested_at"
BATCH_ID = "_batch_id"
METADATA_COLUMNS = (SOURCE_FILE, INGESTED_AT, BATCH_ID)


@dataclass(frozen=True, slots=True, order=True)
class BatchId:
    """``txnAppId`` and ``txnVersion`` of a batch; written ``app_id:version``."""

    app_id: str
    version: int

    @classmethod
    def parse(cls, text: str) -> BatchId:
        """Read ``app_id:version``. Raises ValueError."""
        app_id, _, version = text.rpartition(":")
        if not app_id:
            raise ValueError(f"{text!r} is not a batch id (app_id:version)")
        return cls(app_id, int(version))

    def __str__(self) -> str:
        return f"{self.app_id}:{self.version}"


@dataclass(frozen=True, slots=True)
class Batch:
    """What a loader appends. ``excluded`` files were claimed with it, but do not go along."""

    id: BatchId
    source: FileSource
    files: tuple[FoundFile, ...]
    claimed_at: datetime
    """When the batch was first claimed: its commit cannot be older."""
    ingested_at: datetime
    """What ``_ingested_at`` says."""
    excluded: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of the files that go along."""
        return tuple(file.path for file in self.files)

    @property
    def size_bytes(self) -> int:
        """Bytes of the files that go along."""
        return sum(file.size_bytes for file in self.files)

    def without(self, paths: Mapping[str, str]) -> Batch:
        """The batch with some of its files left out."""
        kept = tuple(file for file in self.files if file.path not in paths)
        left_out = tuple(file.path for file in self.files if file.path in paths)
        return replace(self, files=kept, excluded=(*self.excluded, *left_out))

    def only(self, files: Sequence[FoundFile]) -> Batch:
        """The same batch with these files: to try some of them."""
        return replace(self, files=tuple(files))

    def commit_note(self, attempt: str, counts: Mapping[str, int] | None = None) -> str:
        """What the commit says of itself, so that others can tell which files it holds.

        ``counts``: rows of each file that goes along, where they are known before the commit. They
        are noted in the order of the paths: ten thousand paths have no place in a commit.
        """
        note: dict[str, Any] = {
            "batch_id": str(self.id),
            "attempt": attempt,
            "excluded": sorted(self.excluded),
        }
        if counts is not None:
            note["counts"] = [counts[path] for path in sorted(counts)]
        return canonical_json(note)


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """Rows by path, for every file that the batch's transaction holds. None: not known any more."""

    rows: Mapping[str, int | None]
    violations: Mapping[str, int] = field(default_factory=dict)
    """Rows that did not meet an expectation (warn, drop), by its name. Empty after recovery: the
    pass that counted them is gone."""
    warnings: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """All rows that are known."""
        return sum(count or 0 for count in self.rows.values())


class BadFilesError(LakeflowMetaError):
    """Some files of a batch cannot be loaded; nothing was. ``reasons`` by path, never empty."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.reasons = dict(reasons)
        shown = "; ".join(f"{path}: {reason}" for path, reason in sorted(self.reasons.items())[:5])
        more = f"; and {len(reasons) - 5} more" if len(reasons) > 5 else ""
        super().__init__(f"{shown}{more}")


class FencedOutError(ConflictError):
    """The target refuses the batch for good: its lane went on without it. Claim the files anew."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much one transaction carries at most. One file is never split."""

    max_files: int = 10_000
    max_bytes: int = 16 * 2**30


@dataclass(frozen=True, slots=True)
class FileFailure:
    """One file that was not ingested in this run."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What one run of one source came to. Files are counted once each."""

    source: str
    target: str
    processed: int = 0
    """Files whose rows are in the target since this run."""
    skipped: int = 0
    """Files that were ingested before, or whose bytes were, under another path."""
    duplicates: int = 0
    """Of those, files that repeat the bytes of another path and were met for the first time."""
    waiting: int = 0
    """Files left for later: too young, changing, or claimed by another ingestor."""
    rows: int = 0
    batches: int = 0
    failures: tuple[FileFailure, ...] = field(default=())
    violations: Mapping[str, int] = field(default_factory=dict)
    """Rows that did not meet an expectation (warn, drop), by its name."""
    warnings: tuple[str, ...] = ()
    put_away: int = 0
    """Ingested files that were archived or deleted."""
    not_put_away: tuple[FileFailure, ...] = ()
    """Those that should have been, and could not; the next run tries again."""

    @property
    def failed(self) -> int:
        """Files that could not be ingested."""
        return len(self.failures)


_Item = TypeVar("_Item")


def packed(
    items: Sequence[_Item], sizes: Sequence[int], limits: BatchLimits
) -> Iterator[tuple[_Item, ...]]:
    """Cut ``items`` into runs that keep the limits, in order; ``sizes`` in bytes."""
    batch: list[_Item] = []
    total = 0
    for item, size in zip(items, sizes, strict=True):
        if batch and (len(batch) >= limits.max_files or total + size > limits.max_bytes):
            yield tuple(batch)
            batch, total = [], 0
        batch.append(item)
        total += size
    if batch:
        yield tuple(batch)
