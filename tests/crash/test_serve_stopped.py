"""A server that dies anywhere: no time and no event starts two runs, and no event is lost."""

import json
import random
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from cli_process import Cli
from serve_world import ServeWorld, eventually

from lakeflow_meta.serve.happenings import What
from lakeflow_meta.testing import Crash, CrashPoint

HOUR = 3600.0
URL = "/Volumes/m/s/in"


class Jobs:
    """One job of each kind, seen once, and then something for each to start by."""

    def __init__(self, folder: Path) -> None:
        self.world = world = ServeWorld(folder)
        self.by_time = world.cron("0 0 * * * ?", "by time")
        self.by_files = world.job("by files", trigger={"file_arrival": {"url": URL}})
        tables = {"table_names": ["m.s.t"]}
        self.by_tables = world.job("by tables", trigger={"table_update": tables})
        world.look(world.server())

    def happen(self) -> None:
        """Something for each job to start by."""
        self.world.seen.put(URL, "a.csv")
        self.world.seen.tables["m.s.t"] = [True]
        self.world.clock.advance(HOUR)

    def counts(self) -> tuple[int, int, int]:
        """Runs by time and times that were told as missed are one thing: nobody was there."""
        by_time = self.world.count(self.by_time) + len(self.world.said(What.MISSED))
        return by_time, self.world.count(self.by_files), self.world.count(self.by_tables)


def _until_done(jobs: Jobs, crash: CrashPoint) -> None:
    """Two looks, with something happening in between; whoever dies is followed by another."""
    server = None
    for what_happens in (lambda: None, jobs.happen):
        what_happens()
        try:
            server = server or jobs.world.server(crash)
            jobs.world.look(server)
        except Crash:
            server = jobs.world.server()
            jobs.world.look(server)
    jobs.world.look(jobs.world.server())


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_call_each_event_has_one_run(tmp_path: Path, after: bool) -> None:
    at, calls = 0, 1
    while at <= calls:  # the calm run, which is killed nowhere, counts the calls
        (folder := tmp_path / str(at)).mkdir()
        jobs, crash = Jobs(folder), CrashPoint(at, after=after)
        try:
            _until_done(jobs, crash)
            assert jobs.counts() == (1, 1, 1), f"killed at call {at}: {crash.calls[-1]}"
            calls = len(crash.calls) if at == 0 else calls
        finally:
            jobs.world.close()
        at += 1
    assert calls > 10


# --------------------------------------------------------------------------- real processes

METADATA = """
modules:
  - module_name: each_second
    job_config:
      schedule: {quartz_cron_expression: "* * * * * ?", timezone_id: UTC}
      max_concurrent_runs: 10
    sources:
      - {source_id: t, source_type: x, execution_order: 1,
         transformation_config: {task_type: spark_python, python_file: nothing.py}}
  - module_name: landing
    job_config: {trigger: {file_arrival: {url: incoming}}}
    sources:
      - {source_id: t, source_type: x, execution_order: 1,
         transformation_config: {task_type: spark_python, python_file: list_files.py}}
"""
LIST_FILES = "import os; print(' '.join(sorted(os.listdir('incoming'))))"


def test_killed_again_and_again_a_server_fires_each_time_once_and_loses_no_file(
    tmp_path: Path,
) -> None:
    cli, dice = Cli(tmp_path), random.Random(20_260_101)  # noqa: S311 - the same kills each time
    cli.write("metadata/m.yml", METADATA)
    cli.write("nothing.py", "")
    cli.write("list_files.py", LIST_FILES)
    (incoming := tmp_path / "incoming").mkdir()
    cli.ok("serve", "--once", "--volume", "metadata", "--settle", "0")
    dropped = []
    for round_ in range(4):
        process = _serve(cli)
        for number in range(3):
            dropped.append(f"{round_}-{number}.csv")
            (incoming / dropped[-1]).write_text("x")
            time.sleep(dice.uniform(0.0, 0.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        dropped.append(f"{round_}-while-dead.csv")
        (incoming / dropped[-1]).write_text("x")
    last = _serve(cli)
    logs = tmp_path / ".lakeflow" / "runs"
    eventually(lambda: _listed(logs) >= set(dropped), seconds=20)
    last.send_signal(signal.SIGTERM)
    last.communicate(timeout=30)
    assert last.returncode == 0
    _check_runs(tmp_path / ".lakeflow")


def _serve(cli: Cli) -> subprocess.Popen[str]:
    """A process that serves, once it says so."""
    process = subprocess.Popen(
        cli.command("--json", "serve", "--no-monitor", "--poll", "0.1"),
        cwd=cli.directory,
        env=cli.environ(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["what"] == "serve"
    return process


def _listed(logs: Path) -> set[str]:
    """The files that runs have seen."""
    return {name for log in logs.rglob("*.log") for name in log.read_text().split()}


def _check_runs(home: Path) -> None:
    """No due time has two runs, and none goes on for ever."""
    runs = sqlite3.connect(home / "workspace.db")
    due = runs.execute(
        "SELECT trigger_at, count(*) FROM runs WHERE trigger_kind = 'periodic' GROUP BY trigger_at"
    ).fetchall()
    assert due
    assert [at for at, count in due if count > 1] == []
    assert runs.execute("SELECT count(*) FROM runs WHERE ended_at IS NULL").fetchone() == (0,)
    runs.close()
    fires = sqlite3.connect(home / "serve.db")
    assert fires.execute("SELECT count(*) FROM fires WHERE outcome IS NULL").fetchone() == (0,)
    fires.close()
