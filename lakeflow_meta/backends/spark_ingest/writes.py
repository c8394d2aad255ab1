"""The three ways in which the rows of a batch go into its table, each as one Delta transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from lakeflow_meta.backends.spark_ingest.columns import TableShape, conformed
from lakeflow_meta.backends.spark_ingest.commits import BatchCommit, DeltaCommits
from lakeflow_meta.backends.spark_ingest.counting import Counting
from lakeflow_meta.backends.spark_ingest.expectations import Expectations
from lakeflow_meta.backends.spark_ingest.links import LinkFolders
from lakeflow_meta.backends.spark_ingest.merging import MergeRows
from lakeflow_meta.backends.spark_ingest.packing import packed
from lakeflow_meta.backends.spark_ingest.recounting import Recounting
from lakeflow_meta.backends.spark_ingest.rows import BatchRows
from lakeflow_meta.backends.spark_ingest.sessions import own_session, settings
from lakeflow_meta.backends.spark_ingest.target_tables import TargetTables, transaction
from lakeflow_meta.backends.spark_ingest.transforms import Transforms
from lakeflow_meta.ingest.batch import Batch, BatchCounts
from lakeflow_meta.ingest.source import SchemaEvolution, WriteMode
from lakeflow_meta.paths import PathMap
from lakeflow_meta.sql import qualified
from lakeflow_meta.sql_ingest import merge_view

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_DELTA = "spark.databricks.delta"
_SETTING_OF = {
    "txnAppId": f"{_DELTA}.write.txnAppId",
    "txnVersion": f"{_DELTA}.write.txnVersion",
    "userMetadata": f"{_DELTA}.commitInfo.userMetadata",
}
"""What a writer has as an option, a MERGE has as a setting of its session."""


@dataclass(frozen=True, slots=True)
class Writes:
    """Writes batches on one session. ``parallelism``: tasks at once."""

    session: Callable[[], SparkSession]
    paths: PathMap
    transforms: Transforms
    commits: DeltaCommits
    parallelism: int
    links: LinkFolders | None = None

    @property
    def rows(self) -> BatchRows:
        """The rows of batches."""
        locate = self.commits.locate
        return BatchRows(self.session, self.paths, self.transforms, locate, self.links)

    @property
    def tables(self) -> TargetTables:
        """Target tables."""
        return TargetTables(self.session, self.commits.locate)

    def write(self, batch: Batch) -> BatchCounts | None:
        """Write once; the counts, or None where Delta knows the transaction and skipped it."""
        mode = batch.source.target_config.write_mode
        if not batch.files and mode is not WriteMode.OVERWRITE:
            return BatchCounts({})
        if mode is WriteMode.MERGE:  # settings of the session carry the transaction
            with own_session(self.session()) as session:
                return replace(self, session=lambda: session).merge(batch)
        return self._place(batch) if batch.files else self._empty(batch)

    # --- append, overwrite

    def _place(self, batch: Batch) -> BatchCounts | None:
        frame, shape = self._in_table(batch)
        expectations = Expectations(batch, shape)
        counting = Counting(batch, self.session())
        kept = expectations.kept_and_counted(frame)
        counted = counting.attach(kept, lambda f: self.tables.with_metadata(f, batch, shape))
        written = packed(counted, batch, self.parallelism)
        attempt = uuid4().hex
        self._put(written, batch, transaction(batch, attempt) | _evolution(batch))
        commit = self.commits.find(batch.source.target, batch, attempt)
        if commit is None:
            return None
        counts = counting.counts(commit) or self._recounted(batch, commit)
        return replace(counts, violations=expectations.violations(frame))

    def _recounted(self, batch: Batch, commit: BatchCommit) -> BatchCounts:
        """Spark Connect gives metrics of queries, and not always of writes."""
        counting = Recounting(self.session, self.rows, self.tables)
        return BatchCounts(counting.counts(batch, commit, batch.paths))

    def _put(self, frame: DataFrame, batch: Batch, options: dict[str, str]) -> None:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        name = qualified(batch.source.target)
        if batch.source.target_config.write_mode is WriteMode.APPEND:
            frame.write.format("delta").mode("append").options(**options).saveAsTable(name)
        else:  # all rows are replaced, and the table stays the one that it is
            frame.writeTo(name).options(**options).overwrite(F.lit(True))

    def _empty(self, batch: Batch) -> BatchCounts | None:
        """Files of no rows replace all that is there."""
        if self.tables.shape(batch.source.target) is None:
            return BatchCounts({})
        attempt = uuid4().hex
        nothing = self.tables.nothing(batch.source.target)
        self._put(nothing, batch, transaction(batch, attempt))
        commit = self.commits.find(batch.source.target, batch, attempt)
        return None if commit is None else BatchCounts({})

    def fence(self, batch: Batch) -> bool:
        """Commit nothing in the batch's name, so that nobody can commit it any more.

        Whether that is so; False where somebody had committed it. A table that does not exist
        cannot be fenced, and nobody has written to it.
        """
        if self.tables.shape(batch.source.target) is None:
            return True
        attempt = uuid4().hex
        nothing = self.tables.nothing(batch.source.target)
        writer = nothing.write.format("delta").mode("append").options(**transaction(batch, attempt))
        writer.saveAsTable(qualified(batch.source.target))
        return self.commits.find(batch.source.target, batch, attempt) is not None

    # --- merge

    def merge(self, batch: Batch) -> BatchCounts | None:
        """Merge once, in a session that nobody else uses; see `write`."""
        session, target = self.session(), batch.source.target
        frame, shape = self._in_table(batch)
        expectations = Expectations(batch, shape)
        looked_at = MergeRows(expectations.kept_and_counted(frame), batch)
        counted = looked_at.counted()
        counts = counted.of(batch)
        rows = MergeRows(expectations.kept(frame), batch)
        changes = rows.changes(rows.winners(counted, session), session.table(qualified(target)))
        offered = self.tables.with_metadata(changes, batch, shape)
        attempt = uuid4().hex
        options = transaction(batch, attempt, counts)
        with settings(session, {_SETTING_OF[name]: value for name, value in options.items()}):
            _run_merge(session, offered, rows, batch)
        commit = self.commits.find(target, batch, attempt)
        violations = expectations.violations(frame)
        return None if commit is None else BatchCounts(counts, violations)

    # --- both

    def _in_table(self, batch: Batch) -> tuple[DataFrame, TableShape]:
        """The rows in the columns of the table, which is made where it is missing."""
        shape = self.tables.shape(batch.source.target)
        frame = self.rows.conformed(batch, shape)
        if shape is None:
            shape = self.tables.create(batch, frame)
            frame = conformed(frame, shape)
        return frame, shape


def _run_merge(session: SparkSession, offered: DataFrame, rows: MergeRows, batch: Batch) -> None:
    view = f"lakeflow_{uuid4().hex}"
    offered.createOrReplaceTempView(view)
    statement = merge_view(
        batch.source.target,
        view,
        rows.keys,
        offered.columns,
        sequence_by=rows.sequence,
        evolve=bool(_evolution(batch)),
    )
    try:
        session.sql(statement).collect()
    finally:
        session.catalog.dropTempView(view)


def _evolution(batch: Batch) -> dict[str, str]:
    """The option by which a write may add columns."""
    evolves = batch.source.source_config.schema_evolution is not SchemaEvolution.FAIL
    return {"mergeSchema": "true"} if evolves else {}
