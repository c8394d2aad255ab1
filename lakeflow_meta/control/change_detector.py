"""The change detector: recorded now against what was last applied, or against an earlier time.

Both compare content. What is read is in proportion to what changed: two versions of a table give
the modules whose rows differ, and only these are read and compared in full. A row that cannot be
read is a problem of its module, which is then left out of the answer; the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from lakeflow_meta.arrow_values import rows_of
from lakeflow_meta.control.change_memory import ChangeMemory, modules_of_changes
from lakeflow_meta.control.changes import Changes, ModuleState, detect, recorded_states
from lakeflow_meta.control.moment import TableHistory, read_time
from lakeflow_meta.control.row_times import COLUMNS, may_differ, rows_then
from lakeflow_meta.control.rows import NO_MODULE, BadRow, Recorded, Row, read_recorded
from lakeflow_meta.control.sync import TIMES
from lakeflow_meta.control.tables import (
    JOBS,
    MODULES,
    SOURCES,
    TABLES,
    ControlTables,
    TableLayout,
)
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.jobs.records import JobRecord, read_records
from lakeflow_meta.ports import Actor, ControlStore, nobody

logger = logging.getLogger(__name__)

RECORDED = (SOURCES, MODULES, TABLES)
"""Tables that modules are put together from, in the order of `read_recorded`."""

_MANY_MODULES = 1000
"""From so many on, reading a whole table is cheaper than asking for them by name."""


@dataclass(frozen=True, slots=True)
class _Past:
    """What is left of one table as it was at a moment.

    ``version`` is None where there was no such table. ``lost``: no version of it can be read, and
    only the timestamp columns of today's rows tell something.
    """

    layout: TableLayout
    version: int | None = None
    lost: bool = False


class ChangeDetector:
    """Answers for one family of control tables. ``actor`` is named in commits of the memory."""

    def __init__(
        self, store: ControlStore, tables: ControlTables, *, actor: Actor = nobody
    ) -> None:
        self._store = store
        self._tables = tables
        self.memory = ChangeMemory(store, tables, actor=actor)

    def changes(self, since: str | datetime | None = None) -> Changes:
        """What differs from what was last applied, or from what was recorded at a time.

        A time needs a zone (ConfigError). Where the history does not reach back to it, timestamp
        columns decide, and a warning in the answer says so.
        """
        return self._since_applied() if since is None else self._since(read_time(since))

    def recorded(self, modules: Collection[str] | None = None) -> Recorded:
        """Modules as they are recorded now; all, or the named ones."""
        rows = {layout: self._rows_about(layout, modules) for layout in RECORDED}
        return self._recorded(rows, modules)

    def remember_answer(self) -> None:
        """Keep what differs now, so that the next answer need not read the rest.

        Versions are read before the answer is made, so that no later commit is missed.
        """
        versions = self.memory.versions()
        self.memory.remember(versions, self.changes().pending)

    # --- since it was applied

    def _since_applied(self) -> Changes:
        suspects = self.memory.suspects()
        if suspects is not None and not suspects:
            return Changes()
        applied, bad_records = self._applied(suspects)
        before = {name: r.applied.state for name, r in applied.items() if r.is_active}
        now = self.recorded(suspects)
        return detect(before, recorded_states(now, before), (*now.bad_rows, *bad_records))

    def _applied(
        self, modules: Collection[str] | None
    ) -> tuple[Mapping[str, JobRecord], tuple[BadRow, ...]]:
        return read_records(self.rows(JOBS, modules=modules), str(self._tables.of(JOBS)))

    # --- since a time

    def _since(self, moment: datetime) -> Changes:
        found: set[str] = set()
        past: list[_Past] = []
        for layout in RECORDED:
            known, names = self._suspects_since(self._past(layout, moment), moment)
            past.append(known)
            found |= names
        rows = {p.layout: self._rows_about(p.layout, found, times=p.lost) for p in past}
        then = {p.layout: self._rows_then(p, moment, rows[p.layout], found) for p in past}
        before = recorded_states(self._recorded(then, found))
        lost = [p.layout for p in past if p.lost]
        for layout in lost:
            _forget(before, layout, [row for row in rows[layout] if may_differ(row, moment)])
        now = self._recorded(rows, found)
        warnings = [self._warning(layout, moment) for layout in lost]
        return detect(before, recorded_states(now), now.bad_rows, warnings)

    def _past(self, layout: TableLayout, moment: datetime) -> _Past:
        table = self._tables.of(layout)
        try:
            history = TableHistory(table, self._store.history(table))
        except NotFoundError:
            return _Past(layout)
        if not history.reaches(moment):
            return _Past(layout, lost=True)
        return _Past(layout, history.version_at(moment))

    def _suspects_since(self, past: _Past, moment: datetime) -> tuple[_Past, set[str]]:
        """Modules whose rows may differ from then; and whether that was lost to a vacuum."""
        table = self._tables.of(past.layout)
        if past.version is not None:
            try:
                found = modules_of_changes(self._store, table, past.layout, past.version)
            except NotFoundError as error:
                logger.debug("%s", error)
                past = _Past(past.layout, lost=True)
            else:
                return past, found
        rows = self.rows(past.layout, columns=COLUMNS)
        differing = [row for row in rows if not past.lost or may_differ(row, moment)]
        return past, {row["module_name"] or NO_MODULE for row in differing}

    def _rows_then(
        self, past: _Past, moment: datetime, now: list[Row], modules: Collection[str]
    ) -> list[Row]:
        if past.lost:
            return rows_then(now, moment)
        if past.version is None:
            return []
        return self._rows_about(past.layout, modules, past.version)

    def _warning(self, layout: TableLayout, moment: datetime) -> str:
        table = self._tables.of(layout)
        text = (
            f"{table} is not known any more as it was at {moment.isoformat()}: compared by its"
            " timestamp columns, so rows that were deleted, or changed without"
            " updated_timestamp, are not seen"
        )
        logger.warning("%s", text)
        return text

    # --- reading

    def _recorded(
        self, rows: Mapping[TableLayout, list[Row]], modules: Collection[str] | None
    ) -> Recorded:
        name = str(self._tables.sources)
        found = read_recorded(*(rows[layout] for layout in RECORDED), table=name)
        return found if modules is None else found.only(modules)

    def _rows_about(
        self,
        layout: TableLayout,
        modules: Collection[str] | None,
        version: int | None = None,
        *,
        times: bool = False,
    ) -> list[Row]:
        """Rows of modules, and for declared tables those that others declare by the same name."""
        rows = self.rows(layout, modules=modules, version=version, times=times)
        if layout is not TABLES or modules is None or not rows:
            return rows
        names = sorted({row["table_name"] for row in rows if row["table_name"]})
        again = self._read(layout, {"table_name": names}, version, None)
        return [*again, *(row for row in rows if not row["table_name"])]

    def rows(
        self,
        layout: TableLayout,
        *,
        version: int | None = None,
        modules: Collection[str] | None = None,
        columns: Collection[str] | None = None,
        times: bool = True,
    ) -> list[Row]:
        """Rows of one table, of all or the named modules; none where it does not exist yet.

        ``times=False`` leaves out when rows were written: as values of Python they take several
        times as long as all other columns together.
        """
        if modules is None:
            return self._read(layout, None, version, columns, times=times)
        if len(modules) > _MANY_MODULES:
            everything = self._read(layout, None, version, columns, times=times)
            return [row for row in everything if (row["module_name"] or NO_MODULE) in modules]
        names: list[str] = sorted(modules)
        found = self._read(layout, {"module_name": names}, version, columns) if names else []
        if NO_MODULE in modules:
            for empty in (None, ""):
                found += self._read(layout, {"module_name": empty}, version, columns)
        return found

    def _read(
        self,
        layout: TableLayout,
        where: Mapping[str, object] | None,
        version: int | None,
        columns: Collection[str] | None,
        *,
        times: bool = True,
    ) -> list[Row]:
        table = self._tables.of(layout)
        named = None if columns is None else list(columns)
        try:
            found = self._store.read(table, columns=named, where=where, version=version)
        except NotFoundError:
            if version is None and self._store.version(table) is None:
                return []
            raise
        if not times:
            found = found.select([name for name in found.column_names if name not in TIMES])
        rows: list[Row] = rows_of(found)
        return rows


def _forget(states: dict[str, ModuleState], layout: TableLayout, rows: Iterable[Row]) -> None:
    """Mark the content of rows as one that nobody knows any more."""
    for row in rows:
        name = row["module_name"]
        if name in states:
            states[name] = states[name].without(row["source_id"] if layout is SOURCES else "")
