"""Appends batches of files to Delta tables through Spark, each batch as one transaction.

One Spark read and one pass over the data a batch: rows are counted by file while they are written.
Whether a write was committed, and by whom, is told by a note in the commit, never guessed: Delta
skips a transaction that it has without a word.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import uuid4

from lakeflow_meta.backends.spark_ingest.blame import Blame, as_ours
from lakeflow_meta.backends.spark_ingest.columns import TableShape, conformed
from lakeflow_meta.backends.spark_ingest.commits import BatchCommit, DeltaCommits, Locate
from lakeflow_meta.backends.spark_ingest.counting import Counting
from lakeflow_meta.backends.spark_ingest.faults import read_fault
from lakeflow_meta.backends.spark_ingest.frames import FileFrames
from lakeflow_meta.backends.spark_ingest.source_paths import known_path
from lakeflow_meta.errors import BackendError, LakeflowMetaError
from lakeflow_meta.ingest.batch import (
    BATCH_ID,
    INGESTED_AT,
    METADATA_COLUMNS,
    SOURCE_FILE,
    BadFilesError,
    Batch,
    BatchCounts,
    FencedOutError,
)
from lakeflow_meta.ingest.files import FoundFile
from lakeflow_meta.names import TableName
from lakeflow_meta.paths import PathMap
from lakeflow_meta.sql import ident, qualified

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

logger = logging.getLogger(__name__)

_BYTES_PER_PARTITION = 128 * 2**20
"""What Spark puts into one partition at most (``spark.sql.files.maxPartitionBytes``)."""

_TRIES = 3
_MOST_COUNTED = 1_000_000
"""The most items that ``approx_top_k`` keeps; below it its counts are exact."""


class SparkLoader:
    """A `ports.BatchLoader` on one Spark session."""

    def __init__(
        self,
        session: Callable[[], SparkSession],
        paths: PathMap,
        *,
        locate: Locate,
        parallelism: int | None = None,
    ) -> None:
        """``session`` is called at the first need. ``locate`` finds tables without Spark.

        ``parallelism``: tasks at once, and so files that a small batch leaves in the table.
        """
        self._make_session = session
        self._paths = paths
        self._parallelism = parallelism
        self._commits = DeltaCommits(lambda: self._session, locate)
        self._frames = FileFrames(lambda: self._session, paths)

    @cached_property
    def _session(self) -> SparkSession:
        return self._make_session()

    # --- what the target knows

    def committed_version(self, table: TableName, app_id: str) -> int | None:
        """The highest transaction version of the application, None if there is none."""
        with _translated():
            return self._commits.last_version(table, app_id)

    def recount(self, batch: Batch) -> BatchCounts | None:
        """What the batch's commit holds, None when there is none."""
        with _translated():
            commit = self._commits.find(batch.source.target, batch)
            return None if commit is None else self._recounted(batch, commit)

    def _recounted(self, batch: Batch, commit: BatchCommit) -> BatchCounts:
        held = sorted({*batch.paths, *batch.excluded} - set(commit.excluded))
        if len(held) == 1:
            return BatchCounts({held[0]: commit.rows})
        target = self._session.table(qualified(batch.source.target))
        if not {SOURCE_FILE, BATCH_ID} <= {name.lower() for name in target.columns}:
            return BatchCounts(dict.fromkeys(held))
        rows = target.where(target[BATCH_ID] == str(batch.id)).groupBy(SOURCE_FILE).count()
        counted = {row[SOURCE_FILE]: row["count"] for row in rows.collect()}
        return BatchCounts({path: counted.get(path, 0) for path in held})

    # --- loading

    def load(self, batch: Batch) -> BatchCounts:
        """Append the batch, or find that it was committed before."""
        self._refuse_names(batch)
        for attempt in range(1, _TRIES + 1):
            try:
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
        counts = self._written(batch.only(full)) if full else BatchCounts({})
        if counts is None:
            return self._committed_by_another(batch)
        return BatchCounts({**dict.fromkeys(empty, 0), **counts.rows})

    def _written(self, batch: Batch) -> BatchCounts | None:
        """Append; None where another process committed the transaction meanwhile."""
        try:
            return self._append(batch)
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

    def _append(self, batch: Batch) -> BatchCounts | None:
        """Write once; the counts, or None where Delta skipped the transaction."""
        shape = self._shape(batch.source.target)
        frame = self._frames.read(batch, shape)
        if shape is None:
            shape = self._create(batch, frame)
            frame = conformed(frame, shape)
        attempt = uuid4().hex
        counting = Counting(batch, self._paths)
        written = self._with_metadata(counting.attach(frame), batch, shape)
        writer = self._packed(written, batch).write.format("delta").mode("append")
        writer = writer.option("txnAppId", batch.id.app_id).option("txnVersion", batch.id.version)
        writer = writer.option("userMetadata", batch.commit_note(attempt))
        writer.saveAsTable(qualified(batch.source.target))
        commit = self._commits.find(batch.source.target, batch, attempt)
        return None if commit is None else counting.counts(commit)

    def _shape(self, table: TableName) -> TableShape | None:
        name = qualified(table)
        if not self._session.catalog.tableExists(name):
            return None
        return TableShape.of(self._session.table(name).schema)

    def _create(self, batch: Batch, frame: DataFrame) -> TableShape:
        """Make the table, empty: Delta keeps no note in a commit that creates and fills one."""
        schema = _nullable(self._with_metadata(frame, batch, None).schema)
        name = qualified(batch.source.target)
        nothing = self._session.createDataFrame([], schema)
        nothing.write.format("delta").mode("ignore").saveAsTable(name)
        return TableShape.of(self._session.table(name).schema)

    def _with_metadata(self, frame: DataFrame, batch: Batch, shape: TableShape | None) -> DataFrame:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        columns = _chosen_columns(batch, shape)
        values = {
            SOURCE_FILE: known_path(frame[SOURCE_FILE], batch, self._paths),
            INGESTED_AT: F.lit(batch.ingested_at).cast("timestamp"),
            BATCH_ID: F.lit(str(batch.id)),
        }
        data = [frame[ident(name)] for name in frame.columns if name != SOURCE_FILE]
        ours = [values[name].alias(name) for name in METADATA_COLUMNS if name in columns]
        return frame.select(*data, *ours)

    def _packed(self, frame: DataFrame, batch: Batch) -> DataFrame:
        """Few partitions for many small files: as many tasks, and files in the table, as useful."""
        tasks = self._parallelism or self._session.sparkContext.defaultParallelism
        return frame.coalesce(max(tasks, -(-batch.size_bytes // _BYTES_PER_PARTITION)))

    def probe(self, batch: Batch) -> Mapping[str, str]:
        """Why each bad file of the batch cannot be loaded."""
        _, full = _split(batch)
        return self._blame(batch).bad_files(batch.only(full)) if full else {}

    def _blame(self, batch: Batch) -> Blame:
        shape = self._shape(batch.source.target)
        return Blame(lambda part: self._frames.read(part, shape), self._paths)

    def _refuse_names(self, batch: Batch) -> None:
        """Hadoop cannot open a local file with a colon in its name."""
        bad = {path for path in batch.paths if ":" in path.rpartition("/")[2]}
        if bad:
            reason = "Spark cannot open a file with ':' in its name; rename it"
            raise BadFilesError(dict.fromkeys(bad, reason))


def _split(batch: Batch) -> tuple[list[str], list[FoundFile]]:
    """Files without a byte, which bring no rows and tell no schema; and the other files."""
    textual = batch.source.file_format.textual
    empty = [file.path for file in batch.files if textual and not file.size_bytes]
    return empty, [file for file in batch.files if not textual or file.size_bytes]


def _chosen_columns(batch: Batch, shape: TableShape | None) -> frozenset[str]:
    """Which metadata columns to write. Raises BackendError: asked for, but the table lacks them."""
    wanted = batch.source.target_config.metadata_columns
    if wanted is False:
        return frozenset()
    present = frozenset(METADATA_COLUMNS) if shape is None else shape.metadata_columns
    missing = sorted(set(METADATA_COLUMNS) - present)
    if wanted and missing:
        raise BackendError(
            f"{batch.source.target} has no column {', '.join(missing)}; add them to the table, or"
            " leave metadata_columns out",
            code="MISSING_METADATA_COLUMNS",
        )
    return present


def _nullable(schema: StructType) -> StructType:
    from pyspark.sql.types import StructField, StructType

    return StructType([StructField(f.name, f.dataType, nullable=True) for f in schema.fields])


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise as_ours(error) from error
