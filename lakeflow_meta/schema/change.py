"""One difference between a declared and a live table: how it is shown, and the SQL for it. Pure.

A `Change` knows nothing of policy: the rules of `validate` decide what may be done about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, ClassVar

from lakeflow_meta.names import TableName


class Phase(IntEnum):
    """The order in which the changes of one table are worked off.

    Constraints go first and come back last, so that nothing hangs on a column while it changes;
    properties come before what needs them; a column leaves the clustering before it is dropped.
    """

    RENAME_TABLE = 1
    CREATE = 2
    DROP_KEY = 3
    DROP_CHECK = 4
    SET_PROPERTY = 5
    RENAME_COLUMN = 6
    ADD_COLUMN = 7
    CHANGE_TYPE = 8
    MOVE_COLUMN = 9
    CLUSTER = 10
    DROP_COLUMN = 11
    DEFAULT = 12
    NULLABILITY = 13
    COMMENT = 14
    TAG = 15
    UNSET_PROPERTY = 16
    ADD_CHECK = 17
    PRIMARY_KEY = 18
    FOREIGN_KEY = 19
    DROP_TABLE = 20


class Sign(StrEnum):
    """What happens to the thing of a line."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


_MARKS = {Sign.ADD: "+", Sign.CHANGE: "~", Sign.REMOVE: "-"}


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One difference as people read it.

    ``kind`` is column, type, comment, property, …; ``name`` says which one. ``loses_data`` marks
    what cannot be taken back.
    """

    sign: Sign
    kind: str
    name: str
    before: str = ""
    after: str = ""
    loses_data: bool = False

    def __str__(self) -> str:
        what = f"{_MARKS[self.sign]} {self.kind} {self.name}".rstrip()
        warning = "  (loses data)" if self.loses_data else ""
        match self.sign:
            case Sign.ADD:
                return f"{what} {one_line(self.after)}".rstrip() + warning
            case Sign.REMOVE:
                return f"{what} {one_line(self.before)}".rstrip() + warning
            case Sign.CHANGE:
                return f"{what}: {one_line(self.before)} → {one_line(self.after)}" + warning

    def to_dict(self) -> dict[str, Any]:
        """The line as JSON."""
        return {
            "change": str(self.sign),
            "kind": self.kind,
            "name": self.name,
            "before": self.before or None,
            "after": self.after or None,
            "loses_data": self.loses_data,
        }


def one_line(text: str) -> str:
    """Text on one line."""
    return " ".join(text.split())


def listed(names: Sequence[str]) -> str:
    """Names in parentheses."""
    return f"({', '.join(names)})"


class Change:
    """A difference. ``subject`` names what differs; changes of a phase are sorted by it."""

    __slots__ = ()
    phase: ClassVar[Phase]

    @property
    def subject(self) -> str:
        """The column, property, constraint, … that differs; "" for the table itself."""
        return ""

    def lines(self) -> Iterator[ChangeLine]:
        """The difference as people read it."""
        raise NotImplementedError

    def statements(self, table: TableName) -> Iterator[str]:  # noqa: ARG002 - the others use it
        """The SQL that removes the difference; none where no SQL can."""
        return iter(())
