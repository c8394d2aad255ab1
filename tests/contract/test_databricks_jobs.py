"""The orchestrator on a Databricks workspace: the real SDK over HTTP, against a strict stand-in."""

from __future__ import annotations

import dataclasses
import inspect
import json
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, get_args, get_type_hints

import pytest
from contract.jobs_stand_in import (
    CREATES,
    DELETES,
    GETS,
    LISTS,
    ME,
    QUERIES,
    REPAIRS,
    RUNS,
    UPDATES,
    Kind,
    Workspace,
)
from contract.stand_in_server import TOKEN
from databricks.sdk import WorkspaceClient
from databricks.sdk.service import jobs as sdk
from jobs_world import CONTEXT, TABLES, World

from lakeflow_meta.backends.databricks_jobs import DatabricksJobs
from lakeflow_meta.backends.databricks_permissions import DatabricksPermissions
from lakeflow_meta.backends.databricks_queries import DatabricksQueries
from lakeflow_meta.backends.databricks_runs import (
    ENDS,
    LIFE_CYCLE,
    RESULTS,
    TRIGGERS,
    job_run,
    run_state,
)
from lakeflow_meta.backends.databricks_settings import unknown_fields, wrong_values
from lakeflow_meta.backends.request_gate import RequestGate
from lakeflow_meta.backends.workspace_calls import WorkspaceCalls
from lakeflow_meta.control.tables import JOBS, SOURCES
from lakeflow_meta.errors import BackendError, ConflictError, NotFoundError
from lakeflow_meta.findings import path_text
from lakeflow_meta.jobs.orchestrator import JobOrchestrator
from lakeflow_meta.ports import NOT_TAKEN, OUTCOME_UNKNOWN, RunState, TriggerKind
from lakeflow_meta.progress import Event, StepState
from lakeflow_meta.settings import Settings
from lakeflow_meta.targets.databricks import DatabricksTarget
from lakeflow_meta.testing.crash import Crash, CrashPoint

SCHEDULE = {"quartz_cron_expression": "0 0 2 * * ?", "timezone_id": "UTC"}
PERMISSIONS = "/api/2.0/permissions/jobs/"
VIEWERS = {"group_name": "viewers", "permission_level": "CAN_VIEW"}
EDITORS = {"group_name": "editors", "permission_level": "CAN_MANAGE"}
OWNER = {"user_name": ME, "permission_level": "IS_OWNER"}
FAST = {"reads_per_second": 10_000, "writes_per_second": 10_000}


class Time:
    """Seconds that pass when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds
            self.slept.append(round(seconds, 3))

    def monotonic(self) -> float:
        return self.now

    def gate(self) -> RequestGate:
        return RequestGate(sleep=self.sleep, monotonic=self.monotonic)


class Office:
    """Control tables in memory, and a workspace behind HTTP."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.time = Time()
        self.world = World()
        self.jobs = self.new_jobs()
        self.permissions = DatabricksPermissions(self.calls())
        self.queries = DatabricksQueries(self.calls())
        self.world.api = self.permissions
        self.world.jobs = self.jobs  # type: ignore[assignment]  # any JobsApi will do
        self.world.queries = self.queries  # type: ignore[assignment]

    def client(self) -> WorkspaceClient:
        return WorkspaceClient(host=self.workspace.host, token=TOKEN)

    def new_jobs(self, **options: Any) -> DatabricksJobs:
        return DatabricksJobs(self.calls(), **options)

    def calls(self) -> WorkspaceCalls:
        return WorkspaceCalls(self.client(), self.time.gate(), **FAST)

    def orchestrator(self, crash: CrashPoint | None = None, **options: Any) -> JobOrchestrator:
        options = {"unknown_fields": self.jobs.unknown_fields, "max_parallel": 8, **options}
        return self.world.orchestrator(crash, **options)

    def apply(self, *modules: str, **options: Any) -> dict[str, str]:
        outcomes = self.orchestrator(**options).apply(modules or None)
        return {o.module: f"failed: {o.error}" if o.failed else o.action for o in outcomes}

    def job_id(self, module: str) -> int:
        return int(self.world.records[module]["job_id"])

    def levels(self, module: str) -> list[dict[str, str]]:
        """Who may do what with its job, the owner first."""
        entries = self.workspace.jobs[self.job_id(module)].permissions
        key = {"IS_OWNER": 0, "CAN_VIEW": 1, "CAN_MANAGE_RUN": 3}
        return sorted(entries, key=lambda e: key.get(e["permission_level"], 2))

    def forget_calls(self) -> None:
        self.workspace.requests.clear()

    def one_job_for_each(self, *modules: str) -> None:
        """Exactly one job a module, and the record names it."""
        named = sorted(job.settings["name"] for job in self.workspace.jobs.values())
        assert named == sorted(modules)
        for module in modules:
            assert self.workspace.jobs[self.job_id(module)].settings["name"] == module


@pytest.fixture
def make_office() -> Iterator[Callable[..., Office]]:
    with ExitStack() as stack:
        yield lambda **options: Office(stack.enter_context(Workspace(**options).running()))


@pytest.fixture
def office(make_office: Callable[..., Office]) -> Office:
    return make_office()


def task(key: str, **fields: Any) -> dict[str, Any]:
    return {"task_key": key, "run_job_task": {"job_id": 1}, **fields}


# --- unchanged is quiet


def test_an_unchanged_apply_writes_nothing_and_reads_in_pages(office: Office) -> None:
    for number in range(100):
        office.world.source(f"m{number}", "a", sql_query=f"SELECT {number}")
        office.world.module(f"m{number}", schedule=SCHEDULE, tags={"team": "x"})
    assert set(office.apply().values()) == {"created"}
    office.forget_calls()
    versions = office.world.versions()
    assert set(office.apply().values()) == {"unchanged"}
    lines = [f"{r.method} {r.path}" for r in office.workspace.requests]
    assert lines == [f"GET {LISTS}", f"GET {QUERIES}"]
    assert office.world.versions() == versions


def test_a_first_apply_makes_one_call_for_each_job_after_one_list(office: Office) -> None:
    for number in range(30):
        office.world.source(f"m{number}")
    office.apply()
    assert len(office.workspace.calls_of(CREATES)) == 30
    assert len(office.workspace.requests) == 31


def test_one_changed_module_of_many_is_read_once_more_and_written_once(office: Office) -> None:
    for number in range(60):
        office.world.source(f"m{number}")
    office.apply()
    office.world.source("m7", task_type="run_job", job_id=2)
    office.forget_calls()
    assert office.apply()["m7"] == "updated"
    lines = [f"{r.method} {r.path}" for r in office.workspace.requests]
    assert lines == [f"GET {LISTS}", f"GET {GETS}", f"POST {UPDATES}"]


def test_a_job_of_many_tasks_is_read_whole_and_stays_unchanged(office: Office) -> None:
    for number in range(250):
        office.world.source("wide", f"t{number:03}")
    for number in range(60):
        office.world.source(f"m{number}")
    office.world.module("wide", parameters={f"p{number}": "x" for number in range(150)})
    office.apply()
    job = office.jobs.get_job(office.job_id("wide"))
    assert [t["task_key"] for t in job.settings["tasks"]] == [f"t{n:03}" for n in range(250)]
    assert len(job.settings["parameters"]) == 150
    office.forget_calls()
    assert set(office.apply().values()) == {"unchanged"}
    assert office.workspace.writes == []
    assert len(office.workspace.requests) == 1 + 3


def test_values_are_sent_as_they_are_written(office: Office) -> None:
    office.world.source("sales", task_type="run_job", job_id=1, timeout_seconds=0, max_retries=0)
    office.world.module("sales", timeout_seconds=0, continuous={}, queue={"enabled": False})
    office.apply()
    [request] = office.workspace.calls_of(CREATES)
    assert request.body["timeout_seconds"] == 0
    assert request.body["queue"] == {"enabled": False}
    assert request.body["continuous"] == {}
    assert request.body["tasks"][0]["timeout_seconds"] == 0
    assert office.apply() == {"sales": "unchanged"}


# --- update in place


def test_an_update_keeps_the_id_and_what_people_added(office: Office) -> None:
    for name in ("a", "b", "gone"):
        office.world.source("sales", name)
    office.world.module("sales", schedule=SCHEDULE)
    office.apply()
    job_id = office.job_id("sales")
    job = office.workspace.jobs[job_id]
    office.workspace.edit(
        job_id,
        webhook_notifications={"on_failure": [{"id": "w1"}]},
        schedule={**SCHEDULE, "pause_status": "PAUSED"},
    )
    viewer = {"user_name": "v@example.com", "permission_level": "CAN_VIEW"}
    office.client().jobs.update_permissions(
        str(job_id), access_control_list=[sdk.JobAccessControlRequest.from_dict(viewer)]
    )
    office.world.source("sales", "b", task_type="run_job", job_id=2)
    office.world.source("sales", "gone", is_active=False)
    office.world.module("sales", schedule=SCHEDULE, tags={"team": "eng"})
    office.forget_calls()
    assert office.apply() == {"sales": "updated"}
    [request] = office.workspace.writes
    assert request.body["job_id"] == job_id
    assert request.body["fields_to_remove"] == ["tasks/gone"]
    assert sorted(request.body["new_settings"]) == ["tags", "tasks"]
    assert [t["task_key"] for t in request.body["new_settings"]["tasks"]] == ["b"]
    assert job.settings["webhook_notifications"] == {"on_failure": [{"id": "w1"}]}
    assert job.settings["schedule"]["pause_status"] == "PAUSED"
    assert [t["task_key"] for t in job.settings["tasks"]] == ["a", "b"]
    assert viewer in job.permissions
    office.forget_calls()
    assert office.apply() == {"sales": "unchanged"}
    assert office.workspace.writes == []


def test_a_new_api_field_that_somebody_set_survives_an_update_of_its_task(
    make_office: Callable[..., Office],
) -> None:
    office = make_office(new_fields=["brand_new"])
    office.world.source("sales")
    office.apply()
    job_id = office.job_id("sales")
    office.workspace.edit(job_id, brand_new={"x": 1})
    office.world.module("sales", description="d")
    assert office.apply() == {"sales": "updated"}
    assert office.workspace.jobs[job_id].settings["brand_new"] == {"x": 1}


def test_a_field_that_the_sdk_does_not_know_passes_by_extra_and_is_refused_elsewhere(
    make_office: Callable[..., Office],
) -> None:
    office = make_office(new_fields=["brand_new"])
    office.world.source("sales")
    office.world.module("sales", extra={"brand_new": {"x": 1}})
    cluster = {"job_cluster_key": "c", "new_cluster": {"num_wrokers": 1}}
    office.world.source("typo")
    office.world.module("typo", job_clusters=[cluster])
    done = office.apply()
    assert done["sales"] == "created"
    assert "job_clusters[0].new_cluster.num_wrokers" in done["typo"]
    assert "did you mean num_workers?" in done["typo"]
    [request] = office.workspace.calls_of(CREATES)
    assert request.body["brand_new"] == {"x": 1}
    assert office.apply("sales") == {"sales": "unchanged"}


# --- lost and found


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize("others", [0, 60])
def test_a_job_that_was_deleted_by_hand_is_made_again(
    make_office: Callable[..., Office], status: Any, others: int
) -> None:
    office = make_office(missing_status=status)
    names = ["sales", *(f"m{number}" for number in range(others))]
    for name in names:
        office.world.source(name)
    office.apply()
    first = office.job_id("sales")
    del office.workspace.jobs[first]
    assert office.apply()["sales"] == "recreated"
    assert office.job_id("sales") != first
    office.one_job_for_each(*names)


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("others", [0, 60])
def test_a_job_that_cannot_be_read_is_never_made_again(
    office: Office, kind: Any, others: int
) -> None:
    """Also a proxy's 404 page: the job is found by its tags before anything is created."""
    names = ["sales", *(f"m{number}" for number in range(others))]
    for name in names:
        office.world.source(name)
    office.apply()
    office.world.source("sales", task_type="run_job", job_id=2)
    office.workspace.fail(kind, GETS, times=10_000)
    office.workspace.fail(kind, LISTS, times=10_000)
    office.forget_calls()
    try:
        failed = office.apply()["sales"]
    except BackendError as error:  # the list itself could not be had
        failed = f"failed: {error}"
    assert failed.startswith("failed")
    assert office.workspace.writes == []
    office.workspace.faults.clear()
    assert office.apply()["sales"] == "updated"
    office.one_job_for_each(*names)


def test_a_job_without_record_is_found_over_all_pages(make_office: Callable[..., Office]) -> None:
    office = make_office(page_limit=7)
    for number in range(40):
        office.jobs.create_job({"name": f"of others {number}"})
    office.world.source("sales")
    crash = CrashPoint()
    office.orchestrator(crash, max_parallel=1).apply()
    at = crash.calls.index("create_job") + 1
    office.workspace.jobs.popitem()
    office.world.store.merge(TABLES.of(JOBS), [], keys=JOBS.keys, scope={})
    for number in range(30):
        office.jobs.create_job({"name": f"of others, later {number}"})
    with pytest.raises(Crash):
        office.orchestrator(CrashPoint(at, after=True), max_parallel=1).apply()
    for number in range(30):
        office.jobs.create_job({"name": f"of others, last {number}"})
    assert office.world.records == {}
    assert office.apply() == {"sales": "adopted"}
    ours = [key for key, job in office.workspace.jobs.items() if "tags" in job.settings]
    assert ours == [office.job_id("sales")]


def test_two_orchestrators_at_once_make_one_job_a_module(
    make_office: Callable[..., Office],
) -> None:
    nap = threading.Event()
    for _ in range(20):
        office = make_office(latency=0.002)
        names = [f"m{number}" for number in range(12)]
        for name in names:
            office.world.source(name, "q", sql_query="SELECT 1")
        orchestrators = [office.orchestrator(sleep=lambda _: nap.wait(0.01)) for _ in range(2)]
        with ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(one.apply) for one in orchestrators]
            outcomes = [{o.module: (o.action, o.job_id) for o in run.result()} for run in runs]
        first, second = sorted(outcomes, key=lambda found: found["m0"][0])
        assert {action for action, _ in first.values()} == {"created"}
        assert {action for action, _ in second.values()} == {"unchanged"}
        assert {k: v[1] for k, v in first.items()} == {k: v[1] for k, v in second.items()}
        office.one_job_for_each(*names)
        assert len(office.workspace.active_queries) == 12


# --- saved queries


def test_inline_sql_is_one_query_however_often_it_is_applied(office: Office) -> None:
    office.world.source("sales", "q", sql_query="SELECT 1")
    for _ in range(3):
        office.apply()
    [(query_id, query)] = office.workspace.active_queries.items()
    assert query["query_text"] == "SELECT 1"
    office.world.source("sales", "q", sql_query="SELECT 2")
    assert office.apply() == {"sales": "updated"}
    assert office.workspace.active_queries[query_id]["query_text"] == "SELECT 2"
    assert len(office.workspace.queries) == 1
    office.world.source("sales", "q", is_active=False)
    office.world.source("sales", "other")
    office.apply()
    assert office.workspace.active_queries == {}


def test_a_query_that_was_trashed_by_hand_is_saved_again(office: Office) -> None:
    office.world.source("sales", "q", sql_query="SELECT 1")
    office.apply()
    [first] = office.workspace.active_queries
    office.queries.trash_query(first)
    assert office.apply() == {"sales": "updated"}
    [second] = office.workspace.active_queries
    [job] = office.workspace.jobs.values()
    assert job.settings["tasks"][0]["sql_task"]["query"] == {"query_id": second}
    assert second != first


# --- faults


@pytest.mark.parametrize("kind", ["500", "502", "503", "504", "reset"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("path", [CREATES, QUERIES])
def test_a_creation_without_an_answer_is_looked_for_never_repeated_blindly(
    office: Office, kind: Any, after: bool, path: str
) -> None:
    office.world.source("sales", "q", sql_query="SELECT 1")
    office.workspace.fail(kind, path, method="POST", after=after)
    assert office.apply()["sales"] in ("created", "adopted")
    office.one_job_for_each("sales")
    [query_id] = office.workspace.active_queries
    [job] = office.workspace.jobs.values()
    assert job.settings["tasks"][0]["sql_task"]["query"]["query_id"] == query_id
    assert office.apply() == {"sales": "unchanged"}


def test_a_creation_whose_outcome_stays_unknown_fails_and_the_next_run_heals(
    office: Office,
) -> None:
    office.world.source("sales", "q", sql_query="SELECT 1")
    office.workspace.fail("reset", CREATES, times=100)
    assert "took effect is unknown" in office.apply()["sales"]
    assert office.workspace.jobs == {}
    assert len(office.workspace.active_queries) == 1
    office.workspace.faults.clear()
    assert office.apply() == {"sales": "created"}
    assert len(office.workspace.queries) == 1


def test_a_refused_job_leaves_no_query_behind(office: Office) -> None:
    office.world.source("sales", "q", sql_query="SELECT 1")
    office.workspace.fail("403", CREATES, method="POST")
    assert office.apply()["sales"].startswith("failed: Job 1 does not exist, or you may not")
    assert office.workspace.active_queries == {}


@pytest.mark.parametrize("kind", ["429", "500", "502", "503", "504", "reset"])
@pytest.mark.parametrize("after", [False, True])
def test_updates_and_deletions_are_repeated_until_they_are_done(
    office: Office, kind: Any, after: bool
) -> None:
    for name in ("sales", "gone"):
        office.world.source(name)
    office.apply()
    office.world.source("sales", task_type="run_job", job_id=2)
    office.world.remove("gone")
    office.workspace.fail(kind, UPDATES, times=3, after=after and kind != "429")
    office.workspace.fail(kind, DELETES, times=3, after=after and kind != "429")
    outcomes = office.orchestrator().apply(prune="delete")
    assert {o.module: o.action for o in outcomes} == {"gone": "deleted", "sales": "updated"}
    office.one_job_for_each("sales")


def test_random_faults_over_many_jobs_leave_one_job_each(office: Office) -> None:
    names = [f"m{number:03}" for number in range(200)]
    for name in names:
        office.world.source(name, "q", sql_query=f"SELECT '{name}'")
    for name in names[::4]:
        office.world.module(name, permissions=[VIEWERS])
    office.workspace.chaos = random.Random(7), 0.10  # noqa: S311 (no secret)
    done: dict[str, str] = {}
    for _ in range(3):
        done = office.apply()
        if not any(word.startswith("failed") for word in done.values()):
            break
    assert not [word for word in done.values() if word.startswith("failed")]
    office.workspace.chaos = None
    office.one_job_for_each(*names)
    assert len(office.workspace.active_queries) == 200
    assert all(office.levels(name) == [OWNER, VIEWERS] for name in names[::4])
    assert set(office.apply().values()) == {"unchanged"}


def test_killed_at_calls_of_all_kinds_and_run_again_leaves_one_job_each(
    make_office: Callable[..., Office],
) -> None:
    """Every call is the end once, alternately before and after its effect."""

    def prepared() -> Office:
        office = make_office()
        for name in ("same", "changed", "gone"):
            office.world.source(name, "a", sql_query="SELECT 1")
            office.world.module(name, schedule=SCHEDULE, permissions=[VIEWERS, EDITORS])
        office.apply()
        office.world.source("changed", "a", sql_query="SELECT 2")
        office.world.source("changed", "b")
        office.world.module("changed", schedule=SCHEDULE, permissions=[VIEWERS])
        office.world.remove("gone")
        for name in ("new1", "new2"):
            office.world.source(name, "a", sql_query="SELECT 3")
            office.world.module(name, permissions=[VIEWERS])
        return office

    counted = CrashPoint()
    prepared().orchestrator(counted, max_parallel=1).apply(prune="delete")
    assert {"create_job", "update_job", "delete_job", "update", "replace"} <= set(counted.calls)
    for number in range(1, len(counted.calls) + 1):
        office = prepared()
        crash = CrashPoint(number, after=bool(number % 2))
        with pytest.raises(Crash):
            office.orchestrator(crash, max_parallel=1).apply(prune="delete")
        again = office.orchestrator().apply(prune="delete")
        assert not [o for o in again if o.failed], counted.calls[number - 1]
        office.one_job_for_each("same", "changed", "new1", "new2")
        assert len(office.workspace.active_queries) == 4
        levels = {name: office.levels(name) for name in ("same", "changed", "new1", "new2")}
        assert levels.pop("same") == [OWNER, VIEWERS, EDITORS]
        assert all(found == [OWNER, VIEWERS] for found in levels.values())
        assert {o.action for o in office.orchestrator().apply()} == {"unchanged"}


# --- permissions


def test_permissions_are_set_changed_and_taken_away_and_others_stay(office: Office) -> None:
    office.world.source("sales")
    office.world.module("sales", permissions=[VIEWERS, EDITORS])
    office.apply()
    assert office.levels("sales") == [OWNER, VIEWERS, EDITORS]
    job = office.workspace.jobs[office.job_id("sales")]
    bob = {"user_name": "bob@example.com", "permission_level": "CAN_MANAGE"}
    job.permissions.append(bob)
    more = {**VIEWERS, "permission_level": "CAN_MANAGE_RUN"}
    office.world.module("sales", permissions=[more])
    office.forget_calls()
    assert office.apply() == {"sales": "updated"}
    [request] = office.workspace.writes
    assert (request.method, request.path) == ("PUT", f"{PERMISSIONS}{office.job_id('sales')}")
    assert office.levels("sales") == [OWNER, bob, more]


def test_an_unchanged_apply_reads_permissions_of_those_jobs_only_that_name_some(
    office: Office,
) -> None:
    for number in range(60):
        office.world.source(f"m{number}")
    for number in range(3):
        office.world.module(f"m{number}", permissions=[VIEWERS])
    office.apply()
    office.forget_calls()
    assert set(office.apply().values()) == {"unchanged"}
    assert office.workspace.writes == []
    assert len(office.workspace.calls_of(PERMISSIONS)) == 3
    assert len(office.workspace.requests) == 4


def test_an_owner_is_changed_in_one_request_after_a_look(office: Office) -> None:
    eve = {"user_name": "eve@example.com", "permission_level": "IS_OWNER"}
    office.world.source("sales")
    office.world.module("sales", permissions=[eve, VIEWERS])
    assert office.apply() == {"sales": "created"}
    assert office.levels("sales") == [eve, VIEWERS, {**OWNER, "permission_level": "CAN_MANAGE"}]
    assert [r.method for r in office.workspace.calls_of(PERMISSIONS)] == ["GET", "PUT"]
    assert office.apply() == {"sales": "unchanged"}


def test_who_may_manage_otherwise_is_nothing_of_the_job(office: Office) -> None:
    """Admins inherit it; it is neither taken away nor sent back."""
    office.world.source("sales")
    office.world.module("sales", permissions=[VIEWERS, EDITORS])
    office.apply()
    office.world.module("sales", permissions=[])
    office.apply()
    assert office.levels("sales") == [OWNER]
    assert not [r for r in office.workspace.writes if "admins" in str(r.body)]


# --- pace


def test_one_throttled_call_slows_every_thread(office: Office) -> None:
    jobs, time = office.jobs, office.time
    office.workspace.fail("429", CREATES, retry_after=7)
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda n: jobs.create_job({"name": str(n)}), range(20)))
    assert len(set(ids)) == 20
    assert len(office.workspace.jobs) == 20
    assert len(office.workspace.calls_of(CREATES)) == 21
    assert time.now >= 7
    assert sum(time.slept) >= 7


def test_a_creation_that_would_have_to_wait_too_long_is_not_sent(office: Office) -> None:
    office.workspace.fail("429", CREATES, times=5, retry_after=60)
    with pytest.raises(BackendError) as refused:
        office.jobs.create_job({"name": "a"})
    assert (refused.value.code, refused.value.transient) == (NOT_TAKEN, True)
    assert len(office.workspace.calls_of(CREATES)) == 1
    with pytest.raises(BackendError) as refused:
        office.jobs.create_job({"name": "a"})
    assert refused.value.code == NOT_TAKEN
    assert len(office.workspace.calls_of(CREATES)) == 1


def test_a_run_waits_out_a_busy_workspace(office: Office) -> None:
    for number in range(12):
        office.world.source(f"m{number}")
    office.workspace.fail("429", CREATES, times=4, retry_after=30)

    def sleep(seconds: float) -> None:
        office.time.sleep(seconds)
        office.world.clock.advance(seconds)

    assert set(office.apply(sleep=sleep).values()) == {"created"}
    office.one_job_for_each(*(f"m{number}" for number in range(12)))


def test_calls_stay_below_the_rate(make_office: Callable[..., Office]) -> None:
    office = make_office(writes_per_second=42)
    jobs = DatabricksJobs(WorkspaceCalls(office.client(), writes_per_second=40))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: jobs.create_job({"name": str(n)}), range(60)))
    assert len(office.workspace.calls_of(CREATES)) == 60
    times = [request.at for request in office.workspace.calls_of(CREATES)]
    assert max(times) - min(times) >= 59 / 40 * 0.95


def test_a_wait_that_one_api_asks_for_holds_all_of_the_workspace(office: Office) -> None:
    target = DatabricksTarget(Settings(), inside=False, client=office.client())
    job_id = target.jobs.create_job({"name": "a"})
    office.workspace.fail("429", PERMISSIONS, retry_after=1)
    with ThreadPoolExecutor(1) as pool:
        levels = pool.submit(target.permissions.get, job_id)
        while not office.workspace.calls_of(PERMISSIONS):
            time.sleep(0.01)
        time.sleep(0.1)
        for call in (target.jobs.list_jobs, target.queries.list_queries, lambda: target.user):
            call()
        levels.result()
    asked, *later = [r.at for r in office.workspace.requests if CREATES not in r.path]
    assert len(later) == 4
    assert min(later) - asked >= 0.95


def test_jobs_go_out_many_at_once_within_the_bound(make_office: Callable[..., Office]) -> None:
    office = make_office(latency=0.02)
    for number in range(32):
        office.world.source(f"m{number}")
    outcomes = office.orchestrator(max_parallel=4).apply()
    assert [o.module for o in outcomes] == sorted(f"m{number}" for number in range(32))
    assert 2 <= office.workspace.most_busy <= 4


def test_a_run_stopped_by_ctrl_c_records_what_it_did_and_starts_no_more(
    make_office: Callable[..., Office],
) -> None:
    office = make_office(latency=0.005)
    names = [f"m{number:02}" for number in range(60)]
    for name in names:
        office.world.source(name)

    main = threading.main_thread().ident or 0

    def stop_at_ten(event: Event) -> None:
        if event.state is StepState.DONE and event.done == 10:
            signal.pthread_kill(main, signal.SIGINT)

    orchestrator = JobOrchestrator(
        office.world.store,
        office.jobs,
        office.queries,
        tables=TABLES,
        context=CONTEXT,
        permissions=office.permissions,
        clock=office.world.clock,
        sleep=office.world.clock.advance,
        progress=stop_at_ten,
        max_parallel=4,
    )
    with pytest.raises(KeyboardInterrupt):
        orchestrator.apply()
    recorded = {row["job_id"] for row in office.world.records.values()}
    assert recorded == set(office.workspace.jobs)
    assert 10 <= len(recorded) < 60
    assert set(office.apply().values()) == {"created", "unchanged"}
    office.one_job_for_each(*names)


# --- errors


def test_refusals_are_told_apart_by_class(office: Office) -> None:
    job_id = office.jobs.create_job({"name": "a"})
    office.workspace.fail("403", GETS)
    with pytest.raises(BackendError, match="does not exist, or you may not") as refused:
        office.jobs.get_job(job_id)
    assert not isinstance(refused.value, NotFoundError)
    assert (refused.value.code, refused.value.transient) == ("PERMISSION_DENIED", False)
    with pytest.raises(BackendError) as refused:
        office.jobs.update_job(job_id, {"name": "b", "nmae": "c"})
    assert refused.value.code == "INVALID_PARAMETER_VALUE"
    assert not isinstance(refused.value, NotFoundError)
    query = office.queries.create_query("a", "SELECT 1")
    with pytest.raises(ConflictError):
        office.queries.create_query("a", "SELECT 1")
    office.queries.create_query("b", "SELECT 1")
    with pytest.raises(ConflictError):
        office.queries.update_query(query, display_name="b")


def test_a_workspace_out_of_reach_is_a_passing_error_and_no_unknown_outcome() -> None:
    time = Time()
    with Workspace().running() as workspace:
        client = WorkspaceClient(host=workspace.host, token=TOKEN)
    jobs = DatabricksJobs(WorkspaceCalls(client, time.gate()))
    for call in (lambda: jobs.create_job({}), lambda: jobs.get_job(1), lambda: jobs.delete_job(1)):
        with pytest.raises(BackendError) as raised:
            call()
        assert (raised.value.code, raised.value.transient) == (NOT_TAKEN, True)


def test_an_unknown_outcome_says_so(office: Office) -> None:
    office.workspace.fail("reset", CREATES, after=True)
    with pytest.raises(BackendError, match="jobs/create took effect is unknown") as unknown:
        office.jobs.create_job({"name": "a"})
    assert (unknown.value.code, unknown.value.transient) == (OUTCOME_UNKNOWN, True)
    assert len(office.workspace.calls_of(CREATES)) == 1


# --- runs


def test_a_run_is_started_once_however_often_its_start_is_sent(office: Office) -> None:
    job_id = office.jobs.create_job({"parameters": [{"name": "day", "default": ""}]})
    office.workspace.fail("reset", RUNS, after=True, times=2)
    run_id = office.jobs.run_job(job_id, {"day": "1"})
    assert list(office.workspace.runs) == [run_id]
    assert office.workspace.runs[run_id].parameters == {"day": "1"}
    other = office.jobs.run_job(job_id, {})
    assert other != run_id


def test_a_run_is_followed_with_growing_pauses(office: Office) -> None:
    tasks = [task(f"t{number:03}") for number in range(230)]
    job_id = office.jobs.create_job({"name": "wide", "tasks": tasks})
    office.workspace.run_states = ["QUEUED", "PENDING", *["RUNNING"] * 8]
    office.workspace.task_states = {"t007": RunState.FAILED}
    run = office.jobs.follow_run(office.jobs.run_job(job_id, {}))
    assert (run.job_id, run.job_name, run.state) == (job_id, "wide", RunState.FAILED)
    assert run.error == "Workload failed, see run output for details"
    assert [t.task_key for t in run.tasks] == [t["task_key"] for t in tasks]
    failed = [t for t in run.tasks if t.state is RunState.FAILED]
    assert [(t.task_key, t.seconds, t.error) for t in failed] == [("t007", 1.5, run.error)]
    pauses = [pause for pause in office.time.slept if pause >= 1]
    assert pauses[0] == 2.0
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30.0
    assert len(pauses) == 10


def test_a_run_that_does_not_end_is_followed_for_so_long_only(office: Office) -> None:
    jobs = office.new_jobs(follow_seconds=100)
    run_id = jobs.run_job(jobs.create_job({"tasks": [task("a")]}), {})
    office.workspace.runs[run_id].states = ["RUNNING"] * 1000
    with pytest.raises(BackendError, match="we waited 100 seconds") as raised:
        jobs.follow_run(run_id)
    assert raised.value.transient


def failed_run(office: Office) -> int:
    tasks = [task("a"), task("b", depends_on=[{"task_key": "a"}]), task("c")]
    job_id = office.jobs.create_job({"name": "j", "tasks": tasks})
    office.workspace.task_states = {"a": RunState.FAILED}
    return office.jobs.run_job(job_id, {})


def test_a_repair_runs_what_failed_and_names_the_repair_before(office: Office) -> None:
    run_id = failed_run(office)
    office.jobs.repair_run(run_id)
    assert office.jobs.follow_run(run_id).state is RunState.FAILED
    office.workspace.task_states = {}
    office.jobs.repair_run(run_id)
    run = office.jobs.follow_run(run_id)
    assert (run.state, run.repair_count) == (RunState.SUCCESS, 2)
    assert run.repaired_at is not None
    asked = {
        "run_id": run_id,
        "rerun_all_failed_tasks": True,
        "rerun_dependent_tasks": True,
    }
    sent = [dict(request.body) for request in office.workspace.calls_of(REPAIRS)]
    assert sent == [asked, {**asked, "latest_repair_id": 1}]


def test_a_run_that_goes_on_is_not_repaired_but_cancelled(office: Office) -> None:
    run_id = failed_run(office)
    office.workspace.runs[run_id].states = ["RUNNING"] * 3
    with pytest.raises(ConflictError, match="under way"):
        office.jobs.repair_run(run_id)
    assert office.workspace.calls_of(REPAIRS) == []
    office.workspace.fail("reset", "/api/2.2/jobs/runs/cancel", after=True)
    office.jobs.cancel_run(run_id)
    assert office.jobs.get_run(run_id).state is RunState.CANCELLED


def test_a_repair_is_sent_once_and_an_unknown_outcome_says_so(office: Office) -> None:
    run_id = failed_run(office)
    office.workspace.fail("reset", REPAIRS, after=True)
    with pytest.raises(BackendError) as unknown:
        office.jobs.repair_run(run_id)
    assert unknown.value.code == OUTCOME_UNKNOWN
    assert office.jobs.get_run(run_id).repair_count == 1


def test_what_a_run_tells_of_itself_is_read() -> None:
    answer = {
        "run_id": 1,
        "trigger": "FILE_ARRIVAL",
        "job_parameters": [{"name": "a", "default": "1"}, {"name": "b", "value": "2"}],
        "tasks": [{"task_key": "if", "condition_task": {"outcome": "true"}}],
    }
    run = job_run(answer)
    assert (run.trigger.kind, run.parameters) == (TriggerKind.FILE_ARRIVAL, {"a": "1", "b": "2"})
    assert run.tasks[0].outcome == "true"
    assert set(TRIGGERS) == {kind.value for kind in sdk.TriggerType}


def test_every_state_of_the_sdk_has_a_word_of_ours() -> None:
    assert set(RESULTS) == {state.value for state in sdk.RunResultState}
    lives = {state.value for state in (*sdk.RunLifeCycleState, *sdk.RunLifecycleStateV2State)}
    assert set(LIFE_CYCLE) == lives - {"TERMINATED"}
    assert set(ENDS) < {code.value for code in sdk.TerminationCodeCode}
    for code in sdk.TerminationCodeCode:
        details = {"termination_details": {"code": code.value}}
        assert run_state({"status": {"state": "TERMINATED", **details}}).ended
    assert run_state({"status": {"state": "FROM_THE_FUTURE"}}) is RunState.RUNNING
    skipped = {"life_cycle_state": "INTERNAL_ERROR", "result_state": "TIMEDOUT"}
    assert run_state({"state": skipped}) is RunState.TIMED_OUT


# --- settings


def test_settings_are_held_against_the_types_of_the_sdk() -> None:
    settings = {
        "name": 1,
        "max_concurrent_runs": True,
        "nmae": "x",
        "edit_mode": "ui_locked",
        "tags": {"a": 1},
        "tasks": [
            {"task_key": "a", "spark_python_task": {"parameters": "x"}, "health": []},
            {"task_key": "b", "sql_task": {"query": {"query_idd": "x"}}, "timeout_seconds": 1.5},
        ],
        "queue": {"enabled": "yes"},
    }
    assert {path_text(f.path) for f in unknown_fields(settings)} == {
        "nmae",
        "tasks[1].sql_task.query.query_idd",
    }
    wrong = {path_text(f.path): f for f in wrong_values(settings)}
    assert set(wrong) == {
        "name",
        "max_concurrent_runs",
        "edit_mode",
        "tags.a",
        "tasks[0].spark_python_task.parameters",
        "tasks[0].health",
        "tasks[1].timeout_seconds",
        "queue.enabled",
    }
    assert wrong["edit_mode"].hint == "did you mean UI_LOCKED?"


def test_the_sdk_names_fields_as_the_api_does() -> None:
    """The check above takes names of the SDK's fields for names in the request."""
    seen: set[Any] = set()

    def look(kind: Any) -> None:
        for part in (kind, *get_args(kind)):
            if not dataclasses.is_dataclass(part):
                for inner in get_args(part):
                    look(inner)
            elif part not in seen:
                seen.add(part)
                fields = get_type_hints(part)
                sent = set(re.findall(r'body\["(\w+)"\]', inspect.getsource(part.as_dict)))
                assert sent == set(fields), part
                for inner in fields.values():
                    look(inner)

    look(sdk.JobSettings)
    assert len(seen) > 80


def test_a_row_that_cannot_be_read_leaves_the_job_alone(office: Office) -> None:
    office.world.source("sales")
    office.apply()
    table = TABLES.of(SOURCES)
    row = {"module_name": "sales", "source_id": "b", "transformation_config": "{"}
    office.world.store.merge(table, [row], keys=SOURCES.keys)
    office.forget_calls()
    assert office.apply()["sales"].startswith("failed")
    assert office.workspace.writes == []
    assert json.loads(office.world.records["sales"]["applied_state"])["sources"]
