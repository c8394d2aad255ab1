"""Live tables and views of a local warehouse, read from its directories. No Spark, no data files.

`delta_snapshot` reads the log of one table, `delta_live_table` makes a table of it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from lakeflow_meta.backends.delta_live_table import live_table
from lakeflow_meta.backends.delta_snapshot import newest_file, newest_snapshot
from lakeflow_meta.backends.local.spark.view_text import read_view
from lakeflow_meta.backends.local.spark.warehouse import (
    LOG,
    Warehouse,
    checked_schema,
    checked_table,
    is_vacant,
)
from lakeflow_meta.errors import ConfigError, NotFoundError
from lakeflow_meta.names import TableName
from lakeflow_meta.paths import path_of_location, place_of
from lakeflow_meta.schema.live import LiveView, TableState, Unreadable
from lakeflow_meta.schema.types import UnknownTypeError

# Every catalog of Databricks has this schema; Spark makes its directory with the first table.
_ALWAYS_THERE = "default"
_WHAT_IS_TOLD = 1
"""Raise it when `DeltaLogReader.describe` tells more of a table, so that stamps change with it."""

_Entries = Mapping[str, str]
"""Paths in a directory by their lower-case names."""


class DeltaLogReader:
    """Reads ``<warehouse>/<catalog>/<schema>/<table>``; a `ports.TableReader`.

    One thread: the files are small and cached, and what takes time is Python's own work.
    """

    def __init__(self, warehouse: Path) -> None:
        self._warehouse = Warehouse(warehouse)

    def describe(self, tables: Iterable[TableName]) -> Mapping[TableName, TableState]:
        """What stands at each name. Names are compared without case."""
        listing = _Listing(self._warehouse.root)
        return {name: self._state(name, listing) for name in dict.fromkeys(tables)}

    def tables_of(self, catalog: str, schema: str) -> list[TableName]:
        """Every table and view of a schema. Raises NotFoundError."""
        name = checked_schema(catalog, schema)
        if not self._warehouse.has_schema(name):
            raise NotFoundError(f"schema {name} does not exist", code="SCHEMA_NOT_FOUND")
        return [name.table(relation) for relation in self._warehouse.relations(name)]

    def stamps(self, tables: Iterable[TableName]) -> Mapping[TableName, int]:
        """A number for each table or view that is there; see `ports.TableReader`.

        It is made of the newest version and of the very file that brought it, so a table that was
        dropped and made again has another one. Stable over processes, not over copies of files.
        """
        listing = _Listing(self._warehouse.root)
        found = {name: self._stamp(name, listing) for name in dict.fromkeys(tables)}
        return {name: stamp for name, stamp in found.items() if stamp is not None}

    # --- what stands at a name

    def _state(self, name: TableName, listing: _Listing) -> TableState:
        try:
            entries = listing.schema(name.catalog.lower(), name.schema.lower())
            if entries is None:
                return _no_schema(name)
            path = entries.get(name.name.lower())
            state = None if path is None else table_at(name, path)
            return self._noted(name) if state is None else state
        except PermissionError as error:
            return Unreadable(f"{name} cannot be read: {error}", "", "no_permission")
        except (OSError, ValueError, KeyError, TypeError) as error:
            return Unreadable(f"{name} cannot be read: {type(error).__name__}: {error}")

    def _noted(self, name: TableName) -> TableState:
        """A view, or a table that lies elsewhere; None where nothing is noted either."""
        lowered = _in_lower_case(name)
        note = self._warehouse.note(lowered)
        if "view" in note:
            view = read_view(note["view"])
            return LiveView(name, view.query, view.comment, version=self._view_stamp(lowered) or 0)
        if "table" in note:
            return Unreadable(f"{name} is no Delta table", "declare another name", "not_delta")
        return _table_elsewhere(name, str(note["location"])) if "location" in note else None

    # --- stamps

    def _stamp(self, name: TableName, listing: _Listing) -> int | None:
        try:
            entries = listing.schema(name.catalog.lower(), name.schema.lower())
            if entries is None:
                return None
            path = entries.get(name.name.lower())
            stamp = None if path is None else _log_stamp(path)
            return self._noted_stamp(_in_lower_case(name)) if stamp is None else stamp
        except (OSError, ValueError):
            return None

    def _noted_stamp(self, lowered: TableName) -> int | None:
        note = self._warehouse.note(lowered)
        if "view" in note:
            return self._view_stamp(lowered)
        place = path_of_location(str(note["location"])) if "location" in note else None
        return None if place is None else _log_stamp(str(place))

    def _view_stamp(self, lowered: TableName) -> int | None:
        identity = self._warehouse.note_identity(lowered)
        return None if identity is None else _number("view", *identity)


def _in_lower_case(name: TableName) -> TableName:
    """As notes are filed. Raises ValueError for what is no name of a file."""
    try:
        return checked_table(name.catalog, name.schema, name.name)
    except ConfigError as error:
        raise ValueError(str(error)) from error


class _Listing:
    """The directories of a warehouse, each listed once."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._known: dict[str, _Entries] = {}

    def schema(self, catalog: str, schema: str) -> _Entries | None:
        """What lies in a schema; None where there is no schema. Raises OSError."""
        schemas = self._entries(self._entries(self._root).get(catalog, ""))
        if schema in schemas:
            return self._entries(schemas[schema])
        return {} if schema == _ALWAYS_THERE else None

    def _entries(self, folder: str) -> _Entries:
        """Of two names that differ in case only, the lower one in order of bytes."""
        if folder not in self._known:
            try:
                found = sorted(os.listdir(folder) if folder else (), reverse=True)  # noqa: PTH208
            except (FileNotFoundError, NotADirectoryError):
                found = []
            self._known[folder] = {name.lower(): f"{folder}/{name}" for name in found}
        return self._known[folder]


def _no_schema(name: TableName) -> Unreadable:
    schema = f"{name.catalog}.{name.schema}"
    hint = f"make it in a DDL script: CREATE SCHEMA IF NOT EXISTS {schema}"
    return Unreadable(f"schema {schema} does not exist", hint, "no_schema")


def _table_elsewhere(name: TableName, location: str) -> TableState:
    path = path_of_location(location)
    if path is None:
        return Unreadable(f"{name} lies at {location}, which is not on this machine")
    gone = Unreadable(f"{name} lies at {location}, where no table is any more", "drop the table")
    return table_at(name, str(path), place_of(location)) or gone


def table_at(name: TableName, path: str, location: str = "") -> TableState:
    """The table in a directory; None where one may be created. ``location`` if it is external."""
    try:
        snapshot = newest_snapshot(f"{path}/{LOG}")
        return (
            _without_log(name, path) if snapshot is None else live_table(name, snapshot, location)
        )
    except UnknownTypeError as error:
        return Unreadable(f"{name}: {error}", error.hint, "unknown_type")
    except PermissionError as error:
        return Unreadable(f"{name}: its Delta log cannot be read: {error}", "", "no_permission")
    except (OSError, ValueError, KeyError, TypeError) as error:
        shown = f"{type(error).__name__}: {error}"
        return Unreadable(f"{name}: its Delta log cannot be read: {shown}")


def _without_log(name: TableName, path: str) -> Unreadable | None:
    if not os.path.lexists(path) or (Path(path).is_dir() and is_vacant(path)):
        return None
    reason = f"{name} is a directory, but not a Delta table: {path}"
    hint = "DROP TABLE removes it with all that it holds" if Path(path, LOG).is_dir() else ""
    return Unreadable(reason, hint, "not_delta")


def _log_stamp(path: str) -> int | None:
    newest = newest_file(f"{path}/{LOG}")
    if newest is None:
        return None
    version, file = newest
    found = Path(file).stat()
    return _number("table", version, found.st_dev, found.st_ino, found.st_mtime_ns)


def _number(*parts: object) -> int:
    """Not negative, and small enough for a signed column of 64 bits."""
    digest = hashlib.blake2b(repr((_WHAT_IS_TOLD, *parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
