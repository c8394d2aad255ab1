"""One home, several processes: killed, interrupted, and at once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cli_process import Cli

from lakeflow_meta.backends.processes import has_ended, may_be_alive, process_name
from lakeflow_meta.errors import ConfigError, ConflictError
from lakeflow_meta.ports import RunState as S

Bench = Any  # the class of conftest.py, which tests cannot import

PROLOGUE = """
import sys, threading, time
from pathlib import Path
from lakeflow_meta.backends.local.jobs.workspace import LocalWorkspace

def own(parameters, output):
    if parameters[0] == "forever":
        while True:
            time.sleep(0.01)

workspace = LocalWorkspace(Path(sys.argv[1]), Path(sys.argv[2]), task_session=None, own_task=own)

def task(key, command, *parents):
    wheel = {"package_name": "lakeflow_meta", "entry_point": "x", "parameters": [command]}
    edges = [{"task_key": parent} for parent in parents]
    return {"task_key": key, "python_wheel_task": wheel, "depends_on": edges}

def say(*words):
    print(*words, flush=True)
"""
LONG_RUN = """
tasks = [task("done", "ok"), task("long", "forever", "done"), task("after", "ok", "long")]
job_id = workspace.create_job({"name": "long", "tasks": tasks})
run_id = workspace.run_job(job_id, {})
while workspace.get_run(run_id).tasks[1].state != "running":
    time.sleep(0.01)
say(job_id, run_id)
"""


def start(bench: Bench, code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROLOGUE + code, str(bench.home), str(bench.project)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@contextmanager
def running(bench: Bench, code: str) -> Iterator[subprocess.Popen[str]]:
    with start(bench, code) as process:
        try:
            yield process
        finally:
            process.kill()


def numbers(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    return [int(word) for word in process.stdout.readline().split()]


def test_the_run_of_a_killed_process_is_found_failed_and_the_job_runs_again(bench: Bench) -> None:
    with running(bench, LONG_RUN + "workspace.follow_run(run_id)") as process:
        job_id, run_id = numbers(process)
        assert bench.workspace.get_run(run_id).state is S.RUNNING
        with pytest.raises(ConflictError):
            bench.workspace.run_job(job_id, {})
        process.kill()
    run = bench.workspace.get_run(run_id)
    assert (run.state, run.error) == (S.FAILED, "the process that ran it has ended")
    assert [(task.state, task.error) for task in run.tasks] == [
        (S.SUCCESS, ""),
        (S.FAILED, "the process that ran it has ended"),
        (S.SKIPPED, "the process that ran it has ended"),
    ]
    assert run.ended_at is not None
    bench.commands["forever"] = bench.commands["ok"]
    again = bench.workspace.follow_run(bench.workspace.run_job(job_id, {}))
    assert again.state is S.SUCCESS


def test_a_process_that_is_killed_after_its_last_task_leaves_what_the_tasks_say(
    bench: Bench,
) -> None:
    bench.commands["fail"] = lambda _: sys.exit(1)
    for name, expected in (("ok", S.SUCCESS), ("fail", S.FAILED)):
        run = bench.run(bench.own("a", name), bench.own("b", "ok", "a"))
        with bench.workspace._database.transaction() as connection:
            query = "UPDATE runs SET state = 'running', ended_at = NULL, owner = ? WHERE run_id = ?"
            dead = re.sub(r"\d+:\d+$", "999999999:1", process_name())
            connection.execute(query, (dead, run.run_id))
        found = bench.workspace.get_run(run.run_id)
        assert (found.state, found.error, found.tasks) == (expected, "", run.tasks)


def test_a_run_that_died_does_not_keep_its_job_from_running(bench: Bench) -> None:
    bench.commands["forever"] = bench.commands["ok"]
    with running(bench, LONG_RUN + "workspace.follow_run(run_id)") as process:
        job_id, _ = numbers(process)
        process.kill()
    again = bench.workspace.run_job(job_id, {})
    assert bench.workspace.follow_run(again).state is S.SUCCESS


def test_a_killed_process_that_nobody_has_waited_for_counts_as_ended(bench: Bench) -> None:
    process = start(bench, LONG_RUN + "workspace.follow_run(run_id)")
    _, run_id = numbers(process)
    process.kill()
    time.sleep(0.2)  # it is a zombie now: its number is taken, it runs no more
    assert bench.workspace.get_run(run_id).state is S.FAILED
    process.communicate()


def test_the_programs_of_a_killed_process_end_with_it(bench: Bench) -> None:
    marker = bench.project / "marker"
    program = f"import time; time.sleep(1.5); open({str(marker)!r}, 'w')"
    (bench.project / "slow.py").write_text(program)
    code = """
tasks = [{"task_key": "a", "spark_python_task": {"python_file": "slow.py"}}]
run_id = workspace.run_job(workspace.create_job({"tasks": tasks}), {})
time.sleep(0.7)
say(run_id)
"""
    with running(bench, code) as process:
        (run_id,) = numbers(process)
        process.kill()
    time.sleep(1.5)
    assert bench.workspace.get_run(run_id).state is S.FAILED
    assert not marker.exists()


def test_a_run_of_another_process_can_be_followed_and_cancelled(bench: Bench) -> None:
    with running(bench, LONG_RUN + "say(workspace.follow_run(run_id).state)") as process:
        _, run_id = numbers(process)
        bench.workspace.cancel_run(run_id)
        run = bench.workspace.follow_run(run_id)
        assert process.stdout is not None
        assert process.stdout.readline() == "cancelled\n"
    assert [task.state for task in run.tasks] == [S.SUCCESS, S.CANCELLED, S.CANCELLED]


def test_ctrl_c_cancels_the_run_and_then_interrupts(bench: Bench) -> None:
    code = """
try:
    workspace.follow_run(run_id)
except KeyboardInterrupt:
    say("interrupted", workspace.get_run(run_id).state)
"""
    with running(bench, LONG_RUN + code) as process:
        _, run_id = numbers(process)
        time.sleep(0.5)  # it says nothing between having started the run and following it
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
    assert (output, process.returncode, errors) == ("interrupted cancelled\n", 0, "")
    assert bench.workspace.get_run(run_id).state is S.CANCELLED


def test_sigterm_to_the_command_line_is_ctrl_c(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("long.py", "print('up', flush=True)\nimport time\ntime.sleep(60)\n")
    task = "{task_type: spark_python, python_file: long.py}"
    source = f"{{source_id: s, transformation_config: {task}}}"
    cli.write("m.yml", f"modules: [{{module_name: m, sources: [{source}]}}]\n")
    cli.ok("sync", "m.yml")
    cli.ok("apply")
    process = subprocess.Popen(
        cli.command("run", "m"),
        cwd=tmp_path,
        env=cli.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        for _ in range(600):
            if any("up" in log.read_text() for log in tmp_path.glob(".lakeflow/runs/*/s.log")):
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the run was cancelled" in errors
    assert cli.json("runs")[0]["state"] == "cancelled"


def test_a_process_that_ends_without_following_its_run_lets_it_end(bench: Bench) -> None:
    code = """
job_id = workspace.create_job({"tasks": [task("a", "ok"), task("b", "ok", "a")]})
say(workspace.run_job(job_id, {}))
"""
    with running(bench, code) as process:
        (run_id,) = numbers(process)
        process.communicate(timeout=20)
    assert bench.workspace.get_run(run_id).state is S.SUCCESS


def test_processes_at_once_lose_no_job_and_no_update(bench: Bench) -> None:
    shared = bench.workspace.create_job({"name": "shared", "tasks": []})
    code = f"""
name = str(threading.get_native_id())
sys.stdin.readline()
for number in range(40):
    workspace.create_job({{"name": name, "tasks": [task("a", "ok")]}})
    workspace.update_job({shared}, {{"tasks": [task(name + "_" + str(number), "ok")]}})
"""
    processes = [start(bench, "say(1)" + code) for _ in range(3)]
    assert [numbers(process) for process in processes] == [[1]] * 3
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[1] for process in processes] == [""] * 3
    jobs = list(bench.workspace.list_jobs())
    assert len(jobs) == 1 + 3 * 40
    assert len({job.job_id for job in jobs}) == len(jobs)
    assert len(bench.workspace.get_job(shared).settings["tasks"]) == 3 * 40


def test_processes_may_make_the_same_new_home_at_once(tmp_path: Path) -> None:
    code = PROLOGUE + "workspace.create_job({'name': 'a'})"
    command = [sys.executable, "-c", code, str(tmp_path / "new"), str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) for _ in range(4)
    ]
    assert [process.communicate(timeout=60)[1] for process in processes] == [""] * 4


def test_a_home_of_a_newer_version_is_refused(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    with bench.workspace._database.transaction() as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="layout 99"):
        make_bench()


# --------------------------------------------------------------------------- identities

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
FRESH, STALE = NOW - timedelta(seconds=5), NOW - timedelta(seconds=120)


def place_pid_and_start() -> tuple[str, str, str]:
    place, pid, started = process_name().split(":")
    return place, pid, started


def test_a_living_process_has_not_ended_however_old_its_heartbeat() -> None:
    assert not has_ended(process_name(), STALE, NOW)
    assert may_be_alive(process_name())


def test_what_follows_the_name_of_a_process_says_nothing_of_it() -> None:
    assert not has_ended(f"{process_name()}/ingest/1:2:3", STALE, NOW)
    assert may_be_alive(f"{process_name()}/ingest/1:2:3")


def test_a_process_number_that_was_given_again_is_another_process() -> None:
    place, pid, _ = place_pid_and_start()
    assert has_ended(f"{place}:{pid}:1", FRESH, NOW)
    assert not may_be_alive(f"{place}:{pid}:1/ingest")


def test_a_host_may_be_renamed_while_a_process_runs() -> None:
    place, pid, started = place_pid_and_start()
    renamed = f"old-name@{place.partition('@')[2]}:{pid}"
    assert not has_ended(f"{renamed}:{started}", STALE, NOW)
    assert has_ended(f"{renamed}:1", FRESH, NOW)


def test_a_process_that_ended_has_ended_however_fresh_its_heartbeat() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = process_name(child.pid)
    assert not has_ended(owner, STALE, NOW)
    child.communicate(b"\n")
    assert has_ended(owner, FRESH, NOW)
    assert not may_be_alive(owner)


@pytest.mark.parametrize("changed", ["boot", "container", "machine"])
def test_a_process_elsewhere_is_judged_by_its_heartbeat(changed: str) -> None:
    place, _, _ = place_pid_and_start()
    boot, _, container = place.partition("@")[2].rpartition(".")
    elsewhere = {
        "boot": f"{place.partition('@')[0]}@another-boot.{container}:1:1",
        "container": f"{place.partition('@')[0]}@{boot}.1{container}:1:1",
        "machine": "elsewhere:1:1",
    }[changed]
    assert not has_ended(elsewhere, FRESH, NOW)
    assert has_ended(elsewhere, STALE, NOW)
    assert may_be_alive(elsewhere)


@pytest.mark.parametrize("owner", ["", "nonsense", '{"pid": 1}', "a:b:c", "a:99999999999:1"])
def test_an_owner_that_names_no_process_is_judged_by_its_heartbeat(owner: str) -> None:
    assert may_be_alive(owner)
    assert not has_ended(owner, FRESH, NOW)
    assert has_ended(owner, STALE, NOW)


def test_a_process_whose_start_is_not_known_has_ended_when_its_number_is_free() -> None:
    place, pid, _ = place_pid_and_start()
    assert may_be_alive(f"{place}:{pid}:?")
    assert has_ended(f"{place}:{pid}:?", STALE, NOW)
    assert not has_ended(f"{place}:{pid}:?", FRESH, NOW)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.communicate()
    assert has_ended(f"{place}:{child.pid}:?", FRESH, NOW)


def test_without_proc_the_number_and_the_heartbeat_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lakeflow_meta.backends.processes._PROC", Path("/none"))
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = process_name(child.pid)
    assert owner.endswith(f":{child.pid}:?")
    assert may_be_alive(owner)
    assert not has_ended(owner, FRESH, NOW)
    assert has_ended(owner, STALE, NOW)
    child.communicate(b"\n")
    assert not may_be_alive(owner)
    assert has_ended(owner, FRESH, NOW)
