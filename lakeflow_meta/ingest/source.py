"""What a file source declares: where files lie, how to read them, where the rows go. Pure.

A source is written in a control-table row as ``source_config`` and ``target_config``. Everything
wrong is found at once. What this version does not do is refused by name, never ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from enum import StrEnum
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lakeflow_meta.control.rows import Source
from lakeflow_meta.errors import ConfigError, Problem, SpecError
from lakeflow_meta.findings import Finding, path_text, validation_findings
from lakeflow_meta.names import TableName

TASK_TYPE = "ingest"
"""``task_type`` that asks for the ingestor whatever the source's type is."""

_OTHER_TASKS = frozenset({"notebook_path", "sql_task", "sql_file_path", "sql_query", "query_id"})


class FileFormat(StrEnum):
    """What a file's bytes are."""

    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"
    AVRO = "avro"
    ORC = "orc"
    TEXT = "text"
    XML = "xml"

    @property
    def spark_name(self) -> str:
        """The name of Spark's reader. JSON is read line by line unless ``multiLine`` is set."""
        return "json" if self is FileFormat.JSONL else self.value

    @property
    def textual(self) -> bool:
        """Whether a file of no bytes is a file of no rows (else it is a broken file)."""
        return self not in (FileFormat.PARQUET, FileFormat.AVRO, FileFormat.ORC)


_SUFFIXES = {".txt": FileFormat.TEXT, ".ndjson": FileFormat.JSONL} | {
    f".{known}": known for known in FileFormat
}
SOURCE_TYPES = frozenset({"file", "files", "volume", "delta", *FileFormat})
"""``source_type`` of sources whose files this package ingests (``delta``: refused by name)."""

_COMPRESSIONS = {".gz", ".bz2", ".zst", ".lz4", ".deflate", ".snappy"}

_NOT_READ_YET = {
    "schema_evolution": "files with other columns than the table fail",
    "on_change": "new content of a known file is ingested as well",
    "partition_columns": "folders named key=value bring no columns",
    "transform": "write the target of another source from this table",
    "archive": "files stay where they are",
    "checkpoint": "the ledger remembers which files were ingested",
}
_NOT_WRITTEN_YET = {
    "keys": "rows are only appended",
    "merge_keys": "rows are only appended",
    "partition_by": "declare the table with its partitions under tables:",
    "cluster_by": "declare the table with its clustering under tables:",
    "schema_evolution": "files with other columns than the table fail",
}
_FORMATS_NOT_READ_YET = {
    "delta": "a Delta table is not a set of files; read it in a sql task",
    "avro": "Spark's avro module is no part of the embedded session",
}
_REFUSED_OPTIONS = {
    "path": "use path beside options",
    "paths": "use path beside options",
    "basepath": "folders named key=value bring no columns",
    "pathglobfilter": "use glob beside options",
    "recursivefilelookup": "use recursive beside options",
    "modifiedafter": "the ledger remembers which files were ingested",
    "modifiedbefore": "use min_age_seconds beside options",
    "ignorecorruptfiles": "it loses rows of damaged files without an error",
    "ignoremissingfiles": "it loses files without an error",
    "enforceschema": "CSV columns are always taken by their header",
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
    ignoreSurroundingSpaces rowValidationXSDPath ignoreNamespace wildcardColName mergeSchema
    datetimeRebaseMode int96RebaseMode avroSchema wholetext rescuedDataColumn readerCaseSensitive
"""
"""Reader options of Spark 4.1 (docs: Data Sources) and of Databricks' file readers."""

_KNOWN_OPTIONS = {option.lower(): option for option in _READER_OPTIONS.split()}

OptionValue = str | bool | int | float


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SourceConfig(_Strict):
    """Where files lie and how to read them: ``source_config``."""

    path: Annotated[str, Field(min_length=1)]
    """A file, a directory or a glob: relative to the project, absolute, or ``/Volumes/…``."""
    format: Annotated[FileFormat | None, Field(strict=False)] = None
    """Taken from the name in ``path`` or ``glob`` when it is left out."""
    options: dict[str, OptionValue] = {}
    """Options of Spark's reader for the format."""
    ddl: Annotated[str | None, Field(alias="schema", min_length=1)] = None
    """Columns as SQL (``id INT, name STRING``); else the target's, else inferred."""
    recursive: bool = False
    glob: str | None = None
    """Only files whose name matches, e.g. ``*.csv``."""
    min_age_seconds: Annotated[float, Field(ge=0, strict=False)] = 0.0
    """Files changed less long ago are left for a later run: they may still be written."""

    @model_validator(mode="before")
    @classmethod
    def _built(cls, value: Any) -> Any:
        _refuse_unbuilt(value, _NOT_READ_YET)
        given = value.get("format") if isinstance(value, dict) else None
        if isinstance(given, str) and given in _FORMATS_NOT_READ_YET:
            raise ValueError(
                f"format {given} is not built in this version: {_FORMATS_NOT_READ_YET[given]}"
            )
        return value

    @model_validator(mode="after")
    def _whole(self) -> SourceConfig:
        for name in self.options:
            _check_option(name)
        given = {name.lower(): value for name, value in self.options.items()}
        if self.file_format is FileFormat.JSONL and str(given.get("multiline")).lower() == "true":
            raise ValueError("format jsonl has one document a line; multiLine reads only the first")
        if self.file_format is FileFormat.XML and "rowtag" not in given:
            raise ValueError("format xml needs options: {rowTag: …}, the element of one row")
        return self

    @property
    def file_format(self) -> FileFormat:
        """The format, or the one that the name tells. Raises ValueError."""
        found = self.format or _format_of(self.glob or "") or _format_of(self.path)
        if found is None:
            raise ValueError(f"format is missing; known: {', '.join(FileFormat)}")
        return found


class TargetConfig(_Strict):
    """Where the rows go: ``target_config``."""

    table: Annotated[str, Field(min_length=1)]
    """``catalog.schema.table``, or the last part beside ``catalog`` and ``schema``."""
    catalog: str | None = None
    schema_name: Annotated[str | None, Field(alias="schema")] = None
    write_mode: Literal["append"] = "append"
    metadata_columns: bool | None = None
    """``_source_file``, ``_ingested_at``, ``_batch_id``: always, never, or (left out) in tables
    that the ingestor creates and in tables that declare them."""

    @model_validator(mode="before")
    @classmethod
    def _built(cls, value: Any) -> Any:
        _refuse_unbuilt(value, _NOT_WRITTEN_YET)
        mode = value.get("write_mode", "append") if isinstance(value, dict) else "append"
        if mode in ("overwrite", "merge"):
            raise ValueError(f"write_mode {mode} is not built in this version; use append")
        return value

    @model_validator(mode="after")
    def _named(self) -> TargetConfig:
        _ = self.name
        return self

    @property
    def name(self) -> TableName:
        """The full name. Raises ValueError."""
        text = self.table
        if self.catalog is not None or self.schema_name is not None:
            if not self.catalog or not self.schema_name or "." in text:
                raise ValueError(
                    "write table: catalog.schema.table, or all of catalog, schema and table"
                )
            text = f"{_part(self.catalog)}.{_part(self.schema_name)}.{_part(text)}"
        try:
            return TableName.parse(text)
        except ConfigError as error:
            raise ValueError(str(error)) from error


class FileSource(_Strict):
    """One file source. ``name`` is how people know it, e.g. ``module/source_id``."""

    name: str
    source_config: SourceConfig
    target_config: TargetConfig

    @classmethod
    def parse(
        cls, name: str, source_config: Mapping[str, Any], target_config: Mapping[str, Any]
    ) -> FileSource:
        """Read the two configurations. Raises SpecError with every problem of both."""
        findings = check_file_source(source_config, target_config)
        if findings:
            raise SpecError(
                [Problem(name, 0, 0, path_text(f.path), f.message, f.hint) for f in findings]
            )
        return cls(
            name=name,
            source_config=SourceConfig.model_validate(dict(source_config)),
            target_config=TargetConfig.model_validate(dict(target_config)),
        )

    @classmethod
    def of(cls, source: Source) -> FileSource:
        """The file source of a control-table row; its type may name the format.

        Raises SpecError.
        """
        name = f"{source.module_name}/{source.source_id}"
        kind = source.source_type.lower()
        implied = {"format": kind} if kind in {*FileFormat, "delta"} else {}
        return cls.parse(name, {**implied, **source.source_config}, source.target_config)

    @property
    def target(self) -> TableName:
        """The table that the rows go to."""
        return self.target_config.name

    @property
    def file_format(self) -> FileFormat:
        """What the files are."""
        return self.source_config.file_format


def is_file_source(source: Source) -> bool:
    """Whether the ingestor serves this source.

    Its task says ``ingest``; or it says nothing of a task, and the source's type is a file type.
    """
    config = source.transformation_config
    if "task_type" in config:
        return bool(config["task_type"] == TASK_TYPE)
    return source.source_type.lower() in SOURCE_TYPES and not _OTHER_TASKS & config.keys()


def check_file_source(
    source_config: Mapping[str, Any], target_config: Mapping[str, Any]
) -> list[Finding]:
    """Everything wrong with the two configurations; paths start with their column's name."""
    return [
        *_findings("source_config", source_config, SourceConfig),
        *_findings("target_config", target_config, TargetConfig),
    ]


_Config = TypeVar("_Config", SourceConfig, TargetConfig)


def _findings(column: str, value: Mapping[str, Any], model: type[_Config]) -> Iterator[Finding]:
    try:
        model.model_validate(dict(value))
    except ValidationError as error:
        for finding in validation_findings(error, model):
            yield finding.under(column)


def _refuse_unbuilt(value: Any, unbuilt: Mapping[str, str]) -> None:
    given = sorted(unbuilt.keys() & value.keys()) if isinstance(value, dict) else []
    if given:
        reasons = "; ".join(f"{key} ({unbuilt[key]})" for key in given)
        raise ValueError(f"not built in this version: {reasons}")


def _check_option(name: str) -> None:
    """Spark ignores option names that it does not know, so a typo is found here."""
    lower = name.lower()
    if lower in _REFUSED_OPTIONS:
        raise ValueError(f"options.{name} is refused: {_REFUSED_OPTIONS[lower]}")
    if lower in _KNOWN_OPTIONS:
        return
    near = get_close_matches(lower, _KNOWN_OPTIONS, n=1, cutoff=0.8)
    if near:
        raise ValueError(f"unknown reader option {name!r}; did you mean {_KNOWN_OPTIONS[near[0]]}?")


def _format_of(name: str) -> FileFormat | None:
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes]
    while suffixes and suffixes[-1] in _COMPRESSIONS:
        suffixes.pop()
    return _SUFFIXES.get(suffixes[-1]) if suffixes else None


def _part(name: str) -> str:
    return name if name.startswith("`") else "`" + name.replace("`", "``") + "`"
