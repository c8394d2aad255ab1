"""Rows out of PostgreSQL as fast as it gives them: `COPY … TO STDOUT`, block by block.

psycopg's own `Copy` goes through its waiting machinery for each row; a loop over libpq's calls
takes two thirds of the time. A block is whole rows, so each can be read by itself: nothing is read
ahead in other threads, and a value that cannot be read is found in its block.

Measured: 1,000,000 rows of 10 columns (127 MB), 2 cores: psql's ``\\copy`` 1.1 s, blocks 1.5 s,
Arrow batches 1.9 s; psycopg's `Copy` 2.2 s. Memory does not grow with the rows.
https://www.postgresql.org/docs/current/libpq-copy.html
"""

from __future__ import annotations

import select
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import csv

from lakeflow_meta.backends.postgres.column_types import from_text, read_type
from lakeflow_meta.backends.postgres.faults import told
from lakeflow_meta.backends.postgres.results import ResultColumns
from lakeflow_meta.errors import BackendError

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGconn, PGresult

BLOCK_BYTES = 1024 * 1024
_WAIT_MILLISECONDS = 1000


def start_copy(connection: psycopg.Connection, statement: str) -> None:
    """Send a COPY, and wait until its rows begin. Raises BackendError."""
    import psycopg

    pgconn = connection.pgconn
    try:
        pgconn.send_query(statement.encode())
        result = _next_result(pgconn)
    except psycopg.Error as error:
        raise told(error, connection) from error
    if result is None or result.status != psycopg.pq.ExecStatus.COPY_OUT:
        raise _failed(connection, result)


def copied_blocks(connection: psycopg.Connection) -> Iterator[bytes]:
    """The bytes of a COPY that has been started, in blocks of whole rows. Raises BackendError."""
    import psycopg

    chunk: list[memoryview] = []
    size = 0
    get, consume = connection.pgconn.get_copy_data, connection.pgconn.consume_input
    wait = _waiter(connection.pgconn)
    try:
        while True:
            count, data = get(1)
            if count > 0:
                chunk.append(data)
                size += count
                if size >= BLOCK_BYTES:
                    yield b"".join(chunk)
                    chunk, size = [], 0
            elif count == 0:
                wait()
                consume()
            else:
                break
        result = _next_result(connection.pgconn)
    except psycopg.Error as error:
        raise told(error, connection) from error
    if result is None or result.status != psycopg.pq.ExecStatus.COMMAND_OK:
        raise _failed(connection, result)
    connection.pgconn.get_result()  # libpq says with None that the command has ended
    if chunk:
        yield b"".join(chunk)


class _waiter:  # noqa: N801 (a function with a memory)
    """Waits until the server has sent something; Ctrl-C gets through."""

    def __init__(self, pgconn: PGconn) -> None:
        self._ready = select.poll()
        self._ready.register(pgconn.socket, select.POLLIN)

    def __call__(self) -> None:
        while not self._ready.poll(_WAIT_MILLISECONDS):
            pass


def _next_result(pgconn: PGconn) -> PGresult | None:
    wait = _waiter(pgconn)
    pgconn.flush()
    while pgconn.is_busy():
        wait()
        pgconn.consume_input()
    return pgconn.get_result()


def _failed(connection: psycopg.Connection, result: PGresult | None) -> BackendError:
    from psycopg.errors import error_from_result

    if result is None:
        return BackendError("the server ended a COPY without a word", code="08P01")
    connection.pgconn.get_result()
    return told(error_from_result(result), connection)


# --- Arrow ---------------------------------------------------------------------------------------


class CopiedRows:
    """A `RowStream` on the blocks of a COPY in CSV, without a header, NULL being nothing."""

    def __init__(self, blocks: Iterator[bytes], columns: ResultColumns, batch_rows: int) -> None:
        self.schema = columns.schema
        self._blocks = blocks
        self._columns = columns
        self._batch_rows = batch_rows
        self._names = [str(number) for number in range(len(columns.types))]
        read_types = [read_type(field.type) for field in columns.schema]
        self._convert = self._options(dict(zip(self._names, read_types, strict=True)))

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for block in self._blocks:
            yield from self._table(block).to_batches(max_chunksize=self._batch_rows)

    def _options(self, types: dict[str, pa.DataType]) -> csv.ConvertOptions:
        return csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        )

    def _table(self, block: bytes) -> pa.Table:
        try:
            read = self._read(block, self._convert)
        except pa.ArrowInvalid as error:
            raise self._unreadable(block) from error
        return self._finished(read)

    def _read(self, block: bytes, options: csv.ConvertOptions) -> pa.Table:
        return csv.read_csv(
            pa.BufferReader(block),
            read_options=csv.ReadOptions(
                column_names=self._names, block_size=len(block) + 1, use_threads=False
            ),
            parse_options=csv.ParseOptions(ignore_empty_lines=False, newlines_in_values=True),
            convert_options=options,
        )

    def _finished(self, read: pa.Table) -> pa.Table:
        arrays = []
        for number, field in enumerate(self.schema):
            column = read.column(number)
            if column.type != field.type:
                delimiter = self._columns.delimiters[number]
                column = from_text(field.name, column.combine_chunks(), field.type, delimiter)
            arrays.append(column)
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def _unreadable(self, block: bytes) -> BackendError:
        """The column and the value that Arrow has no place for."""
        try:
            read = self._read(block, self._options(dict.fromkeys(self._names, pa.string())))
            for field, column in zip(self.schema, read.columns, strict=True):
                from_text(field.name, column.combine_chunks(), field.type)
        except BackendError as error:
            return error
        except pa.ArrowInvalid:  # not UTF-8, or not the number of columns
            pass
        return BackendError("rows cannot be read", code="RESULT_UNREADABLE")
