"""A plan that was kept is carried out exactly, or not at all."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from lakeflow_meta.control.tables import JOBS, SOURCES, ControlTables
from lakeflow_meta.errors import BackendError, ConfigError, ConflictError
from lakeflow_meta.jobs.orchestrator import JobOrchestrator
from lakeflow_meta.jobs.ownership import ownership_tags
from lakeflow_meta.jobs.plan import JobsPlan
from lakeflow_meta.jobs.plan_file import plan_text, read_plan
from lakeflow_meta.ports import OUTCOME_UNKNOWN
from lakeflow_meta.testing import FakeJobs

World = Any
TABLES = ControlTables.named("main.lakeflow.etl_control")
SCHEDULE = {"quartz_cron_expression": "0 0 2 * * ?", "timezone_id": "UTC"}
GROUP = {"group_name": "analysts", "permission_level": "CAN_VIEW"}


def prepared(world: World) -> None:
    for name in ("changed", "gone", "same"):
        world.source(name, "q", sql_query="SELECT 1")
        world.module(name, schedule=SCHEDULE, permissions=[GROUP])
    world.apply()
    world.source("changed", "q", sql_query="SELECT 2")
    world.remove("gone")
    world.source("new", "q", sql_query="SELECT 3")


def kept(world: World, *modules: str, **options: Any) -> JobsPlan:
    """A plan that went through a file."""
    plan = world.orchestrator().plan(modules or None, keep=True, **options)
    return read_plan(plan_text(plan, "dev"), "plan.json", "dev")


def apply(world: World, plan: JobsPlan) -> dict[str, str]:
    outcomes = world.orchestrator().apply(plan=plan)
    return {o.module: f"failed: {o.error}" if o.failed else o.action for o in outcomes}


def state(world: World) -> tuple[Any, ...]:
    """Everything that an apply could write."""
    jobs = {i: world.permissions.get(i) for i in world.live}
    return world.live, world.queries.list_queries(), jobs, world.versions()


def refused(world: World, plan: JobsPlan) -> str:
    before, writes = state(world), len(world.jobs.writes)
    with pytest.raises(ConflictError) as raised:
        world.orchestrator().apply(plan=plan)
    assert (state(world), len(world.jobs.writes)) == (before, writes)
    return str(raised.value)


def test_a_plan_that_holds_is_carried_out(world: World) -> None:
    prepared(world)
    plan = kept(world)
    assert apply(world, plan) == {
        "changed": "updated",
        "gone": "paused",
        "new": "created",
        "same": "unchanged",
    }
    assert set(world.apply().values()) == {"unchanged"}


def test_a_plan_in_memory_is_applied_as_well(world: World) -> None:
    prepared(world)
    plan = world.orchestrator().plan()
    assert apply(world, plan)["new"] == "created"


def test_a_plan_has_its_own_modules_and_choices(world: World) -> None:
    prepared(world)
    plan = kept(world, "gone", "new", prune="delete")
    assert apply(world, plan) == {"gone": "deleted", "new": "created"}
    assert set(world.records) == {"changed", "new", "same"}
    for options in ({"modules": ["new"]}, {"prune": "pause"}, {"on_drift": "restore"}):
        with pytest.raises(ConfigError, match="leave that out"):
            world.orchestrator().apply(plan=plan, **options)


def test_a_plan_that_reports_drift_leaves_it(world: World) -> None:
    prepared(world)
    world.apply()
    job_id = world.records["same"]["job_id"]
    world.jobs.update_job(job_id, {"description": "mine"})
    world.module("same", schedule=SCHEDULE, permissions=[GROUP], description="ours")
    world.apply()
    world.jobs.update_job(job_id, {"description": "mine"})
    assert apply(world, kept(world, on_drift="report"))["same"] == "unchanged"
    assert apply(world, kept(world))["same"] == "updated"


def test_rows_that_changed_meanwhile_are_named_with_who_changed_them(world: World) -> None:
    prepared(world)
    plan = kept(world)
    row = {"module_name": "changed", "source_id": "q", "execution_order": 9}
    note = {"actor": "ann", "verb": "sql"}
    world.store.merge(TABLES.of(SOURCES), [row], keys=SOURCES.keys, note=note)
    version = world.store.version(TABLES.sources)
    assert refused(world, plan).splitlines()[1:] == [
        "  changed: its rows in the control tables were changed",
        f"  {TABLES.sources}: version {version - 1} → {version} ({version} by ann: sql)",
    ]


def test_a_new_module_makes_a_plan_of_everything_old_but_not_one_of_others(world: World) -> None:
    prepared(world)
    everything, some = kept(world), kept(world, "changed")
    world.source("newer")
    assert "newer: it was not there when the plan was made" in refused(world, everything)
    assert apply(world, some) == {"changed": "updated"}


def test_a_commit_that_changes_no_content_is_no_reason(world: World) -> None:
    prepared(world)
    plan = kept(world)
    rows = world.store.read(TABLES.of(JOBS)).to_pylist()
    world.store.merge(TABLES.of(JOBS), [], keys=JOBS.keys, scope={"module_name": "same"})
    world.store.append(TABLES.of(JOBS), [row for row in rows if row["module_name"] == "same"])
    assert apply(world, plan)["changed"] == "updated"


def test_a_job_that_changed_meanwhile_is_named_with_its_fields(world: World) -> None:
    prepared(world)
    plan = kept(world)
    job_id = world.records["same"]["job_id"]
    world.jobs.update_job(job_id, {"description": "mine", "timeout_seconds": 5})
    assert "same: its job was changed: description, timeout_seconds" in refused(world, plan)


def test_permissions_and_queries_that_changed_meanwhile_are_seen(world: World) -> None:
    prepared(world)
    plan = kept(world)
    bob = {"user_name": "bob@x", "permission_level": "CAN_VIEW"}
    world.permissions.update(world.records["same"]["job_id"], [bob])
    assert "same: its job was changed: permissions/user:bob@x" in refused(world, plan)
    plan = kept(world)
    query_id = json.loads(world.records["same"]["applied_state"])["queries"]["q"]
    world.queries.update_query(query_id, query_text="SELECT 666")
    assert "same: what has to be done is something else" in refused(world, plan)


def test_a_job_that_came_or_went_meanwhile_is_seen(world: World) -> None:
    prepared(world)
    plan = kept(world)
    world.jobs.delete_job(world.records["same"]["job_id"])
    assert "same: its job is gone" in refused(world, plan)
    world.apply("same")
    plan = kept(world, "new")
    world.apply("new")
    assert "new: its rows in the control tables were changed; it has got a job" in refused(
        world, plan
    )


class Busy(FakeJobs):
    """A workspace where others do something between two calls."""

    def before(self, method: str, act: Callable[[], None]) -> None:
        """Do it once, right before the next call of a method."""
        self._acts = {method: act}

    def _call(self, method: str, *arguments: Any) -> Any:
        act = getattr(self, "_acts", {}).pop(method, None)
        if act is not None:
            act()
        return super()._call(method, *arguments)


def test_a_job_that_changes_after_the_check_fails_alone(world: World) -> None:
    world.jobs = Busy(world.clock)
    for number in range(60):  # from here on jobs are listed, and read again when they are changed
        world.source(f"m{number:02}")
    world.apply()
    for number in (1, 2):
        world.source(f"m{number:02}", task_type="run_job", job_id=9, timeout_seconds=7)
    plan = kept(world)
    job_id = world.records["m01"]["job_id"]
    edited = {"tasks": [{"task_key": "a", "run_job_task": {"job_id": 5}}]}
    world.jobs.before("get_job", lambda: world.jobs.update_job(job_id, edited))
    done = apply(world, plan)
    assert done["m01"] == (
        "failed: not done, because while the plan was applied its job was changed: tasks/a"
    )
    assert done["m02"] == "updated"
    assert world.job("m01")["tasks"][0]["run_job_task"] == {"job_id": 5}


def test_a_job_that_another_run_makes_after_the_check_is_not_taken_over(world: World) -> None:
    world.jobs = Busy(world.clock)
    world.source("sales")
    plan = kept(world)
    tags = ownership_tags(str(TABLES.sources), "sales")
    orchestrator = world.orchestrator(
        progress=lambda event: (
            world.jobs.before(
                "list_jobs", lambda: world.jobs.create_job({"name": "sales", "tags": tags})
            )
            if (event.step, event.state.value) == ("plan", "done")
            else None
        )
    )
    [outcome] = orchestrator.apply(plan=plan)
    assert "while the plan was applied it has got a job" in (outcome.error or "")
    assert len(world.live) == 1


def test_a_module_that_cannot_be_planned_fails_again_and_the_others_are_done(
    world: World,
) -> None:
    prepared(world)
    world.source("bad", task_type="nonsense")
    done = apply(world, kept(world))
    assert done.pop("bad").startswith("failed")
    assert done["new"] == "created"


def test_a_creation_whose_outcome_was_unknown_is_still_the_planned_one(world: World) -> None:
    world.source("sales", "q", sql_query="SELECT 1")
    plan = kept(world)
    lost = BackendError("no answer", code=OUTCOME_UNKNOWN, transient=True)
    world.jobs.fail_on("create_job", when="after", error=lost)
    assert apply(world, plan) == {"sales": "adopted"}
    assert len(world.live) == 1


# --------------------------------------------------------------------------- files


def test_a_file_reads_back_as_the_plan(world: World) -> None:
    prepared(world)
    plan = world.orchestrator().plan(keep=True)
    again = read_plan(plan_text(plan, "dev"), "plan.json", "dev")
    assert again.basis == plan.basis
    assert [a.to_dict() for a in again.actions] == [a.to_dict() for a in plan.actions]
    assert set(plan.basis.versions) == {
        f"main.lakeflow.etl_control{part}" for part in ("", "_jobs", "_modules", "_tables")
    }


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text[:40], "it is not JSON"),
        (lambda _: "[1]", "plan.json is no plan; make one"),
        (lambda _: "{}", "plan.json is no plan; make one"),
        (lambda text: text.replace('plan": 1', 'plan": 2'), r"another version .*\(format 2\)"),
        (lambda text: text.replace('"pause"', '"burn"'), "damaged or changed, at prune"),
        (lambda text: text.replace('"jobs"', '"jbos"'), "damaged or changed, at jobs"),
        (lambda text: text.replace('"dev"', '"prod"'), "for target 'prod', not for 'dev'"),
    ],
)
def test_any_other_file_is_refused_with_the_reason(world: World, damage: Any, told: str) -> None:
    world.source("sales")
    text = plan_text(world.orchestrator().plan(), "dev")
    with pytest.raises(ConfigError, match=told):
        read_plan(damage(text), "plan.json", "dev")


def test_a_plan_of_other_tables_is_refused(world: World) -> None:
    world.source("sales")
    other = JobOrchestrator(
        world.store,
        world.jobs,
        world.queries,
        tables=ControlTables.named("main.other.etl_control"),
        context=world.orchestrator()._context,
        permissions=world.permissions,
    )
    with pytest.raises(ConfigError, match=r"one of main\.lakeflow\.etl_control, not of main"):
        other.apply(plan=world.orchestrator().plan())
    with pytest.raises(ConfigError, match="nothing that could be applied"):
        other.apply(plan=JobsPlan(()))
