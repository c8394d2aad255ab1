"""Rows by file, counted in the pass that writes them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import uuid4

from lakeflow_meta.backends.spark_ingest.commits import BatchCommit
from lakeflow_meta.ingest.batch import SOURCE_FILE, Batch, BatchCounts

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Observation, SparkSession

logger = logging.getLogger(__name__)

_BY_VALUE = "approx_top_k"
"""Since Spark 4.1, and in Databricks' runtimes."""

_MOST_COUNTED = 1_000_000
"""The most items that it keeps; below it its counts are exact."""

_COMMIT_COUNTS = "spark.databricks.delta.history.metricsEnabled"


class Counting:
    """Counts rows by file in the pass that writes them: exact, and without a second read.

    Of one file the commit itself tells the rows. Of several, `approx_top_k` counts each exactly as
    long as it may keep more items than there are files; that it did is checked by the sum.
    """

    def __init__(self, batch: Batch, session: SparkSession) -> None:
        self._batch = batch
        self._session = session
        self._observation: Observation | None = None

    def attach(self, frame: DataFrame, finish: Callable[[DataFrame], DataFrame]) -> DataFrame:
        """The frame as ``finish`` makes it, counted; before that, where it drops the file."""
        made = finish(frame)
        if not self._needs_metrics():
            return made
        if SOURCE_FILE in made.columns:  # Spark runs one expression less
            return self._observed(made)
        return finish(self._observed(frame))

    def _needs_metrics(self) -> bool:
        """They cost a tenth of the time of a large file."""
        if len(self._batch.files) > 1:
            return bool(self._session.catalog.functionExists(_BY_VALUE))
        return str(self._session.conf.get(_COMMIT_COUNTS, "true")) != "true"

    def _observed(self, frame: DataFrame) -> DataFrame:
        from pyspark.sql import Observation
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        metrics = [F.count(F.lit(1)).alias("rows")]
        files = len(self._batch.files)
        if files > 1:
            kept = F.lit(min(_MOST_COUNTED, max(1000, 2 * files)))
            counted = F.call_function(_BY_VALUE, SOURCE_FILE, kept, kept)
            metrics.append(F.to_json(counted).alias("files"))  # rows come one by one, and slowly
        self._observation = Observation(uuid4().hex)
        return frame.observe(self._observation, *metrics)

    def counts(self, commit: BatchCommit) -> BatchCounts | None:
        """Rows by file, None where nothing tells them: Spark Connect may have no metrics of a
        write. Only after a commit: metrics of a write that was skipped never come.
        """
        paths = self._batch.paths
        if len(paths) == 1 and commit.rows is not None:
            return BatchCounts({paths[0]: commit.rows})
        metrics = self._observation.get if self._observation is not None else {}
        if not metrics:
            return None
        if len(paths) == 1:
            return BatchCounts({paths[0]: metrics["rows"]})
        items = json.loads(metrics["files"] or "[]")
        counted = {item.get("item"): item["count"] for item in items}
        rows = {path: counted.get(path, 0) for path in paths}
        if sum(rows.values()) != metrics["rows"] or commit.rows not in (None, metrics["rows"]):
            logger.warning("rows of batch %s were not counted by file", commit.batch_id)
            return None
        return BatchCounts(rows)
