"""Declared columns against live ones, fields inside structs included: every difference. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lakeflow_meta.schema.change import Change
from lakeflow_meta.schema.column_changes import (
    AddColumns,
    ChangeNullability,
    ChangeSource,
    ChangeType,
    MoveColumn,
    NewColumn,
    RemoveColumns,
    SetComments,
    SetDefault,
    source_text,
)
from lakeflow_meta.schema.expressions import same_expression
from lakeflow_meta.schema.field_paths import Path
from lakeflow_meta.schema.live import LiveTable
from lakeflow_meta.schema.table import Column, DeltaTable
from lakeflow_meta.schema.types import Array, DataType, Map, Struct, StructField, same_type

Fields = Sequence[Column | StructField]


def column_changes(declared: DeltaTable, live: LiveTable) -> Iterator[Change]:
    """Every difference of columns; ``live`` with all renames done."""
    found = _Found()
    found.compare_fields((), live.columns, declared.columns)
    if found.added:
        yield AddColumns(tuple(found.added))
    if found.removed:
        yield RemoveColumns(tuple(found.removed))
    yield from found.changes
    if found.comments:
        yield SetComments(tuple(found.comments))
    yield from _source_changes(declared, live)


@dataclass(slots=True)
class _Found:
    """What a walk over both sides has found."""

    added: list[NewColumn] = field(default_factory=list)
    removed: list[tuple[Path, DataType]] = field(default_factory=list)
    comments: list[tuple[Path, str, str]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def compare_fields(self, under: Path, live: Fields, declared: Fields) -> None:
        there = {one.name.lower(): one for one in live}
        wanted = {one.name.lower() for one in declared}
        self.removed += [
            ((*under, one.name), one.data_type) for key, one in there.items() if key not in wanted
        ]
        for one in declared:
            before = there.get(one.name.lower())
            if before is not None:
                self._compare_field((*under, before.name), before, one)
        order = [one.name for one in live]
        self.added += _placed(under, order, declared)
        self.changes += _moves(under, order, declared)

    def _compare_field(
        self, path: Path, before: Column | StructField, after: Column | StructField
    ) -> None:
        if before.comment != after.comment:
            self.comments.append((path, before.comment, after.comment))
        if before.nullable != after.nullable:
            self.changes.append(ChangeNullability(path, after.nullable))
        self._compare_types(path, before.data_type, after.data_type)

    def _compare_types(self, path: Path, before: DataType, after: DataType) -> None:
        match before, after:
            case Struct(live), Struct(declared):
                self.compare_fields(path, live, declared)
            case Array(one), Array(other):
                self._compare_types((*path, "element"), one, other)
            case Map(key, value), Map(other_key, other_value):
                self._compare_types((*path, "key"), key, other_key)
                self._compare_types((*path, "value"), value, other_value)
            case _:
                if not same_type(before, after):
                    self.changes.append(ChangeType(path, before, after))


def _placed(under: Path, order: list[str], declared: Fields) -> Iterator[NewColumn]:
    """Each new column behind the one that is declared before it, or at the end without a position.

    ``order`` are the live names, and becomes those of the table with its new columns.
    """
    names = {name.lower(): name for name in order}
    previous: str | None = None
    for one in declared:
        name = names.setdefault(one.name.lower(), one.name)
        if name not in order:
            at = 0 if previous is None else order.index(previous) + 1
            yield NewColumn((*under, name), _as_column(one), "" if at == len(order) else previous)
            order.insert(at, name)
        previous = name


def _as_column(one: Column | StructField) -> Column:
    if isinstance(one, Column):
        return one
    return Column(one.name, one.data_type, one.nullable, one.comment)


def _moves(under: Path, order: Sequence[str], declared: Fields) -> Iterator[MoveColumn]:
    """As few moves as possible: the longest run that is in order already stays."""
    there = {name.lower(): (index, name) for index, name in enumerate(order)}
    both = [there[one.name.lower()] for one in declared]
    stay = _longest_rising([index for index, _ in both])
    previous: str | None = None
    for number, (index, name) in enumerate(both):
        if index not in stay:
            yield MoveColumn((*under, name), previous, number)
        previous = name


def _longest_rising(numbers: Sequence[int]) -> set[int]:
    """One of the longest rising subsequences."""
    tails: list[int] = []
    before: dict[int, int | None] = {}
    for number in numbers:
        at = bisect_left(tails, number)
        before[number] = tails[at - 1] if at else None
        tails[at : at + 1] = [number]
    found: set[int] = set()
    last = tails[-1] if tails else None
    while last is not None:
        found.add(last)
        last = before[last]
    return found


def _source_changes(declared: DeltaTable, live: LiveTable) -> Iterator[Change]:
    """Defaults, generated columns and identities."""
    for column in declared.columns:
        before = live.column(column.name)
        default = before.default if before is not None else ""
        if not same_expression(default, column.default):
            name = column.name if before is None else before.name
            yield SetDefault(name, default, column.default)
        if before is None:
            if source_text(column):
                yield ChangeSource(column.name, "", source_text(column))
        elif not same_expression(source_text(before), source_text(column)):
            yield ChangeSource(before.name, source_text(before), source_text(column))
