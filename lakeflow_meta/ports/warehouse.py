"""The SQL database of a target: PostgreSQL, or a Databricks SQL warehouse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeflow_meta.control.rows import Row
    from lakeflow_meta.ports.scripts import ScriptSession

Parameters = Mapping[str, Any] | Sequence[Any] | None
"""Values of a statement. Of a mapping, ``:name`` in the statement stands for a value, on every
platform. A sequence is for ``%s``, as psycopg has it, and PostgreSQL's alone."""


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """How PostgreSQL writes CSV: https://www.postgresql.org/docs/current/sql-copy.html

    ``delimiter``, ``quote`` and ``escape`` are one character of one byte each. A value is quoted
    where it has to be, and where it is equal to ``null``; ``quote_all`` quotes every value that is
    not NULL. Lines end in a line feed.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str = '"'
    null: str = ""
    header: bool = False
    encoding: str = "UTF8"
    quote_all: bool = False


class WriteMode(StrEnum):
    """What becomes of a table that is there when one is written."""

    OVERWRITE = "overwrite"
    APPEND = "append"
    ERROR = "error"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one statement brought: rows, where it has columns, and how many rows it changed."""

    table: pa.Table | None
    changed: int


class RowStream(Protocol):
    """Rows of one statement as they come, from one consistent snapshot, in constant memory."""

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns, known before the first row."""

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """The rows, once. Raises BackendError where they end before their end."""


class Warehouse(Protocol):
    """Runs SQL. Every statement is a transaction of its own, and is never carried out twice.

    Raises NotFoundError (a table, schema or database that is not there), BackendError (``code`` is
    the SQLSTATE or the error condition), ConfigError. What may pass is tried again.
    """

    @property
    def dialect(self) -> str:
        """Of the statements it takes: a `warehouse.dialects.Dialect`."""

    def query(self, statement: str, parameters: Parameters = None) -> list[Row]:
        """Run a statement; its rows."""

    def execute(self, statement: str, parameters: Parameters = None) -> int:
        """Run a statement; how many rows it changed, 0 where that means nothing."""

    def stream(
        self,
        statement: str,
        parameters: Parameters = None,
        *,
        batch_rows: int = 65_536,
        read_only: bool = True,
    ) -> AbstractContextManager[RowStream]:
        """Run a statement and read its rows in batches of at most ``batch_rows``.

        ``read_only=False`` is for functions and procedures that also write: what they wrote is
        committed when the context ends without an error, and then only.
        """

    def copy_text(
        self,
        statement: str,
        parameters: Parameters = None,
        *,
        options: CopyOptions,
        read_only: bool = True,
    ) -> AbstractContextManager[Iterator[bytes]]:
        """The rows of a query as CSV, in blocks of about a megabyte, as PostgreSQL writes it.

        Times are in UTC, intervals in ISO 8601. Raises ConfigError where the platform has no COPY.
        """


class InteractiveWarehouse(Warehouse, Protocol):
    """What people use by hand, on top of `Warehouse`."""

    def run(
        self,
        statement: str,
        parameters: Parameters = None,
        *,
        max_retries: int = 3,
        connection: Any = None,
    ) -> Answer:
        """Run a statement, on a connection of `connect` if one is given."""

    def connect(self) -> Any:
        """A connection of the caller's own, who closes it."""

    def script_session(self) -> ScriptSession:
        """A session of a DDL script's own."""

    def write(self, schema: str, table: str, data: pa.Table, mode: WriteMode) -> int:
        """Write all rows of a table in one transaction; how many."""

    def close(self) -> None:
        """Give back what is held; it may be used again."""
