"""Real processes: one that is killed in the middle of a script, and two at once."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from cli_process import Cli

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.control.tables import DDL_SCRIPTS, EXECUTIONS, ControlTables
from lakeflow_meta.scripts.script import read_scripts

TABLES = ControlTables.named("main.lakeflow.etl_control")

_NOTE = """
import os, pathlib, time
def note(text):
    with open({file!r}, "a") as file:
        file.write(text + "\\n")
"""


class Project:
    """Recorded scripts of a directory, and what they noted."""

    def __init__(self, directory: Path) -> None:
        self.cli = Cli(directory)
        self.notes = directory / "notes"
        self.store = DeltaRsStore(directory / ".lakeflow" / "warehouse")

    def record(self, bodies: dict[str, str]) -> None:
        start = _NOTE.format(file=str(self.notes))
        scripts, findings = read_scripts({name: start + body for name, body in bodies.items()})
        assert not findings
        table = TABLES.of(DDL_SCRIPTS)
        self.store.ensure(table, DDL_SCRIPTS)
        self.store.merge(table, [script.row() for script in scripts], keys=["script_id"])

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.cli.command("--json", "ddl", "run"),
            cwd=self.cli.directory,
            env=self.cli.environ(LAKEFLOW_META_DDL_STAGGER_SECONDS="0"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def noted(self) -> list[str]:
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    def log(self) -> list[tuple[str, str]]:
        rows = self.store.read(TABLES.of(EXECUTIONS)).to_pylist()
        return sorted((row["script_id"], row["execution_status"]) for row in rows)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_killed_in_a_script_the_next_process_does_the_rest_at_once(project: Project) -> None:
    waits = "note('two')\nif not os.path.exists('go'):\n    time.sleep(60)\nnote('two done')"
    project.record({"t/1_a/1_x.py": "note('one')", "t/1_a/2_y.py": waits})
    process = project.start()
    while "two" not in project.noted():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.kill()
    process.communicate()
    (project.cli.directory / "go").touch()
    began = time.monotonic()
    result = project.cli.json("ddl", "run")
    assert time.monotonic() - began < 20, "the lease of a process that is seen to be dead is free"
    assert project.noted() == ["one", "two", "two", "two done"]
    assert result["exit_value"] == "success"
    assert project.log() == [("t/1_a/1_x.py", "Success"), ("t/1_a/2_y.py", "Success")]


def test_two_processes_at_once_run_each_script_once(project: Project) -> None:
    names = [f"t/1_a/{number}_x.py" for number in range(1, 5)]
    bodies = {name: f"note({name!r}); time.sleep(0.1)" for name in names}
    project.record({**bodies, "u/1_a/1_z.py": "note('u')"})
    processes = [project.start() for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
    assert [note for note in project.noted() if note != "u"] == names
    assert project.noted().count("u") == 1
    assert len(project.log()) == 5
