"""Differences of columns, and of fields inside them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from lakeflow_meta import sql_tables as sql
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.change import Change, ChangeLine, Phase, Sign
from lakeflow_meta.schema.field_paths import Path, shown_path
from lakeflow_meta.schema.table import Column
from lakeflow_meta.schema.types import DataType


@dataclass(frozen=True, slots=True)
class NewColumn:
    """A declared column or field that is not there; ``after`` None puts it first, "" last."""

    path: Path
    column: Column
    after: str | None


@dataclass(frozen=True, slots=True)
class AddColumns(Change):
    """Declared columns and fields that are not there, in declared order."""

    columns: tuple[NewColumn, ...]
    phase: ClassVar[Phase] = Phase.ADD_COLUMN

    def lines(self) -> Iterator[ChangeLine]:
        """One a column, with its place."""
        for new in self.columns:
            place = " first" if new.after is None else f" after {new.after}"
            text = column_text(new.column) + (place if new.after != "" else "")
            yield ChangeLine(Sign.ADD, "column", shown_path(new.path), "", text)

    def statements(self, table: TableName) -> Iterator[str]:
        """One for all columns."""
        yield sql.add_columns(table, [(new.path, new.column, new.after) for new in self.columns])


@dataclass(frozen=True, slots=True)
class RemoveColumns(Change):
    """Live columns and fields that are not declared."""

    columns: tuple[tuple[Path, DataType], ...]
    phase: ClassVar[Phase] = Phase.DROP_COLUMN

    def lines(self) -> Iterator[ChangeLine]:
        """One a column."""
        for path, data_type in self.columns:
            yield ChangeLine(
                Sign.REMOVE, "column", shown_path(path), str(data_type), loses_data=True
            )

    def statements(self, table: TableName) -> Iterator[str]:
        """One for all columns."""
        yield sql.drop_columns(table, [path for path, _ in self.columns])


@dataclass(frozen=True, slots=True)
class RenameColumn(Change):
    """A column or field that has an earlier name; ``path`` leads to it under that name."""

    path: Path
    name: str
    order: int = 0
    phase: ClassVar[Phase] = Phase.RENAME_COLUMN

    @property
    def subject(self) -> str:
        """Renames run in the order in which no name is taken."""
        return f"{self.order:06}"

    def lines(self) -> Iterator[ChangeLine]:
        """Both names."""
        yield ChangeLine(Sign.CHANGE, "name of", shown_path(self.path), self.path[-1], self.name)

    def statements(self, table: TableName) -> Iterator[str]:
        """Data stays with the column."""
        yield sql.rename_column(table, self.path, self.name)


@dataclass(frozen=True, slots=True)
class AmbiguousRename(Change):
    """A rename whose old and new names are both there."""

    old: Path
    new: Path
    phase: ClassVar[Phase] = Phase.RENAME_COLUMN

    def lines(self) -> Iterator[ChangeLine]:
        """Both names."""
        yield ChangeLine(Sign.CHANGE, "name of", shown_path(self.old), self.old[-1], self.new[-1])


@dataclass(frozen=True, slots=True)
class ChangeType(Change):
    """A column or field whose live type is another one."""

    path: Path
    before: DataType
    after: DataType
    phase: ClassVar[Phase] = Phase.CHANGE_TYPE

    @property
    def subject(self) -> str:
        """The column."""
        return shown_path(self.path)

    def lines(self) -> Iterator[ChangeLine]:
        """Both types."""
        yield ChangeLine(Sign.CHANGE, "type of", self.subject, str(self.before), str(self.after))

    def statements(self, table: TableName) -> Iterator[str]:
        """In place; Delta widens types without writing data anew."""
        yield sql.alter_column(table, self.path, sql.new_type(self.after))


@dataclass(frozen=True, slots=True)
class ChangeNullability(Change):
    """A column or field that is NOT NULL on one side only; ``fill`` is what NULLs become first."""

    path: Path
    nullable: bool
    fill: str = ""
    phase: ClassVar[Phase] = Phase.NULLABILITY

    @property
    def subject(self) -> str:
        """The column."""
        return shown_path(self.path)

    def lines(self) -> Iterator[ChangeLine]:
        """Both sides, and what happens to missing values."""
        words = ("nullable", "not null")
        yield ChangeLine(
            Sign.CHANGE, "nullability of", self.subject, words[self.nullable],
            words[not self.nullable],
        )  # fmt: skip
        if self.fill:
            yield ChangeLine(Sign.CHANGE, "missing values of", self.subject, "NULL", self.fill)

    def statements(self, table: TableName) -> Iterator[str]:
        """Fill first, where that is wanted."""
        if self.fill:
            yield sql.fill_nulls(table, self.path[0], self.fill)
        yield sql.alter_column(table, self.path, sql.nullability(nullable=self.nullable))


@dataclass(frozen=True, slots=True)
class MoveColumn(Change):
    """A column that stands elsewhere; ``after`` None puts it first."""

    path: Path
    after: str | None
    order: int
    phase: ClassVar[Phase] = Phase.MOVE_COLUMN

    @property
    def subject(self) -> str:
        """Moves run one after the other."""
        return f"{self.order:06}"

    def lines(self) -> Iterator[ChangeLine]:
        """The new place."""
        place = "first" if self.after is None else f"after {self.after}"
        yield ChangeLine(Sign.CHANGE, "place of", shown_path(self.path), "elsewhere", place)

    def statements(self, table: TableName) -> Iterator[str]:
        """Data is not written anew."""
        yield sql.alter_column(table, self.path, sql.place(self.after))


@dataclass(frozen=True, slots=True)
class SetComments(Change):
    """Columns and fields whose comment differs: before and after."""

    comments: tuple[tuple[Path, str, str], ...]
    phase: ClassVar[Phase] = Phase.COMMENT

    @property
    def subject(self) -> str:
        """Behind the comment of the table."""
        return "columns"

    def lines(self) -> Iterator[ChangeLine]:
        """One a column."""
        for path, before, after in self.comments:
            yield ChangeLine(Sign.CHANGE, "comment of", shown_path(path), repr(before), repr(after))

    def statements(self, table: TableName) -> Iterator[str]:
        """One for all; a column and a field inside it cannot be changed together (Spark 4.1)."""
        changes = [(path, sql.comment(after)) for path, _, after in self.comments]
        if len({path[0].lower() for path, _ in changes}) == len(changes):
            yield sql.alter_columns(table, changes)
        else:
            yield from (sql.alter_column(table, path, change) for path, change in changes)


@dataclass(frozen=True, slots=True)
class SetDefault(Change):
    """A column with another default, or none on one side."""

    name: str
    before: str
    after: str
    phase: ClassVar[Phase] = Phase.DEFAULT

    @property
    def subject(self) -> str:
        """The column."""
        return self.name

    def lines(self) -> Iterator[ChangeLine]:
        """Both defaults."""
        yield value_line("default of", self.name, self.before, self.after)

    def statements(self, table: TableName) -> Iterator[str]:
        """Rows that are there keep their values."""
        yield sql.alter_column(table, (self.name,), sql.default(self.after))


@dataclass(frozen=True, slots=True)
class ChangeSource(Change):
    """A column that is generated, or numbered, on one side only or in another way."""

    name: str
    before: str
    after: str
    phase: ClassVar[Phase] = Phase.DEFAULT

    @property
    def subject(self) -> str:
        """The column."""
        return self.name

    def lines(self) -> Iterator[ChangeLine]:
        """Both ways."""
        yield ChangeLine(
            Sign.CHANGE, "values of", self.name, self.before or "written", self.after or "written"
        )


def value_line(kind: str, name: str, before: str, after: str) -> ChangeLine:
    """A line for a text that may be missing on one side."""
    if not before:
        return ChangeLine(Sign.ADD, kind, name, "", after)
    if not after:
        return ChangeLine(Sign.REMOVE, kind, name, before)
    return ChangeLine(Sign.CHANGE, kind, name, before, after)


def source_text(column: Column) -> str:
    """Where a column's values come from, if nobody writes them."""
    if column.generated:
        return f"generated as ({column.generated})"
    if column.identity is None:
        return ""
    how = "always" if column.identity.always else "by default"
    return f"identity {how}, from {column.identity.start} by {column.identity.step}"


def column_text(column: Column) -> str:
    """A column behind its name, as a plan shows it."""
    parts = [str(column.data_type), "" if column.nullable else "not null", source_text(column)]
    parts += [f"default {column.default}" if column.default else ""]
    parts += [repr(column.comment) if column.comment else ""]
    return " ".join(part for part in parts if part)
