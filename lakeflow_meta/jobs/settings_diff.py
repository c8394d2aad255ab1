"""Three settings documents compared: what we want, what is live, what we applied last. Pure.

Only what we manage counts. A key that the wanted document names must be as it says; a key that was
applied before and is wanted no more is removed; every other key of the live job (defaults that the
platform filled in, what people set in the UI) is kept as it is, also inside nested objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Managed = Mapping[str, Any]
"""The keys of an applied document, nested; a leaf is 1. Entries of keyed lists are by their key."""

KEYED_LISTS = {
    "tasks": "task_key",
    "job_clusters": "job_cluster_key",
    "environments": "environment_key",
    "parameters": "name",
}
"""Lists whose entries are told apart by a key, wherever they hold objects."""

_SHARED = frozenset(
    {"tags", "email_notifications", "webhook_notifications", "notification_settings"}
)
"""Objects whose keys have nothing to do with each other, so that others may add theirs."""

_LEAF = 1
_ABSENT: Any = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs. ``path`` is ``tasks/load/timeout_seconds``; None is "not there"."""

    path: str
    before: Any
    after: Any

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"path": self.path, "before": self.before, "after": self.after}


def values_before(changes: Iterable[Change]) -> dict[str, Any]:
    """What was there, by path; what was not there is left out."""
    return {change.path: change.before for change in changes if change.before is not None}


def values_after(changes: Iterable[Change]) -> dict[str, Any]:
    """What is there afterwards, by path; what is gone is left out."""
    return {change.path: change.after for change in changes if change.after is not None}


@dataclass(frozen=True, slots=True)
class Merged:
    """The live document with our changes in it, and what they are."""

    settings: Mapping[str, Any]
    changes: tuple[Change, ...]

    def changed_fields(self) -> set[str]:
        """Names of the top-level fields that differ."""
        return {change.path.split("/", 1)[0] for change in self.changes}


def managed_keys(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a document that is about to be applied."""
    return {name: _managed(name, value) for name, value in settings.items()}


def _managed(name: str, value: Any) -> Any:
    entries = _entries(name, value)
    if entries is not None:
        return {key: managed_keys(entry) for key, entry in entries.items()} or _LEAF
    if isinstance(value, Mapping):
        return managed_keys(value) or _LEAF
    return _LEAF


def assumed_keys(live: Mapping[str, Any]) -> dict[str, Any]:
    """What to take as managed in a job of ours whose record is lost.

    Tasks and clusters, and what each task runs; what starts the job. A job that was made just now
    by a process that died differs in nothing of this.
    """
    assumed = {name: _LEAF for name in ("schedule", "trigger", "continuous") if name in live}
    tasks = _entries("tasks", live.get("tasks")) or {}
    clusters = _entries("job_clusters", live.get("job_clusters")) or {}
    works = {
        key: {name: _LEAF for name in task if name.endswith("_task") or name == "depends_on"}
        for key, task in tasks.items()
    }
    return {**assumed, "tasks": works, "job_clusters": dict.fromkeys(clusters, _LEAF)}


def merge_settings(wanted: Mapping[str, Any], live: Mapping[str, Any], managed: Managed) -> Merged:
    """The live settings as they would be with ``wanted`` applied."""
    changes: list[Change] = []
    merged = _merge_mapping(wanted, live, managed, "", changes)
    return Merged(merged, tuple(changes))


def _merge_mapping(
    wanted: Mapping[str, Any],
    live: Mapping[str, Any],
    managed: Any,
    path: str,
    changes: list[Change],
) -> dict[str, Any]:
    before = managed if isinstance(managed, Mapping) else {}
    merged = dict(live)
    for name in before:
        if name in live and name not in wanted:
            left = _without(name, live[name], before[name], path + name, changes)
            if left is _ABSENT:
                del merged[name]
            else:
                merged[name] = left
    for name, value in wanted.items():
        there = live.get(name, _ABSENT)
        result = _merge(name, value, there, before.get(name), path + name, changes)
        if result is not _ABSENT:
            merged[name] = result
    return merged


def _without(name: str, live: Any, managed: Any, path: str, changes: list[Change]) -> Any:
    """What stays of a value that is wanted no more: what others put beside ours, if anything."""
    entries = _entries(name, live)
    kept = entries if entries is not None else live if name in _SHARED else None
    if kept is not None and isinstance(managed, Mapping) and kept.keys() - managed.keys():
        left = _merge_mapping({}, kept, managed, f"{path}/", changes)
        return left if entries is None else list(left.values())
    changes.append(Change(path, live, None))
    return _ABSENT


def _merge(
    name: str, wanted: Any, live: Any, managed: Any, path: str, changes: list[Change]
) -> Any:
    """One value as it would be; what is empty and not there stays away."""
    if live is _ABSENT:
        if wanted in ({}, [], None) and name != "continuous":
            return _ABSENT
        if _entries(name, wanted) is None:
            changes.append(Change(path, None, wanted))
            return wanted
        live = []
    entries, live_entries = _entries(name, wanted), _entries(name, live)
    if entries is not None and live_entries is not None:
        merged = _merge_mapping(entries, live_entries, managed, f"{path}/", changes)
        return list(merged.values())
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        return _merge_mapping(wanted, live, managed, f"{path}/", changes)
    if _same(name, wanted, live):
        return live
    changes.append(Change(path, live, wanted))
    return wanted


def _same(name: str, wanted: Any, live: Any) -> bool:
    """Whether a scalar or list of the live document is what we want."""
    if name == "depends_on" and isinstance(wanted, list) and isinstance(live, list):
        wanted, live = (sorted(side, key=_dependency_key) for side in (wanted, live))
    if isinstance(wanted, list) and isinstance(live, list):
        return len(wanted) == len(live) and all(
            _same_entry(ours, theirs) for ours, theirs in zip(wanted, live, strict=True)
        )
    if isinstance(wanted, bool) or isinstance(live, bool):
        return wanted is live
    return bool(wanted == live)


def _same_entry(wanted: Any, live: Any) -> bool:
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        return not merge_settings(wanted, live, {}).changes
    return _same("", wanted, live)


def _dependency_key(dependency: Any) -> str:
    return str(dependency["task_key"])


def _entries(name: str, value: Any) -> dict[str, Mapping[str, Any]] | None:
    """Entries of a keyed list by key; None for anything else."""
    key = KEYED_LISTS.get(name)
    if key is None or not isinstance(value, Sequence) or isinstance(value, str):
        return None
    if not all(isinstance(entry, Mapping) and key in entry for entry in value):
        return None
    return {str(entry[key]): entry for entry in value}
