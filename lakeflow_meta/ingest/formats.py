"""Formats of files, and the reader options that each may have. Pure."""

from __future__ import annotations

from difflib import get_close_matches
from enum import StrEnum
from pathlib import PurePath


class FileFormat(StrEnum):
    """What a file's bytes are. For ``delta`` the path is a table, and its unit a version of it."""

    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"
    AVRO = "avro"
    ORC = "orc"
    TEXT = "text"
    XML = "xml"
    DELTA = "delta"

    @property
    def spark_name(self) -> str:
        """The name of Spark's reader. JSON is read line by line unless ``multiLine`` is set."""
        return "json" if self is FileFormat.JSONL else self.value

    @property
    def textual(self) -> bool:
        """Whether a file of no bytes is a file of no rows (else it is a broken file)."""
        return self not in (
            FileFormat.PARQUET,
            FileFormat.AVRO,
            FileFormat.ORC,
            FileFormat.DELTA,
        )


_SUFFIXES = {".txt": FileFormat.TEXT, ".ndjson": FileFormat.JSONL} | {
    f".{known}": known for known in FileFormat
}

_COMPRESSIONS = {".gz", ".bz2", ".zst", ".lz4", ".deflate", ".snappy"}

_REFUSED_OPTIONS = {
    "path": "use path beside options",
    "paths": "use path beside options",
    "basepath": "use partition_columns beside options",
    "pathglobfilter": "use glob beside options",
    "recursivefilelookup": "use recursive beside options",
    "modifiedafter": "the ledger remembers which files were ingested",
    "modifiedbefore": "use min_age_seconds beside options",
    "ignorecorruptfiles": "it loses rows of damaged files without an error",
    "ignoremissingfiles": "it loses files without an error",
    "enforceschema": "CSV columns are always taken by their header",
    "mergeschema": "use schema_evolution beside options",
    "rescueddatacolumn": "use schema_evolution: rescue beside options",
    "versionasof": "a Delta source is read at its newest version",
    "timestampasof": "a Delta source is read at its newest version",
}
_READER_OPTIONS = """
    sep delimiter encoding charset quote escape comment header inferSchema preferDate
    ignoreLeadingWhiteSpace ignoreTrailingWhiteSpace nullValue nanValue positiveInf negativeInf
    dateFormat timestampFormat timestampNTZFormat enableDateTimeParsingFallback maxColumns
    maxCharsPerColumn mode columnNameOfCorruptRecord multiLine charToEscapeQuoteEscaping
    samplingRatio emptyValue locale lineSep unescapedQuoteHandling compression timeZone
    primitivesAsString prefersDecimal allowComments allowUnquotedFieldNames allowSingleQuotes
    allowNumericLeadingZeros allowBackslashEscapingAnyCharacter allowUnquotedControlChars
    dropFieldIfAllNull allowNonNumericNumbers rowTag attributePrefix valueTag excludeAttribute
    ignoreSurroundingSpaces rowValidationXSDPath ignoreNamespace wildcardColName
    datetimeRebaseMode int96RebaseMode avroSchema wholetext readerCaseSensitive
"""
"""Reader options of Spark 4.1 (docs: Data Sources) and of Databricks' file readers."""

_KNOWN_OPTIONS = {option.lower(): option for option in _READER_OPTIONS.split()}


def check_option(name: str) -> None:
    """Spark ignores option names that it does not know, so a typo is found here.

    Raises ValueError.
    """
    lower = name.lower()
    if lower in _REFUSED_OPTIONS:
        raise ValueError(f"options.{name} is refused: {_REFUSED_OPTIONS[lower]}")
    if lower in _KNOWN_OPTIONS:
        return
    near = get_close_matches(lower, _KNOWN_OPTIONS, n=1, cutoff=0.8)
    if near:
        raise ValueError(f"unknown reader option {name!r}; did you mean {_KNOWN_OPTIONS[near[0]]}?")


def format_of(name: str) -> FileFormat | None:
    """What the suffix of a file's name tells, behind that of a compression."""
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes]
    while suffixes and suffixes[-1] in _COMPRESSIONS:
        suffixes.pop()
    return _SUFFIXES.get(suffixes[-1]) if suffixes else None
