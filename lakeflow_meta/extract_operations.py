"""What people ask of extracts: one function a command. Between app and cli."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from lakeflow_meta.control.tables import EXTRACT_RUNS
from lakeflow_meta.errors import ConflictError
from lakeflow_meta.extract.extractor import Choice, Extractor
from lakeflow_meta.extract.words import Datastore
from lakeflow_meta.operations import rows_of
from lakeflow_meta.scripts.target_lease import Leases, LeaseTerms, TargetLease

if TYPE_CHECKING:
    from lakeflow_meta.app import App
    from lakeflow_meta.control.rows import Row
    from lakeflow_meta.extract.report import ExtractsReport
    from lakeflow_meta.ports import Lease, RowSource

_TEMPLATE = ".sql.jinja"
LOG_COLUMNS = (
    "extract_name",
    "run_timestamp",
    "run_status",
    "rows_written",
    "duration_seconds",
    "error_message",
)
"""What people see of a run."""


def make_extractor(app: App) -> Extractor:
    """The extractor of an app. No datastore is opened before its first statement."""
    from lakeflow_meta.backends.process_memory import memory_mb

    return Extractor(
        app.store,
        app.tables,
        partial(_row_source, app),
        app.target.extract_folders,
        partial(_lease, app),
        render=partial(_render, app),
        clock=app.clock,
        progress=app.progress,
        actor=app.actor,
        memory_mb=memory_mb,
        max_parallel=app.settings.max_parallel_tasks,
    )


def _row_source(app: App, datastore: Datastore) -> RowSource:
    if datastore is Datastore.WAREHOUSE:
        return app.warehouse
    from lakeflow_meta.backends.extracts.spark_rows import SparkRows

    return SparkRows(app.spark_session)


_TERMS = LeaseTerms(lease_seconds=60.0, wait_seconds=75.0)
"""A runner that died where nobody can see it is waited for until its lease is certainly over."""


def _lease(app: App, extract_name: str) -> Lease:
    """One runner an extract."""
    from lakeflow_meta.backends.processes import may_be_alive, process_name

    shared = Leases(app.store, app.tables, process_name(), may_be_alive, _TERMS, app.clock)
    owner = f"{process_name()}/{uuid4().hex}"
    return _ImpatientLease(TargetLease(shared, f"extract/{extract_name}", owner))


class _ImpatientLease:
    """Who finds another runner at work is told at once, not when that one is done."""

    def __init__(self, lease: TargetLease) -> None:
        self._lease = lease

    def held(self) -> AbstractContextManager[None]:
        """Hold it. Raises ConflictError."""
        return self._lease.held(_refuse_a_running_one)

    def check(self) -> None:
        """Raises ConflictError where it was lost meanwhile."""
        self._lease.check()


def _refuse_a_running_one(holder: str) -> None:
    from lakeflow_meta.backends.processes import is_alive

    if is_alive(holder):
        raise ConflictError(f"another runner is at work on this extract: {holder}")


def _render(app: App, path: str, parameters: Mapping[str, Any], dialect: str) -> str:
    """A template of the project as SQL. Raises ConfigError."""
    from lakeflow_meta.warehouse.dialects import Dialect
    from lakeflow_meta.warehouse.sql_templates import SqlTemplates

    file = app.target.project_file(path)
    templates = SqlTemplates(Dialect(dialect), file.parent)
    return templates.render(file.name.removesuffix(_TEMPLATE), **parameters)


# --------------------------------------------------------------------------- commands


def run_extracts(
    app: App,
    names: Sequence[str] | None,
    *,
    group: str | None = None,
    failed: bool = False,
    dry_run: bool = False,
    max_parallel: int | None = None,
) -> ExtractsReport:
    """Run extracts, or show what would be written. Raises ConfigError."""
    choice = Choice(names=tuple(names) if names else None, group=group, failed=failed)
    return app.extractor.run(choice, dry_run=dry_run, max_parallel=max_parallel)


def extract_log(app: App, names: Sequence[str] | None, limit: int | None = None) -> list[Row]:
    """The last row of each run, oldest first; of a run that is not over its first one."""
    last: dict[tuple[str, str], Row] = {}
    rows = rows_of(app, EXTRACT_RUNS)
    for row in sorted(rows, key=lambda row: row["run_status"] != "IN_PROGRESS"):
        if not names or row["extract_name"] in names:
            last[row["extract_name"], row["run_id"]] = row
    found = sorted(last.values(), key=lambda row: (row["run_timestamp"], row["extract_name"]))
    return found if limit is None else found[-limit:]
