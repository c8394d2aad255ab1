"""What PostgreSQL answers, as Arrow: types of the columns, and rows of results of queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakeflow_meta.backends.postgres.column_types import ColumnType, arrow_type, from_text, is_known
from lakeflow_meta.backends.postgres.connect import TEMPLATES
from lakeflow_meta.errors import BackendError
from lakeflow_meta.ports import Answer

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGresult

_COUNTED_QUERIES = frozenset({"SELECT", "FETCH", "SHOW", "EXPLAIN"})


@dataclass(frozen=True, slots=True)
class ResultColumns:
    """The columns of a result, in order."""

    schema: pa.Schema
    types: tuple[ColumnType, ...]

    @property
    def delimiters(self) -> list[str]:
        """What stands between elements, were the column an array."""
        return [found.delimiter for found in self.types]


def columns_of(connection: psycopg.Connection, result: PGresult) -> ResultColumns:
    """Names and types of a result. Raises BackendError for an unknown type, and for names that are
    there twice.
    """
    names = [_name(result, number) for number in range(result.nfields)]
    if not names:
        raise BackendError("the statement has no columns", code="NO_COLUMNS")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise BackendError(
            f"several columns are called {', '.join(twice)}; name them: … AS other_name",
            code="42701",  # duplicate_column
        )
    types = _types(connection, result)
    fields = [pa.field(n, arrow_type(n, t)) for n, t in zip(names, types, strict=True)]
    return ResultColumns(pa.schema(fields), types)


def _name(result: PGresult, number: int) -> str:
    return (result.fname(number) or b"").decode()


def _types(connection: psycopg.Connection, result: PGresult) -> tuple[ColumnType, ...]:
    numbers = range(result.nfields)
    asked = sorted({result.ftype(n) for n in numbers if not is_known(result.ftype(n))})
    more = _asked_of_catalog(connection, asked) if asked else {}
    return tuple(_type(result.ftype(n), result.fmod(n), more) for n in numbers)


def _asked_of_catalog(
    connection: psycopg.Connection, oids: Sequence[int]
) -> dict[int, dict[str, Any]]:
    from psycopg.rows import dict_row

    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(TEMPLATES.render("internal/column_types", numbers=oids))
        return {row["oid"]: row for row in cursor.fetchall()}


def _type(oid: int, modifier: int, more: dict[int, dict[str, Any]]) -> ColumnType:
    found = more.get(oid)
    if found is None:
        return ColumnType(oid, modifier)
    if found["element"]:
        return ColumnType(
            *(oid, modifier, found["name"], found["kind"]),
            *(found["element"], found["element_kind"], found["element_delimiter"]),
        )
    return ColumnType(oid, modifier, found["name"], found["kind"])


# --- rows of a whole result ----------------------------------------------------------------------


def answer_of(cursor: psycopg.Cursor[Any]) -> Answer:
    """What a cursor brought; of several statements the last one's rows. Raises BackendError."""
    results = [cursor.pgresult]
    while cursor.nextset():
        results.append(cursor.pgresult)
    told = [result for result in results if result is not None]
    table = table_of(cursor.connection, told[-1]) if told and told[-1].nfields else None
    return Answer(table, sum(map(_changed, told)))


def _changed(result: PGresult) -> int:
    command = (result.command_status or b"").decode().partition(" ")[0]
    if result.nfields and command in _COUNTED_QUERIES:
        return 0
    return result.command_tuples or 0


def table_of(connection: psycopg.Connection, result: PGresult) -> pa.Table:
    """The rows of a result. Raises BackendError."""
    return rows_of(result, columns_of(connection, result))


def rows_of(result: PGresult, columns: ResultColumns) -> pa.Table:
    """The rows of a result whose columns are known. Raises BackendError."""
    get, count = result.get_value, result.ntuples
    arrays = []
    for number, (field, found) in enumerate(zip(columns.schema, columns.types, strict=True)):
        values = pa.array([get(row, number) for row in range(count)], pa.binary())
        text = as_text(field.name, values)
        arrays.append(from_text(field.name, text, field.type, found.delimiter))
    return pa.Table.from_arrays(arrays, schema=columns.schema)


def as_text(column: str, values: pa.Array) -> pa.Array:
    """Bytes as the text that they are. Raises BackendError."""
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid as error:
        raise BackendError(
            f"column {column} holds text that is not UTF-8, from a database of encoding SQL_ASCII",
            code="22021",  # character_not_in_repertoire
        ) from error
