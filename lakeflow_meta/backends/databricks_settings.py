"""Job settings held against the types of the installed databricks-sdk. Pure.

The SDK's own ``from_dict`` drops what it does not know and takes any value for a number, so this
compares with the declared types instead, and names everything that is wrong at once.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from databricks.sdk.service.jobs import JobSettings

from lakeflow_meta.findings import Finding, Path, did_you_mean
from lakeflow_meta.jobs.field_check import UnknownField

_PLAIN = {
    str: ((str,), "text"),
    int: ((int,), "a whole number"),
    bool: ((bool,), "true or false"),
    float: ((int, float), "a number"),
}


def unknown_fields(settings: Mapping[str, Any]) -> list[Finding]:
    """Fields that the installed SDK does not know, which may be typos or newer than it."""
    return [finding for known, finding in _findings(settings, JobSettings, ()) if not known]


def wrong_values(settings: Mapping[str, Any]) -> list[Finding]:
    """Values of known fields that the API cannot take: of another type, or no word of an enum."""
    return [finding for known, finding in _findings(settings, JobSettings, ()) if known]


def _findings(value: Any, kind: Any, path: Path) -> Iterator[tuple[bool, Finding]]:
    """Findings with whether they are about a known field. A null is left to the platform."""
    kind = _without_none(kind)
    if value is None or kind is Any:
        return
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        yield from _object_findings(value, kind, path)
    elif origin is list:
        yield from _list_findings(value, arguments[0], path)
    elif origin is dict:
        yield from _mapping_findings(value, arguments[1], path)
    elif isinstance(kind, type) and issubclass(kind, Enum):
        words = [str(member.value) for member in kind]
        if value not in words:
            yield True, Finding(path, f"{value!r} is not a known word", _near(value, words))
    elif kind in _PLAIN and not _is_plain(value, kind):
        yield True, Finding(path, f"is {value!r}; it is {_PLAIN[kind][1]}")


def _object_findings(value: Any, kind: Any, path: Path) -> Iterator[tuple[bool, Finding]]:
    if not isinstance(value, Mapping):
        yield True, Finding(path, f"is {value!r}; it is an object")
        return
    fields = _fields(kind)
    for name, entry in value.items():
        if name in fields:
            yield from _findings(entry, fields[name], (*path, name))
        else:
            hint = did_you_mean(str(name), fields)
            yield False, UnknownField((*path, name), f"unknown field {name!r}", hint)


def _list_findings(value: Any, kind: Any, path: Path) -> Iterator[tuple[bool, Finding]]:
    if not isinstance(value, list | tuple):
        yield True, Finding(path, f"is {value!r}; it is a list")
        return
    for position, entry in enumerate(value):
        yield from _findings(entry, kind, (*path, position))


def _mapping_findings(value: Any, kind: Any, path: Path) -> Iterator[tuple[bool, Finding]]:
    if not isinstance(value, Mapping):
        yield True, Finding(path, f"is {value!r}; it is an object")
        return
    for name, entry in value.items():
        yield from _findings(entry, kind, (*path, name))


def _is_plain(value: Any, kind: type) -> bool:
    return isinstance(value, _PLAIN[kind][0]) and (kind is bool or not isinstance(value, bool))


def _near(value: Any, words: list[str]) -> str:
    """The API's words are in capitals."""
    near = get_close_matches(str(value).upper(), words, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(words)}"


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        return next(argument for argument in get_args(kind) if argument is not type(None))
    return kind


@cache
def _fields(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
