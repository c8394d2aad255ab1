"""Files as a DataFrame with the columns of their table: read by name, cast strictly.

Nothing turns into NULL silently: parsing fails at the first record that does not fit
(``FAILFAST``), values that a cast would change or lose are errors, and so are columns that the
table does not have, unless `SchemaEvolution` says what is to become of them. Columns that a file
does not have are left to the table: NULL, or its default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lakeflow_meta.backends.spark_ingest.batch_frame import BatchFrame
from lakeflow_meta.backends.spark_ingest.columns import Rules, TableShape, conformed
from lakeflow_meta.backends.spark_ingest.commits import Locate
from lakeflow_meta.backends.spark_ingest.evolution import evolved
from lakeflow_meta.backends.spark_ingest.file_groups import FileGroups
from lakeflow_meta.backends.spark_ingest.links import LinkFolders
from lakeflow_meta.backends.spark_ingest.reading import FileReader
from lakeflow_meta.ingest.batch import Batch
from lakeflow_meta.paths import PathMap

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class FileFrames:
    """Reads the files of a batch."""

    def __init__(
        self,
        session: Callable[[], SparkSession],
        paths: PathMap,
        locate: Locate = lambda _table: None,
        links: LinkFolders | None = None,
    ) -> None:
        """``locate`` finds tables without Spark. ``links``: see `FileReader`."""
        self._session = session
        self._locate = locate
        self._reader = FileReader(session, paths, links)
        self._groups = FileGroups(session, paths)

    def read(self, batch: Batch, shape: TableShape | None) -> DataFrame:
        """The rows of the batch's files in the columns of the table, and each row's file.

        The file's path is in ``_source_file``. The columns are those that the table has afterwards,
        so a write has to let it evolve.
        ``shape`` None: there is no table yet, or a transform comes first, and the columns are those
        of the declared schema and of the files. Raises BadFilesError, ColumnsError, BackendError,
        and errors of Spark's.
        """
        frame = BatchFrame(self._session, self._reader, self._groups, batch, self._locate)
        return frame.rows(shape)


def fitted(frame: DataFrame, shape: TableShape, batch: Batch) -> DataFrame:
    """Rows that a transform made, in the columns that the table has with them.

    Raises ColumnsError, BackendError.
    """
    rules = Rules.of(batch)
    wider = evolved(shape, [frame.schema.fields], rules.evolution)
    return conformed(frame, wider, rules)
