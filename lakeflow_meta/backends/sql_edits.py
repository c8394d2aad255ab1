"""Edits of single rows for a store that reaches its tables through SQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa

from lakeflow_meta.control.sql.row_edits import AFTER, RowEdit
from lakeflow_meta.errors import BackendError
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import Row
from lakeflow_meta.sql_queries import Target


def target_of(table: TableName, shape: pa.Schema) -> Target:
    """The table that is to change, by the columns that it has."""
    times = frozenset(field.name for field in shape if pa.types.is_timestamp(field.type))
    return Target(table, tuple(shape.names), times)


def edit_rows(edits: Sequence[RowEdit]) -> list[Row]:
    """Edits as rows to offer: what becomes of each row, which row, and its values."""
    return [
        {
            "action": edit.action.value,
            "row": edit.row,
            **{AFTER + name: value for name, value in edit.after.items()},
        }
        for edit in edits
    ]


def edit_schema(edits: Sequence[RowEdit], shape: pa.Schema) -> pa.Schema:
    """The types of `edit_rows`; ``shape`` are those of the table."""
    given = [pa.field(AFTER + name, shape.field(name).type) for name in edits[0].after]
    return pa.schema([pa.field("action", pa.string()), pa.field("row", pa.string()), *given])


@contextmanager
def one_sentence() -> Iterator[None]:
    """Errors without what follows the first line: the statement there is not what people typed."""
    try:
        yield
    except BackendError as error:
        first = str(error).partition("\n")[0].strip()
        if first == str(error):
            raise
        raise type(error)(first, code=error.code, transient=error.transient) from error
