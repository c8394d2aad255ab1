"""Into how many tasks the rows of a batch go, which is how many files they become."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeflow_meta.ingest.batch import Batch

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_MOST_BYTES = 128 * 2**20
"""What Spark reads in one task at most (``spark.sql.files.maxPartitionBytes``)."""

_WORTH_A_TASK_BYTES = 4 * 2**20
_TO_OPEN_BYTES = 64 * 2**10
"""What could be read in the time that it takes to open a file (measured: 1 ms)."""


def packed(frame: DataFrame, batch: Batch, parallelism: int) -> DataFrame:
    """The frame in few partitions where files are small; splits of large files stay as they are.

    Spark by itself reads 32 small files in a task, and writes one file a task.
    """
    return frame.coalesce(tasks(batch.size_bytes, len(batch.files), parallelism))


def tasks(size_bytes: int, files: int, parallelism: int) -> int:
    """As many as there is work for, up to ``parallelism``; more only for large tasks."""
    work = size_bytes + files * _TO_OPEN_BYTES
    useful = min(parallelism, -(-work // _WORTH_A_TASK_BYTES))
    return max(1, useful, -(-size_bytes // _MOST_BYTES))
