"""What rests on a column, so that Delta refuses to change it, or would lose something. Pure.

Paths are those after all renames, as ``live`` is; expressions still have the earlier names, but a
column that is renamed is asked for by its earlier name, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lakeflow_meta.schema.expressions import hangs_on
from lakeflow_meta.schema.field_paths import Path, path_key, shown_path
from lakeflow_meta.schema.live import LiveForeignKey, LivePrimaryKey, LiveTable
from lakeflow_meta.schema.table import DeltaTable, Policy
from lakeflow_meta.schema.types import Char, Struct, Varchar, nested_types
from lakeflow_meta.schema.verdict import Rejection, Rule


def uses(path: Path, what: str, declared: DeltaTable, live: LiveTable) -> Iterator[Rejection]:
    """Why a column or field cannot be ``what`` (dropped, renamed, …): expressions speak of it.

    Declared checks are dropped before and come back; others, and generated columns, stay.
    """
    name = shown_path(path)
    known = {check.lower() for check in declared.checks}
    for check, text in live.checks.items():
        stays = declared.policy is not Policy.STRICT and check.lower() not in known
        if stays and hangs_on(text, path):
            hint = "declare the check as it is to be then, or say policy: strict"
            message = f"column {name} cannot be {what}: check {check} ({text}) speaks of it"
            yield Rejection(Rule.COLUMN_IN_USE, name, message, hint)
    for column in live.columns:
        if column.generated and hangs_on(column.generated, path):
            message = f"column {name} cannot be {what}: column {column.name} is generated from it"
            hint = f"first drop {column.name}, in a sync of its own"
            yield Rejection(Rule.COLUMN_IN_USE, name, message, hint)


def keys_on(
    path: Path, what: str, declared: DeltaTable, live: LiveTable, *, foreign: bool = True
) -> Iterator[Rejection]:
    """Why a column cannot be ``what``: a key that is not declared stays, and uses it.

    Unity Catalog drops keys of renamed columns without a word (observed).
    """
    if live.keys is None or declared.policy is Policy.STRICT or len(path) > 1:
        return
    renamed = {old.lower(): new for old, new in declared.renamed_columns.items()}
    wanted = {frozenset(name.lower() for name in key.columns) for key in declared.foreign_keys}
    there: list[LivePrimaryKey | LiveForeignKey] = []
    if live.keys.primary is not None and not declared.primary_key:
        there.append(live.keys.primary)
    for key in live.keys.foreign if foreign else ():
        columns = (renamed.get(name.lower(), name) for name in key.columns)
        if frozenset(name.lower() for name in columns) not in wanted:
            there.append(key)
    for key_there in there:
        if path[0].lower() in (name.lower() for name in key_there.columns):
            message = f"column {path[0]} cannot be {what}: key {key_there.name} uses it"
            hint = "declare the key, or say policy: strict"
            yield Rejection(Rule.COLUMN_IN_USE, path[0], message, hint)


def limited_texts(paths: Sequence[Path], live: LiveTable) -> Iterator[Rejection]:
    """Fields beside a CHAR or VARCHAR cannot change: Delta 4.4 keeps the old fields' names, and
    reads the values of the new ones by position. A change of the whole column makes its fields
    anew, without their comments and NOT NULL (both measured).
    """
    for path in paths:
        column = live.column(path[0])
        inside = [] if column is None else list(nested_types(column.data_type))
        fields = [field for kind in inside if isinstance(kind, Struct) for field in kind.fields]
        noted = any(field.comment or not field.nullable for field in fields)
        limited = any(isinstance(kind, Char | Varchar) for kind in inside)
        if limited and (len(path) > 1 or noted):
            message = f"{shown_path(path)} holds texts of a limited length, or is beside them"
            hint = f"declare the fields of {path[0]} as they are, or copy the data into new columns"
            yield Rejection(Rule.TYPE_CHANGE, shown_path(path), message, hint)


def layout_on(paths: Sequence[Path], declared: DeltaTable, live: LiveTable) -> Iterator[Rejection]:
    """Columns and fields on which the layout rests cannot be dropped."""
    clustering = declared.clustering_paths or live.clustering_paths
    if not declared.clustered_by and declared.policy is Policy.STRICT:
        clustering = ()
    layouts = {"partitioned": [(name,) for name in live.partitioned_by], "clustered": clustering}
    for path in paths:
        name = shown_path(path)
        for layout, columns in layouts.items():
            if any(path_key(column[: len(path)]) == path_key(path) for column in columns):
                hint = "declare another cluster_by" if layout == "clustered" else "keep it"
                message = f"column {name} cannot be dropped: the table is {layout} by it"
                yield Rejection(Rule.COLUMN_IN_USE, name, message, hint)
