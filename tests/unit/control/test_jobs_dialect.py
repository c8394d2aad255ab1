"""Jobs as lakeflow-jobs-meta and asset bundles write them, read as modules."""

import dataclasses
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from databricks.sdk.service import jobs as sdk
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.control.declared import Declared, read_declared
from lakeflow_meta.control.jobs_dialect_tasks import api_fields
from lakeflow_meta.control.rows import read_recorded
from lakeflow_meta.jobs.job_settings import JobContext, build_job

CONTEXT = JobContext("main.lakeflow.etl_control")


def read(variables: Mapping[str, Any] | None = None, /, **files: str) -> Declared:
    texts = {f"{name}.yml": text for name, text in files.items()}
    return read_declared(texts, {}, variables=variables or {}, context=CONTEXT)


def places(declared: Declared) -> list[str]:
    return [f"{p.line}:{p.column} {p.path}: {p.message}" for p in declared.problems]


def settings(declared: Declared) -> dict[str, Any]:
    """Job settings of all modules by name."""
    assert declared.problems == ()
    recorded = read_recorded(declared.sources, declared.modules, (), table="t")
    return {n: build_job(m, CONTEXT).settings for n, m in recorded.modules.items()}


def task_settings(task: Mapping[str, Any]) -> dict[str, Any]:
    git = {"git_url": "https://example.com/x", "git_provider": "gitHub", "git_branch": "main"}
    found = settings(
        read(a=yaml.safe_dump({"jobs": {"j": {"git_source": git, "tasks": [dict(task)]}}}))
    )
    job: dict[str, Any] = found["j"]["tasks"][0]
    return job


TASK = "{task_key: a, task_type: run_job, job_id: 1}"

NAMED = """
metadata_version: "2.0"
jobs:
  etl_${var.env}:
    name: "ETL ${var.env}"
    description: nightly
    tags: {dept: eng}
    parameters: [{name: cat, default: "${var.catalog}"}]
    schedule: {quartz_cron_expression: "0 0 2 * * ?", timezone_id: UTC, pause_status: PAUSED}
    job_clusters: [{job_cluster_key: c1, new_cluster: {spark_version: x, num_workers: 2}}]
    tasks:
      - {task_key: a, task_type: notebook, file_path: /W/n, job_cluster_key: c1, parameters: {k: v}}
      - {task_key: b, task_type: sql_query, sql_query: "select 1", warehouse_id: w,
         depends_on: [a], run_if: ALL_DONE, disabled: true, description: second}
"""


def test_jobs_by_name_become_modules_and_sources() -> None:
    found = read({"env": "prod", "catalog": "main"}, a=NAMED)
    assert found.problems == ()
    module = found.modules[0]
    assert (module["module_name"], module["description"]) == ("etl_prod", "nightly")
    assert json.loads(module["job_config"]) == {
        "name": "ETL prod",
        "tags": {"dept": "eng"},
        "parameters": [{"name": "cat", "default": "main"}],
        "schedule": {
            "quartz_cron_expression": "0 0 2 * * ?",
            "timezone_id": "UTC",
            "pause_status": "PAUSED",
        },
        "job_clusters": [
            {"job_cluster_key": "c1", "new_cluster": {"spark_version": "x", "num_workers": 2}}
        ],
    }
    rows = [(r["source_id"], r["source_type"], r["execution_order"]) for r in found.sources]
    assert rows == [("a", "notebook", None), ("b", "sql_query", None)]
    assert [r["description"] for r in found.sources] == [None, "second"]
    assert [r["is_active"] for r in found.sources] == [None, None]
    assert [json.loads(r["transformation_config"]) for r in found.sources] == [
        {
            "task_type": "notebook",
            "file_path": "/W/n",
            "job_cluster_key": "c1",
            "parameters": {"k": "v"},
        },
        {
            "task_type": "sql_query",
            "sql_query": "select 1",
            "warehouse_id": "w",
            "depends_on": ["a"],
            "run_if": "ALL_DONE",
            "disabled": True,
        },
    ]


def test_jobs_as_a_list_have_their_name_inside() -> None:
    task = "{task_key: a, task_type: notebook, file_path: /n}"
    text = f"jobs:\n  - job_name: etl\n    timeout_seconds: 5\n    tasks: [{task}]\n"
    found = settings(read(a=text))["etl"]
    assert (found["name"], found["timeout_seconds"]) == ("etl", 5)
    assert found["tasks"] == [{"task_key": "a", "notebook_task": {"notebook_path": "/n"}}]


def test_no_timeout_is_made_up() -> None:
    text = "jobs: {j: {tasks: [{task_key: a, task_type: notebook, file_path: /n}]}}"
    assert "timeout_seconds" not in json.dumps(settings(read(a=text)))


def test_tasks_without_dependencies_wait_for_nothing() -> None:
    first = {"task_key": "a", "task_type": "run_job", "job_id": 1, "depends_on": []}
    text = yaml.safe_dump({"jobs": {"j": {"tasks": [first, {**first, "task_key": "b"}]}}})
    assert all("depends_on" not in task for task in settings(read(a=text))["j"]["tasks"])


def test_alert_on_last_attempt_of_a_job_goes_to_its_tasks() -> None:
    text = """
jobs:
  j:
    notification_settings:
      email_notifications: {on_failure: [a@b.c]}
      alert_on_last_attempt: true
    tasks:
      - {task_key: a, task_type: run_job, job_id: 1}
      - {task_key: b, task_type: run_job, job_id: 1,
         notification_settings: {alert_on_last_attempt: false}}
"""
    found = settings(read(a=text))["j"]
    assert found["email_notifications"] == {"on_failure": ["a@b.c"]}
    assert [t["notification_settings"]["alert_on_last_attempt"] for t in found["tasks"]] == [
        True,
        False,
    ]


def test_a_mapping_of_jar_parameters_is_sent_as_its_values() -> None:
    task = {"task_key": "a", "task_type": "spark_jar", "main_class_name": "M"}
    assert task_settings({**task, "parameters": {"x": 1, "y": "z"}})["spark_jar_task"] == {
        "main_class_name": "M",
        "parameters": ["1", "z"],
    }


API_TASKS: list[dict[str, Any]] = [
    {"notebook_task": {"notebook_path": "/n", "base_parameters": {"a": "1"}, "source": "GIT"}},
    {"spark_python_task": {"python_file": "/f.py", "parameters": ["x"]}},
    {
        "python_wheel_task": {
            "package_name": "p",
            "entry_point": "e",
            "named_parameters": {"a": "1"},
        }
    },
    {"spark_jar_task": {"main_class_name": "M", "parameters": ["x"], "jar_uri": "u"}},
    {"pipeline_task": {"pipeline_id": "p", "full_refresh": True}},
    {"dbt_task": {"commands": ["dbt run"], "schema": "s", "catalog": "c"}},
    {"run_job_task": {"job_id": 7, "job_parameters": {"a": "b"}, "notebook_params": {"x": "y"}}},
    {"condition_task": {"op": "EQUAL_TO", "left": "1", "right": "{{job.parameters.x}}"}},
    {"sql_task": {"query": {"query_id": "q"}, "warehouse_id": "w", "parameters": {"a": "b"}}},
    {"sql_task": {"file": {"path": "/f.sql", "source": "GIT"}, "warehouse_id": "w"}},
    {
        "for_each_task": {
            "inputs": '["a"]',
            "concurrency": 2,
            "task": {
                "task_key": "inner",
                "description": "each",
                "notebook_task": {"notebook_path": "/n"},
            },
        }
    },
    {
        "run_job_task": {"job_id": 7},
        "description": "d",
        "max_retries": 2,
        "libraries": [{"whl": "/w"}],
        "health": {"rules": [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 1}]},
        "email_notifications": {"on_failure": ["a@b.c"], "on_maintenance_start": ["a@b.c"]},
        "webhook_notifications": {"on_start": [{"id": "w"}]},
        "run_if": "ALL_DONE",
        "compute": {"hardware_accelerator": "GPU_1xA10"},
    },
]


@pytest.mark.parametrize("task", API_TASKS, ids=lambda task: next(iter(task)))
def test_a_task_of_the_api_comes_out_as_it_went_in(task: dict[str, Any]) -> None:
    task = {"task_key": "a", **task}
    assert task_settings(task) == task
    assert sdk.Task.from_dict(task).as_dict() == task


def test_sql_task_is_also_the_nested_spelling() -> None:
    nested = {"sql_task": {"sql_file_path": "/f.sql", "warehouse_id": "w"}}
    expected = {"file": {"path": "/f.sql"}, "warehouse_id": "w"}
    assert task_settings({"task_key": "a", **nested})["sql_task"] == expected


def test_a_bundle_is_read_with_its_variables() -> None:
    text = """
bundle: {name: b}
variables:
  workers: {description: how many, default: 3}
  plain: text
resources:
  jobs:
    nightly:
      name: Nightly
      permissions: [{level: CAN_VIEW, group_name: users}]
      usage_policy_id: u
      continuous: {pause_status: PAUSED, maintenance_window: {day: MONDAY}}
      tasks:
        - task_key: a
          new_cluster: {num_workers: "${var.workers}", custom_tags: {t: "${var.plain}"}}
          notebook_task: {notebook_path: ./n.py}
"""
    declared = read_declared({"a": text}, {}, variables={}, context=CONTEXT)
    recorded = read_recorded(declared.sources, declared.modules, (), table="t")
    job = build_job(recorded.modules["nightly"], CONTEXT)
    assert job.permissions == ({"permission_level": "CAN_VIEW", "group_name": "users"},)
    assert job.settings["usage_policy_id"] == "u"
    assert job.settings["continuous"]["maintenance_window"] == {"day": "MONDAY"}
    cluster = job.settings["tasks"][0]["new_cluster"]
    assert cluster == {"num_workers": 3, "custom_tags": {"t": "text"}}


BAD = [
    ("jobs: 5", ["1:1 jobs: jobs is neither a mapping nor a list"]),
    ("jobs: {a: }", ["1:8 jobs.a: job 'a' is empty"]),
    ("jobs: [x]", ["1:8 jobs[0]: a job is a mapping"]),
    ("jobs: [{tasks: []}]", ["1:8 jobs[0]: job_name is missing, or is no text"]),
    ("jobs: {a: {tasks: []}}", ["1:12 jobs.a.tasks: the job has no list of tasks"]),
    ("jobs: {a: {tags: {x: y}}}", ["1:8 jobs.a: the job has no list of tasks"]),
    ("bundle: []", ["1:1 bundle: bundle is not a mapping"]),
    ("resources: []", ["1:1 resources: resources is not a mapping"]),
    (
        "resources: {pipelines: {}, jobs: {}}",
        ["1:13 resources.pipelines: resources.pipelines is not read"],
    ),
    (
        "jobs: {a: {taks: [], tasks: [{task_key: 1}, 7, {task_type: notebook}]}}",
        [
            "1:12 jobs.a.taks: unknown key 'taks'",
            "1:31 jobs.a.tasks[0].task_key: task_key is missing, or is no text",
            "1:45 jobs.a.tasks[1]: a task is a mapping",
            "1:48 jobs.a.tasks[2]: task_key is missing, or is no text",
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), BAD, ids=[text for text, _ in BAD])
def test_what_is_no_job_is_located(text: str, expected: list[str]) -> None:
    assert places(read(a=text)) == expected


JOB = "jobs:\n  j:\n    tasks:\n"
BAD_TASKS = [
    ("{task_key: a, task_type: notebok}", "tasks[0].task_type: unknown task type 'notebok'"),
    (
        "{task_key: a, task_type: notebook, file_path: /n, run_iff: ALL_DONE}",
        "tasks[0].run_iff: unknown key 'run_iff'",
    ),
    (
        "{task_key: a, task_type: notebook, file_path: /n, depends_on: [b]}",
        "tasks[0].depends_on[0]: depends on 'b', which is no active source of the module",
    ),
    (
        "{task_key: a, notebook_task: {notebook_path: 5}}",
        "tasks[0].notebook_task.notebook_path: input should be a valid string, got 5",
    ),
    (
        "{task_key: a, notebook_task: {notebook_pth: /n}}",
        "tasks[0].notebook_task.notebook_pth: unknown key 'notebook_pth'",
    ),
    (
        "{task_key: a, notebook_task: {notebook_path: /n}, timeout_second: 1}",
        "tasks[0].timeout_second: unknown key 'timeout_second'",
    ),
    (
        "{task_key: a, spark_submit_task: {parameters: []}}",
        "tasks[0].spark_submit_task: spark_submit_task is no task that can be recorded",
    ),
    (
        "{task_key: a, notebook_task: {notebook_path: /n}, run_job_task: {job_id: 1}}",
        (
            "tasks[0].run_job_task: notebook_task and run_job_task exclude each other;"
            " a task does one thing"
        ),
    ),
    (
        "{task_key: a, task_type: notebook, notebook_task: {notebook_path: /n}}",
        "tasks[0].task_type: task_type and notebook_task exclude each other",
    ),
    (
        "{task_key: a, sql_task: {alert: {alert_id: x}}}",
        "tasks[0].sql_task: a sql_task has query or file, not alert",
    ),
    (
        "{task_key: a, sql_task: {file: {pth: x}}}",
        "tasks[0].sql_task.file.pth: unknown key 'pth'",
    ),
    ("{task_key: a, notebook_task: x}", "tasks[0].notebook_task: notebook_task is a mapping"),
    (
        "{task_key: a, for_each_task: {inputs: '[]', task: {notebook_task: {notebook_path: 5}}}}",
        (
            "tasks[0].for_each_task.task.notebook_task.notebook_path:"
            " input should be a valid string, got 5"
        ),
    ),
    (
        "{task_key: a, sql_task: {query: {query_id: {lookup: {query: x}}}}}",
        "tasks[0].sql_task.query.query_id: a lookup is not resolved here",
    ),
]


@pytest.mark.parametrize(("task", "expected"), BAD_TASKS, ids=[e for _, e in BAD_TASKS])
def test_what_is_wrong_in_a_task_is_shown_where_it_is_written(task: str, expected: str) -> None:
    found = places(read(a=f"{JOB}      - {task}\n"))
    assert f"jobs.j.{expected}" in [line.split(" ", 1)[1] for line in found]
    assert {line.split(":", 1)[0] for line in found} == {"4"}


def test_what_is_wrong_in_the_job_s_settings_is_shown_where_it_is_written() -> None:
    text = """
jobs:
  etl_${var.env}:
    schedule:
      quartz_cron_expression: "0 0 2 * * ?"
      timezone: UTC
    max_concurrent_run: 1
    tasks:
      - {task_key: a, task_type: notebook, file_path: /n}
      - {task_key: a, task_type: notebook, file_path: /n}
"""
    assert places(read({"env": "x"}, a=text)) == [
        "4:5 jobs.etl_${var.env}.schedule: timezone_id is missing",
        "6:7 jobs.etl_${var.env}.schedule.timezone: unknown key 'timezone'",
        "7:5 jobs.etl_${var.env}.max_concurrent_run: unknown key 'max_concurrent_run'",
        "10:10 jobs.etl_${var.env}.tasks[1].task_key: source_id 'a' is written twice",
    ]


def test_a_task_that_cannot_be_read_shifts_no_other_one() -> None:
    tasks = "      - {task_type: notebook}\n      - {task_key: b, task_type: x}\n"
    assert places(read(a=f"{JOB}{tasks}"))[1:] == [
        "5:23 jobs.j.tasks[1].task_type: unknown task type 'x'"
    ]


def test_clusters_that_tasks_name_must_be_there() -> None:
    task = "{task_key: a, task_type: run_job, job_id: 1, job_cluster_key: c}"
    at, message = "4:54 jobs.j.tasks[0].job_cluster_key", "is not among the job's job_clusters"
    found = places(read(a=f"jobs:\n  j:\n    tasks:\n      - {task}\n"))
    assert found == [f"{at}: job_cluster_key 'c' {message}"]


def test_a_cycle_is_shown_with_its_members() -> None:
    tasks = [
        {"task_key": k, "task_type": "run_job", "job_id": 1, "depends_on": [n]}
        for k, n in ("ab", "bc", "ca")
    ]
    found = read(a=yaml.safe_dump({"jobs": [{"job_name": "j", "tasks": tasks}]}))
    assert [p.message for p in found.problems] == ["sources wait for each other: a → b → c → a"]


def test_a_job_and_a_module_of_one_name_name_both_places() -> None:
    text = f"modules: [{{module_name: J}}]\njobs: {{j: {{tasks: [{TASK}]}}}}\n"
    assert places(read(a=text)) == ["2:8 jobs.j: module 'j' is already declared at a.yml:1"]


def test_two_keys_that_become_one_are_found() -> None:
    tasks = "{tasks: [{task_key: a, task_type: run_job, job_id: 1}]}"
    text = f"jobs:\n  x_${{var.e}}: {tasks}\n  x_p: {tasks}\n"
    found = read({"e": "p"}, a=text)
    assert [p.message for p in found.problems] == ["key 'x_p' is given twice"]


def test_jobs_and_modules_of_other_names_stand_in_one_file() -> None:
    text = f"modules: [{{module_name: m}}]\njobs: {{j: {{tasks: [{TASK}]}}}}\n"
    assert [row["module_name"] for row in read(a=text).modules] == ["m", "j"]


def test_what_only_a_bundle_resolves_is_refused_and_escapes_are_kept() -> None:
    text = """
resources:
  jobs:
    j:
      name: "[${bundle.target}] $${bundle.target}"
      tasks: [{task_key: a, run_job_task: {job_id: 1}}]
"""
    assert places(read(a=text)) == [
        "5:7 resources.jobs.j.name: ${bundle.target} is known to bundles only"
    ]


def test_other_roots_of_a_bundle_are_refused_by_name() -> None:
    found = read(a="bundle: {name: b}\ntargets: {dev: {}}\ninclude: [x.yml]\n")
    assert places(found) == [
        "2:1 targets: targets: is not read by this version",
        "3:1 include: include: is not read by this version",
    ]
    assert "conf/<target>.yml" in found.problems[0].hint


def test_no_field_of_the_api_is_forgotten_or_made_up() -> None:
    """What the reader knows of a task and a job is what the SDK's types have."""
    if version("databricks-sdk") != "0.156.0":
        pytest.skip("the lists are those of databricks-sdk 0.156.0")
    names = {
        "notebook_task": "NotebookTask",
        "spark_python_task": "SparkPythonTask",
        "python_wheel_task": "PythonWheelTask",
        "spark_jar_task": "SparkJarTask",
        "pipeline_task": "PipelineTask",
        "dbt_task": "DbtTask",
        "run_job_task": "RunJobTask",
        "condition_task": "ConditionTask",
        "for_each_task": "ForEachTask",
    }
    for name, known in api_fields():
        if name == "sql_task":
            continue  # its parts are read one by one
        fields = {f.name for f in dataclasses.fields(getattr(sdk, names.get(name, name)))}
        if name == "Task":  # kinds of work that cannot be recorded
            fields = {f for f in fields if not f.endswith("_task") or f in names or f == "sql_task"}
        if name == "JobSettings":  # permissions have an API of their own
            known -= {"permissions"}
        assert fields == set(known), name


keys = st.sampled_from(
    [
        "jobs",
        "tasks",
        "task_key",
        "task_type",
        "notebook_task",
        "sql_task",
        "query",
        "query_id",
        "for_each_task",
        "task",
        "depends_on",
        "notification_settings",
        "extra",
        "permissions",
        "lookup",
        "description",
        "job_name",
        "x",
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["a", "notebook", "for_each"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=25,
)


@given(st.sampled_from(["jobs", "resources", "bundle"]), values)
def test_nonsense_is_reported_never_raised(root: str, value: Any) -> None:
    found = read(a=yaml.safe_dump({root: value}))
    for problem in found.problems:
        assert problem.line >= 1


@given(values)
def test_nonsense_inside_a_task_is_reported_never_raised(value: Any) -> None:
    task = {"task_key": "a", **value} if isinstance(value, dict) else value
    read(a=yaml.safe_dump({"resources": {"jobs": {"j": {"tasks": [task]}}}}))


EXAMPLE = Path(__file__).parents[3] / "examples" / "migrate_from_lakeflow_jobs_meta"


def test_the_example_is_one_job_in_three_spellings() -> None:
    paths = [EXAMPLE / "jobs_0_2" / "jobs.yml", EXAMPLE / "jobs_0_1" / "jobs.yml"]
    named, listed, bundled = (
        settings(read_declared({"f": path.read_text()}, {}, variables={}, context=CONTEXT))[
            "daily_sales_dev"
        ]
        for path in [*paths, EXAMPLE / "bundle" / "databricks.yml"]
    )
    assert {**named, "name": "daily_sales_dev"} == listed
    without_inline_sql = [task for task in named["tasks"] if task["task_key"] != "check"]
    assert {**named, "tasks": without_inline_sql} == bundled
