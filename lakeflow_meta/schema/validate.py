"""What may be done about a difference between a declared and a live table. Pure.

Everything that is refused is refused before the first statement of its table runs, with the rule's
name, the reason and the way out. Nothing is refused silently, and nothing is ignored: what is left
alone on purpose becomes a note.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from lakeflow_meta.schema.diff import (
    AddColumns,
    AddForeignKey,
    AddPrimaryKey,
    Change,
    ChangeCheck,
    ChangeNullability,
    ChangePartitioning,
    ChangePrimaryKey,
    ChangeType,
    ImpossibleChange,
    PossibleChange,
    RemoveColumn,
    SetClustering,
)
from lakeflow_meta.schema.live import LiveTable
from lakeflow_meta.schema.table import DeltaTable, UndeclaredColumns


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a target can do beyond plain Delta.

    ``keys``: it keeps primary and foreign keys. ``many_comments``: one ALTER may set the comments
    of several columns.
    """

    name: str
    keys: bool
    many_comments: bool


# Spark 4.1 with Delta 4.4: ADD CONSTRAINT … KEY is UNSUPPORTED_FEATURE.TABLE_OPERATION (measured).
OPEN_SOURCE_DELTA = Capabilities("open-source Delta", keys=False, many_comments=True)
# Several columns in one ALTER COLUMN need a recent runtime, so one statement a column is sent.
# https://docs.databricks.com/sql/language-manual/sql-ref-syntax-ddl-alter-table-manage-column.html
UNITY_CATALOG = Capabilities("Unity Catalog", keys=True, many_comments=False)


class Rule(StrEnum):
    """Why a table was refused."""

    TABLE_UNREADABLE = "table_unreadable"
    SCHEMA_MISSING = "schema_missing"
    COLUMN_NOT_DECLARED = "column_not_declared"
    TYPE_CHANGE = "type_change"
    NULLABILITY_CHANGE = "nullability_change"
    NOT_NULL_COLUMN_ADDED = "not_null_column_added"
    PARTITIONING_CHANGE = "partitioning_change"
    CLUSTERING_UNKNOWN = "clustering_unknown"
    CLUSTERING_OF_PARTITIONED_TABLE = "clustering_of_partitioned_table"
    CHECK_CHANGE = "check_change"
    PRIMARY_KEY_CHANGE = "primary_key_change"
    FOREIGN_KEY_PARENT = "foreign_key_parent"


@dataclass(frozen=True, slots=True)
class Rejection:
    """One difference that is refused."""

    rule: Rule
    subject: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be done, what is refused, and what is left alone on purpose.

    ``drift`` holds every difference that is not left alone, refused ones too.
    """

    allowed: tuple[PossibleChange, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    notes: tuple[str, ...] = ()
    drift: tuple[Change, ...] = ()


def judge(
    changes: Sequence[Change],
    declared: DeltaTable,
    live: LiveTable | None,
    capabilities: Capabilities,
) -> Verdict:
    """Judge every difference of one table."""
    verdict = Verdict(notes=tuple(_notes(declared, live)) if live else ())
    for change in changes:
        found = _judge_one(change, declared, live, capabilities)
        verdict = Verdict(
            verdict.allowed + found.allowed,
            verdict.rejections + found.rejections,
            verdict.notes + found.notes,
            verdict.drift + ((change,) if found.allowed or found.rejections else ()),
        )
    return _with_rename_hint(verdict, changes)


def _judge_one(
    change: Change, declared: DeltaTable, live: LiveTable | None, capabilities: Capabilities
) -> Verdict:
    match change:
        case RemoveColumn(column) if declared.undeclared_columns is UndeclaredColumns.KEEP:
            return Verdict(notes=(f"column {column.name} is not declared: left alone",))
        case AddPrimaryKey(columns=columns):
            return _judge_key(change, f"primary key ({', '.join(columns)})", live, capabilities)
        case AddForeignKey(columns=columns, parent=parent):
            what = f"foreign key ({', '.join(columns)}) to {parent}"
            return _judge_key(change, what, live, capabilities)
        case AddColumns(columns=columns):
            refused = [new.column.name for new in columns if not new.column.nullable]
            return Verdict((change,), tuple(map(_not_null_added, refused)))
        case SetClustering(before=before):
            return Verdict((change,), tuple(_clustering_refusals(before, live)))
        case _ if isinstance(change, ImpossibleChange):
            return Verdict(rejections=(_refusal(change),))
        case _:
            return Verdict((change,))


def _judge_key(
    change: AddPrimaryKey | AddForeignKey,
    what: str,
    live: LiveTable | None,
    capabilities: Capabilities,
) -> Verdict:
    if not capabilities.keys:
        return Verdict(notes=(f"{what} is not kept by {capabilities.name}: only checked here",))
    seen = (
        live is None
        or (isinstance(change, AddPrimaryKey) and live.primary_key is not None)
        or (isinstance(change, AddForeignKey) and live.foreign_keys is not None)
    )
    if not seen:
        return Verdict(notes=(f"{what} is not compared: live keys cannot be seen from here",))
    return Verdict((change,))


def _clustering_refusals(
    before: tuple[str, ...] | None, live: LiveTable | None
) -> Iterator[Rejection]:
    if before is None:
        message = "the live clustering columns cannot be seen"
        yield Rejection(Rule.CLUSTERING_UNKNOWN, "clustering", message)
    if live is not None and live.partitioned_by:
        message = "a partitioned table cannot be clustered"
        yield Rejection(Rule.CLUSTERING_OF_PARTITIONED_TABLE, "clustering", message)


def _not_null_added(name: str) -> Rejection:
    return Rejection(
        Rule.NOT_NULL_COLUMN_ADDED,
        name,
        f"column {name} is new and NOT NULL, but existing rows have no value for it",
        "declare it nullable",
    )


def _refusal(change: ImpossibleChange) -> Rejection:
    match change:
        case RemoveColumn(column):
            return Rejection(
                Rule.COLUMN_NOT_DECLARED,
                column.name,
                f"column {column.name} ({column.data_type}) is in the table, but not declared;"
                " dropping columns is not available",
                "declare it, or leave such columns alone with undeclared_columns: keep",
            )
        case ChangeType(name, before, after):
            return Rejection(
                Rule.TYPE_CHANGE,
                name,
                f"column {name} is {before}, declared as {after}; changing types is not available",
                f"declare {before}",
            )
        case ChangeNullability(name, nullable):
            live, wanted = ("NOT NULL", "nullable") if nullable else ("nullable", "NOT NULL")
            return Rejection(
                Rule.NULLABILITY_CHANGE,
                name,
                f"column {name} is {live}, declared as {wanted}; changing that is not available",
                f"declare it {live}",
            )
        case ChangePartitioning(before, after):
            shown = f"({', '.join(before)}), declared as ({', '.join(after)})"
            return Rejection(
                Rule.PARTITIONING_CHANGE,
                "partitioning",
                f"the table is partitioned by {shown}; changing that rewrites the table",
                "declare the live partitioning",
            )
        case ChangeCheck(name, before, after):
            return Rejection(
                Rule.CHECK_CHANGE,
                name,
                f"check {name} is ({before}), declared as ({after}); changing is not available",
                "declare it under a new name",
            )
        case ChangePrimaryKey(before, after):
            shown = f"({', '.join(before)}), declared as ({', '.join(after)})"
            message = f"the primary key is {shown}; changing is not available"
            return Rejection(Rule.PRIMARY_KEY_CHANGE, "primary key", message)
        case _:
            assert_never(change)


def _with_rename_hint(verdict: Verdict, changes: Sequence[Change]) -> Verdict:
    """One column gone and one of the same type new: it may have been renamed."""
    gone = [change.column for change in changes if isinstance(change, RemoveColumn)]
    new = [c.column for change in changes if isinstance(change, AddColumns) for c in change.columns]
    if len(gone) != 1 or len(new) != 1 or gone[0].data_type != new[0].data_type:
        return verdict
    told = f"; if {new[0].name} is its new name: renaming is not available"
    rejections = tuple(
        replace(one, message=one.message + told) if one.rule is Rule.COLUMN_NOT_DECLARED else one
        for one in verdict.rejections
    )
    return replace(verdict, rejections=rejections)


def _notes(declared: DeltaTable, live: LiveTable) -> Iterator[str]:
    """Differences that are nobody's to repair."""
    wanted = {column.name.lower(): column.name for column in declared.columns}
    there = {column.name.lower(): column.name for column in live.columns}
    for key, name in wanted.items():
        if there.get(key, name) != name:
            yield f"column {name} is spelled {there[key]} in the table: left alone"
    both = [key for key in there if key in wanted]
    if both != [key for key in wanted if key in there]:
        yield f"columns stand in another order ({', '.join(there.values())}): left alone"
