"""What a task runs, read from its settings; and how an attempt is asked to stop."""

from __future__ import annotations

from typing import Any

import pytest

from lakeflow_meta.backends.local.tasks.task_attempt import StopSignal, TaskFailedError, short_error
from lakeflow_meta.backends.local.tasks.task_work import (
    Notebook,
    OwnTask,
    PythonFile,
    RetryPolicy,
    SqlFile,
    SqlQuery,
    UnrunnableTaskError,
    Wheel,
    Work,
    read_policy,
    read_work,
)

JOB = {"day": "from the job"}
OWN = {"day": "from the task", "x": "1"}
BOTH = {"day": "from the job", "x": "1"}
PACKAGE = {"package_name": "acme", "entry_point": "run"}


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (
            {"sql_task": {"warehouse_id": "w", "file": {"path": "a.sql"}, "parameters": OWN}},
            SqlFile("a.sql", BOTH),
        ),
        ({"sql_task": {"query": {"query_id": "q"}, "parameters": OWN}}, SqlQuery("q", BOTH)),
        (
            {"notebook_task": {"notebook_path": "n", "base_parameters": OWN}},
            Notebook("n", BOTH),
        ),
        (
            {"spark_python_task": {"python_file": "a.py", "parameters": ["1"]}},
            PythonFile("a.py", ("1",)),
        ),
        ({"python_wheel_task": {**PACKAGE, "parameters": ["1"]}}, Wheel("acme", "run", ("1",))),
        (
            {"python_wheel_task": {**PACKAGE, "named_parameters": OWN}},
            Wheel("acme", "run", ("--day=from the job", "--x=1")),
        ),
        (
            {"python_wheel_task": {**PACKAGE, "package_name": "lakeflow-meta"}},
            OwnTask(()),
        ),
    ],
)
def test_a_task_is_read_and_job_parameters_win_where_they_reach(
    task: dict[str, Any], expected: Work
) -> None:
    assert read_work({"task_key": "a", **task}, JOB) == expected


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ({"dbt_task": {"commands": []}}, "dbt_task does not run"),
        ({"sql_task": {"warehouse_id": "w"}}, "either file or query"),
        ({"sql_task": {"file": {"path": "a"}, "query": {"query_id": "q"}}}, "either file or query"),
        ({"sql_task": {"dashboard": {}}}, "sql_task.dashboard"),
        ({"notebook_task": {"notebook_path": "n", "basePath": "x"}}, "notebook_task.basePath"),
        ({"notebook_task": {"notebook_path": 5}}, "notebook_task.notebook_path"),
        (
            {"python_wheel_task": {**PACKAGE, "parameters": ["1"], "named_parameters": OWN}},
            "not both",
        ),
    ],
)
def test_what_is_not_understood_is_refused_by_name(task: dict[str, Any], told: str) -> None:
    with pytest.raises(UnrunnableTaskError, match=told):
        read_work({"task_key": "a", **task}, {})


def test_a_policy_is_read_in_seconds() -> None:
    task = {"max_retries": 2, "min_retry_interval_millis": 1500, "timeout_seconds": 9}
    policy = read_policy({"task_key": "a", "run_if": "ALL_DONE", **task, "retry_on_timeout": True})
    assert policy == RetryPolicy(2, 1.5, on_timeout=True, timeout_seconds=9.0)
    with pytest.raises(UnrunnableTaskError, match="max_retries"):
        read_policy({"max_retries": -2})


@pytest.mark.parametrize(
    ("retries", "allowed"), [(0, [False] * 3), (2, [True, True, False]), (-1, [True] * 3)]
)
def test_retries_are_counted_from_the_first_attempt(retries: int, allowed: list[bool]) -> None:
    assert [RetryPolicy(retries).allows_after(attempt) for attempt in range(3)] == allowed


def test_a_request_to_stop_reaches_what_registers_before_and_after_it() -> None:
    stop, calls = StopSignal(), []
    with stop.by(lambda: calls.append("early")):
        stop.request()
        with stop.by(lambda: calls.append("late")):
            pass
    stop.request()
    assert (calls, stop.requested) == (["early", "late"], True)


def test_an_error_is_told_in_one_short_line() -> None:
    assert short_error(ValueError("a\nb")) == "ValueError: a"
    assert short_error(KeyError()) == "KeyError"
    assert short_error(TaskFailedError("plain words")) == "plain words"
    assert len(short_error(ValueError("x" * 1000))) == 300
    assert short_error(TaskFailedError("a\x1b[2Jb\tä")) == "a\ufffd[2Jb\tä"
