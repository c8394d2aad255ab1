"""What a layout of a control table is: columns in order, and what is known of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

ColumnText = tuple[str, str, str] | tuple[str, str, str, bool]


@dataclass(frozen=True, slots=True)
class LayoutColumn:
    """One column; ``type`` is its Spark SQL type."""

    name: str
    type: str
    comment: str
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Stamps:
    """Columns that say when a row was made and changed, and by whom; no difference by themselves.

    ``made`` columns are written once, with a new row; ``changed`` ones whenever the row changes.
    """

    made: tuple[str, ...] = ("created_timestamp",)
    changed: tuple[str, ...] = ("updated_timestamp",)
    made_by: tuple[str, ...] = ()
    changed_by: tuple[str, ...] = ()

    @property
    def times(self) -> tuple[str, ...]:
        """The columns that hold a time."""
        return (*self.made, *self.changed)

    @property
    def once(self) -> tuple[str, ...]:
        """The columns that keep their value when a row changes."""
        return (*self.made, *self.made_by)

    @property
    def each_time(self) -> tuple[str, ...]:
        """The columns that are written whenever a row changes."""
        return (*self.changed, *self.changed_by)

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.once, *self.each_time)

    def of(self, now: datetime, actor: str) -> dict[str, Any]:
        """The stamps of a row that is written now."""
        return {
            **dict.fromkeys(self.times, now),
            **dict.fromkeys((*self.made_by, *self.changed_by), actor or None),
        }


@dataclass(frozen=True, slots=True)
class TableLayout:
    """One control table: its columns in order, and the columns that identify a row."""

    suffix: str
    comment: str
    columns: tuple[LayoutColumn, ...]
    keys: tuple[str, ...]
    contract: int
    """How many leading columns are the public contract."""
    stamps: Stamps = Stamps()
    switches: tuple[tuple[str, bool], ...] = (("is_active", True),)
    """Boolean columns that no new row leaves empty, with what they are then."""

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)


def columns(*specs: ColumnText) -> tuple[LayoutColumn, ...]:
    """Columns from name, type, comment and, where it is false, whether they may be NULL."""
    return tuple(LayoutColumn(*spec) for spec in specs)
