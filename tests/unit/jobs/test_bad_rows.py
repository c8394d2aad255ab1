"""Rows that people broke with SQL: their module fails with the reason, the others are done."""

from collections.abc import Mapping
from typing import Any

import pytest

from lakeflow_meta.control.rows import NO_MODULE
from lakeflow_meta.control.tables import JOBS, MODULES, SOURCES, TABLES, ControlTables
from lakeflow_meta.errors import ConfigError, RunFailedError
from lakeflow_meta.jobs.plan import ActionKind

World = Any
NAMES = ControlTables.named("main.lakeflow.etl_control")
SCHEDULE = {"quartz_cron_expression": "0 0 2 * * ?", "timezone_id": "UTC"}


def put(world: World, layout: Any, **row: Any) -> None:
    world.store.merge(NAMES.of(layout), [row], keys=layout.keys)


def add(world: World, layout: Any, **row: Any) -> None:
    world.store.append(NAMES.of(layout), [row])


def double(world: World, layout: Any) -> None:
    rows = world.store.read(NAMES.of(layout), where={"module_name": "bad"}).to_pylist()
    world.store.append(NAMES.of(layout), rows[:1])


@pytest.fixture
def applied(world: World) -> World:
    for name in ("bad", "good"):
        world.source(name)
        world.module(name, schedule=SCHEDULE)
    put(world, TABLES, table_name="c.s.t", module_name="bad", definition="{}")
    world.apply()
    world.source("good", "b")
    return world


DAMAGES = {
    "source": lambda w: put(w, SOURCES, module_name="bad", source_id="a", source_config="{"),
    "settings": lambda w: put(w, MODULES, module_name="bad", job_config="NaN"),
    "table": lambda w: put(w, TABLES, table_name="c.s.t", definition="[]"),
    "record": lambda w: put(w, JOBS, module_name="bad", applied_state="{"),
    "record without a job": lambda w: put(w, JOBS, module_name="bad", job_id=None),
    "two sources": lambda w: double(w, SOURCES),
    "two settings": lambda w: double(w, MODULES),
    "two tables": lambda w: double(w, TABLES),
    "two records": lambda w: double(w, JOBS),
    "a source without a name": lambda w: add(w, SOURCES, module_name="bad", source_id=None),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_module_fails_with_the_reason_its_job_stays_and_the_others_are_done(
    applied: World, damage: str
) -> None:
    DAMAGES[damage](applied)
    before: Mapping[int, Any] = applied.live
    plan = {a.module_name: a for a in applied.orchestrator().plan().actions}
    assert (plan["bad"].kind, plan["good"].kind) == (ActionKind.FAIL, ActionKind.UPDATE)
    outcomes = applied.apply()
    assert outcomes.pop("bad") == f"failed: {plan['bad'].error}"
    assert plan["bad"].error.startswith("main.lakeflow.etl_control")
    assert outcomes == {"good": "updated"}
    kept = {i: job for i, job in before.items() if job["name"] == "bad"}
    assert {i: applied.live[i] for i in kept} == kept
    with pytest.raises(RunFailedError, match="1 of 1"):
        applied.orchestrator().create_or_update_job("bad")


def test_a_row_of_no_module_fails_the_run_by_itself_but_not_that_of_a_named_module(
    applied: World,
) -> None:
    add(applied, SOURCES, module_name=None, source_id="a")
    outcomes = applied.apply()
    assert "NULL/a: module_name is empty" in outcomes.pop(NO_MODULE)
    assert outcomes == {"bad": "unchanged", "good": "updated"}
    assert applied.apply("good") == {"good": "unchanged"}


def test_a_job_whose_record_is_bad_is_no_orphan(applied: World) -> None:
    """Its module wants no job any more; but what its record says is not known."""
    applied.remove("bad")
    applied.store.merge(NAMES.of(TABLES), [], keys=TABLES.keys, scope={})
    put(applied, JOBS, module_name="bad", managed_fields="{")
    before = applied.live
    applied.source("new")
    assert applied.apply()["bad"].startswith("failed")
    assert all(applied.live[i] == job for i, job in before.items() if job["name"] == "bad")


def test_a_bad_record_that_is_deleted_is_made_again_from_the_tags(applied: World) -> None:
    put(applied, JOBS, module_name="bad", managed_fields="{")
    assert "delete the row" not in applied.apply()["bad"]
    put(applied, JOBS, module_name="bad", job_id=None, managed_fields="{}")
    assert "delete the row: the next apply finds the job again" in applied.apply()["bad"]
    applied.store.merge(NAMES.of(JOBS), [], keys=JOBS.keys, scope={"module_name": "bad"})
    before = len(applied.live)
    assert applied.apply()["bad"] == "adopted"
    assert len(applied.live) == before


def test_running_a_module_whose_record_is_bad_says_why_it_cannot_be(applied: World) -> None:
    put(applied, JOBS, module_name="bad", job_id=None)
    with pytest.raises(ConfigError, match="job_id is empty"):
        applied.orchestrator().run("bad")


def test_a_pause_that_fails_stays_to_be_done_and_forgets_nothing(world: World) -> None:
    world.source("sales")
    world.module("sales", schedule=SCHEDULE)
    world.apply()
    world.source("sales", is_active=False)
    world.jobs.fail_on("update_job")
    assert world.apply()["sales"].startswith("failed")
    assert world.records["sales"]["is_active"] is True
    assert world.apply() == {"sales": "paused"}
    assert world.records["sales"]["is_active"] is False
    world.source("sales")
    world.apply()
    assert world.job("sales")["schedule"]["pause_status"] == "UNPAUSED"


def test_a_module_that_is_back_before_its_pause_was_recorded_runs_again(world: World) -> None:
    world.source("sales")
    world.module("sales", schedule=SCHEDULE)
    world.apply()
    world.source("sales", is_active=False)
    world.jobs.fail_on("update_job", when="after")
    assert world.apply()["sales"].startswith("failed")
    assert world.job("sales")["schedule"]["pause_status"] == "PAUSED"
    world.source("sales")
    assert world.apply() == {"sales": "updated"}
    assert world.job("sales")["schedule"]["pause_status"] == "UNPAUSED"
