"""Dynamic value references, ``{{job.parameters.day}}``, in the fields of a task. Pure.

As on the platform: what is no reference at all stays as it is written; a reference into a known
namespace that does not exist is an error, found before anything starts. What is known only while
the run goes on (``{{tasks.…}}``, ``{{input}}``) is replaced when the task starts.

https://docs.databricks.com/jobs/dynamic-value-references
https://docs.databricks.com/jobs/for-each (``{{input}}``)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from lakeflow_meta.backends.local.tasks.task_work import UnrunnableTaskError
from lakeflow_meta.ports import BY_HAND, RunState, Trigger, TriggerKind

_REFERENCE = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_OPEN = "{{"
_PART = re.compile(r"`([^`]+)`|([\w-]+)")
_NAMESPACES = frozenset({"job", "run", "task", "tasks", "workspace"})

# The states of a task as `{{tasks.<key>.result_state}}` spells them.
_RESULT_STATES = {
    RunState.TIMED_OUT: "timedout",
    RunState.CANCELLED: "canceled",
    RunState.UPSTREAM_CANCELLED: "upstream_canceled",
}
_ERROR_CODES = {
    RunState.FAILED: "RunExecutionError",
    RunState.TIMED_OUT: "RunExecutionError",
    RunState.CANCELLED: "Canceled",
}
_TRIGGER_TYPES = {TriggerKind.MANUAL: "one_time"}


class _Nothing:
    """Stands for a value that is not known."""


NOTHING = _Nothing()


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What a reference may ask of a task that has ended. ``output`` may be `NOTHING`."""

    state: RunState
    attempts: int = 1
    values: Mapping[str, Any] = field(default_factory=dict)
    output: Any = NOTHING


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a task may refer to. ``tasks`` holds those that have ended, ``input`` the element of an
    iteration; both are empty before the run.
    """

    job_id: int
    job_name: str
    run_id: int
    started_at: datetime
    parameters: Mapping[str, str]
    task_key: str = ""
    attempt: int = 0
    repair_count: int = 0
    trigger: Trigger = BY_HAND
    tasks: Mapping[str, TaskFacts] = field(default_factory=dict)
    input: Any = NOTHING


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a task stands: all tasks of its job, and those before it."""

    task_keys: Collection[str]
    upstream: Collection[str]


# --------------------------------------------------------------------------- replacing


def resolved(value: Any, context: RunContext) -> Any:
    """``value`` (any JSON) with the references in its texts replaced; keys are left alone.

    Raises UnrunnableTaskError for a reference to something that a task which has ended did not
    leave.
    """
    match value:
        case str() if _OPEN in value:
            return _REFERENCE.sub(lambda found: _text(found, context), value)
        case list():
            return [resolved(item, context) for item in value]
        case dict():
            return {key: resolved(item, context) for key, item in value.items()}
        case _:
            return value


def as_text(value: Any) -> str:
    """How a value stands in a text: texts as they are, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text(found: re.Match[str], context: RunContext) -> str:
    value = _value(_path(found), found[0], context)
    return found[0] if value is NOTHING else as_text(value)


def _path(found: re.Match[str]) -> list[str]:
    """``job.parameters.`a b` `` as its parts; empty when it is no dotted name."""
    text = found[1]
    parts = [quoted or bare for quoted, bare in _PART.findall(text)]
    return parts if ".".join(parts) == text.replace("`", "") else []


def _value(path: list[str], written: str, context: RunContext) -> Any:
    match path:
        case ["job", "parameters", name]:
            return context.parameters.get(name, NOTHING)
        case ["job", "start_time", form]:
            return _time(context.started_at, form)
        case ["job", "trigger", *rest]:
            return _of_trigger(rest, context)
        case ["job" | "run" | "task" as space, name]:
            reader = _FIELDS.get((space, name))
            return reader(context) if reader else NOTHING
        case ["tasks", key, *rest]:
            facts = context.tasks.get(key)
            return NOTHING if facts is None else _of_task(rest, key, written, facts)
        case ["input", *keys]:
            return NOTHING if context.input is NOTHING else _inside(context.input, keys, written)
        case [name]:
            reader = _LEGACY.get(name)
            return reader(context) if reader else NOTHING
    return NOTHING


def _of_trigger(path: list[str], context: RunContext) -> Any:
    trigger = context.trigger
    match path:
        case ["type"]:
            return _TRIGGER_TYPES.get(trigger.kind, trigger.kind.value)
        case ["time", form]:
            return _time(trigger.at or context.started_at, form)
        case ["file_arrival", "location"] | ["table_update", "updated_tables"]:
            return trigger.details.get(path[1], "")
    return NOTHING


def _of_task(path: list[str], key: str, written: str, facts: TaskFacts) -> Any:
    match path:
        case ["result_state"]:
            return _RESULT_STATES.get(facts.state, facts.state.value)
        case ["error_code"]:
            return _ERROR_CODES.get(facts.state, "")
        case ["execution_count"]:
            return facts.attempts
        case ["values", name]:
            if name not in facts.values:
                set_ones = ", ".join(sorted(facts.values)) or "none"
                raise UnrunnableTaskError(
                    f"{written}: task {key!r} ({facts.state}) has set no task value {name!r};"
                    f" it set: {set_ones}"
                )
            return facts.values[name]
        case ["output", *rest]:
            return _of_output(rest, key, written, facts)
    return NOTHING


def _of_output(path: list[str], key: str, written: str, facts: TaskFacts) -> Any:
    if facts.output is NOTHING:
        raise UnrunnableTaskError(f"{written}: task {key!r} ({facts.state}) gave nothing back")
    match path:
        case ["first_row", *columns]:
            rows = _inside(facts.output, ["rows"], written)
            if not rows:
                raise UnrunnableTaskError(f"{written}: task {key!r} gave no row back")
            return _inside(rows[0], columns, written)
    return _inside(facts.output, path, written)


def _inside(value: Any, keys: list[str], written: str) -> Any:
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            known = ", ".join(map(str, value)) if isinstance(value, Mapping) else "no keys"
            raise UnrunnableTaskError(f"{written}: there is no {key!r}; there are: {known}")
        value = value[key]
    return value


# --------------------------------------------------------------------------- before the run


def reference_problems(value: Any, context: RunContext, around: Surroundings) -> Iterator[str]:
    """What is wrong with the references of ``value``, as far as that can be told before the run."""
    for found in _references(value):
        path = _path(found)
        match path:
            case ["tasks", key, *rest]:
                yield from _wrong_task(found[0], key, rest, around)
            case [space, _, *_] if space in _NAMESPACES:
                if _value(path, found[0], context) is NOTHING:
                    yield f"{found[0]} refers to nothing that is known here"


def named_tasks(value: Any) -> frozenset[str]:
    """The tasks that references of ``value`` name."""
    paths = (_path(found) for found in _references(value))
    return frozenset(path[1] for path in paths if len(path) > 1 and path[0] == "tasks")


def is_known_late(value: Any) -> bool:
    """Whether some reference of ``value`` is known only while the run goes on."""
    paths = (_path(found) for found in _references(value))
    return any(path[:1] in (["tasks"], ["input"]) for path in paths)


def _references(value: Any) -> Iterator[re.Match[str]]:
    match value:
        case str() if _OPEN in value:
            yield from _REFERENCE.finditer(value)
        case list():
            for item in value:
                yield from _references(item)
        case dict():
            for item in value.values():
                yield from _references(item)


def _wrong_task(written: str, key: str, path: list[str], around: Surroundings) -> Iterator[str]:
    match path:
        case ["result_state" | "error_code" | "execution_count"] | ["values", _]:
            pass
        case ["output"] | ["output", "rows"] | ["output", "first_row"] | ["output", "first_row", _]:
            pass
        case _:
            yield f"{written} refers to nothing that is known here"
            return
    if key not in around.task_keys:
        near = get_close_matches(key, list(around.task_keys), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        yield f"{written} names task {key!r}, which this job does not have{hint}"
    elif key not in around.upstream:
        yield f"{written} names task {key!r}, which this task does not depend on"


# --------------------------------------------------------------------------- values


def _time(moment: datetime, form: str) -> Any:
    at = moment.astimezone(UTC)
    forms = {
        "iso_weekday": str(at.isoweekday()),
        "is_weekday": str(at.isoweekday() <= 5).lower(),
        "iso_date": at.date().isoformat(),
        "iso_datetime": at.replace(microsecond=0, tzinfo=None).isoformat(),
        "timestamp_ms": str(int(at.timestamp() * 1000)),
        **{part: str(getattr(at, part)) for part in _PARTS_OF_TIME},
    }
    return forms.get(form, NOTHING)


_PARTS_OF_TIME = ("year", "month", "day", "hour", "minute", "second")

_Reader = Callable[[RunContext], str]
_FIELDS: dict[tuple[str, str], _Reader] = {
    ("job", "id"): lambda context: str(context.job_id),
    ("job", "name"): lambda context: context.job_name,
    ("job", "run_id"): lambda context: str(context.run_id),
    ("job", "repair_count"): lambda context: str(context.repair_count),
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
