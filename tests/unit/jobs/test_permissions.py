"""Permissions that metadata names are made so with the job, and only they."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.testing.crash import Crash, CrashPoint
from lakeflow_meta.testing.fake_jobs import ME

World = Any
VIEW, RUN, OWNER = "CAN_VIEW", "CAN_MANAGE_RUN", "IS_OWNER"
OWN = {"user_name": ME, "permission_level": OWNER}
BOB = {"user_name": "bob@example.com", "permission_level": "CAN_MANAGE"}


def group(name: str, level: str = VIEW) -> dict[str, str]:
    return {"group_name": name, "permission_level": level}


def named(world: World, *permissions: dict[str, str], module: str = "sales") -> None:
    world.source(module)
    world.module(module, permissions=list(permissions))


def granted(world: World, module: str = "sales") -> list[dict[str, str]]:
    found: list[dict[str, str]] = world.permissions.get(world.records[module]["job_id"])
    return sorted(found, key=lambda entry: json.dumps(entry, sort_keys=True))


def recorded(world: World) -> dict[str, str]:
    state = json.loads(world.records["sales"]["applied_state"])
    return dict(state.get("permissions", {}))


def calls(world: World) -> list[str]:
    found = [c.method for c in world.jobs.calls if "permissions" in c.method]
    world.jobs.calls.clear()
    return found


def test_a_new_job_gets_them_in_one_call_after_it_was_made(world: World) -> None:
    named(world, group("analysts"), group("eng", RUN))
    assert world.apply() == {"sales": "created"}
    assert [call.method for call in world.jobs.writes] == ["create_job", "update_permissions"]
    assert calls(world) == ["update_permissions"]
    assert granted(world) == [group("analysts"), group("eng", RUN), OWN]
    assert recorded(world) == {"group:analysts": VIEW, "group:eng": RUN}


def test_a_change_is_a_line_of_the_plan_and_one_call(world: World) -> None:
    named(world, group("analysts"))
    world.apply()
    world.permissions.update(world.records["sales"]["job_id"], [BOB])
    named(world, group("analysts", RUN), group("new"))
    plan = world.orchestrator().plan()
    assert plan.text().splitlines()[1:] == [
        "    ~ permissions/group:analysts: CAN_VIEW → CAN_MANAGE_RUN",
        "    + permissions/group:new: CAN_VIEW",
    ]
    assert not plan.actions[0].drift
    calls(world)
    assert world.apply() == {"sales": "updated"}
    assert calls(world) == ["get_permissions", "update_permissions"]
    assert granted(world) == [group("analysts", RUN), group("new"), BOB, OWN]


def test_whom_metadata_names_no_more_loses_it_and_others_keep_theirs(world: World) -> None:
    named(world, group("analysts"), group("eng"))
    world.apply()
    world.permissions.update(world.records["sales"]["job_id"], [BOB])
    named(world, group("analysts"))
    assert "- permissions/group:eng: CAN_VIEW" in world.orchestrator().plan().text()
    calls(world)
    assert world.apply() == {"sales": "updated"}
    assert calls(world) == ["get_permissions", "replace_permissions"]
    assert granted(world) == [group("analysts"), BOB, OWN]
    named(world)
    assert world.apply() == {"sales": "updated"}
    assert granted(world) == [BOB, OWN]
    assert recorded(world) == {}
    calls(world)
    assert world.apply() == {"sales": "unchanged"}
    assert calls(world) == []


def test_unchanged_ones_are_read_once_and_not_written_and_none_is_read_where_none_is_named(
    world: World,
) -> None:
    named(world, group("analysts"))
    for number in range(20):
        world.source(f"m{number}")
    world.apply()
    versions = world.versions()
    calls(world)
    assert set(world.apply().values()) == {"unchanged"}
    assert calls(world) == ["get_permissions"]
    assert world.versions() == versions


def test_what_people_change_is_drift_that_is_restored_or_left(world: World) -> None:
    named(world, group("analysts"))
    world.apply()
    world.permissions.update(world.records["sales"]["job_id"], [group("analysts", "CAN_MANAGE")])
    [action] = world.orchestrator().plan().actions
    assert [change.path for change in action.drift] == ["permissions/group:analysts"]
    [outcome] = world.outcomes(on_drift="report")
    assert (outcome.action, outcome.failed) == ("unchanged", False)
    assert outcome.to_dict()["drift"] == [
        {"path": "permissions/group:analysts", "before": "CAN_MANAGE", "after": VIEW}
    ]
    assert granted(world) == [group("analysts", "CAN_MANAGE"), OWN]
    assert world.apply() == {"sales": "updated"}
    assert granted(world) == [group("analysts"), OWN]


def test_an_owner_follows_another_who_can_still_manage(world: World) -> None:
    eve = {"user_name": "eve@example.com", "permission_level": OWNER}
    before = {**OWN, "permission_level": "CAN_MANAGE"}
    named(world, eve)
    assert world.apply() == {"sales": "created"}
    assert granted(world) == [before, eve]
    assert world.apply() == {"sales": "unchanged"}
    named(world)
    assert world.apply() == {"sales": "unchanged"}
    assert granted(world) == [before, eve]
    named(world, OWN)
    assert world.apply() == {"sales": "updated"}
    assert granted(world) == [{**eve, "permission_level": "CAN_MANAGE"}, OWN]


def test_a_refusal_fails_the_module_keeps_the_job_and_is_tried_again(world: World) -> None:
    named(world, group("nobody"))
    missing = NotFoundError("no group nobody", code="RESOURCE_DOES_NOT_EXIST")
    world.jobs.fail_on("update_permissions", error=missing)
    assert world.apply() == {
        "sales": "failed: the job was created, but not its permissions: no group nobody"
    }
    state = json.loads(world.records["sales"]["applied_state"])
    assert (state["module"], "permissions" in state) == ("", False)
    before = world.live
    assert world.apply() == {"sales": "updated"}
    assert world.live == before
    assert granted(world) == [group("nobody"), OWN]
    assert json.loads(world.records["sales"]["applied_state"])["module"]


def test_permissions_that_cannot_be_read_fail_the_module_and_nothing_is_written(
    world: World,
) -> None:
    named(world, group("analysts"))
    world.apply()
    world.source("sales", task_type="run_job", job_id=2)
    world.jobs.calls.clear()
    world.jobs.fail_on("get_permissions", error=BackendError("you may not", code="X"))
    assert world.apply() == {"sales": "failed: you may not"}
    assert world.jobs.writes == []


@pytest.mark.parametrize("method", ["update", "replace"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_the_call_the_next_run_completes_it(
    make_world: Callable[[], World], method: str, after: bool
) -> None:
    def prepared() -> World:
        world = make_world()
        named(world, group("analysts"), group("gone"))
        if method == "replace":
            world.apply()
            named(world, group("analysts"))
        return world

    counted, world = CrashPoint(), prepared()
    prepared().orchestrator(counted).apply()
    with pytest.raises(Crash):
        world.orchestrator(CrashPoint(counted.calls.index(method) + 1, after=after)).apply()
    assert world.apply()["sales"] in ("adopted", "updated", "unchanged")
    gone = [group("gone")] if method == "update" else []
    assert granted(world) == [group("analysts"), *gone, OWN]
    assert len(world.live) == 1
    assert world.apply() == {"sales": "unchanged"}


def test_a_pause_forgets_none_of_them(world: World) -> None:
    named(world, group("analysts"))
    world.apply()
    world.remove("sales")
    assert world.apply() == {"sales": "paused"}
    assert recorded(world) == {"group:analysts": VIEW}
    world.source("sales")
    world.apply()
    assert granted(world) == [OWN]
