"""`plan -o FILE`, review, `apply --plan FILE`, as in CI; and what plan and apply exit with."""

import json
from pathlib import Path

import pytest
from cli_process import Cli

METADATA = """
modules:
  - module_name: sales
    job_config: {permissions: [{group_name: analysts, permission_level: CAN_VIEW}]}
    sources:
      - {source_id: a, transformation_config: {sql_query: SELECT 1}}
  - module_name: hr
    sources:
      - {source_id: b, transformation_config: {task_type: run_job, job_id: 1}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Cli:
    cli = Cli(tmp_path)
    cli.write("metadata.yml", METADATA)
    cli.ok("sync", "metadata.yml")
    return cli


def test_what_was_planned_is_applied_or_nothing(project: Cli) -> None:
    checked = project.run("plan", "--check", "-o", "plan.json")
    assert checked.returncode == 1
    assert "+ permissions/group:analysts: CAN_VIEW" in checked.stdout
    kept = json.loads((project.directory / "plan.json").read_text())
    assert [(job["name"], job["action"]) for job in kept["jobs"]] == [
        ("hr", "create"),
        ("sales", "create"),
    ]
    applied = project.json("apply", "--plan", "plan.json")
    assert {row["module"]: row["action"] for row in applied} == {
        "hr": "created",
        "sales": "created",
    }
    assert project.run("plan", "--check").returncode == 0
    again = project.run("apply", "--plan", "plan.json")
    assert again.returncode == 1
    assert "the plan does not hold any more, so nothing was changed" in again.stderr
    assert "hr: its rows in the control tables were changed; it has got a job" in again.stderr


def test_a_selection_and_its_choices_are_in_the_plan(project: Cli) -> None:
    project.ok("plan", "hr", "-o", "plan.json")
    assert [row["module"] for row in project.json("apply", "--plan", "plan.json")] == ["hr"]
    for more in (["hr"], ["--prune", "delete"], ["--on-drift", "report"]):
        done = project.run("apply", *more, "--plan", "plan.json")
        assert (done.returncode, "leave that out" in done.stderr) == (2, True)


def test_other_files_are_refused(project: Cli) -> None:
    for name, told in (("metadata.yml", "it is not JSON"), ("none.json", "cannot be read")):
        done = project.run("apply", "--plan", name)
        assert (done.returncode, told in done.stderr) == (2, True)
    project.ok("plan", "-o", "plan.json")
    done = project.run("--control-table", "a.b.c", "apply", "--plan", "plan.json")
    assert (done.returncode, "not of a.b.c" in done.stderr) == (2, True)


def test_a_failure_fails_plan_and_apply_and_the_others_are_done(project: Cli) -> None:
    statement = (
        "INSERT INTO main.lakeflow.etl_control VALUES"
        " ('x', 'bad', NULL, 1, NULL, NULL, '{\"task_type\": \"nonsense\"}', true)"
    )
    project.ok("sql", statement)
    assert project.run("plan").returncode == 1
    rows = {row["module"]: row for row in project.json("apply", code=1)}
    assert {name: row["action"] for name, row in rows.items()} == {
        "bad": "failed",
        "hr": "created",
        "sales": "created",
    }
    assert "nonsense" in rows["bad"]["error"]
    assert project.run("apply", "--on-drift", "keep").returncode == 2


def test_quick_work_prints_no_progress(project: Cli) -> None:
    """On a busy machine a run may take long enough to be told about; not each of ten."""
    assert any(project.run("apply").stderr == "" for _ in range(10))
    assert not project.used_spark
