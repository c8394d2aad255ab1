"""What a deployment wants, and what its jobs differ in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from lakeflow_meta.control.rows import Module, Source
from lakeflow_meta.control.yaml_nodes import read_document
from lakeflow_meta.errors import ConfigError, SpecError
from lakeflow_meta.jobs.deployed_package import DeployedPackage, read_package, without_package
from lakeflow_meta.jobs.deployment import (
    BuiltPackage,
    Deployment,
    DeploymentKind,
    wanted_deployment,
)
from lakeflow_meta.jobs.deployment_plan import (
    DeploymentRecord,
    JobStep,
    plan_unwanted,
    plan_wanted,
    read_deployment_record,
)
from lakeflow_meta.jobs.job_context import JobContext
from lakeflow_meta.jobs.job_settings import build_job, check_module
from lakeflow_meta.jobs.ownership import owner
from lakeflow_meta.jobs.plan import ActionKind
from lakeflow_meta.ports import LiveJob
from lakeflow_meta.settings import Layer, Settings, environment_layer, resolve

TABLE = "main.lakeflow.etl_control"
CONTEXT = JobContext(TABLE)
FOLDER = "/Volumes/main/lakeflow/packages/v 1"
BUILT = BuiltPackage("lakeflow_meta-1+g0.whl", b"wheel", ("databricks-sdk>=0.65,<1",))
MONITOR, ORCHESTRATOR = DeploymentKind.MONITOR, DeploymentKind.ORCHESTRATOR


def settings_of(**values: Any) -> Settings:
    given = {"target": "prod", "backend": "databricks", **values}
    return resolve([Layer("test", given)]).settings


def deployment(settings: Settings | None = None, **deploy: Any) -> Deployment:
    settings = settings or settings_of(deploy={"package_folder": FOLDER, **deploy})
    return wanted_deployment(settings, settings.deploy, BUILT, CONTEXT)


def parameters(wanted: Deployment, kind: DeploymentKind, task: int = 0) -> list[str]:
    tasks: list[dict[str, Any]] = wanted.jobs[kind].settings["tasks"]
    found: list[str] = tasks[task]["python_wheel_task"]["parameters"]
    return found


# --- what is wanted


def test_the_orchestrator_runs_at_times_and_the_monitor_without_end() -> None:
    wanted = deployment(schedule="0 30 6 * * ?", timezone_id="Europe/Berlin")
    orchestrator = wanted.jobs[ORCHESTRATOR].settings
    assert orchestrator["schedule"] == {
        "quartz_cron_expression": "0 30 6 * * ?",
        "timezone_id": "Europe/Berlin",
    }
    monitor = wanted.jobs[MONITOR].settings
    assert (monitor["continuous"], monitor["timeout_seconds"]) == ({}, 0)
    for settings in (orchestrator, monitor):
        assert settings["max_concurrent_runs"] == 1
        assert settings["queue"] == {"enabled": True}
        assert "retry" not in json.dumps(settings), "a continuous job may have no retry policy"
        assert settings["environments"] == [
            {
                "environment_key": "lakeflow_meta",
                "spec": {
                    "environment_version": "4",
                    "dependencies": [f"{FOLDER}/{BUILT.file_name}", "databricks-sdk>=0.65,<1"],
                },
            }
        ]
        assert {task["environment_key"] for task in settings["tasks"]} == {"lakeflow_meta"}


def test_both_run_our_commands_with_the_settings_of_the_deployment() -> None:
    wanted = deployment(metadata_volume="/Volumes/main/lakeflow/metadata/")
    [conf] = {path.rpartition("/")[0] for path in wanted.files if path.endswith("/prod.yml")}
    options = ["--conf", conf, "--target", "prod", "--control-table", TABLE]
    assert parameters(wanted, ORCHESTRATOR) == [*options, "apply"]
    volume = "/Volumes/main/lakeflow/metadata"
    assert parameters(wanted, MONITOR) == [*options, "monitor", volume, "--interval", "60"]


def test_without_a_monitor_the_orchestrator_reads_the_files_first() -> None:
    volume = "/Volumes/main/lakeflow/metadata"
    wanted = deployment(metadata_volume=volume, monitor_interval_seconds=None)
    assert set(wanted.jobs) == {ORCHESTRATOR}
    sync, apply = wanted.jobs[ORCHESTRATOR].settings["tasks"]
    assert sync["python_wheel_task"]["parameters"][-2:] == ["sync", volume]
    assert apply["depends_on"] == [{"task_key": "sync"}]
    assert len(deployment(monitor_interval_seconds=None).jobs[ORCHESTRATOR].settings["tasks"]) == 1


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"existing_cluster_id": "0101-abc"}, "existing_cluster_id"),
        (
            {"job_cluster": {"spark_version": "17.3.x-scala2.13", "num_workers": 1}},
            "job_cluster_key",
        ),
    ],
)
def test_on_a_cluster_the_wheel_is_a_library(given: dict[str, Any], key: str) -> None:
    settings = deployment(**given).jobs[MONITOR].settings
    [task] = settings["tasks"]
    assert key in task
    assert task["libraries"] == [
        {"whl": f"{FOLDER}/{BUILT.file_name}"},
        {"pypi": {"package": "databricks-sdk>=0.65,<1"}},
    ]
    assert "environments" not in settings
    assert ("job_clusters" in settings) == (key == "job_cluster_key")


def test_the_jobs_are_of_no_module() -> None:
    for kind, job in deployment().jobs.items():
        assert job.settings["tags"]["lakeflow_meta_deployment"] == kind
        assert owner(job.settings) is None


def test_settings_go_along_as_they_were_whatever_they_hold() -> None:
    settings = settings_of(
        host="https://laptop.test",
        profile="mine",
        actor="ann",
        warehouse_id="w1",
        job_name_template="[x] {module_name}",
        variables={"price": "${var.x} $$5", "n": 3, "list": [1, "a"]},
        deploy={"package_folder": FOLDER},
    )
    wanted = deployment(settings)
    [(path, text)] = [(p, c.decode()) for p, c in wanted.files.items() if p.endswith(".yml")]
    read = read_document(path, text, {})
    assert read.problems == ()
    there = resolve([Layer(path, {**read.value, "target": "prod"})]).settings
    assert there.portable() == settings.portable()
    assert (there.warehouse_id, there.variables["price"]) == ("w1", "${var.x} $$5")
    assert (there.host, there.profile, there.actor) == (None, None, "")


def test_other_settings_are_another_folder_and_the_same_the_same() -> None:
    one, same = deployment(), deployment(schedule="0 0 1 * * ?")
    other = deployment(settings_of(warehouse_id="w2", deploy={"package_folder": FOLDER}))
    assert one.package.settings == same.package.settings != other.package.settings


WRONG = [
    ({"package_folder": None}, r"deploy\.package_folder is not set; write /Volumes/"),
    ({"package_folder": "/Volumes/main/x"}, "write /Volumes/<catalog>/<schema>/<volume>"),
    ({"package_folder": "/tmp/x"}, "is no folder of a workspace"),  # noqa: S108 (nothing is there)
    ({"package_folder": "/Workspace/Shared/../x"}, r"without \.\."),
    ({"package_folder": "dist"}, "is no folder of a workspace"),
    ({"metadata_volume": "metadata"}, r"deploy\.metadata_volume 'metadata' is no folder"),
    ({"schedule": "0 2 * * *"}, "6 or 7 fields"),
    ({"timezone_id": ""}, "timezone_id"),
    ({"permissions": [{"user_name": "a", "permission_level": "CAN_EAT"}]}, "CAN_EAT"),
    ({"permissions": [{"user_name": "a", "permission_level": "IS_OWNER"}]}, "CAN_MANAGE"),
    ({"permissions": [{"permission_level": "CAN_VIEW"}]}, "is missing"),
    ({"run_as": {"user_name": "a", "service_principal_name": "b"}}, "exclude each other"),
    ({"environment_version": 1}, "environment_version"),
    ({"existing_cluster_id": "a", "job_cluster": {}}, "exclude each other"),
    ({"monitor_interval_seconds": 0.5}, "monitor_interval_seconds"),
    ({"packag_folder": "x"}, "did you mean package_folder"),
]


@pytest.mark.parametrize(("given", "message"), WRONG)
def test_what_cannot_be_is_refused_with_a_remedy(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        deployment(**given)


def test_options_of_the_command_line_win_and_are_checked() -> None:
    settings = settings_of(deploy={"package_folder": FOLDER, "schedule": "0 0 1 * * ?"})
    changed = settings.deploy.changed({"timezone_id": "Asia/Tokyo", "environment_version": "5"})
    assert (changed.schedule, changed.timezone_id) == ("0 0 1 * * ?", "Asia/Tokyo")
    with pytest.raises(ConfigError, match=r"deploy\.environment_version"):
        settings.deploy.changed({"environment_version": "latest"})


def test_layers_of_deploy_settings_are_merged_and_no_variable_is_taken_for_them() -> None:
    layers = [
        Layer("default.yml", {"deploy": {"package_folder": FOLDER, "environment_version": 5}}),
        Layer("prod.yml", {"deploy": {"schedule": "0 0 3 * * ?"}}),
        environment_layer({"LAKEFLOW_META_DEPLOY": "yes"}),
    ]
    deploy = resolve(layers).settings.deploy
    assert (deploy.package_folder, deploy.environment_version) == (FOLDER, "5")
    assert deploy.schedule == "0 0 3 * * ?"


def test_whom_the_jobs_run_as_and_who_may_manage_them_need_privileges() -> None:
    assert deployment().grants == ()
    wanted = deployment(
        metadata_volume="/Volumes/raw/in/metadata/x",
        run_as={"service_principal_name": "spn`1"},
        permissions=[
            {"group_name": "ops", "permission_level": "CAN_MANAGE"},
            {"user_name": "eve@x", "permission_level": "CAN_VIEW"},
        ],
    )
    assert wanted.grants == (
        "GRANT USE CATALOG ON CATALOG `main` TO `spn``1`",
        "GRANT USE SCHEMA, CREATE TABLE, SELECT, MODIFY ON SCHEMA `main`.`lakeflow` TO `spn``1`",
        "GRANT READ VOLUME ON VOLUME `main`.`lakeflow`.`packages` TO `spn``1`",
        "GRANT USE CATALOG ON CATALOG `raw` TO `spn``1`",
        "GRANT USE SCHEMA ON SCHEMA `raw`.`in` TO `spn``1`",
        "GRANT READ VOLUME ON VOLUME `raw`.`in`.`metadata` TO `spn``1`",
        "GRANT USE CATALOG ON CATALOG `main` TO `ops`",
        "GRANT USE SCHEMA, SELECT, MODIFY ON SCHEMA `main`.`lakeflow` TO `ops`",
        "GRANT USE CATALOG ON CATALOG `main` TO `eve@x`",
        "GRANT USE SCHEMA, SELECT ON SCHEMA `main`.`lakeflow` TO `eve@x`",
    )
    assert wanted.jobs[MONITOR].settings["run_as"] == {"service_principal_name": "spn`1"}


# --- what differs


def applied(kind: DeploymentKind, **deploy: Any) -> tuple[LiveJob, DeploymentRecord]:
    """A job as it is right after a deployment."""
    definition = deployment(**deploy).jobs[kind]
    live = LiveJob(7, definition.settings)
    record = plan_wanted(kind, definition, live, None, []).wanted
    assert record is not None
    return live, record


def step(kind: DeploymentKind, live: LiveJob, record: DeploymentRecord, **deploy: Any) -> JobStep:
    return plan_wanted(kind, deployment(**deploy).jobs[kind], live, record, [])


@pytest.mark.parametrize("kind", list(DeploymentKind))
def test_what_is_as_wanted_and_recorded_needs_nothing(kind: DeploymentKind) -> None:
    live, record = applied(kind)
    again = read_deployment_record(kind, record.to_json())
    assert again == record
    assert not step(kind, live, again).pending


def test_a_monitor_that_runs_something_older_is_restarted_until_that_is_recorded() -> None:
    live, record = applied(MONITOR)
    changed = step(MONITOR, live, record, environment_version="5")
    assert (changed.action.kind, changed.restart) == (ActionKind.UPDATE, True)
    now, _ = applied(MONITOR, environment_version="5")
    died_before_the_restart = step(MONITOR, now, record, environment_version="5")
    assert (died_before_the_restart.action.kind, died_before_the_restart.restart) == (
        ActionKind.UNCHANGED,
        True,
    )
    assert died_before_the_restart.pending
    _, restarted = applied(MONITOR, environment_version="5")
    assert not step(MONITOR, now, restarted, environment_version="5").pending


def test_nothing_is_restarted_that_starts_by_a_schedule_or_is_paused_or_runs_the_same() -> None:
    live, record = applied(ORCHESTRATOR)
    assert not step(ORCHESTRATOR, live, record, environment_version="5").restart
    live, record = applied(MONITOR)
    granted = step(
        MONITOR, live, record, permissions=[{"user_name": "b@x", "permission_level": "CAN_VIEW"}]
    )
    assert (len(granted.permissions), granted.restart) == (1, False)
    assert step(MONITOR, live, record, run_as={"user_name": "b@x"}).restart
    paused = LiveJob(7, {**live.settings, "continuous": {"pause_status": "PAUSED"}})
    changed = step(MONITOR, paused, record, environment_version="5")
    assert (changed.action.kind, changed.restart) == (ActionKind.UPDATE, False)
    assert "continuous" not in changed.action.settings, "a pause is the operator's"


def test_a_monitor_that_is_not_wanted_is_paused_and_comes_back_as_it_was() -> None:
    live, record = applied(MONITOR)
    gone = plan_unwanted(MONITOR, live, record)
    assert gone.action.settings == {"continuous": {"pause_status": "PAUSED"}}
    assert gone.restart
    assert gone.wanted is not None
    retired = read_deployment_record(MONITOR, gone.wanted.to_json())
    paused = LiveJob(7, {**live.settings, "continuous": {"pause_status": "PAUSED"}})
    assert not plan_unwanted(MONITOR, paused, retired).pending
    back = step(MONITOR, paused, retired)
    assert back.action.settings == {"continuous": {"pause_status": "UNPAUSED"}}


def test_a_record_that_was_lost_in_the_middle_of_a_pause_does_not_unpause_later() -> None:
    live, record = applied(MONITOR)
    paused = LiveJob(7, {**live.settings, "continuous": {"pause_status": "PAUSED"}})
    gone = plan_unwanted(MONITOR, paused, record)
    assert gone.wanted is not None
    assert gone.wanted.job.applied.paused_from == "PAUSED"
    assert not step(MONITOR, paused, gone.wanted).action.changes


def test_permissions_are_added_and_changed_and_an_owner_stays_one() -> None:
    wanted = [
        {"group_name": "ops", "permission_level": "CAN_MANAGE"},
        {"user_name": "me@x", "permission_level": "CAN_MANAGE"},
        {"user_name": "eve@x", "permission_level": "CAN_VIEW"},
    ]
    live, record = applied(MONITOR, permissions=wanted)
    granted = [
        {"user_name": "me@x", "permission_level": "IS_OWNER"},
        {"group_name": "ops", "permission_level": "CAN_VIEW"},
        {"user_name": "bob@x", "permission_level": "CAN_MANAGE"},
    ]
    definition = deployment(permissions=wanted).jobs[MONITOR]
    found = plan_wanted(MONITOR, definition, live, record, granted)
    assert [entry.get("group_name", entry.get("user_name")) for entry in found.permissions] == [
        "ops",
        "eve@x",
    ]
    assert found.action.kind is ActionKind.UPDATE
    given = [*granted, *wanted]
    assert not plan_wanted(MONITOR, definition, live, record, given).pending


@pytest.mark.parametrize("value", ["", "null", "[]", '{"job_id": "x"}', '{"job_id": 1}'])
def test_a_damaged_record_is_told_from_a_good_one(value: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_deployment_record(MONITOR, value)


# --- jobs of modules that need the package


PACKAGE = DeployedPackage("/V/w.whl", "/V/conf-1", "prod", ("sdk>=1",), environment_version="4")


def source(name: str, **config: Any) -> Source:
    return Source("sales", name, transformation_config=config)


def module(*sources: Source, **fields: Any) -> Module:
    return Module("sales", sources=sources, **fields)


def own(name: str = "files", **config: Any) -> Source:
    return source(name, task_type="ingest", **config)


def test_own_tasks_of_modules_get_the_package_and_others_do_not() -> None:
    context = PACKAGE.in_context(CONTEXT)
    other = source("other", task_type="run_job", job_id=1)
    settings = build_job(module(own(), other, tables=("a.b.c",)), context).settings
    tasks = {task["task_key"]: task for task in settings["tasks"]}
    assert tasks["files"]["environment_key"] == tasks["_tables"]["environment_key"]
    assert "environment_key" not in tasks["other"]
    assert tasks["files"]["python_wheel_task"]["parameters"][:6] == [
        *("--conf", "/V/conf-1", "--target", "prod", "--control-table", TABLE)
    ]
    [environment] = settings["environments"]
    assert environment["spec"]["dependencies"] == ["/V/w.whl", "sdk>=1"]
    assert "environments" not in build_job(module(other), context).settings


def test_the_package_is_found_inside_a_loop_and_beside_the_module_s_own_environments() -> None:
    looped = source(
        "loop", task_type="for_each", inputs="[1]", task={"task_type": "ingest", "max_retries": 1}
    )
    config = {"environments": [{"environment_key": "mine", "spec": {"client": "2"}}]}
    settings = build_job(module(looped, job_config=config), PACKAGE.in_context(CONTEXT)).settings
    assert [e["environment_key"] for e in settings["environments"]] == ["mine", "lakeflow_meta"]


def test_a_task_on_a_cluster_of_its_own_gets_the_wheel_as_a_library() -> None:
    context = PACKAGE.in_context(CONTEXT)
    built = build_job(module(own(existing_cluster_id="c")), context).settings
    [task] = built["tasks"]
    assert task["libraries"] == [{"whl": "/V/w.whl"}, {"pypi": {"package": "sdk>=1"}}]
    assert "environment_key" not in task
    assert "environments" not in built
    [brings] = build_job(
        module(own(existing_cluster_id="c", libraries=[{"whl": "/x"}])), context
    ).settings["tasks"]
    assert brings["libraries"] == [{"whl": "/x"}]
    on_a_cluster = replace(PACKAGE, existing_cluster_id="d").in_context(CONTEXT)
    config = {"environments": [{"environment_key": "mine"}]}
    serverless = build_job(module(own(environment_key="mine"), job_config=config), on_a_cluster)
    assert "libraries" not in serverless.settings["tasks"][0], "serverless tasks take none"


def test_without_a_deployed_package_only_modules_that_need_it_fail() -> None:
    context = without_package(CONTEXT)
    for needy in (module(own()), module(ddl_targets=("lake",)), module(tables=("a.b.c",))):
        assert check_module(needy, context=CONTEXT) == [], "validate knows no workspace"
        with pytest.raises(SpecError, match="run lakeflow-meta deploy first"):
            build_job(needy, context)
    build_job(module(source("a", task_type="run_job", job_id=1)), context)
    build_job(module(own(existing_cluster_id="c", libraries=[{"whl": "/x"}])), context)


@pytest.mark.parametrize("keyed", ["environments", "job_clusters"])
def test_the_key_of_the_package_is_reserved(keyed: str) -> None:
    entry = {f"{keyed.removesuffix('s')}_key": "lakeflow_meta", "new_cluster": {}}
    if keyed == "environments":
        entry.pop("new_cluster")
    [found] = check_module(module(own(), job_config={keyed: [entry]}), context=CONTEXT)
    assert "is that of this package's own tasks" in found.message


def test_what_is_remembered_of_a_package_reads_back_and_nothing_else_does() -> None:
    for package in (PACKAGE, replace(PACKAGE, job_cluster={"num_workers": 2})):
        assert read_package(json.loads(json.dumps(package.to_dict()))) == package
    for value in (None, [], {}, {"wheel": 1, "settings": "a", "target": "b"}, {"x": 1}):
        with pytest.raises(ValueError, match="describes no package"):
            read_package(value)
