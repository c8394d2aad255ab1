"""A JSON value as YAML text: the same bytes each time. Pure.

The text is made from events, without a tree of nodes first, as it is read (`yaml_nodes`): for
10,000 sources that is a quarter of the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from yaml.events import (
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from yaml.representer import SafeRepresenter

from lakeflow_meta.control.yaml_scalars import STR, plain_tag

try:
    from yaml import CSafeDumper as _Dumper
except ImportError:  # PyYAML without libyaml: the same values, slower
    from yaml import SafeDumper as _Dumper  # type: ignore[assignment]  # same interface

_LINE_BREAKS = frozenset("\r\x85\u2028\u2029\ufeff")
"""YAML reads these as line breaks or drops them, unless they are escaped."""

_representer = SafeRepresenter()


def yaml_text(value: Any) -> str:
    """Block style; texts of several lines as they are, keys in their order, no anchors.

    Raises TypeError for what JSON does not have.
    """
    text: str = yaml.emit(_document(value), Dumper=_Dumper, allow_unicode=True, width=100)
    return text


def _document(value: Any) -> Iterator[Event]:
    yield StreamStartEvent()
    yield DocumentStartEvent(explicit=False)
    yield from _events(value)
    yield DocumentEndEvent(explicit=False)
    yield StreamEndEvent()


def _events(value: Any) -> Iterator[Event]:
    match value:
        case dict():
            yield MappingStartEvent(None, None, implicit=True, flow_style=False)
            for key, item in value.items():
                yield _scalar(key)
                yield from _events(item)
            yield MappingEndEvent()
        case list() | tuple():
            yield SequenceStartEvent(None, None, implicit=True, flow_style=False)
            for item in value:
                yield from _events(item)
            yield SequenceEndEvent()
        case _:
            yield _scalar(value)


def _scalar(value: Any) -> ScalarEvent:
    """``implicit`` says whether it is understood without a tag: without quotes, and in quotes."""
    match value:
        case str():
            plain = plain_tag(value) == STR
            return ScalarEvent(None, None, (plain, True), value, style=_style(value))
        case None:
            text = "null"
        case bool():
            text = "true" if value else "false"
        case float():
            text = _representer.represent_float(value).value
        case int():
            text = str(value)
        case _:
            raise TypeError(f"{type(value).__name__} is no JSON value")
    return ScalarEvent(None, None, (True, False), text)


def _style(text: str) -> str | None:
    """Escaped where breaks would be lost, a block of lines where they can stand, else as fits."""
    if not _LINE_BREAKS.isdisjoint(text) or any(character > "\uffff" for character in text):
        return '"'
    if "\n" in text and not any(line.endswith((" ", "\t")) for line in text.split("\n")):
        return "|"
    return None
