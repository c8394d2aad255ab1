"""Jobs, runs, saved queries, permissions and files of one workspace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
"""Code of a BackendError: the platform did not answer, so the call may have taken effect."""

NOT_TAKEN = "NOT_TAKEN"
"""Code of a BackendError: the platform is too busy or out of reach; the call had no effect."""


class RunState(StrEnum):
    """How far a run or one of its tasks is, or how it ended.

    The words follow the Jobs API's result states; see ``RunResultState`` in
    https://docs.databricks.com/api/workspace/jobs/getrun
    """

    QUEUED = "queued"
    RUNNING = "running"
    WAITING_FOR_RETRY = "waiting_for_retry"
    SUCCESS = "success"
    SUCCESS_WITH_FAILURES = "success_with_failures"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    UPSTREAM_FAILED = "upstream_failed"
    UPSTREAM_CANCELLED = "upstream_cancelled"
    EXCLUDED = "excluded"
    DISABLED = "disabled"
    SKIPPED = "skipped"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self not in _ACTIVE

    @property
    def bad(self) -> bool:
        """Whether it failed, was stopped, or could not run because of that."""
        return self in _BAD


_ACTIVE = frozenset({RunState.QUEUED, RunState.RUNNING, RunState.WAITING_FOR_RETRY})
_BAD = frozenset(
    {
        RunState.FAILED,
        RunState.TIMED_OUT,
        RunState.CANCELLED,
        RunState.UPSTREAM_FAILED,
        RunState.UPSTREAM_CANCELLED,
    }
)


class TriggerKind(StrEnum):
    """What made a run start: ``TriggerType`` of the Jobs API.

    https://docs.databricks.com/api/workspace/jobs/getrun
    """

    MANUAL = "manual"
    PERIODIC = "periodic"
    FILE_ARRIVAL = "file_arrival"
    TABLE = "table"
    CONTINUOUS = "continuous"
    RUN_JOB = "run_job_task"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Trigger:
    """Why a run started. ``at`` is the time that it was due, where that is not its start.

    ``details`` are what references may name: ``location`` of files that arrived,
    ``updated_tables`` (https://docs.databricks.com/jobs/dynamic-value-references).
    """

    kind: TriggerKind = TriggerKind.MANUAL
    at: datetime | None = None
    details: Mapping[str, str] = field(default_factory=dict)


BY_HAND = Trigger()
"""Somebody asked for the run."""


@dataclass(frozen=True, slots=True)
class LiveJob:
    """A job as the platform has it. ``settings`` is in the shape of the API's JobSettings."""

    job_id: int
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One attempt of one task of a run, or of one iteration of a for_each task.

    ``attempt`` counts from 0, over retries and repairs; ``error`` is one short line. ``iteration``
    counts from 0 and is None for the task itself, ``input`` is its element as JSON. ``outcome`` is
    what a condition task decided, ``child_run_id`` the run that a run_job task started.
    ``iterations`` of a for_each task holds the last attempt of each, where they are known.
    """

    task_key: str
    state: RunState
    started_at: datetime | None = None
    ended_at: datetime | None = None
    attempt: int = 0
    error: str = ""
    log_path: Path | None = None
    iteration: int | None = None
    input: str = ""
    outcome: str = ""
    child_run_id: int | None = None
    iterations: tuple[TaskRun, ...] = ()

    @property
    def label(self) -> str:
        """The task as people name it: ``load``, and ``load[3]`` for an iteration of it."""
        return self.task_key if self.iteration is None else f"{self.task_key}[{self.iteration}]"

    @property
    def seconds(self) -> float:
        """Wall time of the task; 0 where it did not start."""
        if self.started_at is None or self.ended_at is None:
            return 0.0
        return (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run of a job. ``error`` is why it could not go on, where no task tells it.

    ``queued_at`` is set where the run had to wait for others of its job, until ``started_at``;
    ``repaired_at`` is when its last repair began; ``parent_run_id`` is the run of the run_job task
    that started it.
    """

    run_id: int
    job_id: int
    job_name: str
    state: RunState
    started_at: datetime
    ended_at: datetime | None
    tasks: tuple[TaskRun, ...] = ()
    error: str = ""
    trigger: Trigger = BY_HAND
    parameters: Mapping[str, str] = field(default_factory=dict)
    queued_at: datetime | None = None
    repair_count: int = 0
    repaired_at: datetime | None = None
    parent_run_id: int | None = None


class JobsApi(Protocol):
    """The jobs of one workspace, in the shape of the Databricks Jobs API 2.2.

    https://docs.databricks.com/api/workspace/jobs
    """

    def list_jobs(self, *, with_tasks: bool = True) -> Iterator[LiveJob]:
        """Every job the caller may see, oldest first, with settings (tasks may be left out).

        Without tasks they always are, with the clusters: the list is then short, also of many jobs.
        """

    def get_job(self, job_id: int) -> LiveJob:
        """One job with all settings. Raises NotFoundError."""

    def create_job(self, settings: Mapping[str, Any]) -> int:
        """Create a job; its new id. Never repeated: raises BackendError with `OUTCOME_UNKNOWN`."""

    def update_job(
        self, job_id: int, settings: Mapping[str, Any], fields_to_remove: Sequence[str] = ()
    ) -> None:
        """Change the named top-level fields; ``tasks`` and ``job_clusters`` are merged by key.

        Removals run first: ``fields_to_remove`` names top-level fields or ``tasks/<task_key>``.
        Raises NotFoundError.
        """

    def delete_job(self, job_id: int) -> None:
        """Delete a job. Raises NotFoundError."""

    def run_job(self, job_id: int, parameters: Mapping[str, str]) -> int:
        """Start a run; its id. Raises NotFoundError."""

    def follow_run(self, run_id: int) -> JobRun:
        """Wait until the run has ended; how it ended. Raises NotFoundError."""

    def get_run(self, run_id: int) -> JobRun:
        """A run as it stands. Raises NotFoundError."""

    def cancel_run(self, run_id: int) -> None:
        """Ask a run to stop, without waiting; one that has ended stays as it is.

        Raises NotFoundError.
        """

    def repair_run(self, run_id: int) -> None:
        """Run again, under the same id, what failed or did not run, and what depends on that.

        Raises NotFoundError, ConflictError while the run is under way or has nothing to repair.
        https://docs.databricks.com/jobs/repair-job-failures
        """

    def list_runs(self, job_id: int | None = None, limit: int = 25) -> list[JobRun]:
        """The newest runs first, without their tasks."""


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """A query as the Queries API keeps it; inline SQL of a task is saved as one."""

    query_id: str
    display_name: str
    query_text: str
    warehouse_id: str


class QueriesApi(Protocol):
    """Saved queries of one workspace: https://docs.databricks.com/api/workspace/queries."""

    def create_query(self, display_name: str, query_text: str, warehouse_id: str = "") -> str:
        """Save a query; its new id.

        Where the platform keeps names apart, a name that is taken raises ConflictError. Never
        repeated: raises BackendError with `OUTCOME_UNKNOWN`.
        """

    def get_query(self, query_id: str) -> SavedQuery:
        """One query that is not in the trash. Raises NotFoundError."""

    def list_queries(self) -> list[SavedQuery]:
        """Every query that is not in the trash and that the caller may see."""

    def update_query(
        self, query_id: str, *, display_name: str | None = None, query_text: str | None = None
    ) -> None:
        """Change the given fields. Raises NotFoundError."""

    def trash_query(self, query_id: str) -> None:
        """Move a query to the trash: no longer found or run. Raises NotFoundError."""


class PermissionsApi(Protocol):
    """Who may do what with jobs: https://docs.databricks.com/api/workspace/permissions.

    An entry is ``{"user_name" | "group_name" | "service_principal_name": …, "permission_level":
    …}``, as `JobDefinition.permissions` has them.
    """

    def get(self, job_id: int) -> list[dict[str, str]]:
        """Entries of the job itself, its owner among them; what is inherited is left out.

        Raises NotFoundError.
        """

    def update(self, job_id: int, permissions: Sequence[Mapping[str, str]]) -> None:
        """Give the named principals these levels; all others keep theirs. Raises NotFoundError."""

    def replace(self, job_id: int, permissions: Sequence[Mapping[str, str]]) -> None:
        """Make these the only entries of the job itself; exactly one of them is its owner.

        Raises NotFoundError.
        """


class RunStopper(Protocol):
    """Ends what a job is doing now."""

    def cancel_runs(self, job_id: int) -> None:
        """Ask every active run of the job to stop, without waiting; a continuous job then starts
        anew, with the settings of now. Raises NotFoundError.

        https://docs.databricks.com/jobs/continuous
        """


class Uploads(Protocol):
    """Files of a workspace, by absolute paths: of a volume or of its own folders."""

    def has(self, path: str, size_bytes: int) -> bool:
        """Whether a file of this size is there. Raises BackendError."""

    def put(self, path: str, content: bytes) -> None:
        """Write a file whole, over one that is there; folders above are made.

        Raises NotFoundError where there is no such volume, BackendError.
        """

    def names(self, folder: str) -> list[str]:
        """Names of files and folders right in a folder; none where it is not there."""

    def remove(self, path: str) -> None:
        """Delete a file, or a folder with the files in it; what is gone already is done."""
