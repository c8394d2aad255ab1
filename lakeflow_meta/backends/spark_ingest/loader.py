"""A batch of files into a Delta table, exactly once: one Spark write, one Delta transaction.

Delta itself keeps a batch from being written twice (``txnAppId``, ``txnVersion``); the note in the
commit (``userMetadata``) tells which files it holds. Metrics of a write that Delta skips never
come, so they are taken only after the commit was seen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lakeflow_meta.backends.spark import translate
from lakeflow_meta.backends.spark_ingest.blame import Blame, as_ours
from lakeflow_meta.backends.spark_ingest.commits import BatchCommit, DeltaCommits, Locate
from lakeflow_meta.backends.spark_ingest.expectations import any_dropped
from lakeflow_meta.backends.spark_ingest.faults import read_fault
from lakeflow_meta.backends.spark_ingest.links import LinkFolders
from lakeflow_meta.backends.spark_ingest.quarantine import Quarantine
from lakeflow_meta.backends.spark_ingest.reading import transforms
from lakeflow_meta.backends.spark_ingest.recounting import Recounting
from lakeflow_meta.backends.spark_ingest.transforms import Transforms
from lakeflow_meta.backends.spark_ingest.writes import Writes
from lakeflow_meta.errors import BackendError, LakeflowMetaError
from lakeflow_meta.ingest.batch import BadFilesError, Batch, BatchCounts, FencedOutError
from lakeflow_meta.ingest.files import FoundFile
from lakeflow_meta.ingest.source import WriteMode
from lakeflow_meta.ingest.target_state import TargetState
from lakeflow_meta.names import TableName
from lakeflow_meta.paths import PathMap

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)

_TRIES = 3
_PARALLELISM = 8
"""Tasks at once, where nobody says how many there can be."""


class SparkLoader:
    """A `ports.BatchLoader` on one Spark session: embedded, of a cluster, or Spark Connect."""

    def __init__(
        self,
        session: Callable[[], SparkSession],
        paths: PathMap,
        *,
        locate: Locate,
        parallelism: int | None = None,
        links: Path | None = None,
    ) -> None:
        """``session`` is called at the first need. ``locate`` finds tables without Spark.

        ``parallelism``: tasks at once, and so files that a small batch leaves in the table.
        ``links``: a directory of our own for `LinkFolders`, where Spark runs on this machine.
        """
        self._make_session = session
        self._paths = paths
        self._commits = DeltaCommits(lambda: self._session, locate)
        self._links = None if links is None else LinkFolders(links)
        self._writes = Writes(
            lambda: self._session,
            paths,
            Transforms(paths),
            self._commits,
            parallelism or _PARALLELISM,
            self._links,
        )

    @cached_property
    def _session(self) -> SparkSession:
        return self._make_session()

    # --- what the target knows

    def target_state(self, table: TableName, app_ids: Collection[str]) -> TargetState:
        """What the table is now, and the highest transaction version of each application."""
        with _translated():
            return self._commits.state(table, app_ids)

    def committed_version(self, table: TableName, app_id: str) -> int | None:
        """The highest transaction version of the application, None if there is none."""
        with _translated():
            return self._commits.last_version(table, app_id)

    def recount(self, batch: Batch) -> BatchCounts | None:
        """What the batch's commit holds, None when there is none.

        After it the rows that expectations dropped are in the quarantine table.
        """
        with _translated(), self._reading():
            commit = self._commits.find(batch.source.target, batch)
            return None if commit is None else self._recounted(batch, commit)

    def _recounted(self, batch: Batch, commit: BatchCommit) -> BatchCounts:
        """Files of no bytes are not in a write, and so in no count."""
        left_out = set(commit.excluded)
        empty, full = _split(batch.only([f for f in batch.files if f.path not in left_out]))
        held = {*batch.paths, *batch.excluded} - left_out - set(empty)
        writes = self._writes
        counting = Recounting(lambda: self._session, writes.rows, writes.tables)
        rows = {**dict.fromkeys(empty, 0), **counting.counts(batch, commit, held)}
        return BatchCounts(rows, warnings=tuple(self._set_aside(batch.only(full), None)))

    # --- loading

    def load(self, batch: Batch) -> BatchCounts:
        """Write the batch, or find that it was committed before."""
        self._refuse(batch)
        for attempt in range(1, _TRIES + 1):
            try:
                with self._reading():
                    return self._load(batch)
            except BackendError as error:
                if not error.transient or attempt == _TRIES:
                    raise
                logger.info("batch %s is tried again: %s", batch.id, error)
        raise AssertionError("unreachable")

    def _load(self, batch: Batch) -> BatchCounts:
        last = self.committed_version(batch.source.target, batch.id.app_id)
        if last is not None and last >= batch.id.version:
            return self._committed_by_another(batch)
        empty, full = _split(batch)
        counts = self._written(batch.only(full))
        if counts is None:
            return self._committed_by_another(batch)
        warnings = self._set_aside(batch.only(full), counts.violations)
        rows = {**dict.fromkeys(empty, 0), **counts.rows}
        return BatchCounts(rows, counts.violations, tuple(warnings))

    def _written(self, batch: Batch) -> BatchCounts | None:
        """Write; None where another process committed the transaction meanwhile."""
        try:
            return self._writes.write(batch)
        except Exception as error:
            if not isinstance(error, LakeflowMetaError) and read_fault(error).same_transaction:
                return None
            if (reasons := self._blame(batch).of(batch, error)) is not None:
                raise BadFilesError(reasons) from error
            raise as_ours(error) from error

    def _committed_by_another(self, batch: Batch) -> BatchCounts:
        found = self.recount(batch)
        if found is None:
            raise FencedOutError(
                f"batch {batch.id} cannot be committed to {batch.source.target} any more: its lane"
                " went on without it"
            )
        return found

    def fence(self, batch: Batch) -> BatchCounts | None:
        """Make sure that nobody commits the batch any more; what it holds if somebody did."""
        with _translated():
            for _ in range(_TRIES):
                try:
                    if self._writes.fence(batch.without(dict.fromkeys(batch.paths, ""))):
                        return None
                except Exception as error:
                    if not (read_fault(error).same_transaction or translate(error).transient):
                        raise
                if (found := self.recount(batch)) is not None:
                    return found
        raise BackendError(
            f"batch {batch.id} could not be fenced", code="NOT_FENCED", transient=True
        )

    def probe(self, batch: Batch) -> Mapping[str, str]:
        """Why each bad file of the batch cannot be loaded."""
        _, full = _split(batch)
        with self._reading():
            return self._blame(batch).bad_files(batch.only(full)) if full else {}

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Frames can be read inside; errors that name a link can be understood."""
        try:
            yield
        finally:
            if self._links is not None:
                self._links.clear()

    def _blame(self, batch: Batch) -> Blame:
        shape = self._writes.tables.shape(batch.source.target)
        return Blame(lambda part: self._writes.rows.kept(part, shape), self._paths, self._links)

    # --- rows that expectations dropped

    def _set_aside(self, batch: Batch, violations: Mapping[str, int] | None) -> list[str]:
        """Put dropped rows into the quarantine table; warnings of those that cannot be read now.

        ``violations`` None: nobody knows any more whether there are any.
        """
        table = batch.source.target_config.quarantine
        dropped = violations is None or any_dropped(batch.source, violations)
        if table is None or not batch.files or not dropped:
            return []
        with _translated():
            quarantine = Quarantine(self._writes, table)
            return quarantine.fill(batch, self._blame(batch), sure=violations is not None)

    # --- what is refused

    def _refuse(self, batch: Batch) -> None:
        """Raises BadFilesError for files that cannot go along, whatever they hold."""
        bad = {path for path in batch.paths if ":" in path.rpartition("/")[2]}
        if bad and (self._links is None or transforms(batch)):
            reason = "Spark cannot open a file with ':' in its name; rename it"
            raise BadFilesError(dict.fromkeys(bad, reason))
        overwrites = batch.source.target_config.write_mode is WriteMode.OVERWRITE
        if overwrites and batch.excluded and batch.files:
            reason = f"left out because {min(batch.excluded)} is bad: files overwrite together"
            raise BadFilesError(dict.fromkeys(batch.paths, reason))


def _split(batch: Batch) -> tuple[list[str], list[FoundFile]]:
    """Files without a byte, which bring no rows and tell no schema; and the other files."""
    textual = batch.source.file_format.textual
    empty = [file.path for file in batch.files if textual and not file.size_bytes]
    return empty, [file for file in batch.files if not textual or file.size_bytes]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise as_ours(error) from error
