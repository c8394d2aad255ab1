"""What people ask for with ``tables``. Between app and cli, as `operations`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeflow_meta.control.tables import TABLES
from lakeflow_meta.errors import (
    ConfigError,
    NotFoundError,
    Problem,
    SpecError,
    SyncFailedError,
)
from lakeflow_meta.findings import did_you_mean
from lakeflow_meta.operations import read_text, rows_of, titled, write_text

if TYPE_CHECKING:
    from lakeflow_meta.app import App
    from lakeflow_meta.control.rows import Row
    from lakeflow_meta.schema.imported import ImportedTables
    from lakeflow_meta.schema.plan import SchemaPlan
    from lakeflow_meta.schema.plan_file import KeptPlan, PlanOrigin
    from lakeflow_meta.schema.registry import Registry
    from lakeflow_meta.schema.report import SyncReport


@dataclass(frozen=True, slots=True)
class TablesPlan:
    """What `sync_tables` would do; ``problems`` are of rows that cannot be read."""

    plan: SchemaPlan
    problems: Sequence[Problem] = ()

    @property
    def has_changes(self) -> bool:
        """Whether a sync would run statements."""
        return self.plan.has_changes

    @property
    def has_rejections(self) -> bool:
        """Whether a sync would fail for at least one table."""
        return bool(self.problems) or self.plan.has_rejections

    def to_dict(self) -> dict[str, Any]:
        """The JSON result of ``tables plan``."""
        return {**self.plan.to_dict(), "problems": [asdict(p) for p in self.problems]}

    def sql_text(self) -> str:
        """The statements as a script; what is wrong, and with which table, as its comments."""
        refused = [f"-- ! {t.name}: {r}" for t in self.plan.tables for r in t.rejections]
        problems = [f"-- ! {problem}" for problem in self.problems]
        lines = [line.replace("\n", " ") for line in [*refused, *problems]]
        return "\n".join([*lines, self.plan.sql_text()])

    def text(self) -> str:
        """The plan as a diff, then what is wrong with rows."""
        return "\n".join([self.plan.text(), *_problem_lines(self.problems)])


@dataclass(frozen=True, slots=True)
class TablesSync:
    """What a sync did; ``problems`` are of rows that could not be read."""

    report: SyncReport
    problems: Sequence[Problem] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON result of ``tables sync``."""
        return {**self.report.to_dict(), "problems": [asdict(p) for p in self.problems]}

    def text(self) -> str:
        """What was done, then what is wrong with rows."""
        return "\n".join([self.report.text(), *_problem_lines(self.problems)])

    def raise_failures(self) -> None:
        """Raise SyncFailedError, which carries this, when a table failed or cannot be read."""
        failures = [f"{outcome.name}: {outcome.error}" for outcome in self.report.failures]
        failures += map(str, self.problems)
        if failures:
            raise SyncFailedError(titled(failures), self)


def _problem_lines(problems: Sequence[Problem]) -> list[str]:
    return [f"✗ {problem}" for problem in problems]


def plan_tables(app: App, names: Sequence[str] | None, module: str | None) -> TablesPlan:
    """What `sync_tables` would do. Raises as it does."""
    tables, problems = _chosen_registry(app, names, module)
    return TablesPlan(app.schema_engine.plan(tables), problems)


def sync_tables(
    app: App, names: Sequence[str] | None, module: str | None, *, plan_file: Path | None = None
) -> TablesSync:
    """Make the declared tables; failures, and rows that cannot be read, are in the result.

    With ``plan_file`` exactly what `keep_plan` wrote, or nothing. Raises SpecError for named tables
    whose rows cannot be read, and for tables that do not fit together, ConfigError for names that
    nobody declared, ConflictError where the plan in the file does not hold any more.
    """
    kept = None if plan_file is None else _kept_plan(app, plan_file)
    tables, problems = _chosen_registry(app, names if kept is None else kept.names, module)
    try:
        return TablesSync(app.schema_engine.sync(tables, kept=kept), problems)
    except SyncFailedError as error:
        return TablesSync(error.report, problems)


def keep_plan(app: App, found: TablesPlan, path: Path) -> None:
    """Write a plan for `sync_tables`. Raises ConfigError, SpecError for rows that are wrong."""
    from lakeflow_meta.schema.plan_file import plan_text

    if found.problems:
        raise SpecError(found.problems)
    write_text(path, plan_text(found.plan, _origin(app)))


def _kept_plan(app: App, path: Path) -> KeptPlan:
    from lakeflow_meta.schema.plan_file import read_plan

    return read_plan(read_text(path), str(path), _origin(app))


def _origin(app: App) -> PlanOrigin:
    from lakeflow_meta.schema.plan_file import PlanOrigin

    made_at = app.clock().isoformat(timespec="seconds")
    return PlanOrigin(app.settings.target, app.settings.control_table, made_at, app.actor())


def _chosen_registry(
    app: App, names: Sequence[str] | None, module: str | None
) -> tuple[Registry, Sequence[Problem]]:
    tables, problems = registry_of(app, names, module)
    if problems and names is not None:
        raise SpecError(problems)
    return tables, problems


def import_tables(app: App, names: Sequence[str], *, strict: bool) -> ImportedTables:
    """Declarations of tables that exist: full names, or ``catalog.schema`` for all of a schema.

    Our own control tables are left out of a schema. Raises ConfigError for other names,
    NotFoundError for a schema that is not there, BackendError.
    """
    from lakeflow_meta.schema.imported import import_tables as declarations
    from lakeflow_meta.schema.imported import read_wanted
    from lakeflow_meta.schema.table import Policy

    wanted = read_wanted(names)
    reader = app.table_reader
    own = {table.key for table in app.tables.all()}
    listed = [
        table
        for catalog, schema in wanted.schemas
        for table in reader.tables_of(catalog, schema)
        if table.key not in own
    ]
    policy = Policy.STRICT if strict else Policy.ADDITIVE
    states = reader.describe(wanted.names(listed))
    return declarations(states, app.target.sync_terms.capabilities, policy)


def undeclared_tables(app: App) -> list[str]:
    """Tables and views beside declared ones, in the same schemas, that nobody declared.

    Raises BackendError.
    """
    from lakeflow_meta.schema.recorded_tables import table_key

    tables, _ = registry_of(app, None)
    own = {table_key(row["table_name"]) for row in _table_rows(app)}  # also those that are wrong
    own |= {table.key for table in app.tables.all()}
    schemas = {(t.full_name.catalog.lower(), t.full_name.schema.lower()) for t in tables}
    found = []
    for catalog, schema in sorted(schemas):
        try:
            found += app.table_reader.tables_of(catalog, schema)
        except NotFoundError:
            continue  # its tables are yet to be made
    return sorted(str(name) for name in found if name.key not in own)


def registry_of(
    app: App, names: Sequence[str] | None, module: str | None = None
) -> tuple[Registry, list[Problem]]:
    """Declared, active tables: all, the named ones, or a module's; and what is wrong with others.

    A table whose row cannot be read, or whose name is against the settings, is not among them: as
    the parent of a foreign key it is one that nobody declared, and looked up where it lives.
    Raises ConfigError.
    """
    from lakeflow_meta.schema.recorded_tables import read_tables
    from lakeflow_meta.schema.registry import NamePolicy, Registry

    rows = _table_rows(app)
    chosen = _chosen_keys(rows, names, module)
    tables, problems = read_tables(rows, str(app.tables.of(TABLES)))
    policy = NamePolicy(**app.settings.naming.model_dump())
    for table in tables:
        if against := list(policy.problems(table)):
            problems[table.full_name.key] = against
    sound = [table for table in tables if table.full_name.key not in problems]
    wanted = [table.full_name for table in sound if table.full_name.key in chosen]
    bad = [problem for key in problems if key in chosen for problem in problems[key]]
    return Registry(sound).subset(wanted), sorted(bad)


def declared_tables(app: App, names: Sequence[str] | None) -> dict[str, dict[str, Any]]:
    """Definitions of the active declared tables by full name. Raises ConfigError, SpecError."""
    from lakeflow_meta.schema.recorded_tables import read_definition, table_key

    found: dict[str, dict[str, Any]] = {}
    problems = []
    rows = _table_rows(app)
    chosen = _chosen_keys(rows, names, None)
    for row in rows:
        if table_key(row["table_name"]) not in chosen:
            continue
        definition = read_definition(row, str(app.tables.of(TABLES)))
        if isinstance(definition, Problem):
            problems.append(definition)
        else:
            found[row["table_name"]] = definition
    if problems:
        raise SpecError(problems)
    return found


_COLUMNS = ("table_name", "module_name", "definition", "is_active")


def _table_rows(app: App) -> list[Row]:
    rows = [row for row in rows_of(app, TABLES, _COLUMNS) if row["is_active"] is not False]
    return sorted(rows, key=lambda row: str(row["table_name"]))


def _chosen_keys(
    rows: Sequence[Row], names: Sequence[str] | None, module: str | None
) -> frozenset[str]:
    """Of all rows, of a module's, or of the named tables. Raises ConfigError."""
    from lakeflow_meta.schema.recorded_tables import table_key

    known = {
        table_key(row["table_name"]): str(row["table_name"])
        for row in rows
        if module in (None, row["module_name"])
    }
    for name in names or ():
        if table_key(name) not in known:
            hint = did_you_mean(name, known.values())
            raise ConfigError(f"no table {name!r} is declared; {hint}")
    return frozenset(known if names is None else map(table_key, names))
