"""Jobs start by themselves: each time and each event once, whatever the clock or a process does."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from serve_world import ServeWorld, eventually

from lakeflow_meta.backends.processes import process_name
from lakeflow_meta.backends.serve_store import ServeStore
from lakeflow_meta.errors import BackendError, ConflictError
from lakeflow_meta.ports import RunState, TriggerKind
from lakeflow_meta.serve.happenings import What

HOUR, DAY = 3600.0, 86400.0
START = datetime(2026, 1, 1, tzinfo=UTC)
LANDING = {"file_arrival": {"url": "/Volumes/m/s/in"}}
URL = "/Volumes/m/s/in"


# --------------------------------------------------------------------------- times


def test_a_schedule_starts_its_job_at_its_time_and_once(world: ServeWorld) -> None:
    job = world.cron("0 30 2 * * ?")
    server = world.server()
    world.look(server)
    world.look(server, after=2 * HOUR)
    assert world.count(job) == 0
    world.look(server, after=0.5 * HOUR)
    world.look(server, after=1)
    [run] = world.runs(job)
    assert run.trigger.kind is TriggerKind.PERIODIC
    assert run.trigger.at == START + timedelta(hours=2.5)
    world.look(server, after=DAY)
    assert world.count(job) == 2


def test_a_clock_that_leaps_forward_brings_one_run_not_hundreds(world: ServeWorld) -> None:
    job = world.cron("0 * * * * ?")
    server = world.server()
    world.look(server)
    world.look(server, after=10 * HOUR)
    assert world.count(job) == 1
    world.look(server, after=60)
    assert world.count(job) == 2


def test_a_clock_that_goes_back_starts_nothing_twice_and_does_not_stop(world: ServeWorld) -> None:
    job = world.cron("0 0 * * * ?")
    server = world.server()
    world.look(server)
    for _ in range(3):
        world.look(server, after=HOUR)
    world.look(server, after=-2.5 * HOUR)
    for _ in range(5):
        world.look(server, after=0.5 * HOUR)
    assert world.count(job) == 3  # the hours that came again were fired before
    assert len(world.said(What.STARTED)) == 3
    world.look(server, after=HOUR)
    assert world.count(job) == 4


def test_a_clock_that_was_years_ahead_holds_no_job_up(world: ServeWorld) -> None:
    job = world.cron("0 0 * * * ?")
    server = world.server()
    world.look(server, after=3650 * DAY)
    world.look(server, after=-3650 * DAY)
    world.look(server, after=HOUR)
    assert world.count(job) == 1


def test_what_came_due_while_nobody_served_is_said_and_not_made_up_for(world: ServeWorld) -> None:
    job = world.cron("0 0 2 * * ?")
    world.look(world.server())
    world.clock.advance(3 * DAY)
    after = world.server()
    world.look(after)
    assert world.count(job) == 0
    assert world.said(What.MISSED) == [
        "due 2026-01-01 02:00:00+00:00, when nobody served; not made up for"
    ]
    world.look(after, after=2 * HOUR)
    assert world.count(job) == 1
    assert len(world.said(What.MISSED)) == 1


def test_looking_once_runs_what_came_due_since_the_last_look(world: ServeWorld) -> None:
    job = world.cron("0 0 2 * * ?")
    for _ in range(3):
        world.look(world.server(make_up=True))
        world.clock.advance(2 * DAY)
    assert world.count(job) == 2


def test_a_period_is_counted_from_when_it_was_first_seen_over_restarts(world: ServeWorld) -> None:
    job = world.job(trigger={"periodic": {"interval": 2, "unit": "HOURS"}})
    world.look(world.server())
    server = world.server()
    world.look(server, after=1.9 * HOUR)
    assert world.count(job) == 0
    world.look(server, after=0.2 * HOUR)
    world.look(server, after=1.8 * HOUR)
    assert world.count(job) == 1
    world.look(server, after=0.2 * HOUR)
    assert [run.trigger.at for run in world.runs(job)] == [
        START + timedelta(hours=2),
        START + timedelta(hours=4),
    ]


def test_a_paused_schedule_rests_and_goes_on_without_arrears(world: ServeWorld) -> None:
    schedule = {"quartz_cron_expression": "0 0 * * * ?", "timezone_id": "UTC"}
    job = world.job(schedule=schedule)
    server = world.server()
    world.look(server)
    world.workspace.update_job(job, {"schedule": {**schedule, "pause_status": "PAUSED"}})
    world.look(server, after=0.25 * HOUR)
    world.look(server, after=5 * HOUR)
    world.workspace.update_job(job, {"schedule": {**schedule, "pause_status": "UNPAUSED"}})
    world.look(server, after=0.5 * HOUR)
    assert world.count(job) == 0
    world.look(server, after=0.25 * HOUR)
    assert world.count(job) == 1


def test_jobs_that_appear_change_or_go_are_picked_up_and_told(world: ServeWorld) -> None:
    server = world.server()
    world.look(server)
    job = world.cron("0 0 * * * ?", "new")
    world.look(server)
    settings = {"schedule": {"quartz_cron_expression": "0 0 0 * * ?", "timezone_id": "UTC"}}
    world.workspace.update_job(job, settings)
    world.look(server, after=HOUR)
    assert world.count(job) == 0
    world.workspace.delete_job(job)
    world.look(server, after=DAY)
    assert world.count(job) == 0
    assert [(h.what, h.text) for h in world.told] == [
        (What.JOB_ADDED, "0 0 * * * ? UTC"),
        (What.JOB_CHANGED, "0 0 0 * * ? UTC"),
        (What.JOB_REMOVED, ""),
    ]


# --------------------------------------------------------------------------- files


def test_new_files_start_one_run_and_those_that_were_there_none(world: ServeWorld) -> None:
    job = world.job(trigger=LANDING)
    world.seen.put(URL, "old.csv")
    server = world.server()
    world.look(server)
    assert world.count(job) == 0
    world.seen.put(URL, "a.csv", "b.csv")
    world.look(server, after=5)
    world.look(server, after=5)
    [run] = world.runs(job)
    assert run.trigger.kind is TriggerKind.FILE_ARRIVAL
    assert run.trigger.details == {"location": URL}
    assert "2 files, first a.csv" in world.said(What.STARTED)


def test_an_overwritten_file_is_no_news_and_one_that_comes_again_is(world: ServeWorld) -> None:
    job = world.job(trigger=LANDING)
    server = world.server()
    world.look(server)
    world.seen.put(URL, "a.csv")
    world.look(server)
    world.seen.put(URL, "a.csv", size=2)
    world.look(server)
    assert world.count(job) == 1
    del world.seen.folders[URL]["a.csv"]
    world.look(server)
    world.seen.put(URL, "a.csv")
    world.look(server)
    assert world.count(job) == 2


def test_files_that_arrive_while_nobody_serves_are_not_lost(world: ServeWorld) -> None:
    job = world.job(trigger=LANDING)
    world.look(world.server())
    world.seen.put(URL, "night.csv")
    server = world.server()
    world.look(server, after=DAY)
    assert world.count(job) == 1
    world.look(world.server())
    assert world.count(job) == 1


def test_a_trigger_waits_for_quiet_and_for_its_shortest_interval(world: ServeWorld) -> None:
    arrival = {
        "url": URL,
        "wait_after_last_change_seconds": 60,
        "min_time_between_triggers_seconds": 600,
    }
    job = world.job(trigger={"file_arrival": arrival})
    server = world.server()
    world.look(server)
    for number in range(5):
        world.seen.put(URL, f"{number}.csv")
        world.look(server, after=40)
    assert world.count(job) == 0
    world.look(server, after=60)
    assert world.count(job) == 1
    world.seen.put(URL, "late.csv")
    world.look(server, after=61)
    world.look(world.server(), after=200)  # what it waits for outlives a process
    assert world.count(job) == 1
    server = world.server()
    world.look(server, after=400)
    assert world.count(job) == 2


def test_files_wait_until_their_job_may_have_another_run(world: ServeWorld) -> None:
    job = world.job(trigger=LANDING)
    server = world.server()
    world.look(server)
    world.gate.clear()
    world.seen.put(URL, "a.csv")
    world.look(server)
    world.seen.put(URL, "b.csv")
    world.look(server)
    world.look(server)
    assert world.count(job) == 1
    assert len(world.said(What.WAITS)) == 1
    world.gate.set()
    world.wait(server)
    world.look(server)
    world.look(server)
    assert world.count(job) == 2


def test_a_folder_that_cannot_be_listed_holds_up_no_other_job(world: ServeWorld) -> None:
    world.job("first", trigger=LANDING)
    other = world.cron("0 0 * * * ?", "second")
    world.seen.broken.add(URL)
    server = world.server()
    world.look(server)
    world.look(server, after=HOUR)
    assert world.count(other) == 1
    assert world.said(What.FAILED) == [f"{URL} cannot be listed: no permission"]


# --------------------------------------------------------------------------- tables


def test_a_change_of_any_table_starts_a_run_with_their_names(world: ServeWorld) -> None:
    job = world.job(trigger={"table_update": {"table_names": ["m.s.a", "m.s.b"]}})
    world.seen.tables = {"m.s.a": [True], "m.s.b": [True]}
    server = world.server()
    world.look(server)
    world.seen.tables["m.s.a"].append(False)  # compaction
    world.look(server)
    assert world.count(job) == 0
    world.seen.tables["m.s.b"].append(True)
    world.look(server)
    world.look(server)
    [run] = world.runs(job)
    assert run.trigger.kind is TriggerKind.TABLE
    assert run.trigger.details == {"updated_tables": '["m.s.b"]'}


def test_all_tables_must_have_changed_where_it_says_so(world: ServeWorld) -> None:
    update = {"table_names": ["m.s.a", "m.s.b"], "condition": "ALL_UPDATED"}
    job = world.job(trigger={"table_update": update})
    server = world.server()
    world.look(server)
    world.seen.tables["m.s.a"] = [True]
    world.look(server)
    world.look(world.server())
    assert world.count(job) == 0
    world.seen.tables["m.s.b"] = [True]
    server = world.server()
    world.look(server)
    assert world.count(job) == 1
    world.seen.tables["m.s.b"].append(True)
    world.look(server)
    assert world.count(job) == 1


# --------------------------------------------------------------------------- continuous


def test_a_continuous_job_has_one_run_after_the_other(world: ServeWorld) -> None:
    job = world.job(continuous={})
    server = world.server()
    world.gate.clear()
    for _ in range(3):
        world.look(server, after=60)
    assert world.count(job) == 1
    world.gate.set()
    world.wait(server)
    world.look(server, after=2)
    world.look(server, after=2)
    assert world.count(job) == 3
    assert {run.trigger.kind for run in world.runs(job)} == {TriggerKind.CONTINUOUS}


def test_a_continuous_job_that_fails_is_tried_later_and_later(world: ServeWorld) -> None:
    job = world.job(continuous={})
    world.fails = True
    server = world.server()
    counts = []
    for _ in range(60):
        world.look(server, after=5)
        counts.append(world.count(job))
    tries = [5 * (n + 1) for n in range(60) if n == 0 or counts[n] > counts[n - 1]]
    assert tries == [5, 10, 20, 40, 80, 160]
    world.fails = False
    world.look(server, after=400)
    world.look(server, after=2)
    assert counts[-1] + 2 == world.count(job)


def test_a_cancelled_run_of_a_continuous_job_is_followed_by_one_at_once(world: ServeWorld) -> None:
    job = world.job(continuous={})
    server = world.server()
    world.gate.clear()
    world.look(server)
    world.workspace.cancel_run(world.runs(job)[0].run_id)
    eventually(lambda: world.runs(job)[0].state.ended)
    world.gate.set()
    world.wait(server)
    world.look(server, after=2)
    assert [run.state for run in world.runs(job)] == [RunState.CANCELLED, RunState.SUCCESS]


# --------------------------------------------------------------------------- refusals


def test_a_time_at_which_the_job_still_runs_is_skipped_with_the_reason(world: ServeWorld) -> None:
    job = world.cron("0 0 * * * ?")
    server = world.server()
    world.look(server)
    world.gate.clear()
    world.look(server, after=HOUR)
    world.look(server, after=HOUR)
    assert world.count(job) == 1
    [said] = world.said(What.SKIPPED)
    assert "may have 1 run(s) at once" in said
    world.gate.set()
    world.wait(server)
    world.look(server)
    assert world.count(job) == 1


def test_a_job_with_a_queue_gets_every_run(world: ServeWorld) -> None:
    job = world.cron("0 0 * * * ?", queue={"enabled": True})
    server = world.server()
    world.look(server)
    world.gate.clear()
    for _ in range(3):
        world.look(server, after=HOUR)
    assert world.count(job) == 3
    world.gate.set()
    world.wait(server)
    assert [run.state for run in world.runs(job)] == [RunState.SUCCESS] * 3


def test_a_job_that_cannot_run_here_is_told_and_the_next_time_tried_again(
    world: ServeWorld,
) -> None:
    task = {"task_key": "jar", "spark_jar_task": {"main_class_name": "x"}}
    job = world.cron("0 0 * * * ?", tasks=[task])
    server = world.server()
    world.look(server)
    world.look(server, after=HOUR)
    world.look(server, after=HOUR)
    assert world.count(job) == 0
    assert len(world.said(What.FAILED)) == 2
    assert server.had_failures


def test_what_only_the_platform_can_wait_for_is_refused_by_name(world: ServeWorld) -> None:
    job = world.job(trigger={"model": {"name": "m"}})
    server = world.server()
    world.look(server)
    assert "never here" in str(server.jobs[0].starter)
    assert world.count(job) == 0


# --------------------------------------------------------------------------- processes


def test_a_second_process_is_refused_with_who_serves(world: ServeWorld) -> None:
    mine = ServeStore(world.home / "serve.db", world.clock)
    assert mine.take() is None
    with pytest.raises(ConflictError, match=r"process \d+ on \S+ serves this home already"):
        world.server()
    mine.let_go()
    world.server()
    mine.close()


def test_what_a_dead_process_held_is_taken_over_at_once_and_its_last_words_refused(
    world: ServeWorld,
) -> None:
    dead = world.server()
    alive = ServeStore(world.home / "serve.db", world.clock)
    assert alive.take() not in (None, process_name())
    with pytest.raises(ConflictError, match="another process has taken"):
        dead._store.renew()
    alive.close()


def test_stopping_waits_for_runs_and_starts_none(world: ServeWorld) -> None:
    job = world.cron("0 0 * * * ?", max_concurrent_runs=5)
    server = world.server()
    world.look(server)
    world.gate.clear()
    world.look(server, after=HOUR)
    server.stop.asked = 1
    world.clock.advance(HOUR)
    server.run()
    world.gate.set()
    server.end(drain_seconds=10)
    assert [run.state for run in world.runs(job)] == [RunState.SUCCESS]
    world.stores.append(ServeStore(world.home / "serve.db", world.clock))
    assert world.stores[-1].take() is None, "it did not let go"


def test_runs_that_take_too_long_to_stop_are_cancelled(world: ServeWorld) -> None:
    job = world.cron("0 0 * * * ?")
    server = world.server()
    world.look(server)
    world.gate.clear()
    world.look(server, after=HOUR)
    server.stop.asked = 1
    run_id = world.runs(job)[0].run_id
    server.end(drain_seconds=0.05)
    eventually(lambda: world.workspace.get_run(run_id).state.ended)
    assert world.workspace.get_run(run_id).state is RunState.CANCELLED


# --------------------------------------------------------------------------- refusals of the disk


class Failing:
    """A port whose named method raises once, before or after it took effect."""

    def __init__(self, port: Any, method: str, error: Exception, *, after: bool = False) -> None:
        self._port, self._method, self._error, self._after = port, method, error, after
        self.struck = False

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._port, name)
        if name != self._method or self.struck:
            return real

        def call(*arguments: Any) -> Any:
            self.struck = True
            if self._after:
                real(*arguments)
            raise self._error

        return call


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("method", ["claim", "settle", "remember", "renew", "start", "get"])
def test_a_call_that_fails_once_loses_no_file_and_starts_nothing_twice(
    world: ServeWorld, method: str, after: bool
) -> None:
    job = world.job(trigger=LANDING)
    server = world.server()
    world.look(server)
    error = BackendError("the disk is full", transient=True)
    failing = [Failing(port, method, error, after=after) for port in (server._store, server._runs)]
    server._store, server._runs = failing[0], failing[1]  # type: ignore[assignment]
    server._known._store = failing[0]  # type: ignore[assignment]
    server._active._runs = failing[1]  # type: ignore[assignment]
    world.seen.put(URL, "a.csv")
    server._next_renewal = 0.0
    for _ in range(4):
        world.clock.advance(5)
        server._tick()
        server._next_poll = 0.0
        eventually(lambda: all(run.state.ended for run in world.runs(job)))
    assert world.count(job) == 1
    world.seen.put(URL, "b.csv")
    world.look(server)
    assert world.count(job) == 2
    assert any(port.struck for port in failing) or method == "remember"
