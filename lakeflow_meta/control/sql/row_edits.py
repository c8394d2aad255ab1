"""What a statement does to the rows of one control table, row by row. Pure.

UPDATE, DELETE and MERGE all become one query, over the table as it is, that gives a row for each
row that changes. So they mean the same in every store, a WHERE may hold whatever a SELECT may, and
what is going to be written can be looked at before it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lakeflow_meta.control.rows import Row

BEFORE, AFTER = "before ", "after "
"""Before the name of a column: its value as it is, and as it will be."""

ACTION_NAME, ROW_NAME = "action", "row"


class Action(StrEnum):
    """What becomes of a row."""

    UPDATE = "update"
    DELETE = "delete"
    INSERT = "insert"


@dataclass(frozen=True, slots=True)
class RowEdit:
    """What becomes of one row.

    ``row`` tells it from the others, in terms of the store; None for a new one. ``key`` is its key
    as it is. ``after`` holds the columns that the statement can change; the rest stay, or are NULL.
    """

    action: Action
    row: Any
    key: tuple[Any, ...]
    after: Row


CheckEdits = Callable[[Sequence[RowEdit]], None]
"""Raises LakeflowMetaError for edits that must not be written."""


def read_edits(rows: Sequence[Row]) -> list[RowEdit]:
    """The edits that rows of the query stand for."""
    return [
        RowEdit(
            Action(row[ACTION_NAME]),
            row[ROW_NAME],
            tuple(value for name, value in row.items() if name.startswith(BEFORE)),
            {n.removeprefix(AFTER): value for n, value in row.items() if n.startswith(AFTER)},
        )
        for row in rows
    ]


def edited_twice(edits: Sequence[RowEdit]) -> list[tuple[Any, ...]]:
    """Keys of rows that would be changed by more than one row of a MERGE's source."""
    counted = Counter(edit.row for edit in edits if edit.action is not Action.INSERT)
    return sorted({e.key for e in edits if e.row is not None and counted[e.row] > 1}, key=str)


def edited_rows(rows: Sequence[Row], edits: Sequence[RowEdit], names: Sequence[str]) -> list[Row]:
    """Rows after edits that tell them by their position."""
    by_row = {edit.row: edit for edit in edits if edit.action is not Action.INSERT}
    kept = [
        {**row, **by_row[position].after} if position in by_row else row
        for position, row in enumerate(rows)
        if position not in by_row or by_row[position].action is Action.UPDATE
    ]
    new = [dict.fromkeys(names) | e.after for e in edits if e.action is Action.INSERT]
    return [*kept, *new]
