"""What others changed since the last apply: told apart from new metadata, restored or left."""

from typing import Any

import pytest

from lakeflow_meta.errors import ConfigError

World = Any
GROUP = {"group_name": "analysts", "permission_level": "CAN_VIEW"}


def prepared(world: World) -> int:
    """A job of every part that people can change."""
    world.source("sales", task_type="run_job", job_id=1, timeout_seconds=60)
    world.source("sales", "q", sql_query="SELECT 1")
    world.module("sales", permissions=[GROUP], tags={"team": "x"})
    world.apply()
    return int(world.records["sales"]["job_id"])


def edit_task(world: World, job_id: int, seconds: int) -> None:
    task = {"task_key": "a", "run_job_task": {"job_id": 1}, "timeout_seconds": seconds}
    world.jobs.update_job(job_id, {"tasks": [task]})


def test_drift_is_shown_and_restored_or_left_as_told(world: World) -> None:
    job_id = prepared(world)
    edit_task(world, job_id, 5)
    [action] = world.orchestrator().plan().actions
    assert [c.path for c in action.drift] == ["tasks/a/timeout_seconds"]
    assert action.lines() == [
        f"~ update sales (job {job_id}) changed on the platform",
        "    ~ tasks/a/timeout_seconds: 5 → 60",
    ]
    versions, writes = world.versions(), len(world.jobs.writes)
    [outcome] = world.outcomes(on_drift="report")
    assert outcome.to_dict() == {
        "module": "sales",
        "job_id": job_id,
        "action": "unchanged",
        "error": None,
        "note": "left as others changed it",
        "drift": [{"path": "tasks/a/timeout_seconds", "before": 5, "after": 60}],
    }
    assert (world.versions(), len(world.jobs.writes)) == (versions, writes)
    assert world.apply() == {"sales": "updated"}
    assert world.job("sales")["tasks"][0]["timeout_seconds"] == 60


def test_a_plan_that_reports_has_nothing_to_do_and_says_why(world: World) -> None:
    job_id = prepared(world)
    edit_task(world, job_id, 5)
    plan = world.orchestrator().plan(on_drift="report")
    assert plan.pending == ()
    [action] = plan.actions
    assert action.to_dict()["drift"] is True
    assert action.to_dict()["changes"] == []
    assert action.lines() == [
        f"= unchanged sales (job {job_id}) changed on the platform: left as others changed it",
        "    ! tasks/a/timeout_seconds: 5 → 60  (left)",
    ]


def test_a_saved_query_that_others_changed_or_trashed_is_drift_too(world: World) -> None:
    prepared(world)
    [query] = world.queries.list_queries()
    world.queries.update_query(query.query_id, query_text="SELECT 666")
    [action] = world.orchestrator().plan().actions
    assert [(c.path, c.before) for c in action.drift] == [("tasks/q/sql_query", "SELECT 666")]
    assert world.apply(on_drift="report") == {"sales": "unchanged"}
    assert world.queries.get_query(query.query_id).query_text == "SELECT 666"
    world.queries.trash_query(query.query_id)
    assert world.apply(on_drift="report") == {"sales": "unchanged"}
    assert world.queries.list_queries() == []
    assert world.apply() == {"sales": "updated"}
    [fresh] = world.queries.list_queries()
    assert fresh.query_text == "SELECT 1"
    assert world.apply() == {"sales": "unchanged"}


def test_metadata_that_changed_as_well_wins_over_all_of_its_job(world: World) -> None:
    job_id = prepared(world)
    edit_task(world, job_id, 5)
    world.module("sales", permissions=[GROUP], tags={"team": "y"})
    [action] = world.orchestrator().plan().actions
    assert action.drift == ()
    assert world.apply(on_drift="report") == {"sales": "updated"}
    assert world.job("sales")["tasks"][0]["timeout_seconds"] == 60


def test_permissions_that_metadata_changed_are_set_while_the_job_is_left(world: World) -> None:
    job_id = prepared(world)
    edit_task(world, job_id, 5)
    more = {"group_name": "eng", "permission_level": "CAN_VIEW"}
    world.module("sales", permissions=[GROUP, more], tags={"team": "x"})
    [action] = world.orchestrator().plan().actions
    assert action.lines()[1:] == [
        "    ~ tasks/a/timeout_seconds: 5 → 60  (changed on the platform)",
        "    + permissions/group:eng: CAN_VIEW",
    ]
    [outcome] = world.outcomes(on_drift="report")
    assert outcome.action == "updated"
    assert [change.path for change in outcome.drift] == ["tasks/a/timeout_seconds"]
    assert world.job("sales")["tasks"][0]["timeout_seconds"] == 5
    assert more in world.permissions.get(job_id)
    assert world.apply(on_drift="report") == {"sales": "unchanged"}


def test_a_job_that_we_paused_ourselves_is_no_drift(world: World) -> None:
    prepared(world)
    world.module("sales", is_active=False)
    world.apply()
    world.module("sales", permissions=[GROUP], tags={"team": "x"})
    [action] = world.orchestrator().plan().actions
    assert action.drift == ()


@pytest.mark.parametrize("word", ["keep", "ignore", ""])
def test_there_are_two_words_for_it(world: World, word: str) -> None:
    with pytest.raises(ConfigError, match="write restore or report"):
        world.orchestrator().plan(on_drift=word)
