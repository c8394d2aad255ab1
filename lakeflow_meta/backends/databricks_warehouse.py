"""`Warehouse` on a Databricks SQL warehouse, or whatever else runs Databricks' SQL.

A statement that writes is sent at most once; what failed as a whole, and may pass, is tried again.
There are no connections: what `connect` gives is the warehouse itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import pyarrow as pa

from lakeflow_meta.backends.script_sessions import SqlScriptSession
from lakeflow_meta.backends.sql_session import RunSqlSession
from lakeflow_meta.backends.sql_store import RunSql
from lakeflow_meta.errors import BackendError, ConfigError, NotFoundError
from lakeflow_meta.ports import Answer, CopyOptions, Parameters, Row, RowStream, Sleep, WriteMode
from lakeflow_meta.warehouse.dialects import Dialect
from lakeflow_meta.warehouse.retries import MAX_RETRIES, tried_again

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

_COUNT = "num_affected_rows"


@runtime_checkable
class StreamSql(Protocol):
    """A `RunSql` that gives a result in parts."""

    def stream(
        self, statement: str, parameters: Mapping[str, Any] | None = None
    ) -> tuple[pa.Schema, Iterator[pa.Table]]:
        """Columns, and rows part by part. Raises BackendError."""


class DatabricksWarehouse:
    """SQL through ``run``. Threads may share it."""

    dialect = Dialect.DATABRICKS

    def __init__(self, run: RunSql, *, sleep: Sleep = time.sleep) -> None:
        self._run = run
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"DatabricksWarehouse({type(self._run).__name__})"

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
        connection: object = None,
    ) -> Answer:
        """Run a statement; ``connection`` says nothing here. Raises BackendError, ConfigError."""
        del connection
        values = _named(parameters)
        send = self._run.query if _only_reads(statement) else self._run.change
        try:
            table = tried_again(lambda _number: send(statement, values), max_retries, self._sleep)
        except ValueError as error:  # of a value that cannot be bound
            raise ConfigError(str(error)) from error
        if not table.num_columns:
            return Answer(None, 0)
        if _COUNT in table.column_names:
            return Answer(table, int(table.column(_COUNT)[0].as_py() or 0))
        return Answer(table, 0)

    def connect(self) -> Self:
        """The warehouse itself, for code that asks for a connection."""
        return self

    def script_session(self) -> SqlScriptSession:
        """Statements of a script; each is a session of its own."""
        return SqlScriptSession(RunSqlSession(self._run))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held."""

    @contextmanager
    def stream(
        self,
        statement: str,
        parameters: Parameters = None,
        *,
        batch_rows: int = 65_536,
        read_only: bool = True,
    ) -> Iterator[RowStream]:
        """Rows of a query, part by part where the result comes in parts.

        ``read_only`` changes nothing: a statement is one snapshot, and is committed as it ends.
        """
        values = _named(parameters)
        if read_only and isinstance(self._run, StreamSql):
            run = self._run
            schema, tables = tried_again(
                lambda _number: run.stream(statement, values), MAX_RETRIES, self._sleep
            )
        else:
            table = self.run(statement, values).table
            schema, tables = (
                (pa.schema([]), iter([])) if table is None else (table.schema, iter([table]))
            )
        yield _Parts(schema, tables, batch_rows)

    def copy_text(
        self,
        statement: str,
        parameters: Parameters = None,
        *,
        options: CopyOptions,
        read_only: bool = True,
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Not on Databricks."""
        del statement, parameters, options, read_only
        raise ConfigError("Databricks has no COPY to the client; read rows with stream()")

    def write(self, schema: str, table: str, data: pa.Table, mode: WriteMode) -> int:
        """Not on Databricks."""
        del data, mode
        raise ConfigError(
            f"{schema}.{table}: rows of this machine are not written to a SQL warehouse;"
            " put them into a volume and ingest the files, or insert them by SQL"
        )


def warehouse_state(client: WorkspaceClient, warehouse_id: str) -> str:
    """What the workspace says of a SQL warehouse, without starting it.

    Raises NotFoundError, BackendError.
    """
    from databricks.sdk.errors import DatabricksError, NotFound

    try:
        found = client.warehouses.get(warehouse_id)
    except NotFound as error:
        raise NotFoundError(f"there is no SQL warehouse {warehouse_id}", code="NotFound") from error
    except (DatabricksError, OSError) as error:
        raise BackendError(str(error), code=type(error).__name__) from error
    state = found.state.value if found.state else "unknown"
    return f"SQL warehouse {found.name} ({warehouse_id}), {state}"


class _Parts:
    """A `RowStream` on tables."""

    def __init__(self, schema: pa.Schema, tables: Iterator[pa.Table], batch_rows: int) -> None:
        self.schema = schema
        self._tables = tables
        self._batch_rows = batch_rows

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for table in self._tables:
            yield from table.to_batches(max_chunksize=self._batch_rows)


def _named(parameters: Parameters) -> Mapping[str, Any] | None:
    if not parameters:
        return None
    if not isinstance(parameters, Mapping):
        raise ConfigError("Databricks takes values by name: write :name, and give a mapping")
    return parameters


def _only_reads(statement: str) -> bool:
    """Whether a statement may be sent again if its answer is lost. What is not understood may
    write.
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        trees = sqlglot.parse(statement, read=Dialect.DATABRICKS)
    except SqlglotError:
        return False
    return bool(trees) and all(isinstance(tree, exp.Query) for tree in trees)
