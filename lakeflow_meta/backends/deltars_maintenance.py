"""Keeps delta-rs tables fast over years of small commits: checkpoints, compaction, vacuum.

delta-rs writes checkpoints and drops expired log entries by itself, but never compacts or vacuums;
without compaction a read of 20,000 small commits takes 21 s instead of 0.15 s (measured). Whoever's
commit passes a multiple of ``every_commits`` does the work, after that commit: nobody else's write
waits for it, a lost race is left to the next round, and nothing here changes a row.

Files are put together by an UPDATE that sets a column to itself, not by ``optimize.compact``: of
two compactions at once, or of one against an OPTIMIZE of Spark, delta-rs 1.6.6 commits both, and
every row is there twice (measured; its conflict check skips removals without ``dataChange``). An
UPDATE conflicts with whatever came in between. It costs about as much: 0.05 s for 150 files.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from lakeflow_meta.errors import BackendError, LakeflowMetaError
from lakeflow_meta.names import TableName
from lakeflow_meta.sql import datafusion_ident

logger = logging.getLogger(__name__)

VERB = "upkeep"
"""What the commits of a round carry in their note."""

_ATTEMPTS = 3
_FEW_FILES = 10
_BYTES_A_FILE = 2**20

_SAFE_HOURS = 1
"""No retention may be shorter: files of a write that has not committed yet are younger."""

Pinned = Callable[[TableName], Iterable[int]]
OpenTable = Callable[[int | None], DeltaTable]


def nothing_pinned(_table: TableName) -> Iterable[int]:
    """Keeps no version beyond the retention."""
    return ()


@dataclass(frozen=True, slots=True)
class Maintenance:
    """How a store keeps its tables healthy.

    ``every_commits``: how many commits between two rounds; 0 switches them off. ``retention``: how
    long old versions can be read (`history`, `restore`, `changes --since`). ``pinned``: versions
    that cursors still point to; their data is kept for as long as their log entries are.
    """

    every_commits: int = 100
    retention: timedelta = timedelta(days=30)
    pinned: Pinned = nothing_pinned

    def is_due(self, before: int, after: int) -> bool:
        """Whether the commits from version ``before`` to ``after`` passed a multiple."""
        return self.every_commits > 0 and before // self.every_commits < after // self.every_commits

    @property
    def hours(self) -> int:
        """The retention in whole hours."""
        return max(_SAFE_HOURS, round(self.retention.total_seconds() / 3600))

    def table_properties(self) -> dict[str, str]:
        """What delta-rs and Spark read to keep the log, and data files, for as long."""
        interval = f"interval {self.hours} hours"
        return {
            "delta.logRetentionDuration": interval,
            "delta.deletedFileRetentionDuration": interval,
        }


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What one round did: data files before and after, and how many old ones were deleted."""

    files_before: int
    files_after: int
    deleted: int
    seconds: float


def maintain(table: TableName, open_table: OpenTable, how: Maintenance) -> Upkeep:
    """Compact, checkpoint and vacuum one table now. Raises DeltaError, OSError, LakeflowMetaError.

    Killed anywhere, the table is as readable as before, and the next round does the rest.
    """
    began = time.monotonic()
    handle = open_table(None)
    _keep_history(handle, how)
    before = len(handle.file_uris())
    handle = _compacted(handle, open_table)
    handle.create_checkpoint()
    deleted = handle.vacuum(
        how.hours,
        dry_run=False,
        enforce_retention_duration=False,
        full=True,
        keep_versions=_readable(open_table, how.pinned(table)) or None,
    )
    return Upkeep(before, len(handle.file_uris()), len(deleted), time.monotonic() - began)


def maintain_quietly(table: TableName, open_table: OpenTable, how: Maintenance) -> None:
    """`maintain` after a write that is committed already, so that nothing may fail it any more."""
    try:
        upkeep = maintain(table, open_table, how)
    except CommitFailedError:
        logger.info("%s: upkeep gave way to other writers", table)
    except (DeltaError, OSError, pa.ArrowException, LakeflowMetaError) as error:
        logger.warning("%s: upkeep failed: %s", table, error)
    else:
        logger.info("%s: upkeep %s", table, upkeep)


def _compacted(handle: DeltaTable, open_table: OpenTable) -> DeltaTable:
    """One file of many, where there are many for the size. Raises CommitFailedError.

    A table of a gigabyte may have a thousand files, so that what is rewritten stays in proportion
    to what was written.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        if not _has_many_files(handle):
            break
        column = datafusion_ident(handle.schema().fields[0].name)
        note = CommitProperties(custom_metadata={"verb": VERB})
        try:
            handle.update(updates={column: column}, commit_properties=note)
            break
        except CommitFailedError:
            if attempt == _ATTEMPTS:
                raise
            handle = open_table(None)
    return handle


def _has_many_files(handle: DeltaTable) -> bool:
    sizes = pa.table(handle.get_add_actions()).column("size_bytes").to_pylist()
    return bool(len(sizes) > max(_FEW_FILES, sum(sizes) // _BYTES_A_FILE))


def _keep_history(handle: DeltaTable, how: Maintenance) -> None:
    """Tables of another retention get this one, so that log and data are kept equally long."""
    wanted = how.table_properties()
    have = handle.metadata().configuration
    if any(have.get(name) != value for name, value in wanted.items()):
        handle.alter.set_table_properties(wanted)


def _readable(open_table: OpenTable, versions: Iterable[int]) -> list[int]:
    """Versions whose log entries are still there; vacuum refuses to run for others."""
    found = []
    for version in sorted(set(versions)):
        try:
            open_table(version)
        except BackendError:
            continue
        found.append(version)
    return found
