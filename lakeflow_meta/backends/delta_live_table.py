"""What a table is made of, from the snapshot of its Delta log. Pure.

https://github.com/delta-io/delta/blob/master/PROTOCOL.md, "Schema Serialization Format" and
"Column Mapping"; names of metadata keys that are Spark's own are cited beside them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lakeflow_meta.backends.delta_snapshot import CLUSTERING_DOMAIN, DamagedLogError, Snapshot
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.field_paths import shown_path
from lakeflow_meta.schema.frozen_mapping import FrozenMapping
from lakeflow_meta.schema.kept_properties import is_kept
from lakeflow_meta.schema.live import LiveTable
from lakeflow_meta.schema.table import Column, Identity
from lakeflow_meta.schema.type_text import parse_type
from lakeflow_meta.schema.types import (
    Array,
    Char,
    DataType,
    Map,
    String,
    Struct,
    StructField,
    UnknownTypeError,
    Varchar,
    read_delta_type,
)

_CHECK_PREFIX = "delta.constraints."

_PHYSICAL_NAME = "delta.columnMapping.physicalName"
_GENERATED = "delta.generationExpression"
_IDENTITY = "delta.identity."
_COLLATIONS = "__COLLATIONS"
# Spark 4.1: ResolveDefaultColumnsUtils.CURRENT_DEFAULT_COLUMN_METADATA_KEY,
# CharVarcharUtils.CHAR_VARCHAR_TYPE_STRING_METADATA_KEY
_DEFAULT = "CURRENT_DEFAULT"
_WITH_LENGTHS = "__CHAR_VARCHAR_TYPE_STRING"


def live_table(name: TableName, snapshot: Snapshot, location: str = "") -> LiveTable:
    """The table; ``location`` is given for external ones. Raises UnknownTypeError, ValueError."""
    fields = _fields(snapshot)
    # JSON has an object here, Parquet a list of pairs.
    configuration = dict(snapshot.metadata.get("configuration") or {})
    return LiveTable(
        name,
        tuple(map(_column, fields)),
        snapshot.metadata.get("description") or "",
        FrozenMapping(_properties(configuration)),
        tuple(snapshot.metadata.get("partitionColumns") or ()),
        _clustering(snapshot, fields),
        FrozenMapping(_checks(configuration)),
        snapshot.version,
        snapshot.features,
        location=location,
    )


def _fields(snapshot: Snapshot) -> Sequence[Mapping[str, Any]]:
    text = snapshot.metadata["schemaString"]
    schema = json.loads(text)
    if not (isinstance(schema, dict) and isinstance(schema.get("fields"), list)):
        raise DamagedLogError("the schema has no fields")
    fields: list[Mapping[str, Any]] = schema["fields"]
    if _COLLATIONS in text:
        for field in fields:
            _refuse_collations(field)
    return fields


def _properties(configuration: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in configuration.items() if not is_kept(key)}


def _checks(configuration: Mapping[str, str]) -> dict[str, str]:
    return {
        key[len(_CHECK_PREFIX) :].lower(): value
        for key, value in configuration.items()
        if key.lower().startswith(_CHECK_PREFIX)
    }


# --------------------------------------------------------------------------- columns


def _column(field: Mapping[str, Any]) -> Column:
    metadata = field.get("metadata") or {}
    try:
        data_type = read_delta_type(field["type"])
        if noted := metadata.get(_WITH_LENGTHS):
            data_type = _with_lengths(data_type, parse_type(noted))
    except ValueError as error:
        hint = error.hint if isinstance(error, UnknownTypeError) else ""
        raise UnknownTypeError(f"column {field['name']!r}: {error}", hint) from error
    return Column(
        field["name"],
        data_type,
        bool(field["nullable"]),
        metadata.get("comment", ""),
        metadata.get(_DEFAULT, ""),
        metadata.get(_GENERATED, ""),
        _identity(metadata),
    )


def _identity(metadata: Mapping[str, Any]) -> Identity | None:
    if f"{_IDENTITY}start" not in metadata:
        return None
    always = not metadata.get(f"{_IDENTITY}allowExplicitInsert", False)
    return Identity(int(metadata[f"{_IDENTITY}start"]), int(metadata[f"{_IDENTITY}step"]), always)


def _with_lengths(data_type: DataType, noted: DataType) -> DataType:
    """The type with the lengths that were noted when its column was made.

    Delta does not keep the note up when fields of a struct change, so fields go by their names.
    """
    match data_type, noted:
        case String(), Char() | Varchar():
            return noted
        case Array(element), Array(other):
            return Array(_with_lengths(element, other))
        case Map(key, value), Map(other_key, other_value):
            return Map(_with_lengths(key, other_key), _with_lengths(value, other_value))
        case Struct(fields), Struct(others):
            types = {field.name.lower(): field.data_type for field in others}
            return Struct(tuple(_field_with_length(field, types) for field in fields))
        case _:
            return data_type


def _field_with_length(field: StructField, types: Mapping[str, DataType]) -> StructField:
    noted = types.get(field.name.lower(), field.data_type)
    data_type = _with_lengths(field.data_type, noted)
    return StructField(field.name, data_type, field.nullable, field.comment)


def _refuse_collations(field: Mapping[str, Any]) -> None:
    for part in _nested_fields(field):
        if found := (part.get("metadata") or {}).get(_COLLATIONS):
            raise UnknownTypeError(f"column {field['name']!r} has a collation: {found}")


def _nested_fields(field: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The field itself, and the fields of every struct in it."""
    yield field
    pending = [field["type"]]
    while pending:
        current = pending.pop()
        if isinstance(current, Mapping):
            pending += [current.get(key) for key in ("elementType", "keyType", "valueType")]
            for inner in current.get("fields") or ():
                yield from _nested_fields(inner)


# --------------------------------------------------------------------------- clustering


def _clustering(snapshot: Snapshot, fields: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Clustering columns by their logical names; the domain has the physical ones.

    A column stands as its bare name, a field as `shown_path` writes it.
    """
    domain = snapshot.domains.get(CLUSTERING_DOMAIN)
    if domain is None or domain.get("removed"):
        return ()
    columns = json.loads(domain["configuration"])["clusteringColumns"]
    paths = (tuple(_logical(path, fields)) for path in columns)
    return tuple(path[0] if len(path) == 1 else shown_path(path) for path in paths)


def _logical(path: Sequence[str], fields: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for step in path:
        found = next((field for field in fields if _physical(field) == step), {})
        yield found.get("name", step)
        inner = found.get("type")
        fields = inner.get("fields", ()) if isinstance(inner, Mapping) else ()


def _physical(field: Mapping[str, Any]) -> str:
    return str((field.get("metadata") or {}).get(_PHYSICAL_NAME, field["name"]))
