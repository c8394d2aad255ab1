"""The embedded workspace: jobs, saved queries and runs in one directory, run in this process.

It is a `ports.JobsApi`. Two processes may use one home at once; each runs the runs that it
started. A run whose process has died is recorded as failed by whoever looks next.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from lakeflow_meta.backends.local.jobs.job_store import JobStore, PermissionStore, QueryStore
from lakeflow_meta.backends.local.jobs.references import RunContext
from lakeflow_meta.backends.local.jobs.run_engine import GIVE_UP_SECONDS, RunEngine, RunPlan, Slots
from lakeflow_meta.backends.local.jobs.run_planning import (
    job_parameters,
    plan_tasks,
    with_parameters,
)
from lakeflow_meta.backends.local.jobs.run_store import RunStore
from lakeflow_meta.backends.local.jobs.task_runners import (
    Environment,
    OwnTaskRunner,
    TaskRunners,
    no_environment,
)
from lakeflow_meta.backends.local.jobs.workspace_db import WorkspaceDb
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.paths import PathMap
from lakeflow_meta.ports import Clock, JobRun, LiveJob, SavedQuery, Sleep, TaskRun, utc_now
from lakeflow_meta.progress import Progress, silent

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""How often a run of another process is looked at."""


@dataclass(frozen=True, slots=True)
class _Active:
    """A run that this process executes; ``done`` is set when nothing of it is left to record."""

    engine: RunEngine
    done: threading.Event


class LocalWorkspace:
    """``home`` is made when it is missing; ``project_root`` is where relative paths start.

    ``task_session`` gives a task its Spark session, and is called only when a task needs one;
    ``own_task`` runs a command of this package and raises when it fails; ``environment`` adds to
    the environment of subprocesses; ``user`` owns the jobs that are made. Use it as a context
    manager, or `close` it: what it still runs is then cancelled.
    """

    def __init__(
        self,
        home: Path,
        project_root: Path,
        *,
        task_session: Callable[[], SparkSession],
        own_task: OwnTaskRunner,
        clock: Clock = utc_now,
        progress: Progress = silent,
        max_parallel: int = 4,
        environment: Environment = no_environment,
        sleep: Sleep = time.sleep,
        user: str = "local",
    ) -> None:
        self._home = home.absolute()
        self._clock = clock
        self._progress = progress
        self._sleep = sleep
        self._database = WorkspaceDb(self._home / "workspace.db")
        self._jobs = JobStore(self._database, clock, user)
        self.permissions = PermissionStore(self._database, user)
        self._queries = QueryStore(self._database, clock)
        self._runs = RunStore(self._database, clock)
        self._slots = Slots(max_parallel)
        self._session_lock = threading.Lock()
        self._task_session = task_session
        self._runners = TaskRunners(
            PathMap.of_home(home, project_root),
            self._queries,
            self._one_session_at_a_time,
            own_task,
            environment,
        )
        self._active: dict[int, _Active] = {}
        self._runs.end_abandoned()

    def __enter__(self) -> LocalWorkspace:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cancel what this workspace still runs, wait for it, and close the file."""
        active = list(self._active.values())
        for run in active:
            run.engine.cancel()
        for run in active:
            run.done.wait(GIVE_UP_SECONDS + POLL_SECONDS)
        self._database.close()

    # ----------------------------------------------------------------- jobs

    def list_jobs(self, *, with_tasks: bool = True) -> Iterator[LiveJob]:
        """See `JobsApi.list_jobs`; oldest first."""
        return self._jobs.list_jobs(with_tasks=with_tasks)

    def get_job(self, job_id: int) -> LiveJob:
        """See `JobsApi.get_job`."""
        return self._jobs.get_job(job_id)

    def create_job(self, settings: Mapping[str, Any]) -> int:
        """See `JobsApi.create_job`."""
        return self._jobs.create_job(settings)

    def update_job(
        self, job_id: int, settings: Mapping[str, Any], fields_to_remove: Sequence[str] = ()
    ) -> None:
        """See `JobsApi.update_job`."""
        self._jobs.update_job(job_id, settings, fields_to_remove)

    def delete_job(self, job_id: int) -> None:
        """See `JobsApi.delete_job`."""
        self._jobs.delete_job(job_id)

    # ----------------------------------------------------------------- saved queries

    def create_query(self, display_name: str, query_text: str, warehouse_id: str = "") -> str:
        """Save a query; its new id."""
        return self._queries.create_query(display_name, query_text, warehouse_id)

    def get_query(self, query_id: str) -> SavedQuery:
        """A query that is not in the trash. Raises NotFoundError."""
        return self._queries.get_query(query_id)

    def list_queries(self) -> list[SavedQuery]:
        """The queries that are not in the trash, by name."""
        return self._queries.list_queries()

    def update_query(
        self, query_id: str, *, display_name: str | None = None, query_text: str | None = None
    ) -> None:
        """Change the given fields. Raises NotFoundError."""
        self._queries.update_query(query_id, display_name=display_name, query_text=query_text)

    def trash_query(self, query_id: str) -> None:
        """Move a query to the trash. Raises NotFoundError."""
        self._queries.trash_query(query_id)

    # ----------------------------------------------------------------- runs

    def run_job(self, job_id: int, parameters: Mapping[str, str]) -> int:
        """Record a run and start executing it; its id.

        Raises NotFoundError, ConflictError when the job's ``max_concurrent_runs`` are under way,
        and BackendError, before anything has started, when some task cannot run here.
        """
        job = self._jobs.get_job(job_id)
        name = str(job.settings.get("name", "Untitled"))
        values = job_parameters(job, parameters)
        context = RunContext(job_id, name, 0, self._clock(), values)
        tasks = plan_tasks(job, context, self._runners)
        self._runs.end_abandoned()
        started = self._runs.start(job, values)
        context = replace(context, run_id=started.run_id, started_at=started.started_at)
        plan = RunPlan(
            context=with_parameters(context),
            tasks=tasks,
            log_folder=self._home / "runs" / str(started.run_id),
            timeout_seconds=float(job.settings.get("timeout_seconds", 0)),
        )
        self._execute(plan)
        return started.run_id

    def follow_run(self, run_id: int) -> JobRun:
        """See `JobsApi.follow_run`. Interrupted (Ctrl-C), it cancels the run, then interrupts."""
        try:
            self._wait(run_id)
        except KeyboardInterrupt:
            self.cancel_run(run_id)
            self._wait(run_id)
            raise
        return self._runs.get(run_id)

    def cancel_run(self, run_id: int) -> None:
        """Ask a run to stop, whichever process runs it; `follow_run` waits for it."""
        self._runs.ask_to_cancel(run_id)
        if run_id in self._active:
            self._active[run_id].engine.cancel()

    def get_run(self, run_id: int) -> JobRun:
        """See `JobsApi.get_run`."""
        self._runs.end_abandoned()
        return self._runs.get(run_id)

    def list_runs(self, job_id: int | None = None, limit: int = 25) -> list[JobRun]:
        """See `JobsApi.list_runs`."""
        self._runs.end_abandoned()
        return self._runs.newest(job_id, limit)

    def attempts(self, run_id: int) -> list[TaskRun]:
        """Every attempt of every task of a run, in the order of the tasks, oldest first."""
        return self._runs.attempts(run_id)

    def task_log(self, run_id: int, task_key: str, attempt: int | None = None) -> str:
        """What an attempt has printed so far; the last attempt if none is named.

        Raises NotFoundError when the task has not started.
        """
        found = [
            task.log_path
            for task in self._runs.attempts(run_id)
            if task.task_key == task_key and attempt in {None, task.attempt} and task.log_path
        ]
        if not found or not found[-1].is_file():
            raise NotFoundError(f"run {run_id} has no log of task {task_key!r}", code="NO_LOG")
        return found[-1].read_text(encoding="utf-8", errors="replace")

    # ----------------------------------------------------------------- inside

    def _execute(self, plan: RunPlan) -> None:
        run_id = plan.context.run_id
        engine = RunEngine(
            plan, self._runs, self._runners, self._slots, self._clock, self._progress
        )
        active = self._active[run_id] = _Active(engine, threading.Event())
        # No daemon: a process whose work is done otherwise lets its runs end before it exits.
        thread = threading.Thread(target=self._run, args=(run_id, active), name=f"run-{run_id}")
        try:
            thread.start()
        except RuntimeError as error:  # the machine has no thread left
            self._active.pop(run_id)
            self._runs.break_off(run_id, f"it could not be started: {error}")

    def _run(self, run_id: int, active: _Active) -> None:
        try:
            active.engine.execute()
        except BaseException as error:
            logger.exception("run %s broke off", run_id)
            self._runs.break_off(run_id, f"{type(error).__name__}: {error}")
        finally:
            self._active.pop(run_id, None)
            active.done.set()

    def _wait(self, run_id: int) -> None:
        """Wait for a run of ours; look at the record of any other again and again.

        Not by `Thread.join`: interrupted by Ctrl-C, it takes the thread for ended (Python 3.11).
        """
        mine = self._active.get(run_id)
        if mine is not None:
            mine.done.wait()
            return
        while not self._runs.get(run_id).state.ended:
            self._runs.end_abandoned()
            self._sleep(POLL_SECONDS)

    def _one_session_at_a_time(self) -> SparkSession:
        """Tasks that start together must not start Spark together."""
        with self._session_lock:
            return self._task_session()
