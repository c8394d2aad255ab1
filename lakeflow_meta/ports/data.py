"""The data plane: SQL, Delta tables, and files that become rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lakeflow_meta.control.rows import Row
    from lakeflow_meta.ingest.batch import Batch, BatchCounts
    from lakeflow_meta.ingest.files import Digests, FoundFile, HashedFile
    from lakeflow_meta.ingest.listing import FileListing
    from lakeflow_meta.ingest.source import FileSource
    from lakeflow_meta.ingest.target_state import TargetState
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

    def known_as(self, path: str) -> str:
        """The one name of a path that people wrote. Raises ConfigError."""

    def is_folder(self, path: str) -> bool:
        """Whether a path that people wrote is a folder. Raises ConfigError."""

    def list_files(self, source: FileSource) -> FileListing:
        """Every file that the source names, but what lies in its archive.

        Raises NotFoundError, BackendError; also where only a part of it can be listed.
        """

    def stat(self, paths: Iterable[str]) -> Mapping[str, FoundFile]:
        """Files as they are now; those that are gone are left out."""

    def digest(self, files: Sequence[FoundFile]) -> Digests:
        """SHA-256 of each file's bytes, read as a stream."""

    def put_away(self, source: FileSource, files: Sequence[HashedFile]) -> Mapping[str, str]:
        """Archive or delete files, as the source says; what stays where it is, and why, by path.

        A file that is no longer as given stays; one that is gone is gone. In the archive nothing
        is ever overwritten.
        """


class BatchLoader(Protocol):
    """Writes batches of files to Delta tables, each exactly once, as their sources say."""

    def target_state(self, table: TableName, app_ids: Collection[str]) -> TargetState:
        """What the table is now, and the highest transaction version of each application."""

    def committed_version(self, table: TableName, app_id: str) -> int | None:
        """The highest transaction version that ``table`` holds for ``app_id``, None if none."""

    def recount(self, batch: Batch) -> BatchCounts | None:
        """What the commit of this very batch holds; None when there is no such commit.

        What belongs to the commit and may be missing (rows for the quarantine) is made up for.
        Raises BackendError where it can no longer be told.
        """

    def load(self, batch: Batch) -> BatchCounts:
        """Write the batch as one transaction, or find that it was committed before.

        Raises BadFilesError (nothing was written; the files that are to blame), FencedOutError
        (the target holds a later version of the lane: this one can never be committed),
        BackendError.
        """

    def fence(self, batch: Batch) -> BatchCounts | None:
        """Make sure that nobody commits the batch any more; what it holds where somebody did.

        For a batch that was left behind and will not be written: who began it may be at work still.
        Raises BackendError.
        """

    def probe(self, batch: Batch) -> Mapping[str, str]:
        """Read every file of the batch without writing; why each bad one cannot be loaded."""
