"""What a restore would do to the control tables: rows now against rows then. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lakeflow_meta.control.row_changes import RowChange, compare_rows
from lakeflow_meta.control.rows import Row
from lakeflow_meta.control.sync import key_of, key_text
from lakeflow_meta.control.tables import (
    DDL_SCRIPTS,
    EXTRACT_DETAILS,
    EXTRACTS,
    MODULES,
    SOURCES,
    TABLES,
    TableLayout,
)
from lakeflow_meta.errors import ConfigError, ConflictError
from lakeflow_meta.findings import did_you_mean

RESTORED = (MODULES, DDL_SCRIPTS, TABLES, EXTRACT_DETAILS, EXTRACTS, SOURCES)
"""In the order in which they are written: settings before sources, as a load does."""

_APPLIED = ("applied_fingerprint", "applied_version")
"""Columns that tell of the live table, not of what was recorded."""

TableRows = Mapping[TableLayout, Sequence[Row]]


@dataclass(frozen=True, slots=True)
class TableRestore:
    """What happens to one control table. ``rows`` are the rows then, of all keys concerned."""

    layout: TableLayout
    version: int | None
    rows: tuple[Row, ...]
    changes: tuple[RowChange, ...]
    scope: Mapping[str, Any]
    """Rows inside it that were not there then are removed."""

    def names(self, action: str) -> list[str]:
        """Keys of the rows that are added, changed or removed."""
        return sorted(key_text(c.key) for c in self.changes if c.action == action)

    @property
    def unchanged(self) -> int:
        """Rows that are now as they were then."""
        differing = sum(change.after is not None for change in self.changes)
        return len(self.rows) - differing

    def to_dict(self) -> dict[str, Any]:
        """Keys by what happens to them."""
        actions = {action: self.names(action) for action in ("added", "changed", "removed")}
        return {"version": self.version, **actions, "unchanged": self.unchanged}


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restore did, or would do. ``tables`` by the name of the control table."""

    to: str
    tables: Mapping[str, TableRestore]
    notes: tuple[str, ...] = ()
    dry_run: bool = False

    def __bool__(self) -> bool:
        return any(table.changes for table in self.tables.values())

    def to_dict(self) -> dict[str, Any]:
        """The JSON result of ``restore``, in the shape of ``sync``'s."""
        tables = self.tables.values()
        counts = {
            action: sum(len(table.names(action)) for table in tables)
            for action in ("added", "changed", "removed")
        }
        return {
            **counts,
            "unchanged": sum(table.unchanged for table in tables),
            "dry_run": self.dry_run,
            "to": self.to,
            "tables": {name: table.to_dict() for name, table in self.tables.items()},
            "notes": list(self.notes),
        }

    def done(self) -> RestoreReport:
        """The same, as carried out."""
        return replace(self, dry_run=False)


@dataclass(frozen=True, slots=True)
class Scope:
    """The modules whose rows are restored; None is all of them, and all rows."""

    modules: frozenset[str] | None
    notes: list[str] = field(default_factory=list)

    def table(
        self, layout: TableLayout, version: int | None, now: Sequence[Row], then: Sequence[Row]
    ) -> TableRestore:
        """One table's part; ``now`` and ``then`` are all of its rows."""
        if self.modules is None:
            return _table(layout, version, now, then, scope={})
        keys = {key_of(row, layout.keys) for row in (*now, *then) if self._concerns(row)}
        old = [row for row in then if key_of(row, layout.keys) in keys]
        new = [row for row in now if key_of(row, layout.keys) in keys]
        return _table(layout, version, new, old, scope=self._condition(layout, keys))

    def _concerns(self, row: Row) -> bool:
        """Extracts are of no module: they are restored when everything is."""
        return row.get("module_name") in (self.modules or ())

    def _condition(self, layout: TableLayout, keys: Iterable[tuple[Any, ...]]) -> dict[str, Any]:
        if layout.keys[0] == "module_name":
            return {"module_name": sorted(self.modules or ())}
        return {layout.keys[0]: sorted(key[0] for key in keys)}


def plan_tables(
    scope: Scope, now: TableRows, then: TableRows, versions: Mapping[TableLayout, int | None]
) -> dict[TableLayout, TableRestore]:
    """Every table's part. Raises ConfigError for a module that neither now nor then is known,
    ConflictError where several rows have one key.
    """
    _check_modules(scope, now, then)
    owned = _scripts_as_rows_of_modules(scope, now, then)
    parts = {}
    for layout in RESTORED:
        rows_now, rows_then = owned(layout, now), owned(layout, then)
        parts[layout] = scope.table(layout, versions[layout], rows_now, rows_then)
    return parts


def _check_modules(scope: Scope, now: TableRows, then: TableRows) -> None:
    known = {
        row["module_name"]
        for rows in (now, then)
        for layout in (MODULES, TABLES, SOURCES)
        for row in rows[layout]
        if row["module_name"]
    }
    for name in sorted(scope.modules or ()):
        if name not in known:
            hint = did_you_mean(name, known)
            raise ConfigError(f"no module {name!r} was recorded, now or then; {hint}")


def _scripts_as_rows_of_modules(
    scope: Scope, now: TableRows, then: TableRows
) -> Callable[[TableLayout, TableRows], Sequence[Row]]:
    """Scripts belong to a target, and a target to the modules that name it.

    The scripts of a target that only these modules name, now and then, are restored with them.
    """
    users: dict[str, set[str]] = {}
    for row in (*now[MODULES], *then[MODULES]):
        for target in _targets(row):
            users.setdefault(target, set()).add(row["module_name"])
    chosen = scope.modules
    for target, names in sorted(users.items()):
        if chosen is not None and names & chosen and names - chosen:
            others = ", ".join(sorted(names - chosen))
            scope.notes.append(f"DDL scripts of {target} stay: {others} uses them too")

    def owned(layout: TableLayout, rows: TableRows) -> Sequence[Row]:
        if layout is not DDL_SCRIPTS:
            return rows[layout]
        return [
            {**row, "module_name": _owner(users.get(row["target"]), chosen)} for row in rows[layout]
        ]

    return owned


def _owner(users: Collection[str] | None, chosen: frozenset[str] | None) -> str | None:
    """One of the chosen modules where nobody else uses the target."""
    if not users or chosen is None or set(users) - chosen:
        return None
    return min(users)


def _targets(row: Row) -> list[str]:
    try:
        value = json.loads(row["ddl_targets"] or "[]")
    except ValueError:
        return []
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _table(
    layout: TableLayout,
    version: int | None,
    now: Sequence[Row],
    then: Sequence[Row],
    scope: Mapping[str, Any],
) -> TableRestore:
    for when, rows in (("now", now), ("then", then)):
        _refuse_duplicates(layout, when, rows)
    names = [name for name in layout.names if name not in _APPLIED]
    old = [{name: row.get(name) for name in names} for row in then]
    new = [{name: row.get(name) for name in names} for row in now]
    changes = compare_rows(new, old, layout.keys, (*layout.stamps.names, *_APPLIED))
    return TableRestore(layout, version, tuple(old), tuple(changes), scope)


def _refuse_duplicates(layout: TableLayout, when: str, rows: Sequence[Row]) -> None:
    counts = Counter(key_of(row, layout.keys) for row in rows)
    again = sorted(key_text(key) for key, count in counts.items() if count > 1)
    if again:
        raise ConflictError(
            f"several rows have one key {when}: {', '.join(again)};"
            " which of them to restore cannot be told"
        )
