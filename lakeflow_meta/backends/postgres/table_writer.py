"""Writes a whole table of Arrow into PostgreSQL: made where it is missing, filled by COPY."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from lakeflow_meta.backends.postgres.connect import TEMPLATES
from lakeflow_meta.errors import BackendError, ConfigError
from lakeflow_meta.ports import WriteMode

if TYPE_CHECKING:
    import psycopg

_DUPLICATE_TABLE = "42P07"
_ROWS_AT_ONCE = 65_536
_TYPES = {
    pa.bool_(): "boolean",
    pa.int8(): "smallint",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.uint8(): "smallint",
    pa.uint16(): "integer",
    pa.uint32(): "bigint",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.date32(): "date",
    pa.null(): "text",
}


def write_table(
    connection: psycopg.Connection, schema: str, table: str, data: pa.Table, mode: WriteMode
) -> int:
    """Write in the open transaction; how many rows.

    Raises psycopg.Error, BackendError, ConfigError.
    ``overwrite`` keeps a table that has the same columns, with its rights and indexes.
    """
    place = {"schema_name": schema, "table_name": table}
    wanted = {field.name: _sql_type(field) for field in data.schema}
    found = _columns(connection, schema, table)
    if found and mode is WriteMode.IGNORE:
        return 0
    if found and mode is WriteMode.ERROR:
        raise BackendError(f"table {schema}.{table} already exists", code=_DUPLICATE_TABLE)
    if found and mode is WriteMode.OVERWRITE:
        same = found == list(wanted)
        _run(connection, TEMPLATES.render("truncate_table" if same else "drop_table", **place))
        found = found if same else []
    if not found:
        _run(connection, TEMPLATES.render("create_table", columns=wanted, **place))
    copy = TEMPLATES.render("internal/copy_rows", columns=list(wanted), **place)
    with connection.cursor() as cursor, cursor.copy(copy.encode()) as into:
        for batch in data.to_batches(max_chunksize=_ROWS_AT_ONCE):
            into.write(_as_csv(batch))
    return int(data.num_rows)


def _columns(connection: psycopg.Connection, schema: str, table: str) -> list[str]:
    statement = TEMPLATES.render("get_table_schema", schema_name=schema, table_name=table)
    return [str(row[0]) for row in connection.execute(statement.encode()).fetchall()]


def _run(connection: psycopg.Connection, statement: str) -> None:
    connection.execute(statement.encode())


def _sql_type(field: pa.Field) -> str:
    kind = field.type
    if kind in _TYPES:
        return _TYPES[kind]
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision}, {kind.scale})"
    if pa.types.is_timestamp(kind):
        return "timestamptz" if kind.tz else "timestamp"
    if pa.types.is_time(kind):
        return "time"
    if _is_text(kind):
        return "text"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return "bytea"
    raise ConfigError(f"column {field.name} is {kind}, which cannot be written; make it text")


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _as_csv(batch: pa.RecordBatch) -> bytes:
    """NULL is nothing, text is always in quotes."""
    arrays = [_written(column) for column in batch.columns]
    out = io.BytesIO()
    options = csv.WriteOptions(include_header=False, quoting_style="needed")
    csv.write_csv(pa.RecordBatch.from_arrays(arrays, names=batch.schema.names), out, options)
    return out.getvalue()


def _written(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array([None if v is None else f"\\x{v.hex()}" for v in column.to_pylist()])
    if pa.types.is_floating(kind):  # Arrow writes fewer digits than a float has
        return pa.array([None if v is None else repr(v) for v in column.to_pylist()], pa.string())
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return column.cast(pa.timestamp("us", kind.tz), safe=False)
    return pc.cast(column, pa.string()) if kind == pa.null() else column
