"""Checked queries, answered in this process: SQLite in memory holds the rows, our functions the
meaning. For stores that have no engine which means what Spark means.

Nothing but the given rows can be reached: the authorizer lets SELECT and functions through, and no
statement gets here but one that `control.sql.statements` built. 100,000 rows of a few columns are
loaded in about a tenth of a second (measured), and only columns that the query names.
https://sqlite.org/c3ref/set_authorizer.html
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakeflow_meta.arrow_values import array_of, values_of
from lakeflow_meta.control.sql.kinds import Kind
from lakeflow_meta.errors import BackendError
from lakeflow_meta.sql_functions.faults import SqlValueError
from lakeflow_meta.sql_functions.registry import AGGREGATES, sql_functions
from lakeflow_meta.sql_functions.times import EPOCH
from lakeflow_meta.sql_sqlite import rows_of_table, sqlite_query

if TYPE_CHECKING:
    from lakeflow_meta.control.sql.checked_query import CheckedQuery

_OLDEST = (3, 39)
"""FULL JOIN; https://sqlite.org/releaselog/3_39_0.html"""

_ALLOWED = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    }
)
_STEPS_BETWEEN_SIGNALS = 200_000

_TYPES: dict[Kind, pa.DataType] = {
    Kind.TEXT: pa.string(),
    Kind.INTEGER: pa.int64(),
    Kind.DOUBLE: pa.float64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.TIME: pa.timestamp("us", "UTC"),
    Kind.DATE: pa.date32(),
    Kind.NOTHING: pa.null(),
}
_READERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.DOUBLE: float,
    Kind.BOOLEAN: bool,
    Kind.TIME: lambda micros: EPOCH + timedelta(microseconds=micros),
    Kind.DATE: lambda days: date(1970, 1, 1) + timedelta(days=days),
}


def answer(query: CheckedQuery, tables: Mapping[str, pa.Table]) -> pa.Table:
    """The rows of a query over the given tables. Raises BackendError."""
    if sqlite3.sqlite_version_info < _OLDEST:
        raise BackendError(
            f"SQL on control tables needs SQLite 3.39, this Python has {sqlite3.sqlite_version}",
            code="SQLITE_TOO_OLD",
        )
    bound = sqlite_query(query)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for name, table in tables.items():
            _load(connection, name, table)
        engine = _Engine(connection)
        rows = engine.run(bound.text, bound.parameters)
    columns = zip(*rows, strict=True) if rows else [() for _ in query.kinds]
    arrays = [
        array_of(_read(values, kind), _TYPES[kind])
        for values, kind in zip(columns, query.kinds, strict=True)
    ]
    return pa.Table.from_arrays(arrays, names=list(query.names))


class _Engine:
    """One connection with Spark's functions. What a function raises is kept: SQLite loses it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._fault: Exception | None = None
        for name, function in sql_functions().items():
            connection.create_function(name, -1, self._kept(function), deterministic=True)
        for name, aggregate in AGGREGATES.items():
            connection.create_aggregate(name, -1, self._kept_aggregate(aggregate))
        connection.set_authorizer(_authorize)
        connection.set_progress_handler(lambda: 0, _STEPS_BETWEEN_SIGNALS)

    def run(self, text: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Raises BackendError, KeyboardInterrupt."""
        try:
            return list(self._connection.execute(text, dict(parameters)))
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
            code = str(getattr(error, "sqlite_errorname", type(error).__name__))
            if isinstance(self._fault, SqlValueError):
                raise BackendError(f"the query failed: {self._fault}", code="BAD_VALUE") from error
            if code == "SQLITE_INTERRUPT":
                raise KeyboardInterrupt from error
            cause = self._fault or error
            raise BackendError(f"the query failed: {cause}", code=code) from cause

    def _kept(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except Exception as error:
                self._fault = error
                raise

        return call

    def _kept_aggregate(self, aggregate: Any) -> Any:
        keep = self._kept

        class Kept:
            """The aggregate, whose faults are kept."""

            def __init__(self) -> None:
                self._inner = aggregate()
                self.step = self._inner.step

            def finalize(self) -> Any:
                return keep(self._inner.finalize)()

        return Kept


def _authorize(action: int, *_details: object) -> int:
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


def _load(connection: sqlite3.Connection, name: str, table: pa.Table) -> None:
    create, insert = rows_of_table(name, table.schema.names)
    rows = zip(*(_written(column) for column in table.columns), strict=True)
    connection.execute(create)
    connection.execute("BEGIN")
    connection.executemany(insert, rows)
    connection.execute("COMMIT")


def _written(column: pa.ChunkedArray) -> list[Any]:
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", kind.tz)).cast(pa.int64())
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    values: list[Any] = values_of(column)
    return values


def _read(values: Sequence[Any], kind: Kind) -> list[Any]:
    reader = _READERS.get(kind)
    if reader is None:
        return list(values)
    return [None if value is None else reader(value) for value in values]
