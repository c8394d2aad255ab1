"""Dynamic value references, ``{{job.parameters.day}}``, in the fields of a task. Pure.

As on the platform: what is no reference at all stays as it is written; a reference into a known
namespace that does not exist is an error, found before anything starts.

https://docs.databricks.com/jobs/dynamic-value-references
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lakeflow_meta.ports import RunState

_REFERENCE = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_PART = re.compile(r"`([^`]+)`|([\w-]+)")
_NAMESPACES = frozenset({"job", "run", "task", "tasks", "workspace"})

# The states of a task as `{{tasks.<key>.result_state}}` spells them.
_RESULT_STATES = {
    RunState.TIMED_OUT: "timedout",
    RunState.CANCELLED: "canceled",
    RunState.UPSTREAM_CANCELLED: "upstream_canceled",
}


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a task may refer to. ``states`` holds how far the tasks of the run are."""

    job_id: int
    job_name: str
    run_id: int
    started_at: datetime
    parameters: Mapping[str, str]
    task_key: str = ""
    attempt: int = 0
    states: Mapping[str, RunState] = field(default_factory=dict)


def resolved(value: Any, context: RunContext) -> Any:
    """``value`` (any JSON) with the references in its texts replaced; keys are left alone."""
    match value:
        case str():
            return _REFERENCE.sub(lambda found: _text(found, context), value)
        case list():
            return [resolved(item, context) for item in value]
        case dict():
            return {key: resolved(item, context) for key, item in value.items()}
        case _:
            return value


def unknown_references(value: Any, context: RunContext) -> list[str]:
    """The references of ``value`` that name nothing, as they are written."""
    match value:
        case str():
            found = [match for match in _REFERENCE.finditer(value) if _in_namespace(match)]
            return [match[0] for match in found if _value(match, context) is None]
        case list():
            return [name for item in value for name in unknown_references(item, context)]
        case dict():
            return [name for item in value.values() for name in unknown_references(item, context)]
        case _:
            return []


def _text(found: re.Match[str], context: RunContext) -> str:
    value = _value(found, context)
    return found[0] if value is None else value


def _path(found: re.Match[str]) -> list[str]:
    """``job.parameters.`a b` `` as its parts; empty when it is no dotted name."""
    text = found[1]
    parts = [quoted or bare for quoted, bare in _PART.findall(text)]
    return parts if ".".join(parts) == text.replace("`", "") else []


def _in_namespace(found: re.Match[str]) -> bool:
    path = _path(found)
    return len(path) > 1 and path[0] in _NAMESPACES


def _value(found: re.Match[str], context: RunContext) -> str | None:
    match _path(found):
        case ["job", "parameters", name]:
            return context.parameters.get(name)
        case ["job", "start_time", form]:
            return _time(context.started_at, form)
        case ["job" | "run" | "task" as space, name]:
            reader = _FIELDS.get((space, name))
            return reader(context) if reader else None
        case ["tasks", key, "result_state"]:
            return _result_state(context, key)
        case [name]:
            reader = _LEGACY.get(name)
            return reader(context) if reader else None
    return None


def _result_state(context: RunContext, key: str) -> str | None:
    state = context.states.get(key)
    return None if state is None else _RESULT_STATES.get(state, state.value)


def _time(moment: datetime, form: str) -> str | None:
    at = moment.astimezone(UTC)
    forms = {
        "iso_weekday": str(at.isoweekday()),
        "is_weekday": str(at.isoweekday() <= 5).lower(),
        "iso_date": at.date().isoformat(),
        "iso_datetime": at.replace(microsecond=0, tzinfo=None).isoformat(),
        "timestamp_ms": str(int(at.timestamp() * 1000)),
        **{part: str(getattr(at, part)) for part in _PARTS_OF_TIME},
    }
    return forms.get(form)


_PARTS_OF_TIME = ("year", "month", "day", "hour", "minute", "second")

_Reader = Callable[[RunContext], str]
_FIELDS: dict[tuple[str, str], _Reader] = {
    ("job", "id"): lambda context: str(context.job_id),
    ("job", "name"): lambda context: context.job_name,
    ("job", "run_id"): lambda context: str(context.run_id),
    ("job", "repair_count"): lambda _context: "0",
    ("run", "id"): lambda context: str(context.run_id),
    ("task", "name"): lambda context: context.task_key,
    ("task", "execution_count"): lambda context: str(context.attempt + 1),
}
# The older names without a namespace, which jobs still carry.
_LEGACY: dict[str, _Reader] = {
    "job_id": lambda context: str(context.job_id),
    "run_id": lambda context: str(context.run_id),
    "parent_run_id": lambda context: str(context.run_id),
    "task_key": lambda context: context.task_key,
    "task_retry_count": lambda context: str(context.attempt),
    "start_date": lambda context: context.started_at.astimezone(UTC).date().isoformat(),
    "start_time": lambda context: str(int(context.started_at.timestamp() * 1000)),
}
