"""Sets recorded rows back to what they were: a new commit a table, history kept.

The rows are written, nothing is undone: a restore is itself restored by another one. `apply` then
rolls the platform back. Killed between two tables, the same restore again completes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lakeflow_meta.control.moment import Point, TableHistory, read_point
from lakeflow_meta.control.restore_plan import (
    RESTORED,
    RestoreReport,
    Scope,
    TableRestore,
    plan_tables,
)
from lakeflow_meta.control.row_changes import RowChange
from lakeflow_meta.control.rows import Row
from lakeflow_meta.control.sync import key_text
from lakeflow_meta.control.tables import EVENTS, SOURCES, ControlTables, TableLayout
from lakeflow_meta.errors import ConfigError, NotFoundError
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.ports import Actor, Clock, ControlStore, nobody, utc_now


class MetadataRestore:
    """The way back for one family of control tables."""

    def __init__(
        self,
        store: ControlStore,
        tables: ControlTables,
        *,
        actor: Actor = nobody,
        clock: Clock = utc_now,
    ) -> None:
        self._store = store
        self._tables = tables
        self._actor = actor
        self._clock = clock

    def restore(
        self,
        modules: Sequence[str] | None = None,
        *,
        to: str | int | datetime,
        dry_run: bool = False,
    ) -> RestoreReport:
        """Set the rows of these modules, or of all, to what they were at ``to``.

        ``to`` is a version of the sources table (the state when that commit was made), or a time
        with a zone. With ``dry_run`` nothing is written. Raises ConfigError for an unknown module
        or a point before the history that is kept, ConflictError where SQL made several rows with
        one key.
        """
        report = self._plan(modules, read_point(to))
        if dry_run or not report:
            return report if dry_run else report.done()
        for part in report.tables.values():
            if part.changes:
                self._write(part, report.to)
        return report.done()

    def _plan(self, modules: Sequence[str] | None, point: Point) -> RestoreReport:
        versions = self._versions(point)
        scope = Scope(None if modules is None else frozenset(modules))
        now = {layout: self._rows(layout, None) for layout in RESTORED}
        then = {layout: self._then(layout, versions[layout]) for layout in RESTORED}
        parts = plan_tables(scope, now, then, versions)
        return RestoreReport(
            to=str(point) if isinstance(point, int) else point.isoformat(),
            tables={self._tables.of(layout).name: part for layout, part in parts.items()},
            notes=tuple(scope.notes),
            dry_run=True,
        )

    def _versions(self, point: Point) -> dict[TableLayout, int | None]:
        """The version of each table at the point; None where there was no such table yet."""
        histories = {layout: self._history(layout) for layout in RESTORED}
        sources = histories[SOURCES]
        if sources is None:
            raise ConfigError(f"{self._tables.sources} does not exist")
        moment = sources.commit(point).at if isinstance(point, int) else point
        versions = {
            layout: history.version_at(moment) if history else None
            for layout, history in histories.items()
        }
        if isinstance(point, int):
            versions[SOURCES] = point
        if versions[SOURCES] is None:
            raise ConfigError(f"{self._tables.sources} did not exist at {moment.isoformat()}")
        return versions

    def _history(self, layout: TableLayout) -> TableHistory | None:
        table = self._tables.of(layout)
        try:
            return TableHistory(table, self._store.history(table))
        except NotFoundError:
            return None

    def _then(self, layout: TableLayout, version: int | None) -> list[Row]:
        if version is None:
            return []
        try:
            return self._rows(layout, version)
        except NotFoundError as error:
            table = self._tables.of(layout)
            raise ConfigError(
                f"version {version} of {table} was vacuumed: what was recorded then is gone"
            ) from error

    def _rows(self, layout: TableLayout, version: int | None) -> list[Row]:
        table = self._tables.of(layout)
        if version is None and self._store.version(table) is None:
            return []
        rows: list[Row] = self._store.read(table, version=version).to_pylist()
        return rows

    def _write(self, part: TableRestore, to: str) -> None:
        now = self._clock()
        stamps = part.layout.stamps
        written = {k: v for k, v in stamps.of(now, self._actor()).items() if k in stamps.each_time}
        note = {"actor": self._actor(), "verb": "restore", "to": to}
        self._store.merge(
            self._tables.of(part.layout),
            [{**row, **written} for row in part.rows],
            keys=part.layout.keys,
            insert_only=stamps.once,
            touch=stamps.each_time,
            scope=part.scope,
            note=note,
        )
        events = [self._event(part.layout, change, now) for change in part.changes]
        table = self._tables.of(EVENTS)
        self._store.ensure(table, EVENTS)
        self._store.append(table, events, note=note)

    def _event(self, layout: TableLayout, change: RowChange, now: datetime) -> Row:
        return {
            "at": now,
            "actor": self._actor(),
            "verb": "restore",
            "object": f"{self._tables.of(layout).name}: {key_text(change.key)}",
            "action": change.action,
            "before": canonical_json(change.before) if change.before else None,
            "after": canonical_json(change.after) if change.after else None,
            "outcome": "done",
        }
