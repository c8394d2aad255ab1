"""The columns that a file says it has: a CSV's header, a Parquet or ORC footer.

Spark takes CSV columns by position whatever the header says, and the schema of a set of Parquet
files from one of them, leaving out what only others have. So files are grouped by the columns that
they tell, and each group is read by itself and by name. For CSV Spark checks the header again
(``enforceSchema=false``), so a header that is read wrongly here is an error and never wrong data.
"""

from __future__ import annotations

import bz2
import csv
import gzip
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from lakeflow_meta.ingest.formats import FileFormat

FileColumns = tuple[tuple[str, str], ...]
"""Names, and types where the file tells them."""

_OPENERS: Mapping[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open}
_NOT_OPENED = {".zst", ".lz4", ".deflate", ".snappy"}
_MOST_LINES = 1000


class ColumnsUnreadableError(ValueError):
    """What a file says of its columns cannot be used; the message says why."""


def read_columns(
    path: Path, file_format: FileFormat, options: Mapping[str, str]
) -> FileColumns | None:
    """The columns of a file; None where it tells none, or only to Spark.

    ``options``: Spark's reader options, names in lower case. Raises ColumnsUnreadableError,
    OSError.
    """
    match file_format:
        case FileFormat.CSV if options.get("header", "false").lower() == "true":
            names = _header(path, options)
            return None if names is None else tuple((name, "") for name in names)
        case FileFormat.PARQUET | FileFormat.ORC:
            return _footer(path, file_format)
        case _:
            return None


def _footer(path: Path, file_format: FileFormat) -> FileColumns:
    try:
        if file_format is FileFormat.PARQUET:
            schema = pq.read_schema(path)
        else:
            from pyarrow import orc

            schema = orc.ORCFile(path).schema
    except pa.ArrowException as error:
        raise ColumnsUnreadableError(f"its footer cannot be read: {error}") from error
    return tuple((field.name, str(field.type)) for field in schema)


# --------------------------------------------------------------------------- CSV


def _header(path: Path, options: Mapping[str, str]) -> tuple[str, ...] | None:
    """Names in the first line that is neither empty nor a comment."""
    suffix = path.suffix.lower()
    if suffix in _NOT_OPENED:
        return None
    encoding = options.get("encoding", options.get("charset", "utf-8"))
    encoding = "utf-8-sig" if encoding.lower().replace("-", "") == "utf8" else encoding
    try:
        with _OPENERS.get(suffix, open)(path, "rt", encoding=encoding, newline="") as file:
            names = next(_records(file, options), None)
    except (UnicodeError, LookupError, EOFError, csv.Error, gzip.BadGzipFile) as error:
        raise ColumnsUnreadableError(f"its header cannot be read: {error}") from error
    if names is not None:
        _check_unique(names)
    return names


def _records(file: IO[str], options: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    comment = options.get("comment", "")
    lines = islice(file, _MOST_LINES)
    told = (line for line in lines if line.strip() and not (comment and line.startswith(comment)))
    for record in csv.reader(told, **_dialect(options)):
        yield tuple(record)


def _dialect(options: Mapping[str, str]) -> dict[str, Any]:
    separator = options.get("sep", options.get("delimiter", ",")).replace("\\t", "\t")
    quote = options.get("quote", '"')
    escape = options.get("escape", "\\")
    if len(separator) != 1:
        raise ColumnsUnreadableError(
            f"a separator of {len(separator)} characters is not read by this version"
        )
    if not quote:
        return {"delimiter": separator, "quoting": csv.QUOTE_NONE}
    return {
        "delimiter": separator,
        "quotechar": quote,
        "doublequote": True,
        "escapechar": escape if escape and escape != quote else None,
    }


def _check_unique(names: tuple[str, ...]) -> None:
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise ColumnsUnreadableError(f"its header names {name!r} twice")
        seen.add(name.lower())
