"""Lines of many small files in one, each with the number of its file.

Spark takes longer to open a file than to read 4 KB of it. So small files whose lines can be told
apart by their bytes alone are copied into one file, a *bundle*; any doubt leaves a file out, and
Spark opens it by itself. Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol
from uuid import uuid4

from lakeflow_meta.ingest.formats import FileFormat

MOST_BYTES = 64 * 2**10
"""Of a file in a bundle: a larger one takes longer to copy than to open."""


class Numbering(Protocol):
    """Puts the number of a file into its lines."""

    @property
    def field(self) -> str:
        """The column that holds it then; no file has one of that name."""

    def numbered(self, data: bytes, number: int) -> bytes | None:
        """The lines, each ended; None where they are not plainly lines of records."""


def numbering(file_format: FileFormat, options: Collection[str]) -> Numbering | None:
    """How files of a format are bundled; None: not at all.

    ``options``: names of those that the reader is given, in lower case.
    """
    if file_format in (FileFormat.JSON, FileFormat.JSONL) and _JSON_OPTIONS.issuperset(options):
        return JsonLines()
    return None


_JSON_OPTIONS = {
    "allownonnumericnumbers",
    "allownumericleadingzeros",
    "columnnameofcorruptrecord",
    "dateformat",
    "dropfieldifallnull",
    "ignorecorruptfiles",
    "ignoremissingfiles",
    "locale",
    "mode",
    "prefersdecimal",
    "primitivesasstring",
    "timestampformat",
    "timestampntzformat",
    "timezone",
}
"""Options that do not change what a line is."""


class JsonLines:
    """One object a line, from its first byte on."""

    def __init__(self) -> None:
        self.field = f"lakeflow_{uuid4().hex[:8]}"

    def numbered(self, data: bytes, number: int) -> bytes | None:
        """The number becomes the first field of each object."""
        if not data.startswith(b'{"'):
            return None
        lines = _ended(data)
        if lines is None or lines.count(b'\n{"') != lines.count(b"\n") - 1:
            return None
        begin = b'{"%s":%d,"' % (self.field.encode(), number)
        return begin + lines[2:].replace(b'\n{"', b"\n" + begin)


def _ended(data: bytes) -> bytes | None:
    """With an end of the last line; None where a line ends in a way of its own."""
    if data.count(b"\r") != data.count(b"\r\n"):
        return None
    return data if data.endswith(b"\n") else data + b"\n"
