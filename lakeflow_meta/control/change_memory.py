"""Remembers at which table versions the change detector was last answered, and by what.

A module whose rows and job record are the same as at those versions has the same answer as then,
so only the others, and those that were pending, are compared in full. What is remembered is an
aid: where it is missing, or its versions can no longer be read, everything is compared.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lakeflow_meta.arrow_values import rows_of, values_of
from lakeflow_meta.control.rows import NO_MODULE
from lakeflow_meta.control.sync import TIMES
from lakeflow_meta.control.tables import (
    JOBS,
    MODULES,
    SOURCES,
    STATE,
    TABLES,
    ControlTables,
    TableLayout,
)
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Actor, ControlStore, nobody

logger = logging.getLogger(__name__)

KEY = "changes/answered"
"""Key of the row in ``etl_control_state``."""

ANSWERED_BY = (SOURCES, MODULES, TABLES, JOBS)
"""The tables that the answer of the change detector depends on."""

_IGNORED = {
    TABLES: (*TIMES, "applied_fingerprint", "applied_version"),
    JOBS: (*TIMES, "control_version", "settings_fingerprint"),
}
"""Columns that the answer does not depend on."""

Versions = Mapping[TableLayout, int]


@dataclass(frozen=True, slots=True)
class Answered:
    """Table versions, and the modules that at them were not known to be as applied.

    A module that differs is one of these, and so is one with a row that cannot be read: it stays
    one until it can be.
    """

    versions: Versions = field(default_factory=dict)
    pending: frozenset[str] = frozenset()
    fence: int = 0

    def row(self) -> dict[str, object]:
        """The row of ``etl_control_state``."""
        versions = {layout.suffix: version for layout, version in self.versions.items()}
        value = canonical_json({"versions": versions, "pending": sorted(self.pending)})
        return {"key": KEY, "value": value, "fence": self.fence}


class ChangeMemory:
    """What is remembered for one family of control tables."""

    def __init__(
        self, store: ControlStore, tables: ControlTables, *, actor: Actor = nobody
    ) -> None:
        self._store = store
        self._tables = tables
        self._actor = actor

    def versions(self) -> Versions:
        """The versions now; a table that does not exist has none. No data is read."""
        found = {layout: self._store.version(self._tables.of(layout)) for layout in ANSWERED_BY}
        return {layout: version for layout, version in found.items() if version is not None}

    def answered(self) -> Answered | None:
        """What is remembered; None where nothing usable is."""
        try:
            rows = rows_of(self._store.read(self._tables.of(STATE), where={"key": KEY}))
        except NotFoundError:
            return None
        return _read(rows[0]["value"], rows[0]["fence"] or 0) if rows else None

    def suspects(self) -> frozenset[str] | None:
        """Modules that may differ from what was applied; every other one does not.

        None: nothing is known, compare all of them.
        """
        answered = self.answered()
        if answered is None:
            return None
        changed = modules_changed(self._store, self._tables, answered.versions)
        return None if changed is None else changed | answered.pending

    def remember(self, versions: Versions, pending: Iterable[str]) -> bool:
        """Keep the answer for ``versions``, read before it was made; whether it is kept.

        It is not where somebody was first, nor where a table has moved since: the answer may then
        be that of a later version, and a row that goes back to what it was at ``versions`` would be
        no change any more. What is remembered already is not written again.
        """
        if self.versions() != versions:
            return False
        recorded = self.answered()
        offered = Answered(
            dict(versions), frozenset(pending), recorded.fence + 1 if recorded else 1
        )
        if recorded and (recorded.versions, recorded.pending) == (
            offered.versions,
            offered.pending,
        ):
            return True
        note = {"actor": self._actor(), "verb": "changes"}
        table = self._tables.of(STATE)
        self._store.ensure(table, STATE)
        result = self._store.merge(
            table, [offered.row()], keys=STATE.keys, fence="fence", note=note
        )
        return result.changed

    def pinned(self, table: TableName) -> list[int]:
        """Versions of a table that `suspects` compares with: a vacuum had better keep them."""
        answered = self.answered()
        kept = answered.versions.items() if answered else ()
        return [version for layout, version in kept if self._tables.of(layout).key == table.key]


def modules_changed(
    store: ControlStore, tables: ControlTables, since: Versions
) -> frozenset[str] | None:
    """Modules with rows that differ from those at older versions of the tables.

    None: it cannot be told, because a version is gone, or a table is new.
    """
    found: set[str] = set()
    for layout in ANSWERED_BY:
        table = tables.of(layout)
        version = store.version(table)
        if version == since.get(layout):
            continue
        if version is None or layout not in since:
            return None
        try:
            found |= modules_of_changes(store, table, layout, since[layout])
        except NotFoundError:
            return None
    return frozenset(found)


def modules_of_changes(
    store: ControlStore, table: TableName, layout: TableLayout, since: int
) -> set[str]:
    """Modules with rows in one table that differ from those at a version, or that now double.

    `NO_MODULE` stands for rows that name none. Raises NotFoundError where the version is gone.
    """
    ignore = _IGNORED.get(layout, TIMES)
    keys = _keys_with_module(layout)
    changes = store.changed_rows(table, since, keys=keys, ignore=ignore)
    rows = [row for change in changes for row in (change.before, change.after) if row]
    found = {row["module_name"] or NO_MODULE for row in rows}
    return found | _modules_of_doubles(store, table, layout, since)


def _modules_of_doubles(
    store: ControlStore, table: TableName, layout: TableLayout, since: int
) -> set[str]:
    """Modules with a key that has several rows now, and not as many then.

    A second row that says the same as the first is no difference for whoever compares rows.
    """
    keys = store.read(table, columns=layout.keys)
    if len(set(zip(*map(values_of, keys.columns), strict=True))) == keys.num_rows:
        return set()
    now, then = (_rows_of_keys(store, table, layout, version) for version in (None, since))
    several = {key for key, modules in now.items() if modules.total() > 1}
    return {name for key in several if now[key] != then.get(key) for name in now[key]}


def _rows_of_keys(
    store: ControlStore, table: TableName, layout: TableLayout, version: int | None
) -> dict[tuple[object, ...], Counter[str]]:
    """How many rows each module has with a key."""
    columns = _keys_with_module(layout)
    by_key: dict[tuple[object, ...], Counter[str]] = {}
    for row in rows_of(store.read(table, columns=columns, version=version)):
        modules = by_key.setdefault(tuple(row[key] for key in layout.keys), Counter())
        modules[row["module_name"] or NO_MODULE] += 1
    return by_key


def _keys_with_module(layout: TableLayout) -> list[str]:
    """With the module, a row that went from one module to another is a change of both."""
    return list(dict.fromkeys([*layout.keys, "module_name"]))


def _read(value: str, fence: int) -> Answered:
    """From the row; versions are left out where somebody wrote something else into it."""
    layouts = {layout.suffix: layout for layout in ANSWERED_BY}
    try:
        stored = json.loads(value)
        versions = {layouts[suffix]: int(v) for suffix, v in stored["versions"].items()}
        return Answered(versions, frozenset(stored["pending"]), fence)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("row %s of the state table cannot be read: %r", KEY, error)
        return Answered(fence=fence)
