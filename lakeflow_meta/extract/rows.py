"""An extract as rows of two control tables, and two such rows as an extract. Pure.

A row may have been written by hand in SQL, so reading one can fail: everything that is wrong is
told with its column. A column of the contract that this package does not serve is refused when it
holds something, never ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from lakeflow_meta.control.rows import Row, RowError, is_active, json_object
from lakeflow_meta.control.tables import EXTRACT_DETAILS, EXTRACTS, TableLayout
from lakeflow_meta.extract.columns import (
    COLUMN_OF,
    CONTAINER,
    NAMED,
    OF_DETAILS,
    OF_EXTRACTS,
    READ,
    REFUSED,
    VALIDATES,
    WRITE,
)
from lakeflow_meta.extract.config import Extract
from lakeflow_meta.extract.file_names import container_of, folder_of
from lakeflow_meta.extract.rules import object_name
from lakeflow_meta.extract.words import Datastore, LoadMode, OutputFormat
from lakeflow_meta.findings import Finding, Path, validation_findings


def to_rows(extract: Extract) -> tuple[Row, Row]:
    """The rows of `EXTRACTS` and `EXTRACT_DETAILS`, without their stamps.

    Every column is named, so that what the declaration does not say is emptied in the table.
    ``is_active`` is None where the declaration does not name it.
    """
    document = extract.model_dump(mode="json")
    rows = (
        {**_NO_EXTRACT, **_written(document, OF_EXTRACTS)},
        {**_NO_DETAILS, **_written(document, OF_DETAILS)},
    )
    _write_names(extract, rows[0])
    _write_switches(extract, *rows)
    container, directory = container_of(extract.target.path)
    rows[1].update({"extract_container": container, "extract_directory": directory})
    for row in rows:
        row["extract_name"], row["is_active"] = extract.extract_name, extract.is_active
    return rows


def _empty(layout: TableLayout) -> Row:
    stamps = layout.stamps.names
    return dict.fromkeys(n for n in layout.names if n not in stamps) | dict(layout.switches)


_NO_EXTRACT, _NO_DETAILS = _empty(EXTRACTS), _empty(EXTRACT_DETAILS)


_WITH_HEADER = frozenset(known for known in OutputFormat if known.delimited)


def _written(document: Mapping[str, Any], columns: Mapping[str, Path]) -> Row:
    row: Row = {}
    for column, path in columns.items():
        value: Any = document
        for part in path:
            value = value.get(part) if value is not None else None
        row[column] = WRITE.get(column, _same)(value) if value is not None else None
    return row


def _same(value: Any) -> Any:
    return value


def _write_names(extract: Extract, row: Row) -> None:
    source = extract.source
    for word, columns in NAMED.items():
        if (text := getattr(source, word)) is not None:
            row["source_catalog"], *parts = object_name(text, source.datastore)
            row.update(zip(columns, parts, strict=True))
    if extract.validation is not None and extract.validation.procedure is not None:
        _, *parts = object_name(extract.validation.procedure, Datastore.WAREHOUSE)
        row.update(zip(VALIDATES, parts, strict=True))


def _write_switches(extract: Extract, row: Row, details: Row) -> None:
    compression = extract.compression
    row["is_full_load"] = extract.load.mode is LoadMode.FULL
    details.update(
        file_properties_header=extract.file.header,
        is_trigger_file=extract.trigger is not None,
        is_compressed=compression is not None,
        compressed_is_compress_multiple_files=compression is not None
        and compression.archive is not None,
        is_validation_table=extract.validation is not None,
    )


# --------------------------------------------------------------------------- from rows


def from_rows(row: Mapping[str, Any], details: Mapping[str, Any]) -> Extract:
    """The extract that two rows describe. Raises RowError with everything that is wrong.

    It is inactive (``is_active`` is False) where either row is; else ``is_active`` is None.
    """
    _refuse_unused(row, details)
    document = _Document()
    document.read(row, OF_EXTRACTS)
    document.read(details, OF_DETAILS)
    _read_source(document, row)
    _read_switches(document, row, details)
    document.put(("target", "path"), folder_of(*(details.get(name) for name in CONTAINER)))
    if not (is_active(row) and is_active(details)):
        document.put(("is_active",), value=False)
    try:
        return Extract.model_validate(document.value)
    except ValidationError as error:
        raise _row_error(validation_findings(error, Extract)) from error


def _refuse_unused(row: Mapping[str, Any], details: Mapping[str, Any]) -> None:
    given = [name for name in REFUSED if row.get(name) or details.get(name)]
    if given:
        hint = "; ".join(dict.fromkeys(REFUSED[name] for name in given))
        raise RowError(f"{', '.join(given)}: not supported, and must be empty", hint)


class _Document:
    """An extract as YAML would have it, filled column by column."""

    def __init__(self) -> None:
        self.value: dict[str, Any] = {}

    def read(self, row: Mapping[str, Any], columns: Mapping[str, Path]) -> None:
        """Take the columns that hold something."""
        for column, path in columns.items():
            value = row.get(column)
            if column == "source_parameters":
                value = dict(json_object(row, column))
            elif value not in (None, ""):
                value = READ.get(column, _same)(value)
            if value not in (None, "", {}):
                self.put(path, value)

    def put(self, path: Path, value: Any) -> None:
        """Set one value."""
        holder = self.value
        for part in path[:-1]:
            holder = holder.setdefault(str(part), {})
        holder[str(path[-1])] = value

    def has(self, *path: str) -> bool:
        """Whether anything is written there."""
        value: Any = self.value
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return value is not None


def _read_source(document: _Document, row: Mapping[str, Any]) -> None:
    document.value.setdefault("source", {})
    catalog = row.get("source_catalog") or None
    for word, (schema, name) in NAMED.items():
        if text := _qualified(row, schema, name, catalog):
            document.put(("source", word), text)
            catalog = None
    if catalog is not None:
        raise RowError("source_catalog is set, but no table or view is", "set it to NULL")
    if text := _qualified(row, *VALIDATES, None):
        document.put(("validation", "procedure"), text)


def _qualified(row: Mapping[str, Any], schema: str, name: str, catalog: str | None) -> str | None:
    parts = [row.get(schema) or None, row.get(name) or None]
    if parts == [None, None]:
        return None
    if parts[1] is None:
        raise RowError(f"{schema} is set, but {name} is not", f"set {name}")
    return ".".join(_quoted(part) for part in (catalog, *parts) if part is not None)


def _quoted(part: str) -> str:
    return part if part.strip(" ") == part and not set(part) & set("`.") else _in_quotes(part)


def _in_quotes(part: str) -> str:
    return "`" + part.replace("`", "``") + "`"


def _read_switches(document: _Document, row: Mapping[str, Any], details: Mapping[str, Any]) -> None:
    """Switches agree with what they switch: a column that is set and switched off is refused."""
    _read_load(document, row.get("is_full_load"))
    _read_part(document, details, "is_trigger_file", ("trigger",), optional=True)
    _read_part(document, details, "is_compressed", ("compression",))
    _read_archive(document, details)
    _read_part(document, details, "is_validation_table", ("validation",))
    _drop_header(document)
    if details.get("compressed_is_delete_old_files") is False and document.has("compression"):
        message = "compressed_is_delete_old_files is false, but no uncompressed file is written"
        raise RowError(message, "set it to true")


def _drop_header(document: _Document) -> None:
    """The contract gives every row a header; it says nothing where lines have no columns."""
    file = document.value.get("file", {})
    if str(file.get("format", OutputFormat.CSV)).lower() not in _WITH_HEADER:
        file.pop("header", None)


def _read_load(document: _Document, full: bool | None) -> None:
    modes = {"watermark_column": "incremental", "period_column": "period"}
    given = [column for column in modes if document.has("load", column)]
    if full is not False:
        if document.has("load"):
            column = next(iter(document.value["load"]))
            raise RowError(
                f"is_full_load is true, but {column} is set", "set is_full_load to false"
            )
        return
    if len(given) != 1:
        which = "both" if given else "neither of"
        message = f"is_full_load is false, but {which} watermark_column and period_column"
        raise RowError(f"{message} {'are' if given else 'is'} set", "set one of them")
    document.put(("load", "mode"), modes[given[0]])


def _read_part(
    document: _Document,
    details: Mapping[str, Any],
    switch: str,
    path: tuple[str, ...],
    *,
    optional: bool = False,
) -> None:
    on, given = details.get(switch), document.has(*path)
    if on is False and given:
        columns = _columns_below(document, path)
        raise RowError(f"{switch} is false, but {columns} is set", f"set {switch} to true")
    if on and not given:
        if not optional:
            raise RowError(f"{switch} is true, but nothing is set of it", f"set {switch} to false")
        document.put(path, {})


def _read_archive(document: _Document, details: Mapping[str, Any]) -> None:
    """An archive that has a name is one, unless the row says that files are not put together."""
    switch, path = "compressed_is_compress_multiple_files", ("compression", "archive")
    if details.get(switch) and not document.has(*path):
        document.put(path, {})
    file = document.value.get("file", {})
    split = {"max_rows_per_file", "max_bytes_per_file"} & file.keys()
    if details.get(switch) is False and document.has(*path) and split:
        columns = _columns_below(document, path)
        message = f"{switch} is false, but {columns} is set, and several files may be written"
        raise RowError(message, f"set {switch} to true")


def _columns_below(document: _Document, path: tuple[str, ...]) -> str:
    columns = [
        column
        for place, column in COLUMN_OF.items()
        if place[: len(path)] == path and place != path and document.has(*map(str, place))
    ]
    return ", ".join(columns)


def _row_error(findings: Iterable[Finding]) -> RowError:
    found = list(findings)
    messages = [f"{_column_of(finding.path)}: {finding.message}" for finding in found]
    hints = dict.fromkeys(finding.hint for finding in found if finding.hint)
    text = "; ".join(messages)
    return RowError(text, "; ".join(hints)) if hints else RowError(text)


def _column_of(path: Path) -> str:
    for length in range(len(path), 0, -1):
        if column := COLUMN_OF.get(path[:length]):
            return column
    return str(path[0]) if path else "the row"
