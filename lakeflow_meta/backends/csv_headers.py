"""The header line of CSV files, so that their columns are taken by name.

Spark takes CSV columns by position whatever the header says. So files are grouped by their header,
and each group is read with its columns in its own order; Spark then checks the header again
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

Header = tuple[str, ...]

_OPENERS: Mapping[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open}
_NOT_OPENED = {".zst", ".lz4", ".deflate", ".snappy"}
_MOST_LINES = 1000


class HeaderError(ValueError):
    """The header of a file cannot be used; the message says why."""


def read_header(path: Path, options: Mapping[str, str]) -> Header | None:
    """Names in the first line that is neither empty nor a comment.

    ``options``: Spark's reader options, names in lower case. None: the file has no such line, or
    its compression is one that only Spark opens. Raises HeaderError, OSError.
    """
    suffix = path.suffix.lower()
    if suffix in _NOT_OPENED:
        return None
    encoding = options.get("encoding", options.get("charset", "utf-8"))
    encoding = "utf-8-sig" if encoding.lower().replace("-", "") == "utf8" else encoding
    try:
        with _OPENERS.get(suffix, open)(path, "rt", encoding=encoding, newline="") as file:
            names = next(_records(file, options), None)
    except (UnicodeError, LookupError, EOFError, csv.Error) as error:
        raise HeaderError(f"its header cannot be read: {error}") from error
    if names is None:
        return None
    _check_unique(names)
    return names


def _records(file: IO[str], options: Mapping[str, str]) -> Iterator[Header]:
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
        raise HeaderError(f"a separator of {len(separator)} characters is not read by this version")
    if not quote:
        return {"delimiter": separator, "quoting": csv.QUOTE_NONE}
    return {
        "delimiter": separator,
        "quotechar": quote,
        "doublequote": True,
        "escapechar": escape if escape and escape != quote else None,
    }


def _check_unique(names: Header) -> None:
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise HeaderError(f"its header names {name!r} twice")
        seen.add(name.lower())
