"""What is remembered of a job that something starts, from one look to the next. Pure.

It outlives the process. Names of files that were seen are kept apart (`ports.FireStore`), because
there may be a hundred thousand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lakeflow_meta.ports import Trigger, TriggerKind


@dataclass(frozen=True, slots=True)
class Memory:
    """``identity`` is that of the trigger that it is of; another trigger begins anew.

    ``since``: when the trigger was first seen. ``looked_until``: due times up to then have been
    dealt with. ``activity`` marks what has happened and has not started a run yet, and
    ``active_at`` when that last changed. ``versions``: table versions that were looked at, and
    ``changed`` the tables with new data since the last run.
    """

    identity: str
    since: datetime
    looked_until: datetime
    fired_at: datetime | None = None
    fires: int = 0
    paused: bool = False
    activity: str = ""
    active_at: datetime | None = None
    versions: Mapping[str, int] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()
    has_baseline: bool = False
    """Whether the first look has taken note of what was there already."""

    def to_json(self) -> str:
        """As it is kept."""
        return json.dumps(
            {
                "identity": self.identity,
                "since": self.since.isoformat(),
                "looked_until": self.looked_until.isoformat(),
                "fired_at": _text(self.fired_at),
                "fires": self.fires,
                "paused": self.paused,
                "activity": self.activity,
                "active_at": _text(self.active_at),
                "versions": dict(self.versions),
                "changed": sorted(self.changed),
                "has_baseline": self.has_baseline,
            }
        )


@dataclass(frozen=True, slots=True)
class Note:
    """What to remember of a job: ``appeared`` are files that are no news from now on, ``gone``
    those that would be news again.
    """

    job_id: int
    memory: Memory
    appeared: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()


def read_memory(text: str) -> Memory:
    """What `Memory.to_json` wrote. Raises ValueError, KeyError, TypeError for anything else."""
    value: dict[str, Any] = json.loads(text)
    return Memory(
        identity=value["identity"],
        since=datetime.fromisoformat(value["since"]),
        looked_until=datetime.fromisoformat(value["looked_until"]),
        fired_at=_moment(value["fired_at"]),
        fires=int(value["fires"]),
        paused=bool(value["paused"]),
        activity=value["activity"],
        active_at=_moment(value["active_at"]),
        versions={str(name): int(version) for name, version in value["versions"].items()},
        changed=frozenset(value["changed"]),
        has_baseline=bool(value["has_baseline"]),
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class Fire:
    """One start of one job. ``token`` is the same in every attempt to start it, and in no other.

    ``trigger.at`` is the time of a schedule, else when it was noticed. ``reason`` is for people.
    """

    job_id: int
    token: str
    trigger: Trigger
    reason: str = ""

    @property
    def may_wait(self) -> bool:
        """Whether it is kept until the job may have another run. A schedule is not."""
        return self.trigger.kind in (TriggerKind.FILE_ARRIVAL, TriggerKind.TABLE)


def fire_to_json(fire: Fire) -> str:
    """A fire as it is kept, but for its job and token."""
    at = fire.trigger.at
    return json.dumps(
        {
            "kind": fire.trigger.kind,
            "at": _text(at),
            "details": dict(fire.trigger.details),
            "reason": fire.reason,
        }
    )


def read_fire(job_id: int, token: str, text: str) -> Fire:
    """What `fire_to_json` wrote."""
    value: dict[str, Any] = json.loads(text)
    trigger = Trigger(TriggerKind(value["kind"]), _moment(value["at"]), value["details"])
    return Fire(job_id, token, trigger, value["reason"])
