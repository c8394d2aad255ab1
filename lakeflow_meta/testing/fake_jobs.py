"""A Jobs API in memory, with the semantics of the real one, a log of calls, and faults on demand.

A run ends at once: every task that the graph lets start ends as `FakeJobs.task_states` says,
``success`` where it says nothing.
"""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

from lakeflow_meta.backends.local.jobs.api_permissions import (
    Entries,
    owned_by,
    replaced,
    updated,
)
from lakeflow_meta.backends.local.jobs.api_settings import INVALID, changed_settings, new_settings
from lakeflow_meta.backends.local.runs.repairing import to_repair
from lakeflow_meta.backends.local.runs.task_graph import (
    Ended,
    TaskNode,
    nodes_of,
    run_outcome,
    verdict,
)
from lakeflow_meta.errors import BackendError, ConflictError, NotFoundError
from lakeflow_meta.ports import Clock, JobRun, LiveJob, RunState, TaskRun, utc_now
from lakeflow_meta.testing.faults import Faulty

T = TypeVar("T")

ME = "me@example.com"
"""Who makes and owns every job."""

_FIRST_JOB_ID = 700_000_000_001
_FIRST_RUN_ID = 800_000_000_001


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it was made; ``arguments`` is a private copy."""

    method: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


class FakeJobs(Faulty):
    """A `ports.JobsApi`, with ``permissions``. Safe to call from several threads."""

    WRITES: ClassVar = frozenset(
        {
            "create_job",
            "update_job",
            "delete_job",
            "run_job",
            "cancel_run",
            "repair_run",
            "update_permissions",
            "replace_permissions",
        }
    )

    def __init__(self, clock: Clock = utc_now) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.task_states: dict[str, RunState] = {}
        self._clock = clock
        self._jobs: dict[int, dict[str, Any]] = {}
        self._permissions: dict[int, Entries] = {}
        self._runs: dict[int, JobRun] = {}
        self._nodes: dict[int, Sequence[TaskNode]] = {}
        self._job_ids = itertools.count(_FIRST_JOB_ID)
        self._run_ids = itertools.count(_FIRST_RUN_ID)
        self._lock = threading.RLock()
        self.permissions = FakePermissions(self)

    # ----------------------------------------------------------------- for the test

    def calls_of(self, *methods: str) -> list[Call]:
        """The calls of these methods, in order."""
        return [call for call in self.calls if call.method in methods]

    @property
    def writes(self) -> list[Call]:
        """The calls that change something, in order."""
        return self.calls_of(*self.WRITES)

    # ----------------------------------------------------------------- the Jobs API

    def list_jobs(self, *, with_tasks: bool = True) -> Iterator[LiveJob]:
        """See `JobsApi.list_jobs`."""
        arguments = {"with_tasks": with_tasks}
        return iter(self._call("list_jobs", arguments, lambda: self._all_jobs(with_tasks)))

    def get_job(self, job_id: int) -> LiveJob:
        """See `JobsApi.get_job`."""
        return self._call(
            "get_job",
            {"job_id": job_id},
            lambda: LiveJob(job_id, copy.deepcopy(self._found(job_id))),
        )

    def create_job(self, settings: Mapping[str, Any]) -> int:
        """See `JobsApi.create_job`."""
        return self._call("create_job", {"settings": settings}, lambda: self._create(settings))

    def update_job(
        self, job_id: int, settings: Mapping[str, Any], fields_to_remove: Sequence[str] = ()
    ) -> None:
        """See `JobsApi.update_job`."""
        arguments = {
            "job_id": job_id,
            "settings": settings,
            "fields_to_remove": tuple(fields_to_remove),
        }
        self._call(
            "update_job", arguments, lambda: self._update(job_id, settings, fields_to_remove)
        )

    def delete_job(self, job_id: int) -> None:
        """See `JobsApi.delete_job`."""
        self._call("delete_job", {"job_id": job_id}, lambda: self._delete(job_id))

    def run_job(self, job_id: int, parameters: Mapping[str, str]) -> int:
        """See `JobsApi.run_job`."""
        arguments = {"job_id": job_id, "parameters": parameters}
        return self._call("run_job", arguments, lambda: self._run(job_id, parameters))

    def follow_run(self, run_id: int) -> JobRun:
        """See `JobsApi.follow_run`."""
        return self._call("follow_run", {"run_id": run_id}, lambda: self._found_run(run_id))

    def get_run(self, run_id: int) -> JobRun:
        """See `JobsApi.get_run`."""
        return self._call("get_run", {"run_id": run_id}, lambda: self._found_run(run_id))

    def cancel_run(self, run_id: int) -> None:
        """See `JobsApi.cancel_run`. Runs end at once, so there is nothing left to stop."""
        self._call("cancel_run", {"run_id": run_id}, lambda: self._found_run(run_id))

    def repair_run(self, run_id: int) -> None:
        """See `JobsApi.repair_run`."""
        self._call("repair_run", {"run_id": run_id}, lambda: self._repair(run_id))

    def list_runs(self, job_id: int | None = None, limit: int = 25) -> list[JobRun]:
        """See `JobsApi.list_runs`."""
        arguments = {"job_id": job_id, "limit": limit}
        return self._call("list_runs", arguments, lambda: self._newest_runs(job_id, limit))

    # ----------------------------------------------------------------- the Permissions API

    def get_permissions(self, job_id: int) -> list[dict[str, str]]:
        """See `PermissionsApi.get`."""
        return self._call(
            "get_permissions", {"job_id": job_id}, lambda: self._found_permissions(job_id)
        )

    def update_permissions(self, job_id: int, permissions: Sequence[Mapping[str, str]]) -> None:
        """See `PermissionsApi.update`."""
        arguments = {"job_id": job_id, "permissions": list(permissions)}
        self._call(
            "update_permissions",
            arguments,
            lambda: self._permit(job_id, updated(self._found_permissions(job_id), permissions)),
        )

    def replace_permissions(self, job_id: int, permissions: Sequence[Mapping[str, str]]) -> None:
        """See `PermissionsApi.replace`."""
        arguments = {"job_id": job_id, "permissions": list(permissions)}
        self._call(
            "replace_permissions", arguments, lambda: self._permit(job_id, replaced(permissions))
        )

    # ----------------------------------------------------------------- inside

    def _found_permissions(self, job_id: int) -> Entries:
        self._found(job_id)
        return copy.deepcopy(self._permissions[job_id])

    def _permit(self, job_id: int, entries: Entries) -> None:
        self._found(job_id)
        self._permissions[job_id] = entries

    def _call(self, method: str, arguments: Mapping[str, Any], act: Callable[[], T]) -> T:
        with self._lock:
            self.calls.append(Call(method, copy.deepcopy(dict(arguments))))
            with self._faults_of(method):
                return act()

    def _all_jobs(self, with_tasks: bool) -> list[LiveJob]:
        hidden = () if with_tasks else ("tasks", "job_clusters")
        return [
            LiveJob(job_id, {k: copy.deepcopy(v) for k, v in job.items() if k not in hidden})
            for job_id, job in sorted(self._jobs.items())
        ]

    def _found(self, job_id: int) -> dict[str, Any]:
        if job_id not in self._jobs:
            raise _missing(f"job {job_id}")
        return self._jobs[job_id]

    def _found_run(self, run_id: int) -> JobRun:
        if run_id not in self._runs:
            raise _missing(f"run {run_id}")
        return self._runs[run_id]

    def _create(self, settings: Mapping[str, Any]) -> int:
        document = new_settings(settings)
        job_id = next(self._job_ids)
        self._jobs[job_id] = document
        self._permissions[job_id] = owned_by(ME)
        return job_id

    def _update(self, job_id: int, settings: Mapping[str, Any], removals: Sequence[str]) -> None:
        self._jobs[job_id] = changed_settings(self._found(job_id), settings, removals)

    def _delete(self, job_id: int) -> None:
        self._found(job_id)
        del self._jobs[job_id], self._permissions[job_id]

    def _run(self, job_id: int, parameters: Mapping[str, str]) -> int:
        settings = self._found(job_id)
        declared = {parameter["name"] for parameter in settings.get("parameters", [])}
        unknown = sorted(set(parameters) - declared)
        if unknown:
            raise BackendError(f"job {job_id} has no parameter {unknown[0]!r}", code=INVALID)
        run_id = next(self._run_ids)
        nodes = nodes_of(settings.get("tasks", []))
        ended = self._play(nodes, {})
        self._nodes[run_id] = nodes
        now = self._clock()
        name = settings.get("name", "Untitled")
        tasks = tuple(self._task_run(node.task_key, ended[node.task_key].state) for node in nodes)
        defaults = {p["name"]: str(p.get("default", "")) for p in settings.get("parameters", [])}
        self._runs[run_id] = JobRun(
            run_id,
            job_id,
            name,
            run_outcome(nodes, ended),
            now,
            now,
            tasks,
            parameters={**defaults, **parameters},
        )
        return run_id

    def _repair(self, run_id: int) -> None:
        run, nodes = self._found_run(run_id), self._nodes[run_id]
        again = to_repair(nodes, run.tasks)
        if not again:
            raise ConflictError(f"run {run_id} is {run.state}; there is nothing to repair")
        kept = {t.task_key: Ended(t.state) for t in run.tasks if t.task_key not in again}
        ended = self._play(nodes, kept)
        self._runs[run_id] = replace(
            run,
            state=run_outcome(nodes, ended),
            ended_at=self._clock(),
            tasks=tuple(self._repaired(task, ended, again) for task in run.tasks),
            repair_count=run.repair_count + 1,
            repaired_at=self._clock(),
        )

    def _repaired(self, task: TaskRun, ended: Mapping[str, Ended], again: Set[str]) -> TaskRun:
        if task.task_key not in again:
            return task
        attempt = task.attempt + (task.started_at is not None)
        return replace(self._task_run(task.task_key, ended[task.task_key].state), attempt=attempt)

    def _play(self, nodes: Sequence[TaskNode], kept: Mapping[str, Ended]) -> dict[str, Ended]:
        ended = dict(kept)
        while len(ended) < len(nodes):
            for node in nodes:
                state = None if node.task_key in ended else verdict(node, ended)
                if state is RunState.QUEUED:
                    state = self.task_states.get(node.task_key, RunState.SUCCESS)
                if state is not None:
                    ended[node.task_key] = Ended(state)
        return ended

    def _task_run(self, task_key: str, state: RunState) -> TaskRun:
        ran = state in {RunState.SUCCESS, RunState.FAILED, RunState.TIMED_OUT, RunState.CANCELLED}
        now = self._clock() if ran else None
        error = "scripted by the test" if state.bad else ""
        return TaskRun(task_key, state, started_at=now, ended_at=now, error=error)

    def _newest_runs(self, job_id: int | None, limit: int) -> list[JobRun]:
        runs = [run for run in self._runs.values() if job_id in {None, run.job_id}]
        return [replace(run, tasks=()) for run in reversed(runs)][:limit]


class FakePermissions:
    """The `ports.PermissionsApi` of a `FakeJobs`, which logs the calls and makes them fail."""

    def __init__(self, jobs: FakeJobs) -> None:
        self._jobs = jobs

    def get(self, job_id: int) -> list[dict[str, str]]:
        """See `PermissionsApi.get`."""
        return self._jobs.get_permissions(job_id)

    def update(self, job_id: int, permissions: Sequence[Mapping[str, str]]) -> None:
        """See `PermissionsApi.update`."""
        self._jobs.update_permissions(job_id, permissions)

    def replace(self, job_id: int, permissions: Sequence[Mapping[str, str]]) -> None:
        """See `PermissionsApi.replace`."""
        self._jobs.replace_permissions(job_id, permissions)


def _missing(what: str) -> NotFoundError:
    return NotFoundError(f"{what} does not exist", code="RESOURCE_DOES_NOT_EXIST")
