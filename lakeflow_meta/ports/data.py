"""The data plane: SQL, Delta tables, and files that become rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lakeflow_meta.control.rows import Row
    from lakeflow_meta.ingest.batch import Batch, BatchCounts
    from lakeflow_meta.ingest.files import Digests, FoundFile
    from lakeflow_meta.ingest.source import FileSource
    from lakeflow_meta.names import TableName
    from lakeflow_meta.schema.live import TableState


class SqlSession(Protocol):
    """Runs SQL on the data plane (Spark, or a SQL warehouse)."""

    def execute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Run one statement; its rows, if it has any. Raises BackendError."""


class TableReader(Protocol):
    """Reads what Delta tables look like now, without touching their data."""

    def describe(self, tables: Iterable[TableName]) -> Mapping[TableName, TableState]:
        """What stands at each name: a `LiveTable`, None where a table may be created, or
        `Unreadable` (its schema is missing, it is no Delta table, a type is unknown), which
        concerns that table alone. Raises BackendError when nothing can be read at all.
        """

    def tables_of(self, catalog: str, schema: str) -> list[TableName]:
        """Every table and view of a schema, by name. Raises NotFoundError, BackendError."""

    def stamps(self, tables: Iterable[TableName]) -> Mapping[TableName, int]:
        """A number for each table or view that is there, cheaper than `describe`: the same number
        means that `describe` tells the same as before. Names that are not there, or whose state
        cannot be told so cheaply, are left out. Raises BackendError as `describe`.
        """


class FileLister(Protocol):
    """Finds files and reads their bytes, wherever they lie."""

    def list_files(self, source: FileSource) -> list[FoundFile]:
        """Every file that the source names. Raises NotFoundError, BackendError."""

    def stat(self, paths: Iterable[str]) -> Mapping[str, FoundFile]:
        """Files as they are now; those that are gone are left out."""

    def digest(self, files: Sequence[FoundFile]) -> Digests:
        """SHA-256 of each file's bytes, read as a stream."""


class BatchLoader(Protocol):
    """Appends one batch of files to one Delta table, exactly once."""

    def committed_version(self, table: TableName, app_id: str) -> int | None:
        """The highest transaction version that ``table`` holds for ``app_id``, None if none."""

    def recount(self, batch: Batch) -> BatchCounts | None:
        """What the commit of this very batch holds; None when there is no such commit.

        Raises BackendError where that can no longer be told.
        """

    def load(self, batch: Batch) -> BatchCounts:
        """Append the batch as one transaction, or find that it was committed before.

        Raises BadFilesError (nothing was written; the files that are to blame), FencedOutError
        (the target holds a later version of the lane: this one can never be committed),
        BackendError.
        """

    def probe(self, batch: Batch) -> Mapping[str, str]:
        """Read every file of the batch without writing; why each bad one cannot be loaded."""
