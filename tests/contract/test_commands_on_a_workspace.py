"""What commands ask of a workspace, and what they leave alone: the real SDK over HTTP."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from contract.jobs_stand_in import ME, WHO, Workspace
from contract.stand_in_server import TOKEN
from databricks.sdk import WorkspaceClient

from lakeflow_meta.app import App
from lakeflow_meta.cli.main import run
from lakeflow_meta.cli.output import Output, Session
from lakeflow_meta.control.tables import EVENTS, STATE, ControlTables
from lakeflow_meta.jobs.deploy_memory import DeployMemory
from lakeflow_meta.jobs.deployed_package import DeployedPackage
from lakeflow_meta.ports import RunState
from lakeflow_meta.testing import FakeStore, FixedClock

TABLES = ControlTables.named("main.lakeflow.etl_control")
PACKAGE = DeployedPackage("/Volumes/m/l/p/x.whl", "/Volumes/m/l/p/conf", "prod", (), "4")
YAML = """
modules:
- module_name: sales
  sources:
  - source_id: orders
    transformation_config: {task_type: run_job, job_id: 1}
"""
SELECT = "sql SELECT#count(*)#FROM#etl_control"
OWN_TASK = YAML.replace("task_type: run_job, job_id: 1", "task_type: tables")


class Office:
    """Control tables in memory, and a workspace behind HTTP; each command is a new process."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.store = FakeStore(FixedClock())
        self._client = WorkspaceClient(host=workspace.host, token=TOKEN)

    def run(self, *arguments: str, code: int = 0) -> str:
        out, err = io.StringIO(), io.StringIO()
        app = App.from_environment(
            overrides={"control_table": str(TABLES.sources), "target": "prod"},
            store=self.store,
            workspace_client=self._client,
        )
        output = Output(as_json="--json" in arguments, out=out, err=err)
        ended = run(list(arguments), Session(output, shared=app))
        assert ended == code, out.getvalue() + err.getvalue()
        return out.getvalue() if code == 0 else err.getvalue()


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "prod.yml").write_text("backend: databricks\n")
    with Workspace().running() as workspace:
        yield Office(workspace)


@pytest.fixture
def record(office: Office, tmp_path: Path) -> Callable[[str], None]:
    """Metadata of a file becomes recorded."""

    def record(text: str) -> None:
        (tmp_path / "m.yml").write_text(text)
        office.run("sync", "m.yml")
        office.workspace.requests.clear()

    return record


@pytest.mark.parametrize(
    "command",
    ["export", "export --format bundle", "changes", "history", "plan", "status", SELECT],
)
def test_a_command_that_only_reads_does_not_ask_who_acts(
    office: Office, record: Callable[[str], None], command: str
) -> None:
    record(YAML)
    office.run(*(word.replace("#", " ") for word in command.split()))
    assert office.workspace.calls_of(WHO) == []


def test_a_dry_run_does_not_ask_either(
    office: Office, record: Callable[[str], None], tmp_path: Path
) -> None:
    record(YAML)
    (tmp_path / "m.yml").write_text(OWN_TASK)
    assert json.loads(office.run("sync", "m.yml", "--dry-run", "--json"))["changed"] == 1
    assert office.workspace.calls_of(WHO) == []


def test_a_command_that_writes_asks_once_and_before_it_touches_a_job(
    office: Office, record: Callable[[str], None]
) -> None:
    record(YAML)
    office.run("apply")
    assert len(office.workspace.calls_of(WHO)) == 1
    writes = [r for r in office.workspace.requests if r.writes]
    assert office.workspace.requests.index(writes[0]) > [
        r.path for r in office.workspace.requests
    ].index(WHO)
    events = office.store.read(TABLES.of(EVENTS)).to_pylist()
    assert {event["actor"] for event in events} == {ME}


def test_a_workspace_that_does_not_say_who_acts_gets_no_job(
    office: Office, record: Callable[[str], None]
) -> None:
    record(YAML)
    office.workspace.fail("403", WHO)
    office.run("apply", code=1)
    assert office.workspace.writes == []


def test_a_bundle_has_what_carries_own_tasks(
    office: Office, record: Callable[[str], None], tmp_path: Path
) -> None:
    record(OWN_TASK)
    refused = office.run("export", "--format", "bundle", code=2)
    assert "run lakeflow-meta deploy first" in refused
    office.store.ensure(TABLES.of(STATE), STATE)
    DeployMemory(office.store, TABLES).remember_package(PACKAGE)
    text = office.run("export", "--format", "bundle")
    job = yaml.safe_load(text)["resources"]["jobs"]["sales"]
    [environment] = job["environments"]
    assert environment["spec"]["dependencies"] == [PACKAGE.wheel]
    [task] = job["tasks"]
    assert task["environment_key"] == environment["environment_key"]
    assert task["python_wheel_task"]["parameters"][:4] == [
        *("--conf", PACKAGE.settings),
        *("--target", "prod"),
    ]
    (tmp_path / "bundle.yml").write_text(text)
    assert json.loads(office.run("validate", "bundle.yml", "--json"))["problems"] == []


def test_a_failed_run_is_looked_at_and_repaired_and_another_one_cancelled(
    office: Office, record: Callable[[str], None]
) -> None:
    record(YAML)
    office.run("apply")
    office.workspace.task_states = {"orders": RunState.FAILED}
    office.run("run", "sales", code=1)
    (run_id,) = office.workspace.runs
    found = json.loads(office.run("runs", str(run_id), "--json"))
    assert (found["state"], [t["task_key"] for t in found["attempts"]]) == ("failed", ["orders"])
    office.workspace.task_states = {}
    repaired = json.loads(office.run("run", "--repair", str(run_id), "--json"))
    assert (repaired["state"], repaired["repair_count"]) == ("success", 1)
    office.workspace.runs[run_id].states = ["RUNNING"] * 2
    cancelled = json.loads(office.run("run", "--cancel", str(run_id), "--json"))
    assert (cancelled["run_id"], cancelled["state"]) == (run_id, "cancelled")
    office.run("run", "--cancel", str(run_id))
    assert len(office.workspace.calls_of("/api/2.2/jobs/runs/cancel")) == 1
