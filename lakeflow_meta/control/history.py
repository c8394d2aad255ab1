"""Who changed what and when: rows of the control tables, version by version, and what was applied.

Rows are compared by content from one commit to the next, so a change that somebody made by SQL on
another engine is shown like a load of YAML, and compaction is no change.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import Any

from lakeflow_meta.arrow_values import rows_of
from lakeflow_meta.control.row_changes import RowChange, compare_rows
from lakeflow_meta.control.rows import Row
from lakeflow_meta.control.sync import TIMES, key_text
from lakeflow_meta.control.tables import (
    EVENTS,
    MODULES,
    SOURCES,
    TABLES,
    ControlTables,
    TableLayout,
)
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.ports import Commit, ControlStore

SHOWN = (MODULES, TABLES, SOURCES)
"""Tables whose rows belong to a module."""

_UPKEEP = frozenset({"OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "upkeep"})
"""Operations, and one verb of our store, that change no row: delta-rs and Spark name them so."""

_BY_COMMITS = frozenset({"sync", "sql", "restore"})
"""Verbs whose events say less than the commits that they made."""

_EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing that was done. ``version`` is that of ``table``, None for what was applied.

    ``before`` and ``after`` hold the columns that differ; all of a row that came or went.
    """

    at: datetime
    actor: str
    verb: str
    object: str
    action: str
    table: str
    version: int | None = None
    before: Row = field(default_factory=dict)
    after: Row = field(default_factory=dict)
    outcome: str = "done"
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


class MetadataHistory:
    """Reads the history of one family of control tables. Writes nothing."""

    def __init__(self, store: ControlStore, tables: ControlTables) -> None:
        self._store = store
        self._tables = tables

    def entries(
        self,
        module: str | None = None,
        *,
        limit: int = 50,
        since: datetime = _EARLIEST,
    ) -> list[HistoryEntry]:
        """What was done to one module, or to all, the newest first.

        Versions are read one by one until ``limit`` entries are found, ``since`` is reached, or
        the history ends (the older one was vacuumed). A module that did not change for long is
        searched for through all commits since: about 0.01 s each.
        """
        parts = [self._row_entries(layout, module, since) for layout in SHOWN]
        parts.append(self._event_entries(module, since))
        newest_first = heapq.merge(*parts, key=lambda entry: entry.at, reverse=True)
        return list(islice(newest_first, limit))

    def _event_entries(self, module: str | None, since: datetime) -> Iterator[HistoryEntry]:
        where = {"object": module} if module is not None else None
        try:
            rows = rows_of(self._store.read(self._tables.of(EVENTS), where=where))
        except NotFoundError:
            return
        rows = [row for row in rows if row["at"] and row["verb"] not in _BY_COMMITS]
        for row in sorted(rows, key=lambda row: row["at"], reverse=True):
            if row["at"] >= since:
                yield self._event_entry(row)

    def _event_entry(self, row: Row) -> HistoryEntry:
        return HistoryEntry(
            at=row["at"],
            actor=row["actor"] or "",
            verb=row["verb"] or "",
            object=row["object"] or "",
            action=row["action"] or "",
            table=self._tables.of(EVENTS).name,
            before={"value": row["before"]} if row["before"] else {},
            after={"value": row["after"]} if row["after"] else {},
            outcome=row["outcome"] or "",
            error=row["error"],
        )

    def _row_entries(
        self, layout: TableLayout, module: str | None, since: datetime
    ) -> Iterator[HistoryEntry]:
        table = self._tables.of(layout)
        try:
            commits = [c for c in self._store.history(table) if c.version and _counts(c)]
        except NotFoundError:
            return
        wanted = takewhile(lambda commit: commit.at >= since, reversed(commits))
        changes = self._module_changes if module is not None else self._all_changes
        for commit, found in changes(layout, list(wanted), module):
            yield from (_entry(table.name, commit, change) for change in found)

    def _module_changes(
        self, layout: TableLayout, commits: Sequence[Commit], module: str | None
    ) -> Iterator[tuple[Commit, list[RowChange]]]:
        """Reads each version's rows of the module once."""
        after: list[Row] | None = None
        for commit in commits:
            if after is None:
                after = self._rows(layout, commit.version, module)
            before = self._rows(layout, commit.version - 1, module)
            if after is None or before is None:
                return
            yield commit, compare_rows(before, after, layout.keys, TIMES)
            after = before

    def _all_changes(
        self, layout: TableLayout, commits: Sequence[Commit], _module: str | None
    ) -> Iterator[tuple[Commit, list[RowChange]]]:
        table, keys = self._tables.of(layout), layout.keys
        for commit in commits:
            since, until = commit.version - 1, commit.version
            try:
                found = self._store.changed_rows(table, since, until=until, keys=keys, ignore=TIMES)
            except NotFoundError:
                return
            yield commit, found

    def _rows(self, layout: TableLayout, version: int, module: str | None) -> list[Row] | None:
        """Rows of the module at a version; None where it can no longer be read."""
        where = {"module_name": module}
        try:
            rows: list[Row] = self._store.read(
                self._tables.of(layout), where=where, version=version
            ).to_pylist()
        except NotFoundError:
            return None
        return rows


def _counts(commit: Commit) -> bool:
    return commit.operation not in _UPKEEP and commit.metadata.get("verb") not in _UPKEEP


def _entry(table: str, commit: Commit, change: RowChange) -> HistoryEntry:
    names = change.columns
    return HistoryEntry(
        at=commit.at,
        actor=commit.metadata.get("actor") or commit.metadata.get("userName") or "",
        verb=commit.metadata.get("verb") or commit.operation,
        object=key_text(change.key),
        action=change.action,
        table=table,
        version=commit.version,
        before={name: change.before[name] for name in names} if change.before else {},
        after={name: change.after[name] for name in names} if change.after else {},
    )
