"""`ControlStore` on delta-rs: control tables in a directory or object store, without a JVM.

A table ``c.s.t`` lives at ``<root>/c/s/t``, so an embedded Spark session over the same root reads
it by the same name. Every write opens the newest version, commits once, and after a lost race
reads again and repeats. delta-rs raises one class for "somebody was first" and for "refused";
the two are told apart by whether the table moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from tenacity import RetryError, Retrying, retry_if_exception_type
from tenacity.stop import stop_after_delay
from tenacity.wait import wait_random_exponential

from lakeflow_meta.arrow_values import array_of, rows_of
from lakeflow_meta.backends.deltars_edits import write_edits
from lakeflow_meta.backends.deltars_maintenance import Maintenance, maintain, maintain_quietly
from lakeflow_meta.backends.deltars_versions import changed_rows, is_whole, plain
from lakeflow_meta.backends.offered_rows import check_zones, refuse_duplicates
from lakeflow_meta.control.arrow import TYPES, arrow_schema
from lakeflow_meta.control.row_changes import RowChange
from lakeflow_meta.control.sql.row_edits import CheckEdits, read_edits
from lakeflow_meta.control.tables import LAYOUT_VERSION, LayoutColumn, TableLayout
from lakeflow_meta.errors import BackendError, ConflictError, NotFoundError
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Commit, MergeResult, Row
from lakeflow_meta.sql import (
    datafusion_differs,
    datafusion_ident,
    datafusion_same,
    datafusion_where,
)

if TYPE_CHECKING:
    from lakeflow_meta.control.sql.checked_query import CheckedQuery

_T = TypeVar("_T")

_RETRY_SECONDS = 60.0
_CHECKPOINT_INTERVAL = 20
_COMMIT_KEYS = {"timestamp", "operation", "operationParameters", "operationMetrics", "version"}


class _LostRaceError(Exception):
    """Somebody else committed first; the write is repeated on the new version."""


class DeltaRsStore:
    """Control tables under one root: a local directory or an object-store URI."""

    def __init__(
        self,
        root: Path | str,
        *,
        storage_options: Mapping[str, str] | None = None,
        retry_seconds: float = _RETRY_SECONDS,
        maintenance: Maintenance | None = None,
    ) -> None:
        self._root = str(root).rstrip("/")
        self._storage_options = dict(storage_options or {})
        self._retry_seconds = retry_seconds
        self.upkeep = maintenance or Maintenance()

    # --- tables

    def ensure(self, table: TableName, layout: TableLayout) -> bool:
        """Create the table when it is absent, add missing trailing columns; True if it wrote."""
        found = self._find(table)
        if found is None:
            return self._create(table, layout)
        present = {field.name.lower() for field in found.schema().fields}
        missing = [c for c in layout.columns if c.name.lower() not in present]
        if not missing:
            return False
        fields = [_delta_field(column) for column in missing]
        self._write(table, lambda handle: handle.alter.add_columns(fields))
        return True

    def _create(self, table: TableName, layout: TableLayout) -> bool:
        try:
            DeltaTable.create(
                self._uri(table),
                arrow_schema(layout),
                name=table.name,
                description=layout.comment,
                configuration={
                    "delta.checkpointInterval": str(_CHECKPOINT_INTERVAL),
                    "lakeflow_meta.layout": str(LAYOUT_VERSION),
                    **self.upkeep.table_properties(),
                },
                storage_options=self._storage_options or None,
                raise_if_key_not_exists=False,
            )
        except (DeltaError, OSError) as error:
            if self._find(table) is not None:
                return False
            raise _refused(table, error) from error
        return True

    def version(self, table: TableName) -> int | None:
        """The current version, None when there is no such table."""
        found = self._find(table)
        return None if found is None else found.version()

    def history(self, table: TableName) -> list[Commit]:
        """All known commits, oldest first; times never run backwards."""
        commits: list[Commit] = []
        last = datetime.fromtimestamp(0, UTC)
        for entry in reversed(self._open(table).history()):
            last = max(last, datetime.fromtimestamp(entry["timestamp"] / 1000, UTC))
            note = {k: str(v) for k, v in entry.items() if k not in _COMMIT_KEYS}
            commits.append(Commit(entry["version"], last, entry["operation"], note))
        return commits

    # --- reading

    def read(
        self,
        table: TableName,
        *,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        version: int | None = None,
    ) -> pa.Table:
        """Rows now, or as of a version."""
        handle = self._open(table, version)
        predicate = datafusion_where(where) if where else None
        try:
            reader = handle.scan(columns=list(columns) if columns else None, predicate=predicate)
            return plain(pa.RecordBatchReader.from_stream(reader).read_all())
        except (DeltaError, OSError, ValueError) as error:
            raise self._unread(table, (handle,), error) from error

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
        """Rows that differ between two versions; see `ControlStore.changed_rows`."""
        versions = self._open(table, since), self._open(table, until)
        try:
            return changed_rows(*versions, keys=keys, ignore=ignore, where=where)
        except Exception as error:  # the query engine raises plain Exception for a missing file
            raise self._unread(table, versions, error) from error

    def maintain(self, table: TableName) -> None:
        """Compact, checkpoint and vacuum now. Raises ConflictError when a writer was first."""
        try:
            maintain(table, lambda version: self._open(table, version), self.upkeep)
        except CommitFailedError as error:
            raise ConflictError(f"{table}: upkeep gave way to other writers") from error
        except (DeltaError, OSError) as error:
            raise _refused(table, error) from error

    def select(self, query: CheckedQuery, tables: Mapping[str, TableName]) -> pa.Table:
        """Run a checked query; ``tables`` says which table each name in it stands for."""
        from lakeflow_meta.backends.sqlite_queries import answer

        handles = {name: self._open(tables[name]) for name in query.tables}
        return answer(query, {n: self._columns(h, query, tables[n]) for n, h in handles.items()})

    def _columns(self, handle: DeltaTable, query: CheckedQuery, table: TableName) -> pa.Table:
        """The columns that a query may name, of all rows."""
        every = [field.name for field in handle.schema().fields]
        names = [name for name in every if name in query.column_names] or every[:1]
        try:
            reader = handle.scan(columns=names)
            return plain(pa.RecordBatchReader.from_stream(reader).read_all().select(names))
        except (DeltaError, OSError, ValueError) as error:
            raise self._unread(table, (handle,), error) from error

    # --- writing

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
        """Insert, update and remove in one transaction; see `ControlStore.merge`."""
        if not rows and scope is None:
            return MergeResult(version=self._open(table).version())
        named = list(rows[0]) if rows else list(keys)
        if any(row.keys() != rows[0].keys() for row in rows):
            raise ValueError(f"{table}: all rows of a merge name the same columns")
        refuse_duplicates(table, rows, keys)

        def write(handle: DeltaTable) -> MergeResult:
            source = _rows_to_arrow(handle, rows, named)
            merger = handle.merge(
                source,
                predicate=datafusion_same(keys, "t", "s"),
                source_alias="s",
                target_alias="t",
                commit_properties=_commit(note),
            )
            written = [c for c in named if c not in keys and c not in insert_only]
            compared = [c for c in written if c not in touch and c != fence]
            if written and rows:
                merger = merger.when_matched_update(
                    _assignments(written), predicate=_update_condition(compared, fence)
                )
            if rows and insert:
                merger = merger.when_not_matched_insert(_assignments(named))
            if scope is not None:
                merger = merger.when_not_matched_by_source_delete(datafusion_where(scope, "t"))
            metrics = merger.execute()
            return MergeResult(
                inserted=metrics["num_target_rows_inserted"],
                updated=metrics["num_target_rows_updated"],
                removed=metrics["num_target_rows_deleted"],
                version=handle.version(),
            )

        return self._write(table, write)

    def append(
        self, table: TableName, rows: Sequence[Row], *, note: Mapping[str, str] | None = None
    ) -> None:
        """Add rows; columns that a row does not name become NULL."""
        if not rows:
            return

        def write(handle: DeltaTable) -> None:
            names = [field.name for field in handle.schema().fields]
            unknown = {name for row in rows for name in row} - set(names)
            if unknown:
                raise ValueError(f"{table} has no column {', '.join(sorted(unknown))}")
            data = _rows_to_arrow(handle, rows, names)
            write_deltalake(handle, data, mode="append", commit_properties=_commit(note))

        self._write(table, write)

    def change(
        self,
        table: TableName,
        query: CheckedQuery,
        tables: Mapping[str, TableName],
        *,
        check: CheckEdits,
        note: Mapping[str, str] | None = None,
    ) -> int:
        """Work out edits of single rows, check and write them; see `ControlStore.change`.

        All in one version of the table: after a lost race the query runs again on the new one.
        """
        from lakeflow_meta.backends.sqlite_queries import answer
        from lakeflow_meta.control.sql.checked_query import ROW, TARGET

        def write(handle: DeltaTable) -> int:
            rows = plain(pa.RecordBatchReader.from_stream(handle.scan()).read_all())
            given = {TARGET: rows.append_column(ROW, array_of(range(rows.num_rows), pa.int64()))}
            for name in query.tables:
                if name in tables:
                    whole = handle if tables[name] == table else self._open(tables[name])
                    given[name] = self._columns(whole, query, tables[name])
            edits = read_edits(rows_of(answer(query, given)))
            check(edits)
            return write_edits(handle, rows, edits, _commit(note)) if edits else 0

        return self._write(table, write)

    # --- inside

    def _uri(self, table: TableName) -> str:
        return "/".join((self._root, *table.key.split(".")))

    def _find(self, table: TableName) -> DeltaTable | None:
        try:
            return self._open(table)
        except NotFoundError:
            return None

    def _open(self, table: TableName, version: int | None = None) -> DeltaTable:
        options = self._storage_options or None
        try:
            return DeltaTable(self._uri(table), version=version, storage_options=options)
        except TableNotFoundError as error:
            what = f"{table}" if version is None else f"version {version} of {table}"
            raise NotFoundError(f"{what} does not exist", code="TABLE_NOT_FOUND") from error
        except (DeltaError, OSError) as error:
            if version is not None and self._find(table) is not None:
                raise _gone(table, version) from error
            raise _refused(table, error) from error

    def _unread(
        self, table: TableName, versions: Sequence[DeltaTable], error: Exception
    ) -> BackendError:
        """Why versions could not be read: one lost its files to a vacuum, or the store refused."""
        for handle in versions:
            if not is_whole(handle, self._storage_options):
                return _gone(table, handle.version())
        return _refused(table, error)

    def _write(self, table: TableName, write: Callable[[DeltaTable], _T]) -> _T:
        retrying = Retrying(
            retry=retry_if_exception_type(_LostRaceError),
            wait=wait_random_exponential(multiplier=0.02, max=1.0),
            stop=stop_after_delay(self._retry_seconds),
        )
        try:
            result: _T = retrying(self._attempt, table, write)
        except RetryError as error:
            raise ConflictError(
                f"{table}: other writers were first for {self._retry_seconds:.0f} seconds"
            ) from error
        return result

    def _attempt(self, table: TableName, write: Callable[[DeltaTable], _T]) -> _T:
        handle = self._open(table)
        seen = handle.version()
        try:
            result = write(handle)
        except CommitFailedError as error:
            if self._open(table).version() != seen:
                raise _LostRaceError from error
            raise _refused(table, error) from error
        except (DeltaError, OSError, pa.ArrowException) as error:
            raise _refused(table, error) from error
        if self.upkeep.is_due(seen, handle.version()):
            maintain_quietly(table, lambda version: self._open(table, version), self.upkeep)
        return result


def _delta_field(column: LayoutColumn) -> Any:
    from deltalake import Schema

    field = pa.field(column.name, TYPES[column.type], metadata={"comment": column.comment})
    return Schema.from_arrow(pa.schema([field])).fields[0]


def _rows_to_arrow(handle: DeltaTable, rows: Sequence[Row], names: Sequence[str]) -> pa.Table:
    """Rows in the types that the table has; a value that does not fit raises ArrowException."""
    types = {f.name: f for f in pa.schema(handle.schema().to_arrow())}
    schema = pa.schema([types[name] for name in names])
    return pa.table({n: _column(rows, n, schema.field(n).type) for n in names}, schema=schema)


def _column(rows: Sequence[Row], name: str, kind: pa.DataType) -> pa.Array:
    values = [row.get(name) for row in rows]
    if pa.types.is_timestamp(kind):
        check_zones((name, value) for value in values)
    return array_of(values, kind)


def _assignments(columns: Sequence[str]) -> dict[str, str]:
    return {datafusion_ident(c): datafusion_ident(c, "s") for c in columns}


def _update_condition(compared: Sequence[str], fence: str | None) -> str:
    differs = datafusion_differs(compared, "t", "s")
    if fence is None:
        return differs
    recorded, offered = datafusion_ident(fence, "t"), datafusion_ident(fence, "s")
    return f"({recorded} = {offered} - 1)"


def _commit(note: Mapping[str, str] | None) -> CommitProperties:
    return CommitProperties(custom_metadata=dict(note or {}))


def _gone(table: TableName, version: int) -> NotFoundError:
    return NotFoundError(f"version {version} of {table} can no longer be read", code="VERSION_GONE")


def _refused(table: TableName, error: Exception) -> BackendError:
    return BackendError(f"{table}: {error}", code=type(error).__name__)
