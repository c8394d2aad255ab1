"""Recorded modules as an asset bundle: stable bytes, and the same jobs when it is read back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml
from databricks.sdk.service.jobs import JobSettings

from lakeflow_meta.control.bundle import export_bundle
from lakeflow_meta.control.declared import read_declared
from lakeflow_meta.control.rows import Module, Source, read_recorded
from lakeflow_meta.errors import SpecError
from lakeflow_meta.jobs.job_settings import InlineQuery, JobContext, JobDefinition, build_job
from lakeflow_meta.jobs.ownership import query_name
from lakeflow_meta.jobs.saved_queries import SavedQueries
from lakeflow_meta.testing.fake_queries import FakeQueries

CONTEXT = JobContext("main.lakeflow.etl_control")


def module(name: str, *tasks: Mapping[str, Any], **changes: Any) -> Module:
    sources = tuple(
        Source(name, f"s{i:03}", execution_order=i, transformation_config=dict(task))
        for i, task in enumerate(tasks)
    )
    return replace(Module(name), sources=sources, **changes)


def read_back(text: str, context: JobContext = CONTEXT) -> dict[str, JobDefinition]:
    declared = read_declared({"bundle.yml": text}, {}, variables={}, context=context)
    assert declared.problems == ()
    recorded = read_recorded(declared.sources, declared.modules, (), table="t")
    assert recorded.problems == ()
    return {name: build_job(m, context) for name, m in recorded.modules.items()}


def by_key(definition: JobDefinition) -> JobDefinition:
    """The order of tasks means nothing to the platform."""
    tasks = sorted(definition.settings["tasks"], key=lambda task: str(task["task_key"]))
    queries = tuple(sorted(definition.queries, key=lambda query: query.task_key))
    return replace(definition, settings={**definition.settings, "tasks": tasks}, queries=queries)


TASKS: dict[str, dict[str, Any]] = {
    "notebook": {"notebook_path": "/n", "parameters": {"a": 1}},
    "notebook flat": {"task_type": "notebook", "file_path": "/n", "source": "GIT"},
    "sql_query by id": {"task_type": "sql_query", "query_id": "q", "warehouse_id": "w"},
    "sql_query inline": {
        "sql_task": {"warehouse_id": "w", "sql_query": "SELECT '${var.x}',\n  1 \n-- $${y}"}
    },
    "sql_file": {"sql_task": {"sql_file_path": "/f.sql", "parameters": {"a": "b"}}},
    "python_wheel": {
        "task_type": "python_wheel",
        "package_name": "p",
        "entry_point": "e",
        "parameters": {"a": 1},
        "libraries": [{"whl": "/w.whl"}],
    },
    "spark_jar": {
        "task_type": "spark_jar",
        "main_class_name": "M",
        "parameters": ["x"],
        "extra": {"spark_jar_task": {"run_as_repl": True}},
    },
    "spark_python": {"task_type": "spark_python", "file_path": "/f.py"},
    "pipeline": {"task_type": "pipeline", "pipeline_id": "p", "full_refresh": True},
    "dbt": {"task_type": "dbt", "commands": "dbt run", "schema": "s"},
    "run_job": {"task_type": "run_job", "job_id": 5, "job_parameters": {"a": "b"}},
    "for_each": {
        "task_type": "for_each",
        "inputs": ["a", "b"],
        "task": {"task_type": "notebook", "file_path": "/n", "description": "each"},
    },
    "for_each with inline SQL": {
        "task_type": "for_each",
        "inputs": "{{job.parameters.regions}}",
        "concurrency": 3,
        "task": {"task_type": "sql_query", "sql_query": "SELECT 1", "warehouse_id": "w"},
    },
    "condition": {"task_type": "condition", "op": "EQUAL_TO", "left": 1, "right": "1"},
    "ingest": {"task_type": "ingest"},
    "extract": {"task_type": "extract", "group": "daily"},
    "ddl": {"task_type": "ddl", "targets": ["t"]},
    "tables": {"task_type": "tables"},
    "everything else": {
        "task_type": "run_job",
        "job_id": 1,
        "depends_on": [],
        "run_if": "ALL_DONE",
        "disabled": False,
        "timeout_seconds": 0,
        "max_retries": -1,
        "new_cluster": {"num_workers": 1},
        "environment_key": "e",
        "notification_settings": {
            "alert_on_last_attempt": True,
            "email_notifications": {"on_failure": ["a@b.c"]},
        },
        "webhook_notifications": {"on_success": [{"id": "w"}]},
        "health": {"rules": [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 1}]},
        "description": "what\nit does",
        "extra": {"compute": {"hardware_accelerator": "GPU_1xA10"}},
    },
}
JOB: dict[str, Any] = {
    "name": "Nightly ${x}",
    "tags": {"team": "data", "label": None},
    "parameters": {"regions": ["a"], "day": "x"},
    "schedule": {"quartz_cron_expression": "0 0 2 * * ?", "timezone_id": "UTC"},
    "environments": [{"environment_key": "e", "spec": {"client": "1"}}],
    "job_clusters": [{"job_cluster_key": "c", "new_cluster": {"num_workers": 2}}],
    "notification_settings": {"email_notifications": {"on_failure": ["a@b.c"]}},
    "permissions": [{"permission_level": "CAN_VIEW", "group_name": "users"}],
    "run_as": {"user_name": "a@b.c"},
    "edit_mode": "UI_LOCKED",
    "queue": {"enabled": True},
    "git_source": {"git_url": "https://x", "git_provider": "gitHub", "git_branch": "main"},
    "extra": {"usage_policy_id": "u", "schedule": {"sql_condition": {}}},
}
EVERYTHING = module(
    "all", *TASKS.values(), job_config=JOB, ddl_targets=("t",), tables=("a.b.c",), description="d"
)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_task_of_every_type_reads_back_to_the_same_job(task: dict[str, Any]) -> None:
    config = {"environments": [{"environment_key": "e"}], "git_source": JOB["git_source"]}
    original = module("m", task, job_config=config)
    found = read_back(export_bundle([original], context=CONTEXT))
    assert found == {"m": build_job(original, CONTEXT)}


def test_a_job_with_everything_reads_back_to_the_same_job() -> None:
    found = read_back(export_bundle([EVERYTHING], context=CONTEXT))
    assert by_key(found["all"]) == by_key(build_job(EVERYTHING, CONTEXT))


@pytest.mark.parametrize("starter", [{"continuous": {}}, {"trigger": {"model": {"name": "m"}}}])
def test_what_starts_a_job_reads_back(starter: dict[str, Any]) -> None:
    config = starter if "continuous" in starter else {"extra": starter}
    original = module("m", TASKS["run_job"], job_config=config)
    found = read_back(export_bundle([original], context=CONTEXT))
    assert found == {"m": build_job(original, CONTEXT)}


def test_names_that_need_quotes_read_back() -> None:
    names = ["a b", "ü.x/y", "${var.a}", "yes", "1", "-- '\"`; DROP TABLE x", "{[&*!|>%@"]
    originals = [module(name, TASKS["sql_query inline"]) for name in names]
    found = read_back(export_bundle(originals, context=CONTEXT))
    assert found == {
        name: build_job(module(name, TASKS["sql_query inline"]), CONTEXT) for name in names
    }


def test_the_platform_s_own_type_takes_every_job() -> None:
    document = yaml.safe_load(export_bundle([EVERYTHING], context=CONTEXT))
    job = document["resources"]["jobs"]["all"]
    assert job.pop("permissions") == [{"level": "CAN_VIEW", "group_name": "users"}]
    assert JobSettings.from_dict(job).as_dict() == job
    assert set(document) == {"bundle", "variables", "resources"}


def test_a_bundle_s_jobs_are_not_marked_as_ours() -> None:
    document = yaml.safe_load(export_bundle([EVERYTHING], context=CONTEXT))
    assert document["resources"]["jobs"]["all"]["tags"] == {"team": "data", "label": ""}


def test_sql_text_stands_in_a_variable_that_finds_the_saved_query() -> None:
    inline = module("sales eu", TASKS["sql_query inline"])
    document = yaml.safe_load(export_bundle([inline], context=CONTEXT))
    (name, variable), *more = document["variables"].items()
    assert more == []
    job = document["resources"]["jobs"]["sales eu"]
    assert job["tasks"][0]["sql_task"]["query"] == {"query_id": f"${{var.{name}}}"}
    queries = FakeQueries()
    saved = SavedQueries(queries, CONTEXT.control_table)
    plan = saved.plan("sales eu", [InlineQuery("s000", "SELECT 1", "w")], {}, look_by_name=True)
    saved.save("sales eu", plan)
    assert [query.display_name for query in queries.list_queries()] == [variable["lookup"]["query"]]
    assert variable["lookup"]["query"] == query_name(CONTEXT.control_table, "sales eu", "s000")


def test_the_same_state_gives_the_same_bytes() -> None:
    others = [module("b", TASKS["dbt"]), module("a", TASKS["run_job"])]
    assert export_bundle(others, context=CONTEXT) == export_bundle(others[::-1], context=CONTEXT)


def test_what_has_no_job_is_left_out() -> None:
    modules = [Module("empty"), module("off", TASKS["run_job"], is_active=False)]
    document = yaml.safe_load(export_bundle(modules, context=CONTEXT))
    assert document == {
        "bundle": {"name": "main_lakeflow_etl_control"},
        "resources": {"jobs": {}},
    }


def test_modules_that_cannot_become_jobs_are_all_named() -> None:
    bad = [module("a", {"task_type": "nope"}), module("b", {"task_type": "notebook"})]
    with pytest.raises(SpecError) as caught:
        export_bundle(bad, context=CONTEXT)
    assert [problem.path.split(":")[0] for problem in caught.value.problems] == ["a/s000", "b/s000"]
