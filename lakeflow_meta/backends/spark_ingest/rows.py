"""The rows of a batch as they go into the table: read, transformed, in its columns, as expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lakeflow_meta.backends.spark_ingest.columns import TableShape
from lakeflow_meta.backends.spark_ingest.commits import Locate
from lakeflow_meta.backends.spark_ingest.expectations import Expectations
from lakeflow_meta.backends.spark_ingest.frames import FileFrames, fitted
from lakeflow_meta.backends.spark_ingest.links import LinkFolders
from lakeflow_meta.backends.spark_ingest.merging import MergeRows
from lakeflow_meta.backends.spark_ingest.transforms import Transforms
from lakeflow_meta.ingest.batch import Batch
from lakeflow_meta.ingest.source import WriteMode
from lakeflow_meta.paths import PathMap

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class BatchRows:
    """Makes the frames of batches, on one session."""

    def __init__(
        self,
        session: Callable[[], SparkSession],
        paths: PathMap,
        transforms: Transforms,
        locate: Locate,
        links: LinkFolders | None = None,
    ) -> None:
        self._frames = FileFrames(session, paths, locate, links)
        self._transforms = transforms

    def conformed(self, batch: Batch, shape: TableShape | None) -> DataFrame:
        """All rows in the columns of the table, or (None: there is no table) in those of the files.

        Raises BadFilesError, ColumnsError, ConfigError, and errors of Spark's.
        """
        function = self._transforms.function(batch.source)
        if function is None:
            return self._frames.read(batch, shape)
        made = self._transforms.rows(batch, function, lambda part: self._frames.read(part, None))
        return made if shape is None else fitted(made, shape, batch)

    def kept(self, batch: Batch, shape: TableShape | None) -> DataFrame:
        """The rows that are written, without what expectations drop. Raises as `conformed`."""
        frame = self.conformed(batch, shape)
        if batch.source.target_config.write_mode is WriteMode.MERGE:
            MergeRows(frame, batch)  # the columns that merging needs are there
        known = shape or TableShape.of(frame.schema)
        return Expectations(batch, known).kept(frame)
