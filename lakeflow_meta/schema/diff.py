"""A declared table or view against the live one: every difference as a value. Pure, without policy.

What may be done about a difference is decided in `validate`; what it is in SQL, the change knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lakeflow_meta.paths import place_of
from lakeflow_meta.schema.change import Change
from lakeflow_meta.schema.column_changes import (
    AddColumns,
    ChangeType,
    RemoveColumns,
    RenameColumn,
    SetDefault,
)
from lakeflow_meta.schema.column_diff import column_changes
from lakeflow_meta.schema.constraint_changes import (
    AddCheck,
    AddForeignKey,
    AddPrimaryKey,
    DropCheck,
    DropForeignKey,
    DropPrimaryKey,
)
from lakeflow_meta.schema.constraint_names import foreign_key_name, primary_key_name
from lakeflow_meta.schema.expressions import hangs_on, same_expression, same_query
from lakeflow_meta.schema.field_paths import Path, path_key
from lakeflow_meta.schema.frozen_mapping import NOTHING, FrozenMapping
from lakeflow_meta.schema.live import LiveForeignKey, LiveKeys, LiveTable, LiveView
from lakeflow_meta.schema.renames import plan_renames
from lakeflow_meta.schema.table import DeltaTable, ForeignKey, Policy, View
from lakeflow_meta.schema.table_changes import (
    ChangeLocation,
    ChangePartitioning,
    CreateTable,
    CreateView,
    EnableFeatures,
    SetClustering,
    SetProperties,
    SetTableComment,
    SetTags,
    UnsetProperties,
    UnsetTags,
)
from lakeflow_meta.schema.types import DataType, TimestampNtz, Variant, nested_types

ReferencedColumns = Mapping[str, Sequence[str]]
"""Primary keys of parent tables, by `TableName.key`."""

_FEATURE_PREFIX = "delta.feature."


def compare_view(declared: View, live: LiveView | None) -> tuple[Change, ...]:
    """The difference of a view, if there is one."""
    if live is None:
        return (CreateView(declared, None),)
    if same_query(live.query, declared.query) and live.comment == declared.comment:
        return ()
    return (CreateView(declared, live.query, live.comment),)


def compare_table(
    declared: DeltaTable,
    live: LiveTable | None,
    parents: ReferencedColumns,
    losing: frozenset[str] = frozenset(),
) -> tuple[Change, ...]:
    """Every difference, in the order in which it would be worked off.

    ``losing`` are the keys of tables whose primary key goes: foreign keys to them go along.
    """
    if live is None:
        return in_order(_all_new(declared, parents))
    return in_order(_differences(declared, live, parents, losing))


def in_order(changes: Iterator[Change]) -> tuple[Change, ...]:
    """By phase, then by what they concern."""
    return tuple(sorted(changes, key=lambda c: (c.phase, c.subject.lower(), c.subject)))


def _all_new(declared: DeltaTable, parents: ReferencedColumns) -> Iterator[Change]:
    yield CreateTable(declared)
    for name, text in declared.checks.items():
        yield AddCheck(name, text)
    yield from new_tags_and_keys(declared, parents)


def new_tags_and_keys(declared: DeltaTable, parents: ReferencedColumns) -> Iterator[Change]:
    """What is told to a catalog once the table is there: open-source Delta has no place for it."""
    yield from _tag_changes("", NOTHING, declared.tags)
    for column in declared.columns:
        if column.tags:
            yield from _tag_changes(column.name, NOTHING, column.tags)
    yield from _new_primary_key(declared)
    for key in declared.foreign_keys:
        yield _new_foreign_key(declared, key, parents)


def _differences(
    declared: DeltaTable, live: LiveTable, parents: ReferencedColumns, losing: frozenset[str]
) -> Iterator[Change]:
    renames = plan_renames(declared, live)
    columns = list(column_changes(declared, renames.live))
    yield from renames.todo
    yield from renames.ambiguous
    yield from columns
    yield from _features(columns, live)
    yield from _property_changes(declared, live)
    yield from _layout_changes(declared, renames.live)
    if declared.comment != live.comment:
        yield SetTableComment(live.comment, declared.comment)
    yield from _all_tag_changes(declared, renames.live)
    yield from _check_changes(declared, live, list(_touched([*renames.todo, *columns])))
    lost = _Lost(renames.new_names, losing)
    yield from _spelled(_key_changes(declared, live.keys, lost, parents), renames.live)


def _key_changes(
    declared: DeltaTable, live: LiveKeys | None, lost: _Lost, parents: ReferencedColumns
) -> Iterator[Change]:
    if live is None:
        yield from _new_primary_key(declared)
        yield from (_new_foreign_key(declared, key, parents) for key in declared.foreign_keys)
    else:
        yield from _primary_key_changes(declared, live, lost.renamed)
        yield from _foreign_key_changes(declared, live, lost, parents)


def _spelled(changes: Iterator[Change], live: LiveTable) -> Iterator[Change]:
    """New keys over columns as the table spells them: Unity Catalog finds them by that alone."""
    names = {column.name.lower(): column.name for column in live.columns}
    for change in changes:
        match change:
            case AddPrimaryKey(columns=columns) | AddForeignKey(columns=columns):
                yield replace(change, columns=_in_spelling(columns, names))
            case _:
                yield change


def _in_spelling(columns: Sequence[str], names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(names.get(column.lower(), column) for column in columns)


def _touched(changes: Sequence[Change]) -> Iterator[Path]:
    """Columns and fields on which no check may hang while they change: Delta refuses that."""
    for change in changes:
        match change:
            case RenameColumn(path, name):
                yield from (path, (*path[:-1], name))
            case ChangeType(path):
                yield path
            case RemoveColumns(columns):
                yield from (path for path, _ in columns)
            case _:
                pass


# --------------------------------------------------------------------------- properties, features


# https://github.com/delta-io/delta/blob/master/PROTOCOL.md#valid-feature-names-in-table-features
_FEATURES_OF_TYPES = {
    TimestampNtz: ("timestampNtz",),
    Variant: ("variantType", "variantType-preview"),
}
_DEFAULTS = ("allowColumnDefaults",)


def _features(changes: Sequence[Change], live: LiveTable) -> Iterator[Change]:
    needed = {names for change in changes for names in _features_of(change)}
    missing = sorted(names[0] for names in needed if not live.features.intersection(names))
    if missing:
        yield EnableFeatures(tuple(missing))


def _features_of(change: Change) -> Iterator[tuple[str, ...]]:
    match change:
        case AddColumns(columns):
            for new in columns:
                yield from _features_of_type(new.column.data_type)
        case ChangeType(after=after):
            yield from _features_of_type(after)
        case SetDefault(after=after) if after:
            yield _DEFAULTS
        case _:
            pass


def _features_of_type(data_type: DataType) -> Iterator[tuple[str, ...]]:
    kinds = {type(kind) for kind in nested_types(data_type)}
    yield from (names for kind, names in _FEATURES_OF_TYPES.items() if kind in kinds)


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
    absent = {_property_key(key) for key in declared.absent_properties}
    wanted = {_property_key(key) for key in declared.properties}
    left = {k: v for k, v in live.properties.items() if _property_key(k) not in wanted}
    named = {key: value for key, value in left.items() if _property_key(key) in absent}
    others = {k: v for k, v in left.items() if k not in named and not k.startswith("delta.")}
    if named:
        yield UnsetProperties(FrozenMapping(named), named=True)
    if others:
        yield UnsetProperties(FrozenMapping(others), named=False)


def _property_key(key: str) -> str:
    """Delta's own properties are known without regard to case; other keys are kept as given."""
    return key.lower() if key.lower().startswith("delta.") else key


# --------------------------------------------------------------------------- layout, tags, checks


def _layout_changes(declared: DeltaTable, live: LiveTable) -> Iterator[Change]:
    if _lowered(declared.partitioned_by) != _lowered(live.partitioned_by):
        yield ChangePartitioning(live.partitioned_by, tuple(declared.partitioned_by))
    if place_of(declared.location) != place_of(live.location):
        yield ChangeLocation(live.location, declared.location)
    if live.clustered_by is None:
        if declared.clustered_by:
            yield SetClustering(None, declared.clustering_paths)
    elif set(map(path_key, live.clustering_paths)) != set(map(path_key, declared.clustering_paths)):
        yield SetClustering(live.clustered_by, declared.clustering_paths)


def _lowered(names: Sequence[str]) -> list[str]:
    return [name.lower() for name in names]


def _all_tag_changes(declared: DeltaTable, live: LiveTable) -> Iterator[Change]:
    yield from _tag_changes("", live.tags or FrozenMapping(), declared.tags)
    for column in declared.columns:
        before = live.column(column.name)
        name = column.name if before is None else before.name
        yield from _tag_changes(name, before.tags if before else FrozenMapping(), column.tags)


def _tag_changes(
    column: str, live: Mapping[str, str], declared: Mapping[str, str]
) -> Iterator[Change]:
    changed = {key: value for key, value in declared.items() if live.get(key) != value}
    if changed:
        before = {key: live[key] for key in changed if key in live}
        yield SetTags(column, FrozenMapping(before), FrozenMapping(changed))
    gone = {key: value for key, value in live.items() if key not in declared}
    if gone:
        yield UnsetTags(column, FrozenMapping(gone))


def _check_changes(
    declared: DeltaTable, live: LiveTable, touched: Sequence[Path]
) -> Iterator[Change]:
    wanted = {name.lower(): (name, text) for name, text in declared.checks.items()}
    for name, before in live.checks.items():
        if name.lower() not in wanted:
            yield DropCheck(name, before)
    there = {name.lower(): text for name, text in live.checks.items()}
    for key, (name, text) in wanted.items():
        known = there.get(key)
        if known is None:
            yield AddCheck(name, text)
        elif not same_expression(known, text) or any(hangs_on(known, path) for path in touched):
            yield DropCheck(name, known, replaced=True)
            yield AddCheck(name, text)


# --------------------------------------------------------------------------- keys


def _primary_key_changes(
    declared: DeltaTable, live: LiveKeys, renamed: Mapping[str, str]
) -> Iterator[Change]:
    """A renamed column takes its keys with it in Unity Catalog, so these are made anew."""
    there = live.primary
    if there is None:
        yield from _new_primary_key(declared)
        return
    if not _is_other_key(declared, there.columns, renamed):
        return
    replaced = bool(declared.primary_key)
    yield DropPrimaryKey(there.name, there.columns, live.referenced_by, replaced)
    yield from _new_primary_key(declared)


def _is_other_key(declared: DeltaTable, columns: Sequence[str], renamed: Mapping[str, str]) -> bool:
    same = set(_lowered(columns)) == set(_lowered(declared.primary_key))
    return not same or not renamed.keys().isdisjoint(_lowered(columns))


def loses_primary_key(declared: DeltaTable, live: LiveTable) -> bool:
    """Whether the live primary key goes, also where one of the same columns comes."""
    if live.keys is None or live.keys.primary is None:
        return False
    renamed = plan_renames(declared, live).new_names
    there = live.keys.primary.columns
    stays = not declared.primary_key and declared.policy is Policy.ADDITIVE
    if stays:
        return not renamed.keys().isdisjoint(_lowered(there))
    return _is_other_key(declared, there, renamed)


@dataclass(frozen=True, slots=True)
class _Lost:
    """Why a live foreign key goes, though it is declared: a column of it is renamed (``renamed``
    maps lower-case old names to new ones), or the primary key of its parent goes.
    """

    renamed: Mapping[str, str]
    parents: frozenset[str]

    def has(self, key: LiveForeignKey) -> bool:
        old_columns = _lowered(key.columns)
        return not self.renamed.keys().isdisjoint(old_columns) or key.parent.key in self.parents


def _foreign_key_changes(
    declared: DeltaTable, live: LiveKeys, lost: _Lost, parents: ReferencedColumns
) -> Iterator[Change]:
    """ "Two foreign keys cannot share an identical set of foreign key columns":
    https://docs.databricks.com/sql/language-manual/sql-ref-syntax-ddl-alter-table-add-constraint.html
    """
    wanted = {frozenset(_lowered(key.columns)): key for key in declared.foreign_keys}
    kept = set()
    for key in live.foreign:
        columns = frozenset(_lowered(_in_spelling(key.columns, lost.renamed)))
        match_ = wanted.get(columns)
        if match_ is not None and not lost.has(key) and _joins(key, match_, parents):
            kept.add(columns)
        else:
            replaced, goes_along = match_ is not None, key.parent.key in lost.parents
            yield DropForeignKey(key.name, key.columns, key.parent, replaced, goes_along)
    for identity, wanted_key in wanted.items():
        if identity not in kept:
            yield _new_foreign_key(declared, wanted_key, parents)


def _joins(live: LiveForeignKey, key: ForeignKey, parents: ReferencedColumns) -> bool:
    """Whether a live foreign key pairs the columns as declared; unseen ones are believed."""
    if live.parent.key != key.parent.key:
        return False
    referenced = key.referenced_columns or parents.get(key.parent.key, ())
    if not live.referenced_columns or not referenced:
        return True
    return _pairs(live.columns, live.referenced_columns) == _pairs(key.columns, referenced)


def _pairs(columns: Sequence[str], referenced: Sequence[str]) -> set[tuple[str, str]]:
    return set(zip(_lowered(columns), _lowered(referenced), strict=False))


def _new_primary_key(declared: DeltaTable) -> Iterator[Change]:
    if declared.primary_key:
        yield AddPrimaryKey(primary_key_name(declared), tuple(declared.primary_key))


def _new_foreign_key(
    declared: DeltaTable, key: ForeignKey, parents: ReferencedColumns
) -> AddForeignKey:
    referenced = key.referenced_columns or parents.get(key.parent.key, ())
    names = {column.lower(): column for column in parents.get(key.parent.key, ())}
    name = foreign_key_name(declared.full_name, key)
    return AddForeignKey(name, tuple(key.columns), key.parent, _in_spelling(referenced, names))
