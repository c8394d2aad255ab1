"""Work at the times of a schedule: the orchestrator that `serve` runs beside the jobs."""

import threading
from datetime import UTC, datetime, timedelta

from lakeflow_meta.errors import BackendError
from lakeflow_meta.jobs.cron_times import cron_times
from lakeflow_meta.serve.happenings import Happening, What
from lakeflow_meta.serve.scheduled import ScheduledWork
from lakeflow_meta.testing import FixedClock

START = datetime(2026, 1, 1, tzinfo=UTC)


class Stop(threading.Event):
    """Waiting moves the clock; nobody waits for ever."""

    def __init__(self, clock: FixedClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is None:
            assert self.is_set() or self._clock() > START + timedelta(days=9), "it waits for ever"
            return True
        self._clock.advance(timeout)
        return self.is_set()


def _worked(expression: str, times: int) -> tuple[list[datetime], list[Happening]]:
    """When it worked, with every second try failing, and what it told."""
    clock, told = FixedClock(), list[Happening]()
    stop, worked = Stop(clock), list[datetime]()

    def work() -> str:
        worked.append(clock())
        clock.advance(90)
        if len(worked) == times:
            stop.set()
        if len(worked) % 2 == 0:
            raise BackendError("no answer")
        return "nothing changed"

    schedule = cron_times(expression, "UTC")
    ScheduledWork(schedule, work, tell=told.append, clock=clock, stop=stop).run()
    return worked, told


def test_it_works_at_its_times_and_a_failure_is_told_and_tried_again() -> None:
    worked, told = _worked("0 0/5 * * * ?", 4)
    assert worked == [START + timedelta(minutes=5 * n) for n in range(1, 5)]
    assert [happening.bad for happening in told] == [False, True, False, True]
    assert {happening.what for happening in told} == {What.ORCHESTRATOR}


def test_times_that_pass_while_it_works_are_left_out() -> None:
    worked, _ = _worked("0 * * * * ?", 3)
    assert worked == [START + timedelta(minutes=n) for n in (1, 3, 5)]


def test_a_schedule_that_is_over_is_waited_out() -> None:
    clock = FixedClock(START + timedelta(days=10))
    schedule = cron_times("0 0 0 1 1 ? 2020", "UTC")
    work = ScheduledWork(schedule, str, tell=print, clock=clock, stop=Stop(clock))
    work.run()
