"""A `ControlStore` in memory, with faults on demand. The contract suite runs on it too."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakeflow_meta.control.arrow import arrow_schema
from lakeflow_meta.control.row_changes import RowChange, compare_rows
from lakeflow_meta.control.tables import TableLayout
from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Clock, Commit, MergeResult, Row, utc_now
from lakeflow_meta.testing.faults import Faulty

if TYPE_CHECKING:
    from lakeflow_meta.control.sql.checked_query import CheckedQuery
    from lakeflow_meta.control.sql.row_edits import CheckEdits


@dataclass(slots=True)
class _Table:
    layout: TableLayout
    versions: list[tuple[Row, ...]]
    commits: list[Commit] = field(default_factory=list)


class FakeStore(Faulty):
    """Every version of every table is kept as a tuple of rows; one lock makes calls atomic.

    ``calls`` counts the calls of each method.
    """

    def __init__(self, clock: Clock = utc_now) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.RLock()
        self._tables: dict[str, _Table] = {}
        self.calls: Counter[str] = Counter()

    # --- tables

    def ensure(self, table: TableName, layout: TableLayout) -> bool:
        """Create the table when it is absent; add columns that a newer layout has."""
        with self._call("ensure"):
            found = self._tables.get(table.key)
            if found is not None and found.layout == layout:
                return False
            rows = found.versions[-1] if found else ()
            versions = found.versions if found else []
            commits = found.commits if found else []
            kept = self._tables[table.key] = _Table(layout, versions, commits)
            self._commit(kept, rows, "CREATE TABLE" if found is None else "ADD COLUMNS", None)
            return True

    def version(self, table: TableName) -> int | None:
        """The current version, None when there is no such table."""
        with self._call("version"):
            found = self._tables.get(table.key)
            return None if found is None else len(found.versions) - 1

    def history(self, table: TableName) -> list[Commit]:
        """All commits, oldest first."""
        with self._call("history"):
            return list(self._table(table).commits)

    def read(
        self,
        table: TableName,
        *,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        version: int | None = None,
    ) -> pa.Table:
        """Rows now, or as of a version."""
        with self._call("read"):
            found = self._table(table)
            if version is not None and not 0 <= version < len(found.versions):
                raise NotFoundError(f"version {version} of {table} does not exist")
            rows = found.versions[-1 if version is None else version]
            chosen = [row for row in rows if _matches(row, where or {})]
            whole = pa.Table.from_pylist(chosen, schema=arrow_schema(found.layout))
            return whole.select(list(columns)) if columns else whole

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
        """Rows whose content differs between two versions."""
        with self._call("changed_rows"):
            before = self.read(table, where=where, version=since).to_pylist()
            after = self.read(table, where=where, version=until).to_pylist()
            return compare_rows(before, after, keys, ignore)

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
        with self._call("merge"):
            found = self._table(table)
            offered = _by_key(table, [_checked(table, found, row) for row in rows], keys)
            if any(row.keys() != rows[0].keys() for row in rows):
                raise ValueError(f"{table}: all rows of a merge name the same columns")
            merge = _Merge(offered, keys, frozenset(insert_only), frozenset(touch), fence, insert)
            merged = merge.apply(found.versions[-1], scope, found.layout.names)
            if merge.changed:
                self._commit(found, tuple(merged), "MERGE", note)
            return MergeResult(*merge.counts, version=len(found.versions) - 1)

    def append(
        self, table: TableName, rows: Sequence[Row], *, note: Mapping[str, str] | None = None
    ) -> None:
        """Add rows; columns that a row does not name become NULL."""
        with self._call("append"):
            found = self._table(table)
            named = found.layout.names
            added = [dict.fromkeys(named) | _checked(table, found, row) for row in rows]
            if added:
                self._commit(found, (*found.versions[-1], *added), "WRITE", note)

    def select(self, query: CheckedQuery, tables: Mapping[str, TableName]) -> pa.Table:
        """Run a checked query, by the engine of the local store."""
        from lakeflow_meta.backends.sqlite_queries import answer

        with self._call("select"):
            return answer(query, {name: self._rows(tables[name]) for name in query.tables})

    def change(
        self,
        table: TableName,
        query: CheckedQuery,
        tables: Mapping[str, TableName],
        *,
        check: CheckEdits,
        note: Mapping[str, str] | None = None,
    ) -> int:
        """Work out edits of single rows, check and write them; see `ControlStore.change`."""
        from lakeflow_meta.backends.sqlite_queries import answer
        from lakeflow_meta.control.sql.checked_query import ROW, TARGET
        from lakeflow_meta.control.sql.row_edits import edited_rows, read_edits

        with self._call("change"):
            found = self._table(table)
            rows = self._rows(table)
            given = {TARGET: rows.append_column(ROW, pa.array(range(rows.num_rows), pa.int64()))}
            given |= {name: self._rows(tables[name]) for name in query.tables if name in tables}
            edits = read_edits(answer(query, given).to_pylist())
            check(edits)
            if edits:
                edited = edited_rows(found.versions[-1], edits, found.layout.names)
                self._commit(found, tuple(edited), "MERGE", note)
            return len(edits)

    def _rows(self, table: TableName) -> pa.Table:
        found = self._table(table)
        return pa.Table.from_pylist(list(found.versions[-1]), schema=arrow_schema(found.layout))

    # --- inside

    def _table(self, table: TableName) -> _Table:
        try:
            return self._tables[table.key]
        except KeyError:
            raise NotFoundError(f"{table} does not exist", code="TABLE_NOT_FOUND") from None

    def _commit(
        self, table: _Table, rows: tuple[Row, ...], operation: str, note: Mapping[str, str] | None
    ) -> None:
        table.versions.append(rows)
        at = max([self._clock(), *(commit.at for commit in table.commits[-1:])])
        table.commits.append(Commit(len(table.versions) - 1, at, operation, dict(note or {})))

    @contextmanager
    def _call(self, method: str) -> Iterator[None]:
        """One call: takes the lock, counts, and raises the faults that were asked for."""
        with self._lock:
            self.calls[method] += 1
            with self._faults_of(method):
                yield


class _Merge:
    """One merge over the rows of one version."""

    def __init__(
        self,
        offered: dict[tuple[Any, ...], Row],
        keys: Sequence[str],
        insert_only: frozenset[str],
        touch: frozenset[str],
        fence: str | None,
        insert: bool,
    ) -> None:
        self._offered = offered
        self._insert = insert
        self._keys = tuple(keys)
        self._insert_only = insert_only
        self._touch = touch
        self._fence = fence
        self._inserted = self._updated = self._removed = 0

    @property
    def counts(self) -> tuple[int, int, int]:
        return self._inserted, self._updated, self._removed

    @property
    def changed(self) -> bool:
        return any(self.counts)

    def apply(
        self, rows: Sequence[Row], scope: Mapping[str, Any] | None, names: Sequence[str]
    ) -> list[Row]:
        waiting = dict(self._offered)
        result: list[Row] = []
        for row in rows:
            offer = waiting.pop(_key(row, self._keys), None)
            if offer is not None:
                result.append(self._updated_row(row, offer))
            elif scope is not None and _matches(row, scope):
                self._removed += 1
            else:
                result.append(row)
        if not self._insert:
            return result
        self._inserted = len(waiting)
        return [*result, *(dict.fromkeys(names) | offer for offer in waiting.values())]

    def _updated_row(self, row: Row, offer: Row) -> Row:
        written = {n: v for n, v in offer.items() if n not in self._insert_only}
        if self._fence is not None:
            wins = row[self._fence] == offer[self._fence] - 1
        else:
            wins = any(row[n] != v for n, v in written.items() if n not in self._touch)
        if not wins:
            return row
        self._updated += 1
        return {**row, **written}


def _checked(table: TableName, found: _Table, row: Row) -> Row:
    """A private copy in UTC; refuses unknown columns and times without a zone."""
    unknown = set(row) - set(found.layout.names)
    if unknown:
        raise ValueError(f"{table} has no column {', '.join(sorted(unknown))}")
    return {name: _utc(name, value) for name, value in row.items()}


def _utc(name: str, value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise ValueError(f"column {name} holds a timestamp without a time zone")
    return value.astimezone(UTC)


def _key(row: Row, keys: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row[name] for name in keys)


def _by_key(
    table: TableName, rows: Sequence[Row], keys: Sequence[str]
) -> dict[tuple[Any, ...], Row]:
    offered: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        if _key(row, keys) in offered:
            raise BackendError(f"{table}: two offered rows have the key {_key(row, keys)}")
        offered[_key(row, keys)] = row
    return offered


def _matches(row: Row, where: Mapping[str, Any]) -> bool:
    for name, wanted in where.items():
        values = wanted if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
        if row[name] not in values:
            return False
    return True
