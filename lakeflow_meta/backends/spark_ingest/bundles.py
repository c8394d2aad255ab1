"""Lines of many small files in one, each with the number of its file.

Spark takes longer to open a file than to read 4 KB of it. So small files whose lines can be told
apart by their bytes alone are copied into one file, a *bundle*; any doubt leaves a file out, and
Spark opens it by itself. Pure.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from typing import Protocol
from uuid import uuid4

from lakeflow_meta.backends.spark_ingest.csv_header import separator
from lakeflow_meta.ingest.formats import FileFormat

MOST_BYTES = 64 * 2**10
"""Of a file in a bundle: a larger one takes longer to copy than to open."""


class Numbering(Protocol):
    """Puts the number of a file into its lines."""

    @property
    def field(self) -> str:
        """The column that holds it then; no file has one of that name."""

    @property
    def alone(self) -> bool:
        """Whether files without that column cannot be read together with a bundle."""

    def numbered(self, data: bytes, number: int) -> bytes | None:
        """The lines, each ended; None where they are not plainly lines of records."""


def numbering(file_format: FileFormat, options: Mapping[str, str]) -> Numbering | None:
    """How files of a format are bundled; None: not at all.

    ``options``: of the reader, names in lower case.
    """
    if file_format is FileFormat.CSV:
        return CsvLines.of(options)
    known = file_format in (FileFormat.JSON, FileFormat.JSONL) and options.keys() <= _JSON_OPTIONS
    return JsonLines() if known else None


_ALL_OPTIONS = {
    "columnnameofcorruptrecord",
    "dateformat",
    "ignorecorruptfiles",
    "ignoremissingfiles",
    "locale",
    "mode",
    "timestampformat",
    "timestampntzformat",
    "timezone",
}
_JSON_OPTIONS = _ALL_OPTIONS | {
    "allownonnumericnumbers",
    "allownumericleadingzeros",
    "dropfieldifallnull",
    "prefersdecimal",
    "primitivesasstring",
}
_CSV_OPTIONS = _ALL_OPTIONS | {
    "delimiter",
    "emptyvalue",
    "escape",
    "header",
    "ignoreleadingwhitespace",
    "ignoretrailingwhitespace",
    "inferschema",
    "nullvalue",
    "preferdate",
    "quote",
    "sep",
}
"""Options that do not change what a line is."""


class JsonLines:
    """One object a line, from its first byte on."""

    alone = False

    def __init__(self) -> None:
        self.field = _new_name()

    def numbered(self, data: bytes, number: int) -> bytes | None:
        """The number becomes the first field of each object."""
        if not data.startswith(b'{"') or _ends_oddly(data):
            return None
        lines = data if data.endswith(b"\n") else data + b"\n"
        if lines.count(b'\n{"') != lines.count(b"\n") - 1:
            return None
        begin = b'{"%s":%d,"' % (self.field.encode(), number)
        return begin + lines[2:].replace(b'\n{"', b"\n" + begin)


class CsvLines:
    """One record a line, below a header that all files have. ``mark``: between two values."""

    alone = True

    def __init__(self, mark: str) -> None:
        self.field = _new_name()
        self._mark = mark.encode()
        self._header: bytes | None = None

    @classmethod
    def of(cls, options: Mapping[str, str]) -> CsvLines | None:
        """For files with a header, where no option makes something else of a number."""
        mark = separator(options)
        marks = mark + options.get("quote", "") + options.get("escape", "")
        cuts = re.search(r"\w", marks) is not None  # our column's name, or a number
        odd = cuts or options.get("nullvalue", "").strip().isdigit()
        headed = options.get("header", "").lower() == "true"
        known = options.keys() <= _CSV_OPTIONS
        return cls(mark) if known and headed and mark and not odd else None

    def numbered(self, data: bytes, number: int) -> bytes | None:
        """The number becomes the first value of each record. The header comes once, at first."""
        if not data or _BLANK.search(data) or data.startswith(_MARKS) or _ends_oddly(data):
            return None
        header, _, records = data.removesuffix(b"\n").partition(b"\n")
        begin = b"%d%b" % (number, self._mark)
        lines = begin + records.replace(b"\n", b"\n" + begin) + b"\n" if records else b""
        if self._header is None:
            self._header = header
            return self.field.encode() + self._mark + header + b"\n" + lines
        return lines if header == self._header else None


_BLANK = re.compile(rb"(?:\A|\n)[\0-\x20]")
"""A line that may hold nothing: Spark leaves out such lines."""

_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def _ends_oddly(data: bytes) -> bool:
    """Whether a line ends in a way of its own."""
    return b"\r" in data and data.count(b"\r") != data.count(b"\r\n")


def _new_name() -> str:
    return f"lakeflow_{uuid4().hex[:8]}"
