"""What was applied to which job: rows of ``etl_control_jobs``, and the lease row. Pure.

``applied_state`` is JSON: ``module`` and ``sources`` as `control.changes.ModuleState` has them
(fingerprints of what was applied, for the change detector), ``queries`` (task key to the id of the
saved query that holds its inline SQL), ``permissions`` (level by principal, as metadata named
them), ``paused_from`` (the pause status before a gone module's job was paused).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from lakeflow_meta.control.changes import UNKNOWN, ModuleState, module_state
from lakeflow_meta.control.rows import NO_MODULE, BadRow, Module, RowError, json_object
from lakeflow_meta.errors import Problem
from lakeflow_meta.fingerprint import canonical_json, fingerprint
from lakeflow_meta.jobs.settings_diff import managed_keys

if TYPE_CHECKING:
    from lakeflow_meta.jobs.job_settings import JobDefinition

_REMEDY = "delete the row: the next apply finds the job again by its tags"

CREATION_LEASE = "jobs/creation"
"""Key of the lease row in ``etl_control_state``."""


@dataclass(frozen=True, slots=True)
class AppliedState:
    """What a job was made from."""

    sources: Mapping[str, str] = field(default_factory=dict)
    module: str = ""
    queries: Mapping[str, str] = field(default_factory=dict)
    paused_from: str | None = None
    permissions: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> ModuleState:
        """What the change detector compares with."""
        return ModuleState(self.module, self.sources)

    def to_json(self) -> str:
        """As the column holds it."""
        state: dict[str, Any] = {"module": self.module, "sources": dict(self.sources)}
        if self.queries:
            state["queries"] = dict(self.queries)
        if self.permissions:
            state["permissions"] = dict(self.permissions)
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

    @property
    def was_applied(self) -> bool:
        """Whether an apply of ours has written it; a migrated one tells of a job of others."""
        return bool(self.settings_fingerprint)

    @property
    def unfinished(self) -> JobRecord:
        """The same, but known not to be as the module says: the change detector names it."""
        return replace(self, applied=replace(self.applied, module=UNKNOWN))

    @property
    def content(self) -> dict[str, Any]:
        """Everything that it says, as JSON; not when it was written, and from which version."""
        return {
            "job_id": self.job_id,
            "job_name": self.job_name,
            "settings_fingerprint": self.settings_fingerprint,
            "managed": self.managed,
            "applied": self.applied.to_json(),
            "is_active": self.is_active,
        }

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
    for column in ("module_name", "job_id"):
        if row.get(column) in (None, ""):
            raise RowError(f"{column} is empty", _REMEDY)
    return JobRecord(
        module_name=row["module_name"],
        job_id=row["job_id"],
        job_name=row.get("job_name") or "",
        settings_fingerprint=row.get("settings_fingerprint") or "",
        managed=json_object(row, "managed_fields"),
        control_version=row.get("control_version"),
        applied=_read_applied(row),
        is_active=row.get("is_active") is not False,
    )


def _read_applied(row: Mapping[str, Any]) -> AppliedState:
    state = json_object(row, "applied_state")
    parts = [state.get(name, {}) for name in ("sources", "queries", "permissions")]
    module, paused_from = state.get("module", ""), state.get("paused_from")
    texts = [module, "" if paused_from is None else paused_from]
    for part in parts:
        texts += part.values() if isinstance(part, dict) else [None]
    if not all(isinstance(text, str) for text in texts):
        raise RowError("applied_state is JSON, but not what an apply has written", _REMEDY)
    sources, queries, permissions = parts
    return AppliedState(sources, module, queries, paused_from, permissions)


def read_records(
    rows: Iterable[Mapping[str, Any]], table: str
) -> tuple[dict[str, JobRecord], tuple[BadRow, ...]]:
    """Records by module, and the rows that cannot be used; ``table`` names them in problems."""
    by_module: dict[str | None, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_module.setdefault(row.get("module_name"), []).append(row)
    records: dict[str, JobRecord] = {}
    bad: list[BadRow] = []
    for name, group in by_module.items():
        try:
            record = _only_record(group)
            records[record.module_name] = record
        except RowError as error:
            path = "NULL" if name is None else name
            problem = Problem(table, 0, 0, path, str(error), error.hint)
            bad.append(BadRow(name or NO_MODULE, "", problem))
    return records, tuple(bad)


def _only_record(rows: list[Mapping[str, Any]]) -> JobRecord:
    if len(rows) > 1:
        raise RowError(f"{len(rows)} rows have this module", "delete all but one of them")
    return read_record(rows[0])


def applied_record(
    definition: JobDefinition,
    module: Module,
    job_id: int,
    *,
    query_ids: Mapping[str, str],
    permissions: Mapping[str, str],
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
        applied=AppliedState(
            sources=state.sources,
            module=state.module,
            queries=dict(query_ids),
            permissions=dict(permissions),
        ),
    )


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
