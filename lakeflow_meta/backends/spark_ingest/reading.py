"""Spark's readers on the files of a batch. Strict: parsing fails at the first record that does
not fit (``FAILFAST``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lakeflow_meta.backends.spark_ingest.source_paths import uri_of
from lakeflow_meta.ingest.batch import METADATA_COLUMNS, SOURCE_FILE, Batch
from lakeflow_meta.ingest.files import FoundFile, table_version
from lakeflow_meta.ingest.formats import FileFormat
from lakeflow_meta.paths import PathMap
from lakeflow_meta.sql import ident

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import StructField

_GLOB = re.compile(r"([\\*?\[\]{}])")
_STRICT = {"mode": "FAILFAST", "ignoreCorruptFiles": "false", "ignoreMissingFiles": "false"}


class FileReader:
    """Reads files as they are, in given columns or those that Spark finds."""

    def __init__(self, session: Callable[[], SparkSession], paths: PathMap) -> None:
        self._session = session
        self._paths = paths

    def load(
        self,
        batch: Batch,
        files: Sequence[FoundFile],
        fields: Sequence[StructField] | None,
        options: Mapping[str, str] | None = None,
    ) -> DataFrame:
        """The rows of the files, and each row's file as a URI in ``_source_file``.

        Columns of the files that are named like ours are left out. ``options``: besides those of
        the source, and before them.
        """
        from pyspark.sql.types import StructType

        if batch.source.file_format is FileFormat.DELTA:
            (version,) = files  # of one table, the newest one
            return self._table_version(version)
        reader = self._session().read.format(batch.source.file_format.spark_name)
        reader = reader.options(**{**reader_options(batch), **(options or {})})
        if fields is not None:
            reader = reader.schema(
                StructType([nullable_field(field, field.name) for field in fields])
            )
            reader = reader.option("enforceSchema", "false")
        paths = [_GLOB.sub(r"\\\1", self._paths.physical(file.path)) for file in files]
        frame = reader.load(paths)
        uri = frame.metadataColumn("_metadata").getField("file_path")
        return frame.select(*_own(frame), uri.alias(SOURCE_FILE))

    def _table_version(self, file: FoundFile) -> DataFrame:
        """The rows of a Delta table as it was at the version that the path names."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        table, version = table_version(file.path) or (file.path, 0)
        reader = self._session().read.format("delta").option("versionAsOf", version)
        frame = reader.load(self._paths.physical(table))
        uri = F.lit(uri_of(file.path, self._paths))
        return frame.select(*_own(frame), uri.alias(SOURCE_FILE))


def _own(frame: DataFrame) -> list[Column | str]:
    """The columns of the files, without those that are named like ours."""
    names = frame.columns
    kept = [name for name in names if name.lower() not in METADATA_COLUMNS]
    return ["*"] if len(kept) == len(names) else [frame[ident(name)] for name in kept]


def reader_options(batch: Batch) -> dict[str, str]:
    """Reader options as text; what people wrote wins over the defaults, whatever its case."""
    config = batch.source.source_config
    defaults = dict(_STRICT)
    if batch.source.file_format is FileFormat.CSV:
        defaults |= {"header": "true", "inferSchema": "true"}
    given = {name: _text(value) for name, value in config.options.items()}
    known = {name.lower(): name for name in defaults}
    return defaults | {known.get(name.lower(), name): value for name, value in given.items()}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def nullable_field(field: StructField, name: str) -> StructField:
    """A field to read with: NULL is allowed (the table decides), and lengths are not checked."""
    from pyspark.sql.types import StructField

    return StructField(name, field.dataType, nullable=True)
