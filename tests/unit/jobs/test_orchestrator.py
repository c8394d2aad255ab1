"""Jobs are made to match the modules: in place, once, and again without effect."""

import json
from typing import Any

import pytest

from lakeflow_meta.control.tables import EVENTS, JOBS, SOURCES, STATE, ControlTables
from lakeflow_meta.errors import BackendError, ConfigError, NotFoundError, RunFailedError
from lakeflow_meta.jobs.outcomes import raise_failures
from lakeflow_meta.jobs.ownership import ownership_tags
from lakeflow_meta.jobs.tasks import JobContext
from lakeflow_meta.ports import RunState
from lakeflow_meta.progress import Event
from lakeflow_meta.testing.crash import CrashPoint

World = Any
TABLES = ControlTables.named("main.lakeflow.etl_control")
SCHEDULE = {"quartz_cron_expression": "0 0 2 * * ?", "timezone_id": "UTC"}


def events(world: World) -> list[tuple[str, str]]:
    rows = world.store.read(TABLES.of(EVENTS)).to_pylist()
    return [(row["object"], row["action"]) for row in rows]


def test_a_module_gets_one_job_and_what_was_applied_is_recorded(world: World) -> None:
    world.source("sales")
    assert world.apply() == {"sales": "created"}
    [(job_id, settings)] = world.live.items()
    assert settings["tags"] == ownership_tags(str(TABLES.sources), "sales")
    record = world.records["sales"]
    assert (record["job_id"], record["job_name"], record["is_active"]) == (job_id, "sales", True)
    assert record["control_version"] == world.store.version(TABLES.sources)
    assert list(json.loads(record["applied_state"])["sources"]) == ["a"]
    assert events(world) == [("sales", "created")]


def test_a_second_apply_makes_no_write_and_no_commit(world: World) -> None:
    world.source("sales")
    world.source("hr", sql_query="SELECT 1")
    world.module("hr", schedule=SCHEDULE)
    world.apply()
    world.source("later", is_active=False)
    versions, writes = world.versions(), len(world.jobs.writes)
    merges = world.store.calls["merge"]
    world.queries.calls.clear()
    assert world.apply() == {"hr": "unchanged", "sales": "unchanged"}
    assert world.versions() == versions
    assert world.store.calls["merge"] == merges
    assert len(world.jobs.writes) == writes
    assert world.queries.calls == ["get_query"]


def test_an_update_keeps_the_id_and_sends_only_what_differs(world: World) -> None:
    world.source("sales", "a")
    world.source("sales", "b")
    world.source("sales", "gone")
    world.apply()
    job_id = world.records["sales"]["job_id"]
    world.source("sales", "b", task_type="run_job", job_id=2)
    world.source("sales", "gone", is_active=False)
    assert world.apply() == {"sales": "updated"}
    [update] = world.jobs.calls_of("update_job")
    assert update.arguments == {
        "job_id": job_id,
        "settings": {"tasks": [{"task_key": "b", "run_job_task": {"job_id": 2}}]},
        "fields_to_remove": ("tasks/gone",),
    }
    assert world.records["sales"]["job_id"] == job_id
    assert [task["task_key"] for task in world.job("sales")["tasks"]] == ["a", "b"]


def test_a_change_that_is_none_for_the_job_is_recorded_and_sends_nothing(world: World) -> None:
    world.source("sales")
    world.apply()
    before = world.records["sales"]
    table = TABLES.of(SOURCES)
    row = {"module_name": "sales", "source_id": "a", "source_config": '{"x":1}'}
    world.store.merge(table, [row], keys=SOURCES.keys)
    assert world.apply() == {"sales": "unchanged"}
    assert world.jobs.calls_of("update_job") == []
    assert world.records["sales"]["applied_state"] != before["applied_state"]
    versions = world.versions()
    world.apply()
    assert world.versions() == versions


def test_a_pause_by_an_operator_outlives_updates_unless_metadata_names_it(world: World) -> None:
    world.source("sales")
    world.module("sales", schedule=SCHEDULE)
    world.apply()
    job_id = world.records["sales"]["job_id"]
    world.jobs.update_job(job_id, {"schedule": {**SCHEDULE, "pause_status": "PAUSED"}})
    assert world.apply() == {"sales": "unchanged"}
    later = {**SCHEDULE, "quartz_cron_expression": "0 0 3 * * ?"}
    world.module("sales", schedule=later)
    assert world.apply() == {"sales": "updated"}
    assert world.job("sales")["schedule"] == {**later, "pause_status": "PAUSED"}
    world.module("sales", trigger={"periodic": {"interval": 1, "unit": "DAYS"}})
    world.apply()
    assert world.job("sales")["trigger"]["pause_status"] == "PAUSED"
    assert "schedule" not in world.job("sales")
    world.module("sales", schedule={**SCHEDULE, "pause_status": "UNPAUSED"})
    world.apply()
    assert world.job("sales")["schedule"] == {**SCHEDULE, "pause_status": "UNPAUSED"}


def test_a_plan_says_what_an_apply_does_and_touches_nothing(world: World) -> None:
    for name in ("new", "same", "changed", "gone"):
        world.source(name)
    world.apply("same", "changed", "gone")
    world.source("changed", "b", sql_query="SELECT 1")
    world.source("broken", task_type="nonsense")
    world.remove("gone")
    versions, writes = world.versions(), len(world.jobs.writes)
    plan = world.orchestrator().plan()
    assert world.versions() == versions
    assert len(world.jobs.writes) == writes
    assert {action.module_name: action.kind.value for action in plan.actions} == {
        "broken": "failed",
        "changed": "update",
        "gone": "pause",
        "new": "create",
        "same": "unchanged",
    }
    assert "+ tasks/b/sql_query: SELECT 1" in plan.text()
    assert "same" not in plan.text()
    done = world.apply()
    assert done.pop("broken").startswith("failed")
    assert done == {
        "changed": "updated",
        "gone": "paused",
        "new": "created",
        "same": "unchanged",
    }
    assert world.orchestrator().plan(["same", "new", "changed", "gone"]).pending == ()


# --------------------------------------------------------------------------- lost and found


def test_a_job_that_was_deleted_by_hand_is_made_again(world: World) -> None:
    world.source("sales")
    world.apply()
    first = world.records["sales"]["job_id"]
    world.jobs.delete_job(first)
    assert world.apply() == {"sales": "recreated"}
    assert world.records["sales"]["job_id"] != first
    assert list(world.live) == [world.records["sales"]["job_id"]]
    assert events(world)[-1] == ("sales", "recreated")


@pytest.mark.parametrize("method", ["get_job", "list_jobs"])
@pytest.mark.parametrize("transient", [True, False])
def test_an_error_that_is_not_not_found_never_makes_a_job(
    world: World, method: str, transient: bool
) -> None:
    world.source("sales")
    world.apply()
    if method == "list_jobs":
        world.jobs.delete_job(world.records["sales"]["job_id"])
    before = world.live
    refused = BackendError("job 1 not found: permission denied", code="X", transient=transient)
    world.jobs.fail_on(method, error=refused)
    assert world.apply() == {"sales": "failed: job 1 not found: permission denied"}
    assert world.live == before
    assert len(world.jobs.calls_of("create_job")) == 1


def test_a_job_without_a_record_is_adopted_by_its_tags(world: World) -> None:
    world.source("sales")
    world.apply()
    before = world.live
    world.store.merge(TABLES.of(JOBS), [], keys=JOBS.keys, scope={})
    assert world.apply() == {"sales": "adopted"}
    assert world.live == before
    assert [world.records["sales"]["job_id"]] == list(before)
    assert world.apply() == {"sales": "unchanged"}


def test_a_job_of_another_control_table_is_never_touched(world: World) -> None:
    world.source("sales")
    tags = ownership_tags("main.other.etl_control", "sales")
    other = world.jobs.create_job({"name": "sales", "tags": tags})
    assert world.apply() == {"sales": "created"}
    row = {"module_name": "sales", "job_id": other}
    world.store.merge(TABLES.of(JOBS), [row], keys=JOBS.keys)
    assert "belongs to control table main-other" in world.apply()["sales"]
    assert world.jobs.get_job(other).settings == {"name": "sales", "tags": tags}


def test_without_sources_there_is_an_error_and_no_job(world: World) -> None:
    world.store.fail_on("version", error=NotFoundError("gone"))
    with pytest.raises(NotFoundError):
        world.orchestrator().apply()
    assert world.jobs.calls == []


def test_an_unreadable_tracking_table_makes_no_job(world: World) -> None:
    world.source("sales")
    world.store.fail_on("read", 4, error=BackendError("no permission"))
    with pytest.raises(BackendError, match="no permission"):
        world.orchestrator().apply()
    assert world.jobs.writes == []


def test_a_job_that_could_not_be_recorded_is_a_failure_and_is_found_again(world: World) -> None:
    world.source("sales")
    world.store.fail_on("append", error=BackendError("disk full"))
    assert world.apply() == {
        "sales": "failed: the job was created, but could not be recorded: disk full"
    }
    assert world.records == {}
    assert world.apply() == {"sales": "adopted"}
    assert len(world.live) == 1


def test_two_jobs_with_the_tags_of_one_module_are_reported(world: World) -> None:
    world.source("sales")
    world.apply()
    double = world.jobs.create_job(dict(world.job("sales")))
    [action] = world.orchestrator().plan().actions
    assert action.note == ""
    world.source("hr")
    world.store.merge(TABLES.of(JOBS), [], keys=JOBS.keys, scope={})
    _, action = world.orchestrator().plan().actions
    assert action.job_id != double
    assert str(double) in action.note


def test_many_recorded_jobs_are_read_in_pages(world: World) -> None:
    for number in range(60):
        world.source(f"m{number}")
    world.apply()
    world.jobs.calls.clear()
    assert set(world.apply().values()) == {"unchanged"}
    assert [call.method for call in world.jobs.calls] == ["list_jobs"]


# --------------------------------------------------------------------------- modules that go


def test_the_job_of_an_inactive_module_is_paused_and_comes_back(world: World) -> None:
    world.source("sales")
    world.module("sales", schedule=SCHEDULE)
    world.apply()
    world.module("sales", is_active=False, schedule=SCHEDULE)
    assert world.apply() == {"sales": "paused"}
    assert world.job("sales")["schedule"]["pause_status"] == "PAUSED"
    assert world.records["sales"]["is_active"] is False
    versions = world.versions()
    assert world.apply() == {"sales": "unchanged"}
    assert world.versions() == versions
    world.module("sales", schedule=SCHEDULE)
    [action] = world.orchestrator().plan().actions
    assert not action.drift
    assert world.apply() == {"sales": "updated"}
    assert world.job("sales")["schedule"]["pause_status"] == "UNPAUSED"
    assert world.records["sales"]["is_active"] is True
    assert world.apply() == {"sales": "unchanged"}


def test_a_job_that_was_paused_before_its_module_went_stays_paused_after(world: World) -> None:
    world.source("sales")
    world.module("sales", schedule=SCHEDULE)
    world.apply()
    job_id = world.records["sales"]["job_id"]
    world.jobs.update_job(job_id, {"schedule": {**SCHEDULE, "pause_status": "PAUSED"}})
    world.module("sales", is_active=False, schedule=SCHEDULE)
    assert world.apply() == {"sales": "paused"}
    world.module("sales", schedule=SCHEDULE)
    world.apply()
    assert world.job("sales")["schedule"]["pause_status"] == "PAUSED"


@pytest.mark.parametrize("prune", ["pause", "delete", "keep"])
def test_the_job_of_a_removed_module_is_paused_deleted_or_kept(world: World, prune: str) -> None:
    world.source("sales", sql_query="SELECT 1")
    world.module("sales", schedule=SCHEDULE)
    world.apply()
    before = world.live
    world.remove("sales")
    word = {"pause": "paused", "delete": "deleted", "keep": "unchanged"}[prune]
    assert world.apply(prune=prune) == {"sales": word}
    if prune == "delete":
        assert world.live == {}
        assert world.records == {}
        assert world.queries.list_queries() == []
    else:
        assert list(world.live) == list(before)
        assert (world.live == before) == (prune == "keep")
    versions = world.versions()
    assert world.apply(prune=prune) == ({} if prune == "delete" else {"sales": "unchanged"})
    assert world.versions() == versions


def test_a_job_without_our_tags_is_neither_paused_nor_deleted(world: World) -> None:
    world.source("sales")
    world.apply()
    job_id = world.records["sales"]["job_id"]
    world.jobs.update_job(job_id, {"tags": {"mine": "now"}})
    world.remove("sales")
    for prune in ("pause", "delete"):
        assert "does not carry this module's tags" in world.apply(prune=prune)["sales"]
    assert list(world.live) == [job_id]


@pytest.mark.parametrize("tags", [{}, ownership_tags("main.other.etl_control", "old")])
def test_a_retired_job_that_never_was_ours_is_left_alone_with_a_word_on_what_to_do(
    world: World, tags: dict[str, str]
) -> None:
    world.source("sales")
    job_id = world.jobs.create_job({"name": "of lakeflow-jobs-meta", "tags": tags})
    row = {"module_name": "old", "job_id": job_id, "job_name": "of lakeflow-jobs-meta"}
    world.store.merge(TABLES.of(JOBS), [row], keys=JOBS.keys)
    before = world.jobs.get_job(job_id)
    assert world.orchestrator().plan(["old"]).pending == ()
    for prune in ("pause", "delete"):
        outcome = next(o for o in world.outcomes(prune=prune) if o.module == "old")
        assert (outcome.action, outcome.failed) == ("unchanged", False)
        assert "delete the row of old from the jobs table" in outcome.note
    assert world.jobs.get_job(job_id) == before
    world.jobs.delete_job(job_id)
    assert world.apply()["old"] == "deleted"


def test_a_job_that_goes_between_two_looks_is_made_again_under_the_lock(world: World) -> None:
    for number in range(60):
        world.source(f"m{number}")
    world.apply()
    world.source("m7", task_type="run_job", job_id=2)
    job_id = world.records["m7"]["job_id"]
    first = world.store.read(TABLES.of(STATE)).to_pylist()[0]["fence"]

    class Gone(CrashPoint):
        """Somebody deletes the job after all jobs were listed."""

        def call(self, name: str, act: Any) -> Any:
            if name == "get_job" and job_id in world.live:
                world.jobs.delete_job(job_id)
            return super().call(name, act)

    outcomes = world.orchestrator(Gone()).apply()
    assert {o.module: o.action for o in outcomes}["m7"] == "recreated"
    assert len(world.live) == 60
    assert world.store.read(TABLES.of(STATE)).to_pylist()[0]["fence"] == first + 2


def test_under_the_lock_jobs_are_listed_without_their_tasks(world: World) -> None:
    world.source("sales")
    world.apply()
    assert [c.arguments for c in world.jobs.calls_of("list_jobs")] == [{"with_tasks": False}]
    for number in range(60):
        world.source(f"m{number}")
    world.apply()
    world.jobs.calls.clear()
    world.source("new")
    world.apply()
    assert [c.arguments for c in world.jobs.calls_of("list_jobs")] == [
        {"with_tasks": True},
        {"with_tasks": False},
    ]
    assert world.jobs.calls_of("get_job") == []


def test_a_module_whose_sources_are_all_inactive_has_its_job_paused(world: World) -> None:
    world.source("sales")
    world.source("idle", is_active=False)
    world.apply()
    assert set(world.records) == {"sales"}
    world.source("sales", is_active=False)
    assert world.apply() == {"sales": "paused"}
    [outcome] = world.outcomes()
    assert (outcome.action, outcome.wanted) == ("unchanged", False)


# --------------------------------------------------------------------------- failures


def test_one_bad_module_does_not_stop_the_others_and_is_named(world: World) -> None:
    for number in range(9):
        world.source(f"good{number}")
    world.source("bad", task_type="notebok")
    world.raw(module_name="torn", source_id="x", source_config="{")
    world.raw(module_name="good0", source_id="later", is_active=False)
    outcomes = world.outcomes()
    failed = {o.module: o.error for o in outcomes if o.failed}
    assert set(failed) == {"bad", "torn"}
    assert "did you mean notebook?" in (failed["bad"] or "")
    assert "torn/x: source_config is not JSON" in (failed["torn"] or "")
    assert len(world.live) == 9
    with pytest.raises(RunFailedError, match="2 of 11 modules failed") as raised:
        raise_failures(outcomes)
    assert raised.value.report == outcomes


def test_a_torn_row_leaves_the_job_of_its_module_as_it_is(world: World) -> None:
    world.source("sales")
    world.apply()
    before = world.live
    world.raw(module_name="sales", source_id="b", transformation_config="[]")
    assert "is JSON, but not an object" in world.apply()["sales"]
    assert world.live == before


def test_a_torn_record_fails_its_module_and_makes_no_second_job(world: World) -> None:
    world.source("sales")
    world.apply()
    row = {"module_name": "sales", "applied_state": "{"}
    world.store.merge(TABLES.of(JOBS), [row], keys=JOBS.keys)
    assert "applied_state is not JSON" in world.apply()["sales"]
    assert len(world.live) == 1


def test_a_module_that_nobody_recorded_is_refused_with_the_nearest_name(world: World) -> None:
    world.source("sales")
    with pytest.raises(ConfigError, match="did you mean sales"):
        world.orchestrator().apply(["salse"])
    assert world.jobs.calls == []


@pytest.mark.parametrize("options", [{"prune": "drop"}, {"on_drift": "ignore"}])
def test_unknown_choices_are_refused(world: World, options: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        world.orchestrator().apply(**options)


def test_only_named_modules_are_applied(world: World) -> None:
    world.source("sales")
    world.source("hr")
    assert world.apply("hr") == {"hr": "created"}
    assert set(world.records) == {"hr"}


def test_progress_tells_of_every_module(world: World) -> None:
    world.source("sales")
    world.source("bad", task_type="x")
    seen: list[Event] = []
    world.orchestrator(progress=seen.append).plan()
    world.orchestrator(progress=seen.append).apply()
    told = [(event.step, event.key, event.state.value, event.done, event.total) for event in seen]
    assert told == [
        ("plan", "bad", "failed", 1, 2),
        ("plan", "sales", "done", 2, 2),
        ("apply", "bad", "failed", 1, 2),
        ("list", "jobs", "started", 0, 0),
        ("list", "jobs", "done", 0, 0),
        ("apply", "sales", "done", 2, 2),
    ]


# --------------------------------------------------------------------------- inline SQL


def test_inline_sql_is_one_query_through_its_whole_life(world: World) -> None:
    world.source("sales", "q", sql_query="SELECT 1", warehouse_id="w")
    world.source("sales", "b")
    for _ in range(3):
        world.apply()
    [query] = world.queries.list_queries()
    task = next(task for task in world.job("sales")["tasks"] if task["task_key"] == "q")
    assert task["sql_task"] == {"warehouse_id": "w", "query": {"query_id": query.query_id}}
    world.source("sales", "q", sql_query="SELECT 2", warehouse_id="w")
    writes = len(world.jobs.writes)
    assert world.apply() == {"sales": "updated"}
    assert len(world.jobs.writes) == writes
    assert world.queries.get_query(query.query_id).query_text == "SELECT 2"
    world.source("sales", "q", is_active=False)
    assert world.apply() == {"sales": "updated"}
    assert world.queries.list_queries() == []
    assert list(world.queries.trashed) == [query.query_id]
    assert world.apply() == {"sales": "unchanged"}


def test_a_query_that_was_trashed_by_hand_is_saved_again(world: World) -> None:
    world.source("sales", "q", sql_query="SELECT 1")
    world.apply()
    [query] = world.queries.list_queries()
    world.queries.trash_query(query.query_id)
    assert world.apply() == {"sales": "updated"}
    [fresh] = world.queries.list_queries()
    assert world.job("sales")["tasks"][0]["sql_task"]["query"]["query_id"] == fresh.query_id
    assert world.apply() == {"sales": "unchanged"}


def test_a_job_that_is_refused_leaves_no_query_behind(world: World) -> None:
    world.source("sales", "q", sql_query="SELECT 1")
    world.jobs.fail_on("create_job", error=BackendError("refused"))
    assert world.apply() == {"sales": "failed: refused"}
    assert world.queries.list_queries() == []
    assert world.apply() == {"sales": "created"}


def test_an_answer_that_was_lost_after_creation_ends_with_one_job_and_query(world: World) -> None:
    world.source("sales", "q", sql_query="SELECT 1")
    world.jobs.fail_on("create_job", when="after")
    assert world.apply()["sales"].startswith("failed")
    assert world.apply() == {"sales": "adopted"}
    [query] = world.queries.list_queries()
    assert len(world.live) == 1
    assert world.job("sales")["tasks"][0]["sql_task"]["query"]["query_id"] == query.query_id
    assert world.apply() == {"sales": "unchanged"}


def test_sql_without_a_warehouse_is_refused_where_the_platform_needs_one(world: World) -> None:
    world.source("sales", "q", sql_query="SELECT 1")
    context = JobContext("main.lakeflow.etl_control", require_warehouse=True)
    [outcome] = world.orchestrator(context=context).apply()
    assert "warehouse_id is missing" in (outcome.error or "")
    assert world.jobs.calls == []


# --------------------------------------------------------------------------- one module, and runs


def test_one_module_gives_its_job_id_or_an_error(world: World) -> None:
    world.source("sales")
    world.source("bad", task_type="x")
    world.source("idle", is_active=False)
    job_id = world.orchestrator().create_or_update_job("sales")
    assert world.orchestrator().create_or_update_job("sales") == job_id
    with pytest.raises(RunFailedError):
        world.orchestrator().create_or_update_job("bad")
    with pytest.raises(ConfigError, match="no job"):
        world.orchestrator().create_or_update_job("idle")


def test_a_job_runs_with_parameters_and_one_that_is_not_there_is_named(world: World) -> None:
    world.source("sales")
    world.module("sales", parameters={"day": "today"})
    with pytest.raises(ConfigError, match="apply it first"):
        world.orchestrator().run("sales")
    world.apply()
    run = world.orchestrator().run("sales", {"day": "monday"})
    assert run.state is RunState.SUCCESS
    assert world.jobs.calls_of("run_job")[0].arguments["parameters"] == {"day": "monday"}


def test_the_lock_is_given_back(world: World) -> None:
    world.source("sales")
    world.apply()
    [row] = world.store.read(TABLES.of(STATE)).to_pylist()
    assert json.loads(row["value"])["owner"] == ""
    started = world.clock()
    world.source("hr")
    world.apply()
    assert world.clock() == started
