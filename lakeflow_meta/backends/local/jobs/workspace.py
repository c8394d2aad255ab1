"""The embedded workspace: jobs, saved queries and runs in one directory, run in this process.

It is a `ports.JobsApi`. Two processes may use one home at once; each runs the runs that it
started. A run whose process has died is recorded as failed by whoever looks next. What runs jobs is
imported when a job is run: a plan does without.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from lakeflow_meta.backends.local.jobs.job_store import JobStore, PermissionStore, QueryStore
from lakeflow_meta.backends.local.jobs.workspace_db import WorkspaceDb
from lakeflow_meta.backends.local.runs.run_logs import read_log
from lakeflow_meta.backends.local.runs.run_store import RunRequest, RunStore
from lakeflow_meta.paths import PathMap
from lakeflow_meta.ports import (
    BY_HAND,
    Clock,
    JobRun,
    LiveJob,
    SavedQuery,
    Sleep,
    TaskRun,
    Trigger,
    utc_now,
)
from lakeflow_meta.progress import Progress, silent

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakeflow_meta.backends.local.runs.local_runs import LocalRuns
    from lakeflow_meta.backends.local.tasks.task_runners import Environment, OwnTaskRunner


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
        environment: Environment = dict,
        sleep: Sleep = time.sleep,
        user: str = "local",
    ) -> None:
        self._home = home.absolute()
        self._paths = PathMap.of_home(home, project_root)
        self._clock = clock
        self._sleep = sleep
        self._progress = progress
        self._max_parallel = max_parallel
        self._own_task = own_task
        self._environment = environment
        self._task_session = task_session
        self._session_lock = threading.Lock()
        self._database = WorkspaceDb(self._home / "workspace.db")
        self._jobs = JobStore(self._database, clock, user)
        self.permissions = PermissionStore(self._database, user)
        self._queries = QueryStore(self._database, clock)
        self._history = RunStore(self._database, clock)
        self._history.end_abandoned()
        self._runs_lock = threading.Lock()
        self._made_runs: LocalRuns | None = None

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
        if self._made_runs is not None:
            self._made_runs.close()
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

    def run_job(
        self,
        job_id: int,
        parameters: Mapping[str, str],
        trigger: Trigger = BY_HAND,
        token: str | None = None,
    ) -> int:
        """Record a run and start executing it, or queue it; its id. See `JobsApi.run_job`.

        ``trigger`` is kept with it. With a ``token``, the run of this job that was started with the
        same one is returned, and no other is started.
        Raises NotFoundError, ConflictError when the job's ``max_concurrent_runs`` are under way and
        it has no queue, and BackendError, before anything has started, when some task cannot run
        here.
        """
        return self._runs.start(job_id, RunRequest(parameters, trigger, token))

    def repair_run(self, run_id: int) -> None:
        """See `JobsApi.repair_run`; `follow_run` waits for its end."""
        self._runs.repair(run_id)

    def follow_run(self, run_id: int) -> JobRun:
        """See `JobsApi.follow_run`. Interrupted (Ctrl-C), it cancels the run, then interrupts."""
        try:
            return self._runs.wait_for(run_id)
        except KeyboardInterrupt:
            self.cancel_run(run_id)
            self._runs.wait_for(run_id)
            raise

    def cancel_run(self, run_id: int) -> None:
        """Ask a run to stop, whichever process runs it; `follow_run` waits for it."""
        self._runs.cancel_run(run_id)

    def get_run(self, run_id: int) -> JobRun:
        """See `JobsApi.get_run`."""
        self._history.end_abandoned()
        return self._history.get(run_id)

    def list_runs(self, job_id: int | None = None, limit: int = 25) -> list[JobRun]:
        """See `JobsApi.list_runs`."""
        self._history.end_abandoned()
        return self._history.newest(job_id, limit)

    def attempts(self, run_id: int) -> list[TaskRun]:
        """Every attempt of every task of a run, in the order of the tasks, oldest first.

        Those of a for_each task's iterations follow the task's own.
        """
        return self._history.attempts(run_id)

    def task_log(self, run_id: int, task_key: str, attempt: int | None = None) -> str:
        """What an attempt has printed so far; the last attempt if none is named.

        ``load[3]`` is an iteration of the for_each task ``load``.
        Raises NotFoundError when the run has no such task or attempt, or it has not started.
        """
        return read_log(self.get_run(run_id), self.attempts(run_id), task_key, attempt)

    # ----------------------------------------------------------------- inside

    @property
    def _runs(self) -> LocalRuns:
        with self._runs_lock:
            if self._made_runs is None:
                self._made_runs = self._make_runs()
            return self._made_runs

    def _make_runs(self) -> LocalRuns:
        from lakeflow_meta.backends.local.runs.local_runs import Equipment, LocalRuns
        from lakeflow_meta.backends.local.runs.run_plan import Slots
        from lakeflow_meta.backends.local.tasks.dbutils.secrets import SecretStore
        from lakeflow_meta.backends.local.tasks.task_runners import TaskRunners

        runners = TaskRunners(
            self._paths,
            self._queries,
            self._one_session_at_a_time,
            self._own_task,
            self._environment,
            SecretStore(self._home / "secrets.yml"),
        )
        equipment = Equipment(
            folder=self._home / "runs",
            get_job=self._jobs.get_job,
            runners=runners,
            slots=Slots(self._max_parallel),
            clock=self._clock,
            sleep=self._sleep,
            progress=lambda: self._progress,
        )
        return LocalRuns(self._database, self._history, equipment)

    def _one_session_at_a_time(self) -> SparkSession:
        """Tasks that start together must not start Spark together."""
        with self._session_lock:
            return self._task_session()
