"""`TableReader` for Unity Catalog, over any `SqlSession`: Spark on Databricks, or a SQL warehouse.

A sync of N tables sends seven queries a catalog to its information schema (`sql_catalog`), and one
DESCRIBE for each table that is asked of `describe`; where columns may be generated also one SHOW
CREATE TABLE. `stamps` needs the queries alone, and its answer is shared with the `describe` that
follows it.

Errors are told apart by condition. A missing or forbidden catalog, schema or table concerns its
tables only. The information schema has no rows for what the user may not see, so a table without
any permission looks absent; then its CREATE TABLE is refused, and nothing is lost.

Proven by `tests/contract/test_unity_catalog.py`, where the queries run against relations of the
documented shape. Not run against a real workspace.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tenacity import Retrying, retry_if_exception
from tenacity.stop import stop_after_attempt
from tenacity.wait import wait_random_exponential

from lakeflow_meta.backends.sql_store import RunSql
from lakeflow_meta.backends.unity_catalog_create import generated_columns
from lakeflow_meta.backends.unity_catalog_document import (
    Document,
    live_table,
    may_generate,
    with_generated,
)
from lakeflow_meta.backends.unity_catalog_listing import Listed, Place, read_listing
from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Row, Sleep, SqlSession
from lakeflow_meta.schema.live import LiveTable, LiveView, TableState, Unreadable
from lakeflow_meta.schema.types import UnknownTypeError
from lakeflow_meta.sql_catalog import (
    CatalogQueries,
    describe_as_json,
    show_create_table,
)
from lakeflow_meta.sql_tables import describe_schema, show_tables

logger = logging.getLogger(__name__)

_SHARED_SECONDS = 10.0
_ATTEMPTS = 4

_FORBIDDEN = frozenset({"INSUFFICIENT_PERMISSIONS", "UNAUTHORIZED_ACCESS", "42501"})
"""https://docs.databricks.com/error-messages/error-classes.html, and their SQLSTATE.

PERMISSION_DENIED is none of them: the API says so of the warehouse, not of a table.
"""
_NO_CATALOG = frozenset({"NO_SUCH_CATALOG_EXCEPTION", "CATALOG_NOT_FOUND"})
_NO_TABLE = "TABLE_OR_VIEW_NOT_FOUND"

_VIEW = "VIEW"
_TABLES = frozenset(
    {"MANAGED", "EXTERNAL", "MANAGED_SHALLOW_CLONE", "EXTERNAL_SHALLOW_CLONE", "BASE TABLE"}
)
_OTHER_KINDS = {
    "MATERIALIZED_VIEW": ("a materialized view", "change it where its pipeline is defined"),
    "STREAMING_TABLE": ("a streaming table", "change it where its pipeline is defined"),
    "FOREIGN": ("a foreign table", "change it in the system that holds it"),
}
"""https://docs.databricks.com/sql/language-manual/information-schema/tables.html#table-types"""


class ReadSession:
    """`SqlSession` for statements that write nothing, so they may be sent again.

    ``RunSql.change`` sends a statement once, and one after the other on Spark; this session uses
    ``query``, and repeats what failed for a passing reason.
    """

    def __init__(self, run: RunSql, *, sleep: Sleep = time.sleep) -> None:
        self._run = run
        self._sleep = sleep

    def execute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Run one statement that writes nothing; its rows. Raises BackendError."""
        retrying = Retrying(
            retry=retry_if_exception(lambda e: isinstance(e, BackendError) and e.transient),
            wait=wait_random_exponential(multiplier=0.5, max=8.0),
            stop=stop_after_attempt(_ATTEMPTS),
            sleep=self._sleep,
            reraise=True,
        )
        rows: list[Row] = retrying(self._run.query, statement, parameters).to_pylist()
        return rows


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why a catalog or a schema cannot be read."""

    what: str
    forbidden: bool

    def of(self, name: TableName) -> Unreadable:
        if self.forbidden:
            hint = f"let the user see {self.what}: GRANT USE CATALOG, USE SCHEMA, SELECT"
            return Unreadable(f"{name}: no permission on {self.what}", hint, "no_permission")
        hint = "create it first, or name another one; hive_metastore is no part of Unity Catalog"
        return Unreadable(f"{self.what} does not exist", hint, "no_schema")


@dataclass(frozen=True, slots=True)
class _Listing:
    """What the information schemas say. Catalogs, schemas and tables by lower-case name."""

    tables: Mapping[str, Mapping[Place, Listed]]
    catalogs: Mapping[str, _Fault]
    schemas: Mapping[tuple[str, str], _Fault]

    def fault(self, name: TableName) -> _Fault | None:
        catalog, (schema, _) = name.catalog.lower(), _place(name)
        return self.catalogs.get(catalog) or self.schemas.get((catalog, schema))

    def table(self, name: TableName) -> Listed | None:
        return self.tables.get(name.catalog.lower(), {}).get(_place(name))


class _Kept(threading.local):
    """What the last `stamps` of this thread read: for which names, and when."""

    names: frozenset[str] = frozenset()
    at: float = 0.0
    listing: _Listing | None = None


class UnityCatalogReader:
    """Reads tables and views of Unity Catalog; a `ports.TableReader`.

    ``session``, or what opens it when it is needed first, runs ``max_parallel`` statements at once,
    for all threads that use this object. `ReadSession` makes one that repeats what fails for a
    passing reason. Needs Databricks Runtime 16.2 or a SQL warehouse.
    """

    def __init__(
        self,
        session: SqlSession | Callable[[], SqlSession],
        *,
        max_parallel: int = 8,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._opened: SqlSession | None = None
        self._max_parallel = max_parallel
        self._monotonic = monotonic
        self._opening = threading.Lock()
        self._slots = threading.BoundedSemaphore(max_parallel)
        self._kept = _Kept()

    def stamps(self, tables: Iterable[TableName]) -> Mapping[TableName, int]:
        """A number of 63 bits for each table or view that `describe` could tell of.

        Made of kind, comment, ``last_altered``, view text, tags and keys, so that new tags or keys
        are seen even where ``last_altered`` stays. A change that never reached the catalog (of an
        external table, by another engine) is not seen: REPAIR TABLE … SYNC METADATA.
        """
        names = _unique(tables)
        self._kept.listing = None
        if not names:
            return {}
        with self._pool() as pool:
            listing = self._list(names, pool)
        self._kept.names = frozenset(name.key for name in names)
        self._kept.at, self._kept.listing = self._monotonic(), listing
        found = {name: listing.table(name) for name in names}
        return {
            name: listed.stamp
            for name, listed in found.items()
            if listed is not None and _is_readable(listed)
        }

    def tables_of(self, catalog: str, schema: str) -> list[TableName]:
        """Every table and view of a schema that may be seen. Raises NotFoundError, BackendError.

        SHOW TABLES tells a schema that is not there from one without tables:
        https://docs.databricks.com/sql/language-manual/sql-ref-syntax-aux-show-tables.html
        """
        with self._pool():
            rows = self._rows(show_tables(catalog, schema))
        names = [row["tableName"] for row in rows if not row["isTemporary"]]
        return [TableName(catalog, schema, name) for name in sorted(names)]

    def describe(self, tables: Iterable[TableName]) -> Mapping[TableName, TableState]:
        """What stands at each name. Raises BackendError when nothing can be read at all."""
        names = _unique(tables)
        kept = self._take(names)
        if not names:
            return {}
        with self._pool() as pool:
            listing = kept or self._list(names, pool)
            states = [_listed_state(name, listing) for name in names]
            pending = [
                (name, state)
                for name, state in zip(names, states, strict=True)
                if isinstance(state, Listed)
            ]
            looked = pool.map(lambda pair: self._look(*pair), pending)
            found = dict(zip((name for name, _ in pending), looked, strict=True))
        read = _outcomes(found)
        return {
            name: read[name] if isinstance(state, Listed) else state
            for name, state in zip(names, states, strict=True)
        }

    # --- the information schema

    def _take(self, names: Sequence[TableName]) -> _Listing | None:
        """What `stamps` has just read in this thread, once, if it was about these tables."""
        listing, self._kept.listing = self._kept.listing, None
        fresh = self._monotonic() - self._kept.at <= _SHARED_SECONDS
        known = self._kept.names.issuperset(name.key for name in names)
        return listing if fresh and known else None

    def _list(self, names: Sequence[TableName], pool: ThreadPoolExecutor) -> _Listing:
        asked: defaultdict[str, set[Place]] = defaultdict(set)
        for name in names:
            asked[name.catalog.lower()].add(_place(name))
        sent = {
            catalog: {
                relation: pool.submit(self._rows, bound.text, bound.parameters)
                for relation, bound in CatalogQueries(catalog, places).all.items()
            }
            for catalog, places in asked.items()
        }
        faults: dict[str, _Fault] = {}
        rows: dict[str, dict[str, list[Row]]] = {}
        for catalog, answers in sent.items():
            fault = _catalog_fault(catalog, answers["schemata"])
            if fault is None:
                rows[catalog] = {relation: answer.result() for relation, answer in answers.items()}
            else:
                faults[catalog] = fault
        tables = {catalog: read_listing(catalog, found) for catalog, found in rows.items()}
        missing = [
            (catalog, schema)
            for catalog, found in rows.items()
            for schema in sorted({schema for schema, _ in asked[catalog]} - _schemas(found))
        ]
        schemas = dict(zip(missing, pool.map(self._why_missing, missing), strict=True))
        return _Listing(tables, faults, schemas)

    def _why_missing(self, schema: tuple[str, str]) -> _Fault:
        """Missing or forbidden: the information schema leaves out both.

        One that is there after all was made meanwhile, or is hidden; the next look tells.
        """
        what = f"schema {'.'.join(schema)}"
        try:
            self._rows(describe_schema(*schema))
        except NotFoundError:
            return _Fault(what, forbidden=False)
        except BackendError as error:
            if error.code not in _FORBIDDEN:
                raise
        return _Fault(what, forbidden=True)

    # --- one table

    def _look(self, name: TableName, listed: Listed) -> TableState | BackendError:
        """The state of one table or view; an error that is not about permissions as itself."""
        try:
            return self._described(name, listed)
        except BackendError as error:
            if error.code == _NO_TABLE:
                return None  # dropped since it was listed
            if error.code in _FORBIDDEN:
                return _Fault("the table", forbidden=True).of(name)
            return error

    def _described(self, name: TableName, listed: Listed) -> TableState:
        document: Document = json.loads(self._rows(describe_as_json(name))[0]["json_metadata"])
        if listed.kind == _VIEW:
            return _view(name, document.get("view_text") or "", listed)
        try:
            table = live_table(name, document, listed)
        except UnknownTypeError as error:
            return Unreadable(f"{name}: {error}", error.hint, "unknown_type")
        return self._with_generated(table) if may_generate(document) else table

    def _with_generated(self, table: LiveTable) -> LiveTable:
        statement = self._rows(show_create_table(table.name))[0]["createtab_stmt"]
        return with_generated(table, generated_columns(statement))

    # --- statements

    def _rows(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        if self._opened is None:
            raise RuntimeError("statements run inside _pool")
        with self._slots:
            return self._opened.execute(statement, parameters)

    @contextmanager
    def _pool(self) -> Iterator[ThreadPoolExecutor]:
        """Threads on the open session; after an error, what has not started is left out."""
        with self._opening:
            if self._opened is None:
                self._opened = self._session() if callable(self._session) else self._session
        pool = ThreadPoolExecutor(self._max_parallel, thread_name_prefix="unity-catalog")
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def _unique(tables: Iterable[TableName]) -> list[TableName]:
    return list(dict.fromkeys(tables))


def _place(name: TableName) -> Place:
    return name.schema.lower(), name.name.lower()


def _schemas(rows: Mapping[str, Sequence[Row]]) -> set[str]:
    return {row["schema_name"].lower() for row in rows["schemata"]}


def _catalog_fault(catalog: str, answer: Future[list[Row]]) -> _Fault | None:
    """Why there is no answer. Raises BackendError for a reason that is not the catalog's."""
    error = answer.exception()
    if error is None:
        return None
    if isinstance(error, BackendError):
        if isinstance(error, NotFoundError) or error.code in _NO_CATALOG:
            return _Fault(f"catalog {catalog}", forbidden=False)
        if error.code in _FORBIDDEN:
            return _Fault(f"catalog {catalog}", forbidden=True)
    raise error


def _is_readable(listed: Listed) -> bool:
    return listed.kind == _VIEW or (listed.kind in _TABLES and listed.format == "DELTA")


def _listed_state(name: TableName, listing: _Listing) -> TableState | Listed:
    """The state as far as the listing tells it; what has to be looked at is itself."""
    fault = listing.fault(name)
    if fault is not None:
        return fault.of(name)
    listed = listing.table(name)
    if listed is None:
        return None
    if not _is_readable(listed):
        return _not_delta(name, listed)
    if listed.kind == _VIEW and listed.view_text:
        return _view(name, listed.view_text, listed)
    return listed


def _not_delta(name: TableName, listed: Listed) -> Unreadable:
    if listed.kind in _TABLES:
        what, hint = f"a table of format {listed.format or 'unknown'}", "declare another name"
    else:
        fallback = (f"of kind {listed.kind}", "declare another name")
        what, hint = _OTHER_KINDS.get(listed.kind, fallback)
    return Unreadable(f"{name} is {what}, no Delta table", hint, "not_delta")


def _view(name: TableName, query: str, listed: Listed) -> LiveView | Unreadable:
    if not query:
        reason, hint = f"{name}: its text is shown to its owner only", "read it as the owner"
        return Unreadable(reason, hint, "no_permission")
    return LiveView(name, query, comment=listed.comment, version=listed.stamp)


def _outcomes(
    found: Mapping[TableName, TableState | BackendError],
) -> dict[TableName, TableState]:
    """Errors as states of their tables. Raises the first one where it can be none's own fault:
    no statement worked, and Delta did not say that it is the table.
    """
    errors = [state for state in found.values() if isinstance(state, BackendError)]
    if errors and len(errors) == len(found) and not any(map(_is_of_table, errors)):
        raise errors[0]
    for error in errors:
        logger.warning("a table cannot be read: %s", error)
    return {
        name: Unreadable(f"{name}: {state}") if isinstance(state, BackendError) else state
        for name, state in found.items()
    }


def _is_of_table(error: BackendError) -> bool:
    return isinstance(error, NotFoundError) or error.code.startswith("DELTA_")
