"""What people ask for with ``plan`` and ``apply``. Between app and cli, as `operations`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeflow_meta.errors import ConfigError, Problem
from lakeflow_meta.findings import did_you_mean
from lakeflow_meta.operations import read_text, write_text
from lakeflow_meta.table_operations import registry_of

if TYPE_CHECKING:
    from lakeflow_meta.app import App
    from lakeflow_meta.jobs.outcomes import Outcome
    from lakeflow_meta.jobs.plan import JobsPlan
    from lakeflow_meta.schema.plan import SchemaPlan, TablePlan
    from lakeflow_meta.scripts.runner import ScriptsReport


@dataclass(frozen=True, slots=True)
class Plan:
    """Recorded against live: jobs, scripts and tables."""

    jobs: JobsPlan
    scripts: ScriptsReport
    tables: SchemaPlan
    problems: Sequence[Problem] = ()
    """Declared tables whose rows cannot be read; they are in no other part."""

    @property
    def pending(self) -> bool:
        """Whether applying and running would change anything."""
        tables = any(table.has_work or self._waits(table) for table in self.tables.tables)
        return bool(self.jobs.pending or self.scripts.has_changes or tables)

    @property
    def failed(self) -> bool:
        """Whether something cannot be done as it is recorded."""
        tables = any(t.rejections and not self._waits(t) for t in self.tables.tables)
        failed = self.jobs.has_failures or self.scripts.has_failures or tables
        return failed or bool(self.problems)

    def _waits(self, table: TablePlan) -> bool:
        """Whether only its schema is missing, and scripts that may create it have yet to run."""
        from lakeflow_meta.schema.verdict import Rule

        rules = {rejection.rule for rejection in table.rejections}
        return self.scripts.has_changes and rules == {Rule.SCHEMA_MISSING}

    def to_dict(self) -> dict[str, Any]:
        """The JSON result of ``plan``: what would change, and what cannot."""
        jobs = [a.to_dict() for a in self.jobs.actions if a.pending or a.drift]
        tables = [self._table(table) for table in self.tables.tables]
        return {
            "actions": [
                *jobs,
                *self.scripts.actions(),
                *(table for table in tables if table["action"] != "unchanged"),
            ],
            "problems": [asdict(problem) for problem in self.problems],
        }

    def _table(self, table: TablePlan) -> dict[str, Any]:
        plan = table.to_dict()
        return {
            "kind": "table",
            "name": plan["name"],
            "action": "create" if self._waits(table) else plan["outlook"],
            "changes": plan["changes"],
            "rejections": [] if self._waits(table) else plan["rejections"],
        }

    def lines(self) -> Iterator[str]:
        """The plan as a diff: jobs, scripts, tables."""
        for action in self.jobs.actions:
            if action.pending or action.drift or action.note:
                yield from action.lines()
        yield from self.scripts.plan_lines()
        for table in self.tables.tables:
            if self._waits(table):
                yield f"+ table {table.name}: create (its schema by a DDL script)"
            elif table.has_work or table.rejections:
                yield from table.text_lines()
        yield from (f"✗ {problem}" for problem in self.problems)
        if not self.pending and not self.failed:
            yield "no changes"


def plan(
    app: App,
    modules: Sequence[str] | None,
    prune: str = "pause",
    on_drift: str = "restore",
    *,
    keep: bool = False,
) -> Plan:
    """What applying and running the modules would change. Reads only, starts no Spark.

    ``keep``: it is for a file, and to be applied later.
    """
    targets, names = (None, None) if modules is None else _parts_of(app, modules)
    tables, problems = registry_of(app, names)
    return Plan(
        app.orchestrator.plan(modules, prune, on_drift, keep=keep),
        app.script_runner.run(targets, dry_run=True),
        app.schema_engine.plan(tables),
        tuple(problems),
    )


def _parts_of(app: App, modules: Sequence[str]) -> tuple[list[str], list[str]]:
    """DDL targets and tables of the named modules."""
    known = app.manager.recorded().modules
    chosen = [known[name] for name in _chosen(modules, known)]
    targets = sorted({target for module in chosen for target in module.ddl_targets})
    return targets, [table for module in chosen for table in module.tables]


def apply(
    app: App,
    modules: Sequence[str] | None,
    prune: str | None = None,
    on_drift: str | None = None,
    *,
    plan: JobsPlan | None = None,
) -> list[Outcome]:
    """Make the jobs as the modules, or exactly as a plan says; failures are among the outcomes.

    Raises ConflictError for a plan that does not hold any more, ConfigError for modules or choices
    beside a plan.
    """
    outcomes = app.orchestrator.apply(modules, prune, on_drift, plan=plan)
    app.manager.remember_answer()
    return outcomes


def save_plan(app: App, plan: Plan, path: Path) -> None:
    """Write the part of a plan that can be applied: that of the jobs. Raises ConfigError."""
    from lakeflow_meta.jobs.plan_file import plan_text

    write_text(path, plan_text(plan.jobs, app.settings.target))


def load_plan(app: App, path: Path) -> JobsPlan:
    """What `save_plan` wrote. Raises ConfigError for any other file, or a plan of elsewhere."""
    from lakeflow_meta.jobs.plan_file import read_plan

    return read_plan(read_text(path), str(path), app.settings.target)


def _chosen(names: Sequence[str], known: Mapping[str, Any]) -> Sequence[str]:
    for name in names:
        if name not in known:
            raise ConfigError(f"no module {name!r} is recorded; {did_you_mean(name, known)}")
    return names
