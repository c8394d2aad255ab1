"""Spark's readers on the files of a batch. Strict: parsing fails at the first record that does
not fit (``FAILFAST``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lakeflow_meta.ingest.batch import SOURCE_FILE, Batch
from lakeflow_meta.ingest.files import FoundFile
from lakeflow_meta.ingest.formats import FileFormat
from lakeflow_meta.paths import PathMap

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
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
    ) -> DataFrame:
        """The rows of the files, and each row's file as a URI in ``_source_file``."""
        from pyspark.sql.types import StructType

        reader = self._session().read.format(batch.source.file_format.spark_name)
        reader = reader.options(**reader_options(batch))
        if fields is not None:
            reader = reader.schema(
                StructType([nullable_field(field, field.name) for field in fields])
            )
            reader = reader.option("enforceSchema", "false")
        paths = [_GLOB.sub(r"\\\1", self._paths.physical(file.path)) for file in files]
        frame = reader.load(paths)
        uri = frame.metadataColumn("_metadata").getField("file_path")
        return frame.select("*", uri.alias(SOURCE_FILE))


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
