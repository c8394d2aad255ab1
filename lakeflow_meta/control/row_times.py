"""What timestamp columns alone can tell of an earlier time, where no version of it is left. Pure.

Rows that are gone left no trace, and whoever changed a row may have forgotten to say when. So more
is called changed than was, rather than less: a row that names no time of its last change, and a
row that is inactive and was changed, for it may have been active before.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from lakeflow_meta.control.rows import Row
from lakeflow_meta.control.sync import TIMES

CREATED, UPDATED = TIMES
COLUMNS = ("module_name", CREATED, UPDATED)
"""The columns that are looked at."""


def is_new(row: Row, moment: datetime) -> bool:
    """Whether the row says that it was made after the moment."""
    return row[CREATED] is not None and row[CREATED] > moment


def may_differ(row: Row, moment: datetime) -> bool:
    """Whether the row may have been another at the moment, or none."""
    return is_new(row, moment) or row[UPDATED] is None or row[UPDATED] > moment


def rows_then(rows: Iterable[Row], moment: datetime) -> list[Row]:
    """The rows that were there at the moment; what was changed since counts as active."""
    then = [row for row in rows if not is_new(row, moment)]
    return [{**row, "is_active": True} if may_differ(row, moment) else row for row in then]
