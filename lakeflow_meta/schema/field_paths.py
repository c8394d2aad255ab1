"""Paths to columns and to fields inside them: ``address.zip``, ``lines.element.price``. Pure.

Inside an array the step is ``element``, inside a map ``key`` or ``value``, as ALTER TABLE has it.
https://docs.databricks.com/sql/language-manual/sql-ref-syntax-ddl-alter-table-manage-column.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from lakeflow_meta.schema.types import Array, DataType, Map, Struct
from lakeflow_meta.sql import ident

Path = tuple[str, ...]

_PARTS = re.compile(r"`((?:[^`]|``)+)`|([^.`]+)")


class Field(Protocol):
    """A column, or a field of a struct."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def data_type(self) -> DataType:
        """What it holds."""


def read_path(text: str) -> Path:
    """Read ``a.b``; a part that holds a dot stands in backticks. Raises ValueError."""
    parts: list[str] = []
    position = 0
    while match := _PARTS.match(text, position):
        quoted, bare = match.groups()
        parts.append(bare.strip() if quoted is None else quoted.replace("``", "`"))
        position = match.end()
        if position == len(text):
            return tuple(parts)
        if text[position] != ".":
            break
        position += 1
    raise ValueError(f"{text!r} is no path of names; write column.field")


def shown_path(path: Path) -> str:
    """The path as people write it; `read_path` reads it back."""
    return ".".join(ident(part) if "." in part or "`" in part else part for part in path)


def path_key(path: Path) -> Path:
    """The identity of a path: Spark resolves names without regard to case."""
    return tuple(part.lower() for part in path)


def type_at(fields: Sequence[Field], path: Path) -> DataType | None:
    """The type of what a path leads to; None where it leads nowhere."""
    found = next((f.data_type for f in fields if f.name.lower() == path[0].lower()), None)
    if found is None or len(path) == 1:
        return found
    return _type_inside(found, path[1:])


def _type_inside(data_type: DataType, path: Path) -> DataType | None:
    match data_type, path[0].lower():
        case Struct(fields), _:
            return type_at(fields, path)
        case (Array(inner), "element") | (Map(inner, _), "key") | (Map(_, inner), "value"):
            return inner if len(path) == 1 else _type_inside(inner, path[1:])
        case _:
            return None


_F = TypeVar("_F", bound=Any)


def renamed_at(fields: Sequence[_F], path: Path, name: str) -> tuple[_F, ...]:
    """The same columns or fields, with another name for the one that a path leads to."""
    return tuple(
        _renamed(field, path[1:], name) if field.name.lower() == path[0].lower() else field
        for field in fields
    )


def _renamed(field: _F, rest: Path, name: str) -> _F:
    if not rest:
        return replace(field, name=name)
    return replace(field, data_type=_renamed_inside(field.data_type, rest, name))


def _renamed_inside(data_type: DataType, path: Path, name: str) -> DataType:
    match data_type:
        case Struct(fields):
            return Struct(renamed_at(fields, path, name))
        case Array(element):
            return Array(_renamed_inside(element, path[1:], name))
        case Map(key, value) if path[0].lower() == "key":
            return Map(_renamed_inside(key, path[1:], name), value)
        case Map(key, value):
            return Map(key, _renamed_inside(value, path[1:], name))
        case _:
            return data_type
