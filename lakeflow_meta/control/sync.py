"""Declared rows against recorded rows: what one load would write. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakeflow_meta.control.rows import Row
from lakeflow_meta.control.tables import TableLayout

Key = tuple[Any, ...]

TIMES = ("created_timestamp", "updated_timestamp")
_ACTIVE = "is_active"


@dataclass(frozen=True, slots=True)
class TableSync:
    """What a load does to one control table. Keys are shown as ``a/b``."""

    layout: TableLayout
    added: tuple[Row, ...] = ()
    changed: tuple[Row, ...] = ()
    same: tuple[Row, ...] = ()
    removed: tuple[Key, ...] = ()
    kept: tuple[Key, ...] = ()
    """Recorded, not declared, and left alone because nobody said ``--prune``."""

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    def names(self, rows: Iterable[Row]) -> list[str]:
        """Rows by their key, for people."""
        return sorted(key_text(key_of(row, self.layout.keys)) for row in rows)

    def to_dict(self) -> dict[str, Any]:
        """Counts, and the keys behind them."""
        return {
            "added": self.names(self.added),
            "changed": self.names(self.changed),
            "unchanged": len(self.same),
            "removed": sorted(key_text(key) for key in self.removed),
            "not_declared": sorted(key_text(key) for key in self.kept),
        }


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a load did, or would do, by control table."""

    tables: Mapping[str, TableSync]
    dry_run: bool = False

    def __bool__(self) -> bool:
        return any(self.tables.values())

    def to_dict(self) -> dict[str, Any]:
        """The JSON result of ``sync``."""
        syncs = self.tables.values()
        return {
            "added": sum(len(s.added) for s in syncs),
            "changed": sum(len(s.changed) for s in syncs),
            "unchanged": sum(len(s.same) for s in syncs),
            "removed": sum(len(s.removed) for s in syncs),
            "not_declared": sum(len(s.kept) for s in syncs),
            "dry_run": self.dry_run,
            "tables": {name: sync.to_dict() for name, sync in self.tables.items()},
        }


def key_of(row: Mapping[str, Any], keys: Sequence[str]) -> Key:
    """The identity of a row."""
    return tuple(row[key] for key in keys)


def key_text(key: Key) -> str:
    """An identity for people."""
    return "/".join(str(part) for part in key)


def compare(
    layout: TableLayout, declared: Sequence[Row], recorded: Sequence[Row], *, prune: bool
) -> TableSync:
    """Which declared rows are new, differ or are the same; which recorded ones are not declared.

    A row whose YAML does not name ``is_active`` (None) keeps the recorded flag, so a soft delete
    made by SQL survives the next load.
    """
    by_key = {key_of(row, layout.keys): row for row in recorded}
    added: list[Row] = []
    changed: list[Row] = []
    same: list[Row] = []
    seen = set()
    for row in declared:
        key = key_of(row, layout.keys)
        seen.add(key)
        there = by_key.get(key)
        wanted = _with_flag(row, there)
        if there is None:
            added.append(wanted)
        elif any(there.get(name) != value for name, value in wanted.items()):
            changed.append(wanted)
        else:
            same.append(wanted)
    rest = tuple(key for key in by_key if key not in seen)
    return TableSync(
        layout,
        tuple(added),
        tuple(changed),
        tuple(same),
        removed=rest if prune else (),
        kept=() if prune else rest,
    )


def _with_flag(row: Row, there: Mapping[str, Any] | None) -> Row:
    if row.get(_ACTIVE, True) is not None:
        return row
    recorded = True if there is None else there.get(_ACTIVE)
    return {**row, _ACTIVE: recorded}
