"""`ControlStore` through SQL: any "run this statement with these parameters" will do.

The same store serves a SparkSession (`spark_runner`) and a SQL warehouse (`statement_execution`).
A table that it writes is valid for `DeltaRsStore`, and the other way round. Each write is one
statement, so one Delta transaction; after a lost race it is repeated, told by error condition.
A write whose outcome is unknown (the connection broke) is never repeated here.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
from tenacity import RetryError, Retrying, retry_if_exception, retry_if_result
from tenacity.retry import retry_base
from tenacity.stop import stop_after_delay
from tenacity.wait import wait_random_exponential

from lakeflow_meta.backends.commit_notes import read_note
from lakeflow_meta.backends.offered_rows import check_zones, offer, plain, refuse_duplicates
from lakeflow_meta.backends.spark import LOST_RACE_CLASSES, TRANSIENT_CONDITIONS
from lakeflow_meta.backends.sql_edits import edit_rows, edit_schema, one_sentence, target_of
from lakeflow_meta.control.ddl import control_table
from lakeflow_meta.control.row_changes import RowChange, from_pairs
from lakeflow_meta.control.sql.row_edits import CheckEdits, read_edits
from lakeflow_meta.control.tables import TableLayout
from lakeflow_meta.errors import BackendError, ConflictError, NotFoundError
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Commit, MergeResult, Row, Sleep
from lakeflow_meta.sql_queries import change_rows, select_query
from lakeflow_meta.sql_rows import (
    Bound,
    Merge,
    Offer,
    TwoVersions,
    create_schema,
    history_of,
    insert_rows,
    select_rows,
    shape_of,
)
from lakeflow_meta.sql_tables import add_columns, create_table

if TYPE_CHECKING:
    from lakeflow_meta.control.sql.checked_query import CheckedQuery

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 120.0
_RECENT_COMMITS = 20
_LOST_RACES = (
    TRANSIENT_CONDITIONS
    | LOST_RACE_CLASSES
    | {
        "DELTA_SCHEMA_CHANGE_SINCE_ANALYSIS",
        "2D521",  # SQLSTATE of all conflicts, where a warehouse tells no condition
    }
)
_NO_SUCH_VERSION = frozenset(
    {
        "DELTA_VERSION_NOT_FOUND",
        "DELTA_FILE_NOT_FOUND",
        "DELTA_FILE_NOT_FOUND_DETAILED",
        "FAILED_READ_FILE",
    }
)
"""The log or a data file of that version is gone. VACUUM leaves the newest version whole."""


class RunSql(Protocol):
    """Runs one SQL statement with named parameters (text, bool, int, float, aware datetime).

    Raises NotFoundError, BackendError (``code`` is the error condition where there is one).
    """

    @property
    def most_bytes(self) -> int | None:
        """The largest statement with its parameters; None where there is no limit."""

    def query(self, statement: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Run a statement that writes nothing; its rows."""

    def change(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        note: Mapping[str, str] | None = None,
    ) -> pa.Table:
        """Run a statement that writes, at most once. ``note`` is for the commit, where possible."""


class SqlStore:
    """Control tables in a catalog that SQL reaches."""

    def __init__(
        self, run: RunSql, *, retry_seconds: float = _RETRY_SECONDS, sleep: Sleep = time.sleep
    ) -> None:
        self._run = run
        self._retry_seconds = retry_seconds
        self._sleep = sleep
        self._shapes: dict[str, pa.Schema] = {}

    # --- tables

    def ensure(self, table: TableName, layout: TableLayout) -> bool:
        """Create the table when it is absent, add missing trailing columns; True if it wrote."""
        found = self._find_shape(table)
        if found is None:
            return self._create(table, layout)
        missing = _missing(found, layout)
        if not missing:
            return False
        columns = [c for c in control_table(table, layout).columns if c.name in missing]
        added = Bound(add_columns(table, [((column.name,), column, "") for column in columns]))
        try:
            self._change(table, added, {})
        except BackendError:
            if _missing(self._read_shape(table), layout):
                raise
            return False  # somebody else added them at the same time
        self._shapes.pop(table.key, None)
        return True

    def _create(self, table: TableName, layout: TableLayout) -> bool:
        statement = create_table(control_table(table, layout))
        try:
            try:
                self._run.change(statement)
            except NotFoundError:
                self._run.change(create_schema(table))
                self._run.change(statement)
        except BackendError:
            if self._find_shape(table) is None:
                raise
            return False
        return True

    def version(self, table: TableName) -> int | None:
        """The current version, None when there is no such table."""
        try:
            return int(self._commits(table, 1)[0]["version"])
        except NotFoundError:
            return None

    def history(self, table: TableName) -> list[Commit]:
        """All known commits, oldest first; times never run backwards."""
        commits: list[Commit] = []
        last = datetime.fromtimestamp(0, UTC)
        for entry in reversed(self._commits(table)):
            last = max(last, entry["timestamp"])
            note = read_note(entry.get("userMetadata"))
            who = {k: entry[k] for k in ("userName", "engineInfo") if entry.get(k)}
            commits.append(Commit(int(entry["version"]), last, entry["operation"], {**who, **note}))
        return commits

    def _commits(self, table: TableName, limit: int | None = None) -> list[Row]:
        found: list[Row] = self._run.query(history_of(table, limit)).to_pylist()
        return found

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
        check_zones((where or {}).items())
        with _told_versions(table, version):
            return self._query(select_rows(table, columns, where, version))

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
        check_zones((where or {}).items())
        with _told_versions(table, since):
            old, new = (self._run.query(shape_of(table, v)).schema.names for v in (since, until))
            two = TwoVersions(table, since, until, old, new, keys, frozenset(ignore), where or {})
            columns = [c.to_pylist() for c in self._query(two.bound).columns]
        width = len(two.names) + 1
        sides = [
            (_side(values[:width], two.names), _side(values[width:], two.names))
            for values in zip(*columns, strict=True)
        ]
        return from_pairs(sides, keys)

    def select(self, query: CheckedQuery, tables: Mapping[str, TableName]) -> pa.Table:
        """Run a checked query; ``tables`` says which table each name in it stands for."""
        with one_sentence():
            return self._query(select_query(query, tables)).rename_columns(list(query.names))

    def _query(self, bound: Bound) -> pa.Table:
        self._check_size(bound)
        return plain(self._run.query(bound.text, bound.parameters))

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
            return MergeResult(version=self._present_version(table))
        if any(row.keys() != rows[0].keys() for row in rows):
            raise ValueError(f"{table}: all rows of a merge name the same columns")
        refuse_duplicates(table, rows, keys)
        check_zones((scope or {}).items())
        merge = Merge(
            table,
            self._offer(table, rows, list(rows[0]) if rows else list(keys)),
            not rows,
            keys,
            insert_only,
            touch,
            scope,
            fence,
            insert,
            mark=secrets.token_hex(8),
        )
        counts = self._change(table, merge.bound, note or {}).to_pylist()[0]
        result = MergeResult(
            inserted=int(counts["num_inserted_rows"]),
            updated=int(counts["num_updated_rows"]),
            removed=int(counts["num_deleted_rows"]),
        )
        return replace(result, version=self._version_after(table, result, merge.mark))

    def _version_after(self, table: TableName, result: MergeResult, mark: str) -> int:
        """The merge's own version, by its mark: other writers may have followed it."""
        for limit in (_RECENT_COMMITS, None) if result.changed else ():
            for entry in self._commits(table, limit):
                if mark in str(entry["operationParameters"]):
                    return int(entry["version"])
        if result.changed:
            logger.warning("%s: its history does not show the conditions of a MERGE", table)
        return self._present_version(table)

    def append(
        self, table: TableName, rows: Sequence[Row], *, note: Mapping[str, str] | None = None
    ) -> None:
        """Add rows; columns that a row does not name become NULL."""
        if rows:
            named = list(dict.fromkeys(name for row in rows for name in row))
            bound = insert_rows(table, self._offer(table, rows, named))
            self._change(table, bound, note or {})

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

        Two statements: the second writes nothing, and both are repeated, where a row that is to
        change is not as the first one saw it.
        """
        retrying = self._retrying(retry_if_result(lambda changed: changed is None))
        try:
            with one_sentence():
                return retrying(self._change_once, table, query, tables, check, note or {}) or 0
        except RetryError as error:
            raise self._too_slow(table) from error

    def _change_once(
        self,
        table: TableName,
        query: CheckedQuery,
        tables: Mapping[str, TableName],
        check: CheckEdits,
        note: Mapping[str, str],
    ) -> int | None:
        """How many rows changed; None where the edits were of rows that are no more."""
        shape = self._read_shape(table)
        target = target_of(table, shape)
        found = self._query(select_query(query, tables, target)).rename_columns(list(query.names))
        edits = read_edits(found.to_pylist())
        check(edits)
        if not edits:
            return 0
        offered = offer(table, edit_rows(edits), edit_schema(edits, shape))
        known = len({edit.row for edit in edits} - {None})
        bound = change_rows(target, offered, list(edits[0].after), known)
        return self._affected(table, bound, note) or None  # no row: nothing was written

    # --- inside

    def _affected(self, table: TableName, bound: Bound, note: Mapping[str, str] | None) -> int:
        return int(self._change(table, bound, note or {}).to_pylist()[0]["num_affected_rows"])

    def _change(self, table: TableName, bound: Bound, note: Mapping[str, str]) -> pa.Table:
        """Write, and again after each lost race, for a bounded time."""
        self._check_size(bound)
        try:
            retrying = self._retrying(retry_if_exception(_lost_race))
            return retrying(self._run.change, bound.text, bound.parameters, note)
        except RetryError as error:
            raise self._too_slow(table) from error
        except BackendError:
            self._shapes.pop(table.key, None)
            raise

    def _retrying(self, again: retry_base) -> Retrying:
        return Retrying(
            retry=again,
            wait=wait_random_exponential(multiplier=0.05, max=2.0),
            stop=stop_after_delay(self._retry_seconds),
            sleep=self._sleep,
        )

    def _too_slow(self, table: TableName) -> ConflictError:
        seconds = f"{self._retry_seconds:.0f} seconds"
        return ConflictError(f"{table}: other writers were first for {seconds}")

    def _check_size(self, bound: Bound) -> None:
        most = self._run.most_bytes
        if most is not None and bound.bytes > most:
            raise BackendError(
                f"one statement takes at most {most} bytes here, this one has {bound.bytes};"
                " write fewer rows at once, or write from a Spark session",
                code="STATEMENT_TOO_LARGE",
            )

    def _present_version(self, table: TableName) -> int:
        return int(self._commits(table, 1)[0]["version"])

    def _find_shape(self, table: TableName) -> pa.Schema | None:
        try:
            return self._read_shape(table)
        except NotFoundError:
            return None

    def _read_shape(self, table: TableName) -> pa.Schema:
        found = plain(self._run.query(shape_of(table))).schema
        self._shapes[table.key] = found
        return found

    def _offer(self, table: TableName, rows: Sequence[Row], named: Sequence[str]) -> Offer:
        """The rows in the types that the table has. Raises ValueError, BackendError."""
        shape = self._shapes.get(table.key) or self._read_shape(table)
        if not set(named) <= set(shape.names):
            shape = self._read_shape(table)
        unknown = sorted(set(named) - set(shape.names))
        if unknown:
            raise ValueError(f"{table} has no column {', '.join(unknown)}")
        return offer(table, rows, pa.schema([shape.field(name) for name in named]))


def _missing(shape: pa.Schema, layout: TableLayout) -> set[str]:
    present = {name.lower() for name in shape.names}
    return {column.name for column in layout.columns if column.name.lower() not in present}


@contextmanager
def _told_versions(table: TableName, version: int | None) -> Iterator[None]:
    """A version that is not there any more is not found, whatever of it is missing."""
    try:
        yield
    except BackendError as error:
        if version is not None and error.code in _NO_SUCH_VERSION:
            raise NotFoundError(f"{table}: {error}", code="VERSION_GONE") from error
        raise


def _side(values: Sequence[Any], names: Sequence[str]) -> Row | None:
    return dict(zip(names, values[1:], strict=True)) if values[0] else None


def _lost_race(error: BaseException) -> bool:
    return isinstance(error, BackendError) and error.code in _LOST_RACES
