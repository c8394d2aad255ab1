"""A plan as a file, to be read by people and to be applied later, exactly. Pure.

It is JSON. What would be done stands beside what it was worked out from; requests are not in it:
an apply works them out again and compares.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.jobs.plan import Action, ActionKind, JobsPlan, OnDrift, Prune
from lakeflow_meta.jobs.plan_basis import ModuleBasis, PlanBasis
from lakeflow_meta.jobs.settings_diff import Change

FORMAT = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Change(_Part):
    path: str
    before: Any = None
    after: Any = None


class _Job(_Part):
    """One module's action, as ``plan --json`` shows it, and its basis."""

    kind: Literal["job"]
    name: str
    action: ActionKind
    job_id: int | None
    changes: list[_Change]
    drift: bool
    drifted: list[_Change]
    note: str = ""
    error: str = ""
    recorded: str
    live: dict[str, str] | None
    work: str

    def to_action(self) -> Action:
        return Action(
            self.name,
            self.action,
            self.job_id,
            changes=_changes(self.changes),
            drift=_changes(self.drifted),
            note=self.note,
            error=self.error,
        )


class _File(_Part):
    lakeflow_meta_plan: Literal[1]
    target: str
    control_table: str
    made_at: str
    made_by: str
    versions: dict[str, int | None]
    modules: list[str] | None
    prune: Prune
    on_drift: OnDrift
    jobs: list[_Job]


def plan_text(plan: JobsPlan, target: str) -> str:
    """The file; ``target`` names the settings that it was made with."""
    basis = plan.basis
    document = {
        "lakeflow_meta_plan": FORMAT,
        "target": target,
        "control_table": basis.control_table,
        "made_at": basis.made_at,
        "made_by": basis.made_by,
        "versions": dict(basis.versions),
        "modules": None if basis.modules is None else list(basis.modules),
        "prune": basis.prune,
        "on_drift": basis.on_drift,
        "jobs": [
            {**action.to_dict(), **_basis(basis.by_module[action.module_name])}
            for action in plan.actions
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def read_plan(text: str, name: str, target: str) -> JobsPlan:
    """The plan in a file called ``name``. Raises ConfigError, also for one of another target."""
    file = _read(text, name)
    if file.target != target:
        raise ConfigError(f"{name} is a plan for target {file.target!r}, not for {target!r}")
    basis = PlanBasis(
        file.control_table,
        None if file.modules is None else tuple(file.modules),
        file.prune,
        file.on_drift,
        file.made_at,
        file.made_by,
        file.versions,
        {job.name: ModuleBasis(job.recorded, job.live, job.work) for job in file.jobs},
    )
    return JobsPlan(tuple(job.to_action() for job in file.jobs), basis)


def _read(text: str, name: str) -> _File:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{name} is no plan: it is not JSON ({error})") from error
    found = document.get("lakeflow_meta_plan") if isinstance(document, dict) else None
    if found is None:
        raise ConfigError(f"{name} is no plan; make one with `lakeflow-meta plan -o {name}`")
    if found != FORMAT:
        version = "another version of lakeflow_meta"
        raise ConfigError(f"{name} was written by {version} (format {found}); make a new plan")
    try:
        return _File.model_validate(document)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise ConfigError(f"{name} was damaged or changed, at {where}; make a new plan") from error


def _basis(basis: ModuleBasis) -> dict[str, Any]:
    live = None if basis.live is None else dict(basis.live)
    return {"recorded": basis.recorded, "live": live, "work": basis.work}


def _changes(found: list[_Change]) -> tuple[Change, ...]:
    return tuple(Change(change.path, change.before, change.after) for change in found)
