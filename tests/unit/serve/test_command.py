"""The command in process: what it lists, one look, who it is for, and SQL that becomes a job."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from lakeflow_meta.app import App
from lakeflow_meta.cli.main import run
from lakeflow_meta.cli.output import Output, Session
from lakeflow_meta.serve_operations import upcoming

METADATA = """
modules:
  - module_name: orders
    job_config:
      continuous: {}
    sources:
      - {source_id: t, source_type: x, execution_order: 1,
         transformation_config: {task_type: spark_python, python_file: nothing.py}}
  - module_name: returns
    job_config:
      continuous: {}
    sources:
      - {source_id: t, source_type: x, execution_order: 1,
         transformation_config: {task_type: spark_python, python_file: nothing.py}}
"""
TASK = {"task_key": "t", "spark_python_task": {"python_file": "nothing.py"}}


class Project:
    """A folder, and commands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "nothing.py").write_text("")
        (folder / "metadata").mkdir()
        (folder / "metadata" / "m.yml").write_text(METADATA)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        home = ["--home", str(self.folder / ".lakeflow")]
        session = Session(Output(as_json="--json" in arguments, out=out, err=err))
        code = run([*home, *arguments], session)
        return code, out.getvalue(), err.getvalue()

    def lines(self, *arguments: str) -> list[dict[str, Any]]:
        code, out, err = self.run("--json", *arguments)
        assert code == 0, out + err
        return [json.loads(line) for line in out.splitlines()]

    @property
    def app(self) -> App:
        return App.from_environment(overrides={"home": self.folder / ".lakeflow"})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def _ended(lines: list[dict[str, Any]]) -> list[str]:
    return sorted(line["job_name"] for line in lines if line["what"] == "ended")


def test_one_look_takes_metadata_in_and_runs_what_is_due(project: Project) -> None:
    lines = project.lines("serve", "--once", "--volume", "metadata", "--settle", "0")
    assert _ended(lines) == ["orders", "returns"]
    assert lines[0]["what"] == "monitor"
    assert "created orders" in lines[0]["text"]


def test_the_scheduled_orchestrator_reads_files_where_no_monitor_does(project: Project) -> None:
    options = ("--volume", "metadata", "--no-monitor", "--schedule", "0 0 * * * ?")
    lines = project.lines("serve", "--once", *options)
    assert lines[0]["what"] == "orchestrator"
    assert lines[0]["text"] == "created orders, created returns"
    assert _ended(lines) == ["orders", "returns"]
    again = project.lines("serve", "--once", *options)
    assert again[0]["text"] == "nothing changed"


def test_sql_on_the_control_tables_becomes_jobs_without_an_apply(project: Project) -> None:
    project.lines("serve", "--once", "--volume", "metadata", "--settle", "0")
    project.run("sql", "UPDATE etl_control SET is_active = false WHERE module_name = 'orders'")
    lines = project.lines("serve", "--once")
    assert "paused orders" in lines[0]["text"]
    assert "orders" not in _ended(lines)


def test_only_the_named_modules_are_started(project: Project) -> None:
    project.run("sync", "metadata")
    project.run("apply")
    assert _ended(project.lines("serve", "--once", "--module", "returns")) == ["returns"]
    code, _, said = project.run("serve", "--once", "--module", "retruns")
    assert code == 2
    assert "did you mean returns?" in said


def test_a_run_that_fails_makes_one_look_fail(project: Project) -> None:
    (project.folder / "nothing.py").write_text("raise SystemExit(3)")
    code, out, _ = project.run("serve", "--once", "--volume", "metadata", "--settle", "0")
    assert code == 1
    assert "✗ orders failed" in out
    assert "ended with exit code 3" in out


def test_bad_metadata_makes_one_look_fail_and_is_told(project: Project) -> None:
    (project.folder / "metadata" / "m.yml").write_text("modules: 5")
    code, out, _ = project.run("serve", "--once", "--volume", "metadata", "--settle", "0")
    assert code == 1
    assert "✗ monitor: invalid m.yml" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--schedule", "0 0 * * *"), "has 5"),
        (("--schedule", "0 0 * * * ?", "--timezone", "Mars"), "unknown time zone"),
        (("--var", "x"), "is not name=value"),
    ],
)
def test_what_is_wrong_is_told_before_anything_starts(
    project: Project, arguments: tuple[str, ...], said: str
) -> None:
    code, _, err = project.run("serve", *arguments)
    assert (code, said in err) == (2, True), err


def test_a_workspace_of_databricks_starts_its_jobs_by_itself(project: Project) -> None:
    (project.folder / "conf").mkdir()
    (project.folder / "conf" / "prod.yml").write_text("backend: databricks\n")
    code, _, err = project.run("--target", "prod", "serve")
    assert code == 2
    assert "serve is for the embedded workspace" in err


def test_what_starts_next_comes_first(project: Project) -> None:
    jobs = project.app.jobs
    daily = {"quartz_cron_expression": "0 0 2 * * ?", "timezone_id": "UTC"}
    often = {"quartz_cron_expression": "0 * * * * ?", "timezone_id": "UTC"}
    for name, starter in {
        "resting": {"schedule": {**often, "pause_status": "PAUSED"}},
        "landing": {"trigger": {"file_arrival": {"url": "in"}}},
        "daily": {"schedule": daily},
        "often": {"schedule": often},
        "by hand": {},
    }.items():
        jobs.create_job({"name": name, "tasks": [TASK], **starter})
    found = upcoming(project.app)
    assert [entry.job_name for entry in found] == ["often", "daily", "landing", "resting"]
    assert [entry.next_at is None for entry in found] == [False, False, True, True]
    assert found[3].paused
    code, out, _ = project.run("serve", "--list")
    assert code == 0
    assert "files in in" in out
    assert "nobody serves this home" in out
    [listed] = [json.loads(project.run("--json", "serve", "--list")[1])]
    assert [entry["job_name"] for entry in listed] == [entry.job_name for entry in found]


def test_a_home_without_jobs_says_so(project: Project) -> None:
    assert "no job has a schedule" in project.run("serve", "--list")[1]
