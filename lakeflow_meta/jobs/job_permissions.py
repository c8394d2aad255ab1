"""Who may do what with a module's job: wanted against live. Pure.

Permissions have an API of their own. What metadata names is made so; a principal that was named
when it was last applied and is named no more is taken away; all others, whom people let in on the
platform, stay. A job has exactly one owner, who may do everything and is never taken away, only
followed by another one.

https://docs.databricks.com/security/auth/access-control/index.html#job-acls
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lakeflow_meta.jobs.settings_diff import Change

Permission = Mapping[str, str]
"""``{"group_name": "analysts", "permission_level": "CAN_VIEW"}``, as the API has it."""

Levels = Mapping[str, str]
"""Level by principal: ``{"group:analysts": "CAN_VIEW"}``."""

OWNER = "IS_OWNER"
_OWNER_BEFORE = "CAN_MANAGE"
"""What an owner keeps who is followed by another one, as when people do this on the platform."""

_RANK = ("CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", OWNER)


@dataclass(frozen=True, slots=True)
class PermissionPlan:
    """What makes the live permissions as wanted. At most one of the two ways is used."""

    changes: tuple[Change, ...] = ()
    give: tuple[Permission, ...] = ()
    """For these principals; all others keep theirs."""
    replace_all: tuple[Permission, ...] = ()
    """All entries of the job, where one has to go or the owner changes."""


def principal(entry: Permission) -> str:
    """Whom an entry names: ``group:analysts``. Names of users are e-mails, whose case is none."""
    kind, name = next((k, v) for k, v in entry.items() if k.endswith("_name"))
    return f"{kind.removesuffix('_name')}:{name.lower() if kind == 'user_name' else name}"


def levels(entries: Iterable[Permission]) -> dict[str, str]:
    """Entries by principal; the highest level where there are several."""
    return {who: entry["permission_level"] for who, entry in _by_principal(entries).items()}


def plan_permissions(
    wanted: Sequence[Permission], live: Sequence[Permission], applied: Levels
) -> PermissionPlan:
    """Compare; ``applied`` is what was named when the job was last applied.

    For a job that is yet to be made ``live`` is empty: it will have an owner all the same, so
    look again then when `names_owner`.
    """
    there, asked = _by_principal(live), _by_principal(wanted)
    new_owner = any(_owns(e) and not _owns(there.get(who)) for who, e in asked.items())
    after = dict(there)
    for who, entry in there.items():
        if who not in asked and new_owner and _owns(entry):
            after[who] = {**entry, "permission_level": _OWNER_BEFORE}
        if who not in asked and who in applied and (new_owner or not _owns(entry)):
            del after[who]
    for who, entry in asked.items():
        if new_owner or not _owns(there.get(who)):
            after[who] = entry
    changes = _changes(there, after)
    if new_owner or there.keys() - after.keys():
        return PermissionPlan(changes, replace_all=tuple(after.values()))
    differs = [who for who in asked if _level(after[who]) != _level(there.get(who))]
    return PermissionPlan(changes, give=tuple(after[who] for who in differs))


def names_owner(wanted: Iterable[Permission]) -> bool:
    """Whether metadata says who owns the job; else whoever made it does."""
    return any(map(_owns, wanted))


def _by_principal(entries: Iterable[Permission]) -> dict[str, Permission]:
    found: dict[str, Permission] = {}
    for entry in sorted(entries, key=_rank):
        found[principal(entry)] = entry
    return found


def _rank(entry: Permission) -> int:
    level = entry["permission_level"]
    return _RANK.index(level) if level in _RANK else -1


def _level(entry: Permission | None) -> str | None:
    return None if entry is None else entry["permission_level"]


def _owns(entry: Permission | None) -> bool:
    return _level(entry) == OWNER


def _changes(
    before: Mapping[str, Permission], after: Mapping[str, Permission]
) -> tuple[Change, ...]:
    found = [
        Change(f"permissions/{who}", _level(before.get(who)), _level(after.get(who)))
        for who in sorted(before.keys() | after.keys())
    ]
    return tuple(change for change in found if change.before != change.after)
