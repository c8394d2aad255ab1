"""What a sync would do: differences, the SQL that works them off, and what is refused. Pure.

A plan's statements are the ones that run, letter by letter; a plan with a refusal has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

from lakeflow_meta import sql
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.change_lines import ChangeLine, lines_of
from lakeflow_meta.schema.diff import (
    AddCheck,
    AddColumns,
    AddForeignKey,
    AddPrimaryKey,
    CreateTable,
    EnableFeatures,
    PossibleChange,
    ReferencedColumns,
    SetClustering,
    SetColumnComments,
    SetProperties,
    SetTableComment,
    compare_table,
)
from lakeflow_meta.schema.live import TableState, Unreadable
from lakeflow_meta.schema.table import DeltaTable
from lakeflow_meta.schema.validate import Capabilities, Rejection, Rule, judge


class Outlook(StrEnum):
    """What a sync would do to a table."""

    CREATE = "create"
    CHANGE = "change"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One table: what differs, the statements that make it so, and what stands against it.

    ``lines`` shows every difference, also those of a rejected table. ``version`` is the table's
    Delta version, None where it cannot be seen.
    """

    table: DeltaTable
    outlook: Outlook
    lines: tuple[ChangeLine, ...] = ()
    statements: tuple[str, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    notes: tuple[str, ...] = ()
    version: int | None = None

    @property
    def name(self) -> TableName:
        """The table."""
        return self.table.full_name

    @property
    def has_work(self) -> bool:
        """Whether a sync would run statements."""
        return bool(self.statements)

    def text_lines(self) -> Iterator[str]:
        """The plan of the table as a diff."""
        yield f"{self.name}: {self.outlook}"
        for line in self.lines:
            yield f"  {line}"
        for rejection in self.rejections:
            yield f"  ! {rejection}"
        for note in self.notes:
            yield f"  # {note}"

    def to_dict(self) -> dict[str, Any]:
        """The plan of the table as JSON."""
        return {
            "name": str(self.name),
            "outlook": str(self.outlook),
            "changes": [line.to_dict() for line in self.lines],
            "statements": list(self.statements),
            "rejections": [
                {"rule": str(r.rule), "subject": r.subject, "message": r.message, "hint": r.hint}
                for r in self.rejections
            ],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class SchemaPlan:
    """All tables of a registry, parents first. ``parents`` names each table's own parents."""

    tables: tuple[TablePlan, ...]
    parents: Mapping[TableName, tuple[TableName, ...]]
    capabilities: Capabilities

    @property
    def has_changes(self) -> bool:
        """Whether a sync would run statements."""
        return any(table.has_work for table in self.tables)

    @property
    def has_rejections(self) -> bool:
        """Whether a sync would fail for at least one table."""
        return any(table.rejections for table in self.tables)

    def counts(self) -> dict[str, int]:
        """How many tables have which outlook."""
        found = Counter(table.outlook for table in self.tables)
        return {str(outlook): found[outlook] for outlook in Outlook}

    @property
    def statements(self) -> tuple[str, ...]:
        """Every statement, in an order in which they could run one by one."""
        return tuple(text for table in self.tables for text in table.statements)

    def text(self, *, unchanged: bool = False) -> str:
        """The plan as a diff; unchanged tables only on request or where they have notes."""
        shown = [
            "\n".join(table.text_lines())
            for table in self.tables
            if unchanged or table.outlook is not Outlook.UNCHANGED or table.notes
        ]
        counts = ", ".join(f"{count} {name}" for name, count in self.counts().items() if count)
        return "\n".join([*shown, f"{_tables(len(self.tables))}: {counts or 'nothing declared'}"])

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON."""
        return {"tables": [table.to_dict() for table in self.tables], "counts": self.counts()}


def _tables(count: int) -> str:
    return "1 table" if count == 1 else f"{count} tables"


def plan_table(
    declared: DeltaTable,
    state: TableState,
    capabilities: Capabilities,
    parents: ReferencedColumns,
    rejections: tuple[Rejection, ...] = (),
) -> TablePlan:
    """Plan one table. ``rejections`` were found before, against other tables."""
    if isinstance(state, Unreadable):
        return TablePlan(declared, Outlook.REJECTED, rejections=(_unreadable(state), *rejections))
    changes = compare_table(declared, state, parents)
    verdict = judge(changes, declared, state, capabilities)
    refused = (*verdict.rejections, *rejections)
    lines = tuple(line for change in verdict.drift for line in lines_of(change))
    statements = () if refused else _all_statements(declared, verdict.allowed, capabilities)
    return TablePlan(
        declared,
        _outlook(created=state is None, refused=bool(refused), work=bool(statements)),
        lines,
        statements,
        refused,
        verdict.notes,
        None if state is None else state.version,
    )


def _outlook(*, created: bool, refused: bool, work: bool) -> Outlook:
    if refused:
        return Outlook.REJECTED
    if not work:
        return Outlook.UNCHANGED
    return Outlook.CREATE if created else Outlook.CHANGE


def _unreadable(state: Unreadable) -> Rejection:
    rule = Rule.SCHEMA_MISSING if state.kind == "no_schema" else Rule.TABLE_UNREADABLE
    return Rejection(rule, "table", state.reason, state.hint)


def _all_statements(
    declared: DeltaTable, changes: tuple[PossibleChange, ...], capabilities: Capabilities
) -> tuple[str, ...]:
    name = declared.full_name
    return tuple(text for change in changes for text in _statements(name, change, capabilities))


def _statements(  # noqa: C901 - a flat match over a closed union
    table: TableName, change: PossibleChange, capabilities: Capabilities
) -> tuple[str, ...]:
    match change:
        case CreateTable(declared):
            create = sql.create_table(declared)
            if sql.clusters_late(declared):
                return create, sql.cluster_by(table, declared.clustered_by)
            return (create,)
        case EnableFeatures(features):
            enabled = {f"delta.feature.{feature}": "supported" for feature in features}
            return (sql.set_properties(table, enabled),)
        case AddColumns(columns):
            return (sql.add_columns(table, [(new.column, new.after) for new in columns]),)
        case SetColumnComments(comments):
            after = {name: text for name, _, text in comments}
            groups = [after] if capabilities.many_comments else [{n: t} for n, t in after.items()]
            return tuple(sql.comment_columns(table, group) for group in groups)
        case SetTableComment(after=text):
            return (sql.comment_table(table, text),)
        case SetProperties(after=properties):
            return (sql.set_properties(table, properties),)
        case SetClustering(after=names):
            return (sql.cluster_by(table, names),)
        case AddCheck(name, expression):
            return (sql.add_check(table, name, expression),)
        case AddPrimaryKey(name, names):
            return (sql.add_primary_key(table, name, names),)
        case AddForeignKey(name, names, parent, referenced):
            return (sql.add_foreign_key(table, name, names, parent, referenced),)
        case _:
            assert_never(change)
