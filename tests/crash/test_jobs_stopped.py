"""Killed anywhere, or two at once: the end is the same, with one job for each module."""

import json
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from jobs_world import make_world as make_world

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.control.tables import STATE, ControlTables
from lakeflow_meta.jobs.outcomes import ApplyStopped
from lakeflow_meta.ports import ControlStore, MergeResult
from lakeflow_meta.testing import FakeJobs
from lakeflow_meta.testing.crash import Crash, CrashPoint

World = Any
TABLES = ControlTables.named("main.lakeflow.etl_control")
SCHEDULE = {"quartz_cron_expression": "0 0 2 * * ?", "timezone_id": "UTC"}


def grants(*groups: str, level: str = "CAN_VIEW") -> list[dict[str, str]]:
    return [{"group_name": name, "permission_level": level} for name in groups]


def prepare(world: World) -> None:
    """Two modules to create, two to update, one to pause or delete, one that stays as it is.

    With inline SQL that comes, changes and goes, and permissions that do the same.
    """
    for name in ("changed", "gone", "granted", "same"):
        world.source(name, "a", sql_query="SELECT 1")
        world.source(name, "b", sql_query="SELECT 2")
        world.module(name, schedule=SCHEDULE, permissions=grants("kept", "gone"))
    world.apply()
    world.source("changed", "a", sql_query="SELECT 3")
    world.source("changed", "b", is_active=False)
    world.source("changed", "c", task_type="run_job", job_id=5)
    world.module("changed", schedule=SCHEDULE, permissions=grants("kept", level="CAN_MANAGE"))
    world.module("granted", schedule=SCHEDULE, permissions=grants("kept", "gone", "new"))
    world.remove("gone")
    world.source("new", "a", sql_query="SELECT 4")
    world.module("new", schedule=SCHEDULE, permissions=grants("kept"))
    world.source("plain", "a", task_type="run_job", job_id=5)


def outcome(world: World) -> dict[str, Any]:
    """Everything that lasts, without what differs by nature: ids and times."""
    queries = {q.query_id: (q.display_name, q.query_text) for q in world.queries.list_queries()}
    jobs = sorted((_told(settings, queries) for settings in world.live.values()), key=str)
    levels = {
        settings["name"]: sorted(world.permissions.get(job_id), key=_as_json)
        for job_id, settings in world.live.items()
    }
    assert len(jobs) == len({job["name"] for job in jobs})
    records = {}
    for name, row in world.records.items():
        assert world.live[row["job_id"]]["name"] == name
        applied = json.loads(row["applied_state"])
        saved = applied.pop("queries", {})
        applied["queries"] = {key: queries[query_id] for key, query_id in saved.items()}
        ignored = {"job_id", "created_timestamp", "updated_timestamp", "settings_fingerprint"}
        kept = {key: value for key, value in row.items() if key not in ignored}
        records[name] = {**kept, "applied_state": applied}
    return {
        "jobs": jobs,
        "records": records,
        "queries": sorted(queries.values()),
        "permissions": levels,
    }


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _told(settings: Any, queries: dict[str, Any]) -> dict[str, Any]:
    """Settings with the text of each query in the place of its id."""
    told = json.loads(json.dumps(settings))
    for task in told["tasks"]:
        if "sql_task" in task:
            task["sql_task"]["query"] = queries[task["sql_task"]["query"]["query_id"]]
    told["tasks"].sort(key=lambda task: str(task["task_key"]))
    return dict(told)


def uninterrupted(
    make_world: Callable[[], World], prune: str = "pause"
) -> tuple[dict[str, Any], list[str]]:
    world = make_world()
    prepare(world)
    crash = CrashPoint()
    world.orchestrator(crash).apply(prune=prune)
    return outcome(world), crash.calls


def calls_until(make_world: Callable[[], World], method: str) -> int:
    """The number of the first call of a method when one new job is made."""
    world, crash = make_world(), CrashPoint()
    world.source("sales")
    world.orchestrator(crash).apply()
    return crash.calls.index(method) + 1


class MeetingStore:
    """Nobody writes before everybody has read what there was before anything was written."""

    def __init__(self, store: ControlStore, meeting: threading.Barrier) -> None:
        self._store = store
        self._meeting = meeting
        self._met = threading.local()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def merge(self, *arguments: Any, **options: Any) -> MergeResult:
        if not hasattr(self._met, "once"):
            self._met.once = True
            self._meeting.wait(timeout=30)
        return self._store.merge(*arguments, **options)


@pytest.mark.parametrize("prune", ["pause", "delete"])
def test_killed_at_any_call_and_run_again_is_as_if_nothing_had_happened(
    make_world: Callable[[], World], prune: str
) -> None:
    expected, calls = uninterrupted(make_world, prune)
    assert {"create_job", "update_job", "create_query", "update_query", "trash_query"} <= set(calls)
    assert {"get", "update", "replace", "merge", "append"} <= set(calls)
    assert ("delete_job" in calls) == (prune == "delete")
    for number in range(1, len(calls) + 1):
        for after in (False, True):
            world = make_world()
            prepare(world)
            before = world.live
            with pytest.raises(Crash):
                world.orchestrator(CrashPoint(number, after=after)).apply(prune=prune)
            again = world.apply(prune=prune)
            where = f"{'after' if after else 'before'} call {number}, {calls[number - 1]}"
            assert not any(word.startswith("failed") for word in again.values()), where
            assert outcome(world) == expected, where
            kept = {job_id for job_id, job in before.items() if job["name"] != "gone"}
            assert kept <= set(world.live), where
            assert set(world.apply(prune=prune).values()) == {"unchanged"}, where


@pytest.mark.parametrize("kind", ["create_job", "update_job", "update", "replace"])
def test_a_failure_at_any_call_leaves_the_others_done_and_the_next_run_does_the_rest(
    make_world: Callable[[], World], kind: str
) -> None:
    expected, calls = uninterrupted(make_world)
    method = f"{kind}_permissions" if kind in ("update", "replace") else kind
    for number in range(1, calls.count(kind) + 1):
        for when in ("before", "after"):
            world = make_world()
            prepare(world)
            world.jobs.fail_on(method, nth=number, when=when)
            done = world.apply()
            assert [w.startswith("failed") for w in done.values()].count(True) == 1
            again = world.apply()
            assert not any(word.startswith("failed") for word in again.values())
            assert outcome(world) == expected, (number, when)


def test_killed_again_and_again_makes_progress(make_world: Callable[[], World]) -> None:
    expected, calls = uninterrupted(make_world)
    world = make_world()
    prepare(world)
    for number in range(1, 3 * len(calls), 3):
        try:
            world.orchestrator(CrashPoint(number, after=True)).apply()
        except Crash:
            continue
    assert outcome(world) == expected


def test_a_job_made_by_a_run_that_died_is_retired_when_its_module_goes_first(
    make_world: Callable[[], World],
) -> None:
    world = make_world()
    world.source("sales")
    world.module("sales", schedule=SCHEDULE)
    at = calls_until(make_world, "create_job")
    with pytest.raises(Crash):
        world.orchestrator(CrashPoint(at, after=True)).apply()
    world.remove("sales")
    world.clock.advance(61)
    world.apply()
    [settings] = world.live.values()
    assert settings["schedule"]["pause_status"] == "PAUSED"


def test_a_list_of_jobs_from_before_the_lock_is_not_trusted(
    make_world: Callable[[], World],
) -> None:
    world = make_world()
    for number in range(60):
        world.source(f"m{number}")
    world.apply()
    world.source("new")
    inner = world.store
    at = calls_until(make_world, "create_job")

    class Overtaken(MeetingStore):
        """Another run creates the job, and dies, after this one has listed all jobs."""

        def merge(self, *arguments: Any, **options: Any) -> MergeResult:
            if not hasattr(self._met, "once"):
                self._met.once = True
                calls = [call.method for call in world.jobs.calls]
                assert calls[-1] == "list_jobs"
                other = CrashPoint(at, after=True)
                world.store = inner
                with pytest.raises(Crash):
                    world.orchestrator(other).apply(["new"])
                assert other.calls[-1] == "create_job"
            return self._store.merge(*arguments, **options)

    world.store = Overtaken(inner, threading.Barrier(1))
    assert world.orchestrator().apply(["new", *sorted(world.records)])[-1].action == "adopted"
    assert len(world.live) == 61


def test_a_run_that_died_delays_the_next_one_by_its_lease_only(
    make_world: Callable[[], World],
) -> None:
    world = make_world()
    world.source("sales")
    at = calls_until(make_world, "create_job")
    with pytest.raises(Crash):
        world.orchestrator(CrashPoint(at), lease_seconds=60).apply()
    started = world.clock()
    assert world.apply() == {"sales": "created"}
    assert 59 <= (world.clock() - started).total_seconds() <= 61


def test_a_lock_that_somebody_holds_too_long_fails_by_name_and_creates_nothing(
    make_world: Callable[[], World],
) -> None:
    world = make_world()
    world.source("sales")
    until = "2999-01-01T00:00:00+00:00"
    value = json.dumps({"owner": "other", "until": until})
    row = {"key": "jobs/creation", "value": value, "fence": 4}
    world.store.merge(TABLES.of(STATE), [row], keys=["key"])
    [result] = world.orchestrator(wait_seconds=10).apply()
    assert "another run has been creating jobs for 10 seconds" in (result.error or "")
    assert world.live == {}


def test_a_run_that_lost_the_lock_creates_nothing_more(make_world: Callable[[], World]) -> None:
    world = make_world()
    for name in ("a", "b", "c"):
        world.source(name)

    class Slow(FakeJobs):
        """The first creation takes longer than the lease, and another run steps in."""

        def create_job(self, settings: Any) -> int:
            job_id = super().create_job(settings)
            if len(self.calls_of("create_job")) == 1:
                world.clock.advance(1000)
                table = TABLES.of(STATE)
                [row] = world.store.read(table).to_pylist()
                stolen = {**row, "fence": row["fence"] + 1}
                world.store.merge(table, [stolen], keys=["key"], fence="fence")
            return job_id

    world.jobs = Slow(world.clock)
    done = world.apply()
    assert done["a"] == "created"
    assert done["b"] == done["c"] == "failed: the lock on creating jobs was lost to another run"
    assert len(world.live) == 1


@pytest.mark.parametrize("kind", ["fake", "deltars"])
def test_two_orchestrators_at_once_make_one_job(
    make_world: Callable[[], World], kind: str, tmp_path: Path
) -> None:
    world = make_world()
    if kind == "deltars":
        world.store = DeltaRsStore(tmp_path)
        for table, layout in TABLES.all().items():
            world.store.ensure(table, layout)
    for name in ("sales", "hr"):
        world.source(name, "q", sql_query="SELECT 1")
    world.store = MeetingStore(world.store, threading.Barrier(2))
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(world.orchestrator(sleep=_nap).apply) for _ in range(2)]
        first, second = sorted((run.result() for run in runs), key=lambda o: o[0].action)
    assert [o.action for o in first] == ["created", "created"]
    assert [o.action for o in second] == ["unchanged", "unchanged"]
    assert [o.job_id for o in first] == [o.job_id for o in second] == sorted(world.live)
    assert len(world.jobs.calls_of("create_job")) == 2
    assert len(world.queries.list_queries()) == 2


def _nap(_seconds: float) -> None:
    threading.Event().wait(0.01)


# --------------------------------------------------------------------------- Ctrl-C


def _interrupt() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def test_ctrl_c_while_waiting_for_the_lock_ends_the_run_at_once(
    make_world: Callable[[], World],
) -> None:
    world = make_world()
    world.source("new")
    value = json.dumps({"owner": "other", "until": "2999-01-01T00:00:00+00:00"})
    row = {"key": "jobs/creation", "value": value, "fence": 4}
    world.store.merge(TABLES.of(STATE), [row], keys=["key"])
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        if not naps:
            _interrupt()
        naps.append(seconds)
        _nap(seconds)

    with pytest.raises(ApplyStopped) as stopped:
        world.orchestrator(sleep=sleep, wait_seconds=1e9).apply()
    [outcome] = stopped.value.outcomes
    assert (outcome.module, outcome.action, outcome.failed) == ("new", "skipped", False)
    assert len(naps) < 100
    assert world.live == {}


def test_ctrl_c_never_comes_between_a_call_and_its_record(make_world: Callable[[], World]) -> None:
    """One job after the other too: the interrupt comes while a job is being made."""

    noticed = threading.Event()

    class Interrupted(FakeJobs):
        def create_job(self, settings: Any) -> int:
            if len(self.calls_of("create_job")) == 1:
                _interrupt()
                assert noticed.wait(30)
            return super().create_job(settings)

    world = make_world()
    world.jobs = Interrupted(world.clock)
    for name in "abcd":
        world.source(name)
    with pytest.raises(ApplyStopped) as stopped:
        world.orchestrator(progress=lambda e: None if e.key else noticed.set()).apply()
    assert {o.module: o.action for o in stopped.value.outcomes} == {
        "a": "created",
        "b": "created",
        "c": "skipped",
        "d": "skipped",
    }
    assert {row["job_id"] for row in world.records.values()} == set(world.live)
    assert world.apply() == {"a": "unchanged", "b": "unchanged", "c": "created", "d": "created"}


def test_a_second_ctrl_c_does_not_wait(make_world: Callable[[], World]) -> None:
    going_on = threading.Event()

    class Hanging(FakeJobs):
        def create_job(self, settings: Any) -> int:
            _interrupt()
            assert going_on.wait(30)
            return super().create_job(settings)

    world = make_world()
    world.jobs = Hanging(world.clock)
    world.source("a")
    with pytest.raises(KeyboardInterrupt):
        world.orchestrator(progress=lambda e: _interrupt() if not e.key else None).apply()
    assert not going_on.is_set()
    going_on.set()
