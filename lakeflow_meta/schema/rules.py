"""What a declared table or view must obey to be creatable at all. Pure.

Each rule yields a `Finding` whose path leads into the declaration. All rules run, so that
everything wrong is seen at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.findings import Finding, Path, did_you_mean
from lakeflow_meta.schema.expressions import expression_problem
from lakeflow_meta.schema.field_paths import path_key, read_path, type_at
from lakeflow_meta.schema.types import (
    Array,
    Binary,
    Boolean,
    DataType,
    Long,
    Map,
    Struct,
    Variant,
    nested_types,
)
from lakeflow_meta.sql import split_statements
from lakeflow_meta.sql_tokens import tokens

if TYPE_CHECKING:
    from lakeflow_meta.schema.table import Column, DeltaTable, View

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
_LOCATION = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/|/")
_CONSTRAINT_PREFIX = "delta.constraints."
_CHECK_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# https://docs.databricks.com/database-objects/tags.html#constraints
_MAX_TAGS = 50
_MAX_TAG_LENGTH = 256
_NO_TAG_KEY = re.compile(r"[.,\-=/:\x00-\x1f]|^\s|\s$|^$")
_QUERY_WORDS = ("SELECT", "WITH", "VALUES", "FROM", "TABLE")


def table_problems(table: DeltaTable) -> Iterator[Finding]:
    """Everything that is wrong with a declared table."""
    yield from _column_problems(table)
    yield from _value_problems(table)
    yield from _rename_problems(table)
    yield from _consent_problems(table)
    yield from _location_problems(table)
    yield from _tag_problems(table.tags, ("tags",))
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


# --------------------------------------------------------------------------- values of columns


def _value_problems(table: DeltaTable) -> Iterator[Finding]:
    """Where the values of columns come from, and what is said about columns."""
    for index, column in enumerate(table.columns):
        path: Path = ("columns", index)
        sources = {"default": column.default, "generated": column.generated}
        given = [name for name, text in sources.items() if text]
        given += ["identity"] if column.identity else []
        if len(given) > 1:
            message = f"column {column.name!r} has {' and '.join(given)}"
            yield Finding((*path, given[-1]), message, "keep one of them")
        for name, text in sources.items():
            problem = expression_problem(text) if text else ""
            if problem:
                yield Finding((*path, name), f"{name} of {column.name!r}: {problem}")
        yield from _identity_problems(column, (*path, "identity"))
        yield from _tag_problems(column.tags, (*path, "tags"))


def _identity_problems(column: Column, path: Path) -> Iterator[Finding]:
    if column.identity is None:
        return
    if not isinstance(column.data_type, Long):
        message = f"identity column {column.name!r} is {column.data_type}"
        yield Finding(path, message, "identity columns are bigint")
    if column.identity.step == 0:
        yield Finding(path, f"identity column {column.name!r} has a step of 0")


def _tag_problems(tags: Mapping[str, str], path: Path) -> Iterator[Finding]:
    if len(tags) > _MAX_TAGS:
        yield Finding(path, f"at most {_MAX_TAGS} tags are possible")
    for key, value in tags.items():
        if _NO_TAG_KEY.search(key) or len(key) > _MAX_TAG_LENGTH:
            hint = f"1 to {_MAX_TAG_LENGTH} characters, none of . , - = / : and no outer blanks"
            yield Finding((*path, key), f"tag {key!r} is not a usable name", hint)
        if len(value) > _MAX_TAG_LENGTH:
            message = f"the value of tag {key!r} is longer than {_MAX_TAG_LENGTH} characters"
            yield Finding((*path, key), message)


# --------------------------------------------------------------------------- renames, consent


def _rename_problems(table: DeltaTable) -> Iterator[Finding]:
    if table.renamed_from:
        yield from _old_name_problems(table)
    seen: set[tuple[str, ...]] = set()
    for old, new in table.renamed_columns.items():
        path = ("renamed_columns", old)
        try:
            before, after = read_path(old), read_path(new)
        except ValueError as error:
            yield Finding(path, str(error))
            continue
        if before[:-1] != after[:-1]:
            hint = f"write the parts before the last one as they are declared: {new}"
            yield Finding(path, f"{old} and {new} are not in the same place", hint)
        elif type_at(table.columns, after) is None:
            yield Finding(path, f"{new} is not declared", "renamed_columns maps old to new names")
        elif path_key(after) in seen:
            yield Finding(path, f"two columns are renamed to {new}")
        seen.add(path_key(after))
    yield from _rename_circles(table)


def _old_name_problems(table: DeltaTable) -> Iterator[Finding]:
    path = ("renamed_from",)
    try:
        old = table.old_name
    except ConfigError as error:
        yield Finding(path, str(error))
        return
    if old is not None and old.key == table.full_name.key:
        yield Finding(path, "the table is renamed from itself", "leave renamed_from out")
    elif old is not None and old.catalog.lower() != table.catalog.lower():
        yield Finding(path, f"{old} is in another catalog", "tables are renamed inside a catalog")


def _rename_circles(table: DeltaTable) -> Iterator[Finding]:
    steps = {old.lower(): new.lower() for old, new in table.renamed_columns.items()}
    for start in steps:
        walked, current = [start], steps[start]
        while current in steps and current not in walked:
            walked.append(current)
            current = steps[current]
        if current == start == min(walked):
            message = f"names go round: {' → '.join([*walked, start])}"
            hint = "rename through a name of its own, in two syncs"
            yield Finding(("renamed_columns",), message, hint)


def _consent_problems(table: DeltaTable) -> Iterator[Finding]:
    from lakeflow_meta.schema.table import Consent

    for index, words in enumerate(table.allow):
        word = words.split()[0].lower() if words.strip() else ""
        if word not in list(Consent):
            message = f"allow: {words!r} is not known"
            yield Finding(("allow", index), message, did_you_mean(word, list(Consent)))


def _location_problems(table: DeltaTable) -> Iterator[Finding]:
    if table.location and not _LOCATION.match(table.location):
        hint = "write a URI (s3://…, abfss://…, file:///…) or an absolute path"
        yield Finding(("location",), f"location {table.location!r} is not absolute", hint)


def view_problems(view: View) -> Iterator[Finding]:
    """Everything that is wrong with a declared view."""
    statements = split_statements(view.query)
    words = [token.word for token in tokens(view.query) if token.text != "("]
    if len(statements) != 1 or ";" in view.query.rstrip()[-1:]:
        yield Finding(("view",), "a view is one SELECT without a semicolon")
    elif words[0] not in _QUERY_WORDS:
        yield Finding(("view",), f"a view starts with SELECT or WITH, not {words[0] or '?'}")
    if "${" in view.query:
        yield Finding(("view",), "Spark would replace ${…}; write the value")


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
    for path in table.clustering_paths:
        yield from _statistics_problems(table, path)


def _statistics_problems(table: DeltaTable, path: Sequence[str]) -> Iterator[Finding]:
    """Delta has no statistics of fields beside a variant (measured with Delta 4.4)."""
    column = table.column(path[0])
    inside = nested_types(column.data_type) if column is not None and len(path) > 1 else ()
    if any(isinstance(kind, Variant) for kind in inside):
        message = f"field {'.'.join(path)!r} is beside a variant and cannot be used here"
        yield Finding(("clustered_by",), message, "use a field of a column without a variant")


def _layout_keys(
    table: DeltaTable, names: Sequence[str], path: Path, refused: tuple[type, ...]
) -> Iterator[Finding]:
    whole = [name for name in names if "." not in name or table.column(name) is not None]
    yield from _reference_problems(table, whole, path)
    for name in names:
        column = table.column(name)
        found = type_at(table.columns, read_path(name)) if column is None else column.data_type
        if found is None and name not in whole:
            yield Finding(path, f"field {name!r} is not declared")
        if isinstance(found, refused):
            yield Finding(path, f"column {name!r} of type {found} cannot be used here")


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
    for key in (*table.properties, *table.absent_properties):
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
        problem = expression_problem(expression)
        if problem:
            yield Finding(path, f"check {name!r}: {problem}")


def _property(table: DeltaTable, key: str) -> str:
    lowered = key.lower()
    values = [value for name, value in table.properties.items() if name.lower() == lowered]
    return values[0].lower() if values else ""
