"""What the jobs of `golden/jobs` send to the platform: golden files, and how they are made.

Each folder there is one kind of metadata, before (``metadata.yml``) and after people edited it
(``edited.yml``). Both are loaded, planned and applied one after the other, by the real SDK, over
HTTP, to the stand-in of the Jobs, Queries and Permissions APIs; ``requests.json`` holds every
request that writes. Written anew by ``python tests/golden_requests.py``: look at the difference
before you commit it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.jobs_stand_in import Workspace
from contract.stand_in_server import TOKEN
from databricks.sdk import WorkspaceClient

from lakeflow_meta.backends.databricks_jobs import DatabricksJobs
from lakeflow_meta.backends.databricks_permissions import DatabricksPermissions
from lakeflow_meta.backends.databricks_queries import DatabricksQueries
from lakeflow_meta.backends.workspace_calls import WorkspaceCalls
from lakeflow_meta.control.declared import read_declared
from lakeflow_meta.control.manager import MetadataManager
from lakeflow_meta.control.rows import Module
from lakeflow_meta.control.tables import ControlTables
from lakeflow_meta.errors import SpecError
from lakeflow_meta.jobs.deployed_package import DeployedPackage
from lakeflow_meta.jobs.job_context import JobContext
from lakeflow_meta.jobs.orchestrator import JobOrchestrator
from lakeflow_meta.jobs.outcomes import raise_failures
from lakeflow_meta.jobs.recorded_jobs import read_recorded_jobs
from lakeflow_meta.testing import FakeStore, FixedClock

FOLDER = Path(__file__).parent / "golden" / "jobs"
CASES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
TABLES = ControlTables.named("main.lakeflow.etl_control")
PACKAGE = DeployedPackage(
    wheel="/Volumes/main/lakeflow/package/lakeflow_meta-1.0-py3-none-any.whl",
    settings="/Volumes/main/lakeflow/package/conf",
    target="prod",
    environment_version="4",
)
CONTEXT = PACKAGE.in_context(
    JobContext(
        str(TABLES.sources),
        default_warehouse_id="wh-default",
        require_warehouse=True,
    )
)
FAST = {"reads_per_second": 10_000.0, "writes_per_second": 10_000.0}
Requests = list[dict[str, Any]]


@dataclass
class Bureau:
    """Control tables in memory, a workspace behind HTTP, and one who keeps them equal."""

    workspace: Workspace
    clock: FixedClock = field(default_factory=FixedClock)

    def __post_init__(self) -> None:
        self.store = FakeStore(self.clock)
        client = WorkspaceClient(host=self.workspace.host, token=TOKEN)
        calls = WorkspaceCalls(client, **FAST)
        self.jobs = DatabricksJobs(calls)
        self._others = DatabricksQueries(calls), DatabricksPermissions(calls)

    def load(self, text: str) -> None:
        """Record what the text declares, and nothing else."""
        declared = read_declared({"metadata.yml": text}, {}, variables={}, context=CONTEXT)
        if declared.problems:
            raise SpecError(declared.problems)
        manager = MetadataManager(str(TABLES.sources), store=self.store, clock=self.clock)
        manager.load(declared, prune=True)

    def modules(self) -> dict[str, Module]:
        """What is recorded."""
        return dict(read_recorded_jobs(self.store, TABLES).modules)

    def apply(self) -> Requests:
        """Make the jobs as recorded; what was sent for it."""
        queries, permissions = self._others
        orchestrator = JobOrchestrator(
            self.store,
            self.jobs,
            queries,
            tables=TABLES,
            context=CONTEXT,
            permissions=permissions,
            clock=self.clock,
            unknown_fields=self.jobs.unknown_fields,
        )
        self.workspace.requests.clear()
        raise_failures(orchestrator.apply())
        return [
            {"method": r.method, "path": r.path, "body": dict(r.body)}
            for r in self.workspace.writes
        ]


@contextmanager
def bureau() -> Iterator[Bureau]:
    with Workspace().running() as workspace:
        yield Bureau(workspace)


def requests_text(case: str) -> str:
    """The golden file of a case, as it is now."""
    with bureau() as place:
        place.load(metadata(case))
        created = place.apply()
        place.load(metadata(case, "edited.yml"))
        edited = place.apply()
        again = place.apply()
    if again:
        raise AssertionError(f"{case}: applied twice, it sends {again}")
    found = {"created": created, "edited": edited}
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def metadata(case: str, name: str = "metadata.yml") -> str:
    return (FOLDER / case / name).read_text(encoding="utf-8")


def main() -> None:
    for case in CASES:
        (FOLDER / case / "requests.json").write_text(requests_text(case), encoding="utf-8")


if __name__ == "__main__":
    main()
