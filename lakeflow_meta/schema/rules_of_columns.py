"""What may be done about differences of columns, and of fields inside them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lakeflow_meta import sql_tables as sql
from lakeflow_meta.schema.capabilities import Capabilities
from lakeflow_meta.schema.change import Change
from lakeflow_meta.schema.column_changes import (
    AddColumns,
    AmbiguousRename,
    ChangeNullability,
    ChangeSource,
    ChangeType,
    NewColumn,
    RemoveColumns,
    RenameColumn,
)
from lakeflow_meta.schema.column_uses import keys_on, layout_on, limited_texts, uses
from lakeflow_meta.schema.field_paths import Path, shown_path
from lakeflow_meta.schema.frozen_mapping import FrozenMapping
from lakeflow_meta.schema.live import LiveTable
from lakeflow_meta.schema.table import Consent, DeltaTable, Policy
from lakeflow_meta.schema.table_changes import UntagDropped
from lakeflow_meta.schema.types import Char, DataType, Varchar, same_type
from lakeflow_meta.schema.verdict import Question, Rejection, Rule, Verdict
from lakeflow_meta.schema.widening import can_cast_back, can_widen, only_loosens

_MAPPING = "delta.columnMapping.mode"
_WIDENING = "delta.enableTypeWidening"


def judge_added(
    change: AddColumns, declared: DeltaTable, capabilities: Capabilities, verdict: Verdict
) -> None:
    """New columns; NOT NULL ones need a value for the rows that are there."""
    required = [new for new in change.columns if not new.column.nullable]
    refused = [new for new in required if not _can_fill(new, declared, capabilities)]
    if refused:
        verdict.refuse(change, *(_not_null_added(new, capabilities) for new in refused))
        return
    verdict.allow(change)
    for new in required:
        verdict.allow(ChangeNullability(new.path, nullable=False, fill=new.column.default))
        _tell_consent(verdict, Consent.BACKFILL, [new.path])


def _can_fill(new: NewColumn, declared: DeltaTable, capabilities: Capabilities) -> bool:
    filled = bool(new.column.default) and declared.allows(Consent.BACKFILL, new.column.name)
    return capabilities.set_not_null and filled and len(new.path) == 1


def _not_null_added(new: NewColumn, capabilities: Capabilities) -> Rejection:
    name = shown_path(new.path)
    hint = "declare it nullable"
    if capabilities.set_not_null and len(new.path) == 1:
        hint += f", or give it a default and allow: [{Consent.BACKFILL} {name}]"
    message = f"column {name} is new and NOT NULL, but existing rows have no value for it"
    return Rejection(Rule.NOT_NULL_COLUMN_ADDED, name, message, hint)


def judge_removed(
    change: RemoveColumns,
    declared: DeltaTable,
    live: LiveTable,
    capabilities: Capabilities,
    verdict: Verdict,
) -> None:
    """Columns that are not declared: dropped only with a word for it."""
    dropped: list[tuple[Path, DataType]] = []
    kept: list[tuple[Path, DataType]] = []
    for path, data_type in change.columns:
        agreed = declared.allows(Consent.DROP_COLUMN, shown_path(path))
        (dropped if agreed else kept).append((path, data_type))
    if kept and declared.policy is Policy.STRICT:
        verdict.refuse(
            RemoveColumns(tuple(kept)),
            *(_not_declared(path, str(data_type)) for path, data_type in kept),
        )
    else:
        for path, _ in kept:
            verdict.tell(f"column {shown_path(path)} is not declared: left alone")
    if dropped:
        paths = [path for path, _ in dropped]
        refusals = [*layout_on(paths, declared, live), *_mapping(declared, live)]
        refusals += [use for path in paths for use in uses(path, "dropped", declared, live)]
        refusals += [use for path in paths for use in keys_on(path, "dropped", declared, live)]
        refusals += limited_texts([path for path in paths if len(path) > 1], live)
        agreed_change = RemoveColumns(tuple(dropped))
        if refusals:
            verdict.refuse(agreed_change, *refusals)
        else:
            for tags in _tags_of(paths, live) if capabilities.tags else ():
                verdict.allow(tags)
            verdict.allow(agreed_change)
            _tell_consent(verdict, Consent.DROP_COLUMN, paths)


def _tags_of(paths: Sequence[Path], live: LiveTable) -> Iterator[UntagDropped]:
    columns = [live.column(path[0]) for path in paths if len(path) == 1]
    for column in columns:
        if column is not None and column.tags:
            yield UntagDropped(column.name, FrozenMapping(column.tags))


def _not_declared(path: Path, data_type: str) -> Rejection:
    name = shown_path(path)
    return Rejection(
        Rule.COLUMN_NOT_DECLARED,
        name,
        f"column {name} ({data_type}) is in the table, but not declared",
        f"declare it, or drop it with its data: allow: [{Consent.DROP_COLUMN} {name}]",
    )


def judge_renamed(
    change: RenameColumn | AmbiguousRename,
    declared: DeltaTable,
    live: LiveTable,
    verdict: Verdict,
) -> None:
    """Columns that have an earlier name."""
    if isinstance(change, AmbiguousRename):
        old, new = shown_path(change.old), shown_path(change.new)
        message = f"{old} is to be renamed to {new}, but both are in the table"
        hint = f"keep one of them, or take {old} out of renamed_columns"
        verdict.refuse(change, Rejection(Rule.AMBIGUOUS_RENAME, old, message, hint))
        return
    refusals = [*_mapping(declared, live), *uses(change.path, "renamed", declared, live)]
    refusals += keys_on(change.path, "renamed", declared, live)
    if refusals:
        verdict.refuse(change, *refusals)
    else:
        verdict.allow(change)


def _mapping(declared: DeltaTable, live: LiveTable) -> Iterator[Rejection]:
    """https://docs.databricks.com/delta/column-mapping.html"""
    if _property(declared, live, _MAPPING) in ("", "none"):
        message = "columns are renamed and dropped only under column mapping"
        hint = f"declare the property {_MAPPING}: name (a permanent upgrade of the protocol)"
        yield Rejection(Rule.COLUMN_MAPPING_NEEDED, "table", message, hint)


def _property(declared: DeltaTable, live: LiveTable, key: str) -> str:
    """The value that a property has after the sync."""
    for properties in (declared.properties, live.properties):
        for name, value in properties.items():
            if name.lower() == key.lower():
                return value.lower()
    return ""


def judge_type(change: ChangeType, declared: DeltaTable, live: LiveTable, verdict: Verdict) -> None:
    """Types are widened in place; every other change would write the data anew."""
    name = shown_path(change.path)
    what = f"column {name} is {change.before}, declared as {change.after}"
    loosens = only_loosens(change.before, change.after)
    if not loosens and not can_widen(change.before, change.after):
        _refuse_type(change, what, verdict)
        return
    refusals = list(uses(change.path, f"made {change.after}", declared, live))
    if not loosens and _property(declared, live, _WIDENING) != "true":
        hint = f"declare the property {_WIDENING}: true (a permanent upgrade of the protocol)"
        message = f"{what}; types are widened only where the table has it enabled"
        refusals.append(Rejection(Rule.TYPE_WIDENING_NEEDED, name, message, hint))
    refusals += _fixed_type(change, what, live)
    if refusals:
        verdict.refuse(change, *refusals)
    else:
        verdict.allow(change)


def _fixed_type(change: ChangeType, what: str, live: LiveTable) -> Iterator[Rejection]:
    column = live.column(change.path[0])
    if change.path[0].lower() in (name.lower() for name in live.partitioned_by):
        message = f"{what}; the table is partitioned by it"
        yield Rejection(Rule.COLUMN_IN_USE, shown_path(change.path), message)
    if column is not None and column.generated:
        message = f"{what}; its values are generated"
        yield Rejection(Rule.TYPE_CHANGE, shown_path(change.path), message, "declare the live type")


def _refuse_type(change: ChangeType, what: str, verdict: Verdict) -> None:
    """Where the data can tell whether a copy would do, it is asked."""
    name = shown_path(change.path)
    hint = f"declare {change.before}, or copy the data into a new column in a DDL script"
    message = f"{what}; Delta does not change that in place"
    plain = Rejection(Rule.TYPE_CHANGE, name, message, hint)
    if len(change.path) > 1 or not can_cast_back(change.before, change.after):
        verdict.refuse(change, plain)
        return
    verdict.drift.append(change)
    lost = replace(plain, message=f"{message}; the value of {{rows}} would not fit")
    fits = replace(plain, message=f"{message}; every value would fit")
    verdict.questions.append(Question(_does_not_fit(change), lost, fits))


def _does_not_fit(change: ChangeType) -> str:
    match change.after:
        case Char(length) | Varchar(length):
            return sql.is_longer(change.path[0], length)
        case _:
            return sql.does_not_fit(change.path[0], change.before, change.after)


def judge_nullability(
    change: ChangeNullability,
    declared: DeltaTable,
    live: LiveTable,
    capabilities: Capabilities,
    verdict: Verdict,
) -> None:
    """Columns become nullable at any time, NOT NULL where no value is missing."""
    name = shown_path(change.path)
    if change.nullable:
        refusals = list(keys_on(change.path, "nullable", declared, live, foreign=False))
        if refusals:
            verdict.refuse(change, *refusals)
        else:
            verdict.allow(change)
        return
    if len(change.path) > 1:
        message = f"field {name} is nullable, declared as NOT NULL; that cannot be changed"
        rejection = Rejection(Rule.NULLABILITY_CHANGE, name, message, "declare it nullable")
        verdict.refuse(change, rejection)
        return
    column = declared.column(change.path[0])
    fill = column.default if column and declared.allows(Consent.BACKFILL, name) else ""
    missing = _nulls_present(name, can_fill=capabilities.set_not_null)
    if not capabilities.set_not_null:
        verdict.drift.append(change)
        refused = _not_null_impossible(name, capabilities)
        verdict.questions.append(Question(sql.is_null(change.path[0]), missing, refused))
    else:
        if fill:
            _tell_consent(verdict, Consent.BACKFILL, [change.path])
        else:
            verdict.questions.append(Question(sql.is_null(change.path[0]), missing))
        verdict.allow(replace(change, fill=fill))


def _tell_consent(verdict: Verdict, consent: Consent, paths: Sequence[Path]) -> None:
    for path in paths:
        verdict.tell(f"allowed by the declaration: {consent} {shown_path(path)}")


def _nulls_present(name: str, *, can_fill: bool) -> Rejection:
    hint = "fill them first, or declare the column nullable"
    if can_fill:
        hint += f"; with a default, allow: [{Consent.BACKFILL} {name}] fills them"
    message = f"column {name} is declared NOT NULL, but it has no value in {{rows}}"
    return Rejection(Rule.NULLS_PRESENT, name, message, hint)


def _not_null_impossible(name: str, capabilities: Capabilities) -> Rejection:
    message = f"column {name} is nullable, and {capabilities.name} cannot make it NOT NULL"
    hint = f"declare it nullable with a check: {{{name}_not_null: {name} IS NOT NULL}}"
    return Rejection(Rule.NULLABILITY_CHANGE, name, message, hint)


def judge_source(change: ChangeSource, verdict: Verdict) -> None:
    """Generated columns and identities are made with the table."""
    before, after = change.before or "written", change.after or "written"
    message = f"values of column {change.name} are {before}, declared as {after}"
    hint = f"declare them {before}; only a new table can have that"
    verdict.refuse(change, Rejection(Rule.VALUE_SOURCE_CHANGE, change.name, message, hint))


def hint_at_renames(verdict: Verdict, changes: Sequence[Change], declared: DeltaTable) -> None:
    """One column gone and one of the same type new: it may have been renamed."""
    gone = [one for c in changes if isinstance(c, RemoveColumns) for one in c.columns]
    new = [one for c in changes if isinstance(c, AddColumns) for one in c.columns]
    if len(gone) != 1 or len(new) != 1 or not same_type(gone[0][1], new[0].column.data_type):
        return
    old, name = shown_path(gone[0][0]), shown_path(new[0].path)
    if gone[0][0][:-1] == new[0].path[:-1] and not declared.allows(Consent.DROP_COLUMN, old):
        remedy = f"renamed_columns: {{{old}: {name}}}"
        verdict.tell(f"if {name} is the new name of {old}, say so: {remedy}")
