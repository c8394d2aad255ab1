"""One home, several processes: killed, interrupted, and at once."""

from __future__ import annotations

import os
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

from lakeflow_meta.backends.local.processes import ProcessIdentity, has_ended, this_process
from lakeflow_meta.errors import ConfigError, ConflictError
from lakeflow_meta.ports import RunState as S

Bench = Any  # the class of conftest.py, which tests cannot import

PROLOGUE = """
import sys, threading, time
from pathlib import Path
from lakeflow_meta.backends.local.workspace import LocalWorkspace

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


def test_a_living_process_has_not_ended_however_old_its_heartbeat() -> None:
    me = ProcessIdentity.from_json(this_process().to_json())
    assert not has_ended(me, STALE, NOW)


def test_a_process_number_that_was_given_again_is_another_process() -> None:
    me = this_process()
    assert has_ended(ProcessIdentity(me.pid, "1", me.place), FRESH, NOW)


def test_a_process_elsewhere_is_judged_by_its_heartbeat() -> None:
    elsewhere = ProcessIdentity(1, "1", "another-boot:pid:[1]")
    assert not has_ended(elsewhere, FRESH, NOW)
    assert has_ended(elsewhere, STALE, NOW)
