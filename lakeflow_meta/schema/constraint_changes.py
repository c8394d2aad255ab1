"""Differences of constraints: checks, primary and foreign keys. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from lakeflow_meta import sql_tables as sql
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.change import Change, ChangeLine, Phase, Sign, listed


@dataclass(frozen=True, slots=True)
class AddCheck(Change):
    """A declared check that is not there."""

    name: str
    expression: str
    phase: ClassVar[Phase] = Phase.ADD_CHECK

    @property
    def subject(self) -> str:
        """The check."""
        return self.name

    def lines(self) -> Iterator[ChangeLine]:
        """The check."""
        yield ChangeLine(Sign.ADD, "check", self.name, "", f"({self.expression})")

    def statements(self, table: TableName) -> Iterator[str]:
        """Delta looks at every row that is there."""
        yield sql.add_check(table, self.name, self.expression)


@dataclass(frozen=True, slots=True)
class DropCheck(Change):
    """A check that is not declared, or that says something else (``replaced``)."""

    name: str
    expression: str
    replaced: bool = False
    phase: ClassVar[Phase] = Phase.DROP_CHECK

    @property
    def subject(self) -> str:
        """The check."""
        return self.name

    def lines(self) -> Iterator[ChangeLine]:
        """The check."""
        yield ChangeLine(Sign.REMOVE, "check", self.name, f"({self.expression})")

    def statements(self, table: TableName) -> Iterator[str]:
        """Rows that are there stay."""
        yield sql.drop_constraint(table, self.name)


@dataclass(frozen=True, slots=True)
class AddPrimaryKey(Change):
    """A declared primary key that is not there."""

    name: str
    columns: tuple[str, ...]
    phase: ClassVar[Phase] = Phase.PRIMARY_KEY

    def lines(self) -> Iterator[ChangeLine]:
        """The key."""
        yield ChangeLine(Sign.ADD, "primary key", self.name, "", listed(self.columns))

    def statements(self, table: TableName) -> Iterator[str]:
        """Not enforced."""
        yield sql.add_primary_key(table, self.name, self.columns)


@dataclass(frozen=True, slots=True)
class DropPrimaryKey(Change):
    """A primary key that is made of other columns, or not declared.

    ``referenced_by`` are the tables whose foreign keys go with it.
    """

    name: str
    columns: tuple[str, ...]
    referenced_by: tuple[TableName, ...] = ()
    replaced: bool = False
    phase: ClassVar[Phase] = Phase.DROP_KEY

    @property
    def subject(self) -> str:
        """Behind the foreign keys."""
        return "~"

    def lines(self) -> Iterator[ChangeLine]:
        """The key."""
        yield ChangeLine(Sign.REMOVE, "primary key", self.name, listed(self.columns))

    def statements(self, table: TableName) -> Iterator[str]:
        """With the foreign keys that name it: `validate` sees that these come back."""
        yield sql.drop_primary_key(table)


@dataclass(frozen=True, slots=True)
class AddForeignKey(Change):
    """A declared foreign key that is not there."""

    name: str
    columns: tuple[str, ...]
    parent: TableName
    referenced: tuple[str, ...]
    phase: ClassVar[Phase] = Phase.FOREIGN_KEY

    @property
    def subject(self) -> str:
        """The key."""
        return self.name

    def lines(self) -> Iterator[ChangeLine]:
        """The key."""
        text = f"{listed(self.columns)} → {self.parent} {listed(self.referenced)}"
        yield ChangeLine(Sign.ADD, "foreign key", self.name, "", text)

    def statements(self, table: TableName) -> Iterator[str]:
        """Not enforced."""
        yield sql.add_foreign_key(table, self.name, self.columns, self.parent, self.referenced)


@dataclass(frozen=True, slots=True)
class DropForeignKey(Change):
    """A foreign key that joins something else now, or is not declared.

    ``goes_along``: the primary key that it names goes, and takes it along.
    """

    name: str
    columns: tuple[str, ...]
    parent: TableName
    replaced: bool = False
    goes_along: bool = False
    phase: ClassVar[Phase] = Phase.DROP_KEY

    @property
    def subject(self) -> str:
        """The key."""
        return self.name

    def lines(self) -> Iterator[ChangeLine]:
        """The key."""
        text = f"{listed(self.columns)} → {self.parent}"
        yield ChangeLine(Sign.REMOVE, "foreign key", self.name, text)

    def statements(self, table: TableName) -> Iterator[str]:
        """One that went with its parent's primary key does not matter."""
        yield sql.drop_constraint(table, self.name)
