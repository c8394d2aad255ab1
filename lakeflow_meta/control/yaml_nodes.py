"""YAML text as a value whose every part knows its line. Pure.

Differs from a plain safe load where that would hide a mistake: a key given twice is a problem
(YAML keeps the last silently), an unquoted date is a problem (JSON has no dates), and everything
found is reported with its position. Variables are substituted here, on parsed scalars, so that a
value can never change the structure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

from lakeflow_meta.errors import Problem
from lakeflow_meta.findings import Finding, Path, did_you_mean, path_text

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml: the same results, slower
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]  # same interface

_ALIAS_GROWTH = 100
"""Every value takes a character. Aliases may repeat values, but not blow a small file up."""

_STR, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float")}
_DATE = "tag:yaml.org,2002:timestamp"
_REFERENCE = re.compile(
    r"\$\$\{|\$\{var\.(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}"
)

_constructor = SafeConstructor()


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML file, read. ``value`` is None when the file is empty or cannot be read at all."""

    file: str
    value: Any
    problems: tuple[Problem, ...] = ()
    root: yaml.Node | None = field(default=None, repr=False, compare=False)

    def problem(self, finding: Finding) -> Problem:
        """A finding inside ``value``, with the line it is on."""
        line, column = _position(self.root, finding.path)
        return Problem(
            self.file, line, column, path_text(finding.path), finding.message, finding.hint
        )


def read_document(file: str, text: str, variables: Mapping[str, Any]) -> Document:
    """Parse one file. Never raises for bad content: problems are in the result."""
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = f"this is not YAML: {error.problem or error.context}"
        return Document(file, None, (Problem(file, line, column, "", message),))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Document(file, None, (Problem(file, 1, 1, "", f"this is not YAML: {reason}"),))
    if root is None:
        return Document(file, None)
    builder = _Builder(file, variables, _ALIAS_GROWTH * len(text))
    try:
        value = builder.build(root, ())
    except RecursionError:
        builder.report(root, (), "the file is nested too deeply, or its aliases repeat too much")
        value = None
    return Document(file, value, tuple(builder.problems), root)


def declared_variables(file: str, text: str) -> Mapping[str, Any]:
    """The ``variables:`` of a file, before any substitution; empty where the file is broken."""
    if "variables" not in text:
        return {}
    value = read_document(file, text, _AnyVariable()).value
    found = value.get("variables") if isinstance(value, dict) else None
    return {str(k): v for k, v in found.items()} if isinstance(found, dict) else {}


class _AnyVariable(dict[str, Any]):
    """Stands for "every variable has a value": nothing is reported as missing."""

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> Any:
        return ""


class _Builder:
    """Builds the value of a node tree, collecting problems on the way."""

    def __init__(self, file: str, variables: Mapping[str, Any], most: int) -> None:
        self._file = file
        self._variables = variables
        self._left = most
        self.problems: list[Problem] = []

    def report(self, node: yaml.Node, path: Path, message: str, hint: str = "") -> None:
        mark = node.start_mark
        self.problems.append(
            Problem(self._file, mark.line + 1, mark.column + 1, path_text(path), message, hint)
        )

    def build(self, node: yaml.Node, path: Path) -> Any:
        self._left -= 1
        if self._left < 0:
            raise RecursionError
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._mapping(node, path)

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged = {**self._merge(value_node, path), **merged}
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self.report(key_node, path, "a key must be plain text")
                continue
            key = str(self._substituted(key_node.value, key_node, path))
            if key in own:
                self.report(key_node, (*path, key), f"key {key!r} is given twice", "keep one")
            own[key] = self.build(value_node, (*path, key))
        return {**merged, **own} if merged else own

    def _merge(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for part in parts:
            if isinstance(part, yaml.MappingNode):
                merged = {**self._mapping(part, path), **merged}
            else:
                self.report(part, path, "<< takes a mapping or a list of mappings")
        return merged

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        tag = node.tag
        if tag == _STR:
            text = node.value
            return self._substituted(text, node, path) if "${" in text else text
        if tag in _PLAIN_TAGS:
            return self._plain(node, path)
        if tag == _DATE:
            self.report(
                node, path, f"unquoted date {node.value}", f"write '{node.value}' in quotes"
            )
        else:
            self.report(node, path, f"tag {tag} is not used here", "write plain YAML")
        return None

    def _plain(self, node: yaml.ScalarNode, path: Path) -> Any:
        try:
            value = _constructor.construct_object(node)
        except (ConstructorError, ValueError):
            self.report(node, path, f"{node.value!r} cannot be read", "put it in quotes")
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self.report(node, path, f"{node.value} has no JSON form", "put it in quotes")
            return None
        return value

    def _substituted(self, text: str, node: yaml.Node, path: Path) -> Any:
        whole = _REFERENCE.fullmatch(text)
        if whole is not None and whole["name"] is not None:
            return self._variable(whole, node, path)
        return _REFERENCE.sub(lambda match: self._text(match, node, path), text)

    def _text(self, match: re.Match[str], node: yaml.Node, path: Path) -> str:
        if match["name"] is None:
            return "${"
        value = self._variable(match, node, path)
        if isinstance(value, dict | list):
            self.report(
                node, path, f"variable {match['name']} is not a single value",
                "a list or mapping can only stand alone",
            )  # fmt: skip
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        return "" if value is None else str(value)

    def _variable(self, match: re.Match[str], node: yaml.Node, path: Path) -> Any:
        name = match["name"]
        if name in self._variables:
            return self._variables[name]
        if match["default"] is not None:
            return match["default"]
        known = did_you_mean(name, self._variables) if self._variables else ""
        hint = known or f"add {name} under variables:, or write ${{var.{name}:-default}}"
        self.report(node, path, f"variable {name} has no value", hint)
        return ""


def _position(root: yaml.Node | None, path: Path) -> tuple[int, int]:
    """Line and column of the node at ``path``, or of the nearest one above it."""
    node = root
    mark = root.start_mark if root is not None else None
    for part in path:
        step = _child(node, part)
        if step is None:
            break
        node, mark = step
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, Any] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
        if part >= len(node.value):
            return None
        return node.value[part], node.value[part].start_mark
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return value, key.start_mark
    return None
