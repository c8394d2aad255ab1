"""`MetadataManager`: keeper of the control tables. Declared → recorded, SQL, export, changes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lakeflow_meta.control.change_memory import ChangeMemory
from lakeflow_meta.control.changes import (
    Changes,
    ModuleState,
    active_states,
    detect,
)
from lakeflow_meta.control.rows import Recorded, read_recorded
from lakeflow_meta.control.sync import SyncReport, TableSync, compare
from lakeflow_meta.control.tables import (
    DDL_SCRIPTS,
    EVENTS,
    JOBS,
    MODULES,
    SOURCES,
    TABLES,
    ControlTables,
    TableLayout,
)
from lakeflow_meta.errors import ConfigError, ConflictError, NotFoundError, Problem, SpecError
from lakeflow_meta.ports import Clock, ControlStore, Row, utc_now

if TYPE_CHECKING:
    from lakeflow_meta.control.declared import Declared
    from lakeflow_meta.control.statements import Insert, Statement

_JSON_COLUMNS = ("source_config", "target_config", "transformation_config", "job_config")
_CREATED, _UPDATED = "created_timestamp", "updated_timestamp"


@dataclass(frozen=True, slots=True)
class SqlResult:
    """What one statement gave: rows of a SELECT, or how many rows it touched."""

    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] | None = None
    rows_affected: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The JSON result of ``sql``."""
        if self.rows is None:
            return {"rows_affected": self.rows_affected}
        return {"rows": list(self.rows)}


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
        actor: str = "",
        clock: Clock = utc_now,
    ) -> None:
        self.tables = ControlTables.named(control_table)
        self._store = store
        self._actor = actor
        self._clock = clock
        self.memory = ChangeMemory(store, self.tables, actor=actor)

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
        self.ensure_exists()
        for sync in planned.tables.values():
            if sync:
                self._write(sync, prune=prune)
        return SyncReport(planned.tables)

    def _write(self, sync: TableSync, *, prune: bool) -> None:
        rows = [*sync.added, *sync.changed, *(sync.same if prune else ())]
        now = self._clock()
        self._store.merge(
            self.tables.of(sync.layout),
            [{**row, _CREATED: now, _UPDATED: now} for row in rows],
            keys=sync.layout.keys,
            insert_only=(_CREATED,),
            touch=(_UPDATED,),
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

    def recorded(
        self,
        *,
        versions: Mapping[TableLayout, int] | None = None,
        modules: Collection[str] | None = None,
    ) -> Recorded:
        """Modules as they are recorded, now or at a version of each table; all, or the named."""
        at = versions or {}
        return read_recorded(
            *(self._rows(layout, at.get(layout), modules) for layout in (SOURCES, MODULES, TABLES)),
            table=str(self.tables.sources),
        )

    def get_all_modules(self) -> list[str]:
        """Names of all active modules, sorted."""
        return [name for name, module in self.recorded().modules.items() if module.is_active]

    def get_module_sources(self, module_name: str) -> list[Row]:
        """Rows of the active sources of a module, by execution order."""
        rows = [
            row
            for row in self._rows(SOURCES)
            if row["module_name"] == module_name and row["is_active"] is not False
        ]
        return sorted(rows, key=_row_order)

    def detect_changes(self, last_check_timestamp: str | datetime | None = None) -> dict[str, Any]:
        """What changed since it was last applied, or since a time; both spellings in one dict.

        A time needs a zone. Raises ConfigError for a time that cannot be read or is older than
        the history, SpecError when rows cannot be read.
        """
        return self.changes(last_check_timestamp).to_dict()

    def changes(self, since: str | datetime | None = None) -> Changes:
        """`detect_changes` as a value. Reads only modules that may differ, where that is known."""
        if since is not None:
            versions = self._versions_at(_moment(since))
            return detect(self._states(versions), self._states())
        suspects = self.memory.suspects()
        if suspects is not None and not suspects:
            return Changes()
        return detect(self._applied(suspects), self._states(modules=suspects))

    def remember_answer(self) -> None:
        """After an apply: keep what differs now, so that the next answer need not read the rest."""
        versions = self.memory.versions()
        try:
            found = self.changes()
        except SpecError:
            return  # `changes` tells people; nothing is remembered of what cannot be read
        differing = {*found.new_modules, *found.updated_modules, *found.deactivated_modules}
        self.memory.remember(versions, differing)

    def _states(
        self,
        versions: Mapping[TableLayout, int] | None = None,
        modules: Collection[str] | None = None,
    ) -> dict[str, ModuleState]:
        recorded = self.recorded(versions=versions, modules=modules)
        if recorded.problems:
            raise SpecError(recorded.problems)
        return active_states(recorded.modules)

    def _applied(self, modules: Collection[str] | None) -> dict[str, ModuleState]:
        return {
            row["module_name"]: ModuleState.from_dict(json.loads(row["applied_state"] or "{}"))
            for row in self._rows(JOBS, modules=modules)
            if row["is_active"] is not False
        }

    def _versions_at(self, moment: datetime) -> dict[TableLayout, int]:
        return {layout: self._version_at(layout, moment) for layout in (SOURCES, MODULES, TABLES)}

    def _version_at(self, layout: TableLayout, moment: datetime) -> int:
        commits = [c for c in self._store.history(self.tables.of(layout)) if c.at <= moment]
        if not commits:
            raise ConfigError(
                f"{self.tables.of(layout)} has no history as old as {moment.isoformat()}"
            )
        return commits[-1].version

    def _rows(
        self,
        layout: TableLayout,
        version: int | None = None,
        modules: Collection[str] | None = None,
    ) -> list[Row]:
        """Rows of one table; none where the table does not exist yet."""
        table = self.tables.of(layout)
        where = None if modules is None else {"module_name": sorted(modules)}
        try:
            found: list[Row] = self._store.read(table, where=where, version=version).to_pylist()
        except NotFoundError:
            if version is None and self._store.version(table) is None:
                return []
            raise
        return found

    # --- export

    def export(self) -> str:
        """The recorded state as YAML: the same bytes each time, and loading it gives it back."""
        from lakeflow_meta.control.export import export_yaml

        return export_yaml(
            sources=self._rows(SOURCES),
            modules=self._rows(MODULES),
            tables=self._rows(TABLES),
            scripts=self._rows(DDL_SCRIPTS),
        )

    # --- SQL

    def sql(self, statement: str) -> list[SqlResult]:
        """Run SELECT, INSERT, UPDATE or DELETE on control tables; one result a statement.

        INSERT may leave out trailing columns; timestamps and ``is_active`` that a statement leaves
        out are filled. Nothing runs when any of several statements cannot be read (SpecError).
        """
        from lakeflow_meta.control.statements import parse_statements

        statements = parse_statements(statement, self.tables, now=self._clock())
        self.ensure_exists()
        return [self._run(parsed) for parsed in statements]

    def _run(self, statement: Statement) -> SqlResult:
        from lakeflow_meta.control.statements import (
            Delete,
            Insert,
            Select,
            Update,
            timestamp_expression,
        )

        match statement:
            case Select():
                found = self._store.select(statement.query, self._names())
                return SqlResult(tuple(found.schema.names), tuple(found.to_pylist()))
            case Insert():
                return SqlResult(rows_affected=self._insert(statement))
            case Update():
                assignments = dict(statement.assignments)
                if _UPDATED in statement.layout.names:
                    assignments.setdefault(_UPDATED, timestamp_expression(self._clock()))
                count = self._store.update(
                    statement.table, assignments, statement.where, note=self._note("sql")
                )
                return self._sql_done(statement.table.name, "updated", count)
            case Delete():
                count = self._store.delete(statement.table, statement.where, note=self._note("sql"))
                return self._sql_done(statement.table.name, "deleted", count)

    def _insert(self, statement: Insert) -> int:
        values = statement.rows
        if statement.query is not None:
            found = self._store.select(statement.query, self._names())
            values = tuple(tuple(row.values()) for row in found.to_pylist())
        rows = [
            self._filled(dict(zip(statement.columns, row, strict=True)), statement.layout)
            for row in values
        ]
        self._refuse_bad(rows, statement)
        self._store.append(statement.table, rows, note=self._note("sql"))
        self._sql_done(statement.table.name, "inserted", len(rows))
        return len(rows)

    def _filled(self, row: Row, layout: TableLayout) -> Row:
        now = self._clock()
        defaults = {"is_active": True, _CREATED: now, _UPDATED: now}
        for name, value in defaults.items():
            if name in layout.names and row.get(name) is None:
                row[name] = value
        return row

    def _refuse_bad(self, rows: Sequence[Row], statement: Insert) -> None:
        problems = [
            Problem(str(statement.table), 0, 0, column, f"{row[column]!r} is not JSON")
            for row in rows
            for column in _JSON_COLUMNS
            if row.get(column) is not None and not _is_json(row[column])
        ]
        if problems:
            raise SpecError(problems)
        keys = statement.layout.keys
        if not keys:
            return
        known = {tuple(r[k] for k in keys) for r in self._rows(statement.layout)}
        new = [tuple(row.get(k) for k in keys) for row in rows]
        again = sorted({"/".join(map(str, k)) for k in new if k in known or new.count(k) > 1})
        if again:
            raise ConflictError(
                f"{statement.table} already has {', '.join(again)}; use UPDATE, or DELETE it first"
            )

    def _names(self) -> dict[str, Any]:
        return {table.name.lower(): table for table in self.tables.all()}

    def _sql_done(self, table: str, action: str, count: int) -> SqlResult:
        if count:
            event = self._event("sql", table, f"{count} {action}")
            self._store.append(self.tables.of(EVENTS), [event], note=self._note("sql"))
        return SqlResult(rows_affected=count)

    # --- who

    def _note(self, verb: str) -> dict[str, str]:
        return {"actor": self._actor, "verb": verb}

    def _event(self, verb: str, name: str, action: str) -> Row:
        return {
            "at": self._clock(),
            "actor": self._actor,
            "verb": verb,
            "object": name,
            "action": action,
            "outcome": "done",
        }


def _row_order(row: Row) -> tuple[bool, int, str]:
    order = row["execution_order"]
    return (order is None, order or 0, row["source_id"])


def _moment(since: str | datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(since) if isinstance(since, str) else since
    except ValueError as error:
        raise ConfigError(f"{since!r} is not a time; write 2025-01-31T08:00:00+00:00") from error
    if moment.tzinfo is None:
        raise ConfigError(f"time {since} has no zone; write {since}+00:00 for UTC")
    return moment


def _is_json(text: Any) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (json.JSONDecodeError, TypeError):
        return False
