"""Differences between a declared and a live table as lines, for people and for JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from lakeflow_meta.schema.diff import (
    AddCheck,
    AddColumns,
    AddForeignKey,
    AddPrimaryKey,
    Change,
    ChangeCheck,
    ChangeNullability,
    ChangePartitioning,
    ChangePrimaryKey,
    ChangeType,
    CreateTable,
    EnableFeatures,
    RemoveColumn,
    SetClustering,
    SetColumnComments,
    SetProperties,
    SetTableComment,
)
from lakeflow_meta.schema.table import Column, DeltaTable


class Sign(StrEnum):
    """What happens to the thing of a line."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


_MARKS = {Sign.ADD: "+", Sign.CHANGE: "~", Sign.REMOVE: "-"}


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One difference: ``kind`` is column, type, comment, property, …; ``name`` says which one."""

    sign: Sign
    kind: str
    name: str
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        what = f"{_MARKS[self.sign]} {self.kind} {self.name}".rstrip()
        match self.sign:
            case Sign.ADD:
                return f"{what} {_one_line(self.after)}".rstrip()
            case Sign.REMOVE:
                return f"{what} {_one_line(self.before)}".rstrip()
            case Sign.CHANGE:
                return f"{what}: {_one_line(self.before) or '(none)'} → {_one_line(self.after)}"
            case _:
                assert_never(self.sign)

    def to_dict(self) -> dict[str, str]:
        """The difference as JSON."""
        return {
            "operation": str(self.sign),
            "kind": self.kind,
            "name": self.name,
            "before": self.before,
            "after": self.after,
        }


def _one_line(text: str) -> str:
    return text.replace("\r", "").replace("\n", "\\n")


def lines_of(change: Change) -> Iterator[ChangeLine]:
    """The lines of one difference."""
    match change:
        case CreateTable(table):
            yield from _table_lines(table)
        case AddColumns(columns):
            for new in columns:
                place = " first" if new.after is None else f" after {new.after}"
                text = _column_text(new.column) + (place if new.after != "" else "")
                yield ChangeLine(Sign.ADD, "column", new.column.name, "", text)
        case RemoveColumn(column):
            yield ChangeLine(Sign.REMOVE, "column", column.name, _column_text(column))
        case SetColumnComments(comments):
            for name, before, after in comments:
                yield ChangeLine(Sign.CHANGE, "comment of", name, repr(before), repr(after))
        case SetProperties(before, after):
            for key, value in after.items():
                sign = Sign.CHANGE if key in before else Sign.ADD
                yield ChangeLine(sign, "property", key, before.get(key, ""), value)
        case _:
            yield _single_line(change)


def _single_line(  # noqa: C901 - a flat match over a closed union
    change: EnableFeatures
    | ChangeType
    | ChangeNullability
    | SetTableComment
    | SetClustering
    | ChangePartitioning
    | AddCheck
    | ChangeCheck
    | AddPrimaryKey
    | ChangePrimaryKey
    | AddForeignKey,
) -> ChangeLine:
    match change:
        case EnableFeatures(features):
            text = "(a permanent upgrade of the table's protocol)"
            return ChangeLine(Sign.ADD, "feature", ", ".join(features), "", text)
        case ChangeType(name, before, after):
            return ChangeLine(Sign.CHANGE, "type of", name, str(before), str(after))
        case ChangeNullability(name, nullable):
            words = ("nullable", "not null")
            return ChangeLine(
                Sign.CHANGE, "nullability of", name, words[nullable], words[not nullable]
            )
        case SetTableComment(before, after):
            return ChangeLine(Sign.CHANGE, "comment", "", repr(before), repr(after))
        case SetClustering(before, after):
            shown = "unknown" if before is None else _listed(before)
            return ChangeLine(Sign.CHANGE, "clustering", "", shown, _listed(after))
        case ChangePartitioning(before, after):
            return ChangeLine(Sign.CHANGE, "partitioning", "", _listed(before), _listed(after))
        case AddCheck(name, expression):
            return ChangeLine(Sign.ADD, "check", name, "", f"({expression})")
        case ChangeCheck(name, before, after):
            return ChangeLine(Sign.CHANGE, "check", name, f"({before})", f"({after})")
        case AddPrimaryKey(name, columns):
            return ChangeLine(Sign.ADD, "primary key", name, "", _listed(columns))
        case ChangePrimaryKey(before, after):
            return ChangeLine(Sign.CHANGE, "primary key", "", _listed(before), _listed(after))
        case AddForeignKey(name, columns, parent, referenced):
            text = f"{_listed(columns)} → {parent} {_listed(referenced)}"
            return ChangeLine(Sign.ADD, "foreign key", name, "", text)
        case _:
            assert_never(change)


def _table_lines(table: DeltaTable) -> Iterator[ChangeLine]:
    for column in table.columns:
        yield ChangeLine(Sign.ADD, "column", column.name, "", _column_text(column))
    if table.comment:
        yield ChangeLine(Sign.ADD, "comment", "", "", repr(table.comment))
    for key, value in table.properties.items():
        yield ChangeLine(Sign.ADD, "property", key, "", value)
    if table.partitioned_by:
        yield ChangeLine(Sign.ADD, "partitioning", "", "", _listed(table.partitioned_by))
    if table.clustered_by:
        yield ChangeLine(Sign.ADD, "clustering", "", "", _listed(table.clustered_by))


def _column_text(column: Column) -> str:
    text = f"{column.data_type}{'' if column.nullable else ' not null'}"
    return f"{text} {column.comment!r}" if column.comment else text


def _listed(names: Sequence[str]) -> str:
    return f"({', '.join(names)})"
