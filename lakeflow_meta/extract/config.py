"""One extract as declared: where rows come from, and what is written of them where. Pure.

An `Extract` that exists obeys every rule of `rules`: they run when it is made, and all that is
wrong comes in one error, each with its path. What is not written has the default that stands here;
nothing is guessed from names or values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from lakeflow_meta.extract.file_names import FileName, check_file_name, check_folder
from lakeflow_meta.extract.rules import extract_findings
from lakeflow_meta.extract.timestamps import TimestampPattern
from lakeflow_meta.extract.values import (
    Character,
    Column,
    Count,
    DatePattern,
    Encoding,
    Extension,
    Level,
    Name,
    Parameter,
    Pattern,
    Sql,
    TimeZone,
)
from lakeflow_meta.extract.words import (
    EXTENSIONS,
    LEVELS,
    CompressionType,
    Datastore,
    Effort,
    LineEnding,
    LoadMode,
    OutputFormat,
    SourceKind,
    one_of,
)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Source(_Strict):
    """What rows are taken from: one table, view, procedure, query or template."""

    datastore: Annotated[Datastore, BeforeValidator(one_of(Datastore))] = Datastore.LAKEHOUSE
    table: Annotated[
        str | None, Field(description="catalog.schema.table; of a warehouse: schema.table")
    ] = None
    view: str | None = None
    procedure: Annotated[
        str | None, Field(description="function or procedure of a warehouse: schema.name")
    ] = None
    query: Sql | None = None
    template: Annotated[str | None, Field(description="file of the project: x.sql.jinja")] = None
    parameters: Annotated[
        dict[str, Parameter],
        Field(description="values for :name in the query, or of the procedure or template"),
    ] = {}
    columns: list[Column] = []
    where: Annotated[Sql | None, Field(description="condition on the rows, in SQL")] = None

    @property
    def kind(self) -> SourceKind:
        """Which of the five it is."""
        return next(kind for kind, value in self.named() if value is not None)

    def named(self) -> tuple[tuple[SourceKind, str | None], ...]:
        """Each of the five, with what is written of it."""
        return (
            (SourceKind.TABLE, self.table),
            (SourceKind.VIEW, self.view),
            (SourceKind.PROCEDURE, self.procedure),
            (SourceKind.QUERY, self.query),
            (SourceKind.TEMPLATE, self.template),
        )


class Load(_Strict):
    """Which rows a run takes: all, those after the last watermark, or those of a period."""

    mode: Annotated[LoadMode, BeforeValidator(one_of(LoadMode))] = LoadMode.FULL
    watermark_column: Column | None = None
    initial_watermark: Annotated[
        str | None,
        Field(min_length=1, description="the first run takes what is greater; else everything"),
    ] = None
    period_column: Column | None = None
    period_query: Annotated[
        Sql | None, Field(description="gives one row: start_date and end_date, both included")
    ] = None


class Target(_Strict):
    """Where the files go: a folder of the project, an absolute one, or one of a volume."""

    path: Annotated[str, AfterValidator(check_folder)]


class NamePattern(_Strict):
    """How a file is called: ``<name>_<timestamp>``."""

    name: Annotated[str, AfterValidator(check_file_name)] | None = None
    timestamp_format: Annotated[
        Pattern | None, Field(description="for example yyyyMMdd_HHmmss")
    ] = None
    period_end_day: Annotated[
        int | None,
        Field(ge=1, le=31, description="the date is the end of the last period, not today"),
    ] = None
    timestamp_first: bool = False


class FileNaming(NamePattern):
    """How the files are called; the extract's own name where ``name`` is not written."""

    extension: Extension | None = None
    time_zone: TimeZone | None = None


@dataclass(frozen=True, slots=True)
class Delimited:
    """How lines of delimited text are written, with every default filled in."""

    delimiter: str
    quote: str
    escape: str
    header: bool
    footer: str | None
    null_value: str
    encoding: str
    line_ending: str


class FileLayout(_Strict):
    """What is in a file. Options that a format does not have are refused."""

    format: Annotated[OutputFormat, BeforeValidator(one_of(OutputFormat))] = OutputFormat.CSV
    delimiter: Character | None = None
    quote: Character | None = None
    escape: Character | None = None
    header: bool = True
    footer: Annotated[
        str | None, Field(min_length=1, description="last line; {rows} and {extract_name}")
    ] = None
    null_value: Annotated[str | None, AfterValidator(lambda text: text or None)] = None
    encoding: Encoding | None = None
    line_ending: Annotated[LineEnding | None, BeforeValidator(one_of(LineEnding))] = None
    date_format: DatePattern | None = None
    timestamp_format: Pattern | None = None
    time_zone: TimeZone | None = None
    decimal_separator: Character | None = None
    decimal_places: Annotated[int | None, Field(ge=0, le=38)] = None
    max_rows_per_file: Annotated[int | None, Field(ge=1, lt=2**31)] = None
    max_bytes_per_file: Count | None = None
    group: Annotated[
        str | None, Field(min_length=1, description="for people: files that belong together")
    ] = None

    @property
    def split(self) -> bool:
        """Whether a run may write more than one file."""
        return self.max_rows_per_file is not None or self.max_bytes_per_file is not None

    def delimited(self) -> Delimited:
        """How lines are written; of csv, tsv and dat only."""
        usual = {OutputFormat.CSV: ",", OutputFormat.TSV: "\t", OutputFormat.DAT: "|"}
        quote = self.quote or '"'
        return Delimited(
            delimiter=self.delimiter or usual[self.format],
            quote=quote,
            escape=self.escape or quote,
            header=self.header,
            footer=self.footer,
            null_value=self.null_value or "",
            encoding=self.encoding or "utf-8",
            line_ending=(self.line_ending or LineEnding.LF).text,
        )


class Compression(_Strict):
    """How files are made smaller. Without it nothing is compressed, parquet neither."""

    type: Annotated[CompressionType, BeforeValidator(one_of(CompressionType))]
    level: Level | None = None
    extension: Extension | None = None
    archive: Annotated[
        NamePattern | None, Field(description="all files of a run in one zip; its name")
    ] = None

    @property
    def level_number(self) -> int | None:
        """The level as the algorithm counts it; None where it has none."""
        levels = LEVELS.get(self.type)
        if levels is None or isinstance(self.level, int):
            return self.level if isinstance(self.level, int) else None
        return levels.of(self.level or Effort.NORMAL)


class Trigger(_Strict):
    """An empty file, written last, that tells others that all is there."""

    extension: Extension = "done"


class Validation(_Strict):
    """What must hold, or nothing is published."""

    query: Annotated[Sql | None, Field(description="gives the rows that are wrong")] = None
    procedure: Annotated[
        str | None, Field(description="fails where the data is wrong: schema.name")
    ] = None
    max_failed_rows: Annotated[
        int | None, Field(ge=0, lt=2**63, description="as many rows of the query are let pass")
    ] = None
    min_rows: Count | None = None
    max_rows: Annotated[int | None, Field(ge=0, lt=2**63)] = None


class Extract(_Strict):
    """One extract: one query, written to files of one kind in one folder."""

    extract_name: Name
    description: str = ""
    group: Name | None = None
    execution_order: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None
    is_active: bool | None = None
    source: Source
    load: Load = Load()
    target: Target
    file_name: FileNaming = FileNaming()
    file: FileLayout = FileLayout()
    compression: Compression | None = None
    trigger: Trigger | None = None
    manifest: Annotated[
        bool, Field(description="a file that lists the files with rows, bytes and SHA-256")
    ] = False
    validation: Validation | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _obey_the_rules(cls, data: Any, make: ModelWrapValidatorHandler[Self]) -> Self:
        extract = make(data)
        if findings := list(extract_findings(extract)):
            details = [
                InitErrorDetails(
                    type=PydanticCustomError(
                        "value_error", "{error}", {"error": found.message, "hint": found.hint}
                    ),
                    loc=found.path,
                    input=None,
                )
                for found in findings
            ]
            raise ValidationError.from_exception_data("extract", details)
        return extract

    def document(self) -> dict[str, Any]:
        """The extract as people would write it in YAML: no defaults, keys in order."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def data_file(self) -> FileName:
        """The names of the files that hold rows (inside an archive, where there is one)."""
        suffix = _dotted(self.file_name.extension or self.file.format)
        compression = self.compression
        if compression and self.file.format.textual and compression.archive is None:
            suffix += _dotted(compression.extension or EXTENSIONS[compression.type])
        return self._named(self.file_name, suffix, parts=self.file.split)

    def archive_file(self) -> FileName | None:
        """The name of the archive that holds all files of a run."""
        if self.compression is None or self.compression.archive is None:
            return None
        suffix = _dotted(self.compression.extension or EXTENSIONS[self.compression.type])
        return self._named(self.compression.archive, suffix)

    def trigger_file(self) -> FileName | None:
        """The name of the trigger file: that of the data or the archive without its parts."""
        if self.trigger is None:
            return None
        return self._named(self._published_as, _dotted(self.trigger.extension))

    def manifest_file(self) -> FileName | None:
        """The name of the file that lists the others."""
        return self._named(self._published_as, ".manifest.json") if self.manifest else None

    def published_files(self) -> dict[str, FileName]:
        """Every kind of file that a run leaves in the folder, by what it is."""
        files = {
            "archive": self.archive_file(),
            "manifest": self.manifest_file(),
            "trigger file": self.trigger_file(),
        }
        data = {} if files["archive"] else {"data file": self.data_file()}
        return data | {what: name for what, name in files.items() if name is not None}

    @property
    def _published_as(self) -> NamePattern:
        archive = self.compression.archive if self.compression else None
        return self.file_name if archive is None else archive

    def _named(self, pattern: NamePattern, suffix: str, *, parts: bool = False) -> FileName:
        text = pattern.timestamp_format
        return FileName(
            name=pattern.name or self.file_name.name or self.extract_name,
            suffix=suffix,
            timestamp=TimestampPattern.parse(text) if text else None,
            timestamp_first=pattern.timestamp_first,
            parts=parts,
        )


def _dotted(extension: str) -> str:
    return f".{extension.removeprefix('.')}"
