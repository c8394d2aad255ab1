"""`lakeflow-meta deploy` against the APIs of a workspace: the real SDK over HTTP."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from contract.jobs_stand_in import CANCELS, CREATES, GETS, LISTS, ME, UPDATES
from contract.stand_in_server import TOKEN
from contract.upload_stand_in import HOME, VOLUME, WholeWorkspace
from databricks.sdk import WorkspaceClient
from own_distribution import distribution_at, own_distribution, write_distribution

import lakeflow_meta
from lakeflow_meta.app import App
from lakeflow_meta.backends.databricks_jobs import DatabricksJobs
from lakeflow_meta.backends.databricks_permissions import DatabricksPermissions
from lakeflow_meta.backends.own_package import build_wheel, own_package
from lakeflow_meta.backends.request_gate import RequestGate
from lakeflow_meta.backends.workspace_calls import WorkspaceCalls
from lakeflow_meta.backends.workspace_upload import WorkspaceUploads
from lakeflow_meta.cli.main import main, run
from lakeflow_meta.cli.output import Output, Session
from lakeflow_meta.control.tables import EVENTS, MODULES, SOURCES, STATE, ControlTables
from lakeflow_meta.errors import BackendError, ConfigError, NotFoundError
from lakeflow_meta.jobs.deployer import Deployer
from lakeflow_meta.jobs.deployer import Workspace as Doors
from lakeflow_meta.jobs.deployment import (
    BuiltPackage,
    Deployment,
    DeploymentKind,
    wanted_deployment,
)
from lakeflow_meta.jobs.deployment_plan import DeployReport
from lakeflow_meta.jobs.job_context import JobContext
from lakeflow_meta.ports import Row, Sleep
from lakeflow_meta.settings import Layer, resolve
from lakeflow_meta.testing import FixedClock
from lakeflow_meta.testing.crash import Crash, CrashPoint
from lakeflow_meta.testing.fake_store import FakeStore

TABLE = "main.lakeflow.etl_control"
TABLES = ControlTables.named(TABLE)
FAST = {"reads_per_second": 10_000, "writes_per_second": 10_000}
PERMISSIONS = [{"group_name": "ops", "permission_level": "CAN_MANAGE_RUN"}]
ONE = BuiltPackage("lakeflow_meta-1+g1.whl", b"one" * 100, ("databricks-sdk>=0.65,<1",))
TWO = BuiltPackage("lakeflow_meta-1+g2.whl", b"two" * 101)


class Wire:
    """Requests of one adapter through a crash point; an answer may be a refusal."""

    def __init__(self, api: Any, through: CrashPoint) -> None:
        self._api = api
        self._through = through

    def do(self, *arguments: Any, **options: Any) -> Any:
        def act() -> Any:
            try:
                return self._api.do(*arguments, **options)
            except OSError as error:
                return error

        answer = self._through.call("do", act)
        if isinstance(answer, OSError):
            raise answer
        return answer


class Office:
    """Control tables in memory, and a workspace behind HTTP."""

    def __init__(self, workspace: WholeWorkspace) -> None:
        self.workspace = workspace
        self.clock = FixedClock()
        self.store = FakeStore(self.clock)
        self.client = WorkspaceClient(host=workspace.host, token=TOKEN)
        self.jobs, self.permissions, self.uploads = self.adapters(CrashPoint())

    def adapters(
        self, through: CrashPoint
    ) -> tuple[DatabricksJobs, DatabricksPermissions, WorkspaceUploads]:
        """Every request that they send counts at the crash point."""
        gate = RequestGate(sleep=lambda _s: None)
        jobs = DatabricksJobs(WorkspaceCalls(self.client, gate, **FAST))
        permissions = DatabricksPermissions(WorkspaceCalls(self.client, gate, **FAST))
        uploads = WorkspaceUploads(self.client, gate)
        for calls in (jobs._calls, permissions._calls, uploads._volumes._calls):
            calls._api = Wire(calls._api, through)
        return jobs, permissions, uploads

    def deployer(self, crash: CrashPoint | None = None, sleep: Sleep | None = None) -> Deployer:
        through = crash or CrashPoint()
        jobs, permissions, uploads = self.adapters(through)
        doors = Doors(
            uploads, jobs, permissions, jobs, lambda job_id: f"https://w.test/jobs/{job_id}"
        )
        return Deployer(
            doors,
            through.wrap(self.store),
            tables=TABLES,
            clock=self.clock,
            sleep=sleep or self.clock.advance,
            actor=lambda: "tester",
        )

    def deploy(self, wanted: Deployment, **options: Any) -> DeployReport:
        return self.deployer().deploy(wanted, **options)

    def actions(self, report: DeployReport) -> dict[str, str]:
        return {job.kind.value: job.error or job.action for job in report.jobs}

    @property
    def rows(self) -> dict[str, Any]:
        rows = self.store.read(TABLES.of(STATE)).to_pylist()
        return {row["key"]: json.loads(row["value"]) for row in rows if "deploy" in row["key"]}

    @property
    def end(self) -> dict[str, Any]:
        """Everything that lasts, without ids and fences; every record names a live job."""
        ids = {job_id: j.settings["name"] for job_id, j in self.workspace.jobs.jobs.items()}
        rows = self.rows
        for row in rows.values():
            if "job_id" in row:
                row["job_id"] = ids[row["job_id"]]
        return {**self.workspace.state, "rows": rows}

    def live(self, kind: str) -> Any:
        return self.workspace.jobs.jobs[self.rows[f"deploy/{kind}"]["job_id"]]


def wanted(built: BuiltPackage = ONE, **deploy: Any) -> Deployment:
    deploy = {"package_folder": f"{VOLUME}/prod", "permissions": PERMISSIONS, **deploy}
    given = {"target": "prod", "backend": "databricks", "deploy": deploy}
    settings = resolve([Layer("test", given)]).settings
    return wanted_deployment(settings, settings.deploy, built, JobContext(TABLE))


@pytest.fixture
def make_office() -> Iterator[Callable[..., Office]]:
    with ExitStack() as stack:
        yield lambda **options: Office(stack.enter_context(WholeWorkspace(**options).running()))


@pytest.fixture
def office(make_office: Callable[..., Office]) -> Office:
    return make_office()


# --- the wheel


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_distribution(tmp_path)


def unpacked(built: BuiltPackage) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(built.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def build(site: Path, folder: Path | None = None) -> BuiltPackage:
    code = folder or Path(lakeflow_meta.__path__[0])
    return build_wheel(code, distribution_at(site), lakeflow_meta.__version__)


def test_the_same_code_gives_the_same_bytes_and_other_code_another_name(
    site: Path, tmp_path: Path
) -> None:
    code = tmp_path / "lakeflow_meta"
    (code / "jobs" / "__pycache__").mkdir(parents=True)
    (code / "__init__.py").write_text("")
    (code / "jobs" / "plan.py").write_text("x = 1\n")
    one = build(site, code)
    for junk in (code / "jobs" / "__pycache__" / "plan.pyc", code / ".plan.py.swp"):
        junk.write_text("junk")
    os.utime(code / "jobs" / "plan.py", (1, 1))
    assert build(site, code) == one
    (code / "jobs" / "plan.py").write_text("x = 2\n")
    other = build(site, code)
    assert one.file_name != other.file_name
    version = one.file_name.split("-")[1]
    files = unpacked(one)
    assert f"Version: {version}\n" in files[f"lakeflow_meta-{version}.dist-info/METADATA"].decode()
    assert [name for name in files if not name.startswith("lakeflow_meta-")] == [
        "lakeflow_meta/__init__.py",
        "lakeflow_meta/jobs/plan.py",
    ]


def test_the_wheel_installs_runs_and_builds_itself_again(site: Path, tmp_path: Path) -> None:
    built = build(site)
    assert [need.split(">")[0] for need in built.requirements] == ["databricks-sdk"]
    wheel = tmp_path / built.file_name
    wheel.write_bytes(built.content)
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    [purelib] = (venv / "lib").glob("python*/site-packages")
    python = venv / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", python]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", wheel], check=True, cwd=tmp_path)
    outside = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    needs = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    shown = subprocess.run(
        [venv / "bin" / "lakeflow-meta", "--help"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**outside, "PYTHONPATH": needs},
    )
    assert "deploy" in shown.stdout
    code = (
        "import lakeflow_meta, sys, hashlib; from lakeflow_meta.backends.own_package import *;"
        "built = own_package();"
        "print(lakeflow_meta.__file__, built.file_name, hashlib.sha256(built.content).hexdigest())"
    )
    environment = {**outside, "PYTHONPATH": os.pathsep.join([str(purelib), needs])}
    done = subprocess.run(
        [python, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    file, name, digest = done.stdout.split()
    assert file.startswith(str(venv))
    assert (name, digest) == (built.file_name, _digest(built.content))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_record_names_every_file_with_its_digest(site: Path) -> None:
    files = unpacked(build(site))
    [(name, record)] = [(n, c.decode()) for n, c in files.items() if n.endswith("/RECORD")]
    lines = record.splitlines()
    assert {line.split(",")[0] for line in lines} == set(files)
    assert f"{name},," in lines
    assert all(len(line.split("sha256=")[1]) >= 45 for line in lines if not line.endswith(",,"))


def test_a_package_of_another_version_than_its_code_is_not_deployed(tmp_path: Path) -> None:
    site = write_distribution(tmp_path, version="9.9.9")
    with pytest.raises(ConfigError, match=r"says 9\.9\.9; install it"):
        build(site)


# --- the deployment


def test_a_first_deploy_uploads_and_makes_two_jobs_and_a_second_does_nothing(
    office: Office,
) -> None:
    report = office.deploy(wanted())
    assert office.actions(report) == {"orchestrator": "created", "monitor": "created"}
    assert set(office.workspace.uploads.files) == set(wanted().files)
    assert office.workspace.uploads.files[report.package] == ONE.content
    assert [job.url for job in report.jobs] == [
        f"https://w.test/jobs/{job_id}" for job_id in office.workspace.jobs.jobs
    ]
    for kind in DeploymentKind:
        assert {"group_name": "ops", "permission_level": "CAN_MANAGE_RUN"} in office.live(
            kind
        ).permissions
    assert office.workspace.jobs.cancelled == []
    office.workspace.forget_calls()
    versions = {table: office.store.version(table) for table in TABLES.all()}
    again = office.deploy(wanted())
    assert office.actions(again) == {"orchestrator": "unchanged", "monitor": "unchanged"}
    assert (again.uploaded, office.workspace.writes) == ((), [])
    assert len(office.workspace.uploads.requests) == 2
    assert len(office.workspace.jobs.requests) == 2 * 2, "each job and its permissions, once"
    assert {table: office.store.version(table) for table in TABLES.all()} == versions


def test_a_dry_run_shows_everything_and_does_nothing(office: Office) -> None:
    report = office.deployer().plan(wanted())
    assert report.to_dict()["uploaded"] == list(wanted().files)
    assert [(job["kind"], job["action"], job["job_id"]) for job in report.to_dict()["jobs"]] == [
        ("orchestrator", "create", None),
        ("monitor", "create", None),
    ]
    assert any(c["path"] == "schedule" for c in report.to_dict()["jobs"][0]["changes"])
    assert office.workspace.writes == []
    assert office.store.version(TABLES.of(STATE)) is None
    office.deploy(wanted())
    office.workspace.forget_calls()
    planned = office.deployer().plan(wanted(TWO))
    assert {job.action for job in planned.jobs} == {"update"}
    assert office.workspace.writes == []


def test_a_new_package_updates_the_jobs_in_place_and_restarts_the_monitor(office: Office) -> None:
    office.deploy(wanted())
    before = dict(office.workspace.jobs.jobs)
    monitor = office.rows["deploy/monitor"]["job_id"]
    office.workspace.forget_calls()
    report = office.deploy(wanted(TWO))
    assert office.actions(report) == {"orchestrator": "updated", "monitor": "updated"}
    assert office.workspace.jobs.jobs.keys() == before.keys()
    assert office.workspace.jobs.cancelled == [monitor]
    assert [job.restarted for job in report.jobs] == [False, True]
    for request in office.workspace.jobs.calls_of(UPDATES):
        assert set(request.body["new_settings"]) == {"environments"}
    for kind in DeploymentKind:
        [environment] = office.live(kind).settings["environments"]
        assert environment["spec"]["dependencies"] == [wanted(TWO).package.wheel]
    assert set(office.workspace.uploads.files) > {wanted().package.wheel}, "the old one is kept"
    assert office.rows["deploy/package"]["wheel"] == wanted(TWO).package.wheel


def test_what_people_set_in_the_ui_is_kept_and_what_is_ours_is_restored(office: Office) -> None:
    office.deploy(wanted())
    orchestrator, monitor = (office.rows[f"deploy/{k.value}"]["job_id"] for k in DeploymentKind)
    schedule = office.live("orchestrator").settings["schedule"]
    office.workspace.jobs.edit(
        orchestrator,
        schedule={**schedule, "pause_status": "PAUSED"},
        email_notifications={"on_failure": ["ann@x"]},
        tags={**office.live("orchestrator").settings["tags"], "cost": "7"},
    )
    office.workspace.jobs.edit(monitor, continuous={"pause_status": "PAUSED"}, name="mine")
    office.workspace.forget_calls()
    report = office.deploy(wanted(schedule="0 15 * * * ?"))
    assert [c.path for c in report.jobs[0].changes] == ["schedule/quartz_cron_expression"]
    assert [c.path for c in report.jobs[1].changes] == ["name"]
    assert office.workspace.jobs.cancelled == [], "it is paused, so nothing runs"
    settings = office.live("orchestrator").settings
    assert settings["schedule"]["pause_status"] == "PAUSED"
    assert settings["email_notifications"] == {"on_failure": ["ann@x"]}
    assert settings["tags"]["cost"] == "7"
    assert office.live("monitor").settings["continuous"] == {"pause_status": "PAUSED"}


def test_a_job_that_was_deleted_is_made_anew(office: Office) -> None:
    office.deploy(wanted())
    old = office.rows["deploy/monitor"]["job_id"]
    del office.workspace.jobs.jobs[old]
    report = office.deploy(wanted())
    assert office.actions(report) == {"orchestrator": "unchanged", "monitor": "recreated"}
    assert office.rows["deploy/monitor"]["job_id"] != old


def test_a_lost_record_is_healed_by_adoption(office: Office) -> None:
    office.deploy(wanted())
    jobs = dict(office.workspace.jobs.jobs)
    office.store.merge(TABLES.of(STATE), [], keys=STATE.keys, scope={})
    assert office.actions(office.deploy(wanted())) == {
        "orchestrator": "adopted",
        "monitor": "adopted",
    }
    assert office.workspace.jobs.jobs.keys() == jobs.keys()
    office.workspace.forget_calls()
    assert set(office.actions(office.deploy(wanted())).values()) == {"unchanged"}
    assert office.workspace.writes == []


def test_a_damaged_record_is_no_record(office: Office) -> None:
    office.deploy(wanted())
    rows: list[Row] = office.store.read(TABLES.of(STATE)).to_pylist()
    damaged = [{**row, "value": "{"} for row in rows if row["key"].startswith("deploy/")]
    office.store.merge(TABLES.of(STATE), damaged, keys=STATE.keys)
    assert set(office.actions(office.deploy(wanted())).values()) == {"adopted"}
    assert len(office.workspace.jobs.jobs) == 2


def test_a_job_of_somebody_else_is_left_alone_and_the_other_one_is_made(office: Office) -> None:
    office.deploy(wanted())
    monitor = office.rows["deploy/monitor"]["job_id"]
    tags = {"lakeflow_meta_control_table": "other", "lakeflow_meta_deployment": "monitor"}
    office.workspace.jobs.edit(monitor, tags=tags)
    report = office.deploy(wanted(TWO))
    assert report.failed
    assert "carries tags of somebody else" in report.errors()[0]
    assert report.jobs[0].action == "updated"
    assert office.live("monitor").settings["tags"] == tags


def test_a_monitor_that_is_not_wanted_any_more_is_paused_and_its_run_ended(office: Office) -> None:
    office.deploy(wanted())
    monitor = office.rows["deploy/monitor"]["job_id"]
    volume = "/Volumes/main/lakeflow/metadata"
    off = {"monitor_interval_seconds": None, "metadata_volume": volume}
    report = office.deploy(wanted(**off))
    assert office.actions(report) == {"orchestrator": "updated", "monitor": "paused"}
    assert office.live("monitor").settings["continuous"]["pause_status"] == "PAUSED"
    assert office.workspace.jobs.cancelled == [monitor]
    tasks = office.live("orchestrator").settings["tasks"]
    assert [task["task_key"] for task in tasks] == ["apply", "sync"]
    office.workspace.forget_calls()
    office.deploy(wanted(**off))
    assert office.workspace.writes == []
    office.deploy(wanted())
    assert office.live("monitor").settings["continuous"]["pause_status"] == "UNPAUSED"
    assert [t["task_key"] for t in office.live("orchestrator").settings["tasks"]] == ["apply"]
    office.workspace.forget_calls()
    office.deploy(wanted())
    assert office.workspace.writes == []


def test_a_deployment_that_never_had_a_monitor_says_nothing_of_one(office: Office) -> None:
    report = office.deploy(wanted(monitor_interval_seconds=None))
    assert office.actions(report) == {"orchestrator": "created"}


def test_permissions_of_others_are_kept(office: Office) -> None:
    office.deploy(wanted())
    job = office.live("orchestrator")
    job.permissions.append({"user_name": "bob@x", "permission_level": "CAN_VIEW"})
    levels = [{"group_name": "ops", "permission_level": "CAN_MANAGE"}]
    report = office.deploy(wanted(permissions=levels))
    assert [j.action for j in report.jobs] == ["updated", "updated"]
    assert sorted(entry["permission_level"] for entry in job.permissions) == [
        "CAN_MANAGE",
        "CAN_VIEW",
        "IS_OWNER",
    ]
    assert office.workspace.jobs.cancelled == []
    assert {"user_name": ME, "permission_level": "IS_OWNER"} in office.permissions.get(
        office.rows["deploy/orchestrator"]["job_id"]
    )


def test_permissions_of_a_job_that_is_gone_are_not_found(office: Office) -> None:
    with pytest.raises(NotFoundError):
        office.permissions.get(1)
    with pytest.raises(NotFoundError):
        office.permissions.update(1, PERMISSIONS)
    with pytest.raises(NotFoundError):
        office.jobs.cancel_runs(1)


@pytest.mark.parametrize("folder", [f"{VOLUME}/a b/+ü", f"{HOME}/lakeflow"])
@pytest.mark.parametrize("tells_size", [True, False])
def test_packages_go_to_volumes_and_to_workspace_folders(
    make_office: Callable[..., Office], folder: str, tells_size: bool
) -> None:
    office = make_office(tells_size=tells_size)
    report = office.deploy(wanted(package_folder=folder))
    assert office.workspace.uploads.files[report.package] == ONE.content
    assert report.package.startswith(f"{folder}/")
    office.workspace.forget_calls()
    office.deploy(wanted(package_folder=folder))
    assert office.workspace.writes == []


@pytest.mark.parametrize("folder", [f"{VOLUME}/prod", f"{HOME}/prod"])
def test_cleaning_removes_what_no_job_names_and_nothing_else(office: Office, folder: str) -> None:
    office.deploy(wanted(package_folder=folder))
    old = wanted(package_folder=folder).package
    office.workspace.uploads.files[f"{folder}/notes.txt"] = b"mine"
    office.workspace.uploads.files[f"{folder}/lakeflow_meta-0.whl"] = b"very old"
    user = office.jobs.create_job({"name": "a module", "environments": [_environment(old.wheel)]})
    given = {"package_folder": folder, "environment_version": "5"}
    kept = office.deploy(wanted(TWO, **given), clean=True)
    assert kept.removed == (f"{folder}/lakeflow_meta-0.whl",)
    office.jobs.delete_job(user)
    report = office.deploy(wanted(TWO, **given), clean=True)
    assert report.removed == (old.wheel,)
    assert f"{folder}/notes.txt" in office.workspace.uploads.files
    other = Office(office.workspace)
    assert office.workspace.uploads.files.keys() >= set(wanted(TWO, **given).files)
    assert other.uploads.names(f"{folder}/nothing") == []
    other.uploads.remove(report.settings)
    assert not any(path.startswith(report.settings) for path in office.workspace.uploads.files)
    other.uploads.remove(report.settings)


def _environment(wheel: str) -> dict[str, Any]:
    return {"environment_key": "e", "spec": {"client": "4", "dependencies": [wheel]}}


class Sql:
    """Remembers statements."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def execute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        self.said.append(statement)
        return []


def test_privileges_are_told_and_given_only_where_that_is_asked_for(office: Office) -> None:
    told = office.deploy(wanted()).to_dict()["grants"]
    assert told["executed"] is False
    assert any("ON SCHEMA `main`.`lakeflow` TO `ops`" in text for text in told["statements"])
    sql = Sql()
    done = office.deploy(wanted(), sql=sql).to_dict()["grants"]
    assert (done["executed"], sql.said) == (True, told["statements"])


# --- what goes wrong


def test_a_volume_that_is_missing_is_told_and_nothing_is_made(office: Office) -> None:
    folder = "/Volumes/main/lakeflow/nowhere/x"
    with pytest.raises(NotFoundError, match=r"is there a volume main\.lakeflow\.nowhere"):
        office.deploy(wanted(package_folder=folder))
    assert office.workspace.jobs.jobs == {}
    assert office.rows == {}


def test_a_refused_upload_is_told_and_nothing_is_made(office: Office) -> None:
    office.workspace.uploads.read_only = True
    with pytest.raises(BackendError, match="you may not write here"):
        office.deploy(wanted())
    assert office.workspace.jobs.jobs == {}
    office.workspace.uploads.read_only = False
    assert office.actions(office.deploy(wanted())) == {
        "orchestrator": "created",
        "monitor": "created",
    }


def test_a_job_that_is_refused_does_not_stop_the_other(office: Office) -> None:
    office.workspace.jobs.fail("403", CREATES, nth=1)
    report = office.deploy(wanted())
    assert report.failed
    assert [job.action for job in report.jobs] == ["failed", "created"]
    assert report.errors()[0].startswith("orchestrator: ")
    assert office.actions(office.deploy(wanted())) == {
        "orchestrator": "created",
        "monitor": "unchanged",
    }


def test_a_creation_whose_answer_is_lost_is_found_by_the_next_deploy(office: Office) -> None:
    office.workspace.jobs.fail("reset", CREATES, nth=2, after=True)
    report = office.deploy(wanted())
    assert [job.action for job in report.jobs] == ["created", "failed"]
    assert "deploy again: what was made is found" in report.errors()[0]
    assert office.actions(office.deploy(wanted())) == {
        "orchestrator": "unchanged",
        "monitor": "adopted",
    }
    assert len(office.workspace.jobs.jobs) == 2


def test_uploads_are_repeated_when_the_platform_is_busy_or_loses_the_answer(
    make_office: Callable[..., Office],
) -> None:
    for folder in (VOLUME, HOME):
        office = make_office()
        office.workspace.uploads.faults += ["429", "after unreached", "503", "after 500", "502"]
        report = office.deploy(wanted(package_folder=folder))
        assert not report.failed
        assert office.workspace.uploads.files[report.package] == ONE.content


def test_killed_at_any_request_or_write_and_run_again_is_as_if_nothing_had_happened(
    make_office: Callable[..., Office],
) -> None:
    """Over a deploy of a new package: one job to make, one to change and restart, one paused."""
    for prepare, then in ((None, {}), (wanted(), {}), (wanted(), {"monitor": False})):
        expected, calls = _uninterrupted(make_office(), prepare, then)
        assert calls.count("do") > 10
        for number in range(1, len(calls) + 1):
            if calls[number - 2 : number] == ["ensure", "ensure"]:
                continue
            for after in (False, True):
                with WholeWorkspace().running() as workspace:
                    _killed(Office(workspace), prepare, then, number, after, calls, expected)


def _wanted_then(then: dict[str, Any]) -> Deployment:
    off = {} if then.get("monitor", True) else {"monitor_interval_seconds": None}
    levels = [{"group_name": "ops", "permission_level": "CAN_MANAGE"}]
    return wanted(TWO, permissions=levels, **off)


def _prepare(office: Office, prepare: Deployment | None) -> None:
    for table, layout in TABLES.all().items():
        office.store.ensure(table, layout)
    if prepare is not None:
        office.deploy(prepare)


def _uninterrupted(
    office: Office, prepare: Deployment | None, then: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    _prepare(office, prepare)
    crash = CrashPoint()
    office.deployer(crash).deploy(_wanted_then(then))
    return office.end, crash.calls


def _killed(
    office: Office,
    prepare: Deployment | None,
    then: dict[str, Any],
    number: int,
    after: bool,
    calls: list[str],
    expected: dict[str, Any],
) -> None:
    where = f"{'after' if after else 'before'} call {number}, {calls[number - 1]}"
    _prepare(office, prepare)
    jobs = set(office.workspace.jobs.jobs)
    with pytest.raises(Crash):
        office.deployer(CrashPoint(number, after=after)).deploy(_wanted_then(then))
    restarted = list(office.workspace.jobs.cancelled)
    report = office.deploy(_wanted_then(then))
    assert not report.failed, where
    assert office.end == expected, where
    assert jobs <= set(office.workspace.jobs.jobs), where
    if prepare is not None:
        assert restarted + office.workspace.jobs.cancelled, where
    if after:
        office.workspace.forget_calls()
        office.deploy(_wanted_then(then))
        assert office.workspace.writes == [], where


def test_many_deploys_at_once_end_with_one_job_each(make_office: Callable[..., Office]) -> None:
    for _ in range(5):
        office = make_office()
        with ThreadPoolExecutor(4) as pool:
            deployers = [office.deployer(sleep=lambda _s: time.sleep(0.02)) for _ in range(4)]
            found = [pool.submit(deployer.deploy, wanted()) for deployer in deployers]
            reports = [future.result() for future in found]
        assert not any(report.failed for report in reports)
        names = [job.settings["name"] for job in office.workspace.jobs.jobs.values()]
        assert sorted(names) == [
            f"lakeflow-meta monitor {TABLE}",
            f"lakeflow-meta orchestrator {TABLE}",
        ]
        created = [job.action for report in reports for job in report.jobs]
        assert (created.count("created"), len(office.end["rows"])) == (2, 3)


# --- together with the rest


@pytest.fixture
def app(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., App]]:
    """The whole program on that workspace, with settings as people write them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    if site := own_distribution(tmp_path):
        monkeypatch.syspath_prepend(str(site))
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "default.yml").write_text("warehouse_id: w1\n")
    deploy = {"package_folder": f"{VOLUME}/prod", "permissions": PERMISSIONS}
    (tmp_path / "conf" / "prod.yml").write_text(
        json.dumps({"backend": "databricks", "actor": "ann", "deploy": deploy})
    )

    def make() -> App:
        return App.from_environment(
            overrides={"target": "prod"},
            store=office.store,
            workspace_client=office.client,
            clock=office.clock,
        )

    return make


def command(app: App, *arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    output = Output(as_json="--json" in arguments, out=out, err=io.StringIO())
    return run(list(arguments), Session(output, shared=app)), out.getvalue()


def test_the_command_deploys_and_says_what_it_did(app: Callable[..., App], office: Office) -> None:
    code, text = command(app(), "deploy", "--dry-run")
    assert (code, office.workspace.writes) == (0, [])
    assert "+ create orchestrator" in text
    assert text.endswith("nothing was changed (dry run)\n")
    code, text = command(app(), "deploy", "--json", "--interval", "30")
    result = json.loads(text)
    assert code == 0
    assert set(result) == {
        *("dry_run", "package", "settings", "uploaded", "jobs", "grants", "removed")
    }
    assert [job["action"] for job in result["jobs"]] == ["created", "created"]
    for job in result["jobs"]:
        assert job["url"] == f"{office.workspace.host}/jobs/{job['job_id']}"
    package = own_package()
    assert result["package"] == f"{VOLUME}/prod/{package.file_name}"
    assert office.workspace.uploads.files[result["package"]] == package.content
    [task] = office.live("monitor").settings["tasks"]
    assert task["python_wheel_task"]["parameters"][-2:] == ["--interval", "30"]
    settings = office.workspace.uploads.files[f"{result['settings']}/prod.yml"].decode()
    assert "warehouse_id: w1" in settings
    assert "actor" not in settings
    code, text = command(app(), "deploy", "--interval", "30")
    assert (code, text.splitlines()[2].split("  ")[0]) == (0, "= unchanged orchestrator")
    assert command(app(), "deploy", "--no-monitor", "--interval", "9")[0] == 2
    code, text = command(app(), "deploy", "--no-monitor", "--cluster-id", "0101-x")
    assert (code, "~ paused monitor" in text) == (0, True)


def test_a_deployed_job_has_the_settings_of_whoever_deployed(
    app: Callable[..., App], office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEFLOW_META_JOB_NAME_TEMPLATE", "[$${team}] {module_name}")
    here = app()
    command(here, "deploy")
    [task] = office.live("orchestrator").settings["tasks"]
    options = task["python_wheel_task"]["parameters"]
    assert (options[0], options[2:4]) == ("--conf", ["--target", "prod"])
    there = tmp_path / "there"
    there.mkdir()
    for path, content in office.workspace.uploads.files.items():
        if path.startswith(options[1]):
            (there / path.rpartition("/")[2]).write_bytes(content)
    monkeypatch.delenv("LAKEFLOW_META_JOB_NAME_TEMPLATE")
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "client.4.9")
    deployed = App.from_environment(overrides={"target": "prod"}, conf=there)
    assert deployed.settings.portable() == here.settings.portable()
    assert deployed.settings.warehouse_id == "w1"
    assert deployed.settings.job_name_template == "[$${team}] {module_name}"


def test_jobs_are_looked_for_by_their_tags_without_their_tasks(office: Office) -> None:
    office.deploy(wanted())
    asked = [request.query["expand_tasks"] for request in office.workspace.jobs.calls_of(LISTS)]
    assert set(asked) == {"false"}


def test_a_failed_job_makes_the_command_fail(app: Callable[..., App], office: Office) -> None:
    office.workspace.jobs.fail("403", CREATES)
    code, text = command(app(), "deploy")
    assert (code, "✗ failed orchestrator  Job 1 does not exist" in text) == (1, True)


def test_the_jobs_of_the_deployment_are_none_of_apply_s_business(
    app: Callable[..., App], office: Office
) -> None:
    command(app(), "deploy")
    source(office, "sales", {"task_type": "run_job", "job_id": 1})
    code, _ = command(app(), "apply", "--prune", "delete")
    assert code == 0
    names = sorted(job.settings["name"].split()[0] for job in office.workspace.jobs.jobs.values())
    assert names == ["lakeflow-meta", "lakeflow-meta", "sales"]


def source(office: Office, module: str, config: dict[str, Any]) -> None:
    office.store.ensure(TABLES.of(SOURCES), SOURCES)
    row = {
        "module_name": module,
        "source_id": "a",
        "execution_order": 1,
        "transformation_config": json.dumps(config),
        "is_active": True,
    }
    office.store.merge(TABLES.of(SOURCES), [row], keys=SOURCES.keys)


def test_modules_with_own_tasks_wait_for_the_package_and_then_follow_it(
    app: Callable[..., App], office: Office
) -> None:
    for table, layout in TABLES.all().items():
        office.store.ensure(table, layout)
    source(office, "sales", {"task_type": "ingest"})
    source(office, "other", {"task_type": "run_job", "job_id": 1})
    code, text = command(app(), "apply")
    assert code == 1
    assert "run lakeflow-meta deploy first" in text
    assert "created other" in text
    command(app(), "deploy")
    code, text = command(app(), "apply")
    assert (code, "created sales" in text) == (0, True)
    sales = next(j for j in office.workspace.jobs.jobs.values() if j.settings["name"] == "sales")
    [environment] = sales.settings["environments"]
    assert environment["spec"]["dependencies"][0] == own_package_path()
    code, text = command(app(), "deploy", "--environment-version", "5")
    code, text = command(app(), "apply")
    assert (code, "updated sales" in text, "unchanged other" in text) == (0, True, True)
    assert sales.settings["environments"][0]["spec"]["environment_version"] == "5"
    code, text = command(app(), "apply")
    assert "unchanged sales" in text


def own_package_path() -> str:
    return f"{VOLUME}/prod/{own_package().file_name}"


def test_yaml_of_such_modules_is_valid_without_a_workspace(
    app: Callable[..., App], office: Office, tmp_path: Path
) -> None:
    (tmp_path / "m.yml").write_text(
        "modules: [{module_name: sales, ddl_targets: [lake], sources: []}]\n"
        "ddl_scripts: [{target: lake, release: 001_a, file: 001_a.sql, body: SELECT 1}]\n"
    )
    code, text = command(app(), "validate", "m.yml")
    assert (code, "no problems" in text) == (0, True)
    assert office.workspace.jobs.requests == []


def test_an_embedded_target_has_nothing_to_deploy_to(tmp_path: Path) -> None:
    app = App.from_environment(overrides={"home": tmp_path})
    with pytest.raises(ConfigError, match=r"name another target.*--target prod deploy"):
        app.deployment({})
    assert run(["deploy"], Session(Output(err=io.StringIO()), shared=app)) == 2


def test_inside_the_runtime_host_and_profile_of_the_settings_are_not_used(
    office: Office, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "prod.yml").write_text(
        "backend: databricks\nhost: https://laptop.invalid\nprofile: nobody\n"
    )
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "client.4.9")
    monkeypatch.setenv("DATABRICKS_HOST", office.workspace.host)
    monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
    app = App.from_environment(overrides={"target": "prod"}, store=office.store)
    assert list(app.jobs.list_jobs()) == []
    assert office.workspace.jobs.calls_of(LISTS)


def test_success_returns_and_failure_exits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel task takes any SystemExit for a failure."""
    assert main(["--help"]) is None  # type: ignore[func-returns-value]  # that is the point
    with pytest.raises(SystemExit) as stop:
        main(["--conf", "nowhere", "config"])
    assert stop.value.code == 2


def test_what_was_done_is_in_the_history(office: Office) -> None:
    office.deploy(wanted())
    office.deploy(wanted(TWO))
    events = office.store.read(TABLES.of(EVENTS)).to_pylist()
    assert [(e["verb"], e["object"], e["action"]) for e in events] == [
        ("deploy", "orchestrator", "created"),
        ("deploy", "monitor", "created"),
        ("deploy", "orchestrator", "updated"),
        ("deploy", "monitor", "updated"),
    ]
    assert office.store.version(TABLES.of(MODULES)) == 0, "the control tables are there"
    assert office.workspace.jobs.calls_of(CANCELS)
    assert office.workspace.jobs.calls_of(GETS)
