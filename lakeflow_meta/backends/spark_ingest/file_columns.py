"""The columns that a file says it has: a CSV's header, the footer of Parquet or ORC, the header of
Avro.

Spark takes CSV columns by position whatever the header says, and the schema of a set of Parquet or
Avro files from one of them, leaving out what only others have. So files are grouped by the columns
that they tell, and each group is read by itself and by name.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from lakeflow_meta.backends.spark_ingest.avro_header import AvroHeaderError, read_avro_fields
from lakeflow_meta.backends.spark_ingest.compressed_files import (
    CompressionError,
    check_compression,
    open_text,
)
from lakeflow_meta.backends.spark_ingest.csv_header import first_record
from lakeflow_meta.ingest.formats import FileFormat

_TORN = (
    *(UnicodeError, LookupError, EOFError, csv.Error, zlib.error),
    *(gzip.BadGzipFile, CompressionError),
)

FileColumns = tuple[tuple[str, str], ...]
"""Names, and types where the file tells them. Of a CSV without a header, the names are empty."""

TELLING = (FileFormat.CSV, FileFormat.PARQUET, FileFormat.ORC, FileFormat.AVRO)
"""Formats whose files tell their columns."""


class ColumnsUnreadableError(ValueError):
    """What a file says of its columns cannot be used; the message says why."""


def read_columns(
    path: Path, file_format: FileFormat, options: Mapping[str, str]
) -> FileColumns | None:
    """The columns of a file of this machine; None where it tells none.

    ``options``: Spark's reader options, names in lower case. Raises ColumnsUnreadableError (also
    where the file as a whole cannot be read), OSError.
    """
    if file_format.textual:
        _check_packing(path)
    if file_format not in TELLING:
        return None
    with path.open("rb") as stream:
        return told_columns(stream, path.suffix, file_format, options)


def told_columns(
    stream: BinaryIO, suffix: str, file_format: FileFormat, options: Mapping[str, str]
) -> FileColumns | None:
    """The columns of a file that is open, ``suffix`` of its name given. Raises as `read_columns`.

    Of CSV and Avro the beginning is enough, of Parquet and ORC the end.
    """
    match file_format:
        case FileFormat.CSV:
            return _csv_header(stream, suffix, options)
        case FileFormat.PARQUET | FileFormat.ORC:
            return _footer(stream, file_format)
        case FileFormat.AVRO:
            return _avro(stream, options)
        case _:
            return None


def _check_packing(path: Path) -> None:
    try:
        check_compression(path)
    except CompressionError as error:
        raise ColumnsUnreadableError(str(error)) from error


def _footer(stream: BinaryIO, file_format: FileFormat) -> FileColumns:
    try:
        if file_format is FileFormat.PARQUET:
            schema = pq.read_schema(stream)
        else:
            from pyarrow import orc

            schema = orc.ORCFile(stream).schema
    except pa.ArrowException as error:
        raise ColumnsUnreadableError(f"its footer cannot be read: {error}") from error
    return _checked(tuple((field.name, str(field.type)) for field in schema))


def _avro(stream: BinaryIO, options: Mapping[str, str]) -> FileColumns | None:
    try:
        fields = read_avro_fields(stream)
    except AvroHeaderError as error:
        raise ColumnsUnreadableError(str(error)) from error
    if options.get("avroschema"):  # it says how all of them are to be read
        return None
    return _checked(tuple((name, json.dumps(kind, sort_keys=True)) for name, kind in fields))


def _csv_header(stream: BinaryIO, suffix: str, options: Mapping[str, str]) -> FileColumns | None:
    encoding = options.get("encoding", options.get("charset", "utf-8"))
    encoding = "utf-8-sig" if encoding.lower().replace("-", "") == "utf8" else encoding
    try:
        with open_text(stream, suffix, encoding) as file:
            record = first_record(file, options)
    except _TORN as error:
        raise ColumnsUnreadableError(f"its header cannot be read: {error}") from error
    return None if record is None else csv_columns(record, options)


def csv_columns(record: Sequence[str], options: Mapping[str, str]) -> FileColumns:
    """What the first record of a CSV file tells. Raises ColumnsUnreadableError."""
    if options.get("header", "false").lower() != "true":
        return (("", ""),) * len(record)
    return _checked(tuple((name, "") for name in record))


def _checked(columns: FileColumns) -> FileColumns:
    """Raises ColumnsUnreadableError: two names are one to Spark, which does not mind case."""
    seen: set[str] = set()
    for number, (name, _) in enumerate(columns, 1):
        if not name:
            raise ColumnsUnreadableError(f"its column {number} has no name")
        if name.lower() in seen:
            raise ColumnsUnreadableError(f"it names {name!r} twice")
        seen.add(name.lower())
    return columns
