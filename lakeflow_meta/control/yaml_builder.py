"""Builds the value of a YAML document from the parser's events. Pure.

Variables are substituted on the way, on parsed scalars, so that a value can never change the
structure. What is wrong becomes a problem with its line; what could take the machine's memory or
its stack is refused before it is built: all aliases of an anchor share one value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from lakeflow_meta.control.yaml_scalars import DATE, MERGE, PLAIN, STR, plain_tag, plain_value
from lakeflow_meta.errors import Problem
from lakeflow_meta.findings import Path, did_you_mean, path_text

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml: the same results, slower
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]  # same interface

Loader = _Loader

DEPTH = 100
"""Levels of nesting: more than any configuration has. At some tens of thousands, libyaml's composer
overflows the stack and takes the process with it."""

_REPEATED = 20_000_000
"""Characters that aliases and variables may add to a file by repeating what stands in it once."""

_COLLECTION_TAGS = {None, "!", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"}
_REFERENCE = re.compile(
    r"\$\$\{|\$\{var\.(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}"
)


class RefusedError(Exception):
    """The file is read no further."""

    def __init__(self, event: yaml.Event, path: Path, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.event = event
        self.path = path
        self.hint = hint


@dataclass(frozen=True, slots=True)
class _Extent:
    """How much is repeated by naming a value once more: characters, and levels of nesting."""

    size: int
    height: int = 0


@dataclass(frozen=True, slots=True)
class _Anchored:
    """What an anchor stands for; all its aliases share the one value."""

    value: Any
    extent: _Extent
    text: str | None = None
    """How it is written, where it is a scalar."""


def _events(text: str) -> Iterator[Any]:
    loader = Loader(text)
    while True:
        yield loader.get_event()


class Builder:
    """Builds the value of a document from its events, collecting problems on the way."""

    def __init__(self, file: str, text: str, variables: Mapping[str, Any]) -> None:
        self._file = file
        self._next: Callable[[], Any] = _events(text).__next__
        self._variables = variables
        self._most = _REPEATED + 2 * len(text)
        self._size = 0
        self._depth = 0
        self._deepest = 0
        self._anchors: dict[str, _Anchored | None] = {}
        self._extents: dict[str, _Extent] = {}
        self.problems: list[Problem] = []
        self.written_keys: dict[Path, str] = {}

    def report(self, event: Any, path: Path, message: str, hint: str = "") -> None:
        mark = event.start_mark
        self.problems.append(
            Problem(self._file, mark.line + 1, mark.column + 1, path_text(path), message, hint)
        )

    # --- documents

    def document(self) -> Any:
        """The value of the only document; None when there is none."""
        event = self._start()
        if event is None:
            return None
        value = self._build(event, ())
        self._next()  # the end of the document
        if not isinstance(rest := self._next(), StreamEndEvent):
            message = "expected a single document in the stream"
            raise ComposerError(None, None, message, rest.start_mark)
        return value

    def member(self, wanted: str) -> Any:
        """One member of the document's mapping; what stands after it is not read."""
        event = self._start()
        if isinstance(event, MappingStartEvent):
            while not isinstance(event := self._next(), MappingEndEvent):
                key = self._key(event, ())
                value = self._build(self._next(), ())
                if key == wanted:
                    return value
        return None

    def _start(self) -> Any:
        """The first event inside the first document, None where there is no document."""
        self._next()  # the start of the stream
        found = self._next()
        return None if isinstance(found, StreamEndEvent) else self._next()

    # --- values

    def _build(self, event: Any, path: Path) -> Any:
        if isinstance(event, ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, AliasEvent):
            return self._aliased(event, path).value
        return self._collection(event, path)

    def _collection(self, event: CollectionStartEvent, path: Path) -> Any:
        if event.tag not in _COLLECTION_TAGS:
            self._report_tag(event, event.tag, path)
        if event.anchor is not None:
            self._anchor(event, path, None)
        size, deepest = self._size, self._deepest
        self._size += 1
        self._depth += 1
        self._deepest = 0
        self._reach(self._depth, event)
        sequence = isinstance(event, SequenceStartEvent)
        value = self._sequence(path) if sequence else self._mapping(path)
        self._depth -= 1
        if event.anchor is not None:
            extent = _Extent(self._size - size, self._deepest - self._depth)
            self._anchors[event.anchor] = _Anchored(value, extent)
        self._deepest = max(deepest, self._deepest)
        return value

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self._next(), SequenceEndEvent):
            items.append(self._build(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        while not isinstance(event := self._next(), MappingEndEvent):
            if _is_merge(event):
                merged = {**self._merge(self._next(), path), **merged}
                continue
            key = self._key(event, path)
            if key is None:
                self._build(self._next(), path)
                continue
            at = (*path, key)
            if key in own:
                self.report(event, at, f"key {key!r} is given twice", "keep one")
            own[key] = self._build(self._next(), at)
        return {**merged, **own} if merged else own

    def _key(self, event: Any, path: Path) -> str | None:
        """The text of a key; None, and a problem, where it is none."""
        text = self._key_text(event, path)
        if text is None:
            self.report(event, path, "a key must be plain text")
            return None
        if "${" not in text:
            return text
        key = str(self._substituted(text, event, path))
        self.written_keys[(*path, key)] = text
        return key

    def _key_text(self, event: Any, path: Path) -> str | None:
        if isinstance(event, ScalarEvent):
            self._size += 1 + len(event.value)
            if event.anchor is not None:
                extent = _Extent(1 + len(event.value))
                self._anchor(event, path, _Anchored(event.value, extent, event.value))
            return event.value
        if isinstance(event, AliasEvent):
            return self._aliased(event, path).text
        self._build(event, path)
        return None

    def _merge(self, event: Any, path: Path) -> dict[str, Any]:
        value = self._build(event, path)
        merged: dict[str, Any] = {}
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                merged = {**part, **merged}
            else:
                self.report(event, path, "<< takes a mapping or a list of mappings")
        return merged

    # --- what is repeated

    def _anchor(self, event: Any, path: Path, anchored: _Anchored | None) -> None:
        """Keep what an anchor stands for: None while it is being built."""
        if event.anchor in self._anchors:
            raise RefusedError(event, path, f"anchor &{event.anchor} is given twice", "rename one")
        self._anchors[event.anchor] = anchored

    def _aliased(self, event: Any, path: Path) -> _Anchored:
        found = self._anchors.get(event.anchor)
        if found is None:
            message = f"alias *{event.anchor} stands for nothing that was written before it"
            raise RefusedError(event, path, message, f"write &{event.anchor} before a value")
        self._repeat(found.extent, event, path)
        return found

    def _repeat(self, extent: _Extent, event: yaml.Event, path: Path) -> None:
        self._size += extent.size
        if self._size > self._most:
            message = "aliases and variables repeat too much"
            raise RefusedError(event, path, message, "write less, or load several files")
        self._reach(self._depth + extent.height, event)

    def _reach(self, depth: int, event: yaml.Event) -> None:
        if depth > DEPTH:
            message = f"the file is nested more than {DEPTH} levels deep here"
            raise RefusedError(event, (), message, "no configuration is")
        self._deepest = max(self._deepest, depth)

    # --- scalars

    def _scalar(self, event: ScalarEvent, path: Path) -> Any:
        text: str = event.value
        self._size += 1 + len(text)
        value = self._scalar_value(event, text, path)
        if event.anchor is not None:
            self._anchor(event, path, _Anchored(value, _Extent(1 + len(text)), text))
        return value

    def _scalar_value(self, event: ScalarEvent, text: str, path: Path) -> Any:
        tag = event.tag
        if tag is None or tag == "!":
            tag = plain_tag(text) if event.implicit[0] else STR
        if tag == STR:
            return self._substituted(text, event, path) if "${" in text else text
        if tag in PLAIN:
            return self._plain(tag, text, event, path)
        if tag == DATE:
            self.report(event, path, f"unquoted date {text}", f"write '{text}' in quotes")
        else:
            self._report_tag(event, tag, path)
        return None

    def _report_tag(self, event: yaml.Event, tag: str | None, path: Path) -> None:
        self.report(event, path, f"tag {tag} is not used here", "write plain YAML")

    def _plain(self, tag: str, text: str, event: yaml.Event, path: Path) -> Any:
        try:
            return plain_value(tag, text)
        except ValueError as error:
            self.report(event, path, str(error), "put it in quotes")
            return None

    # --- variables

    def _substituted(self, text: str, event: yaml.Event, path: Path) -> Any:
        whole = _REFERENCE.fullmatch(text)
        if whole is not None and whole["name"] is not None:
            return self._variable(whole, event, path)
        return _REFERENCE.sub(lambda match: self._text(match, event, path), text)

    def _text(self, match: re.Match[str], event: yaml.Event, path: Path) -> str:
        if match["name"] is None:
            return "${"
        value = self._variable(match, event, path)
        if isinstance(value, dict | list):
            self.report(
                event, path, f"variable {match['name']} is not a single value",
                "a list or mapping can only stand alone",
            )  # fmt: skip
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        return "" if value is None else str(value)

    def _variable(self, match: re.Match[str], event: yaml.Event, path: Path) -> Any:
        name = match["name"]
        if name in self._variables:
            value = self._variables[name]
            if name not in self._extents:
                self._extents[name] = _extent_of(value)
            self._repeat(self._extents[name], event, path)
            return value
        if match["default"] is not None:
            return match["default"]
        known = did_you_mean(name, self._variables) if self._variables else ""
        hint = known or f"add {name} under variables:, or write ${{var.{name}:-default}}"
        self.report(event, path, f"variable {name} has no value", hint)
        return ""


def _is_merge(event: Any) -> bool:
    """Whether a key is ``<<`` without quotes."""
    if not isinstance(event, ScalarEvent):
        return False
    return event.tag == MERGE or (event.value == "<<" and event.implicit[0])


def _extent_of(value: Any) -> _Extent:
    """Of a variable's value."""
    match value:
        case str():
            return _Extent(1 + len(value))
        case dict() | list():
            inner = [_extent_of(v) for v in (value.values() if isinstance(value, dict) else value)]
            keys = sum(1 + len(key) for key in value) if isinstance(value, dict) else 0
            height = max((extent.height for extent in inner), default=0)
            return _Extent(keys + sum(extent.size for extent in inner) + 1, height + 1)
        case _:
            return _Extent(1)
