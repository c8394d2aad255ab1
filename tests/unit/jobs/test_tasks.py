"""A source becomes a task that the Jobs API takes."""

from typing import Any

import pytest
from databricks.sdk.service.jobs import Task
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.control.rows import Source
from lakeflow_meta.jobs.tasks import InlineQuery, JobContext, ReadTask, read_task, task_key

CONTEXT = JobContext("main.lakeflow.etl_control")
WHEEL = {"package_name": "lakeflow_meta", "entry_point": "lakeflow-meta"}


def read(config: dict[str, Any], context: JobContext = CONTEXT, **changes: Any) -> ReadTask:
    values = {"module_name": "sales", "source_id": "load", **changes}
    return read_task(Source(transformation_config=config, **values), context)


def built(config: dict[str, Any], context: JobContext = CONTEXT, **changes: Any) -> dict[str, Any]:
    """The task's body, accepted by the SDK's own type without loss."""
    task = read(config, context, **changes)
    assert task.findings == ()
    assert Task.from_dict(task.body).as_dict() == task.body
    return {name: value for name, value in task.body.items() if name != "task_key"}


def problems(config: dict[str, Any], context: JobContext = CONTEXT, **changes: Any) -> list[str]:
    task = read(config, context, **changes)
    assert task.body == {}
    return [f"{'.'.join(map(str, f.path))}: {f.message} ({f.hint})" for f in task.findings]


def own(*arguments: str) -> dict[str, Any]:
    parameters = ["--control-table", "main.lakeflow.etl_control", *arguments]
    return {"python_wheel_task": {**WHEEL, "parameters": parameters}}


BUILT = [
    (
        {"notebook_path": "/n"},
        {
            "notebook_task": {
                "notebook_path": "/n",
                "base_parameters": {
                    "source_id": "load",
                    "control_table": "main.lakeflow.etl_control",
                },
            }
        },
    ),
    (
        {"task_type": "notebook", "notebook_path": "/n", "parameters": {"source_id": "mine"}},
        {
            "notebook_task": {
                "notebook_path": "/n",
                "base_parameters": {
                    "source_id": "mine",
                    "control_table": "main.lakeflow.etl_control",
                },
            }
        },
    ),
    (
        {"task_type": "notebook", "file_path": "/n", "source": "GIT", "parameters": {"n": 1}},
        {
            "notebook_task": {
                "notebook_path": "/n",
                "base_parameters": {"n": "1"},
                "source": "GIT",
            }
        },
    ),
    (
        {"task_type": "sql_query", "query_id": 12, "warehouse_id": 34, "parameters": {"a": True}},
        {
            "sql_task": {
                "warehouse_id": "34",
                "query": {"query_id": "12"},
                "parameters": {"a": "true"},
            }
        },
    ),
    (
        {"sql_task": {"warehouse_id": "w", "sql_file_path": "/f.sql", "file_source": "GIT"}},
        {"sql_task": {"warehouse_id": "w", "file": {"path": "/f.sql", "source": "GIT"}}},
    ),
    (
        {"task_type": "sql_file", "file_path": "/f.sql", "source": "WORKSPACE"},
        {"sql_task": {"file": {"path": "/f.sql", "source": "WORKSPACE"}}},
    ),
    (
        {
            "task_type": "python_wheel",
            "package_name": "p",
            "entry_point": "main",
            "parameters": ["a", 1, {"b": [2]}],
            "libraries": [{"whl": "/w.whl"}],
        },
        {
            "python_wheel_task": {
                "package_name": "p",
                "entry_point": "main",
                "parameters": ["a", "1", '{"b":[2]}'],
            },
            "libraries": [{"whl": "/w.whl"}],
        },
    ),
    (
        {
            "task_type": "python_wheel",
            "package_name": "p",
            "entry_point": "main",
            "parameters": {"day": "today", "n": 1},
        },
        {
            "python_wheel_task": {
                "package_name": "p",
                "entry_point": "main",
                "named_parameters": {"day": "today", "n": "1"},
            }
        },
    ),
    (
        {"task_type": "spark_jar", "main_class_name": "a.B", "libraries": [{"jar": "/b.jar"}]},
        {"spark_jar_task": {"main_class_name": "a.B"}, "libraries": [{"jar": "/b.jar"}]},
    ),
    (
        {"task_type": "spark_python", "file_path": "/a.py", "parameters": ["x"]},
        {"spark_python_task": {"python_file": "/a.py", "parameters": ["x"]}},
    ),
    (
        {"task_type": "pipeline", "pipeline_id": "p", "full_refresh": True},
        {"pipeline_task": {"pipeline_id": "p", "full_refresh": True}},
    ),
    (
        {"task_type": "dbt", "commands": "dbt run", "schema": "s", "warehouse_id": "w"},
        {"dbt_task": {"commands": ["dbt run"], "schema": "s", "warehouse_id": "w"}},
    ),
    (
        {"task_type": "run_job", "job_id": 7, "job_parameters": {"a": 1}},
        {"run_job_task": {"job_id": 7, "job_parameters": {"a": "1"}}},
    ),
    (
        {"task_type": "condition", "op": "EQUAL_TO", "left": "{{job.parameters.a}}", "right": 1},
        {"condition_task": {"op": "EQUAL_TO", "left": "{{job.parameters.a}}", "right": "1"}},
    ),
    (
        {
            "task_type": "for_each",
            "inputs": ["eu", "us"],
            "concurrency": 2,
            "task": {"task_type": "run_job", "job_id": 7},
        },
        {
            "for_each_task": {
                "inputs": '["eu", "us"]',
                "concurrency": 2,
                "task": {"task_key": "load_iteration", "run_job_task": {"job_id": 7}},
            }
        },
    ),
    (
        {"task_type": "run_job", "job_id": "7"},
        {"run_job_task": {"job_id": 7}},
    ),
    (
        {
            "task_type": "dbt",
            "commands": ["dbt deps", "edr report"],
            "project_directory": "/p",
            "profiles_directory": "/q",
            "source": "WORKSPACE",
        },
        {
            "dbt_task": {
                "commands": ["dbt deps", "edr report"],
                "project_directory": "/p",
                "profiles_directory": "/q",
                "source": "WORKSPACE",
            }
        },
    ),
    ({"task_type": "ingest"}, own("ingest", "--module", "sales", "load")),
    ({"task_type": "extract"}, own("extract", "run", "load")),
    ({"task_type": "extract", "extracts": ["a", "-b"]}, own("extract", "run", "--", "a", "-b")),
    ({"task_type": "extract", "group": "g"}, own("extract", "run", "--group", "g")),
    ({"task_type": "ddl", "targets": ["t", "u"]}, own("ddl", "run", "t", "u")),
    ({"task_type": "tables"}, own("tables", "sync", "--module", "sales")),
    ({"task_type": "tables", "tables": ["c.s.t"]}, own("tables", "sync", "c.s.t")),
]


@pytest.mark.parametrize(("config", "expected"), BUILT)
def test_every_task_type_is_sent_in_the_shape_of_the_api(
    config: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert built(config) == expected


def test_nothing_is_sent_that_nobody_wrote() -> None:
    assert set(built({"task_type": "pipeline", "pipeline_id": "p"})) == {"pipeline_task"}


def test_a_timeout_of_zero_and_disabled_false_are_respected() -> None:
    config = {"task_type": "pipeline", "pipeline_id": "p", "timeout_seconds": 0, "disabled": False}
    assert built(config) == {
        "pipeline_task": {"pipeline_id": "p"},
        "timeout_seconds": 0,
        "disabled": False,
    }


def test_common_fields_are_sent_and_emails_go_where_the_api_wants_them() -> None:
    config = {
        "task_type": "run_job",
        "job_id": 1,
        "run_if": "ALL_DONE",
        "max_retries": 2,
        "min_retry_interval_millis": 500,
        "retry_on_timeout": True,
        "job_cluster_key": "c",
        "health": {
            "rules": [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 60}]
        },
        "notification_settings": {
            "alert_on_last_attempt": True,
            "email_notifications": {"on_failure": ["a@example.com"]},
        },
        "webhook_notifications": {"on_start": [{"id": "hook"}]},
    }
    assert built(config) == {
        "run_job_task": {"job_id": 1},
        "run_if": "ALL_DONE",
        "max_retries": 2,
        "min_retry_interval_millis": 500,
        "retry_on_timeout": True,
        "job_cluster_key": "c",
        "health": {
            "rules": [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 60}]
        },
        "notification_settings": {"alert_on_last_attempt": True},
        "email_notifications": {"on_failure": ["a@example.com"]},
        "webhook_notifications": {"on_start": [{"id": "hook"}]},
    }


def test_notification_settings_without_emails_work() -> None:
    config = {
        "task_type": "run_job",
        "job_id": 1,
        "notification_settings": {"no_alert_for_skipped_runs": True},
    }
    assert built(config)["notification_settings"] == {"no_alert_for_skipped_runs": True}


def test_inline_sql_is_handed_on_to_be_saved() -> None:
    context = JobContext("main.l.c", default_warehouse_id="w1")
    task = read({"sql_task": {"sql_query": "SELECT 1"}}, context)
    assert task.inline == InlineQuery("load", "SELECT 1", "w1")
    assert task.body["sql_task"] == {"warehouse_id": "w1", "query": {"query_id": ""}}


def test_inline_sql_inside_a_loop_belongs_to_the_loop() -> None:
    task = read({"task_type": "for_each", "inputs": "[]", "task": {"sql_query": "SELECT 1"}})
    assert task.inline == InlineQuery("load", "SELECT 1", None, inside_loop=True)


@pytest.mark.parametrize(
    "written", ["your-warehouse-id", "your_warehouse_id", "YOUR-SQL-WAREHOUSE-ID", "<warehouse>"]
)
def test_a_placeholder_is_no_warehouse(written: str) -> None:
    config = {"task_type": "sql_file", "file_path": "/f", "warehouse_id": written}
    assert "warehouse_id" not in built(config)["sql_task"]
    strict = JobContext("main.l.c", require_warehouse=True)
    assert "warehouse_id is missing" in problems(config, strict)[0]
    usual = JobContext("main.l.c", require_warehouse=True, default_warehouse_id="w")
    assert built(config, usual)["sql_task"]["warehouse_id"] == "w"


def test_dbt_runs_on_the_usual_warehouse_where_only_a_warehouse_can_be_meant() -> None:
    usual = JobContext("main.l.c", require_warehouse=True, default_warehouse_id="w")
    dbt = {"task_type": "dbt", "commands": "dbt run"}
    assert "warehouse_id" not in built(dbt, usual)["dbt_task"]
    for named in ({"catalog": "main"}, {"schema": "s"}, {"warehouse_id": "your-warehouse-id"}):
        assert built({**dbt, **named}, usual)["dbt_task"]["warehouse_id"] == "w"
    strict = JobContext("main.l.c", require_warehouse=True)
    assert "warehouse_id is missing" in problems({**dbt, "catalog": "main"}, strict)[0]


@pytest.mark.parametrize(("config", "expected"), BUILT)
def test_every_task_type_runs_inside_a_loop(
    config: dict[str, Any], expected: dict[str, Any]
) -> None:
    loop = {"task_type": "for_each", "inputs": ["eu"], "task": {"task_key": "each", **config}}
    if config.get("task_type") == "for_each":
        assert "cannot be a for_each" in problems(loop)[0]
    else:
        assert built(loop)["for_each_task"]["task"] == {"task_key": "each", **expected}


def test_a_condition_written_by_the_platform_with_nothing_in_it_is_read() -> None:
    silent = {"email_notifications": {}, "webhook_notifications": {}, "retry_on_timeout": False}
    config = {"task_type": "condition", "op": "NOT_EQUAL", "left": "a", "right": "b"}
    assert "condition_task" in built({**config, **silent})


def test_file_sources_without_a_task_are_ingested() -> None:
    task = built({}, source_type="csv", source_config={"path": "/Volumes/a/b/c/*.csv"})
    assert task == own("ingest", "--module", "sales", "load")


def test_our_own_tasks_run_where_the_package_is_installed() -> None:
    installed = {"environment_key": "lakeflow_meta"}
    context = JobContext("main.l.c", package_task=installed)
    assert built({"task_type": "ingest"}, context)["environment_key"] == "lakeflow_meta"
    chosen = built({"task_type": "ingest", "existing_cluster_id": "c"}, context)
    assert chosen["existing_cluster_id"] == "c"
    assert "environment_key" not in chosen


def test_extra_passes_other_fields_through_and_may_not_contradict() -> None:
    config = {
        "task_type": "notebook",
        "file_path": "/n",
        "extra": {"environment_variables_key": "e", "notebook_task": {"warehouse_id": "w"}},
    }
    task = built(config)
    assert task["environment_variables_key"] == "e"
    assert task["notebook_task"] == {"notebook_path": "/n", "warehouse_id": "w"}
    clash = {**config, "extra": {"notebook_task": {"notebook_path": "/other"}}}
    assert problems(clash) == [
        (
            "transformation_config.extra.notebook_task.notebook_path:"
            " notebook_path is already set by its own key (write it once)"
        )
    ]


WRONG = [
    ({}, "says nothing of the task to run"),
    ({"task_type": "notebok"}, "unknown task type 'notebok' (did you mean notebook?)"),
    ({"task_type": 3}, "unknown task type 3"),
    (
        {"notebook_path": "/n", "run_iff": "ALL_DONE"},
        "unknown key 'run_iff' (did you mean run_if?)",
    ),
    (
        {"notebook_path": "/n", "run_if": "ALL_SUCESS"},
        "run_if: 'ALL_SUCESS' is not a known word here (did you mean ALL_SUCCESS?)",
    ),
    ({"notebook_path": "/n", "file_path": "/m"}, "notebook_path and file_path exclude each other"),
    ({"task_type": "notebook"}, "notebook_path or file_path is missing"),
    ({"notebook_path": "/n", "disabled": "false"}, "transformation_config.disabled"),
    ({"notebook_path": "/n", "timeout_seconds": -1}, "transformation_config.timeout_seconds"),
    ({"notebook_path": "/n", "parameters": {"a": None}}, "a parameter has a value; write ''"),
    (
        {"notebook_path": "/n", "job_cluster_key": "a", "existing_cluster_id": "b"},
        "job_cluster_key and existing_cluster_id exclude each other",
    ),
    ({"task_type": "sql_query"}, "sql_query or query_id is missing"),
    ({"sql_query": "SELECT 1", "query_id": "q"}, "sql_query and query_id exclude each other"),
    ({"sql_query": "  "}, "sql_query is empty"),
    ({"sql_query": "SELECT 1", "sql_task": {"sql_query": "SELECT 2"}}, "inside sql_task"),
    ({"task_type": "sql_file", "file_path": "/f", "file_source": "GTI"}, "did you mean GIT?"),
    ({"task_type": "dbt", "commands": ["dbtrm -rf"]}, "does not start with the word dbt or edr"),
    ({"task_type": "dbt", "commands": []}, "commands is empty"),
    ({"task_type": "pipeline"}, "pipeline_id is missing"),
    (
        {"notebook_path": "/n", "email_notifications": {"on_failures": ["a"]}},
        "unknown key 'on_failures' (did you mean on_failure?)",
    ),
    (
        {"task_type": "for_each", "inputs": "[]", "task": {"notebook_path": "/n", "paramters": {}}},
        "transformation_config.task.paramters: unknown key 'paramters' (did you mean parameters?)",
    ),
    (
        {"task_type": "dbt", "commands": ["dbt run"] * 11},
        "11 commands; a task takes 10",
    ),
    (
        {"task_type": "condition", "op": "EQUAL_TO", "left": "1", "right": "1", "max_retries": 1},
        "a condition takes no retries and no notifications: max_retries",
    ),
    ({"task_type": "run_job", "job_id": "seven"}, "transformation_config.job_id"),
    ({"task_type": "run_job", "job_id": 0}, "transformation_config.job_id"),
    ({"notebook_path": "/n", "description": "x" * 1001}, "transformation_config.description"),
    ({"notebook_path": "/n", "parameters": {"a": "x" * 10**6}}, "more than 1 MB"),
    ({"notebook_path": "/n", "environment_key": "a b"}, "transformation_config.environment_key"),
    ({"notebook_path": "/n", "max_retries": -2}, "transformation_config.max_retries"),
    ({"notebook_path": "/n", "timeout_seconds": 2**31}, "transformation_config.timeout_seconds"),
    (
        {"notebook_path": "/n", "health": {"rules": [{"metric": "RUN_SECONDS", "op": "<"}]}},
        "'RUN_SECONDS' is not a known word here (did you mean RUN_DURATION_SECONDS?)",
    ),
    (
        {"task_type": "for_each", "inputs": "[]", "concurrency": 101, "task": {"query_id": "q"}},
        "transformation_config.concurrency",
    ),
    (
        {"task_type": "for_each", "inputs": "[]", "task": {"task_type": "for_each"}},
        "the task of a for_each cannot be a for_each",
    ),
]


@pytest.mark.parametrize(("config", "expected"), WRONG)
def test_what_is_wrong_is_named_with_its_place(config: dict[str, Any], expected: str) -> None:
    assert any(expected in problem for problem in problems(config)), problems(config)


def test_all_that_is_wrong_with_a_task_is_found_at_once() -> None:
    config = {"notebook_path": "/n", "run_iff": 1, "max_retries": "x", "timeout_seconds": -5}
    assert len(problems(config)) == 3


def test_usable_ids_are_keys_as_they_are() -> None:
    assert task_key("extract-data_2") == "extract-data_2"
    assert task_key("load.data") == "load_data"


@given(st.text(min_size=1, max_size=200))
def test_every_id_gets_a_key_that_the_api_takes(source_id: str) -> None:
    key = task_key(source_id)
    assert 1 <= len(key) <= 100
    assert key.isascii()
    assert all(letter.isalnum() or letter in "_-" for letter in key)
    assert task_key(key) == key
