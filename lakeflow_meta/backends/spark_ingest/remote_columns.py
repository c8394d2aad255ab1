"""The columns that files of other storage tell, read through Spark: also on Spark Connect.

Of small files the first or last bytes come as columns of one read; a large one is asked alone.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from lakeflow_meta.backends.spark_ingest.csv_header import first_record
from lakeflow_meta.backends.spark_ingest.file_columns import (
    ColumnsUnreadableError,
    FileColumns,
    csv_columns,
    told_columns,
)
from lakeflow_meta.ingest.files import FoundFile
from lakeflow_meta.ingest.formats import FileFormat
from lakeflow_meta.paths import known_uri

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession

_WHOLE_BYTES = 32 * 2**20
"""Files up to this size may be one value of a row."""
_END_BYTES = 2**20
_MOST_LINES = 1000
_GLOB = re.compile(r"([\\*?\[\]{}])")


class RemoteColumns:
    """Asks Spark. ``options``: reader options, names in lower case."""

    def __init__(
        self, session: SparkSession, file_format: FileFormat, options: Mapping[str, str]
    ) -> None:
        self._session = session
        self._format = file_format
        self._options = options

    def of(
        self, files: Sequence[FoundFile], bad: dict[str, str]
    ) -> Mapping[str, FileColumns | None]:
        """By path; files that tell nonsense go to ``bad``. Raises errors of Spark's."""
        found: dict[str, FileColumns | None] = {}
        ends = self._ends([file for file in files if file.size_bytes <= _WHOLE_BYTES])
        for file in files:
            try:
                if file.path in ends:
                    found[file.path] = self._of_bytes(file, ends[file.path])
                else:
                    found[file.path] = self._of_large(file)
            except (ColumnsUnreadableError, OSError) as error:
                bad[file.path] = str(error)
        return found

    def _of_bytes(self, file: FoundFile, data: bytes) -> FileColumns | None:
        suffix = PurePosixPath(file.path).suffix
        return told_columns(io.BytesIO(data), suffix, self._format, self._options)

    def _ends(self, files: Sequence[FoundFile]) -> Mapping[str, bytes]:
        """The bytes that tell: the beginning of CSV and Avro, the end of Parquet and ORC."""
        if not files:
            return {}
        reader = self._session.read.format("binaryFile")
        frame = reader.load([_GLOB.sub(r"\\\1", file.path) for file in files])
        rows = frame.select(frame["path"], self._end(frame["content"]).alias("end"))
        told = rows.toArrow().to_pylist()
        return {known_uri(row["path"]): bytes(row["end"]) for row in told}

    def _end(self, content: Column) -> Column:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        first = self._format in (FileFormat.CSV, FileFormat.AVRO)
        return F.substring(content, 1 if first else -_END_BYTES, _END_BYTES)

    def _of_large(self, file: FoundFile) -> FileColumns | None:
        path = _GLOB.sub(r"\\\1", file.path)
        if self._format is not FileFormat.CSV:
            schema = self._session.read.format(self._format.spark_name).load(path).schema
            return tuple((field.name, field.dataType.simpleString()) for field in schema.fields)
        options = {name: self._options[name] for name in ("linesep",) if name in self._options}
        lines = self._session.read.options(**options).text(path).limit(_MOST_LINES).collect()
        text = "".join(f"{row['value']}\n" for row in lines).removeprefix("\ufeff")
        record = first_record(io.StringIO(text, newline=""), self._options)
        return None if record is None else csv_columns(record, self._options)
