"""`MetadataManager`: keeper of the control tables. Declared → recorded, SQL, export, changes."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from lakeflow_meta.control.change_detector import ChangeDetector
from lakeflow_meta.control.changes import Changes
from lakeflow_meta.control.rows import Recorded, is_active
from lakeflow_meta.control.sql.result import SqlResult as SqlResult
from lakeflow_meta.control.sync import SyncReport, TableSync, compare
from lakeflow_meta.control.tables import (
    DDL_SCRIPTS,
    EVENTS,
    EXTRACT_DETAILS,
    EXTRACTS,
    MODULES,
    SOURCES,
    TABLES,
    ControlTables,
    TableLayout,
)
from lakeflow_meta.errors import SpecError
from lakeflow_meta.ports import Actor, Clock, ControlStore, Row, nobody, utc_now

if TYPE_CHECKING:
    from lakeflow_meta.control.declared import Declared
    from lakeflow_meta.extract.recorded import RecordedExtracts


class MetadataManager:
    """Keeps the control tables around ``control_table``.

    Every write of a control table is one transaction; a load writes one per table that changes,
    settings before sources, so that a load which dies half way is completed by loading again.
    """

    def __init__(
        self,
        control_table: str,
        *,
        store: ControlStore,
        actor: Actor = nobody,
        clock: Clock = utc_now,
    ) -> None:
        self.tables = ControlTables.named(control_table)
        self._store = store
        self._actor = actor
        self._clock = clock
        self._detector = ChangeDetector(store, self.tables, actor=actor)
        self.memory = self._detector.memory

    # --- tables

    def ensure_exists(self) -> list[str]:
        """Create the control tables that are absent; their names."""
        return [
            str(table)
            for table, layout in self.tables.all().items()
            if self._store.ensure(table, layout)
        ]

    # --- declared → recorded

    def plan_load(self, declared: Declared, *, prune: bool = False) -> SyncReport:
        """What `load` would write. Raises SpecError when anything declared is wrong."""
        if declared.problems:
            raise SpecError(declared.problems)
        offers = (
            (MODULES, declared.modules),
            (DDL_SCRIPTS, declared.ddl_scripts),
            (EXTRACT_DETAILS, declared.extract_details),
            (EXTRACTS, declared.extracts),
            (TABLES, declared.tables),
            (SOURCES, declared.sources),
        )
        return SyncReport(
            {
                self.tables.of(layout).name: compare(layout, rows, self._rows(layout), prune=prune)
                for layout, rows in offers
            },
            dry_run=True,
        )

    def load(self, declared: Declared, *, prune: bool = False) -> SyncReport:
        """Record what is declared. What is the same already is not written again."""
        planned = self.plan_load(declared, prune=prune)
        if planned:
            self.ensure_exists()
        for sync in planned.tables.values():
            if sync:
                self._write(sync, prune=prune)
        return SyncReport(planned.tables)

    def _write(self, sync: TableSync, *, prune: bool) -> None:
        rows = [*sync.added, *sync.changed, *(sync.same if prune else ())]
        stamps = sync.layout.stamps
        now = stamps.of(self._clock(), self._actor())
        self._store.merge(
            self.tables.of(sync.layout),
            [{**row, **now} for row in rows],
            keys=sync.layout.keys,
            insert_only=stamps.once,
            touch=stamps.each_time,
            scope={} if prune else None,
            note=self._note("sync"),
        )
        self._record("sync", sync)

    def _record(self, verb: str, sync: TableSync) -> None:
        report = sync.to_dict()
        events = [
            self._event(verb, name, action)
            for action in ("added", "changed", "removed")
            for name in report[action]
        ]
        self._store.append(self.tables.of(EVENTS), events, note=self._note(verb))

    # --- recorded

    def recorded(self) -> Recorded:
        """Modules as they are recorded now, and the rows that cannot be read."""
        return self._detector.recorded()

    def get_all_modules(self) -> list[str]:
        """Names of all active modules, sorted."""
        return [name for name, module in self.recorded().modules.items() if module.is_active]

    def get_module_sources(self, module_name: str) -> list[Row]:
        """Rows of the active sources of a module, by execution order."""
        rows = self._detector.rows(SOURCES, modules=[module_name])
        return sorted((row for row in rows if is_active(row)), key=_row_order)

    def recorded_extracts(self) -> RecordedExtracts:
        """Extracts as recorded now, inactive ones too, and the rows that cannot be read."""
        from lakeflow_meta.extract.recorded import read_extracts

        rows, details = self._rows(EXTRACTS), self._rows(EXTRACT_DETAILS)
        return read_extracts(rows, details, table=str(self.tables.sources))

    # --- changes

    def detect_changes(self, last_check_timestamp: str | datetime | None = None) -> dict[str, Any]:
        """What changed since it was last applied, or since a time; both spellings in one dict.

        A time needs a zone: raises ConfigError for one that has none or cannot be read. Rows that
        cannot be read are in ``problems``, and their modules in no other list.
        """
        return self.changes(last_check_timestamp).to_dict()

    def changes(self, since: str | datetime | None = None) -> Changes:
        """`detect_changes` as a value. Reads only modules that may differ, where that is known."""
        return self._detector.changes(since)

    def remember_answer(self) -> None:
        """After an apply: keep what differs now, so that the next answer need not read the rest."""
        self._detector.remember_answer()

    def _rows(self, layout: TableLayout) -> list[Row]:
        """Rows of one table, without their times; none where the table does not exist yet."""
        return self._detector.rows(layout, times=False)

    # --- export

    def export(self) -> str:
        """The recorded state as YAML: the same bytes each time, and loading it gives it back.

        Raises SpecError where rows of extracts cannot be read: YAML could not say what they hold.
        """
        from lakeflow_meta.control.export import export_yaml

        extracts = self.recorded_extracts()
        if extracts.bad:
            raise SpecError([bad.problem for bad in extracts.bad])
        return export_yaml(
            sources=self._rows(SOURCES),
            modules=self._rows(MODULES),
            tables=self._rows(TABLES),
            scripts=self._rows(DDL_SCRIPTS),
            extracts=extracts.extracts,
        )

    # --- SQL

    def sql(self, statement: str) -> list[SqlResult]:
        """Run SELECT, INSERT, UPDATE, DELETE or MERGE on control tables; one result a statement.

        INSERT may leave out trailing columns; timestamps and ``is_active`` that a statement leaves
        out are filled. Nothing runs when any of several statements may not run (SpecError).
        """
        from lakeflow_meta.control.sql.runner import SqlRunner

        runner = SqlRunner(self._store, self.tables, actor=self._actor, clock=self._clock)
        return runner.run(statement)

    # --- who

    def _note(self, verb: str) -> dict[str, str]:
        return {"actor": self._actor(), "verb": verb}

    def _event(self, verb: str, name: str, action: str) -> Row:
        return {
            "at": self._clock(),
            "actor": self._actor(),
            "verb": verb,
            "object": name,
            "action": action,
            "outcome": "done",
        }


def _row_order(row: Row) -> tuple[bool, int, str]:
    order = row["execution_order"]
    return (order is None, order or 0, row["source_id"] or "")
