"""What the control tables say of modules and of the jobs that were made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lakeflow_meta.control.rows import Module, RowError, read_recorded
from lakeflow_meta.control.tables import JOBS, MODULES, TABLES, ControlTables, TableLayout
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.jobs.job_settings import has_tasks
from lakeflow_meta.jobs.records import JobRecord, read_record
from lakeflow_meta.ports import ControlStore


@dataclass(frozen=True, slots=True)
class RecordedJobs:
    """Modules and job records by module name; ``problems`` are rows that cannot be read."""

    version: int
    modules: Mapping[str, Module]
    records: Mapping[str, JobRecord]
    problems: Mapping[str, str]

    def wants_job(self, name: str) -> bool:
        """Whether the module is active and has something to do."""
        module = self.modules.get(name)
        return module is not None and module.is_active and has_tasks(module)

    @property
    def names(self) -> list[str]:
        """Modules that have a job or should have one, and those that cannot be read."""
        wanted = {name for name in self.modules if self.wants_job(name)}
        return sorted({*wanted, *self.records, *self.problems})


def read_recorded_jobs(store: ControlStore, tables: ControlTables) -> RecordedJobs:
    """One version of the sources (it is recorded as the applied one), and what is beside it.

    Raises NotFoundError when there are no sources at all; the other tables may be absent.
    """
    version = store.version(tables.sources)
    if version is None:
        hint = "load metadata with `lakeflow-meta sync PATH`"
        message = f"nothing is recorded: {tables.sources} does not exist; {hint}"
        raise NotFoundError(message, code="TABLE_NOT_FOUND")
    sources = store.read(tables.sources, version=version).to_pylist()
    modules, declared = _rows(store, tables, MODULES), _rows(store, tables, TABLES)
    found = read_recorded(sources, modules, declared, table=str(tables.sources))
    problems: dict[str, str] = {}
    for problem in found.problems:
        name = _module_of(problem.path, found.modules)
        problems[name] = "; ".join(filter(None, [problems.get(name), str(problem)]))
    records: dict[str, JobRecord] = {}
    for row in _rows(store, tables, JOBS):
        try:
            records[row["module_name"]] = read_record(row)
        except RowError as error:
            problems[row["module_name"]] = f"{tables.of(JOBS)}: {error}"
    return RecordedJobs(version, found.modules, records, problems)


def _rows(store: ControlStore, tables: ControlTables, layout: TableLayout) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = store.read(tables.of(layout)).to_pylist()
    except NotFoundError:
        return []
    return rows


def _module_of(key: str, modules: Mapping[str, Module]) -> str:
    """The module of a row's key, ``module`` or ``module/source``; both may hold slashes."""
    parts = key.split("/")
    prefixes = ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]
    return next((name for name in prefixes if name in modules), parts[0])
