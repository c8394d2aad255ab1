"""What a file source declares: where files lie, how to read them, where the rows go. Pure.

A source is written in a control-table row as ``source_config`` and ``target_config``. Everything
wrong is found at once, and what does not go together is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from lakeflow_meta.control.rows import Source
from lakeflow_meta.errors import ConfigError, Problem, SpecError
from lakeflow_meta.findings import Finding, path_text, validation_findings
from lakeflow_meta.ingest.expectations import Expectation, OnViolation
from lakeflow_meta.ingest.formats import FileFormat, check_option, format_of
from lakeflow_meta.names import TableName

TASK_TYPE = "ingest"
"""``task_type`` that asks for the ingestor whatever the source's type is."""

SOURCE_TYPES = frozenset({"file", "files", "volume", *FileFormat})
"""``source_type`` of sources whose files this package ingests."""

_OTHER_TASKS = frozenset({"notebook_path", "sql_task", "sql_file_path", "sql_query", "query_id"})

OptionValue = str | bool | int | float


class SchemaEvolution(StrEnum):
    """What becomes of columns that the table does not have, and of values that do not fit it."""

    FAIL = "fail"
    """The file fails."""
    ADD_NEW_COLUMNS = "add_new_columns"
    """The table gets the columns; a value that does not fit fails its file."""
    RESCUE = "rescue"
    """Both are kept as JSON in the column ``_rescued_data``."""


class OnChange(StrEnum):
    """What becomes of new content under the path of an ingested file."""

    INGEST = "ingest"
    SKIP = "skip"
    FAIL = "fail"


class AfterSuccess(StrEnum):
    """What becomes of a file once the ledger says that its rows are in the table."""

    KEEP = "keep"
    ARCHIVE = "archive"
    DELETE = "delete"


class WriteMode(StrEnum):
    """How the rows of a batch go into the table."""

    APPEND = "append"
    OVERWRITE = "overwrite"
    """They replace what is there. All new files of a run are one batch; if one of them is bad,
    nothing is replaced."""
    MERGE = "merge"
    """They replace rows of the same keys, and are added where there are none."""


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def _bytes(value: Any) -> Any:
    """``500MB`` and the like as a number of bytes; units are powers of 1024."""
    if not isinstance(value, str):
        return value
    found = _SIZE.fullmatch(value.strip())
    if found is None:
        raise ValueError(f"{value!r} is no size; write a number of bytes, or e.g. 500MB or 2GB")
    return int(float(found[1]) * _UNITS[found[2].lower()])


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SourceConfig(_Strict):
    """Where files lie and how to read them: ``source_config``."""

    path: Annotated[str, Field(min_length=1)]
    """A file, a directory or a glob: relative to the project, absolute, ``/Volumes/…``, or a URI
    of a file system that Spark knows."""
    format: Annotated[FileFormat | None, Field(strict=False)] = None
    """Taken from the name in ``path`` or ``glob`` when it is left out."""
    options: dict[str, OptionValue] = {}
    """Options of Spark's reader for the format."""
    ddl: Annotated[str | None, Field(alias="schema", min_length=1)] = None
    """Columns as SQL (``id INT, name STRING``); else the target's, else inferred."""
    schema_evolution: Annotated[SchemaEvolution, Field(strict=False)] = SchemaEvolution.FAIL
    partition_columns: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(
        default=None, strict=False
    )
    """Columns whose values folders of the path name: ``year`` of ``…/year=2024/…``."""
    recursive: bool = False
    glob: str | None = None
    """Only files whose name matches, e.g. ``*.csv``."""
    min_age_seconds: Annotated[float, Field(ge=0, strict=False)] = 0.0
    """Files changed less long ago are left for a later run: they may still be written."""
    max_files: Annotated[int | None, Field(ge=1)] = None
    """Files in one transaction, at most."""
    max_bytes: Annotated[int | None, BeforeValidator(_bytes), Field(ge=1)] = None
    """Bytes in one transaction, at most; a larger file is a transaction of its own."""
    on_change: Annotated[OnChange, Field(strict=False)] = OnChange.INGEST
    after_success: Annotated[AfterSuccess, Field(strict=False)] = AfterSuccess.KEEP
    archive_path: Annotated[str | None, Field(min_length=1)] = None
    """The folder that archived files go to, below it as they lay below ``path``."""
    transform: Annotated[str | None, Field(pattern=r".+\.py:[A-Za-z_]\w*")] = None
    """``file.py:function`` of the project: from a DataFrame of the file to one of its rows."""
    row_wise: bool = False
    """Whether ``transform`` looks at one row at a time, so that files may go through together."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name in self.options:
            check_option(name)
        given = {name.lower(): value for name, value in self.options.items()}
        if self.file_format is FileFormat.JSONL and str(given.get("multiline")).lower() == "true":
            raise ValueError("format jsonl has one document a line; multiLine reads only the first")
        if self.file_format is FileFormat.XML and "rowtag" not in given:
            raise ValueError("format xml needs options: {rowTag: …}, the element of one row")
        self._check_together()
        return self

    def _check_together(self) -> None:
        archives = self.after_success is AfterSuccess.ARCHIVE
        if archives and self.archive_path is None:
            raise ValueError("after_success: archive needs archive_path, the folder to move to")
        if self.archive_path is not None and not archives:
            raise ValueError("archive_path has no use without after_success: archive")
        if self.row_wise and self.transform is None:
            raise ValueError("row_wise has no use without transform")
        if self.file_format is FileFormat.DELTA and self.after_success is not AfterSuccess.KEEP:
            raise ValueError("a Delta table is not archived or deleted; leave after_success out")

    @property
    def file_format(self) -> FileFormat:
        """The format, or the one that the name tells. Raises ValueError."""
        found = self.format or format_of(self.glob or "") or format_of(self.path)
        if found is None:
            raise ValueError(f"format is missing; known: {', '.join(FileFormat)}")
        return found


class TargetConfig(_Strict):
    """Where the rows go: ``target_config``."""

    table: Annotated[str, Field(min_length=1)]
    """``catalog.schema.table``, or the last part beside ``catalog`` and ``schema``."""
    catalog: str | None = None
    schema_name: Annotated[str | None, Field(alias="schema")] = None
    write_mode: Annotated[WriteMode, Field(strict=False)] = WriteMode.APPEND
    keys: Annotated[
        tuple[str, ...], Field(strict=False, validation_alias=AliasChoices("keys", "merge_keys"))
    ] = ()
    """Columns that tell rows apart in mode ``merge``."""
    sequence_by: Annotated[str | None, Field(min_length=1)] = None
    """Of rows with the same keys the one with the highest value wins, in the table too; left out,
    the row of the newest file wins."""
    metadata_columns: bool | None = None
    """``_source_file``, ``_ingested_at``, ``_batch_id``: always, never, or (left out) in tables
    that the ingestor creates and in tables that declare them."""
    partition_by: Annotated[tuple[str, ...], Field(strict=False)] = ()
    cluster_by: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Of a table that the ingestor creates; a table that is there stays as it is."""
    expectations: Annotated[tuple[Expectation, ...], Field(strict=False)] = ()
    quarantine_table: str | None = None
    """``catalog.schema.table`` that takes rows which an expectation drops."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _ = self.name
        _ = self.quarantine
        merges = self.write_mode is WriteMode.MERGE
        if merges and not self.keys:
            raise ValueError("write_mode: merge needs keys, the columns that tell rows apart")
        if not merges and (self.keys or self.sequence_by):
            raise ValueError("keys and sequence_by belong to write_mode: merge")
        if self.partition_by and self.cluster_by:
            raise ValueError("a Delta table has partition_by or cluster_by, not both")
        self._check_expectations()
        return self

    def _check_expectations(self) -> None:
        names = [expectation.name for expectation in self.expectations]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"expectations named twice: {', '.join(twice)}")
        drops = any(one.on_violation is OnViolation.DROP for one in self.expectations)
        if self.quarantine_table is not None and not drops:
            raise ValueError("quarantine_table has no use without an expectation that drops rows")

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
        return _table_name(text)

    @property
    def quarantine(self) -> TableName | None:
        """The full name of the quarantine table. Raises ValueError."""
        return None if self.quarantine_table is None else _table_name(self.quarantine_table)


def _table_name(text: str) -> TableName:
    try:
        return TableName.parse(text)
    except ConfigError as error:
        raise ValueError(str(error)) from error


class FileSource(_Strict):
    """One file source. ``name`` is how people know it, e.g. ``module/source_id``."""

    name: str
    source_config: SourceConfig
    target_config: TargetConfig
    transform_fn: Callable[..., Any] | None = Field(default=None, exclude=True, repr=False)
    """What a caller in Python gives instead of ``source_config.transform``."""

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
        return cls.parse(name, _with_implied_format(source), source.target_config)

    @property
    def target(self) -> TableName:
        """The table that the rows go to."""
        return self.target_config.name

    @property
    def puts_away(self) -> bool:
        """Whether ingested files are archived or deleted."""
        return self.source_config.after_success is not AfterSuccess.KEEP

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


def check_source(source: Source) -> list[Finding]:
    """Everything wrong with a file source of the control table, as `check_file_source`."""
    return check_file_source(_with_implied_format(source), source.target_config)


def _with_implied_format(source: Source) -> dict[str, Any]:
    kind = source.source_type.lower()
    implied = {"format": kind} if kind in {*FileFormat} else {}
    return {**implied, **source.source_config}


def check_file_source(
    source_config: Mapping[str, Any], target_config: Mapping[str, Any]
) -> list[Finding]:
    """Everything wrong with the two configurations; paths start with their column's name."""
    found = [
        *_findings("source_config", source_config, SourceConfig),
        *_findings("target_config", target_config, TargetConfig),
    ]
    return found or [*_findings_between(source_config, target_config)]


def _findings_between(
    source_config: Mapping[str, Any], target_config: Mapping[str, Any]
) -> Iterator[Finding]:
    """What does not go together; each configuration by itself is right."""
    reading = SourceConfig.model_validate(dict(source_config))
    mode = TargetConfig.model_validate(dict(target_config)).write_mode
    if reading.file_format is FileFormat.DELTA and mode is WriteMode.APPEND:
        yield Finding(
            ("target_config", "write_mode"),
            "a Delta table is ingested version by version, and append would repeat its rows",
            "write overwrite, or merge with keys",
        )


_Config = TypeVar("_Config", SourceConfig, TargetConfig)


def _findings(column: str, value: Mapping[str, Any], model: type[_Config]) -> Iterator[Finding]:
    try:
        model.model_validate(dict(value))
    except ValidationError as error:
        for finding in validation_findings(error, model):
            yield finding.under(column)


def _part(name: str) -> str:
    return name if name.startswith("`") else "`" + name.replace("`", "``") + "`"
