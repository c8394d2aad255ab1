"""What parts of an extract say of each other: what contradicts, and what is missing. Pure."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.extract.file_names import FileName, check_file_name, check_folder, clashes
from lakeflow_meta.extract.timestamps import TimestampPattern
from lakeflow_meta.extract.words import (
    LEVELS,
    OF_PARQUET,
    OF_TEXT,
    CompressionType,
    Datastore,
    LoadMode,
    OutputFormat,
    RefusedError,
    SourceKind,
)
from lakeflow_meta.findings import Finding, Path, did_you_mean
from lakeflow_meta.names import TableName

if TYPE_CHECKING:
    from lakeflow_meta.extract.config import Extract, FileLayout, NamePattern

_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
TEMPLATE_SUFFIX = ".sql.jinja"
FOOTER_WORDS = ("rows", "extract_name")

_SAMPLE = datetime(2025, 1, 27, 13, 30, 59, 123456, tzinfo=UTC)


def extract_findings(extract: Extract) -> Iterator[Finding]:
    """Everything that one part of an extract says against another."""
    yield from _source_findings(extract)
    yield from _load_findings(extract)
    yield from _layout_findings(extract.file)
    yield from _compression_findings(extract)
    yield from _validation_findings(extract)
    yield from _name_findings(extract)


# --------------------------------------------------------------------------- source and load


def _source_findings(extract: Extract) -> Iterator[Finding]:
    source = extract.source
    given = [(_word(kind), value) for kind, value in source.named() if value is not None]
    if len(given) != 1:
        words = [word for word, _ in given]
        hint = "write one of table, view, procedure, query, template"
        message = f"{' and '.join(words)} exclude each other" if words else "names no rows to take"
        yield Finding(("source",), message, hint)
        return
    word, value = given[0]
    if source.kind in (SourceKind.TABLE, SourceKind.VIEW, SourceKind.PROCEDURE):
        yield from named_object(value or "", source.datastore, ("source", word))
    if source.kind is SourceKind.PROCEDURE and source.datastore is Datastore.LAKEHOUSE:
        hint = "write a query, or datastore: warehouse"
        yield Finding(("source", word), "a lakehouse has no procedures that give rows", hint)
    yield from _template_findings(source.template)
    yield from _parameter_findings(extract)
    yield from _projection_findings(extract)


def _word(kind: SourceKind) -> str:
    return "procedure" if kind is SourceKind.PROCEDURE else kind.lower()


def named_object(text: str, datastore: Datastore, path: Path) -> Iterator[Finding]:
    """What is wrong with the name of a table, view or procedure of the datastore."""
    try:
        object_name(text, datastore)
    except RefusedError as error:
        yield Finding(path, str(error), error.hint)


def object_name(text: str, datastore: Datastore) -> tuple[str | None, str, str]:
    """Catalog, schema and name; a warehouse has no catalogs. Raises RefusedError."""
    in_lakehouse = datastore is Datastore.LAKEHOUSE
    try:
        name = TableName.parse(text if in_lakehouse else f"warehouse.{text}")
    except ConfigError as error:
        form = "catalog.schema.name" if in_lakehouse else "schema.name"
        hint = f"write {form}, as a {datastore} has it"
        raise RefusedError(f"{text!r} is not the name of a table or view", hint) from error
    return (name.catalog if in_lakehouse else None, name.schema, name.name)


def _template_findings(template: str | None) -> Iterator[Finding]:
    if template is None:
        return
    path = ("source", "template")
    if not template.endswith(TEMPLATE_SUFFIX):
        hint = f"name a file of the project: x{TEMPLATE_SUFFIX}"
        yield Finding(path, f"{template!r} is no SQL template", hint)
    try:
        check_folder(template)
    except RefusedError as error:
        yield Finding(path, str(error), error.hint)


def _parameter_findings(extract: Extract) -> Iterator[Finding]:
    source = extract.source
    if source.parameters and source.kind in (SourceKind.TABLE, SourceKind.VIEW):
        hint = "write where, or a query"
        yield Finding(("source", "parameters"), f"a {_word(source.kind)} takes none", hint)
        return
    for name in source.parameters:
        path = ("source", "parameters", name)
        if not _PARAMETER.fullmatch(name):
            yield Finding(path, f"{name!r} is no name of a parameter", "letters, digits and _")
        elif source.query is not None and not re.search(rf":{name}\b", source.query):
            yield Finding(path, f"the query does not use :{name}", "remove it, or use it")


def _projection_findings(extract: Extract) -> Iterator[Finding]:
    source = extract.source
    if source.kind is SourceKind.PROCEDURE:
        for key in ("columns", "where"):
            if getattr(source, key):
                message = "the rows of a procedure are taken as they are"
                yield Finding(("source", key), message, "give it parameters, or write a query")
    seen: set[str] = set()
    for position, column in enumerate(source.columns):
        if column.lower() in seen:
            message = f"column {column!r} is written twice"
            yield Finding(("source", "columns", position), message, "keep one")
        seen.add(column.lower())


_LOAD_KEYS = {
    LoadMode.INCREMENTAL: ("watermark_column", "initial_watermark"),
    LoadMode.PERIOD: ("period_column", "period_query"),
}
_NEEDED = ("watermark_column", "period_column", "period_query")


def _load_findings(extract: Extract) -> Iterator[Finding]:
    load = extract.load
    for mode, keys in _LOAD_KEYS.items():
        for key in keys:
            given = getattr(load, key) is not None
            if given and load.mode is not mode:
                message = f"load mode {load.mode} has no {key}"
                yield Finding(("load", key), message, f"write mode: {mode}, or remove it")
            if not given and load.mode is mode and key in _NEEDED:
                yield Finding(("load",), f"load mode {mode} needs {key}", f"add {key}: …")
    if load.mode is not LoadMode.FULL and extract.source.procedure is not None:
        hint = "write a query, or mode: full"
        message = "the rows of a procedure cannot be chosen by a column"
        yield Finding(("load", "mode"), message, hint)


# --------------------------------------------------------------------------- files


_OF_LINES = ("delimiter", "quote", "escape", "header", "footer", "null_value", "line_ending")
_OF_NUMBERS = ("decimal_separator", "decimal_places")
_OF_TIMES = ("date_format", "timestamp_format", "time_zone")


def _layout_findings(file: FileLayout) -> Iterator[Finding]:
    refused: tuple[str, ...] = ()
    if not file.format.delimited:
        refused = (*_OF_LINES, "encoding", *_OF_NUMBERS)
    if not file.format.textual:
        refused += _OF_TIMES
    for key in refused:
        if key in file.model_fields_set and getattr(file, key) is not None:
            yield Finding(("file", key), f"a {file.format} file has no {key}", "remove it")
    if file.max_rows_per_file is not None and file.max_bytes_per_file is not None:
        message = "max_rows_per_file and max_bytes_per_file exclude each other"
        yield Finding(("file",), message, "keep one")
    if file.format.delimited:
        yield from _line_findings(file)
    if file.time_zone is not None and file.timestamp_format is None:
        message = "time_zone says nothing without timestamp_format"
        yield Finding(("file", "time_zone"), message, "add timestamp_format: …")


def _line_findings(file: FileLayout) -> Iterator[Finding]:
    used = file.delimited()
    if file.format is OutputFormat.TSV and used.delimiter != "\t":
        message = f"a tsv file is delimited by tabs, not by {used.delimiter!r}"
        yield Finding(("file", "delimiter"), message, "write format: csv or dat")
    escapes = () if file.escape is None else ("escape",)
    for key in ("quote", *escapes):
        if getattr(used, key) == used.delimiter:
            message = f"{key} and delimiter are the same character {used.delimiter!r}"
            yield Finding(("file", key), message, "choose another")
    if file.decimal_separator is not None and file.decimal_separator not in ".,":
        message = f"{file.decimal_separator!r} separates no decimals"
        yield Finding(("file", "decimal_separator"), message, "write '.' or ','")
    yield from _footer_findings(file.footer)
    for key in ("delimiter", "quote", *escapes, "null_value", "footer"):
        text = getattr(used, key) or ""
        if not _encodable(text, used.encoding):
            message = f"{text!r} cannot be written in {used.encoding}"
            yield Finding(("file", key), message, "choose another character or encoding")


def _footer_findings(footer: str | None) -> Iterator[Finding]:
    path = ("file", "footer")
    if footer is None:
        return
    if "\n" in footer or "\r" in footer:
        yield Finding(path, "the footer is one line", "remove the line break")
    try:
        fields = [part[1:] for part in string.Formatter().parse(footer) if part[1] is not None]
    except ValueError as error:
        yield Finding(path, f"the footer cannot be read: {error}", "write {{ for a brace")
        return
    for name, form, conversion in fields:
        if name not in FOOTER_WORDS or form or conversion:
            message = f"the footer knows no {{{name}}}"
            yield Finding(path, message, did_you_mean(str(name), FOOTER_WORDS))


def _encodable(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeError:
        return False
    return True


def _compression_findings(extract: Extract) -> Iterator[Finding]:
    compression, output = extract.compression, extract.file.format
    if compression is None:
        return
    possible = OF_TEXT if output.textual else OF_PARQUET
    if compression.type not in possible:
        hint = f"write one of {', '.join(possible)}"
        message = f"a {output} file is not compressed by {compression.type}"
        yield Finding(("compression", "type"), message, hint)
    yield from _level_findings(compression.type, compression.level)
    if compression.extension is not None and not output.textual:
        message = "parquet is compressed inside: its name stays"
        yield Finding(("compression", "extension"), message, "remove it")
    if compression.archive is not None and compression.type is not CompressionType.ZIP:
        message = f"{compression.type} holds one file, and is no archive"
        yield Finding(("compression", "archive"), message, "write type: zip, or remove it")


def _level_findings(kind: CompressionType, level: Any) -> Iterator[Finding]:
    path, levels = ("compression", "level"), LEVELS.get(kind)
    if level is None:
        return
    if levels is None:
        yield Finding(path, f"{kind} has no levels", "remove it")
    elif isinstance(level, int) and not levels.lowest <= level <= levels.highest:
        hint = f"{levels.lowest} to {levels.highest}, or minimum, normal, maximum"
        yield Finding(path, f"{kind} has no level {level}", hint)


def _validation_findings(extract: Extract) -> Iterator[Finding]:
    validation = extract.validation
    if validation is None:
        return
    if not validation.model_fields_set:
        yield Finding(("validation",), "says nothing of what must hold", "add query or min_rows")
    if validation.query is not None and validation.procedure is not None:
        message = "query and procedure exclude each other"
        yield Finding(("validation",), message, "keep one")
    if validation.procedure is not None:
        path: Path = ("validation", "procedure")
        yield from named_object(validation.procedure, Datastore.WAREHOUSE, path)
        if extract.source.datastore is Datastore.LAKEHOUSE:
            yield Finding(path, "a lakehouse has no procedures", "write a query")
    if validation.max_failed_rows is not None and validation.query is None:
        message = "max_failed_rows counts the rows of a query"
        yield Finding(("validation", "max_failed_rows"), message, "add query: …, or remove it")
    lowest, highest = validation.min_rows, validation.max_rows
    if lowest is not None and highest is not None and lowest > highest:
        message = f"min_rows {lowest} is more than max_rows {highest}"
        yield Finding(("validation", "min_rows"), message)


# --------------------------------------------------------------------------- names


def _name_findings(extract: Extract) -> Iterator[Finding]:
    patterns: list[tuple[Path, NamePattern]] = [(("file_name",), extract.file_name)]
    if extract.compression is not None and extract.compression.archive is not None:
        patterns.append((("compression", "archive"), extract.compression.archive))
    for path, pattern in patterns:
        yield from _pattern_findings(path, pattern)
    if extract.file_name.time_zone and not any(p.timestamp_format for _, p in patterns):
        message = "time_zone says nothing without timestamp_format"
        yield Finding(("file_name", "time_zone"), message, "add timestamp_format: …")
    files = extract.published_files()
    findings = list(_unusable_names(extract, files))
    yield from findings or _own_clashes(files)


def _pattern_findings(path: Path, pattern: NamePattern) -> Iterator[Finding]:
    if pattern.timestamp_format is not None:
        read = TimestampPattern.parse(pattern.timestamp_format)
        if read.has_offset:
            message = "a file name has no offset of a zone"
            yield Finding((*path, "timestamp_format"), message, "write time_zone: UTC")
        if pattern.period_end_day is not None and not read.only_dates:
            message = "the end of a period is a date, and has no time"
            yield Finding((*path, "timestamp_format"), message, "write yyyyMMdd")
        return
    for key in ("period_end_day", "timestamp_first"):
        if getattr(pattern, key):
            message = f"{key} says nothing without timestamp_format"
            yield Finding((*path, key), message, "add timestamp_format: …")


def _unusable_names(extract: Extract, files: Mapping[str, FileName]) -> Iterator[Finding]:
    """Names that come out wrong although each of their parts may be right."""
    path = ("file_name",) if extract.file_name.name else ("extract_name",)
    names = {extract.data_file(), *files.values()}
    for name in sorted(name.write(_SAMPLE, 1 if name.parts else None) for name in names):
        try:
            check_file_name(name)
        except RefusedError as error:
            hint = error.hint if extract.file_name.name else "write file_name: {name: …}"
            yield Finding(path, str(error), hint)
            return


def _own_clashes(files: Mapping[str, FileName]) -> Iterator[Finding]:
    names = list(files.items())
    for later, earlier in clashes([("", name.masked) for _, name in names]):
        message = f"the {names[later][0]} has the name of the {names[earlier][0]}"
        yield Finding(("file_name",), message, "write another extension")
