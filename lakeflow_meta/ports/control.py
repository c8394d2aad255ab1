"""Control tables, and the folders of metadata files that fill them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeflow_meta.control.row_changes import RowChange
    from lakeflow_meta.control.rows import Row
    from lakeflow_meta.control.sql.checked_query import CheckedQuery
    from lakeflow_meta.control.sql.row_edits import CheckEdits
    from lakeflow_meta.control.tables import TableLayout
    from lakeflow_meta.control.watched_files import WatchedFile
    from lakeflow_meta.names import TableName


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What one `ControlStore.merge` did. ``version`` is the table version afterwards."""

    inserted: int = 0
    updated: int = 0
    removed: int = 0
    version: int = 0

    @property
    def changed(self) -> bool:
        """Whether a commit was made."""
        return bool(self.inserted or self.updated or self.removed)


@dataclass(frozen=True, slots=True)
class Commit:
    """One entry of a table's history. ``metadata`` is what the writer left in the commit."""

    version: int
    at: datetime
    operation: str
    metadata: Mapping[str, str] = field(default_factory=dict)


class ControlStore(Protocol):
    """Keeper of control tables: Delta tables, read and written row by row.

    ``table`` is a full name, ``catalog.schema.table``. Every write is one transaction. Concurrent
    writers are retried inside; what still cannot be written raises ConflictError (somebody was
    first) or BackendError (refused). Reading a table that does not exist raises NotFoundError.
    """

    def ensure(self, table: TableName, layout: TableLayout) -> bool:
        """Create the table when it is absent, add missing trailing columns; True if it wrote."""

    def version(self, table: TableName) -> int | None:
        """The current version, None when there is no such table. Cheap: no data is read."""

    def read(
        self,
        table: TableName,
        *,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        version: int | None = None,
    ) -> pa.Table:
        """Rows now, or as of a version; ``where`` maps columns to a value or a list of values."""

    def merge(
        self,
        table: TableName,
        rows: Sequence[Row],
        *,
        keys: Sequence[str],
        insert_only: Sequence[str] = (),
        touch: Sequence[str] = (),
        scope: Mapping[str, Any] | None = None,
        fence: str | None = None,
        insert: bool = True,
        note: Mapping[str, str] | None = None,
    ) -> MergeResult:
        """Insert rows with new ``keys``, update rows that differ, in one transaction.

        All rows name the same columns. ``insert_only`` columns keep their value on update,
        ``touch`` columns are written on update but are no difference by themselves. With
        ``scope`` (columns to a value or a list of values; ``{}`` is the whole table) rows inside
        it that are not among ``rows`` are removed. With ``fence`` (an integer column) a row is
        updated only where the recorded one carries exactly its fence minus 1, so that of two
        writers who saw the same state one wins; a first insert has no recorded fence. Without
        ``insert`` rows whose keys are not recorded are left out.
        ``note`` is left in the commit (actor, verb). Nothing to do makes no version.
        """

    def append(
        self, table: TableName, rows: Sequence[Row], *, note: Mapping[str, str] | None = None
    ) -> None:
        """Add rows; columns that a row does not name become NULL."""

    def select(self, query: CheckedQuery, tables: Mapping[str, TableName]) -> pa.Table:
        """Run a checked query; ``tables`` says which table each name in it stands for.

        The columns of the result have the query's names. Raises BackendError for a value that has
        no result, such as a CAST of a text that is no number.
        """

    def change(
        self,
        table: TableName,
        query: CheckedQuery,
        tables: Mapping[str, TableName],
        *,
        check: CheckEdits,
        note: Mapping[str, str] | None = None,
    ) -> int:
        """Work out the edits of single rows, check them, and write them; the number of rows.

        ``query`` gives the edits (`control.sql.row_edits`); ``check`` sees them before anything is
        written, and again when another writer was first. What is written is what was checked, in
        one transaction, and only while each row is as the query saw it. No edits make no version.
        """

    def history(self, table: TableName) -> list[Commit]:
        """All known commits, oldest first."""

    def changed_rows(
        self,
        table: TableName,
        since: int,
        *,
        keys: Sequence[str],
        ignore: Iterable[str] = (),
        where: Mapping[str, Any] | None = None,
        until: int | None = None,
    ) -> list[RowChange]:
        """Rows whose content differs between version ``since`` and ``until`` (now), by key.

        Columns named by ``ignore`` are no difference and not in the result. Commits that change
        no content (compaction, vacuum, a row written again) give nothing. Raises NotFoundError
        when a version does not exist or can no longer be read.
        """


class WatchedFolder(Protocol):
    """A folder of metadata files, wherever it lies. Files in hidden folders are left out."""

    def list_files(self) -> list[WatchedFile]:
        """Every file below the folder, as it is now. Raises NotFoundError, BackendError."""

    def read_file(self, name: str) -> bytes:
        """One file's bytes, by its path below the folder. Raises NotFoundError, BackendError."""


class PathKind(StrEnum):
    """What lies at a path."""

    FOLDER = "folder"
    FILE = "file"
    MISSING = "missing"


class MetadataFolder(WatchedFolder, Protocol):
    """A path of metadata as people name it. Where it is no folder, only `kind` is of use."""

    @property
    def at_once(self) -> int:
        """How many files may be read at the same time, from as many threads."""

    def kind(self) -> PathKind:
        """What lies at the path now. Raises BackendError."""
