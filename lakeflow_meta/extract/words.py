"""Words of closed sets that extracts are described in, and the error that says what to write. Pure.

Words are read in lower or upper case. What the control tables write in upper case, as their
contract has it, is in upper case here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lakeflow_meta.findings import did_you_mean


class RefusedError(ValueError):
    """A value that cannot be used; ``hint`` says what can."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class SourceKind(StrEnum):
    """What rows are taken from: the words of ``source_type`` in the table of runs."""

    TABLE = "TABLE"
    VIEW = "VIEW"
    PROCEDURE = "STORED_PROCEDURE"
    QUERY = "QUERY"
    TEMPLATE = "TEMPLATE"


class Datastore(StrEnum):
    """Where the rows are: Delta tables of a catalog, or the database of the warehouse."""

    LAKEHOUSE = "lakehouse"
    WAREHOUSE = "warehouse"


class LoadMode(StrEnum):
    """Which rows of the source a run takes."""

    FULL = "full"
    INCREMENTAL = "incremental"
    PERIOD = "period"


class OutputFormat(StrEnum):
    """What is in a file. ``json`` is one array, ``jsonl`` a document a line."""

    CSV = "csv"
    TSV = "tsv"
    DAT = "dat"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"

    @property
    def delimited(self) -> bool:
        """Whether a line is values with a delimiter between them."""
        return self in (OutputFormat.CSV, OutputFormat.TSV, OutputFormat.DAT)

    @property
    def textual(self) -> bool:
        """Whether the bytes are text, and so compressed from the outside."""
        return self is not OutputFormat.PARQUET


class LineEnding(StrEnum):
    """What ends a line."""

    LF = "lf"
    CRLF = "crlf"
    CR = "cr"

    @property
    def text(self) -> str:
        """The characters themselves."""
        return {"lf": "\n", "crlf": "\r\n", "cr": "\r"}[self.value]


class CompressionType(StrEnum):
    """How bytes are made fewer."""

    GZIP = "gzip"
    ZIP = "zip"
    ZSTD = "zstd"
    SNAPPY = "snappy"
    LZ4 = "lz4"
    BROTLI = "brotli"


class Effort(StrEnum):
    """A level by name, whatever the numbers of the algorithm are."""

    MINIMUM = "minimum"
    NORMAL = "normal"
    MAXIMUM = "maximum"


@dataclass(frozen=True, slots=True)
class Levels:
    """The levels of one algorithm: the lowest, the usual and the highest."""

    lowest: int
    usual: int
    highest: int

    def of(self, effort: Effort) -> int:
        """The number of a level by name."""
        match effort:
            case Effort.MINIMUM:
                return max(self.lowest, 1)
            case Effort.NORMAL:
                return self.usual
            case Effort.MAXIMUM:
                return self.highest


LEVELS: Mapping[CompressionType, Levels] = {
    CompressionType.GZIP: Levels(1, 6, 9),
    CompressionType.ZIP: Levels(0, 6, 9),
    CompressionType.ZSTD: Levels(1, 3, 22),
    CompressionType.BROTLI: Levels(0, 4, 11),
}
"""snappy and lz4 have none. 0 of zip is stored, not compressed."""

OF_TEXT = (CompressionType.GZIP, CompressionType.ZIP, CompressionType.ZSTD)
OF_PARQUET = tuple(kind for kind in CompressionType if kind is not CompressionType.ZIP)
EXTENSIONS: Mapping[CompressionType, str] = {
    CompressionType.GZIP: "gz",
    CompressionType.ZIP: "zip",
    CompressionType.ZSTD: "zst",
    CompressionType.SNAPPY: "snappy",
    CompressionType.LZ4: "lz4",
    CompressionType.BROTLI: "br",
}


def one_of(words: type[StrEnum]) -> Callable[[Any], Any]:
    """A validator that takes a word of the set. Raises RefusedError."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return words(value.lower())
        except ValueError:
            hint = did_you_mean(value, list(words))
            raise RefusedError(f"{value!r} is not a known word here", hint) from None

    return read
