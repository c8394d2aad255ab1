"""Whatever a module holds: it is refused with problems, or the platform takes its job.

Modules are made at random, most of them sound, some with one value replaced by nonsense. What
passes our checks is created and updated by the real SDK, over HTTP, at the strict stand-in.
"""

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from contract.jobs_stand_in import Workspace
from contract.stand_in_server import TOKEN
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.jobs import JobSettings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakeflow_meta.backends.databricks_jobs import DatabricksJobs
from lakeflow_meta.backends.workspace_calls import WorkspaceCalls
from lakeflow_meta.control.rows import Module, Source
from lakeflow_meta.errors import SpecError
from lakeflow_meta.jobs.field_check import check_fields
from lakeflow_meta.jobs.job_settings import JobContext, JobDefinition, build_job, check_module

TABLE = "main.lakeflow.etl_control"
CONTEXTS = [
    JobContext(TABLE),
    JobContext(
        TABLE,
        name_template="[dev] {module_name}",
        default_warehouse_id="w",
        require_warehouse=True,
        package_task={"environment_key": "lakeflow_meta"},
        package_compute={"environments": {"environment_key": "lakeflow_meta", "spec": {}}},
        package_options=("--target", "prod"),
    ),
]

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
words = st.text("abcdefgh_-", min_size=1, max_size=12)
plain = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | texts
nonsense = st.recursive(
    plain | st.sampled_from([0, 1, -1, 60, 2**31, "PAUSED", "true", "UTC", "{{job.id}}", "a.b.c"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | texts, inner, max_size=3),
    max_leaves=5,
)
values = st.booleans() | st.integers() | texts | st.lists(st.integers(), max_size=2)
parameters = st.dictionaries(words, values, max_size=3)
people = st.lists(st.sampled_from(["a@example.com", "b@example.com"]), max_size=2)
events = ["on_start", "on_success", "on_failure", "on_duration_warning_threshold_exceeded"]
emails = st.fixed_dictionaries({}, optional=dict.fromkeys(events, people))
hooks = st.lists(st.just({"id": "h"}), max_size=3)
webhooks = st.fixed_dictionaries({}, optional=dict.fromkeys(events, hooks))
health = st.just({"rules": [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 1}]})
seconds = st.integers(0, 2**31 - 1)
cluster = st.fixed_dictionaries(
    {"spark_version": st.just("16.4.x-scala2.12"), "node_type_id": words},
    optional={
        "num_workers": st.integers(0, 9),
        "autoscale": st.just({"min_workers": 1, "max_workers": 2}),
        "aws_attributes": st.just({"availability": "SPOT"}),
        "init_scripts": st.just([{"workspace": {"destination": "/x"}}]),
    },
)


def some(required: dict[str, Any], **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


def kind(task_type: str, **fields: Any) -> dict[str, Any]:
    return {"task_type": st.just(task_type), **fields}


WORK = [
    some({"notebook_path": words}, parameters=parameters, source=st.sampled_from(["WORKSPACE"])),
    some(kind("notebook", file_path=words), base_parameters=parameters),
    some({"sql_task": some({"sql_query": words}, warehouse_id=words, parameters=parameters)}),
    some(kind("sql_query", query_id=words | st.integers(1)), warehouse_id=words),
    some(kind("sql_file", file_path=words), file_source=st.just("WORKSPACE")),
    some(
        kind("python_wheel", package_name=words, entry_point=words, environment_key=st.just("e")),
        parameters=st.lists(values, max_size=3) | parameters,
    ),
    some(kind("spark_jar", main_class_name=words), parameters=st.lists(texts, max_size=2)),
    some(kind("spark_python", python_file=words, existing_cluster_id=words)),
    some(kind("pipeline", pipeline_id=words), full_refresh=st.booleans()),
    some(kind("dbt", commands=st.just("dbt run"), environment_key=st.just("e")), schema=words),
    some(kind("run_job", job_id=st.integers(1, 2**63 - 1)), job_parameters=parameters),
    some(kind("condition", op=st.sampled_from(["EQUAL_TO", "LESS_THAN"]), left=words, right=words)),
    some(kind("ingest")),
    some(kind("extract"), extracts=st.lists(texts.filter(bool), max_size=2)),
    some(kind("ddl"), targets=st.lists(words, max_size=2)),
    some(kind("tables"), tables=st.lists(words, max_size=2)),
]
inner_tasks = st.one_of(WORK)
loops = some(
    kind("for_each", inputs=st.just("{{job.parameters.x}}") | st.lists(words), task=inner_tasks),
    concurrency=st.integers(1, 100),
)
common = some(
    {},
    run_if=st.sampled_from(["ALL_DONE", "NONE_FAILED"]),
    description=texts,
    disabled=st.booleans(),
    timeout_seconds=seconds,
    job_cluster_key=st.just("c"),
    environment_key=st.just("e"),
    health=health,
    extra=st.sampled_from([{}, {"environment_variables_key": "prod"}, {"compute": {}}]),
)
noisy = some(
    {},
    max_retries=st.integers(-1, 5),
    min_retry_interval_millis=seconds,
    retry_on_timeout=st.booleans(),
    email_notifications=emails,
    webhook_notifications=webhooks,
    notification_settings=some(
        {}, alert_on_last_attempt=st.booleans(), no_alert_for_skipped_runs=st.booleans()
    ),
)
pauses = st.sampled_from(["PAUSED", "UNPAUSED"])
STARTERS: list[st.SearchStrategy[dict[str, Any]]] = [
    st.just({}),
    st.fixed_dictionaries(
        {
            "schedule": some(
                {"quartz_cron_expression": st.just("0 0 2 * * ?"), "timezone_id": st.just("UTC")},
                pause_status=pauses,
            )
        }
    ),
    st.fixed_dictionaries({"continuous": some({}, pause_status=pauses)}),
    st.fixed_dictionaries(
        {
            "trigger": st.sampled_from(
                [
                    {"periodic": {"interval": 1, "unit": "DAYS"}},
                    {"file_arrival": {"url": "/Volumes/a/b/c/"}},
                    {"table_update": {"table_names": ["a.b.c"], "condition": "ALL_UPDATED"}},
                    {"model": {"condition": "MODEL_CREATED"}},
                ]
            )
        }
    ),
]
job_fields = some(
    {"environments": st.just([{"environment_key": "e", "spec": {"environment_version": "4"}}])},
    name=texts.filter(bool),
    tags=st.dictionaries(words, st.none() | st.integers() | texts, max_size=3),
    parameters=parameters | st.just([{"name": "a", "default": 1}]),
    timeout_seconds=seconds,
    max_concurrent_runs=st.integers(0, 1000),
    queue=st.just({"enabled": True}),
    email_notifications=emails,
    webhook_notifications=webhooks,
    notification_settings=some({}, no_alert_for_canceled_runs=st.booleans()),
    health=health,
    run_as=st.just({"user_name": "a@example.com"}),
    edit_mode=st.sampled_from(["UI_LOCKED", "EDITABLE"]),
    performance_target=st.just("STANDARD"),
    git_source=st.just({"git_url": "https://x", "git_provider": "GITHUB", "git_branch": "b"}),
    permissions=st.just([{"group_name": "g", "permission_level": "CAN_VIEW"}]),
    extra=st.just({"usage_policy_id": "u"}),
)


@st.composite
def sources(draw: st.DrawFn, earlier: Sequence[str], conditions: set[str]) -> Source:
    config = draw(st.one_of([*WORK, loops]))
    more = draw(common)
    if config.get("task_type") != "condition":
        more |= draw(noisy)
    own = {"environment_key", "job_cluster_key", "existing_cluster_id"} & config.keys()
    for name in own:
        more.pop(name, None)
    if own:
        more.pop("job_cluster_key", None)
    if earlier and draw(st.booleans()):
        parents = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=2))
        more["depends_on"] = [
            {"task_key": p, "outcome": "true"} if p in conditions else p for p in parents
        ]
    ids = texts.filter(bool).filter(lambda text: text not in earlier)
    source_id = draw(ids)
    if config.get("task_type") == "condition":
        conditions.add(source_id)
    order = draw(st.none() | st.integers(0, 3)) if not earlier else None
    return Source("sales", source_id, execution_order=order, transformation_config=config | more)


@st.composite
def modules(draw: st.DrawFn) -> Module:
    config = draw(job_fields) | draw(st.one_of(STARTERS))
    if draw(st.booleans()):
        config["job_clusters"] = [{"job_cluster_key": "c", "new_cluster": draw(cluster)}]
    found: list[Source] = []
    conditions: set[str] = set()
    for _ in range(draw(st.integers(0, 4))):
        found.append(draw(sources([source.source_id for source in found], conditions)))
    if "job_clusters" not in config:
        for source in found:
            dict.pop(source.transformation_config, "job_cluster_key", None)  # type: ignore[arg-type]
    module = Module(
        "sales",
        config,
        draw(texts),
        draw(st.sampled_from([(), ("t",)])),
        sources=tuple(found),
        tables=draw(st.sampled_from([(), ("a.b.c",)])),
    )
    return spoiled(draw, module) if draw(st.integers(0, 2)) == 0 else module


def spoiled(draw: st.DrawFn, module: Module) -> Module:
    """The module with one value, anywhere in its configuration, replaced by nonsense."""
    whole = copy.deepcopy(
        [dict(module.job_config), *(dict(s.transformation_config) for s in module.sources)]
    )
    places = list(_places(whole))
    holder, key = draw(st.sampled_from(places))
    holder[key] = draw(nonsense)
    if not all(isinstance(part, dict) for part in whole):
        return module
    changed = [
        replace(source, transformation_config=part)
        for source, part in zip(module.sources, whole[1:], strict=True)
    ]
    return replace(module, job_config=whole[0], sources=tuple(changed))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    entries = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for key, inner in entries:
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    with Workspace(defaults=False).running() as place:
        yield place


@pytest.fixture(scope="module")
def jobs(workspace: Workspace) -> DatabricksJobs:
    client = WorkspaceClient(host=workspace.host, token=TOKEN)
    return DatabricksJobs(WorkspaceCalls(client, reads_per_second=1e5, writes_per_second=1e5))


outcomes: list[bool] = []


def kept(value: Any) -> Any:
    """What the SDK's types keep: they drop what is empty."""
    if isinstance(value, dict):
        inner = {name: kept(entry) for name, entry in value.items()}
        return {n: entry for n, entry in inner.items() if entry not in ([], None)}
    return [kept(entry) for entry in value] if isinstance(value, list) else value


def built(module: Module, context: JobContext, jobs: DatabricksJobs) -> JobDefinition | None:
    """The job, or None where it is refused with problems, or asks for what only others know."""
    if check_module(module, context=context):
        with pytest.raises(SpecError):
            build_job(module, context)
        return None
    definition = build_job(module, context)
    try:
        check_fields(module, unknown := jobs.unknown_fields(definition.settings), TABLE)
    except SpecError:
        return None
    return None if unknown else definition


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(modules(), st.sampled_from(CONTEXTS))
def test_a_module_is_refused_or_the_platform_takes_its_job(
    workspace: Workspace, jobs: DatabricksJobs, module: Module, context: JobContext
) -> None:
    definition = built(module, context, jobs)
    outcomes.append(definition is not None)
    if definition is None:
        return
    again = build_job(copy.deepcopy(module), context)
    assert json.dumps(again.settings) == json.dumps(definition.settings)
    assert again == definition
    filled = definition.with_queries({query.task_key: "q" for query in definition.queries})
    sent = dict(filled.settings)
    if not any("extra" in source.transformation_config for source in module.sources):
        assert JobSettings.from_dict(sent).as_dict() == kept(sent)
    job_id = jobs.create_job(sent)
    assert workspace.jobs[job_id].settings == sent
    jobs.update_job(job_id, sent)
    assert workspace.jobs[job_id].settings == sent
    jobs.delete_job(job_id)


def test_most_of_them_were_jobs() -> None:
    """Says that the test above tests something; it runs after it."""
    assert 0.4 < sum(outcomes) / len(outcomes) < 0.95
