"""Differences of whole tables and views: there or not, named, laid out, described. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from lakeflow_meta import sql_tables as sql
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.change import Change, ChangeLine, Phase, Sign, listed
from lakeflow_meta.schema.column_changes import column_text, value_line
from lakeflow_meta.schema.field_paths import Path
from lakeflow_meta.schema.frozen_mapping import FrozenMapping
from lakeflow_meta.schema.table import DeltaTable, View


@dataclass(frozen=True, slots=True)
class CreateTable(Change):
    """There is no such table."""

    table: DeltaTable
    phase: ClassVar[Phase] = Phase.CREATE

    def lines(self) -> Iterator[ChangeLine]:
        """Everything that CREATE TABLE says."""
        table = self.table
        for column in table.columns:
            yield ChangeLine(Sign.ADD, "column", column.name, "", column_text(column))
        if table.comment:
            yield ChangeLine(Sign.ADD, "comment", "", "", repr(table.comment))
        for key, value in table.properties.items():
            yield ChangeLine(Sign.ADD, "property", key, "", value)
        if table.partitioned_by:
            yield ChangeLine(Sign.ADD, "partitioning", "", "", listed(table.partitioned_by))
        if table.clustered_by:
            yield ChangeLine(Sign.ADD, "clustering", "", "", listed(table.clustered_by))
        if table.location:
            yield ChangeLine(Sign.ADD, "location", "", "", table.location)

    def statements(self, table: TableName) -> Iterator[str]:
        """One, or two where Delta needs the clustering by itself."""
        yield sql.create_table(self.table)
        if sql.clusters_late(self.table):
            yield sql.cluster_by(table, self.table.clustering_paths)


@dataclass(frozen=True, slots=True)
class RenameTable(Change):
    """The table has an earlier name."""

    old: TableName
    new: TableName
    phase: ClassVar[Phase] = Phase.RENAME_TABLE

    def lines(self) -> Iterator[ChangeLine]:
        """Both names."""
        yield ChangeLine(Sign.CHANGE, "table name", "", str(self.old), str(self.new))

    def statements(self, table: TableName) -> Iterator[str]:
        """Data and history stay."""
        yield sql.rename_table(self.old, table)


@dataclass(frozen=True, slots=True)
class DropTable(Change):
    """A table that must not be there."""

    columns: int
    phase: ClassVar[Phase] = Phase.DROP_TABLE

    def lines(self) -> Iterator[ChangeLine]:
        """What is lost."""
        yield ChangeLine(
            Sign.REMOVE, "table", "", f"with its {self.columns} columns", loses_data=True
        )

    def statements(self, table: TableName) -> Iterator[str]:
        """The table, with its data."""
        yield sql.drop_table(table)


@dataclass(frozen=True, slots=True)
class EnableFeatures(Change):
    """Table features that declared columns need; they cannot be taken back."""

    features: tuple[str, ...]
    phase: ClassVar[Phase] = Phase.SET_PROPERTY

    def lines(self) -> Iterator[ChangeLine]:
        """One for all."""
        text = "(a permanent upgrade of the table's protocol)"
        yield ChangeLine(Sign.ADD, "feature", ", ".join(self.features), "", text)

    def statements(self, table: TableName) -> Iterator[str]:
        """One for all."""
        enabled = {f"delta.feature.{feature}": "supported" for feature in self.features}
        yield sql.set_properties(table, enabled)


@dataclass(frozen=True, slots=True)
class SetProperties(Change):
    """Declared properties with another live value, or none."""

    before: FrozenMapping
    after: FrozenMapping
    phase: ClassVar[Phase] = Phase.SET_PROPERTY

    @property
    def subject(self) -> str:
        """Behind the features."""
        return "properties"

    def lines(self) -> Iterator[ChangeLine]:
        """One a property."""
        for key, value in self.after.items():
            sign = Sign.CHANGE if key in self.before else Sign.ADD
            yield ChangeLine(sign, "property", key, self.before.get(key, ""), value)

    def statements(self, table: TableName) -> Iterator[str]:
        """One for all."""
        yield sql.set_properties(table, self.after)


@dataclass(frozen=True, slots=True)
class UnsetProperties(Change):
    """Live properties that must not be there; ``named`` where the declaration says so."""

    properties: FrozenMapping
    named: bool
    phase: ClassVar[Phase] = Phase.UNSET_PROPERTY

    def lines(self) -> Iterator[ChangeLine]:
        """One a property."""
        for key, value in self.properties.items():
            yield ChangeLine(Sign.REMOVE, "property", key, value)

    def statements(self, table: TableName) -> Iterator[str]:
        """One for all."""
        yield sql.unset_properties(table, self.properties)


@dataclass(frozen=True, slots=True)
class SetTags(Change):
    """Declared tags of the table (``column`` is "") or of a column with another live value."""

    column: str
    before: FrozenMapping
    after: FrozenMapping
    phase: ClassVar[Phase] = Phase.TAG

    @property
    def subject(self) -> str:
        """The column."""
        return self.column

    def lines(self) -> Iterator[ChangeLine]:
        """One a tag."""
        for key, value in self.after.items():
            yield value_line("tag", _tag_name(self.column, key), self.before.get(key, ""), value)

    def statements(self, table: TableName) -> Iterator[str]:
        """One for all."""
        yield sql.set_tags(table, self.after, self.column)


@dataclass(frozen=True, slots=True)
class UnsetTags(Change):
    """Tags that are not declared."""

    column: str
    tags: FrozenMapping
    phase: ClassVar[Phase] = Phase.TAG

    @property
    def subject(self) -> str:
        """The column."""
        return self.column

    def lines(self) -> Iterator[ChangeLine]:
        """One a tag."""
        for key, value in self.tags.items():
            yield ChangeLine(Sign.REMOVE, "tag", _tag_name(self.column, key), value)

    def statements(self, table: TableName) -> Iterator[str]:
        """One for all."""
        yield sql.unset_tags(table, self.tags, self.column)


@dataclass(frozen=True, slots=True)
class UntagDropped(UnsetTags):
    """Tags of a column that is dropped: governed ones would hold it back.

    CANNOT_DROP_TAGGED_COLUMN, https://docs.databricks.com/error-messages/error-classes.html
    """

    phase: ClassVar[Phase] = Phase.DROP_COLUMN

    @property
    def subject(self) -> str:
        """Before the column itself."""
        return ""


def _tag_name(column: str, key: str) -> str:
    return f"{column}.{key}" if column else key


@dataclass(frozen=True, slots=True)
class SetTableComment(Change):
    """The table's comment differs."""

    before: str
    after: str
    phase: ClassVar[Phase] = Phase.COMMENT

    def lines(self) -> Iterator[ChangeLine]:
        """Both comments."""
        yield ChangeLine(Sign.CHANGE, "comment", "", repr(self.before), repr(self.after))

    def statements(self, table: TableName) -> Iterator[str]:
        """An empty comment clears."""
        yield sql.comment_table(table, self.after)


@dataclass(frozen=True, slots=True)
class SetClustering(Change):
    """The clustering columns differ; ``before`` is None where they cannot be seen."""

    before: tuple[str, ...] | None
    after: tuple[Path, ...]
    phase: ClassVar[Phase] = Phase.CLUSTER

    def lines(self) -> Iterator[ChangeLine]:
        """Both lists."""
        shown = "unknown" if self.before is None else listed(self.before)
        after = listed([".".join(path) for path in self.after])
        yield ChangeLine(Sign.CHANGE, "clustering", "", shown, after)

    def statements(self, table: TableName) -> Iterator[str]:
        """Data is not written anew."""
        yield sql.cluster_by(table, self.after)


@dataclass(frozen=True, slots=True)
class ChangePartitioning(Change):
    """The partition columns differ."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    phase: ClassVar[Phase] = Phase.CLUSTER

    def lines(self) -> Iterator[ChangeLine]:
        """Both lists."""
        yield ChangeLine(Sign.CHANGE, "partitioning", "", listed(self.before), listed(self.after))


@dataclass(frozen=True, slots=True)
class ChangeLocation(Change):
    """The table lies elsewhere."""

    before: str
    after: str
    phase: ClassVar[Phase] = Phase.CLUSTER

    def lines(self) -> Iterator[ChangeLine]:
        """Both places."""
        managed = "managed by the catalog"
        yield ChangeLine(Sign.CHANGE, "location", "", self.before or managed, self.after or managed)


@dataclass(frozen=True, slots=True)
class CreateView(Change):
    """A view that is not there, or says something else; ``before`` is its live query."""

    view: View
    before: str | None
    comment_before: str = ""
    phase: ClassVar[Phase] = Phase.CREATE

    def lines(self) -> Iterator[ChangeLine]:
        """The query, and the comment where that differs."""
        if self.before is None:
            yield ChangeLine(Sign.ADD, "view", "", "", self.view.query)
        elif self.before != self.view.query:
            yield ChangeLine(Sign.CHANGE, "view", "", self.before, self.view.query)
        if self.comment_before != self.view.comment:
            yield ChangeLine(
                Sign.CHANGE, "comment", "", repr(self.comment_before), repr(self.view.comment)
            )

    def statements(self, table: TableName) -> Iterator[str]:
        """One statement puts the new view in the place of the old one."""
        yield sql.create_view(table, self.view.query, self.view.comment)
