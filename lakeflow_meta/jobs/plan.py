"""What has to be done so that jobs are as the modules say: wanted against live. Pure.

An update sends only the top-level fields that differ, and of tasks and clusters only the entries
that differ: ``jobs/update`` replaces fields whole, merges ``tasks`` and ``job_clusters`` by key,
and takes removals in ``fields_to_remove``.
https://docs.databricks.com/api/workspace/jobs/update
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from lakeflow_meta.fingerprint import canonical_json, fingerprint
from lakeflow_meta.jobs.job_config import STARTERS
from lakeflow_meta.jobs.job_settings import JobDefinition
from lakeflow_meta.jobs.ownership import is_owned, owner
from lakeflow_meta.jobs.plan_basis import NO_BASIS, PlanBasis
from lakeflow_meta.jobs.records import JobRecord
from lakeflow_meta.jobs.settings_diff import (
    KEYED_LISTS,
    Change,
    Merged,
    assumed_keys,
    merge_settings,
)

if TYPE_CHECKING:
    from lakeflow_meta.ports import LiveJob

MERGED_FIELDS = ("tasks", "job_clusters")


class ActionKind(StrEnum):
    """What is to be done with one module's job."""

    CREATE = "create"
    RECREATE = "recreate"
    ADOPT = "adopt"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    PAUSE = "pause"
    DELETE = "delete"
    FAIL = "failed"


class Prune(StrEnum):
    """What becomes of the job of a module that is inactive or gone."""

    PAUSE = "pause"
    DELETE = "delete"
    KEEP = "keep"


class OnDrift(StrEnum):
    """What becomes of a job that others changed since it was last applied."""

    RESTORE = "restore"
    REPORT = "report"
    """It is left as it is, and what differs is told."""


DONE = {
    ActionKind.CREATE: "created",
    ActionKind.RECREATE: "recreated",
    ActionKind.ADOPT: "adopted",
    ActionKind.UPDATE: "updated",
    ActionKind.UNCHANGED: "unchanged",
    ActionKind.PAUSE: "paused",
    ActionKind.DELETE: "deleted",
    ActionKind.FAIL: "failed",
}
"""The word for an action that was carried out."""


@dataclass(frozen=True, slots=True)
class Action:
    """What is to be done with one module's job, and how it differs."""

    module_name: str
    kind: ActionKind
    job_id: int | None = None
    job_name: str = ""
    changes: tuple[Change, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What to send; for a new job everything."""
    fields_to_remove: tuple[str, ...] = ()
    drift: tuple[Change, ...] = ()
    """What others changed: the metadata is as applied. Also in ``changes``, unless it is left."""
    note: str = ""
    error: str = ""

    @property
    def pending(self) -> bool:
        """Whether the platform is not yet as the metadata says."""
        return self.kind is not ActionKind.UNCHANGED

    @property
    def calls_platform(self) -> bool:
        """Whether there is anything to send to an existing job."""
        return bool(self.settings or self.fields_to_remove)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        document: dict[str, Any] = {
            "kind": "job",
            "name": self.module_name,
            "action": self.kind.value,
            "changes": [change.to_dict() for change in self.changes],
            "job_id": self.job_id,
            "drift": bool(self.drift),
            "drifted": [change.to_dict() for change in self.drift],
        }
        return document | {k: v for k, v in (("note", self.note), ("error", self.error)) if v}

    def lines(self) -> list[str]:
        """As text: the job, and below it what differs."""
        job = f" (job {self.job_id})" if self.job_id is not None else ""
        drift = " changed on the platform" if self.drift else ""
        said = f": {self.error or self.note}" if self.error or self.note else ""
        title = f"{_SIGNS[self.kind]} {self.kind.value} {self.module_name}{job}{drift}{said}"
        left = [change for change in self.drift if change not in self.changes]
        return [
            title,
            *(f"    {change_line(change)}{self._mark(change)}" for change in self.changes),
            *(f"    ! {change_line(change)[2:]}  (left)" for change in left),
        ]

    def _mark(self, change: Change) -> str:
        """What others changed is told apart where there is something else beside it."""
        mixed = self.changes != self.drift and change in self.drift
        return "  (changed on the platform)" if mixed else ""


_SIGNS = {
    ActionKind.CREATE: "+",
    ActionKind.RECREATE: "+",
    ActionKind.ADOPT: "~",
    ActionKind.UPDATE: "~",
    ActionKind.UNCHANGED: "=",
    ActionKind.PAUSE: "~",
    ActionKind.DELETE: "-",
    ActionKind.FAIL: "!",
}


def change_line(change: Change) -> str:
    """One field that differs, for people."""
    if change.before is None:
        return f"+ {change.path}: {_shown(change.after)}"
    if change.after is None:
        return f"- {change.path}: {_shown(change.before)}"
    return f"~ {change.path}: {_shown(change.before)} → {_shown(change.after)}"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) and value else canonical_json(value)
    return text if len(text) <= 100 else f"{text[:99]}…"


@dataclass(frozen=True, slots=True)
class JobsPlan:
    """One action for every module, by name, and what they were worked out from."""

    actions: tuple[Action, ...]
    basis: PlanBasis = NO_BASIS

    @property
    def pending(self) -> tuple[Action, ...]:
        """What would be done."""
        return tuple(action for action in self.actions if action.pending)

    @property
    def has_failures(self) -> bool:
        """Whether a module cannot become a job as it is recorded."""
        return any(action.kind is ActionKind.FAIL for action in self.actions)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"actions": [action.to_dict() for action in self.actions]}

    def text(self) -> str:
        """For people: what would be done, with every field that differs."""
        lines = [line for action in self.pending for line in action.lines()]
        return "\n".join(lines) if lines else "no changes"


# --------------------------------------------------------------------------- wanted jobs


def plan_job(
    definition: JobDefinition, live: LiveJob | None, record: JobRecord | None, *, adopted: bool
) -> Action:
    """What makes the live job as the definition says.

    ``adopted``: the job was found by its tags, the record knows nothing of it.
    """
    if live is None:
        kind = ActionKind.CREATE if record is None else ActionKind.RECREATE
        changes = merge_settings(definition.settings, {}, {}).changes
        action = Action(definition.module_name, kind, None, definition.name, changes)
        return replace(action, settings=definition.settings)
    known = None if adopted else record
    managed = known.managed if known and known.managed else assumed_keys(live.settings)
    wanted = _with_pause(definition.settings, live.settings, known)
    merged = merge_settings(wanted, live.settings, managed)
    settings, removed = _to_send(merged, live.settings)
    kind = ActionKind.UPDATE if merged.changes else ActionKind.UNCHANGED
    return Action(
        definition.module_name,
        ActionKind.ADOPT if adopted else kind,
        live.job_id,
        definition.name,
        merged.changes,
        settings,
        removed,
        drift=merged.changes if is_applied(definition, known) else (),
    )


def is_applied(definition: JobDefinition, record: JobRecord | None) -> bool:
    """Whether exactly these settings were applied last; what differs then, others have changed.

    The queries of its tasks are those that were saved then, whatever became of them.
    """
    if record is None or not record.is_active:
        return False
    then = definition.with_queries(record.applied.queries)
    return record.settings_fingerprint == fingerprint(then.settings)


def _to_send(merged: Merged, live: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The smallest request that makes the live document the merged one."""
    settings: dict[str, Any] = {}
    removed: list[str] = []
    for name in sorted(merged.changed_fields()):
        if name not in merged.settings:
            removed.append(name)
        elif name in MERGED_FIELDS and name in live:
            touched = {
                c.path.split("/")[1] for c in merged.changes if c.path.startswith(f"{name}/")
            }
            key = KEYED_LISTS[name]
            entries = [entry for entry in merged.settings[name] if entry[key] in touched]
            gone = touched - {entry[key] for entry in entries}
            settings |= {name: entries} if entries else {}
            removed += [f"{name}/{entry}" for entry in sorted(gone)]
        else:
            settings[name] = merged.settings[name]
    return settings, tuple(removed)


def _with_pause(
    wanted: Mapping[str, Any], live: Mapping[str, Any], record: JobRecord | None
) -> Mapping[str, Any]:
    """The wanted settings with a pause that outlives this update.

    A pause that somebody set holds also when, say, a schedule becomes a trigger; one that we set,
    or were about to set, because the module was gone ends when the module is back.
    """
    name = next((name for name in STARTERS if name in wanted), None)
    if name is None or "pause_status" in wanted[name]:
        return wanted
    status = pause_status(live)
    ours = record is not None and (not record.is_active or record.applied.paused_from is not None)
    if status == "PAUSED" and record is not None and ours:
        status = record.applied.paused_from or "UNPAUSED"
        return {**wanted, name: {**wanted[name], "pause_status": status}}
    if status == "PAUSED" and name not in live:
        return {**wanted, name: {**wanted[name], "pause_status": status}}
    return wanted


def pause_status(settings: Mapping[str, Any]) -> str | None:
    """Whether the job starts by itself; None when nothing would start it."""
    for name in STARTERS:
        if name in settings:
            return str((settings[name] or {}).get("pause_status") or "UNPAUSED")
    return None


# --------------------------------------------------------------------------- modules that are gone


def plan_retirement(
    record: JobRecord, live: LiveJob | None, prune: Prune, control_table: str
) -> Action:
    """What becomes of the job of a module that is inactive or gone.

    A job that never was ours is nobody's business here: it came from older tables.
    """
    action = Action(record.module_name, ActionKind.UNCHANGED, record.job_id, record.job_name)
    if live is None:
        return replace(action, kind=ActionKind.DELETE, note="the job is gone already")
    if prune is Prune.KEEP:
        return replace(action, note="the module is inactive or gone; its job is kept")
    if not is_owned(live.settings, control_table, record.module_name):
        if not record.was_applied:
            return replace(action, note=_NEVER_OURS.format(live.job_id, record.module_name))
        error = f"job {live.job_id} does not carry this module's tags, so it is left alone"
        return replace(action, kind=ActionKind.FAIL, error=error)
    if prune is Prune.DELETE:
        return replace(action, kind=ActionKind.DELETE)
    return plan_pause(action, live, record)


_NEVER_OURS = (
    "job {} was never applied from these control tables, so it is left alone; stop or delete it on"
    " the platform, and delete the row of {} from the jobs table"
)


def plan_pause(action: Action, live: LiveJob, record: JobRecord) -> Action:
    """What keeps the job from starting by itself."""
    for name in STARTERS:
        if name in live.settings and pause_status(live.settings) != "PAUSED":
            paused = {**(live.settings[name] or {}), "pause_status": "PAUSED"}
            change = Change(f"{name}/pause_status", pause_status(live.settings), "PAUSED")
            return replace(
                action, kind=ActionKind.PAUSE, changes=(change,), settings={name: paused}
            )
    kind = ActionKind.PAUSE if record.is_active else ActionKind.UNCHANGED
    return replace(action, kind=kind)


def foreign_owner(live: LiveJob, control_table: str, module_name: str) -> str | None:
    """Why the job cannot be ours: its tags name another control table or module."""
    found = owner(live.settings)
    if found is None or is_owned(live.settings, control_table, module_name):
        return None
    return f"job {live.job_id} belongs to control table {found[0]}, module {found[1]}"
