"""What a declared table must obey to be creatable at all. Pure.

Each rule yields a `Finding` whose path leads into the declaration. All rules run, so that
everything wrong is seen at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lakeflow_meta.findings import Finding, Path, did_you_mean
from lakeflow_meta.schema.types import (
    Array,
    Binary,
    Boolean,
    DataType,
    Map,
    Struct,
    Variant,
    nested_types,
)

if TYPE_CHECKING:
    from lakeflow_meta.schema.table import Column, DeltaTable

MAX_NAME_LENGTH = 255
# https://docs.databricks.com/delta/clustering.html: up to four clustering keys.
MAX_CLUSTERING_KEYS = 4
# Without column mapping, Parquet's names are Delta's names (PROTOCOL.md, "Column Mapping").
_SPECIAL_CHARACTERS = re.compile(r"[ ,;{}()\n\t=]")
_CHANGE_FEED_NAMES = ("_change_type", "_commit_version", "_commit_timestamp")
# https://docs.databricks.com/sql/language-manual/sql-ref-syntax-ddl-tblproperties.html
_RESERVED_PROPERTIES = {
    "comment": "use comment",
    "external": "",
    "is_managed_location": "",
    "location": "",
    "option.serialization.format": "",
    "owner": "",
    "provider": "",
    "path": "",
    "delta.minreaderversion": "name the feature instead: delta.feature.<name> = supported",
    "delta.minwriterversion": "name the feature instead: delta.feature.<name> = supported",
}
_CONSTRAINT_PREFIX = "delta.constraints."
_CHECK_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUOTED = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"|`(?:[^`]|``)*`", re.DOTALL)
_SQL_TOKEN = re.compile(_QUOTED.pattern + r"|[\w.]+|\S", re.DOTALL)
_COMMENT = re.compile(r"--|/\*")


def table_problems(table: DeltaTable) -> Iterator[Finding]:
    """Everything that is wrong with a declared table."""
    yield from _column_problems(table)
    yield from _primary_key_problems(table)
    yield from _foreign_key_problems(table)
    yield from _layout_problems(table)
    yield from _property_problems(table)
    yield from _check_problems(table)


# --------------------------------------------------------------------------- columns


def _column_problems(table: DeltaTable) -> Iterator[Finding]:
    if not table.columns:
        yield Finding(("columns",), "a table has at least one column")
    seen: dict[str, str] = {}
    for index, column in enumerate(table.columns):
        path: Path = ("columns", index)
        first = seen.setdefault(column.name.lower(), column.name)
        if first is not column.name:
            yield Finding((*path, "name"), f"column {column.name!r} is declared twice")
        yield from _name_problems(column, table, (*path, "name"))
        if _has_lost_not_null(column.data_type, column.nullable):
            message = f"{column.data_type}: NOT NULL inside something that may be NULL"
            yield Finding(
                (*path, "type"), message, "leave out the inner NOT NULL: Delta refuses it"
            )


def _name_problems(column: Column, table: DeltaTable, path: Path) -> Iterator[Finding]:
    if not column.name or len(column.name) > MAX_NAME_LENGTH:
        message = f"column name {column.name!r} is not 1 to {MAX_NAME_LENGTH} characters"
        yield Finding(path, message)
    if _property(table, "delta.columnMapping.mode") in ("", "none"):
        for name in [column.name, *_field_names(column.data_type)]:
            if _SPECIAL_CHARACTERS.search(name):
                hint = "rename it, or set the property delta.columnMapping.mode to name"
                yield Finding(path, f"name {name!r} holds a character that Delta refuses", hint)
    feed = _property(table, "delta.enableChangeDataFeed")
    if feed == "true" and column.name.lower() in _CHANGE_FEED_NAMES:
        yield Finding(path, f"{column.name!r} is reserved by the change data feed")


def _field_names(data_type: DataType) -> list[str]:
    structs = [kind for kind in nested_types(data_type) if isinstance(kind, Struct)]
    return [field.name for struct in structs for field in struct.fields]


def _has_lost_not_null(data_type: DataType, nullable: bool) -> bool:
    match data_type:
        case Struct(fields):
            return any(
                (nullable and not field.nullable)
                or _has_lost_not_null(field.data_type, nullable or field.nullable)
                for field in fields
            )
        case Array(element):
            return _has_lost_not_null(element, True)
        case Map(key, value):
            return _has_lost_not_null(key, True) or _has_lost_not_null(value, True)
        case _:
            return False


# --------------------------------------------------------------------------- keys


def _primary_key_problems(table: DeltaTable) -> Iterator[Finding]:
    yield from _reference_problems(table, table.primary_key, ("primary_key",))
    for name in table.primary_key:
        column = table.column(name)
        if column is not None and column.nullable:
            hint = f"declare {name} with nullable: false"
            yield Finding(("primary_key",), f"primary key column {name!r} may be NULL", hint)


def _foreign_key_problems(table: DeltaTable) -> Iterator[Finding]:
    seen: set[frozenset[str]] = set()
    names: set[str] = set()
    for index, key in enumerate(table.foreign_keys):
        path: Path = ("foreign_keys", index)
        if not key.columns:
            yield Finding((*path, "columns"), "a foreign key has at least one column")
        yield from _reference_problems(table, key.columns, (*path, "columns"))
        if key.referenced_columns and len(key.referenced_columns) != len(key.columns):
            counts = f"{len(key.columns)} columns and {len(key.referenced_columns)} referenced ones"
            yield Finding((*path, "referenced_columns"), f"the foreign key has {counts}")
        local = frozenset(name.lower() for name in key.columns)
        if local in seen:
            yield Finding((*path, "columns"), "two foreign keys use the same columns")
        if key.name and key.name.lower() in names:
            yield Finding((*path, "name"), f"two foreign keys are named {key.name!r}")
        seen.add(local)
        names.add(key.name.lower())


# --------------------------------------------------------------------------- layout


def _layout_problems(table: DeltaTable) -> Iterator[Finding]:
    if table.partitioned_by and table.clustered_by:
        yield Finding(("clustered_by",), "a table is partitioned or clustered, not both")
    if len(table.clustered_by) > MAX_CLUSTERING_KEYS:
        message = f"at most {MAX_CLUSTERING_KEYS} clustering columns are possible"
        yield Finding(("clustered_by",), message)
    if table.partitioned_by and len(table.partitioned_by) >= len(table.columns):
        yield Finding(("partitioned_by",), "a table cannot be partitioned by all its columns")
    nested = (Array, Map, Struct, Variant)
    yield from _layout_keys(table, table.partitioned_by, ("partitioned_by",), nested)
    refused = (*nested, Boolean, Binary)
    yield from _layout_keys(table, table.clustered_by, ("clustered_by",), refused)


def _layout_keys(
    table: DeltaTable, names: Sequence[str], path: Path, refused: tuple[type, ...]
) -> Iterator[Finding]:
    yield from _reference_problems(table, names, path)
    for name in names:
        column = table.column(name)
        if column is not None and isinstance(column.data_type, refused):
            message = f"column {name!r} of type {column.data_type} cannot be used here"
            yield Finding(path, message)


def _reference_problems(table: DeltaTable, names: Sequence[str], path: Path) -> Iterator[Finding]:
    for index, name in enumerate(names):
        column = table.column(name)
        if column is None:
            hint = did_you_mean(name, [column.name for column in table.columns])
            yield Finding(path, f"column {name!r} is not declared", hint)
        elif column.name != name:
            message = f"column {name!r} is declared as {column.name!r}"
            yield Finding(path, message, "use one spelling")
        if name.lower() in (other.lower() for other in names[:index]):
            yield Finding(path, f"column {name!r} is named twice")


# --------------------------------------------------------------------------- properties, checks


def _property_problems(table: DeltaTable) -> Iterator[Finding]:
    seen: set[str] = set()
    for key in table.properties:
        path = ("properties", key)
        lowered = key.lower()
        if not key:
            yield Finding(("properties",), "a property has a name")
        if lowered in _RESERVED_PROPERTIES:
            hint = _RESERVED_PROPERTIES[lowered]
            yield Finding(path, f"property {key!r} cannot be set", hint)
        if lowered.startswith(_CONSTRAINT_PREFIX):
            yield Finding(path, "constraints are no properties here", "use checks")
        if lowered.startswith("delta.") and lowered in seen:
            yield Finding(path, f"property {key!r} is declared twice")
        seen.add(lowered)


def _check_problems(table: DeltaTable) -> Iterator[Finding]:
    seen: set[str] = set()
    for name, expression in table.checks.items():
        path = ("checks", name)
        if not _CHECK_NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
            message = f"check name {name!r} is not made of letters, digits and _"
            yield Finding(path, message)
        if name.lower() in seen:
            yield Finding(path, f"check {name!r} is declared twice")
        seen.add(name.lower())
        problem = _expression_problem(expression)
        if problem:
            yield Finding(path, f"check {name!r}: {problem}")


def _expression_problem(expression: str) -> str:
    if not expression.strip():
        return "the expression is empty"
    if "${" in expression:
        return "Spark would replace ${…}; write the value"
    if _COMMENT.search(_QUOTED.sub("''", expression)):
        return "comments are not possible here"
    depth = 0
    for piece in sql_tokens(expression):
        depth += (piece == "(") - (piece == ")")
        if depth < 0 or piece in (";", "'", '"', "`"):
            return f"the expression is not closed or ends too early at {piece!r}"
    return "a parenthesis is not closed" if depth else ""


def sql_tokens(expression: str) -> list[str]:
    """The tokens of an expression; words in lower case, quoted text as it is.

    Delta keeps a check's text with other blanks than it was given, so texts are compared by this.
    """
    tokens = _SQL_TOKEN.findall(expression)
    return [token if token[0] in "'\"`" else token.lower() for token in tokens]


def _property(table: DeltaTable, key: str) -> str:
    lowered = key.lower()
    values = [value for name, value in table.properties.items() if name.lower() == lowered]
    return values[0].lower() if values else ""
