"""Takes the control tables of older programs over, and brings our own up to date.

Older tables are only read. Their rows are added to our family of tables, records of jobs first: a
process that dies half way leaves records without modules, which nothing acts on, and never modules
without records, whose jobs would be made a second time. What is recorded already is left as it is,
so a second run adds nothing, and neither undoes what people changed since the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakeflow_meta.control.layouts import (
    Layout,
    OlderTables,
    Translated,
    is_contract,
    layout_of,
    translate,
    untaken_columns,
)
from lakeflow_meta.control.rows import Row, read_recorded
from lakeflow_meta.control.sync import TIMES, key_of, key_text
from lakeflow_meta.control.tables import (
    EVENTS,
    JOBS,
    MODULES,
    SOURCES,
    ControlTables,
    TableLayout,
)
from lakeflow_meta.errors import BackendError, ConfigError, NotFoundError, Problem, SpecError
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.jobs.job_settings import JobContext, build_job, has_tasks
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Actor, Clock, ControlStore, nobody, utc_now

_JOB_IDENTITY = ("module_name", "job_id")


@dataclass(frozen=True, slots=True)
class TableMigration:
    """What becomes of one control table. ``kept`` rows are recorded already, and differ."""

    layout: TableLayout
    added: tuple[Row, ...] = ()
    same: int = 0
    kept: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The added rows by their key."""
        return sorted(key_text(key_of(row, self.layout.keys)) for row in self.added)


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a migration did, or would do."""

    older: str
    layout: Layout
    control_table: str
    tables: Mapping[str, TableMigration] = field(default_factory=dict)
    created: tuple[str, ...] = ()
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Columns that are added to tables which are there, by table."""
    untaken: tuple[str, ...] = ()
    """Columns of the older table that nothing of ours takes up; they stay where they are."""
    notes: tuple[Problem, ...] = ()
    dry_run: bool = False

    def __bool__(self) -> bool:
        return bool(self.created or self.columns or any(t.added for t in self.tables.values()))

    def to_dict(self) -> dict[str, Any]:
        """The JSON result of ``migrate``."""
        return {
            "from": self.older,
            "layout": self.layout.value,
            "control_table": self.control_table,
            "added": {name: table.names for name, table in self.tables.items()},
            "unchanged": sum(table.same for table in self.tables.values()),
            "kept": {name: list(t.kept) for name, t in self.tables.items() if t.kept},
            "tables_created": list(self.created),
            "columns_added": {name: list(columns) for name, columns in self.columns.items()},
            "columns_not_taken": list(self.untaken),
            "notes": [str(note) for note in self.notes],
            "dry_run": self.dry_run,
        }

    def lines(self) -> Iterable[str]:
        """For people."""
        yield f"{self.older}: {self.layout.value}"
        for name in self.created:
            yield f"+ table {name}"
        for name, columns in self.columns.items():
            yield f"~ table {name}: new columns {', '.join(columns)}"
        for name, table in self.tables.items():
            yield from (f"+ {name}: {key}" for key in table.names)
            yield from (f"= {name}: {key} is recorded with other content" for key in table.kept)
        if self.untaken:
            yield f"not taken over: column {', '.join(self.untaken)}"
        yield from (f"note: {note}" for note in self.notes)
        added = sum(len(table.added) for table in self.tables.values())
        same = sum(table.same for table in self.tables.values())
        kept = sum(len(table.kept) for table in self.tables.values())
        prefix = "would be: " if self.dry_run else ""
        yield f"{prefix}added {added}, unchanged {same}, kept {kept}"


class Migrator:
    """Migrates into the control tables ``tables`` of ``store``; reads from ``source``.

    ``source`` is the store that keeps the older tables, the same one where nothing is said.
    """

    def __init__(
        self,
        store: ControlStore,
        tables: ControlTables,
        *,
        context: JobContext,
        source: ControlStore | None = None,
        actor: Actor = nobody,
        clock: Clock = utc_now,
    ) -> None:
        self._store = store
        self._tables = tables
        self._context = context
        self._source = source or store
        self._actor = actor
        self._clock = clock

    def migrate(
        self,
        older: TableName | None = None,
        *,
        jobs_table: TableName | None = None,
        dry_run: bool = False,
    ) -> MigrationReport:
        """Take the rows of ``older`` and of its ``_jobs`` table over.

        Without ``older``, or with the name of the control table itself, that is brought up to
        date in place. Raises NotFoundError for a table that does not exist, ConfigError for one
        that cannot be taken over, SpecError with every row that cannot be read; then nothing is
        written.
        """
        older = older or self._tables.sources
        jobs_table = jobs_table or older.sibling(older.name + JOBS.suffix)
        found = self._source.read(older)
        columns = found.schema.names
        layout = layout_of(columns, str(older))
        in_place = older.key == self._tables.sources.key and self._source is self._store
        self._refuse(older, jobs_table, layout, columns, in_place=in_place)
        translated = Translated()
        if layout is not Layout.OWN:
            translated = self._translate(layout, older, found.to_pylist(), jobs_table)
        report = MigrationReport(
            str(older),
            layout,
            str(self._tables.sources),
            self._compare(translated, in_place=in_place),
            self._absent(),
            self._missing_columns() if in_place else {},
            tuple(untaken_columns(layout, columns)) if layout is not Layout.OWN else (),
            tuple(sorted({*translated.notes, *self._findings(translated)})),
            dry_run,
        )
        if report and not dry_run:
            self._write(report, in_place=in_place)
        return report

    # --- what may be migrated

    def _refuse(
        self,
        older: TableName,
        jobs_table: TableName,
        layout: Layout,
        columns: Sequence[str],
        *,
        in_place: bool,
    ) -> None:
        if in_place:
            if layout is not Layout.OWN and not is_contract(columns):
                raise ConfigError(
                    f"{older} has the columns of {layout.value} and cannot become a control table"
                    f" in place; {_OTHER_NAME}"
                )
            return
        if layout is Layout.OWN:
            raise ConfigError(
                f"{older} is a control table of lakeflow_meta already; use it by its name:"
                f" lakeflow-meta --control-table {older} …"
            )
        if self._source is self._store:
            clash = {older.key, jobs_table.key} & {table.key for table in self._tables.all()}
            if clash:
                raise ConfigError(
                    f"{', '.join(sorted(clash))} is an older table, and would be one of the"
                    f" control tables of {self._tables.sources}; {_OTHER_NAME}"
                )

    def _translate(
        self, layout: Layout, older: TableName, rows: Sequence[Row], jobs_table: TableName
    ) -> Translated:
        try:
            jobs = self._source.read(jobs_table).to_pylist()
        except NotFoundError:
            jobs = None
        translated = translate(OlderTables(layout, str(older), rows, jobs or ()))
        if translated.problems:
            raise SpecError(translated.problems)
        if jobs is None:
            text = "there is no jobs table, so no job ids; `apply` would create new jobs"
            hint = "name it with --jobs-table if it has another name"
            translated.notes.append(Problem(str(jobs_table), 0, 0, "", text, hint))
        return translated

    # --- what would be written

    def _compare(self, translated: Translated, *, in_place: bool) -> dict[str, TableMigration]:
        offers = [(JOBS, translated.jobs), (MODULES, translated.modules)]
        offers.append((SOURCES, translated.sources))
        if in_place:  # the rows of the two others are there already
            offers = [(MODULES, translated.modules)]
        return {
            self._tables.of(layout).name: self._compare_table(layout, rows)
            for layout, rows in offers
        }

    def _compare_table(self, layout: TableLayout, rows: Sequence[Row]) -> TableMigration:
        recorded = {key_of(row, layout.keys): row for row in self._rows(layout)}
        added, kept, same = [], [], 0
        for row in rows:
            key = key_of(row, layout.keys)
            there = recorded.get(key)
            if there is None:
                added.append(row)
            elif _differs(layout, row, there):
                kept.append(key_text(key))
            else:
                same += 1
        return TableMigration(layout, tuple(added), same, tuple(sorted(kept)))

    def _rows(self, layout: TableLayout) -> list[Row]:
        try:
            found: list[Row] = self._store.read(self._tables.of(layout)).to_pylist()
        except NotFoundError:
            return []
        return found

    def _absent(self) -> tuple[str, ...]:
        return tuple(
            table.name for table in self._tables.all() if self._store.version(table) is None
        )

    def _missing_columns(self) -> dict[str, tuple[str, ...]]:
        missing: dict[str, tuple[str, ...]] = {}
        for table, layout in self._tables.all().items():
            if self._store.version(table) is not None:
                present = {name.lower() for name in self._store.read(table).schema.names}
                lacking = tuple(name for name in layout.names if name not in present)
                missing |= {table.name: lacking} if lacking else {}
        return missing

    def _findings(self, translated: Translated) -> list[Problem]:
        """What keeps a module from being a job here: to be corrected once it is taken over."""
        recorded = read_recorded(translated.sources, translated.modules, (), table="")
        problems: list[Problem] = []
        for module in recorded.modules.values():
            try:
                if has_tasks(module):
                    build_job(module, self._context)
            except SpecError as error:
                problems += error.problems
        return problems

    # --- writing

    def _write(self, report: MigrationReport, *, in_place: bool) -> None:
        try:
            for table, layout in self._tables.all().items():
                self._store.ensure(table, layout)
        except BackendError as error:
            if error.transient or not in_place:
                raise
            raise ConfigError(
                f"{report.older} cannot be brought up to date in place: {error}; {_OTHER_NAME}"
            ) from error
        for migration in report.tables.values():
            if migration.added:
                self._add(migration, report.older)

    def _add(self, migration: TableMigration, older: str) -> None:
        now = self._clock()
        layout = migration.layout
        rows = [{**row, **{name: row[name] or now for name in TIMES}} for row in migration.added]
        self._store.merge(
            self._tables.of(layout),
            rows,
            keys=layout.keys,
            insert_only=[name for name in rows[0] if name not in layout.keys],
            note=self._note(),
        )
        events = [
            {
                "at": now,
                "actor": self._actor(),
                "verb": "migrate",
                "object": name,
                "action": "added",
                "before": canonical_json({"table": older}),
                "outcome": "done",
            }
            for name in migration.names
        ]
        self._store.append(self._tables.of(EVENTS), events, note=self._note())

    def _note(self) -> dict[str, str]:
        return {"actor": self._actor(), "verb": "migrate"}


_OTHER_NAME = (
    "take it over under another name: lakeflow-meta --control-table CATALOG.SCHEMA.NEW_NAME migrate"
    " OLDER_TABLE"
)


def _differs(layout: TableLayout, row: Row, there: Mapping[str, Any]) -> bool:
    """Whether a recorded row says something else; of a job only whose it is and which one."""
    names = _JOB_IDENTITY if layout is JOBS else [n for n in row if n not in TIMES]
    return any(there.get(name) != row[name] for name in names)
