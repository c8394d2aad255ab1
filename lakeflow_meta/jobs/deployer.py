"""Makes a workspace as a deployment wants it: uploads, then the two jobs, each in place and once.

Nothing is written where nothing differs. Everything else happens while this run alone may create
jobs (`CreationLock`), in this order: files, privileges, what package there is, and for each job
its settings, its permissions, a restart, its record. A process may die between any two of these:
files have names of their content, a job is found again by its tags, and a restart is due as long
as it is not recorded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from lakeflow_meta.control.tables import EVENTS, STATE, ControlTables
from lakeflow_meta.errors import BackendError, LakeflowMetaError, NotFoundError
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.jobs.creation_lock import CreationLock, Renew
from lakeflow_meta.jobs.deploy_memory import DeployMemory, Remembered
from lakeflow_meta.jobs.deployment import Deployment, DeploymentKind
from lakeflow_meta.jobs.deployment_plan import (
    DeployedJob,
    DeploymentRecord,
    DeployReport,
    JobStep,
    Permission,
    foreign,
    plan_unwanted,
    plan_wanted,
)
from lakeflow_meta.jobs.ownership import TABLE_TAG, is_deployment
from lakeflow_meta.jobs.plan import DONE, Action, ActionKind
from lakeflow_meta.jobs.settings_diff import values_after, values_before
from lakeflow_meta.ports import (
    OUTCOME_UNKNOWN,
    Actor,
    Clock,
    ControlStore,
    JobsApi,
    LiveJob,
    PermissionsApi,
    RunStopper,
    Sleep,
    SqlSession,
    Uploads,
    nobody,
    utc_now,
)
from lakeflow_meta.progress import Event, Progress, StepState, silent


@dataclass(frozen=True, slots=True)
class Workspace:
    """The doors of one workspace. ``job_url`` is where people find a job."""

    uploads: Uploads
    jobs: JobsApi
    permissions: PermissionsApi
    runs: RunStopper
    job_url: Callable[[int], str]


class Deployer:
    """Deploys for one control table. Times are those of `JobOrchestrator`."""

    def __init__(
        self,
        workspace: Workspace,
        store: ControlStore,
        *,
        tables: ControlTables,
        clock: Clock = utc_now,
        sleep: Sleep = time.sleep,
        progress: Progress = silent,
        actor: Actor = nobody,
        lease_seconds: float = 60.0,
        wait_seconds: float = 300.0,
    ) -> None:
        self._workspace = workspace
        self._store = store
        self._tables = tables
        self._control_table = str(tables.sources)
        self._clock = clock
        self._progress = progress
        self._actor = cache(actor)
        self._memory = DeployMemory(store, tables, actor=self._actor)
        self._lock = CreationLock(
            store,
            tables.of(STATE),
            clock=clock,
            sleep=sleep,
            lease_seconds=lease_seconds,
            wait_seconds=wait_seconds,
        )

    def plan(self, wanted: Deployment) -> DeployReport:
        """What `deploy` would do. Reads only. Raises BackendError."""
        steps = self._steps(wanted, self._memory.read())
        jobs = tuple(self._planned(step) for step in steps)
        return _report(wanted, self._missing(wanted), jobs, dry_run=True)

    def deploy(
        self, wanted: Deployment, *, clean: bool = False, sql: SqlSession | None = None
    ) -> DeployReport:
        """Make it so; a job that fails is in the report, and does not stop the other.

        ``clean``: remove packages and settings of earlier deployments that no job names any more.
        ``sql`` runs the GRANT statements. Raises ConflictError, BackendError.
        """
        remembered = self._memory.read()
        steps = self._steps(wanted, remembered)
        as_wanted = remembered.package == wanted.package and not self._missing(wanted)
        if as_wanted and not clean and sql is None and not any(step.pending for step in steps):
            jobs = tuple(self._planned(step) for step in steps)
            return _report(wanted, (), jobs)
        self._actor()  # what was done must be recorded, so who does it is asked before
        for table, layout in self._tables.all().items():
            self._store.ensure(table, layout)
        with self._lock.held() as renew:
            return self._deploy(wanted, renew, clean, sql)

    def _deploy(
        self, wanted: Deployment, renew: Renew, clean: bool, sql: SqlSession | None
    ) -> DeployReport:
        uploaded = self._upload(wanted, renew)
        if sql is not None:
            for statement in wanted.grants:
                sql.execute(statement)
        self._memory.remember_package(wanted.package)
        steps = self._steps(wanted, self._memory.read())
        jobs = tuple(self._carried_out(step, renew) for step in steps)
        report = _report(wanted, uploaded, jobs, granted=sql is not None)
        if not clean or report.failed:
            return report
        return replace(report, removed=tuple(self._clean(wanted, renew)))

    # --- files

    def _missing(self, wanted: Deployment) -> tuple[str, ...]:
        uploads = self._workspace.uploads
        files = wanted.files.items()
        return tuple(path for path, content in files if not uploads.has(path, len(content)))

    def _upload(self, wanted: Deployment, renew: Renew) -> tuple[str, ...]:
        missing = self._missing(wanted)
        for path in missing:
            renew()
            self._tell("upload", path, StepState.STARTED)
            self._workspace.uploads.put(path, wanted.files[path])
            self._tell("upload", path, StepState.DONE)
        return missing

    def _clean(self, wanted: Deployment, renew: Renew) -> Iterable[str]:
        """What is ours in the folder, and named by no job of this workspace that we may see."""
        names = filter(wanted.is_ours, self._workspace.uploads.names(wanted.folder))
        paths = [f"{wanted.folder}/{name}" for name in names]
        now = (wanted.package.wheel, wanted.package.settings)
        candidates = [path for path in paths if path not in now]
        texts = [canonical_json(job.settings) for job in self._all_jobs()] if candidates else []
        for path in candidates:
            if not any(path in text for text in texts):
                renew()
                self._workspace.uploads.remove(path)
                self._tell("remove", path, StepState.DONE)
                yield path

    def _all_jobs(self) -> Iterable[LiveJob]:
        """With everything that could name a file; ours read one by one, lists may be cut."""
        for job in self._workspace.jobs.list_jobs():
            tags = job.settings.get("tags") or {}
            whole = "tasks" in job.settings and TABLE_TAG not in tags
            found = job if whole else self._job(job.job_id)
            if found is not None:
                yield found

    # --- jobs

    def _steps(self, wanted: Deployment, remembered: Remembered) -> list[JobStep]:
        listing = _Listing(self._workspace.jobs)
        return [
            self._step(wanted, kind, remembered.jobs.get(kind), listing) for kind in DeploymentKind
        ]

    def _step(
        self,
        wanted: Deployment,
        kind: DeploymentKind,
        record: DeploymentRecord | None,
        listing: _Listing,
    ) -> JobStep:
        live = self._job(record.job.job_id) if record is not None else None
        if live is not None and foreign(live, self._control_table, kind):
            error = f"job {live.job_id} carries tags of somebody else, so it is left alone"
            action = Action(kind.value, ActionKind.FAIL, live.job_id, error=error)
            return JobStep(kind, action, record)
        note = ""
        if live is None:
            tagged = listing.tagged(self._control_table, kind)
            live = self._job(tagged[0]) if tagged else None
            others = ", ".join(map(str, tagged[1:]))
            note = f"other jobs carry the same tags: {others}" if others else ""
        definition = wanted.jobs.get(kind)
        if definition is None:
            step = plan_unwanted(kind, live, record)
        else:
            granted: Sequence[Permission] = ()
            if live is not None and definition.permissions:
                granted = self._workspace.permissions.get(live.job_id)
            step = plan_wanted(kind, definition, live, record, granted)
        return replace(step, action=replace(step.action, note=note)) if note else step

    def _job(self, job_id: int) -> LiveJob | None:
        """None where the platform says that there is none; any other error is raised."""
        try:
            return self._workspace.jobs.get_job(job_id)
        except NotFoundError:
            return None

    def _planned(self, step: JobStep) -> DeployedJob:
        return self._told(step, step.action.kind.value, step.action.job_id)

    def _carried_out(self, step: JobStep, renew: Renew) -> DeployedJob:
        kind = step.kind.value
        self._tell("deploy", kind, StepState.STARTED)
        try:
            renew()
            job_id = self._carry_out(step)
        except LakeflowMetaError as error:
            self._tell("deploy", kind, StepState.FAILED, str(error))
            told = self._told(step, DONE[ActionKind.FAIL], step.action.job_id)
            return replace(told, restarted=False, error=_with_remedy(error))
        if step.action.kind is ActionKind.FAIL:
            self._tell("deploy", kind, StepState.FAILED, step.action.error)
            return self._told(step, DONE[ActionKind.FAIL], job_id)
        word = DONE[step.action.kind]
        state = StepState.DONE if step.pending else StepState.UNCHANGED
        self._tell("deploy", kind, state, word)
        return self._told(step, word, job_id)

    def _carry_out(self, step: JobStep) -> int | None:
        """The job's id, once it is as wanted and recorded."""
        action = step.action
        if step.wanted is None or not step.pending or action.kind is ActionKind.FAIL:
            return action.job_id
        wanted = step.wanted
        if action.kind is ActionKind.PAUSE:
            # what it was before is recorded first, so that it is never forgotten
            begun = replace(wanted.job, is_active=True)
            self._memory.remember_job(step.kind, replace(wanted, job=begun))
        job_id = self._send(action)
        if step.permissions:
            self._workspace.permissions.update(job_id, step.permissions)
        if step.restart:
            self._workspace.runs.cancel_runs(job_id)
        if action.kind is not ActionKind.UNCHANGED:
            self._add_event(step, job_id)
        record = replace(wanted, job=replace(wanted.job, job_id=job_id))
        self._memory.remember_job(step.kind, record)
        return job_id

    def _send(self, action: Action) -> int:
        if action.job_id is None:
            return self._workspace.jobs.create_job(action.settings)
        if action.calls_platform:
            jobs = self._workspace.jobs
            jobs.update_job(action.job_id, action.settings, action.fields_to_remove)
        return action.job_id

    def _add_event(self, step: JobStep, job_id: int) -> None:
        job, changes = {"job_id": job_id}, step.action.changes
        event = {
            "at": self._clock(),
            "actor": self._actor(),
            "verb": "deploy",
            "object": step.kind.value,
            "action": DONE[step.action.kind],
            "before": canonical_json(job | values_before(changes)),
            "after": canonical_json(job | values_after(changes)),
            "outcome": "done",
        }
        note = {"verb": "deploy", "actor": self._actor()}
        self._store.append(self._tables.of(EVENTS), [event], note=note)

    # --- telling

    def _told(self, step: JobStep, word: str, job_id: int | None) -> DeployedJob:
        return DeployedJob(
            kind=step.kind,
            action=word,
            job_id=job_id,
            url="" if job_id is None else self._workspace.job_url(job_id),
            changes=step.action.changes,
            permissions=step.permissions,
            restarted=step.restart,
            note=step.action.note,
            error=step.action.error,
        )

    def _tell(self, step: str, key: str, state: StepState, detail: str = "") -> None:
        self._progress(Event(step, key, state, detail=detail))


class _Listing:
    """All jobs of the workspace, read once and only where one has to be looked for."""

    def __init__(self, jobs: JobsApi) -> None:
        self._jobs = jobs
        self._found: list[LiveJob] | None = None

    def tagged(self, control_table: str, kind: DeploymentKind) -> list[int]:
        """Ids of the jobs with the tags of a deployment, the oldest first."""
        if self._found is None:
            self._found = list(self._jobs.list_jobs(with_tasks=False))
        jobs = self._found
        return sorted(j.job_id for j in jobs if is_deployment(j.settings, control_table, kind))


def _report(
    wanted: Deployment,
    uploaded: tuple[str, ...],
    jobs: tuple[DeployedJob, ...],
    *,
    dry_run: bool = False,
    granted: bool = False,
) -> DeployReport:
    """A job that is not wanted and not there is not worth a word."""
    shown = tuple(job for job in jobs if job.job_id is not None or job.kind in wanted.jobs)
    package = wanted.package
    return DeployReport(
        dry_run, package.wheel, package.settings, uploaded, shown, wanted.grants, granted
    )


def _with_remedy(error: LakeflowMetaError) -> str:
    unknown = isinstance(error, BackendError) and error.code == OUTCOME_UNKNOWN
    return f"{error}; deploy again: what was made is found" if unknown else str(error)
