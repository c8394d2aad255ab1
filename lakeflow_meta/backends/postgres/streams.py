"""Begins to read rows: by COPY where PostgreSQL allows it, else by a cursor or at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import pyarrow as pa

from lakeflow_meta.backends.postgres.column_types import REFCURSOR
from lakeflow_meta.backends.postgres.connect import TEMPLATES
from lakeflow_meta.backends.postgres.copied_rows import CopiedRows, copied_blocks, start_copy
from lakeflow_meta.backends.postgres.faults import told
from lakeflow_meta.backends.postgres.parameters import bound
from lakeflow_meta.backends.postgres.results import ResultColumns, columns_of, rows_of
from lakeflow_meta.backends.postgres.statements import can_be_copied
from lakeflow_meta.errors import BackendError, ConfigError
from lakeflow_meta.ports import CopyOptions, Parameters, RowStream

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGresult

_FOR_ARROW = CopyOptions()


def open_text(
    connection: psycopg.Connection, statement: str, parameters: Parameters, options: CopyOptions
) -> Iterator[bytes]:
    """Begin a COPY as CSV. Raises psycopg.Error, BackendError, ConfigError."""
    if not can_be_copied(statement):
        raise ConfigError("only queries can be copied as text; use stream() for calls and the like")
    text = _with_values(connection, statement, parameters)
    _copy(connection, text, options)
    return copied_blocks(connection)


def open_rows(
    connection: psycopg.Connection, statement: str, parameters: Parameters, batch_rows: int
) -> RowStream:
    """Begin to read rows in batches. Raises psycopg.Error, BackendError, ConfigError."""
    text = _with_values(connection, statement, parameters)
    if not can_be_copied(text):
        return _called(connection, text, batch_rows)
    columns = _described(connection, text)
    if REFCURSOR in [found.oid for found in columns.types]:
        return _called(connection, text, batch_rows)
    _copy(connection, text, _FOR_ARROW)
    return CopiedRows(copied_blocks(connection), columns, batch_rows)


def _with_values(connection: psycopg.Connection, statement: str, parameters: Parameters) -> str:
    """The statement with its values as literals of psycopg's: COPY and CALL bind none."""
    import psycopg

    text, values = bound(statement, parameters)
    with psycopg.ClientCursor(connection) as cursor:
        return cursor.mogrify(text.encode(), values)


def _copy(connection: psycopg.Connection, statement: str, options: CopyOptions) -> None:
    command = TEMPLATES.render("internal/copy_query", statement=statement, **asdict(options))
    _begin(connection)
    start_copy(connection, command)


def _begin(connection: psycopg.Connection) -> None:
    """COPY goes past psycopg, which begins a transaction with whatever goes through it first."""
    connection.execute(b"")


def _described(connection: psycopg.Connection, statement: str) -> ResultColumns:
    """The columns that a query will have, without running it.

    https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
    """
    from psycopg.errors import error_from_result
    from psycopg.pq import ExecStatus

    _begin(connection)
    result = connection.pgconn.prepare(b"", statement.encode())
    if result.status == ExecStatus.COMMAND_OK:
        result = connection.pgconn.describe_prepared(b"")
    if result.status != ExecStatus.COMMAND_OK:
        raise told(error_from_result(result), connection)
    return columns_of(connection, result)


# --- calls ---------------------------------------------------------------------------------------


def _called(connection: psycopg.Connection, statement: str, batch_rows: int) -> RowStream:
    """The rows of a call: those of the cursor that it returns, else its own."""
    result = _result(connection, statement)
    if result is None or not result.nfields:
        raise BackendError(
            "the call returns no rows; a procedure gives rows by an INOUT parameter of type"
            " refcursor",
            code="NO_COLUMNS",
        )
    columns = columns_of(connection, result)
    cursors = [
        result.get_value(row, number)
        for number, found in enumerate(columns.types)
        for row in range(result.ntuples)
        if found.oid == REFCURSOR
    ]
    if not cursors:
        return _Rows(columns, [rows_of(result, columns)], batch_rows)
    if len(cursors) > 1 or cursors[0] is None:
        raise BackendError(
            f"the call returns {len(cursors)} cursors, and one is needed", code="NO_COLUMNS"
        )
    return _fetched(connection, cursors[0].decode(), batch_rows)


def _fetched(connection: psycopg.Connection, name: str, batch_rows: int) -> RowStream:
    """The rows of a cursor that is open in this transaction, so many at a time."""
    command = TEMPLATES.render("internal/fetch_rows", rows=batch_rows, cursor=name)
    first = _result(connection, command)
    if first is None:
        raise BackendError(f"cursor {name} gave nothing", code="NO_COLUMNS")
    columns = columns_of(connection, first)
    return _Rows(columns, _all_fetched(connection, command, first, columns), batch_rows)


def _all_fetched(
    connection: psycopg.Connection, command: str, first: PGresult, columns: ResultColumns
) -> Iterator[pa.Table]:
    import psycopg

    result: PGresult | None = first
    while result is not None and result.ntuples:
        yield rows_of(result, columns)
        try:
            result = _result(connection, command)
        except psycopg.Error as error:
            raise told(error, connection) from error


def _result(connection: psycopg.Connection, command: str) -> PGresult | None:
    with connection.cursor() as cursor:
        cursor.execute(command.encode())
        return cursor.pgresult


class _Rows:
    """A `RowStream` on tables."""

    def __init__(
        self, columns: ResultColumns, tables: Iterator[pa.Table] | list[pa.Table], batch_rows: int
    ) -> None:
        self.schema = columns.schema
        self._tables = tables
        self._batch_rows = batch_rows

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for table in self._tables:
            yield from table.to_batches(max_chunksize=self._batch_rows)
