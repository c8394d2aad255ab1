"""What has to be done so that a deployment's jobs are as wanted, and what came of it. Pure.

The two jobs are compared and changed as those of modules are (`jobs.plan`); their records are rows
``deploy/<kind>`` of ``etl_control_state``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lakeflow_meta.fingerprint import canonical_json, fingerprint
from lakeflow_meta.jobs.deploy_grants import principal
from lakeflow_meta.jobs.deployment import DeploymentKind
from lakeflow_meta.jobs.ownership import is_deployment, is_marked
from lakeflow_meta.jobs.plan import Action, ActionKind, pause_status, plan_job, plan_pause
from lakeflow_meta.jobs.records import AppliedState, JobRecord
from lakeflow_meta.jobs.settings_diff import Change, managed_keys

if TYPE_CHECKING:
    from lakeflow_meta.jobs.job_settings import JobDefinition
    from lakeflow_meta.ports import LiveJob

Permission = Mapping[str, str]

_RUNS = ("tasks", "environments", "job_clusters", "run_as")
"""Fields that a run reads when it starts, and never again."""


@dataclass(frozen=True, slots=True)
class DeploymentRecord:
    """A job of a deployment as it was last applied."""

    job: JobRecord
    running: str = ""
    """Fingerprint of what a run of it reads; a continuous job runs that until it is stopped."""

    def to_json(self) -> str:
        """The value of its row."""
        job = self.job
        value = {
            "job_id": job.job_id,
            "job_name": job.job_name,
            "settings_fingerprint": job.settings_fingerprint,
            "managed": job.managed,
            "paused_from": job.applied.paused_from,
            "is_active": job.is_active,
            "running": self.running,
        }
        return canonical_json(value)


def read_deployment_record(kind: DeploymentKind, value: str) -> DeploymentRecord:
    """From the value of a row. Raises ValueError where somebody wrote something else into it."""
    try:
        found = json.loads(value)
        job = JobRecord(
            module_name=kind.value,
            job_id=int(found["job_id"]),
            job_name=str(found["job_name"]),
            settings_fingerprint=str(found["settings_fingerprint"]),
            managed=dict(found["managed"]),
            applied=AppliedState(paused_from=found["paused_from"]),
            is_active=bool(found["is_active"]),
        )
        return DeploymentRecord(job, str(found["running"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"it is no record of a deployed job: {error!r}") from error


# --------------------------------------------------------------------------- one job


@dataclass(frozen=True, slots=True)
class JobStep:
    """What is to be done with one job."""

    kind: DeploymentKind
    action: Action
    record: DeploymentRecord | None = None
    """As it is recorded now."""
    wanted: DeploymentRecord | None = None
    """What to record in the end, but for the id of a new job; None: nothing."""
    permissions: tuple[Permission, ...] = ()
    """What to change."""
    restart: bool = False
    """Whether the job runs something older until it is stopped."""

    @property
    def pending(self) -> bool:
        """Whether anything has to be written."""
        differs = self.wanted is not None and self.wanted != self.record
        return self.action.pending or bool(self.permissions) or self.restart or differs


def plan_wanted(
    kind: DeploymentKind,
    definition: JobDefinition,
    live: LiveJob | None,
    record: DeploymentRecord | None,
    granted: Sequence[Permission],
) -> JobStep:
    """What makes the live job as wanted; ``granted`` are its permissions.

    A live job whose id is not the recorded one was found by its tags.
    """
    known = None if record is None else record.job
    adopted = live is not None and (known is None or known.job_id != live.job_id)
    action = plan_job(definition, live, known, adopted=adopted)
    running = fingerprint({name: definition.settings.get(name) for name in _RUNS})
    job = JobRecord(
        module_name=kind.value,
        job_id=0 if live is None else live.job_id,
        job_name=definition.name,
        settings_fingerprint=fingerprint(definition.settings),
        managed=managed_keys(definition.settings),
    )
    permissions = tuple(_to_grant(definition.permissions, granted))
    if permissions and action.kind is ActionKind.UNCHANGED:
        action = replace(action, kind=ActionKind.UPDATE)
    return JobStep(
        kind,
        action,
        record,
        DeploymentRecord(job, running),
        permissions,
        restart=live is not None
        and "continuous" in live.settings
        and pause_status(live.settings) != "PAUSED"
        and (record is None or record.running != running or _touches_runs(action.changes)),
    )


def _touches_runs(changes: Iterable[Change]) -> bool:
    return any(change.path.split("/")[0] in _RUNS for change in changes)


def _to_grant(wanted: Iterable[Permission], granted: Sequence[Permission]) -> Iterator[Permission]:
    """An owner may do everything already."""
    for entry in wanted:
        levels = {e["permission_level"] for e in granted if principal(e) == principal(entry)}
        if not levels & {entry["permission_level"], "IS_OWNER"}:
            yield entry


def plan_unwanted(
    kind: DeploymentKind, live: LiveJob | None, record: DeploymentRecord | None
) -> JobStep:
    """What stops a job that the deployment has no more: it is paused, and its history is kept."""
    if live is None:
        return JobStep(kind, Action(kind.value, ActionKind.UNCHANGED), record)
    name = str(live.settings.get("name", ""))
    job = JobRecord(kind.value, live.job_id, name) if record is None else record.job
    job = replace(job, job_id=live.job_id)
    action = Action(kind.value, ActionKind.UNCHANGED, live.job_id, name)
    action = plan_pause(action, live, job)
    retired = replace(job, is_active=False, applied=AppliedState(paused_from=_before(job, live)))
    return JobStep(kind, action, record, DeploymentRecord(retired), restart=action.pending)


def _before(job: JobRecord, live: LiveJob) -> str | None:
    """The pause status before we paused the job; what is recorded already is not forgotten."""
    status = pause_status(live.settings)
    recorded = job.applied.paused_from
    return recorded if status == "PAUSED" and recorded is not None else status


def foreign(live: LiveJob, control_table: str, kind: DeploymentKind) -> bool:
    """Whether the job's tags name somebody else. One whose tags were taken off is still ours."""
    return is_marked(live.settings) and not is_deployment(live.settings, control_table, kind.value)


# --------------------------------------------------------------------------- what came of it


@dataclass(frozen=True, slots=True)
class DeployedJob:
    """What became of one job, or would become of it."""

    kind: DeploymentKind
    action: str
    job_id: int | None = None
    url: str = ""
    changes: tuple[Change, ...] = ()
    permissions: tuple[Permission, ...] = ()
    restarted: bool = False
    note: str = ""
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        document: dict[str, Any] = {
            "kind": self.kind.value,
            "job_id": self.job_id,
            "action": self.action,
            "url": self.url,
            "changes": [change.to_dict() for change in self.changes],
            "permissions": [dict(entry) for entry in self.permissions],
            "restarted": self.restarted,
        }
        return document | {k: v for k, v in (("note", self.note), ("error", self.error)) if v}


@dataclass(frozen=True, slots=True)
class DeployReport:
    """What a deployment did, or with ``dry_run`` would do."""

    dry_run: bool
    package: str
    settings: str
    uploaded: tuple[str, ...]
    jobs: tuple[DeployedJob, ...]
    grants: tuple[str, ...] = ()
    granted: bool = False
    removed: tuple[str, ...] = field(default=())

    @property
    def failed(self) -> bool:
        """Whether a job is not as wanted."""
        return any(job.error for job in self.jobs)

    def to_dict(self) -> dict[str, Any]:
        """The JSON result of ``deploy``."""
        return {
            "dry_run": self.dry_run,
            "package": self.package,
            "settings": self.settings,
            "uploaded": list(self.uploaded),
            "jobs": [job.to_dict() for job in self.jobs],
            "grants": {"statements": list(self.grants), "executed": self.granted},
            "removed": list(self.removed),
        }

    def errors(self) -> list[str]:
        """Why jobs are not as wanted."""
        return [f"{job.kind}: {job.error}" for job in self.jobs if job.error]
