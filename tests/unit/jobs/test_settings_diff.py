"""Wanted, applied and live settings compared; what is sent makes them agree."""

from typing import Any

from lakeflow_meta.jobs.job_settings import JobContext
from lakeflow_meta.jobs.plan import Action, ActionKind
from lakeflow_meta.jobs.settings_diff import Change, managed_keys, merge_settings

CONTEXT = JobContext("main.l.c")
TASK = {"task_key": "a", "run_job_task": {"job_id": 1}}


def diff(
    wanted: dict[str, Any], live: dict[str, Any], applied: dict[str, Any] | None = None
) -> Any:
    merged = merge_settings(wanted, live, managed_keys(wanted if applied is None else applied))
    return dict(merged.settings), [(c.path, c.before, c.after) for c in merged.changes]


def test_defaults_that_the_platform_filled_in_are_no_difference() -> None:
    wanted = {"name": "n", "tasks": [TASK], "schedule": {"timezone_id": "UTC"}}
    live = {
        **wanted,
        "max_concurrent_runs": 1,
        "format": "MULTI_TASK",
        "tasks": [
            {**TASK, "timeout_seconds": 0, "run_if": "ALL_SUCCESS", "email_notifications": {}}
        ],
        "schedule": {"timezone_id": "UTC", "pause_status": "UNPAUSED"},
    }
    assert diff(wanted, live) == (live, [])


def test_a_change_keeps_what_others_set_beside_it() -> None:
    wanted = {"schedule": {"quartz_cron_expression": "2", "timezone_id": "UTC"}}
    live = {
        "schedule": {
            "quartz_cron_expression": "1",
            "timezone_id": "UTC",
            "pause_status": "PAUSED",
        },
        "webhook_notifications": {"on_failure": [{"id": "ui"}]},
    }
    settings, changes = diff(wanted, live)
    assert changes == [("schedule/quartz_cron_expression", "1", "2")]
    assert settings["schedule"]["pause_status"] == "PAUSED"
    assert settings["webhook_notifications"] == live["webhook_notifications"]


def test_what_was_applied_and_is_wanted_no_more_is_removed() -> None:
    task = {**TASK, "timeout_seconds": 60}
    applied = {"name": "n", "tasks": [task, {**TASK, "task_key": "b"}], "timeout_seconds": 9}
    live = {**applied, "tasks": [*applied["tasks"], {**TASK, "task_key": "by_hand"}]}
    settings, changes = diff({"name": "n", "tasks": [TASK]}, live, applied)
    assert [task["task_key"] for task in settings["tasks"]] == ["a", "by_hand"]
    assert "timeout_seconds" not in settings
    assert {path for path, _, _ in changes} == {
        "tasks/b",
        "tasks/a/timeout_seconds",
        "timeout_seconds",
    }


def test_people_may_add_tags_recipients_and_parameters_to_ours() -> None:
    applied = {
        "tags": {"ours": "1"},
        "email_notifications": {"on_failure": ["us"]},
        "parameters": [{"name": "p", "default": "1"}],
    }
    live = {
        "tags": {"ours": "1", "theirs": "2"},
        "email_notifications": {"on_failure": ["us"], "on_start": ["them"]},
        "parameters": [{"name": "p", "default": "1"}, {"name": "q", "default": "2"}],
    }
    settings, _ = diff({"tags": {"new": "3"}}, live, applied)
    assert settings == {
        "tags": {"theirs": "2", "new": "3"},
        "email_notifications": {"on_start": ["them"]},
        "parameters": [{"name": "q", "default": "2"}],
    }


def test_the_order_of_dependencies_means_nothing_and_their_number_does() -> None:
    a, b = {"task_key": "a"}, {"task_key": "b"}
    wanted = {"tasks": [{**TASK, "depends_on": [a, b]}]}
    assert diff(wanted, {"tasks": [{**TASK, "depends_on": [b, a]}]})[1] == []
    assert diff(wanted, {"tasks": [{**TASK, "depends_on": [b]}]})[1] == [
        ("tasks/a/depends_on", [b], [a, b])
    ]


def test_what_is_empty_and_not_there_is_no_difference_but_continuous_is() -> None:
    assert diff({"spark_conf": {}, "libraries": []}, {}) == ({}, [])
    assert diff({"continuous": {}}, {})[1] == [("continuous", None, {})]


def test_true_is_not_one() -> None:
    assert diff({"a": True}, {"a": 1})[1] == [("a", 1, True)]


def test_a_change_is_written_for_people_and_machines() -> None:
    action = Action(
        "m", ActionKind.UPDATE, 7, "m", (Change("tasks/load/timeout_seconds", 60, 120),)
    )
    assert action.lines() == ["~ update m (job 7)", "    ~ tasks/load/timeout_seconds: 60 → 120"]
    assert action.to_dict()["changes"] == [
        {"path": "tasks/load/timeout_seconds", "before": 60, "after": 120}
    ]
