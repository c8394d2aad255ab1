"""Starts the jobs of one workspace by themselves, for as long as it is let.

A look reads what there is to see and decides; a fire is claimed, with all that belongs to it, in
one transaction before its run is started, and settled after. A process that dies in between leaves
an open fire, and the next one starts it by the same token: the workspace starts one run for it,
whichever of the two came through. A fire that the workspace refuses is skipped, as the platform
does it; files and changes of tables wait until the job may have another run, so none is lost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import assert_never

from lakeflow_meta.errors import BackendError, ConflictError, LakeflowMetaError, NotFoundError
from lakeflow_meta.ports import Clock, FiredRuns, FireStore, Sightings, Sleep, utc_now
from lakeflow_meta.serve.due import (
    Decision,
    current_memory,
    due_by_files,
    due_by_tables,
    due_by_time,
    due_when_ended,
    next_time_after,
)
from lakeflow_meta.serve.happenings import What
from lakeflow_meta.serve.memory import Fire, Memory
from lakeflow_meta.serve.recollection import Recollection
from lakeflow_meta.serve.run_watch import RunWatch
from lakeflow_meta.serve.telling import Tell, Teller
from lakeflow_meta.serve.triggers import (
    Always,
    AtTimes,
    NotHere,
    OnFiles,
    OnTables,
    Periodically,
    StartedJob,
)

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.2
"""How long the loop sleeps at most: a signal, an ended run or a due time is seen after that."""
RENEW_SECONDS = 10.0
_REST = 10.0
"""After a look that took a second, a trigger is left alone for so many: large folders."""
_RUNS_LOOKED_AT = 12
_GIVE_UP_SECONDS = 20.0

Jobs = Callable[[], Sequence[StartedJob] | None]
"""The jobs that something starts; None where nothing has changed since the last call."""


class StopSignal:
    """How often somebody asked to stop. A signal handler may ask: it takes no lock."""

    def __init__(self) -> None:
        self.asked = 0

    def ask(self) -> None:
        """Ask to stop, or once more."""
        self.asked += 1


class Server:
    """``chosen`` limits it to these jobs. ``poll_seconds``: between two looks at files, tables and
    jobs; schedules are met to the second. It holds the store while it runs.
    """

    def __init__(
        self,
        store: FireStore,
        runs: FiredRuns,
        sightings: Sightings,
        jobs: Jobs,
        *,
        chosen: Callable[[StartedJob], bool] = lambda _job: True,
        tell: Tell,
        clock: Clock = utc_now,
        sleep: Sleep = time.sleep,
        stop: StopSignal | None = None,
        poll_seconds: float = 2.0,
    ) -> None:
        self._store = store
        self._runs = runs
        self._sightings = sightings
        self._source = jobs
        self._chosen = chosen
        self._clock = clock
        self._sleep = sleep
        self.stop = stop or StopSignal()
        self._poll_seconds = poll_seconds
        self._jobs: dict[int, StartedJob] = {}
        self._known = Recollection(store)
        self._unattended: set[int] = set()
        """Jobs whose times have passed unseen since the last process; not looked at yet."""
        self._due: dict[int, datetime | None] = {}
        self._rest_until: dict[int, float] = {}
        self._open: dict[str, Fire] = {}
        self._teller = Teller(tell, clock)
        self._active = RunWatch(runs, self._teller, clock)
        self._last_look: datetime | None = None
        self._next_poll = self._next_renewal = 0.0
        self._has_read = False

    # ----------------------------------------------------------------- the loop

    def run(self, check: Callable[[], None] = lambda: None) -> None:
        """Start what is due, until somebody asks to stop. ``check`` is called again and again, and
        raises what is to end it.
        """
        while not self.stop.asked:
            check()
            self._tick()
            self._sleep(TICK_SECONDS)

    def begin(self, *, make_up: bool = False) -> None:
        """Become the one that serves this home, and take up what a dead process left.

        ``make_up``: what came due since the last look is started, once a job. Raises ConflictError
        when another process serves it.
        """
        former = self._store.take()
        if former is not None:
            logger.info("took over from %s", former)
        self._known.load()
        self._unattended = set() if make_up else set(self._known.job_ids)
        self._open = {fire.token: fire for fire in self._store.open_fires()}

    def end(self, drain_seconds: float) -> None:
        """Wait for the runs of this process; cancel them when it takes too long, or when asked to
        stop once more. Then somebody else may serve this home.
        """
        try:
            if self._active:
                self._wait_for_runs(drain_seconds)
        finally:
            self._store.let_go()

    def _wait_for_runs(self, drain_seconds: float) -> None:
        self._teller.say(What.SERVE, f"no new runs; waiting for {len(self._active)}")
        until = time.monotonic() + drain_seconds
        while self._active and time.monotonic() < until and self.stop.asked < 2:
            self._follow_on()
        if not self._active:
            return
        self._teller.say(What.SERVE, f"cancelling {len(self._active)} run(s)")
        self._active.cancel()
        until = time.monotonic() + _GIVE_UP_SECONDS
        while self._active and time.monotonic() < until:
            self._follow_on()

    def _follow_on(self) -> None:
        self._renew()
        self._active.follow()
        self._sleep(TICK_SECONDS if self._active else 0)

    def wait(self) -> None:
        """Until every run that this process started has ended, or somebody asks to stop."""
        while self._active and not self.stop.asked:
            self._follow_on()

    def _tick(self) -> None:
        """A whole look when it is time for one, else only what is cheap."""
        self._renew()
        now, at = self._clock(), time.monotonic()
        if at >= self._next_poll or self._jumped(now):
            self.look()
            self._next_poll = at + self._poll_seconds
            return
        self._last_look = now
        for job_id, due in self._due.items():
            if due is not None and due <= now:
                self._consider(self._jobs[job_id], now)
        self._write()
        if self._active.follow():
            self._look_at(lambda job: isinstance(job.starter, Always))

    def _jumped(self, now: datetime) -> bool:
        """Whether the clock went back since the last look."""
        return self._last_look is not None and now < self._last_look

    def _renew(self) -> None:
        """Raises ConflictError when somebody else serves. A disk that refuses ends nothing."""
        if time.monotonic() < self._next_renewal:
            return
        self._next_renewal = time.monotonic() + RENEW_SECONDS
        try:
            self._store.renew()
        except BackendError as error:
            self._teller.say(What.FAILED, str(error), bad=True)

    # ----------------------------------------------------------------- one look

    def look(self) -> None:
        """Read the jobs where they changed, start what is due, tell what has ended."""
        now = self._clock()
        if self._jumped(now):
            self._due.clear()
        self._last_look = now
        self._read_jobs()
        self._start_open()
        self._look_at(lambda _job: True)
        self._active.follow()

    def _look_at(self, which: Callable[[StartedJob], bool]) -> None:
        now = self._clock()
        for job in list(self._jobs.values()):
            if which(job):
                self._consider(job, now)
        self._write()

    @property
    def had_failures(self) -> bool:
        """Whether something failed so far."""
        return self._teller.had_failures

    @property
    def jobs(self) -> list[StartedJob]:
        """The jobs that it looks after."""
        return list(self._jobs.values())

    def _read_jobs(self) -> None:
        try:
            found = self._source()
        except BackendError as error:
            self._teller.say(What.FAILED, f"the jobs cannot be read: {error}", bad=True)
            return
        if found is None:
            return
        every = {job.job_id: job for job in found}
        self._forget((self._known.job_ids | self._jobs.keys()) - every.keys())
        before, self._jobs = self._jobs, {k: job for k, job in every.items() if self._chosen(job)}
        self._due = {}
        if self._has_read:
            self._tell_changes(before)
        self._has_read = True

    def _forget(self, gone: Collection[int]) -> None:
        self._open = {t: fire for t, fire in self._open.items() if fire.job_id not in gone}
        try:
            self._known.forget(gone)
        except BackendError as error:
            logger.warning("what was remembered of jobs that are gone stays: %s", error)

    def _tell_changes(self, before: Mapping[int, StartedJob]) -> None:
        for job_id in before.keys() - self._jobs.keys():
            self._teller.say(What.JOB_REMOVED, job=before[job_id])
        for job_id, job in self._jobs.items():
            state = ", paused" if job.paused else ""
            if job_id not in before:
                self._teller.say(What.JOB_ADDED, f"{job.starter}{state}", job=job)
            elif job != before[job_id]:
                self._teller.say(What.JOB_CHANGED, f"{job.starter}{state}", job=job)
                self._rest_until.pop(job_id, None)

    # ----------------------------------------------------------------- one job

    def _consider(self, job: StartedJob, now: datetime) -> None:
        """What goes wrong with one job is told, and holds up no other."""
        began = time.monotonic()
        due = self._due.get(job.job_id)
        if began < self._rest_until.get(job.job_id, 0.0) or (due is not None and now < due):
            return
        self._try(job, partial(self._look_at_job, job, now))
        took = time.monotonic() - began
        if isinstance(job.starter, OnFiles | OnTables) and took > self._poll_seconds / _REST:
            self._rest_until[job.job_id] = time.monotonic() + took * _REST

    def _try(self, job: StartedJob, act: Callable[[], None]) -> None:
        try:
            act()
        except LakeflowMetaError as error:
            self._teller.say_once(What.FAILED, str(error), job)
        else:
            self._teller.is_over(What.FAILED, job)

    def _look_at_job(self, job: StartedJob, now: datetime) -> None:
        memory = current_memory(job, self._known.of(job.job_id), now)
        waiting = any(fire.job_id == job.job_id for fire in self._open.values())
        if job.paused or waiting or isinstance(job.starter, NotHere):
            self._known.keep(Decision(memory).note(job.job_id))
            self._unattended.discard(job.job_id)
        else:
            self._act(job, self._decide(job, memory, now), now)

    def _decide(self, job: StartedJob, memory: Memory, now: datetime) -> Decision:
        match job.starter:
            case AtTimes() | Periodically():
                was_away = job.job_id in self._unattended
                self._unattended.discard(job.job_id)
                return due_by_time(job, memory, now, was_away=was_away)
            case Always():
                newest = self._runs.newest(job.job_id, _RUNS_LOOKED_AT)
                return due_when_ended(job, memory, newest, now)
            case OnFiles() as starter:
                files = self._sightings.files(starter.url)
                seen = self._known.seen_files(job.job_id)
                return due_by_files(job, starter, memory, seen, files, now)
            case OnTables() as starter:
                read = self._sightings.data_version
                known = memory.versions
                versions = {name: read(name, known.get(name, -1)) for name in starter.tables}
                return due_by_tables(job, starter, memory, versions, now)
            case NotHere():
                return Decision(memory)
            case other:
                assert_never(other)

    def _act(self, job: StartedJob, decision: Decision, now: datetime) -> None:
        if decision.missed is not None:
            at = decision.missed.isoformat(sep=" ", timespec="seconds")
            self._teller.say(What.MISSED, f"due {at}, when nobody served; not made up for", job=job)
        fire, note = decision.fire, decision.note(job.job_id)
        if fire is None:
            self._known.keep(note)
        elif self._known.claim(fire, note):
            self._open[fire.token] = fire
            self._start(fire, job)
        if isinstance(job.starter, AtTimes | Periodically):
            self._due[job.job_id] = next_time_after(job, decision.memory, now)

    def _write(self) -> None:
        """What cannot be written is found again at the next look."""
        try:
            self._known.write()
        except BackendError as error:
            self._teller.say(What.FAILED, str(error), bad=True)

    # ----------------------------------------------------------------- runs

    def _start_open(self) -> None:
        """What waits for its job, or was claimed by a process that died."""
        for fire in list(self._open.values()):
            job = self._jobs.get(fire.job_id)
            if job is not None and not job.paused:
                self._try(job, partial(self._start, fire, job))

    def _start(self, fire: Fire, job: StartedJob) -> None:
        try:
            run_id = self._runs.start(
                fire.job_id, fire.trigger, f"{self._store.identity} {fire.token}"
            )
        except ConflictError as error:
            if fire.may_wait:
                self._teller.say_once(What.WAITS, str(error), job)
                return
            self._settle(fire, "skipped")
            self._teller.say(What.SKIPPED, str(error), job=job)
        except NotFoundError as error:
            self._settle(fire, "gone")
            self._teller.say(What.SKIPPED, str(error), job=job)
        except LakeflowMetaError as error:
            if isinstance(error, BackendError) and error.transient:
                self._teller.say_once(What.WAITS, str(error), job)
                return
            self._settle(fire, "refused")
            self._teller.say(What.FAILED, str(error), job=job, bad=True)
        else:
            self._settle(fire, f"run {run_id}")
            self._teller.is_over(What.WAITS, job)
            self._active.add(run_id)
            self._teller.say(What.STARTED, fire.reason, job=job, run_id=run_id)

    def _settle(self, fire: Fire, outcome: str) -> None:
        self._store.settle(fire.token, outcome)
        self._open.pop(fire.token, None)
