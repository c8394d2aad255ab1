"""Rows on their way into and out of a table that SQL reaches, checked and in the table's types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from lakeflow_meta.control.arrow import TYPES
from lakeflow_meta.errors import BackendError
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Row
from lakeflow_meta.sql_rows import Offer

_SQL_TYPES = {kind: name for name, kind in TYPES.items()}


def offer(table: TableName, rows: Sequence[Row], schema: pa.Schema) -> Offer:
    """The columns of ``schema`` of each row; what a row does not name is NULL.

    Raises BackendError for a value that does not fit its column, as every store does; the engine
    alone would write a number into a text. Raises ValueError for a time without a zone.
    """
    try:
        data = pa.table({f.name: _column(rows, f) for f in schema}, schema=schema)
    except pa.ArrowException as error:
        raise BackendError(f"{table}: {error}", code=type(error).__name__) from error
    return Offer.of(data.to_pylist(), {f.name: _sql_type(table, f) for f in schema})


def _column(rows: Sequence[Row], field: pa.Field) -> pa.Array:
    values = [row.get(field.name) for row in rows]
    check_zones((field.name, value) for value in values)
    return pa.array(values, field.type)


def _sql_type(table: TableName, field: pa.Field) -> str:
    try:
        return _SQL_TYPES[field.type]
    except KeyError:
        raise BackendError(
            f"{table}: column {field.name} is {field.type}, which no control table has",
            code="UNSUPPORTED_TYPE",
        ) from None


def check_zones(values: Iterable[tuple[str, Any]]) -> None:
    """Raise ValueError for a time without a zone, by its column."""
    for name, value in values:
        if isinstance(value, datetime) and value.tzinfo is None:
            raise ValueError(f"column {name} holds a timestamp without a time zone")


def refuse_duplicates(table: TableName, rows: Sequence[Row], keys: Sequence[str]) -> None:
    """Raise BackendError where two rows have one key.

    MERGE itself refuses them only where a recorded row matches, and inserts both where none does.
    """
    seen: set[tuple[Any, ...]] = set()
    for row in rows:
        key = tuple(row[name] for name in keys)
        if key in seen:
            raise BackendError(
                f"{table}: two offered rows have the key {key}", code="DUPLICATE_KEY"
            )
        seen.add(key)


def plain(table: pa.Table) -> pa.Table:
    """The same rows with ordinary strings and microsecond timestamps in UTC."""
    return table.cast(pa.schema([pa.field(f.name, _plain_type(f.type)) for f in table.schema]))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind) or pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz and "UTC")
    return kind
