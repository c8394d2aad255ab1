"""YAML text as a value, and the line of every part of it. Pure.

Differs from a plain safe load where that would hide a mistake: a key given twice is a problem
(YAML keeps the last silently), an unquoted date is a problem (JSON has no dates), and everything
found is reported with its position.

The value is built straight from the parser's events. A tree of nodes takes several times the
memory, and for 10,000 sources seconds of garbage collection; it is made only when the position of
something that was built is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

from lakeflow_meta.control.yaml_builder import Builder, Loader, RefusedError
from lakeflow_meta.errors import Problem
from lakeflow_meta.findings import Finding, Path, path_text


@dataclass(frozen=True)
class Document:
    """One YAML file, read. ``value`` is None when the file is empty or cannot be read at all.

    Has no slots, because ``root`` is made on first use and kept.
    """

    file: str
    value: Any
    problems: tuple[Problem, ...] = ()
    text: str = field(default="", repr=False, compare=False)
    written_keys: Mapping[Path, str] = field(default_factory=dict, repr=False, compare=False)
    """Keys with variables in them as they are written, by the path that they came to."""

    @cached_property
    def root(self) -> yaml.Node | None:
        """The text as a tree of nodes; None where there is no value."""
        return None if self.value is None else yaml.compose(self.text, Loader=Loader)

    def problem(self, finding: Finding) -> Problem:
        """A finding inside ``value``, with the line it is on."""
        line, column = _position(self.root, finding.path)
        return Problem(
            self.file, line, column, path_text(finding.path), finding.message, finding.hint
        )


def read_document(file: str, text: str, variables: Mapping[str, Any]) -> Document:
    """Parse one file. Never raises for bad content: problems are in the result."""
    builder = Builder(file, text, variables)
    try:
        value = builder.document()
    except (yaml.YAMLError, ValueError) as error:
        return Document(file, None, (*builder.problems, _not_yaml(file, error)))
    except RefusedError as refused:
        builder.report(refused.event, refused.path, str(refused), refused.hint)
        return Document(file, None, tuple(builder.problems))
    return Document(file, value, tuple(builder.problems), text, builder.written_keys)


def declared_variables(file: str, text: str) -> Mapping[str, Any]:
    """The ``variables:`` of a file, before any substitution; empty where they cannot be read."""
    if "variables" not in text:
        return {}
    try:
        found = Builder(file, text, _AnyVariable()).member("variables")
    except (yaml.YAMLError, ValueError, RefusedError):
        return {}
    return found if isinstance(found, dict) else {}


def _not_yaml(file: str, error: yaml.YAMLError | ValueError) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        reason = error.problem or error.context
        return Problem(file, line, column, "", f"this is not YAML: {reason}")
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Problem(file, 1, 1, "", f"this is not YAML: {reason}")


class _AnyVariable(dict[str, Any]):
    """Stands for "every variable has a value": nothing is reported as missing."""

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> Any:
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
