"""Runs of the embedded workspace: what starts when, what is retried, stopped, refused, recorded."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from lakeflow_meta.errors import BackendError, ConflictError, NotFoundError
from lakeflow_meta.ports import RunState as S
from lakeflow_meta.progress import StepState

Bench = Any  # the class of conftest.py, which tests cannot import
Crowd = Any


def failing(arguments: list[str]) -> None:
    sys.stdout.write("about to fail\n")
    raise ValueError("no such thing\nand a second line")


class Blocking:
    """A command that runs until it is released."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.release = threading.Event()

    def __call__(self, arguments: list[str]) -> None:
        self.started.set()
        while not self.release.wait(0.01):
            pass


# --------------------------------------------------------------------------- order


def test_tasks_run_after_what_they_depend_on(bench: Bench) -> None:
    order: list[str] = []
    bench.commands["note"] = lambda arguments: order.append(arguments[0])
    run = bench.run(
        bench.own("d", "note", "b", "c", arguments=["d"]),
        bench.own("b", "note", "a", arguments=["b"]),
        bench.own("c", "note", "a", arguments=["c"]),
        bench.own("a", "note", arguments=["a"]),
    )
    assert run.state is S.SUCCESS
    assert order[0] == "a"
    assert sorted(order[1:3]) == ["b", "c"]
    assert order[3:] == ["d"]


def test_tasks_that_the_graph_lets_run_together_do(bench: Bench) -> None:
    barrier = threading.Barrier(4, timeout=10)
    bench.commands["meet"] = lambda _: barrier.wait()
    assert bench.run(*(bench.own(key, "meet") for key in "abcd")).state is S.SUCCESS


def test_no_more_tasks_run_at_once_than_allowed_over_all_runs(
    make_bench: Callable[..., Bench], crowd: Crowd
) -> None:
    bench = make_bench(max_parallel=2)
    bench.commands["count"] = crowd
    runs = [bench.start(*(bench.own(key, "count") for key in "abcdef")) for _ in range(3)]
    assert [bench.workspace.follow_run(run).state for run in runs] == [S.SUCCESS] * 3
    assert crowd.most == 2


def test_a_chain_of_hundreds_of_tasks_runs(bench: Bench) -> None:
    tasks = [bench.own("t0")] + [bench.own(f"t{i}", "ok", f"t{i - 1}") for i in range(1, 300)]
    assert bench.run(*reversed(tasks)).state is S.SUCCESS


# --------------------------------------------------------------------------- failure


def test_a_failure_stops_what_depends_on_it_and_nothing_else(bench: Bench) -> None:
    bench.commands["fail"] = failing
    run = bench.run(
        bench.own("bad", "fail"),
        bench.own("after", "ok", "bad"),
        bench.own("later", "ok", "after"),
        bench.own("apart"),
        bench.own("on_failure", "ok", "bad", run_if="ALL_FAILED"),
        bench.own("never", "ok", "apart", run_if="AT_LEAST_ONE_FAILED"),
        bench.own("off", disabled=True),
        bench.own("after_off", "ok", "off"),
    )
    assert run.state is S.FAILED
    assert bench.states(run) == {
        "bad": S.FAILED,
        "after": S.UPSTREAM_FAILED,
        "later": S.UPSTREAM_FAILED,
        "apart": S.SUCCESS,
        "on_failure": S.SUCCESS,
        "never": S.EXCLUDED,
        "off": S.DISABLED,
        "after_off": S.DISABLED,
    }


def test_the_error_is_one_line_and_the_log_has_the_whole(bench: Bench) -> None:
    bench.commands["fail"] = failing
    run = bench.run(bench.own("bad", "fail"))
    assert run.tasks[0].error == "ValueError: no such thing"
    log = bench.workspace.task_log(run.run_id, "bad")
    assert log.startswith("about to fail\nTraceback")
    assert "and a second line" in log
    assert run.tasks[0].log_path == bench.home / "runs" / str(run.run_id) / "bad.log"


def test_a_failure_that_the_last_task_mends_is_a_success_with_failures(bench: Bench) -> None:
    bench.commands["fail"] = failing
    run = bench.run(bench.own("bad", "fail"), bench.own("mend", "ok", "bad", run_if="ALL_DONE"))
    assert run.state is S.SUCCESS_WITH_FAILURES


def test_a_task_that_exits_is_judged_by_its_exit_code(bench: Bench) -> None:
    bench.commands["exit"] = lambda arguments: exit(int(arguments[0]))
    run = bench.run(
        bench.own("zero", "exit", arguments=["0"]), bench.own("one", "exit", arguments=["1"])
    )
    assert bench.states(run) == {"zero": S.SUCCESS, "one": S.FAILED}


# --------------------------------------------------------------------------- retries


def test_a_failed_task_is_tried_again_and_every_attempt_is_kept(bench: Bench) -> None:
    tries: list[int] = []

    def third_time_lucky(arguments: list[str]) -> None:
        tries.append(1)
        sys.stdout.write(f"try {len(tries)}\n")
        if len(tries) < 3:
            raise ValueError(f"not yet {len(tries)}")

    bench.commands["lucky"] = third_time_lucky
    run = bench.run(bench.own("a", "lucky", max_retries=5), bench.own("b", "ok", "a"))
    assert run.state is S.SUCCESS
    assert [task.attempt for task in run.tasks] == [2, 0]
    attempts = [task for task in bench.workspace.attempts(run.run_id) if task.task_key == "a"]
    assert [(task.attempt, task.state, task.error) for task in attempts] == [
        (0, S.FAILED, "ValueError: not yet 1"),
        (1, S.FAILED, "ValueError: not yet 2"),
        (2, S.SUCCESS, ""),
    ]
    assert bench.workspace.task_log(run.run_id, "a", 1).startswith("try 2\n")
    assert bench.workspace.task_log(run.run_id, "a") == "try 3\n"
    assert (bench.home / "runs" / str(run.run_id) / "a.2.log").is_file()


def test_retries_end_and_the_last_error_counts(bench: Bench) -> None:
    bench.commands["fail"] = failing
    run = bench.run(bench.own("a", "fail", max_retries=2))
    assert run.state is S.FAILED
    assert run.tasks[0].attempt == 2


def test_a_retry_waits_from_the_start_of_the_failed_attempt(bench: Bench) -> None:
    bench.commands["fail"] = failing
    began = time.monotonic()
    bench.run(bench.own("a", "fail", max_retries=2, min_retry_interval_millis=150))
    assert 0.3 <= time.monotonic() - began < 3


# --------------------------------------------------------------------------- stopping


def test_a_program_that_takes_too_long_is_ended_with_its_children(bench: Bench) -> None:
    marker = bench.project / "marker"
    child = f"import time; time.sleep(1.5); open({str(marker)!r}, 'w')"
    code = (
        f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "print('waiting'); time.sleep(60)\n"
    )
    began = time.monotonic()
    run = bench.run(bench.program("slow", code, timeout_seconds=1))
    assert time.monotonic() - began < 10
    assert run.state is S.FAILED
    assert (run.tasks[0].state, run.tasks[0].error) == (S.TIMED_OUT, "stopped after 1 s")
    assert bench.workspace.task_log(run.run_id, "slow") == "waiting\n"
    time.sleep(1.0)
    assert not marker.exists()


def test_a_program_that_ignores_a_polite_request_is_killed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakeflow_meta.backends.local.tasks.program_process.TERMINATE_SECONDS", 0.2)
    code = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)\n"
    assert bench.states(bench.run(bench.program("deaf", code, timeout_seconds=1))) == {
        "deaf": S.TIMED_OUT
    }


def test_python_code_in_this_process_is_stopped_at_its_next_step(bench: Bench) -> None:
    blocking = bench.commands["block"] = Blocking()
    run = bench.run(bench.own("loop", "block", timeout_seconds=1))
    assert bench.states(run) == {"loop": S.TIMED_OUT}
    assert not blocking.release.is_set()


def test_a_timeout_is_retried_only_when_asked(bench: Bench) -> None:
    bench.commands["block"] = Blocking()
    never = bench.own("never", "block", timeout_seconds=1, max_retries=1)
    again = bench.own("again", "block", timeout_seconds=1, max_retries=1, retry_on_timeout=True)
    run = bench.run(never, again)
    assert [(task.state, task.attempt) for task in run.tasks] == [
        (S.TIMED_OUT, 0),
        (S.TIMED_OUT, 1),
    ]


def test_a_task_that_cannot_be_stopped_does_not_hold_up_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakeflow_meta.backends.local.runs.crew.GIVE_UP_SECONDS", 0.3)
    hold = threading.Event()
    bench.commands["stuck"] = lambda _: hold.wait()
    run = bench.run(
        bench.own("stuck", "stuck", timeout_seconds=1, max_retries=3, retry_on_timeout=True),
        bench.own("apart"),
    )
    hold.set()
    assert bench.states(run) == {"stuck": S.TIMED_OUT, "apart": S.SUCCESS}
    assert run.tasks[0].attempt == 0
    assert "could not be stopped" in run.tasks[0].error


def test_a_cancelled_run_stops_what_runs_and_drops_the_rest(bench: Bench) -> None:
    blocking = bench.commands["block"] = Blocking()
    run_id = bench.start(bench.own("a", "block"), bench.own("b", "ok", "a"), bench.own("c"))
    assert blocking.started.wait(5)
    while not any(event.key == "c" and event.state == "done" for event in bench.events):
        time.sleep(0.01)
    bench.workspace.cancel_run(run_id)
    run = bench.workspace.follow_run(run_id)
    assert run.state is S.CANCELLED
    assert bench.states(run) == {"a": S.CANCELLED, "b": S.CANCELLED, "c": S.SUCCESS}


def test_a_run_that_takes_too_long_as_a_whole_is_timed_out(bench: Bench) -> None:
    bench.commands["block"] = Blocking()
    run = bench.run(bench.own("a", "block"), bench.own("b", "ok", "a"), timeout_seconds=1)
    assert run.state is S.TIMED_OUT
    assert bench.states(run) == {"a": S.TIMED_OUT, "b": S.SKIPPED}


def test_closing_the_workspace_cancels_its_runs(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    blocking = bench.commands["block"] = Blocking()
    run_id = bench.start(bench.own("a", "block"))
    assert blocking.started.wait(5)
    bench.workspace.close()
    assert make_bench().workspace.get_run(run_id).state is S.CANCELLED


# --------------------------------------------------------------------------- refused at once


def test_a_job_runs_once_at_a_time_unless_it_allows_more(bench: Bench) -> None:
    blocking = bench.commands["block"] = Blocking()
    first = bench.start(bench.own("a", "block"))
    job_id = bench.workspace.get_run(first).job_id
    with pytest.raises(ConflictError, match=f"run {first} is under way"):
        bench.workspace.run_job(job_id, {})
    bench.workspace.update_job(job_id, {"max_concurrent_runs": 2})
    second = bench.workspace.run_job(job_id, {})
    blocking.release.set()
    for run_id in (first, second):
        assert bench.workspace.follow_run(run_id).state is S.SUCCESS
    assert [run.run_id for run in bench.workspace.list_runs(job_id)] == [second, first]


def test_what_cannot_run_here_is_refused_before_anything_starts(bench: Bench) -> None:
    ran: list[str] = []
    bench.commands["note"] = lambda _: ran.append("x")
    (bench.project / "empty.sql").write_text("-- nothing\n;")
    (bench.project / "shell.py").write_text(
        "# Databricks notebook source\nx = 1\n# COMMAND ----------\n# MAGIC %scala 1\n"
    )
    file = {"file": {"path": "empty.sql"}}
    tasks = [
        bench.own("fine", "note"),
        {"task_key": "dbt", "dbt_task": {"commands": []}},
        {"task_key": "no_file", "spark_python_task": {"python_file": "gone.py"}},
        {"task_key": "no_notebook", "notebook_task": {"notebook_path": "gone"}},
        {"task_key": "no_query", "sql_task": {"warehouse_id": "w", "query": {"query_id": "q1"}}},
        {"task_key": "empty", "sql_task": {"warehouse_id": "w", **file}},
        {"task_key": "shell", "notebook_task": {"notebook_path": "shell"}},
        {"task_key": "alert", "sql_task": {"warehouse_id": "w", "alert": {"alert_id": "1"}}},
        {"task_key": "git", "notebook_task": {"notebook_path": "shell", "source": "GIT"}},
        {
            "task_key": "package",
            "python_wheel_task": {"package_name": "no-such-package", "entry_point": "main"},
        },
        {
            "task_key": "library",
            "libraries": [{"jar": "x.jar"}, {"whl": "gone.whl"}, {"pypi": {"package": "nope==1"}}],
            "spark_python_task": {"python_file": "shell.py"},
        },
        {
            "task_key": "reference",
            "spark_python_task": {"python_file": "shell.py", "parameters": ["{{job.naem}}"]},
        },
        {"task_key": "outside", "sql_task": {"file": {"path": "/Volumes/a/b/c/../../x.sql"}}},
        {"task_key": "off", "disabled": True, "run_job_task": {"job_id": 1}},
    ]
    with pytest.raises(BackendError) as refused:
        bench.run(*tasks)
    lines = str(refused.value).splitlines()
    told = {line.split("'")[1]: line for line in lines[1:]}
    assert set(told) == {task["task_key"] for task in tasks} - {"fine", "off"}
    assert "dbt_task does not run" in told["dbt"]
    assert "gone.py" in told["no_file"]
    assert "q1" in told["no_query"]
    assert "no SQL statement" in told["empty"]
    assert "%scala" in told["shell"]
    assert "sql_task.alert" in told["alert"]
    assert "notebook_task.source" in told["git"]
    assert "no-such-package" in told["package"]
    assert "{{job.naem}}" in told["reference"]
    assert "leaves its volume" in told["outside"]
    assert [word in str(refused.value) for word in ("'jar'", "gone.whl", "nope==1")] == [True] * 3
    assert (ran, bench.workspace.list_runs()) == ([], [])


def test_a_refused_run_is_no_missing_job(bench: Bench) -> None:
    with pytest.raises(BackendError) as refused:
        bench.run({"task_key": "a", "notebook_task": {"notebook_path": "gone"}})
    assert not isinstance(refused.value, NotFoundError)


# --------------------------------------------------------------------------- parameters


def test_parameters_and_references_reach_the_tasks(bench: Bench) -> None:
    seen: dict[str, list[str]] = {}
    bench.commands["see"] = lambda arguments: seen.update({arguments[0]: arguments[1:]})
    day = {"name": "day", "default": "monday"}
    area = {"name": "area", "default": ""}
    asked = ["{{job.parameters.day}}/{{ job.parameters.area }}", "{{job.id}}:{{job.run_id}}"]
    run_id = bench.start(
        bench.own("a", "see", arguments=["{{task.name}}", *asked, "{{run.id}}", "{{not.known}}"]),
        bench.own("b", "see", "a", arguments=["b", "{{tasks.a.result_state}}"]),
        parameters=[day, area],
        given={"day": "friday"},
    )
    run = bench.workspace.follow_run(run_id)
    ids = f"{run.job_id}:{run_id}"
    assert seen == {"a": ["friday/", ids, str(run_id), "{{not.known}}"], "b": ["success"]}


# --------------------------------------------------------------------------- output


def test_tasks_at_once_keep_their_output_apart(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    barrier = threading.Barrier(3, timeout=10)

    def chat(arguments: list[str]) -> None:
        for number in range(50):
            barrier.wait()
            sys.stdout.write(f"{arguments[0]} {number}\n")

    bench.commands["chat"] = chat
    before = sys.stdout
    run = bench.run(*(bench.own(key, "chat", arguments=[key]) for key in "abc"))
    for key in "abc":
        expected = "".join(f"{key} {number}\n" for number in range(50))
        assert bench.workspace.task_log(run.run_id, key) == expected
    assert sys.stdout is before
    sys.stdout.write("mine\n")
    assert capsys.readouterr().out == "mine\n"


def test_a_program_that_raises_is_told_by_its_error(bench: Bench) -> None:
    code = "import sys\nprint('x')\nraise ValueError('cannot load\\nsecond line')\n"
    run = bench.run(bench.program("prog", code), bench.program("mute", "raise SystemExit(2)"))
    assert {task.task_key: task.error for task in run.tasks} == {
        "prog": "the program ended with exit code 1: ValueError: cannot load",
        "mute": "the program ended with exit code 2",
    }


def test_what_a_program_prints_is_in_its_log_in_order(bench: Bench) -> None:
    code = "import sys\nprint('out', *sys.argv[1:])\nprint('err', file=sys.stderr)\nsys.exit(3)\n"
    run = bench.run(bench.program("prog", code, arguments=["a b", "ä"]))
    assert run.tasks[0].error == "the program ended with exit code 3: err"
    assert bench.workspace.task_log(run.run_id, "prog").startswith("out a b ä\nerr\n")


def test_a_task_without_a_log_is_not_found(bench: Bench) -> None:
    run = bench.run(bench.own("off", disabled=True))
    for key in ("off", "unknown"):
        with pytest.raises(NotFoundError):
            bench.workspace.task_log(run.run_id, key)


def test_progress_tells_of_every_task(bench: Bench) -> None:
    bench.commands["fail"] = failing
    bench.run(bench.own("a"), bench.own("b", "fail", "a", max_retries=1), bench.own("c", "ok", "b"))
    told = [(event.key, event.state, event.done, event.total) for event in bench.events]
    assert told == [
        ("a", StepState.STARTED, 0, 3),
        ("a", StepState.DONE, 1, 3),
        ("b", StepState.STARTED, 1, 3),
        ("b", StepState.RUNNING, 1, 3),
        ("b", StepState.STARTED, 1, 3),
        ("b", StepState.FAILED, 2, 3),
        ("c", StepState.SKIPPED, 3, 3),
    ]
    assert {event.step for event in bench.events} == {"run"}
    assert bench.events[5].detail == "failed: ValueError: no such thing"


def test_times_are_those_of_the_run(bench: Bench) -> None:
    bench.commands["nap"] = lambda _: time.sleep(0.2)
    run = bench.run(bench.own("a", "nap"), bench.own("b", "nap", "a"))
    a, b = run.tasks
    assert a.started_at is not None
    assert a.ended_at is not None
    assert b.started_at is not None
    assert run.started_at <= a.started_at < a.ended_at <= b.started_at
    assert 0.2 <= a.seconds < 2


def test_an_error_of_the_engine_itself_ends_the_run_as_failed(bench: Bench) -> None:
    def broken(event: object) -> None:
        raise RuntimeError("the sink is broken")

    bench.workspace._progress = broken
    run = bench.run(bench.own("a"), bench.own("b", "ok", "a"))
    assert (run.state, run.error) == (S.FAILED, "RuntimeError: the sink is broken")
    assert all(task.state.ended for task in run.tasks)


def test_what_a_notebook_logs_and_what_it_starts_prints_is_in_its_log(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    code = (
        "import logging, os, subprocess, sys\n"
        "print('before')\n"
        "logging.getLogger('mine').warning('careful')\n"
        "program = 'import sys; print(1, flush=True); sys.stderr.write(\"two\")'\n"
        "done = subprocess.run([sys.executable, '-c', program])\n"
        "status = os.system('echo three; exit 4')\n"
        "assert os.waitstatus_to_exitcode(status) == 4\n"
        "print(subprocess.run(['echo', 'taken'], capture_output=True).stdout)\n"
    )
    (bench.project / "n.py").write_text(code)
    run = bench.run({"task_key": "n", "notebook_task": {"notebook_path": "n"}})
    log = bench.workspace.task_log(run.run_id, "n")
    assert log == "--- cell 1 (python)\nbefore\nWARNING:mine:careful\n1\ntwothree\nb'taken\\n'\n"
    assert capfd.readouterr() == ("", "")


def test_what_a_notebook_prints_can_be_read_while_it_runs(bench: Bench) -> None:
    code = "print('early')\nfrom pathlib import Path\n"
    code += f"log, = Path({str(bench.home)!r}).glob('**/n.log')\nprint(len(log.read_text()))\n"
    (bench.project / "n.py").write_text(code)
    run = bench.run({"task_key": "n", "notebook_task": {"notebook_path": "n"}})
    log = bench.workspace.task_log(run.run_id, "n")
    assert log == "--- cell 1 (python)\nearly\n26\n"


def test_a_run_id_that_no_database_holds_is_a_run_that_does_not_exist(bench: Bench) -> None:
    for ask in (bench.workspace.get_run, bench.workspace.repair_run):
        with pytest.raises(NotFoundError, match=r"run 9{30} does not exist"):
            ask(int("9" * 30))
