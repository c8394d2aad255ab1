"""`Warehouse` on PostgreSQL, with psycopg 3.

Promises: a statement is carried out once or not at all, and an error says which. It runs between
BEGIN and COMMIT of ours, so whatever breaks before the COMMIT has left nothing behind, and is tried
again on a new connection if it may pass. Where the connection breaks in the COMMIT itself, the
server is asked what became of the transaction (`pg_xact_status`): done is done, undone is tried
again, and where it cannot say the error has the code ``OUTCOME_UNKNOWN`` and nothing is tried
again. A statement that cannot run inside of a transaction (VACUUM, CREATE DATABASE, a procedure
that commits) is sent once.

https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lakeflow_meta.backends.postgres.connect import (
    NoConnectionError,
    NoDatabaseError,
)
from lakeflow_meta.backends.postgres.faults import told
from lakeflow_meta.backends.postgres.pool import PostgresPool
from lakeflow_meta.backends.postgres.script_session import PostgresScriptSession
from lakeflow_meta.backends.postgres.statements import refuse_transactions
from lakeflow_meta.backends.postgres.streams import open_rows, open_text
from lakeflow_meta.backends.postgres.table_writer import write_table
from lakeflow_meta.backends.postgres.transactions import (
    commit,
    executed,
    in_transaction,
    is_in_transaction,
    outcome,
    roll_back,
    run_inside,
)
from lakeflow_meta.ports import (
    Answer,
    CopyOptions,
    Parameters,
    Row,
    RowStream,
    Sleep,
    WriteMode,
)
from lakeflow_meta.warehouse.connection_faults import Address
from lakeflow_meta.warehouse.dialects import Dialect
from lakeflow_meta.warehouse.retries import MAX_RETRIES, tried_again

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_OUTCOME_RETRIES = 5


class Connector(Protocol):
    """Makes connections: `PostgresConnector`, or `EmbeddedConnector`."""

    @property
    def address(self) -> Address:
        """What may be shown of it."""

    def connect(self) -> psycopg.Connection:
        """A new one. Raises ConfigError, NoDatabaseError, NoConnectionError."""


class PostgresWarehouse:
    """One database of one server. May be used by several threads at once."""

    dialect = Dialect.POSTGRES

    def __init__(
        self,
        connector: Connector,
        *,
        pool_size: int = 8,
        pool_wait_seconds: float = 30.0,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._connector = connector
        self._pool = PostgresPool(connector.connect, size=pool_size, wait_seconds=pool_wait_seconds)
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"PostgresWarehouse({self._connector.address})"

    def connect(self) -> psycopg.Connection:
        """A connection of the caller's own, who closes it. Not tried again. Raises BackendError."""
        return self._again(lambda _number: self._connector.connect(), 0)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._pool.close()

    # --- whole results

    def query(self, statement: str, parameters: Parameters = None) -> list[Row]:
        """Run a statement; its rows."""
        table = self.run(statement, parameters).table
        rows: list[Row] = [] if table is None else table.to_pylist()
        return rows

    def execute(self, statement: str, parameters: Parameters = None) -> int:
        """Run a statement; how many rows it changed."""
        return self.run(statement, parameters).changed

    def run(
        self,
        statement: str,
        parameters: Parameters = None,
        *,
        max_retries: int = MAX_RETRIES,
        connection: psycopg.Connection | None = None,
    ) -> Answer:
        """Run a statement, and commit it.

        On a ``connection`` that is inside of a transaction it runs there, once, and is not
        committed. Raises BackendError, NotFoundError, ConfigError.
        """
        refuse_transactions(statement)
        if connection is not None and is_in_transaction(connection):
            return run_inside(connection, statement, parameters)

        def work(used: psycopg.Connection) -> Answer:
            return executed(used, statement, parameters)

        def attempt(number: int) -> Answer:
            if connection is not None and number == 0:
                with _as_it_was(connection):
                    return in_transaction(connection, work, self.was_committed, outside=True)
            with self._pool.connection(fresh=number > 0) as own:
                return in_transaction(own, work, self.was_committed, outside=True)

        return self._again(attempt, max_retries)

    def write(self, schema: str, table: str, data: pa.Table, mode: WriteMode) -> int:
        """Write a table in one transaction: readers see all of it or what was there before."""

        def work(used: psycopg.Connection) -> int:
            return write_table(used, schema, table, data, mode)

        def attempt(number: int) -> int:
            with self._pool.connection(fresh=number > 0) as own:
                return in_transaction(own, work, self.was_committed)

        return self._again(attempt, MAX_RETRIES)

    def script_session(self) -> PostgresScriptSession:
        """A connection of a script's own. Raises BackendError, ConfigError."""
        return PostgresScriptSession(self.connect(), self.was_committed)

    def _again(self, attempt: Callable[[int], _T], max_retries: int) -> _T:
        """Tried again; people are told once what to do about a server that is not there."""
        try:
            return tried_again(attempt, max_retries, self._sleep)
        except (NoConnectionError, NoDatabaseError) as error:
            logger.error("%s", error.advice or error)  # noqa: TRY400 (the trace says nothing more)
            raise

    # --- one transaction

    def was_committed(self, transaction: str) -> bool | None:
        """What became of a transaction, None where nobody knows. Waits for one that is still
        running. Raises BackendError.
        """

        def ask(_number: int) -> bool | None:
            with self._pool.connection(fresh=True) as connection:
                return outcome(connection, transaction)

        return tried_again(ask, _OUTCOME_RETRIES, self._sleep)

    # --- rows as they come

    def stream(
        self,
        statement: str,
        parameters: Parameters = None,
        *,
        batch_rows: int = 65_536,
        read_only: bool = True,
    ) -> AbstractContextManager[RowStream]:
        """Rows of a query, a function, or a procedure that gives them by a cursor."""
        return self._opened(
            lambda connection: open_rows(connection, statement, parameters, batch_rows),
            read_only=read_only,
        )

    def copy_text(
        self,
        statement: str,
        parameters: Parameters = None,
        *,
        options: CopyOptions,
        read_only: bool = True,
    ) -> AbstractContextManager[Iterator[bytes]]:
        """The rows of a query as CSV, in blocks of about a megabyte, as PostgreSQL writes it."""
        return self._opened(
            lambda connection: open_text(connection, statement, parameters, options),
            read_only=read_only,
        )

    @contextmanager
    def _opened(
        self, begin: Callable[[psycopg.Connection], _T], *, read_only: bool
    ) -> Iterator[_T]:
        """What ``begin`` makes of a connection in one snapshot. Beginning is tried again."""

        def attempt(number: int) -> tuple[AbstractContextManager[psycopg.Connection], Any, _T]:
            lent = self._pool.connection(fresh=number > 0)
            connection = lent.__enter__()
            try:
                return lent, connection, _in_snapshot(connection, begin, read_only=read_only)
            except BaseException:
                connection.close()
                lent.__exit__(None, None, None)
                raise

        lent, connection, begun = self._again(attempt, MAX_RETRIES)
        try:
            yield begun
            self._end_snapshot(connection, read_only=read_only)
        finally:
            _leave(connection)
            lent.__exit__(None, None, None)

    def _end_snapshot(self, connection: psycopg.Connection, *, read_only: bool) -> None:
        """Commit what a function wrote, where its rows were read to their end."""
        from psycopg.pq import TransactionStatus

        if not read_only and connection.info.transaction_status == TransactionStatus.INTRANS:
            commit(connection, self.was_committed)


@contextmanager
def _as_it_was(connection: psycopg.Connection) -> Iterator[None]:
    """Somebody's own connection keeps its setting of autocommit."""
    autocommit = connection.autocommit
    try:
        yield
    finally:
        if not connection.closed:
            connection.set_autocommit(autocommit)


def _in_snapshot(
    connection: psycopg.Connection,
    begin: Callable[[psycopg.Connection], _T],
    *,
    read_only: bool,
) -> _T:
    """https://www.postgresql.org/docs/current/transaction-iso.html#XACT-REPEATABLE-READ"""
    import psycopg

    try:
        connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        connection.set_read_only(read_only)
        return begin(connection)
    except psycopg.Error as error:
        raise told(error, connection) from error


def _leave(connection: psycopg.Connection) -> None:
    """Back to how it was; a connection in the middle of a COPY is closed, which ends the COPY."""
    from psycopg.pq import TransactionStatus

    status = connection.info.transaction_status
    if status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
        roll_back(connection)
    elif status != TransactionStatus.IDLE:
        connection.close()
    if not connection.closed:
        connection.set_isolation_level(None)
        connection.set_read_only(None)
