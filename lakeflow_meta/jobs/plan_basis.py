"""What a plan was worked out from, so that an apply can tell whether it still holds. Pure.

Content decides, not versions: a compaction, or a change in a module that the plan is not about,
is no reason to refuse. Versions of control tables say since when to look for who changed them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakeflow_meta.fingerprint import fingerprint
from lakeflow_meta.jobs.settings_diff import KEYED_LISTS

LiveState = Mapping[str, str]
"""Fingerprints of the fields of a live job; entries of keyed lists one by one: ``tasks/load``."""


@dataclass(frozen=True, slots=True)
class ModuleBasis:
    """One module: its rows, its live job, and exactly what is to be done, as fingerprints."""

    recorded: str
    live: LiveState | None
    work: str

    def moved(self, now: ModuleBasis) -> list[str]:
        """Why ``now`` is not what was planned from, as ends of a sentence about the module."""
        return list(self._moved(now))

    def _moved(self, now: ModuleBasis) -> Iterator[str]:
        if self.recorded != now.recorded:
            yield "its rows in the control tables were changed"
        if self.live is None or now.live is None:
            if self.live is not None:
                yield "its job is gone"
            if now.live is not None:
                yield "it has got a job"
        elif fields := changed_fields(self.live, now.live):
            yield f"its job was changed: {', '.join(fields)}"
        elif self.work != now.work and self.recorded == now.recorded:
            yield "what has to be done is something else: a saved query, permissions or settings"


@dataclass(frozen=True, slots=True)
class PlanBasis:
    """What a whole plan was worked out from, and the choices that it was made with."""

    control_table: str
    modules: tuple[str, ...] | None = None
    """The modules that were asked for; None is all, so that a new one makes the plan old."""
    prune: str = "pause"
    on_drift: str = "restore"
    made_at: str = ""
    made_by: str = ""
    versions: Mapping[str, int | None] = field(default_factory=dict)
    """Of control tables, by full name."""
    by_module: Mapping[str, ModuleBasis] = field(default_factory=dict)


NO_BASIS = PlanBasis("")
"""Of a plan that nothing can be applied from."""


def live_state(settings: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a job, each by its fingerprint."""
    state: dict[str, str] = {}
    for name, value in settings.items():
        key = KEYED_LISTS.get(name)
        if key is not None and _is_keyed(value, key):
            state |= {f"{name}/{entry[key]}": fingerprint(entry) for entry in value}
        else:
            state[name] = fingerprint(value)
    return state


def changed_fields(before: LiveState, after: LiveState) -> list[str]:
    """Paths of the fields that differ."""
    return sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))


def _is_keyed(value: Any, key: str) -> bool:
    return isinstance(value, Sequence) and all(
        isinstance(entry, Mapping) and key in entry for entry in value
    )
