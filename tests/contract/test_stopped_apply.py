"""`lakeflow-meta apply` as a process that is stopped or killed while many jobs are under way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cli_process import ROOT
from contract.jobs_stand_in import CREATES, UPDATES, Workspace
from contract.stand_in_server import TOKEN
from databricks.sdk import WorkspaceClient

from lakeflow_meta.app import App
from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.control.tables import EVENTS, JOBS, MODULES, SOURCES, ControlTables
from lakeflow_meta.ports import utc_now

TABLES = ControlTables.named("main.lakeflow.etl_control")
NAMES = [f"m{number:02}" for number in range(80)]
VIEWERS = {"group_name": "viewers", "permission_level": "CAN_VIEW"}

PROCESS = """
import sys
from pathlib import Path
from databricks.sdk import WorkspaceClient
from lakeflow_meta.app import App
from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.cli.live import Relay
from lakeflow_meta.cli.main import run
from lakeflow_meta.cli.output import Output, Session

home, host, token, *arguments = sys.argv[1:]
relay = Relay()
app = App.from_environment(
    overrides={
        "control_table": "main.lakeflow.etl_control",
        "actor": "tester",
        "writes_per_second": 1000,
        "reads_per_second": 1000,
    },
    store=DeltaRsStore(Path(home)),
    workspace_client=WorkspaceClient(host=host, token=token),
    progress=relay,
)
sys.exit(run(arguments, Session(Output(as_json="--json" in arguments), shared=app, progress=relay)))
"""


class Site:
    """Control tables in a folder, and a slow workspace."""

    def __init__(self, folder: Path, workspace: Workspace) -> None:
        self.folder = folder
        self.workspace = workspace
        self.store = DeltaRsStore(folder)
        for table, layout in TABLES.all().items():
            self.store.ensure(table, layout)
        self.record({"task_type": "run_job", "job_id": 1})

    def record(self, task: dict[str, Any]) -> None:
        text = json.dumps(task)
        rows = [
            {"module_name": n, "source_id": "a", "transformation_config": text, "is_active": True}
            for n in NAMES
        ]
        self.store.merge(TABLES.of(SOURCES), rows, keys=SOURCES.keys)
        config = json.dumps({"permissions": [VIEWERS]})
        some = [{"module_name": n, "job_config": config, "is_active": True} for n in NAMES[::4]]
        self.store.merge(TABLES.of(MODULES), some, keys=MODULES.keys)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                sys.executable,
                "-c",
                PROCESS,
                str(self.folder),
                self.workspace.host,
                TOKEN,
                *arguments,
            ],
            cwd=self.folder,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, count: int, path: str) -> None:
        for _ in range(2400):
            if len(self.workspace.calls_of(path)) >= count:
                return
            time.sleep(0.05)
        raise AssertionError(f"no {count} calls of {path}")

    def apply(self) -> dict[str, str]:
        """An apply in this process, an hour later: no lease of a process that died is left, and
        its last requests have ended."""
        while self.workspace.busy:
            time.sleep(0.02)
        self.workspace.latency = 0.0
        app = App.from_environment(
            overrides={
                "control_table": str(TABLES.sources),
                "actor": "tester",
                "writes_per_second": 1000,
                "reads_per_second": 1000,
            },
            store=self.store,
            workspace_client=WorkspaceClient(host=self.workspace.host, token=TOKEN),
            clock=lambda: utc_now() + timedelta(hours=1),
        )
        return {o.module: o.error or o.action for o in app.orchestrator.apply()}

    def rows(self, layout: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.store.read(TABLES.of(layout)).to_pylist()
        return rows

    def is_whole(self) -> None:
        """Exactly one job a module, the right id recorded, permissions where they are named."""
        recorded = {row["module_name"]: row["job_id"] for row in self.rows(JOBS)}
        live = {job.settings["name"]: job_id for job_id, job in self.workspace.jobs.items()}
        assert recorded == live
        assert sorted(live) == NAMES
        assert len(self.workspace.jobs) == len(NAMES)
        for name in NAMES:
            has = VIEWERS in self.workspace.jobs[live[name]].permissions
            assert has == (name in NAMES[::4])
        assert set(self.apply().values()) == {"unchanged"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Workspace(latency=0.15).running() as workspace:
        yield Site(tmp_path, workspace)


def test_ctrl_c_ends_what_was_begun_records_it_and_tells_of_every_module(site: Site) -> None:
    process = site.start("--json", "apply")
    site.wait_for(10, CREATES)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    found = {row["module"]: row for row in json.loads(out)}
    assert sorted(found) == NAMES
    created = {name for name, row in found.items() if row["action"] == "created"}
    skipped = {name for name, row in found.items() if row["action"] == "skipped"}
    assert created | skipped == set(NAMES)
    assert len(created) >= 10
    assert skipped
    assert f"stopped; {len(skipped)} of {len(NAMES)} modules were not begun" in err
    recorded = {row["module_name"]: row["job_id"] for row in site.rows(JOBS)}
    assert recorded == {name: found[name]["job_id"] for name in created}
    assert set(recorded.values()) == set(site.workspace.jobs)
    assert {row["object"] for row in site.rows(EVENTS)} == created
    for name in created & set(NAMES[::4]):
        assert VIEWERS in site.workspace.jobs[recorded[name]].permissions
    done = site.apply()
    assert {name: done[name] for name in created} == dict.fromkeys(created, "unchanged")
    assert {name: done[name] for name in skipped} == dict.fromkeys(skipped, "created")
    site.is_whole()


def test_ctrl_c_during_updates_leaves_each_job_old_or_new(site: Site) -> None:
    site.workspace.latency = 0.0
    site.apply()
    site.record({"task_type": "run_job", "job_id": 2})
    site.workspace.latency = 0.15
    process = site.start("apply")
    site.wait_for(10, UPDATES)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "~ updated m00" in out
    assert f"· skipped {NAMES[-1]}" in out
    jobs = site.workspace.jobs.values()
    targets = {
        job.settings["name"]: job.settings["tasks"][0]["run_job_task"]["job_id"] for job in jobs
    }
    updated = {line.split()[2] for line in out.splitlines() if line.startswith("~")}
    assert {name for name, target in targets.items() if target == 2} == updated
    assert set(site.apply().values()) == {"unchanged", "updated"}
    site.is_whole()


@pytest.mark.parametrize("count", [1, 9, 25])
def test_a_killed_process_leaves_no_second_job(site: Site, count: int) -> None:
    process = site.start("apply")
    site.wait_for(count, CREATES)
    process.kill()
    process.communicate(timeout=60)
    assert set(site.apply().values()) <= {"created", "adopted", "unchanged"}
    site.is_whole()
