"""What the control tables say of modules and of the jobs that were made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakeflow_meta.control.changes import module_state
from lakeflow_meta.control.rows import Module, read_recorded
from lakeflow_meta.control.sync import TIMES
from lakeflow_meta.control.tables import JOBS, MODULES, TABLES, ControlTables, TableLayout
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.fingerprint import fingerprint
from lakeflow_meta.jobs.job_settings import has_tasks
from lakeflow_meta.jobs.records import JobRecord, read_records
from lakeflow_meta.ports import ControlStore

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class RecordedJobs:
    """Modules and job records by module name.

    ``problems``: why modules cannot be read, `NO_MODULE` for rows that name none. The jobs of
    these modules are left as they are.
    """

    version: int
    modules: Mapping[str, Module]
    records: Mapping[str, JobRecord]
    problems: Mapping[str, str]

    def wants_job(self, name: str) -> bool:
        """Whether the module is active and has something to do."""
        module = self.modules.get(name)
        return module is not None and module.is_active and has_tasks(module)

    def fingerprint(self, name: str) -> str:
        """Of everything that is recorded of a module: its rows and its job."""
        module, record = self.modules.get(name), self.records.get(name)
        state = module_state(module).to_dict() if module is not None else None
        job = None if record is None else record.content
        return fingerprint([state, job, self.problems.get(name)])

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
    sources = _without_times(store.read(tables.sources, version=version))
    modules, declared = _rows(store, tables, MODULES), _rows(store, tables, TABLES)
    found = read_recorded(sources, modules, declared, table=str(tables.sources))
    records, bad_records = read_records(_rows(store, tables, JOBS), str(tables.of(JOBS)))
    problems: dict[str, dict[str, None]] = {}
    for bad in (*found.bad_rows, *bad_records):
        problems.setdefault(bad.module_name, {})[str(bad.problem)] = None
    texts = {name: "; ".join(lines) for name, lines in problems.items()}
    return RecordedJobs(version, found.modules, records, texts)


def _rows(store: ControlStore, tables: ControlTables, layout: TableLayout) -> list[dict[str, Any]]:
    try:
        return _without_times(store.read(tables.of(layout)))
    except NotFoundError:
        return []


def _without_times(found: pa.Table) -> list[dict[str, Any]]:
    """As values of Python, times take several times as long as all other columns together."""
    rows: list[dict[str, Any]] = found.select(
        [name for name in found.column_names if name not in TIMES]
    ).to_pylist()
    return rows
