"""A module becomes a job that the Jobs API takes."""

import random
import time
from typing import Any

import pytest
from databricks.sdk.service.jobs import JobSettings

from lakeflow_meta.control.rows import Module, Source
from lakeflow_meta.errors import SpecError
from lakeflow_meta.findings import path_text
from lakeflow_meta.jobs.job_settings import JobContext, build_job, check_module
from lakeflow_meta.jobs.ownership import ownership_tags

TABLE = "main.lakeflow.etl_control"
CONTEXT = JobContext(TABLE)


def source(source_id: str, order: int | None = 1, **config: Any) -> Source:
    config = {"task_type": "run_job", "job_id": 1, **config}
    return Source("sales", source_id, execution_order=order, transformation_config=config)


def module(*sources: Source, config: dict[str, Any] | None = None, **more: Any) -> Module:
    return Module("sales", job_config=config or {}, sources=sources, **more)


def settings_of(module: Module, context: JobContext = CONTEXT) -> dict[str, Any]:
    """The settings, accepted by the SDK's own type without loss."""
    settings = dict(build_job(module, context).settings)
    assert JobSettings.from_dict(settings).as_dict() == settings
    return settings


def waits(module: Module) -> dict[str, list[str]]:
    tasks = settings_of(module)["tasks"]
    return {t["task_key"]: [d["task_key"] for d in t.get("depends_on", [])] for t in tasks}


def problems(module: Module, context: JobContext = CONTEXT) -> list[str]:
    found = check_module(module, context=context)
    return [f"{path_text(f.path)}: {f.message} ({f.hint})" for f in found]


EVERYTHING: dict[str, Any] = {
    "name": "Sales",
    "description": "all of it",
    "tags": {"team": "eng", "label": None, "cost": 42},
    "parameters": {"day": "today", "n": 1},
    "timeout_seconds": 0,
    "max_concurrent_runs": 3,
    "queue": {"enabled": True},
    "schedule": {"quartz_cron_expression": "0 0 2 * * ?", "timezone_id": "UTC"},
    "job_clusters": [
        {
            "job_cluster_key": "c1",
            "new_cluster": {
                "spark_version": "16.4.x-scala2.12",
                "node_type_id": "x",
                "autoscale": {"min_workers": 1, "max_workers": 4},
                "init_scripts": [{"workspace": {"destination": "/init.sh"}}],
                "aws_attributes": {"availability": "SPOT", "first_on_demand": 1},
                "data_security_mode": "SINGLE_USER",
                "runtime_engine": "PHOTON",
            },
        }
    ],
    "environments": [{"environment_key": "e1", "spec": {"client": "2", "dependencies": ["x"]}}],
    "notification_settings": {
        "no_alert_for_skipped_runs": True,
        "email_notifications": {"on_failure": ["a@example.com"]},
    },
    "webhook_notifications": {"on_failure": [{"id": "hook"}]},
    "health": {"rules": [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 60}]},
    "git_source": {"git_url": "https://x/y", "git_provider": "gitHub", "git_branch": "main"},
    "run_as": {"service_principal_name": "sp"},
    "edit_mode": "UI_LOCKED",
    "performance_target": "STANDARD",
    "budget_policy_id": "b",
    "extra": {"usage_policy_id": "u"},
}


def test_every_job_level_key_arrives() -> None:
    settings = settings_of(module(source("a"), config=EVERYTHING))
    assert settings["parameters"] == [
        {"name": "day", "default": "today"},
        {"name": "n", "default": "1"},
    ]
    assert settings["tags"] == {
        "team": "eng",
        "label": "",
        "cost": "42",
        **ownership_tags(TABLE, "sales"),
    }
    assert settings["email_notifications"] == {"on_failure": ["a@example.com"]}
    assert settings["notification_settings"] == {"no_alert_for_skipped_runs": True}
    assert settings["usage_policy_id"] == "u"
    same = set(EVERYTHING) - {"parameters", "tags", "notification_settings", "extra"}
    assert {key: settings[key] for key in same} == {key: EVERYTHING[key] for key in same}


STARTERS: list[dict[str, Any]] = [
    {"continuous": {}},
    {"continuous": {"pause_status": "PAUSED", "task_retry_mode": "ON_FAILURE"}},
    {"trigger": {"periodic": {"interval": 1, "unit": "DAYS"}, "pause_status": "UNPAUSED"}},
    {"trigger": {"file_arrival": {"url": "/Volumes/a/b/c/"}}},
    {"trigger": {"table_update": {"table_names": ["a.b.c"], "condition": "ANY_UPDATED"}}},
    {
        "trigger": {
            "file_arrival": {
                "url": "/Volumes/a/b/c/",
                "min_time_between_triggers_seconds": 60,
                "wait_after_last_change_seconds": 90,
            }
        }
    },
    {"trigger": {"model": {"condition": "MODEL_VERSION_READY", "securable_name": "a.b"}}},
    {
        "schedule": {
            "quartz_cron_expression": "0 0 2 * * ?",
            "timezone_id": "GMT+02:00",
            "pause_status": "PAUSED",
        }
    },
]


@pytest.mark.parametrize("config", STARTERS)
def test_every_way_to_start_a_job_is_sent_as_written(config: dict[str, Any]) -> None:
    settings = settings_of(module(source("a"), config=config))
    assert {key: settings[key] for key in config} == config


def test_nothing_is_sent_that_nobody_wrote() -> None:
    assert settings_of(module(source("a"))) == {
        "name": "sales",
        "tags": ownership_tags(TABLE, "sales"),
        "tasks": [{"task_key": "a", "run_job_task": {"job_id": 1}}],
    }


def test_the_name_follows_the_template_whatever_the_module_is_called() -> None:
    context = JobContext(TABLE, name_template="[dev] {module_name}")
    assert build_job(Module("{x} {0}", sources=(source("a"),)), context).name == "[dev] {x} {0}"


def test_permissions_are_kept_apart_from_the_settings() -> None:
    config = {"permissions": [{"group_name": "eng", "permission_level": "CAN_VIEW"}]}
    one = module(source("a"), config=config)
    definition = build_job(one, JobContext(TABLE))
    assert definition.permissions == ({"group_name": "eng", "permission_level": "CAN_VIEW"},)
    assert "permissions" not in definition.settings


def test_orders_become_dependencies_unless_a_source_says_itself() -> None:
    sources = [source("a"), source("b"), source("c", 5), source("d", 5, depends_on=["b"])]
    last = source("e", None)
    assert waits(module(*sources, last)) == {
        "a": [],
        "b": [],
        "c": ["a", "b"],
        "d": ["b"],
        "e": ["c", "d"],
    }


def test_scripts_come_first_then_tables_then_the_sources() -> None:
    one = module(
        source("a"),
        source("b", 2),
        source("c", depends_on=[]),
        ddl_targets=("t1", "t2"),
        tables=("c.s.t",),
    )
    assert waits(one) == {
        "_ddl": [],
        "_tables": ["_ddl"],
        "a": ["_tables"],
        "b": ["a", "c"],
        "c": ["_tables"],
    }
    tasks = {task["task_key"]: task for task in settings_of(one)["tasks"]}
    assert tasks["_ddl"]["python_wheel_task"]["parameters"][2:] == ["ddl", "run", "t1", "t2"]
    sync = ["tables", "sync", "--module", "sales"]
    assert tasks["_tables"]["python_wheel_task"]["parameters"][2:] == sync


def test_keys_and_dependencies_agree_when_ids_are_no_keys() -> None:
    one = module(source("load.data"), source("extract-data", depends_on=["load.data"]))
    assert waits(one) == {"load_data": [], "extract-data": ["load_data"]}


def test_a_dependency_may_name_an_outcome() -> None:
    check = Source(
        "sales",
        "check",
        execution_order=1,
        transformation_config={
            "task_type": "condition",
            "op": "EQUAL_TO",
            "left": "1",
            "right": "1",
        },
    )
    then = source("then", depends_on=[{"task_key": "check", "outcome": True}])
    assert settings_of(module(check, then))["tasks"][1]["depends_on"] == [
        {"task_key": "check", "outcome": "true"}
    ]


def test_ids_of_saved_queries_are_put_in_also_inside_loops() -> None:
    sql = Source("sales", "q", transformation_config={"sql_query": "SELECT 1"})
    nested = {"task_type": "for_each", "inputs": "[]", "task": {"sql_query": "SELECT 2"}}
    loop = Source("sales", "loop", transformation_config=nested)
    definition = build_job(module(sql, loop), CONTEXT)
    assert [query.task_key for query in definition.queries] == ["q", "loop"]
    filled = definition.with_queries({"q": "id1", "loop": "id2"})
    first, second = filled.settings["tasks"]
    assert first["sql_task"]["query"] == {"query_id": "id1"}
    assert second["for_each_task"]["task"]["sql_task"]["query"] == {"query_id": "id2"}
    assert definition.settings["tasks"][0]["sql_task"]["query"] == {"query_id": ""}


def test_a_dependency_that_is_written_twice_is_one() -> None:
    assert waits(module(source("a"), source("b", depends_on=["a", "a"])))["b"] == ["a"]


CONDITION = {"task_type": "condition", "op": "EQUAL_TO", "left": "1", "right": "1"}


def test_only_a_condition_has_an_outcome_and_one_at_a_time() -> None:
    check = Source("sales", "check", execution_order=1, transformation_config=CONDITION)
    plain = source("then", depends_on=[{"task_key": "load", "outcome": "true"}])
    both = [{"task_key": "check", "outcome": outcome} for outcome in ("true", "false")]
    one = module(source("load"), check, plain, source("both", depends_on=both))
    assert problems(one) == [
        (
            "sources[2].transformation_config.depends_on[0].outcome: 'load' has no outcome true:"
            " it is no condition (remove outcome)"
        ),
        (
            "sources[3].transformation_config.depends_on[1]: depends on 'check' twice,"
            " with different outcomes (keep one)"
        ),
    ]


def test_the_git_provider_has_one_spelling() -> None:
    config = {"git_source": {"git_url": "https://x", "git_provider": "GitHub", "git_tag": 1.2}}
    assert settings_of(module(source("a"), config=config))["git_source"] == {
        "git_url": "https://x",
        "git_provider": "gitHub",
        "git_tag": "1.2",
    }


def test_references_of_the_platform_pass_as_they_are() -> None:
    texts = ["{{job.parameters.day}}", "${not.ours}", "{{tasks.a.values.x}}", "$${", "{{input}}"]
    one = module(
        source("a", job_parameters={str(n): text for n, text in enumerate(texts)}),
        Source(
            "sales",
            "loop",
            transformation_config={
                "task_type": "for_each",
                "inputs": "{{job.parameters.regions}}",
                "task": {"task_type": "notebook", "file_path": "/n", "parameters": {"r": "{{i}}"}},
            },
        ),
        config={"parameters": {"day": "{{job.start_time.iso_date}}", "regions": ["eu", "us"]}},
    )
    settings = settings_of(one)
    assert list(settings["tasks"][0]["run_job_task"]["job_parameters"].values()) == texts
    loop = settings["tasks"][1]["for_each_task"]
    assert loop["inputs"] == "{{job.parameters.regions}}"
    assert loop["task"]["notebook_task"]["base_parameters"] == {"r": "{{i}}"}
    assert settings["parameters"] == [
        {"name": "day", "default": "{{job.start_time.iso_date}}"},
        {"name": "regions", "default": '["eu","us"]'},
    ]


SCHEDULE = {"quartz_cron_expression": "0 0 2 * * ?", "timezone_id": "UTC"}


def cluster(number: int) -> dict[str, Any]:
    return {"job_cluster_key": f"c{number}", "new_cluster": {"num_workers": 0}}


def trigger(kind: str, **fields: Any) -> dict[str, Any]:
    return {"trigger": {kind: fields}}


def git(**fields: Any) -> dict[str, Any]:
    return {"git_source": {"git_url": "https://x", "git_provider": "gitHub", **fields}}


HOOKS = [{"id": str(n)} for n in range(4)]
OWNER = {"permission_level": "IS_OWNER", "user_name": "a@b.c"}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"shedule": {}}, "job_config.shedule: unknown key 'shedule' (did you mean schedule?)"),
    (
        {"schedule": {"quartz_cron_expression": "0 0 2 * * ?"}},
        "job_config.schedule: timezone_id is missing",
    ),
    (
        {"schedule": {**SCHEDULE, "quartz_cron_expression": "0 2 * * *"}},
        "job_config.schedule.quartz_cron_expression: a Quartz expression has 6 or 7 fields",
    ),
    (
        {"schedule": {**SCHEDULE, "pause_status": "paused"}},
        (
            "job_config.schedule.pause_status: 'paused' is not a known word here"
            " (did you mean PAUSED?)"
        ),
    ),
    (
        {"schedule": SCHEDULE, "continuous": {}},
        "schedule and continuous exclude each other",
    ),
    (
        {"schedule": SCHEDULE, "trigger": {"periodic": {"interval": 1, "unit": "DAYS"}}},
        "schedule and trigger exclude each other",
    ),
    ({"trigger": {}}, "periodic or file_arrival or table_update or model is missing"),
    ({"trigger": {"cron": "x"}}, "job_config.trigger.cron: unknown key 'cron'"),
    ({"queue": {"enable": True}}, "unknown key 'enable' (did you mean enabled?)"),
    ({"edit_mode": "LOCKED"}, "job_config.edit_mode: 'LOCKED' is not a known word"),
    ({"tags": {"lakeflow_meta_module": "x"}}, "tag 'lakeflow_meta_module' is reserved"),
    ({"tags": {f"t{n}": "" for n in range(24)}}, "24 tags; 23 are possible"),
    ({"parameters": [{"name": "a", "default": 1}] * 2}, "name 'a' is written 2 times"),
    ({"parameters": {"a": None}}, "a parameter has a value"),
    ({"max_concurrent_runs": "2"}, "job_config.max_concurrent_runs"),
    ({"run_as": {}}, "user_name or service_principal_name or group_name is missing"),
    ({"tags": {"": "x"}}, "a tag has no name"),
    ({"name": "ü" * 2049}, "job_config.name: name has 4098 bytes; a job takes 4096"),
    ({"description": "x" * 27_701}, "description has 27701 bytes; a job takes 27700"),
    ({"max_concurrent_runs": 1001}, "job_config.max_concurrent_runs"),
    ({"timeout_seconds": 2**31}, "job_config.timeout_seconds"),
    ({"job_clusters": [cluster(n) for n in range(101)]}, "at most 100 items"),
    ({"job_clusters": [{**cluster(1), "job_cluster_key": "a b"}]}, "job_cluster_key"),
    ({"job_clusters": [{**cluster(1), "job_cluster_key": "a" * 101}]}, "job_cluster_key"),
    ({"environments": [{"environment_key": f"e{n}"} for n in range(11)]}, "at most 10 items"),
    ({"environments": [{"environment_key": "a.b"}]}, "environment_key"),
    ({"parameters": {"a b": "x"}}, "job_config.parameters[0].name"),
    ({"schedule": {**SCHEDULE, "timezone_id": "Europe/Berlim"}}, "did you mean Europe/Berlin?"),
    (trigger("periodic", interval=0, unit="DAYS"), "job_config.trigger.periodic.interval"),
    (trigger("periodic", interval=1, unit="MONTHS"), "'MONTHS' is not a known word"),
    (trigger("file_arrival", url="/V/", min_time_between_triggers_seconds=59), "equal to 60"),
    (trigger("file_arrival", url="/V/", wait_after_last_change_seconds=1), "equal to 60"),
    (trigger("table_update", table_names=["a.b"]), "'a.b' has 2 part(s)"),
    (trigger("table_update", table_names=[]), "job_config.trigger.table_update.table_names"),
    (git(git_url="x" * 301), "job_config.git_source.git_url"),
    (git(git_branch="x" * 256), "job_config.git_source.git_branch"),
    (git(git_commit="x" * 65), "job_config.git_source.git_commit"),
    (git(git_branch="a", git_tag="b"), "git_branch and git_tag exclude each other"),
    (git(git_provider="svn"), "'svn' is not a known word"),
    ({"webhook_notifications": {"on_start": HOOKS}}, "at most 3 items"),
    ({"email_notifications": {"on_start": [""]}}, "job_config.email_notifications.on_start[0]"),
    (
        {"notification_settings": {"alert_on_last_attempt": True}},
        "alert_on_last_attempt belongs to a task",
    ),
    ({"permissions": [OWNER, OWNER]}, "a@b.c is written 2 times; keep one"),
    ({"permissions": [OWNER, {**OWNER, "user_name": "d@e.f"}]}, "2 owners; a job has exactly one"),
    (
        {"permissions": [{"permission_level": "IS_OWNER", "group_name": "g"}]},
        "a group cannot own a job",
    ),
    (
        {"schedule": SCHEDULE, "extra": {"trigger": {"model": {}}}},
        "job_config.extra: schedule and trigger exclude each other",
    ),
    (
        {"continuous": {}, "extra": {"triggers": []}},
        "job_config.extra: continuous and triggers exclude each other",
    ),
    ({"extra": {"name": "x"}}, "job_config.extra.name: name is already set by its own key"),
    ({"extra": {"tasks": []}}, "job_config.extra.tasks: tasks is already set by its own key"),
]


@pytest.mark.parametrize(("config", "expected"), WRONG)
def test_what_is_wrong_with_a_job_is_named_with_its_place(
    config: dict[str, Any], expected: str
) -> None:
    found = problems(module(source("a"), config=config))
    assert any(expected in problem for problem in found), found


def test_a_name_by_the_template_is_measured_as_well() -> None:
    context = JobContext(TABLE, name_template="x" * 4096 + "{module_name}")
    assert "name has 4101 bytes" in problems(module(source("a")), context)[0]


def test_a_job_of_more_than_a_request_takes_is_refused() -> None:
    parameters = {"p": "x" * 900_000}
    sources = [
        Source(
            "sales",
            f"s{n}",
            transformation_config={
                "task_type": "notebook",
                "file_path": "/n",
                "parameters": parameters,
            },
        )
        for n in range(12)
    ]
    assert problems(module(*sources[:11])) == []
    assert "bytes; a request takes 10,485,760" in problems(module(*sources))[0]


def test_room_is_left_for_the_environment_of_our_own_tasks() -> None:
    context = JobContext(
        TABLE,
        package_task={"environment_key": "lakeflow_meta"},
        package_compute={"environments": {"environment_key": "lakeflow_meta"}},
    )
    ten = {"environments": [{"environment_key": f"e{n}"} for n in range(10)]}
    ours = Source("sales", "a", transformation_config={"task_type": "ingest"})
    assert problems(module(source("a"), config=ten), context) == []
    assert "own tasks need one; a job takes 10" in problems(module(ours, config=ten), context)[0]
    tables = module(source("a"), config=ten, tables=("c.s.t",))
    assert "own tasks need one; a job takes 10" in problems(tables, context)[0]


def test_a_task_inside_a_loop_names_what_the_job_has() -> None:
    inner = {"task_type": "run_job", "job_id": 1, "job_cluster_key": "x"}
    loop = {"task_type": "for_each", "inputs": "[]", "task": inner}
    one = module(Source("sales", "loop", transformation_config=loop))
    assert problems(one) == [
        (
            "sources[0].transformation_config.task.job_cluster_key: job_cluster_key 'x' is not"
            " among the job's job_clusters (add it to job_config.job_clusters)"
        )
    ]
    clusters = {"job_clusters": [{"job_cluster_key": "x", "new_cluster": {}}]}
    assert problems(module(*one.sources, config=clusters)) == []
    assert problems(module(*one.sources, config={"extra": clusters})) == []


@pytest.mark.parametrize(
    "task",
    [
        {"task_type": "notebook", "file_path": "n", "source": "GIT"},
        {"task_type": "sql_file", "file_path": "n", "file_source": "GIT"},
        {"task_type": "spark_python", "file_path": "n", "source": "GIT"},
        {"task_type": "dbt", "commands": "dbt run", "source": "GIT"},
    ],
)
def test_what_is_read_from_git_needs_a_repository(task: dict[str, Any]) -> None:
    one = Source("sales", "a", transformation_config=task)
    assert "source GIT, and the job has no git_source" in problems(module(one))[0]
    assert problems(module(one, config=git())) == []


SERVERLESS = [
    ({"task_type": "python_wheel", "package_name": "p", "entry_point": "e"}, True),
    ({"task_type": "spark_python", "file_path": "/f.py"}, True),
    ({"task_type": "dbt", "commands": "dbt run", "warehouse_id": "w"}, True),
    ({"task_type": "notebook", "file_path": "/n"}, False),
    ({"task_type": "sql_query", "query_id": "q", "warehouse_id": "w"}, False),
    ({"task_type": "ingest"}, False),
]


@pytest.mark.parametrize(("task", "refused"), SERVERLESS)
def test_python_on_a_platform_needs_a_cluster_or_an_environment(
    task: dict[str, Any], refused: bool
) -> None:
    platform = JobContext(TABLE, require_warehouse=True)
    one = module(Source("sales", "a", transformation_config=task))
    found = problems(one, platform)
    assert ["names neither a cluster nor an environment" in text for text in found] == (
        [True] if refused else []
    )
    assert problems(one) == []
    there = {**task, "existing_cluster_id": "c"}
    assert problems(module(Source("sales", "a", transformation_config=there)), platform) == []


def test_a_task_without_a_cluster_takes_no_libraries() -> None:
    platform = JobContext(TABLE, require_warehouse=True)
    one = module(source("a", libraries=[{"pypi": {"package": "x"}}]))
    assert "a task without a cluster takes no libraries" in problems(one, platform)[0]
    with_cluster = source("a", libraries=[{"pypi": {"package": "x"}}], existing_cluster_id="c")
    assert problems(module(with_cluster), platform) == []


def test_cycles_are_shown_as_a_path() -> None:
    one = module(source("a", depends_on=["b"]), source("b", depends_on=["a"]))
    assert "sources wait for each other: a → b → a" in problems(one)[0]


def test_an_order_and_a_dependency_that_contradict_are_a_cycle() -> None:
    assert "x → y → x" in problems(module(source("x", 1, depends_on=["y"]), source("y", 2)))[0]


def test_dangling_and_self_dependencies_are_named() -> None:
    one = module(source("load"), source("b", depends_on=["laod", "b"]))
    assert problems(one) == [
        (
            "sources[1].transformation_config.depends_on[0]: depends on 'laod', which is no active"
            " source of the module (did you mean load?)"
        ),
        "sources[1].transformation_config.depends_on[1]: 'b' depends on itself (remove it)",
    ]


def test_repeated_ids_and_ids_with_one_key_are_refused() -> None:
    one = module(source("a.b"), source("a b"), source("x"), source("x"))
    found = problems(one)
    assert (
        "sources[1].source_id: task key 'a_b' of source 'a b' is that of source 'a.b'" in found[0]
    )
    assert "sources[3].source_id: source_id 'x' is written twice" in found[1]
    assert len(found) == 2


def test_a_source_cannot_take_the_key_of_our_own_task() -> None:
    assert problems(module(source("_ddl"))) == []
    found = problems(module(source("_ddl"), ddl_targets=("t",)))
    assert "is that of the module's own task for ddl_targets" in found[0]


def test_clusters_and_environments_that_the_job_does_not_have_are_named() -> None:
    clusters = [{"job_cluster_key": "main", "new_cluster": {"num_workers": 0}}]
    one = module(
        source("a", job_cluster_key="mian"),
        source("b", environment_key="e"),
        config={"job_clusters": clusters},
    )
    found = problems(one)
    assert "sources[0].transformation_config.job_cluster_key" in found[0]
    assert "did you mean main?" in found[0]
    assert "add it to job_config.environments" in found[1]


def test_a_thousand_tasks_are_the_most() -> None:
    assert problems(module(*[source(f"s{n}") for n in range(1000)])) == []
    found = problems(module(*[source(f"s{n}") for n in range(1000)], tables=("c.s.t",)))
    assert "1001 tasks; a job takes 1000" in found[0]


def test_everything_that_is_wrong_is_found_at_once_and_named_by_source() -> None:
    one = module(
        source("a", run_iff=1), source("b", depends_on=["zz"]), config={"queue": {}, "nam": "x"}
    )
    assert len(problems(one)) == 4
    with pytest.raises(SpecError) as raised:
        build_job(one, CONTEXT)
    assert "sales/a: transformation_config.run_iff: unknown key 'run_iff'" in str(raised.value)
    assert len(raised.value.problems) == 4


def test_a_long_chain_in_any_order_is_checked_and_built_quickly() -> None:
    sources = [
        source(f"s{n:04}", None, depends_on=[f"s{n - 1:04}"] if n else []) for n in range(1000)
    ]
    random.Random(3).shuffle(sources)  # noqa: S311 (no secret)
    started = time.monotonic()
    assert len(settings_of(module(*sources))["tasks"]) == 1000
    assert time.monotonic() - started < 5
