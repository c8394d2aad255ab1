"""A declared table against the live one: every difference as a value. Pure, without policy.

What may be done about a difference is decided in `validate`; how it is done in SQL in `plan`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lakeflow_meta.names import TableName
from lakeflow_meta.schema.constraint_names import foreign_key_name, primary_key_name
from lakeflow_meta.schema.frozen_mapping import FrozenMapping
from lakeflow_meta.schema.live import LiveTable
from lakeflow_meta.schema.rules import sql_tokens
from lakeflow_meta.schema.table import Column, DeltaTable, ForeignKey
from lakeflow_meta.schema.types import DataType, TimestampNtz, Variant, nested_types, same_type

_FEATURE_PREFIX = "delta.feature."


@dataclass(frozen=True, slots=True)
class CreateTable:
    """There is no such table."""

    table: DeltaTable


@dataclass(frozen=True, slots=True)
class EnableFeatures:
    """Table features that new columns need; they cannot be taken back."""

    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewColumn:
    """A declared column that is not there; ``after`` None puts it first, "" last."""

    column: Column
    after: str | None


@dataclass(frozen=True, slots=True)
class AddColumns:
    """Declared columns that are not there, in declared order."""

    columns: tuple[NewColumn, ...]


@dataclass(frozen=True, slots=True)
class RemoveColumn:
    """A live column that is not declared."""

    column: Column


@dataclass(frozen=True, slots=True)
class ChangeType:
    """A column whose live type is another one."""

    name: str
    before: DataType
    after: DataType


@dataclass(frozen=True, slots=True)
class ChangeNullability:
    """A column that is NOT NULL on one side only."""

    name: str
    nullable: bool


@dataclass(frozen=True, slots=True)
class SetColumnComments:
    """Columns whose comment differs, by live name: before and after."""

    comments: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class SetTableComment:
    """The table's comment differs."""

    before: str
    after: str


@dataclass(frozen=True, slots=True)
class SetProperties:
    """Declared properties with another live value, or none."""

    before: FrozenMapping
    after: FrozenMapping


@dataclass(frozen=True, slots=True)
class SetClustering:
    """The clustering columns differ; ``before`` is None where they cannot be seen."""

    before: tuple[str, ...] | None
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChangePartitioning:
    """The partition columns differ."""

    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AddCheck:
    """A declared check that is not there."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class ChangeCheck:
    """A check that says something else."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class AddPrimaryKey:
    """A declared primary key that is not there."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChangePrimaryKey:
    """The primary key is made of other columns."""

    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AddForeignKey:
    """A declared foreign key that is not there."""

    name: str
    columns: tuple[str, ...]
    parent: TableName
    referenced: tuple[str, ...]


PossibleChange = (
    CreateTable
    | EnableFeatures
    | AddColumns
    | SetColumnComments
    | SetTableComment
    | SetProperties
    | SetClustering
    | AddCheck
    | AddPrimaryKey
    | AddForeignKey
)
"""Differences that can be worked off in place, if `validate` finds nothing against it."""

ImpossibleChange = (
    RemoveColumn
    | ChangeType
    | ChangeNullability
    | ChangePartitioning
    | ChangeCheck
    | ChangePrimaryKey
)
"""Differences that are shown and always refused; they have no SQL."""

Change = PossibleChange | ImpossibleChange

ReferencedColumns = Mapping[str, Sequence[str]]
"""Primary keys of parent tables, by `TableName.key`."""


def compare_table(
    declared: DeltaTable, live: LiveTable | None, parents: ReferencedColumns
) -> tuple[Change, ...]:
    """Every difference, in the order in which it would be worked off."""
    if live is None:
        return (
            CreateTable(declared),
            *(AddCheck(name, text) for name, text in declared.checks.items()),
            *_new_primary_key(declared),
            *(_new_foreign_key(declared, key, parents) for key in declared.foreign_keys),
        )
    return tuple(_differences(declared, live, parents))


def _differences(
    declared: DeltaTable, live: LiveTable, parents: ReferencedColumns
) -> Iterator[Change]:
    yield from _property_changes(declared, live)
    yield from _column_changes(declared, live)
    yield from _layout_changes(declared, live)
    if declared.comment != live.comment:
        yield SetTableComment(live.comment, declared.comment)
    yield from _check_changes(declared, live)
    yield from _key_changes(declared, live, parents)


# --------------------------------------------------------------------------- columns


def _column_changes(declared: DeltaTable, live: LiveTable) -> Iterator[Change]:
    there = {column.name.lower(): column for column in live.columns}
    wanted = {column.name.lower() for column in declared.columns}
    missing = [column for column in declared.columns if column.name.lower() not in there]
    features = _missing_features(missing, live)
    if features:
        yield EnableFeatures(features)
    for key, column in there.items():
        if key not in wanted:
            yield RemoveColumn(column)
    pairs = [
        (there[column.name.lower()], column)
        for column in declared.columns
        if column.name.lower() in there
    ]
    for before, after in pairs:
        yield from _changes_of_column(before, after)
    if missing:
        yield AddColumns(tuple(_placed(declared, live, missing)))
    comments = [(b.name, b.comment, a.comment) for b, a in pairs if b.comment != a.comment]
    if comments:
        yield SetColumnComments(tuple(comments))


def _changes_of_column(before: Column, after: Column) -> Iterator[Change]:
    if not same_type(before.data_type, after.data_type):
        yield ChangeType(before.name, before.data_type, after.data_type)
    if before.nullable != after.nullable:
        yield ChangeNullability(before.name, after.nullable)


def _placed(
    declared: DeltaTable, live: LiveTable, missing: Sequence[Column]
) -> Iterator[NewColumn]:
    """Each new column behind the column that is declared before it.

    ``order`` is what the table will look like; a column that belongs at its end needs no position.
    """
    order = [column.name.lower() for column in live.columns]
    names = {column.name.lower(): column.name for column in (*declared.columns, *live.columns)}
    new = {column.name.lower() for column in missing}
    previous: str | None = None
    for column in declared.columns:
        key = column.name.lower()
        if key in new:
            at = 0 if previous is None else order.index(previous) + 1
            after = None if previous is None else names[previous]
            yield NewColumn(column, "" if at == len(order) else after)
            order.insert(at, key)
        previous = key


# https://github.com/delta-io/delta/blob/master/PROTOCOL.md#valid-feature-names-in-table-features
_FEATURES_OF_TYPES = {
    TimestampNtz: ("timestampNtz",),
    Variant: ("variantType", "variantType-preview"),
}


def _missing_features(missing: Sequence[Column], live: LiveTable) -> tuple[str, ...]:
    kinds = {type(kind) for column in missing for kind in nested_types(column.data_type)}
    return tuple(
        names[0]
        for kind, names in _FEATURES_OF_TYPES.items()
        if kind in kinds and not live.features.intersection(names)
    )


# --------------------------------------------------------------------------- the table itself


def _property_changes(declared: DeltaTable, live: LiveTable) -> Iterator[Change]:
    there = {_property_key(key): value for key, value in live.properties.items()}
    features = {_FEATURE_PREFIX + feature.lower() for feature in live.features}
    changed = {
        key: value
        for key, value in declared.properties.items()
        if there.get(_property_key(key)) != value and _property_key(key) not in features
    }
    if changed:
        before = {key: there[_property_key(key)] for key in changed if _property_key(key) in there}
        yield SetProperties(FrozenMapping(before), FrozenMapping(changed))


def _property_key(key: str) -> str:
    """Delta's own properties are known without regard to case; other keys are kept as given."""
    return key.lower() if key.lower().startswith("delta.") else key


def _layout_changes(declared: DeltaTable, live: LiveTable) -> Iterator[Change]:
    if _lowered(declared.partitioned_by) != _lowered(live.partitioned_by):
        yield ChangePartitioning(live.partitioned_by, tuple(declared.partitioned_by))
    if not declared.clustered_by:
        return
    wanted = set(_lowered(declared.clustered_by))
    if live.clustered_by is None or set(_lowered(live.clustered_by)) != wanted:
        yield SetClustering(live.clustered_by, tuple(declared.clustered_by))


def _lowered(names: Sequence[str]) -> list[str]:
    return [name.lower() for name in names]


def _check_changes(declared: DeltaTable, live: LiveTable) -> Iterator[Change]:
    there = {name.lower(): text for name, text in live.checks.items()}
    for name, expression in declared.checks.items():
        before = there.get(name.lower())
        if before is None:
            yield AddCheck(name, expression)
        elif sql_tokens(before) != sql_tokens(expression):
            yield ChangeCheck(name, before, expression)


# --------------------------------------------------------------------------- keys


def _key_changes(
    declared: DeltaTable, live: LiveTable, parents: ReferencedColumns
) -> Iterator[Change]:
    if not live.primary_key:
        yield from _new_primary_key(declared)
    elif declared.primary_key and set(_lowered(live.primary_key)) != set(
        _lowered(declared.primary_key)
    ):
        yield ChangePrimaryKey(live.primary_key, tuple(declared.primary_key))
    there = {(frozenset(_lowered(key.columns)), key.parent.key) for key in live.foreign_keys or ()}
    for key in declared.foreign_keys:
        if (frozenset(_lowered(key.columns)), key.parent.key) not in there:
            yield _new_foreign_key(declared, key, parents)


def _new_primary_key(declared: DeltaTable) -> Iterator[Change]:
    if declared.primary_key:
        yield AddPrimaryKey(primary_key_name(declared), tuple(declared.primary_key))


def _new_foreign_key(
    declared: DeltaTable, key: ForeignKey, parents: ReferencedColumns
) -> AddForeignKey:
    referenced = key.referenced_columns or parents.get(key.parent.key, ())
    name = foreign_key_name(declared.full_name, key)
    return AddForeignKey(name, tuple(key.columns), key.parent, tuple(referenced))
