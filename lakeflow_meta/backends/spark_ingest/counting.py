"""Rows by file, counted in the pass that writes them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from uuid import uuid4

from lakeflow_meta.backends.spark_ingest.commits import BatchCommit
from lakeflow_meta.backends.spark_ingest.source_paths import paths_by_uri
from lakeflow_meta.ingest.batch import SOURCE_FILE, Batch, BatchCounts
from lakeflow_meta.paths import PathMap

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Observation

logger = logging.getLogger(__name__)

_MOST_COUNTED = 1_000_000
"""The most items that ``approx_top_k`` keeps; below it its counts are exact."""


class Counting:
    """Counts rows by file in the pass that writes them: exact, and without a second read.

    One file needs no more than a count. Of several, `approx_top_k` counts each exactly as long as
    it may keep more items than there are files; that it did is checked by the sum.
    """

    def __init__(self, batch: Batch, paths: PathMap) -> None:
        from pyspark.sql import Observation

        self._batch = batch
        self._paths = paths
        self._observation: Observation = Observation(uuid4().hex)

    def attach(self, frame: DataFrame) -> DataFrame:
        """The frame, counted."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        metrics = [F.count(F.lit(1)).alias("rows")]
        files = len(self._batch.files)
        if files > 1:
            kept = F.lit(min(_MOST_COUNTED, max(1000, 2 * files)))
            metrics.append(F.call_function("approx_top_k", SOURCE_FILE, kept, kept).alias("files"))
        return frame.observe(self._observation, *metrics)

    @property
    def known(self) -> bool:
        """Whether the metrics came; Spark Connect may have none of a write. Only after a commit."""
        return bool(self._observation.get)

    def counts(self, commit: BatchCommit) -> BatchCounts:
        """Rows by file. Only after a commit: metrics of a write that was skipped never come."""
        metrics = self._observation.get
        total = metrics["rows"]
        paths = self._batch.paths
        if len(paths) == 1:
            counted = {paths[0]: total}
        else:
            by_uri = {item["item"]: item["count"] for item in metrics["files"] or ()}
            names = paths_by_uri(by_uri, self._batch, self._paths)
            counted = {path: by_uri[uri] for uri, path in names.items()}
        rows = {path: counted.get(path, 0) for path in paths}
        if sum(rows.values()) != total or commit.rows not in (None, total):
            logger.warning("rows of batch %s could not be counted by file", commit.batch_id)
            return BatchCounts(dict.fromkeys(paths))
        return BatchCounts(rows)
