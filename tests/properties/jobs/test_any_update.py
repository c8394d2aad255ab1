"""One update makes any job into any other, as the platform carries it out."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.backends.local.jobs.api_settings import changed_settings
from lakeflow_meta.control.rows import Module, Source
from lakeflow_meta.jobs.job_settings import JobContext, JobDefinition, build_job
from lakeflow_meta.jobs.plan import Action, ActionKind, plan_job
from lakeflow_meta.jobs.records import JobRecord, applied_record
from lakeflow_meta.ports import LiveJob

CONTEXT = JobContext("main.l.c")
KEYS = ["a", "b", "c", "d"]
TASKS = st.fixed_dictionaries(
    {"task_type": st.just("run_job"), "job_id": st.integers(1, 2)},
    optional={
        "timeout_seconds": st.integers(0, 2),
        "disabled": st.booleans(),
        "job_parameters": st.dictionaries(st.sampled_from("xy"), st.sampled_from("12")),
        "description": st.sampled_from(["", "d"]),
    },
)
NOTEBOOKS = st.fixed_dictionaries(
    {"notebook_path": st.sampled_from(["/n", "/m"])},
    optional={"parameters": st.dictionaries(st.sampled_from("xy"), st.sampled_from("12"))},
)
CLUSTER = {"job_cluster_key": "k", "new_cluster": {"num_workers": 1}}
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "timeout_seconds": st.integers(0, 2),
        "tags": st.dictionaries(st.sampled_from("xyz"), st.sampled_from("12")),
        "parameters": st.dictionaries(st.sampled_from("xyz"), st.sampled_from("12")),
        "email_notifications": st.dictionaries(
            st.sampled_from(["on_start", "on_failure"]), st.just(["a@b"])
        ),
        "queue": st.fixed_dictionaries({"enabled": st.booleans()}),
        "job_clusters": st.sampled_from([[], [CLUSTER], [{**CLUSTER, "job_cluster_key": "l"}]]),
    },
)
STARTERS = st.sampled_from(
    [
        {},
        {"continuous": {}},
        {"schedule": {"quartz_cron_expression": "0 0 2 * * ?", "timezone_id": "UTC"}},
        {"schedule": {"quartz_cron_expression": "0 0 3 * * ?", "timezone_id": "UTC"}},
        {"trigger": {"periodic": {"interval": 1, "unit": "DAYS"}}},
    ]
)


@st.composite
def modules(draw: st.DrawFn) -> Module:
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True, min_size=1))
    sources = tuple(
        Source(
            "m",
            key,
            execution_order=draw(st.sampled_from([1, 2, None])),
            transformation_config=draw(st.one_of(TASKS, NOTEBOOKS)),
        )
        for key in sorted(keys)
    )
    return Module("m", job_config={**draw(CONFIGS), **draw(STARTERS)}, sources=sources)


def record_of(definition: JobDefinition, module: Module) -> JobRecord:
    return applied_record(definition, module, 1, query_ids={}, permissions={}, control_version=0)


def sent(live: dict[str, Any], action: Action) -> dict[str, Any]:
    """What the platform makes of the update."""
    return changed_settings(live, action.settings, action.fields_to_remove)


@given(modules(), modules())
def test_one_update_makes_any_job_into_any_other_exactly(before: Module, after: Module) -> None:
    first, second = build_job(before, CONTEXT), build_job(after, CONTEXT)
    live = dict(first.settings)
    action = plan_job(second, LiveJob(1, live), record_of(first, before), adopted=False)
    changed = sent(live, action)
    assert by_key(changed) == by_key(dict(second.settings))
    again = plan_job(second, LiveJob(1, changed), record_of(second, after), adopted=False)
    assert again.kind is ActionKind.UNCHANGED
    assert not again.calls_platform


@given(modules(), modules())
def test_what_others_set_survives_every_update(before: Module, after: Module) -> None:
    first, second = build_job(before, CONTEXT), build_job(after, CONTEXT)
    theirs = {"webhook_notifications": {"on_start": [{"id": "ui"}]}, "max_concurrent_runs": 1}
    live = {**first.settings, **theirs}
    live["tasks"] = [{**task, "run_if": "ALL_DONE"} for task in first.settings["tasks"]]
    action = plan_job(second, LiveJob(1, live), record_of(first, before), adopted=False)
    changed = sent(live, action)
    assert {key: changed[key] for key in theirs} == theirs
    stayed = {t["task_key"] for t in first.settings["tasks"]}
    for task in changed["tasks"]:
        assert ("run_if" in task) == (task["task_key"] in stayed)


@given(modules(), modules())
def test_an_adopted_job_does_the_work_that_is_wanted_and_no_other(
    before: Module, after: Module
) -> None:
    first, second = build_job(before, CONTEXT), build_job(after, CONTEXT)
    live = dict(first.settings)
    action = plan_job(second, LiveJob(1, live), None, adopted=True)
    assert action.kind is ActionKind.ADOPT
    changed = sent(live, action)
    wanted = {task["task_key"]: task for task in second.settings["tasks"]}
    assert {task["task_key"] for task in changed["tasks"]} == set(wanted)
    for task in changed["tasks"]:
        work = {key for key in wanted[task["task_key"]] if key.endswith("_task")}
        assert {key for key in task if key.endswith("_task")} == work
    assert [key for key in changed if key in ("schedule", "trigger", "continuous")] == [
        key for key in second.settings if key in ("schedule", "trigger", "continuous")
    ]


def by_key(settings: dict[str, Any]) -> dict[str, Any]:
    keys = {"tasks": "task_key", "job_clusters": "job_cluster_key", "parameters": "name"}
    ordered = {
        name: sorted(settings[name], key=lambda entry, key=key: str(entry[key]))
        for name, key in keys.items()
        if settings.get(name)
    }
    rest = {name: value for name, value in settings.items() if name not in keys}
    for task in ordered["tasks"]:
        task.get("depends_on", []).sort(key=lambda entry: str(entry["task_key"]))
    return {**rest, **ordered}
