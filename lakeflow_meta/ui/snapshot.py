"""What pages are made from, read through an `App` once a request and kept by table version.

A control table that has no new version is not read again. Starts no Spark.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from lakeflow_meta.control.tables import (
    DDL_SCRIPTS,
    EVENTS,
    EXECUTIONS,
    EXTRACT_RUNS,
    EXTRACTS,
    FILES,
    JOBS,
    MODULES,
    SOURCES,
    TABLES,
    TableLayout,
)
from lakeflow_meta.errors import LakeflowMetaError, NotFoundError
from lakeflow_meta.operations import rows_of

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeflow_meta.app import App
    from lakeflow_meta.control.rows import Recorded, Row
    from lakeflow_meta.ports import Commit, JobRun
    from lakeflow_meta.serve_operations import Upcoming

_T = TypeVar("_T")
_RECORDED = (SOURCES, MODULES, TABLES)
_DECIDING = (*_RECORDED, JOBS, DDL_SCRIPTS, EXTRACTS, EXECUTIONS)
"""Tables that a plan is worked out from."""

_MOST_RUNS = 2000
_MOST_RUNS_ASKED_FOR = 100
"""Of a platform, which gives 25 an answer."""
_KEPT_SECONDS = 20
"""How long answers of a platform are good enough that cost many requests."""


@dataclass(frozen=True, slots=True)
class KeptPlan:
    """A plan that was worked out for a page. ``error`` is why there is none."""

    made_at: datetime
    seconds: float
    versions: Sequence[int | None]
    lines: Sequence[str] = ()
    pending: bool = False
    failed: bool = False
    error: str = ""


class Memory:
    """What requests keep for each other: one value a name, as long as its key is the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planning = threading.Lock()
        self._values: dict[str, tuple[Any, Any]] = {}
        self.plan: KeptPlan | None = None

    def of(self, name: str, key: Any, make: Callable[[], _T]) -> _T:
        """The value of this key; ``make`` runs where another one, or none, is kept."""
        with self._lock:
            kept = self._values.get(name)
        if kept is not None and kept[0] == key:
            value: _T = kept[1]
            return value
        value = make()
        with self._lock:
            self._values[name] = (key, value)
        return value

    def plan_anew(self, make: Callable[[], KeptPlan], asked_at: datetime) -> KeptPlan:
        """Work a plan out; who asked while another one was at it gets that one."""
        with self._planning:
            if self.plan is None or self.plan.made_at < asked_at:
                self.plan = make()
            return self.plan


class Snapshot:
    """The state at one moment, each part read when a page first asks for it."""

    def __init__(self, app: App, memory: Memory) -> None:
        self.app = app
        self.now = app.clock()
        self._memory = memory
        self._versions: dict[str, int | None] = {}

    def version(self, layout: TableLayout) -> int | None:
        """The version of a control table, looked up once; None where there is none."""
        if layout.suffix not in self._versions:
            self._versions[layout.suffix] = self.app.store.version(self.app.tables.of(layout))
        return self._versions[layout.suffix]

    def versions(self, layouts: Sequence[TableLayout]) -> tuple[int | None, ...]:
        """Of several tables."""
        return tuple(map(self.version, layouts))

    # --- recorded

    @cached_property
    def recorded(self) -> Recorded:
        """Modules, and the rows that cannot be read."""
        key = self.versions(_RECORDED)
        return self._memory.of("recorded", key, self.app.manager.recorded)

    @cached_property
    def extract_problems(self) -> Sequence[str]:
        """What is wrong with rows of extracts."""
        key = self.versions((EXTRACTS,))
        problems = self._memory.of("extracts", key, self.app.manager.recorded_extracts).problems
        return [str(problem) for problem in problems]

    @property
    def changed_modules(self) -> frozenset[str]:
        """Modules that differ from what was last applied."""
        key = self.versions((*_RECORDED, JOBS))
        return self._memory.of("changed", key, self.app.manager.changes).pending

    def rows(self, layout: TableLayout) -> list[Row]:
        """All rows of a small control table."""
        make = partial(rows_of, self.app, layout)
        return self._memory.of(f"rows{layout.suffix}", self.version(layout), make)

    def columns(self, layout: TableLayout, names: Sequence[str]) -> pa.Table | None:
        """Some columns of a large one, as columns; None where it does not exist yet."""
        make = partial(self._read, layout, names)
        return self._memory.of(f"columns{layout.suffix}", self.version(layout), make)

    def _read(self, layout: TableLayout, names: Sequence[str]) -> pa.Table | None:
        try:
            return self.app.store.read(self.app.tables.of(layout), columns=names)
        except NotFoundError:
            return None

    @property
    def ledger(self) -> pa.Table | None:
        """The ingested files, the newest first."""
        return self._sorted(FILES, _FILE_COLUMNS, "processed_at", ("target_table", "file_path"))

    @property
    def feed(self) -> pa.Table | None:
        """What the controller did, the newest first."""
        return self._sorted(EVENTS, EVENTS.names, "at", ())

    def _sorted(
        self, layout: TableLayout, names: Sequence[str], newest: str, then: Sequence[str]
    ) -> pa.Table | None:
        found = self.columns(layout, names)
        if found is None:
            return None
        order = [(newest, "descending"), *((name, "ascending") for name in then)]
        make = partial(found.sort_by, order)
        return self._memory.of(f"sorted{layout.suffix}", self.version(layout), make)

    @property
    def file_counts(self) -> Mapping[str, int]:
        """How many files have each status."""
        ledger = self.ledger
        if ledger is None:
            return {}
        counted = ledger["status"].value_counts().to_pylist()
        return {str(one["values"]): one["counts"] for one in counted}

    @property
    def executions(self) -> list[Row]:
        """Executions of DDL scripts, the newest first."""
        rows = self.rows(EXECUTIONS)
        return sorted(rows, key=lambda row: row["update_date"], reverse=True)

    @property
    def extract_runs(self) -> list[Row]:
        """The last row of each run of an extract, the newest first."""
        from lakeflow_meta.extract_operations import extract_log

        make = partial(extract_log, self.app, None)
        return self._memory.of("extract log", self.version(EXTRACT_RUNS), make)[::-1]

    def commits(self, layout: TableLayout) -> list[Commit]:
        """The commits of a control table, oldest first."""
        make = partial(self._commits, layout)
        return self._memory.of(f"commits{layout.suffix}", self.version(layout), make)

    def _commits(self, layout: TableLayout) -> list[Commit]:
        try:
            return self.app.store.history(self.app.tables.of(layout))
        except NotFoundError:
            return []

    # --- jobs and runs

    @cached_property
    def job_ids(self) -> Mapping[str, int]:
        """Job of each module that has one."""
        return {row["module_name"]: row["job_id"] for row in self.rows(JOBS) if row["job_id"]}

    @cached_property
    def modules_of_jobs(self) -> Mapping[int, str]:
        """Module of each job that was applied from these control tables."""
        return {job_id: name for name, job_id in self.job_ids.items()}

    @cached_property
    def runs(self) -> Sequence[JobRun]:
        """The newest runs, without their tasks; `most_runs` of them."""
        return self.app.jobs.list_runs(limit=self.most_runs)

    @property
    def most_runs(self) -> int:
        """How many of the newest runs are looked through."""
        return _MOST_RUNS if self.app.target.runs_here else _MOST_RUNS_ASKED_FOR

    @cached_property
    def last_runs(self) -> Mapping[int, JobRun]:
        """The newest run of each job that ran lately."""
        found: dict[int, JobRun] = {}
        for run in self.runs:
            found.setdefault(run.job_id, run)
        return found

    @cached_property
    def upcoming(self) -> Sequence[Upcoming]:
        """What starts jobs by itself, the next time first."""
        from lakeflow_meta.serve_operations import upcoming

        if self.app.target.runs_here:
            return upcoming(self.app)
        key = int(self.now.timestamp()) // _KEPT_SECONDS
        return self._memory.of("upcoming", key, partial(upcoming, self.app))

    # --- the plan

    @property
    def plan(self) -> KeptPlan | None:
        """The plan that was worked out last; nobody may have asked for one."""
        return self._memory.plan

    def plan_now(self) -> KeptPlan:
        """Work the plan out: recorded against live. It may take seconds."""
        return self._memory.plan_anew(self._make_plan, self.now)

    def holds(self, plan: KeptPlan) -> bool:
        """Whether no control table has changed since; jobs and tables may have."""
        return tuple(plan.versions) == self.versions(_DECIDING)

    def _make_plan(self) -> KeptPlan:
        from lakeflow_meta import plan_operations

        versions = self.versions(_DECIDING)
        began, made_at = time.monotonic(), self.app.clock()
        try:
            found = plan_operations.plan(self.app, None)
        except LakeflowMetaError as error:
            seconds = time.monotonic() - began
            return KeptPlan(made_at, seconds, versions, failed=True, error=str(error))
        seconds = time.monotonic() - began
        lines = list(found.lines())
        return KeptPlan(made_at, seconds, versions, lines, found.pending, found.failed)


_FILE_COLUMNS = (
    "file_path",
    "status",
    "processed_at",
    "record_count",
    "error_message",
    "target_table",
    "size_bytes",
    "attempt",
    "batch_id",
)
