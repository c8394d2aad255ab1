"""A Delta table from the JSON document that DESCRIBE TABLE EXTENDED … AS JSON gives. Pure.

https://docs.databricks.com/sql/language-manual/sql-ref-syntax-aux-describe-table.html; types,
``partition_columns`` and ``clustering_columns`` as Apache Spark writes them
(DescribeRelationJsonCommand). A document of another shape raises KeyError, TypeError or ValueError:
that is a mistake here, and not a table that cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lakeflow_meta.backends.unity_catalog_create import Generated
from lakeflow_meta.backends.unity_catalog_listing import Listed
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.field_paths import read_path, shown_path
from lakeflow_meta.schema.frozen_mapping import NOTHING, FrozenMapping
from lakeflow_meta.schema.kept_properties import is_kept
from lakeflow_meta.schema.live import LiveTable
from lakeflow_meta.schema.table import Column
from lakeflow_meta.schema.type_text import parse_type
from lakeflow_meta.schema.types import (
    PLAIN_NAME,
    Array,
    Char,
    DataType,
    Decimal,
    Map,
    String,
    Struct,
    StructField,
    UnknownTypeError,
    Varchar,
)

Document = Mapping[str, Any]

_CHECK_PREFIX = "delta.constraints."
_FEATURE_PREFIX = "delta.feature."
_PLAIN_COLLATION = "UTF8_BINARY"
_MAY_GENERATE = frozenset({"generatedcolumns", "identitycolumns"})
_FIRST_GENERATING_WRITER = 4


def live_table(name: TableName, document: Document, listed: Listed) -> LiveTable:
    """The table, without how its columns are generated. Raises UnknownTypeError.

    ``version`` is the stamp: neither the document nor the information schema tells Delta's version.
    """
    _refuse_collation(document.get("collation", _PLAIN_COLLATION), "the table")
    properties = document.get("table_properties") or {}
    return LiveTable(
        name,
        tuple(_columns(document["columns"], listed)),
        comment=document.get("comment") or "",
        properties=FrozenMapping(_own_properties(properties)),
        partitioned_by=tuple(document.get("partition_columns") or ()),
        clustered_by=tuple(_clustering(document)),
        checks=FrozenMapping(_with_prefix(properties, _CHECK_PREFIX, lower=True)),
        version=listed.stamp,
        features=features_of(document),
        keys=listed.keys,
        tags=listed.tags,
        location=document["location"] if listed.kind.startswith("EXTERNAL") else "",
    )


def _clustering(document: Document) -> Iterator[str]:
    for text in document.get("clustering_columns") or ():
        yield shown_path(read_path(text))


def features_of(document: Document) -> frozenset[str]:
    """The table features that the properties name; none for a table of an older protocol."""
    return frozenset(_with_prefix(document.get("table_properties") or {}, _FEATURE_PREFIX))


def may_generate(document: Document) -> bool:
    """Whether columns may be generated or identities, which the document does not tell.

    Writer version 4 brings generated columns, 7 the list of features:
    https://github.com/delta-io/delta/blob/master/PROTOCOL.md#valid-feature-names-in-table-features
    """
    features = features_of(document)
    if features:
        return not _MAY_GENERATE.isdisjoint(feature.lower() for feature in features)
    properties = document.get("table_properties") or {}
    writer = {key.lower(): value for key, value in properties.items()}.get("delta.minwriterversion")
    return writer is None or int(writer) >= _FIRST_GENERATING_WRITER


def with_generated(table: LiveTable, generated: Mapping[str, Generated]) -> LiveTable:
    """The table with how its columns are generated, by lower-case name."""
    columns = (
        replace(column, generated=found.expression, identity=found.identity)
        if (found := generated.get(column.name.lower()))
        else column
        for column in table.columns
    )
    return replace(table, columns=tuple(columns))


# --------------------------------------------------------------------------- properties


def _own_properties(properties: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in properties.items() if not is_kept(key)}


def _with_prefix(
    properties: Mapping[str, str], prefix: str, *, lower: bool = False
) -> dict[str, str]:
    found = {
        key[len(prefix) :]: value
        for key, value in properties.items()
        if key.lower().startswith(prefix)
    }
    return {key.lower(): value for key, value in found.items()} if lower else found


# --------------------------------------------------------------------------- columns


def _columns(entries: Sequence[Document], listed: Listed) -> Iterator[Column]:
    for entry in entries:
        name, key = entry["name"], entry["name"].lower()
        yield Column(
            name,
            _type_of(f"column {name!r}", entry["type"], listed.full_types.get(key, "")),
            bool(entry["nullable"]),
            entry.get("comment") or "",
            entry.get("default") or "",
            tags=listed.column_tags.get(key, NOTHING),
        )


def _type_of(where: str, value: Document, full_type: str) -> DataType:
    try:
        found = read_type(value)
        return _with_lengths(found, parse_type(full_type)) if full_type else found
    except UnknownTypeError as error:
        raise UnknownTypeError(f"{where}: {error}", error.hint) from error


def _with_lengths(found: DataType, full: DataType) -> DataType:
    """The type with CHAR and VARCHAR in place of their strings, where the catalog has them."""
    match found, full:
        case String(), Char() | Varchar():
            return full
        case Array(element), Array(full_element):
            return Array(_with_lengths(element, full_element))
        case Map(key, value), Map(full_key, full_value):
            return Map(_with_lengths(key, full_key), _with_lengths(value, full_value))
        case Struct(fields), Struct(full_fields):
            types = {field.name.lower(): field.data_type for field in full_fields}
            return Struct(
                tuple(
                    replace(f, data_type=_with_lengths(f.data_type, types[f.name.lower()]))
                    if f.name.lower() in types
                    else f
                    for f in fields
                )
            )
        case _:
            return found


def read_type(value: Document) -> DataType:
    """Read a type from its JSON form. Raises UnknownTypeError."""
    match value["name"]:
        case "array":
            return Array(read_type(value["element_type"]))
        case "map":
            return Map(read_type(value["key_type"]), read_type(value["value_type"]))
        case "struct":
            return Struct(tuple(_field(field) for field in value["fields"]))
        case "decimal":
            return Decimal(int(value["precision"]), int(value["scale"]))
        case "char":
            return Char(int(value["length"]))
        case "varchar":
            return Varchar(int(value["length"]))
        case "string":
            _refuse_collation(value.get("collation", _PLAIN_COLLATION), "type 'string'")
            return String()
        case word:
            return _read_word(word)


def _read_word(word: str) -> DataType:
    """Types without parameters; a later runtime may write others, such as ``geography(4326)``."""
    if not PLAIN_NAME.fullmatch(word):
        raise UnknownTypeError(f"type {word!r} is not known")
    return parse_type(word)


def _field(entry: Document) -> StructField:
    return StructField(
        entry["name"],
        read_type(entry["type"]),
        bool(entry["nullable"]),
        entry.get("comment") or "",
    )


def _refuse_collation(collation: str, what: str) -> None:
    if collation.upper() != _PLAIN_COLLATION:
        raise UnknownTypeError(
            f"{what} has the collation {collation}", f"only {_PLAIN_COLLATION} can be declared"
        )
