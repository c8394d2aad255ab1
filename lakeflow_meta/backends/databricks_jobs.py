"""Jobs of a Databricks workspace, through databricks-sdk: Jobs API 2.2.

https://docs.databricks.com/api/workspace/jobs

Promises: settings are sent and read as they are, also fields that the installed SDK does not know;
what the API cuts into pages is whole again; a job is created at most once a call. What is proven:
the protocol, by the real SDK against `tests/contract/jobs_stand_in.py`. Not run against a real
workspace: that ``jobs/list`` shows tasks exactly as ``jobs/get`` does, and the rate limits.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lakeflow_meta.backends.databricks_runs import job_run, latest_repair
from lakeflow_meta.backends.databricks_settings import unknown_fields, wrong_values
from lakeflow_meta.backends.workspace_calls import Json, WorkspaceCalls
from lakeflow_meta.errors import BackendError, ConflictError, NotFoundError
from lakeflow_meta.findings import Finding, path_text
from lakeflow_meta.ports import OUTCOME_UNKNOWN, JobRun, LiveJob, RunState

logger = logging.getLogger(__name__)

INVALID = "INVALID_PARAMETER_VALUE"
PAGED = ("tasks", "job_clusters", "parameters", "environments")
"""Lists of which one answer holds at most 100 entries."""

_JOBS = "/api/2.2/jobs"
_JOBS_A_PAGE, _RUNS_A_PAGE = 100, 24
_FIRST_LOOK, _SLOWEST_LOOK = 2.0, 30.0
_DAY = 86_400.0


class DatabricksJobs:
    """A `ports.JobsApi`. Safe to call from several threads.

    ``follow_seconds`` is how long `follow_run` waits at most.
    """

    def __init__(self, calls: WorkspaceCalls, *, follow_seconds: float = 7 * _DAY) -> None:
        self._calls = calls
        self._follow_seconds = follow_seconds

    # --- jobs

    def list_jobs(self, *, with_tasks: bool = True) -> Iterator[LiveJob]:
        """See `JobsApi.list_jobs`. Tasks are left out where the list does not hold all of them."""
        found: dict[int, tuple[int, LiveJob]] = {}
        query = {"limit": _JOBS_A_PAGE, "expand_tasks": with_tasks}
        for page in self._calls.read_pages(f"{_JOBS}/list", query):
            for entry in page.get("jobs") or ():
                job = _listed_job(entry)
                found[job.job_id] = int(entry.get("created_time") or 0), job
        return iter(job for _, job in sorted(found.values(), key=lambda e: (e[0], e[1].job_id)))

    def get_job(self, job_id: int) -> LiveJob:
        """See `JobsApi.get_job`."""
        pages = list(self._calls.read_pages(f"{_JOBS}/get", {"job_id": job_id}))
        settings = dict(pages[0].get("settings") or {})
        for page in pages[1:]:
            for name in PAGED:
                more = (page.get("settings") or {}).get(name)
                if more:
                    settings[name] = [*settings.get(name, ()), *more]
        return LiveJob(job_id, settings)

    def create_job(self, settings: Mapping[str, Any]) -> int:
        """See `JobsApi.create_job`."""
        body = _json(settings)
        if wrong := wrong_values(body):
            raise _invalid("; ".join(map(_finding_text, wrong)))
        answer = self._calls.create(f"{_JOBS}/create", body)
        if "job_id" not in answer:
            raise BackendError("a new job has no id", code=OUTCOME_UNKNOWN, transient=True)
        return int(answer["job_id"])

    def update_job(
        self, job_id: int, settings: Mapping[str, Any], fields_to_remove: Sequence[str] = ()
    ) -> None:
        """See `JobsApi.update_job`."""
        body: Json = {"job_id": job_id}
        if settings:
            body["new_settings"] = _json(settings)
        if fields_to_remove:
            body["fields_to_remove"] = list(fields_to_remove)
        self._change(job_id, f"{_JOBS}/update", body)

    def delete_job(self, job_id: int) -> None:
        """See `JobsApi.delete_job`."""
        self._change(job_id, f"{_JOBS}/delete", {"job_id": job_id})

    def unknown_fields(self, settings: Mapping[str, Any]) -> list[Finding]:
        """Fields of a job that the installed SDK does not know, and values that it cannot send."""
        return [*unknown_fields(settings), *wrong_values(settings)]

    # --- runs

    def run_job(self, job_id: int, parameters: Mapping[str, str]) -> int:
        """See `JobsApi.run_job`. One token for all attempts, so one run."""
        body: Json = {"job_id": job_id, "idempotency_token": uuid.uuid4().hex}
        if parameters:
            body["job_parameters"] = dict(parameters)
        return int(self._change(job_id, f"{_JOBS}/run-now", body)["run_id"])

    def cancel_runs(self, job_id: int) -> None:
        """See `RunStopper.cancel_runs`."""
        self._change(job_id, f"{_JOBS}/runs/cancel-all", {"job_id": job_id})

    def cancel_run(self, run_id: int) -> None:
        """See `JobsApi.cancel_run`."""
        self._change_run(run_id, f"{_JOBS}/runs/cancel", {"run_id": run_id})

    def repair_run(self, run_id: int) -> None:
        """See `JobsApi.repair_run`. Sent once: that its outcome is unknown is told.

        The platform repairs with the job's settings of now; the id of the repair before keeps two
        of them from repairing one failure twice.
        """
        pages = list(self._calls.read_pages(f"{_JOBS}/runs/get", _with_history(run_id)))
        run = job_run(pages[0], with_tasks=False)
        if not run.state.ended:
            raise ConflictError(f"run {run_id} is under way; wait for its end, or cancel it")
        if run.state is RunState.SUCCESS:
            raise ConflictError(f"run {run_id} is {run.state}; there is nothing to repair")
        body = {
            "run_id": run_id,
            "rerun_all_failed_tasks": True,
            "rerun_dependent_tasks": True,
            **latest_repair(pages[0]),
        }
        self._calls.create(f"{_JOBS}/runs/repair", body)

    def follow_run(self, run_id: int) -> JobRun:
        """See `JobsApi.follow_run`. Looks less often the longer it takes."""
        gate = self._calls.gate
        until = gate.monotonic() + self._follow_seconds
        pause = _FIRST_LOOK
        while not (run := self.get_run(run_id)).state.ended:
            if gate.monotonic() >= until:
                message = f"run {run_id} goes on; we waited {self._follow_seconds:.0f} seconds"
                raise BackendError(message, code="STILL_RUNNING", transient=True)
            gate.sleep(pause)
            pause = min(pause * 1.5, _SLOWEST_LOOK)
        return run

    def get_run(self, run_id: int) -> JobRun:
        """See `JobsApi.get_run`."""
        pages = list(self._calls.read_pages(f"{_JOBS}/runs/get", _with_history(run_id)))
        tasks = [task for page in pages for task in page.get("tasks") or ()]
        return job_run({**pages[0], "tasks": tasks})

    def list_runs(self, job_id: int | None = None, limit: int = 25) -> list[JobRun]:
        """See `JobsApi.list_runs`."""
        query: Json = {"limit": max(1, min(limit, _RUNS_A_PAGE))}
        if job_id is not None:
            query["job_id"] = job_id
        runs: list[JobRun] = []
        for page in self._calls.read_pages(f"{_JOBS}/runs/list", query):
            runs += [job_run(entry, with_tasks=False) for entry in page.get("runs") or ()]
            if len(runs) >= limit:
                break
        return runs[:limit]

    # --- inside

    def _change_run(self, run_id: int, path: str, body: Json) -> None:
        """POST about one run; see `_change`."""
        try:
            self._calls.change("POST", path, body)
        except NotFoundError:
            raise
        except BackendError as error:
            if error.code == INVALID:
                self._calls.read(f"{_JOBS}/runs/get", {"run_id": run_id})
            raise

    def _change(self, job_id: int, path: str, body: Json) -> Json:
        """POST about one job.

        That there is no such job comes with the code of any wrong parameter here, and the SDK
        tells the two apart for ``jobs/get`` only.
        """
        try:
            return self._calls.change("POST", path, body)
        except NotFoundError:
            raise
        except BackendError as error:
            if error.code == INVALID:
                self._calls.read(f"{_JOBS}/get", {"job_id": job_id})
            raise


def _with_history(run_id: int) -> Json:
    """The question for a run with its repairs."""
    return {"run_id": run_id, "include_history": True}


def _listed_job(entry: Mapping[str, Any]) -> LiveJob:
    settings = dict(entry.get("settings") or {})
    if entry.get("has_more"):
        settings = {name: value for name, value in settings.items() if name not in PAGED}
    return LiveJob(int(entry["job_id"]), settings)


def _json(settings: Mapping[str, Any]) -> Json:
    try:
        copy: Json = json.loads(json.dumps(dict(settings), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise _invalid(f"the settings are not JSON: {error}") from error
    return copy


def _finding_text(finding: Finding) -> str:
    text = f"{path_text(finding.path)} {finding.message}"
    return f"{text}; {finding.hint}" if finding.hint else text


def _invalid(message: str) -> BackendError:
    return BackendError(message, code=INVALID)
