"""What people ask for with ``serve``: its parts put together. Between app and cli."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeflow_meta import plan_operations
from lakeflow_meta.control.tables import JOBS
from lakeflow_meta.errors import BackendError, ConfigError
from lakeflow_meta.findings import did_you_mean
from lakeflow_meta.operations import rows_of
from lakeflow_meta.ports import LiveJob

if TYPE_CHECKING:
    from lakeflow_meta.app import App
    from lakeflow_meta.backends.serve_store import ServeStore
    from lakeflow_meta.control.monitor import MetadataMonitor
    from lakeflow_meta.serve.happenings import Happening
    from lakeflow_meta.serve.memory import Memory
    from lakeflow_meta.serve.scheduled import ScheduledWork
    from lakeflow_meta.serve.server import Server, StopSignal
    from lakeflow_meta.serve.telling import Tell
    from lakeflow_meta.serve.triggers import StartedJob

SERVE_STORE = "serve.db"
"""What `serve` remembers; below the home directory."""


@dataclass(frozen=True, slots=True)
class Upcoming:
    """What starts a job next. ``trigger`` is one short line.

    ``next_at`` is None where it waits for something else than a time, is paused, or where the
    time is not known before `serve` has seen the job.
    """

    job_name: str
    module: str
    job_id: int
    trigger: str
    next_at: datetime | None
    paused: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "job_name": self.job_name,
            "module": self.module,
            "job_id": self.job_id,
            "trigger": self.trigger,
            "next_at": self.next_at,
            "paused": self.paused,
        }


def upcoming(app: App) -> list[Upcoming]:
    """What starts the jobs of this control table by itself, the next time first.

    Reads only; starts no Spark. Jobs of other control tables in the workspace are left out, those
    of nobody are in on the local target, because `serve` starts them too.
    """
    from lakeflow_meta.serve.due import next_time

    memories = _memories(app)
    modules = modules_of_jobs(app)
    now = app.clock()
    found = [
        Upcoming(
            job.name,
            modules.get(job.job_id, ""),
            job.job_id,
            str(job.starter),
            None if job.paused else next_time(job, memories.get(job.job_id), now),
            job.paused,
        )
        for job in _started(app.jobs.list_jobs(with_tasks=False))
        if app.target.runs_here or job.job_id in modules
    ]
    return sorted(found, key=_order)


def _order(entry: Upcoming) -> tuple[bool, float, bool, str, int]:
    at = entry.next_at.timestamp() if entry.next_at else 0.0
    return entry.next_at is None, at, entry.paused, entry.job_name, entry.job_id


def _started(jobs: Iterable[LiveJob]) -> list[StartedJob]:
    from lakeflow_meta.serve.triggers import started_job

    found = (started_job(job) for job in jobs)
    return [job for job in found if job is not None]


def modules_of_jobs(app: App) -> dict[int, str]:
    """Module by job id, as it was applied."""
    rows = rows_of(app, JOBS, ["job_id", "module_name"])
    return {row["job_id"]: row["module_name"] for row in rows if row["job_id"] is not None}


def _memories(app: App) -> Mapping[int, Memory]:
    if not app.target.runs_here or not (app.home / SERVE_STORE).is_file():
        return {}
    with closing(_store(app)) as store:
        return store.memories()


def served_by(app: App) -> str | None:
    """The process that serves this home now, for people; None where nobody does."""
    if not app.target.runs_here or not (app.home / SERVE_STORE).is_file():
        return None
    with closing(_store(app)) as store:
        return store.held_by()


def _store(app: App) -> ServeStore:
    from lakeflow_meta.backends.serve_store import ServeStore

    return ServeStore(app.home / SERVE_STORE, app.clock)


# --------------------------------------------------------------------------- serving


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How to serve. What is None is as the settings of ``deploy:`` have it.

    ``names``: modules or jobs, all where there are none. ``watches``: whether the monitor runs
    beside the jobs; ``schedule``: when everything recorded is applied besides, None for never.
    """

    names: Sequence[str] = ()
    volume: str | None = None
    watches: bool = True
    interval_seconds: float | None = None
    schedule: str | None = None
    timezone_id: str | None = None
    prune: bool = False
    settle_seconds: float = 2.0
    variables: Mapping[str, Any] = field(default_factory=dict)
    poll_seconds: float = 2.0
    drain_seconds: float = 60.0


def serve(
    app: App,
    options: ServeOptions,
    *,
    tell: Tell,
    stop: StopSignal,
    on_start: Callable[[Sequence[Upcoming]], None],
) -> None:
    """Start jobs by themselves, watch metadata and control tables, until ``stop`` is asked.

    Raises ConfigError (no such module; not the embedded workspace), ConflictError (another process
    serves this home).
    """
    with _server(app, options, tell, stop) as server:
        end = threading.Event()
        companions = _companions(app, options, tell, end)
        server.begin()
        try:
            on_start(upcoming(app))
            with _beside(companions, options, stop, end) as check:
                server.run(check)
        finally:
            server.end(options.drain_seconds)


def serve_once(app: App, options: ServeOptions, *, tell: Tell, stop: StopSignal) -> bool:
    """Look once, start what came due since the last look, and wait for it; whether all is well.

    Raises what `serve` does.
    """
    fine = True

    def told(happening: Happening) -> None:
        nonlocal fine
        fine = fine and not happening.bad
        tell(happening)

    with _server(app, options, told, stop) as server:
        server.begin(make_up=True)
        try:
            if (monitor := _monitor(app, options, threading.Event())) is not None:
                told(_monitor_told(app, monitor.check_and_update()))
            if (work := _scheduled(app, options, told, threading.Event())) is not None:
                work.work()
            server.look()
            server.wait()
        finally:
            server.end(options.drain_seconds)
    return fine


@contextmanager
def _server(app: App, options: ServeOptions, tell: Tell, stop: StopSignal) -> Iterator[Server]:
    """The one that starts jobs. What its workspace still runs at the end is cancelled."""
    if not app.target.runs_here:
        raise ConfigError(
            f"serve is for the embedded workspace; on target {app.settings.target!r} the platform"
            " starts the jobs by itself, see `lakeflow-meta deploy`"
        )
    from lakeflow_meta.backends.local.serving import ChangedJobs, LocalSightings, WorkspaceRuns
    from lakeflow_meta.serve.server import Server
    from lakeflow_meta.serve.triggers import chosen_by

    workspace = app.local.workspace
    changed = ChangedJobs(app.home, workspace)
    _check_names(app, options.names)
    with closing(_store(app)) as store:
        try:
            yield Server(
                store,
                WorkspaceRuns(workspace),
                LocalSightings(app.local.paths, app.local.warehouse),
                lambda: None if (found := changed()) is None else _started(found),
                chosen=chosen_by(options.names),
                tell=tell,
                clock=app.clock,
                stop=stop,
                poll_seconds=options.poll_seconds,
            )
        finally:
            workspace.close()


def _check_names(app: App, names: Sequence[str]) -> None:
    if not names:
        return
    known = {str(job.settings.get("name")) for job in app.jobs.list_jobs(with_tasks=False)}
    known |= set(app.manager.recorded().modules)
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ConfigError(f"no module or job {name!r} is known" + (f"; {hint}" if hint else ""))


# --------------------------------------------------------------------------- beside the jobs


@contextmanager
def _beside(
    companions: Mapping[str, Callable[[], object]],
    options: ServeOptions,
    stop: StopSignal,
    end: threading.Event,
) -> Iterator[Callable[[], None]]:
    """The monitor and the orchestrator, each in a thread; a function that raises when one is gone.

    They end between two steps, before the runs are waited for; asked twice, nobody waits for them.
    """
    threads = [
        threading.Thread(target=work, name=name, daemon=True) for name, work in companions.items()
    ]

    def check() -> None:
        for thread in threads:
            if not thread.is_alive():
                raise BackendError(f"the {thread.name} ended by an error; see above")

    for thread in threads:
        thread.start()
    try:
        yield check
    finally:
        end.set()
        until = time.monotonic() + options.drain_seconds
        while any(t.is_alive() for t in threads) and time.monotonic() < until and stop.asked < 2:
            threads[0].join(0.1)
            threads = [thread for thread in threads if thread.is_alive()]


def _companions(
    app: App, options: ServeOptions, tell: Tell, stop: threading.Event
) -> dict[str, Callable[[], object]]:
    found: dict[str, Callable[[], object]] = {}
    if (monitor := _monitor(app, options, stop)) is not None:
        last = ""

        def told(result: Mapping[str, Any]) -> None:
            """An error that stays as it is, is told once."""
            nonlocal last
            happening = _monitor_told(app, result)
            news = result["changes_detected"] or result["errors"]
            if news and not (happening.bad and happening.text == last):
                tell(happening)
            last = happening.text

        found["monitor"] = lambda: monitor.run_continuous(on_result=told)
    if (work := _scheduled(app, options, tell, stop)) is not None:
        found["orchestrator"] = work.run
    return found


def _volume(app: App, options: ServeOptions) -> str | None:
    return options.volume or app.settings.deploy.metadata_volume


def _monitor(app: App, options: ServeOptions, stop: threading.Event) -> MetadataMonitor | None:
    from lakeflow_meta.monitor_operations import monitor_of

    interval = options.interval_seconds or app.settings.deploy.monitor_interval_seconds
    if not options.watches or interval is None:
        return None
    return monitor_of(
        app,
        _volume(app, options),
        interval_seconds=interval,
        settle_seconds=options.settle_seconds,
        prune=options.prune,
        variables=options.variables,
        stop=stop,
    )


def _monitor_told(app: App, result: Mapping[str, Any]) -> Happening:
    from lakeflow_meta.control.monitor_report import said
    from lakeflow_meta.serve.happenings import Happening, What

    return Happening(app.clock(), What.MONITOR, said(result), bad=bool(result["errors"]))


def _scheduled(
    app: App, options: ServeOptions, tell: Tell, stop: threading.Event
) -> ScheduledWork | None:
    """The orchestrator, as `deploy` has it: it reads files only where no monitor does."""
    if options.schedule is None:
        return None
    from lakeflow_meta.jobs.cron_times import cron_times
    from lakeflow_meta.serve.scheduled import ScheduledWork

    zone = options.timezone_id or app.settings.deploy.timezone_id
    watched = _monitor(app, options, stop) is not None
    volume = None if watched else _volume(app, options)
    return ScheduledWork(
        cron_times(options.schedule, zone),
        lambda: _orchestrate(app, volume, options),
        tell=tell,
        clock=app.clock,
        stop=stop,
    )


def _orchestrate(app: App, volume: str | None, options: ServeOptions) -> str:
    """``sync`` and ``apply``; what changed, in one line. Raises for what could not be done."""
    if volume is not None:
        declared = app.declared([Path(volume)], options.variables)
        app.manager.load(declared, prune=options.prune)
    outcomes = plan_operations.apply(app, None)
    failed = [f"{outcome.module}: {outcome.error}" for outcome in outcomes if outcome.failed]
    if failed:
        raise BackendError("; ".join(failed))
    done = [f"{o.action} {o.module}" for o in outcomes if o.action != "unchanged"]
    return ", ".join(done) or "nothing changed"
