"""Python packages of others: wheels as files, installed packages, their entry points."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from lakeflow_meta.backends.local.tasks.program_start import WORKSPACE
from lakeflow_meta.backends.local.tasks.program_workspace import ProgramWorkspace
from lakeflow_meta.ports import RunState as S

Bench = Any  # the class of conftest.py, which tests cannot import

MODULE = """
import sys

def main():
    print("main", *sys.argv[1:])

def broken():
    return 4
"""


@pytest.fixture
def wheel(bench: Bench) -> Path:
    path: Path = bench.project / "dist" / "acme_etl-1.0-py3-none-any.whl"
    path.parent.mkdir()
    info = "acme_etl-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("acme_etl/__init__.py", MODULE)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: acme-etl\nVersion: 1.0\n"
        )
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\nrun-it = acme_etl:main\n")
    return path


def task(key: str, entry_point: str, **fields: Any) -> dict[str, Any]:
    return {
        "task_key": key,
        "python_wheel_task": {"package_name": "acme-etl", "entry_point": entry_point, **fields},
        "libraries": [{"whl": "dist/acme_etl-1.0-py3-none-any.whl"}],
    }


@pytest.mark.usefixtures("wheel")
def test_an_entry_point_of_a_wheel_runs_by_its_name_or_as_a_function(bench: Bench) -> None:
    run = bench.run(
        task("named", "run-it", named_parameters={"day": "mon", "n": "1"}),
        task("function", "main", parameters=["a b", "--x"]),
        task("broken", "broken"),
        task("missing", "nope"),
        parameters=[{"name": "day", "default": "tue"}],
    )
    assert bench.states(run) == {
        "named": S.SUCCESS,
        "function": S.SUCCESS,
        "broken": S.FAILED,
        "missing": S.FAILED,
    }
    log = {key: bench.workspace.task_log(run.run_id, key) for key in bench.states(run)}
    assert log["named"] == "main --day=tue --n=1\n"
    assert log["function"] == "main a b --x\n"
    assert "has no entry point 'nope'" in log["missing"]
    assert "wheel_entry" not in log["missing"]


def test_a_notebook_imports_what_is_in_its_wheel_now(bench: Bench, wheel: Path) -> None:
    (bench.project / "n.py").write_text("import acme_etl\nacme_etl.main()")
    libraries = [{"whl": "dist/acme_etl-1.0-py3-none-any.whl"}]
    notebook = {"task_key": "n", "notebook_task": {"notebook_path": "n"}, "libraries": libraries}
    for said in ("main", "changed and longer"):
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("acme_etl/__init__.py", MODULE.replace('"main"', f'"{said}"'))
        run = bench.run(notebook)
        assert bench.workspace.task_log(run.run_id, "n").splitlines()[1].startswith(said)
    missing = bench.run({"task_key": "n", "notebook_task": {"notebook_path": "n"}})
    assert "No module named 'acme_etl'" in missing.tasks[0].error


def test_a_wheel_of_the_job_environment_is_found(bench: Bench, wheel: Path) -> None:
    own = {key: value for key, value in task("a", "main").items() if key != "libraries"}
    spec = {"client": "1", "dependencies": [str(wheel), "pytest>=1"]}
    run = bench.run(
        {**own, "environment_key": "e"}, environments=[{"environment_key": "e", "spec": spec}]
    )
    assert run.state is S.SUCCESS


def test_the_environment_of_a_program_can_be_added_to(make_bench: Any) -> None:
    bench = make_bench(environment=lambda: {"EXTRA": "yes"})
    run = bench.run(bench.program("a", "import os; print(os.environ['EXTRA'], os.getcwd())"))
    assert bench.workspace.task_log(run.run_id, "a") == f"yes {bench.project}\n"


def test_a_program_reads_files_and_secrets_by_dbutils_and_shows_no_secret(make_bench: Any) -> None:
    bench = make_bench(environment=lambda: {WORKSPACE: spec.as_json()})
    spec = ProgramWorkspace(str(bench.home), str(bench.project), None, ("main",), {})
    secrets = bench.home / "secrets.yml"
    secrets.write_text("db:\n  password: hunter2\n")
    secrets.chmod(0o600)
    code = """
import sys
from databricks.sdk.runtime import dbutils
from pyspark.dbutils import DBUtils

password = dbutils.secrets.get("db", "password")
DBUtils().fs.put("/Volumes/main/a/b/c.txt", "text")
print(password, len(password), dbutils.fs.head("/Volumes/main/a/b/c.txt"), sys.argv[1:])
try:
    dbutils.jobs.taskValues
except Exception as error:
    print(error)
raise ValueError(password)
"""
    run = bench.run(bench.program("a", code, arguments=["x y"]))
    log = bench.workspace.task_log(run.run_id, "a")
    assert "[REDACTED] 7 text ['x y']\n" in log
    assert "dbutils.jobs does not work on the embedded workspace\n" in log
    assert "\nValueError: [REDACTED]\n" in log
    assert "hunter2" not in log
    assert "program_start" not in log
