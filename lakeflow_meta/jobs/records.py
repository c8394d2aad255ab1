"""What was applied to which job: rows of ``etl_control_jobs``, and the lease row. Pure.

``applied_state`` is JSON: ``module`` and ``sources`` as `control.changes.ModuleState` has them
(fingerprints of what was applied, for the change detector), ``queries`` (task key to the id of the
saved query that holds its inline SQL), ``paused_from`` (the pause status before a gone module's
job was paused).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from lakeflow_meta.control.changes import module_state
from lakeflow_meta.control.rows import Module, RowError
from lakeflow_meta.fingerprint import canonical_json, fingerprint
from lakeflow_meta.jobs.job_settings import JobDefinition
from lakeflow_meta.jobs.settings_diff import managed_keys

CREATION_LEASE = "jobs/creation"
"""Key of the lease row in ``etl_control_state``."""


@dataclass(frozen=True, slots=True)
class AppliedState:
    """What a job was made from."""

    sources: Mapping[str, str] = field(default_factory=dict)
    module: str = ""
    queries: Mapping[str, str] = field(default_factory=dict)
    paused_from: str | None = None

    def to_json(self) -> str:
        """As the column holds it."""
        state: dict[str, Any] = {"module": self.module, "sources": dict(self.sources)}
        if self.queries:
            state["queries"] = dict(self.queries)
        if self.paused_from is not None:
            state["paused_from"] = self.paused_from
        return canonical_json(state)


@dataclass(frozen=True, slots=True)
class JobRecord:
    """The job of a module, as it was last applied."""

    module_name: str
    job_id: int
    job_name: str
    settings_fingerprint: str = ""
    managed: Mapping[str, Any] = field(default_factory=dict)
    control_version: int | None = None
    applied: AppliedState = field(default_factory=AppliedState)
    is_active: bool = True

    def says_the_same(self, other: JobRecord | None) -> bool:
        """Whether recording the one over the other would change nothing of meaning."""
        return other is not None and self == replace(other, control_version=self.control_version)

    def row(self, now: datetime) -> dict[str, Any]:
        """The control-table row."""
        return {
            "module_name": self.module_name,
            "job_id": self.job_id,
            "job_name": self.job_name,
            "created_timestamp": now,
            "updated_timestamp": now,
            "settings_fingerprint": self.settings_fingerprint,
            "managed_fields": canonical_json(self.managed),
            "control_version": self.control_version,
            "applied_state": self.applied.to_json(),
            "is_active": self.is_active,
        }


def read_record(row: Mapping[str, Any]) -> JobRecord:
    """A record from its row. Raises RowError, naming the column."""
    if row.get("job_id") is None:
        raise RowError("job_id is empty")
    state = _object(row, "applied_state")
    return JobRecord(
        module_name=row["module_name"],
        job_id=row["job_id"],
        job_name=row.get("job_name") or "",
        settings_fingerprint=row.get("settings_fingerprint") or "",
        managed=_object(row, "managed_fields"),
        control_version=row.get("control_version"),
        applied=AppliedState(
            sources=state.get("sources", {}),
            module=state.get("module", ""),
            queries=state.get("queries", {}),
            paused_from=state.get("paused_from"),
        ),
        is_active=row.get("is_active") is not False,
    )


def applied_record(
    definition: JobDefinition,
    module: Module,
    job_id: int,
    *,
    query_ids: Mapping[str, str],
    control_version: int | None,
) -> JobRecord:
    """What to record once the job is as the definition says."""
    state = module_state(module)
    return JobRecord(
        module_name=module.module_name,
        job_id=job_id,
        job_name=definition.name,
        settings_fingerprint=fingerprint(definition.settings),
        managed=managed_keys(definition.settings),
        control_version=control_version,
        applied=AppliedState(sources=state.sources, module=state.module, queries=dict(query_ids)),
    )


def _object(row: Mapping[str, Any], column: str) -> dict[str, Any]:
    text = row.get(column)
    if not text:
        return {}
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise RowError(f"{column} is not JSON: {error.msg} at character {error.pos}") from error
    if not isinstance(value, dict):
        raise RowError(f"{column} is JSON, but not an object")
    return value


# --------------------------------------------------------------------------- the lease


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may create jobs, until when. Every change raises ``fence`` by one."""

    owner: str
    until: datetime
    fence: int

    def is_free(self, now: datetime) -> bool:
        """Whether anybody may take it: it was given back, or its time is over."""
        return not self.owner or now >= self.until

    @property
    def given_back(self) -> bool:
        """Whether its last owner ended in order."""
        return not self.owner

    def taken(self, owner: str, now: datetime, seconds: float) -> Lease:
        """The next state: somebody's from now on, or nobody's (``owner`` empty)."""
        return Lease(owner, now + timedelta(seconds=seconds), self.fence + 1)

    def row(self) -> dict[str, Any]:
        """The control-table row."""
        value = canonical_json({"owner": self.owner, "until": self.until.isoformat()})
        return {"key": CREATION_LEASE, "value": value, "fence": self.fence}


def read_lease(rows: list[dict[str, Any]], now: datetime) -> Lease:
    """The lease from its row; nobody's where there is none."""
    if not rows:
        return Lease("", now, 0)
    value = json.loads(rows[0]["value"])
    return Lease(value["owner"], datetime.fromisoformat(value["until"]), rows[0]["fence"])
