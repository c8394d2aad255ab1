"""Control tables, a workspace and orchestrators in memory."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from lakeflow_meta.control.tables import JOBS, MODULES, SOURCES, ControlTables
from lakeflow_meta.jobs.orchestrator import JobOrchestrator
from lakeflow_meta.jobs.outcomes import Outcome
from lakeflow_meta.jobs.tasks import JobContext
from lakeflow_meta.ports import ControlStore, PermissionsApi
from lakeflow_meta.testing import FakeJobs, FixedClock
from lakeflow_meta.testing.crash import CrashPoint
from lakeflow_meta.testing.fake_queries import FakeQueries
from lakeflow_meta.testing.fake_store import FakeStore

TABLES = ControlTables.named("main.lakeflow.etl_control")
CONTEXT = JobContext(str(TABLES.sources))


@dataclass
class World:
    """One control table and one workspace, and what people do to them."""

    clock: FixedClock = field(default_factory=FixedClock)
    store: ControlStore = field(init=False)
    jobs: FakeJobs = field(init=False)
    queries: FakeQueries = field(default_factory=FakeQueries)
    api: PermissionsApi | None = None
    """Permissions, where they are not those of ``jobs``."""

    def __post_init__(self) -> None:
        self.store = FakeStore(self.clock)
        self.jobs = FakeJobs(self.clock)
        for table, layout in TABLES.all().items():
            self.store.ensure(table, layout)

    def orchestrator(self, crash: CrashPoint | None = None, **options: Any) -> JobOrchestrator:
        through = crash or CrashPoint()
        return JobOrchestrator(
            through.wrap(self.store),
            through.wrap(self.jobs),
            through.wrap(self.queries),
            tables=TABLES,
            permissions=through.wrap(self.permissions),
            context=options.pop("context", CONTEXT),
            clock=self.clock,
            sleep=options.pop("sleep", self.clock.advance),
            actor=lambda: "tester",
            **options,
        )

    def apply(self, *modules: str, **options: Any) -> dict[str, str]:
        """The action of every module; failures with their error."""
        outcomes = self.outcomes(*modules, **options)
        return {o.module: f"failed: {o.error}" if o.failed else o.action for o in outcomes}

    def outcomes(self, *modules: str, **options: Any) -> list[Outcome]:
        return self.orchestrator().apply(modules or None, **options)

    @property
    def permissions(self) -> PermissionsApi:
        return self.api or self.jobs.permissions

    # --- what people record

    def source(
        self, module: str, source_id: str = "a", *, is_active: bool = True, **config: Any
    ) -> None:
        config = config or {"task_type": "run_job", "job_id": 1}
        order = config.pop("order", 1)
        row = {
            "module_name": module,
            "source_id": source_id,
            "execution_order": order,
            "transformation_config": json.dumps(config),
            "is_active": is_active,
        }
        self.store.merge(TABLES.of(SOURCES), [row], keys=SOURCES.keys)

    def remove(self, module: str) -> None:
        for layout in (SOURCES, MODULES):
            table = TABLES.of(layout)
            self.store.merge(table, [], keys=layout.keys, scope={"module_name": module})

    def module(self, module: str, *, is_active: bool = True, **config: Any) -> None:
        row = {
            "module_name": module,
            "job_config": json.dumps(config),
            "is_active": is_active,
        }
        self.store.merge(TABLES.of(MODULES), [row], keys=MODULES.keys)

    def raw(self, **row: Any) -> None:
        self.store.merge(TABLES.of(SOURCES), [row], keys=SOURCES.keys)

    # --- what there is

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        rows = self.store.read(TABLES.of(JOBS)).to_pylist()
        return {row["module_name"]: row for row in rows}

    @property
    def live(self) -> dict[int, Mapping[str, Any]]:
        return {job.job_id: job.settings for job in self.jobs.list_jobs()}

    def job(self, module: str) -> Mapping[str, Any]:
        return self.jobs.get_job(self.records[module]["job_id"]).settings

    def versions(self) -> dict[str, int | None]:
        return {str(table): self.store.version(table) for table in TABLES.all()}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def make_world() -> Callable[[], World]:
    """Makes worlds that know nothing of each other."""
    return World
