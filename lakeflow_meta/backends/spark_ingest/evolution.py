"""The columns that a table has once a batch is in it.

With ``add_new_columns`` it gets the columns that the files have and it has not, and nested fields
likewise; nothing that is there changes. With ``rescue`` it gets ``_rescued_data``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lakeflow_meta.backends.spark_ingest.columns import RESCUED, TableShape
from lakeflow_meta.ingest.batch import METADATA_COLUMNS
from lakeflow_meta.ingest.source import SchemaEvolution

if TYPE_CHECKING:
    from pyspark.sql.types import DataType, StructField

UNMAPPED = frozenset(" ,;{}()\n\t=")
"""Characters that a Delta table has in the names of its columns only with column mapping:
https://docs.databricks.com/delta/column-mapping."""

_INTEGERS = ("byte", "short", "integer", "long")
_FLOATS = ("float", "double")


def evolved(
    shape: TableShape, told: Iterable[Sequence[StructField]], evolution: SchemaEvolution
) -> TableShape:
    """The table with what the files tell of themselves, each set of files by its fields."""
    match evolution:
        case SchemaEvolution.FAIL:
            return shape
        case SchemaEvolution.RESCUE:
            return with_rescued(shape)
        case SchemaEvolution.ADD_NEW_COLUMNS:
            return replace(shape, fields=with_new_fields(shape.fields, told))


def with_rescued(shape: TableShape) -> TableShape:
    """The table with the column that takes what does not fit."""
    from pyspark.sql.types import StringType, StructField

    if any(field.name.lower() == RESCUED for field in shape.fields):
        return shape
    return replace(shape, fields=(*shape.fields, StructField(RESCUED, StringType())))


def with_new_fields(
    known: Sequence[StructField], told: Iterable[Sequence[StructField]]
) -> tuple[StructField, ...]:
    """``known``, with new nested fields, and then the new columns in the order of their coming.

    Two sets of files that have a new column with different types make it wide enough for both, as
    far as numbers go; else the first one says what it is. A column that has no type yet (nothing
    but NULL) is left out.
    """
    from pyspark.sql.types import NullType, StructField

    old = {field.name.lower(): field for field in known}
    new: dict[str, StructField] = {}
    for fields in told:
        for field in fields:
            name = field.name.lower()
            if name in old:
                merged = with_new_nested(old[name].dataType, field.dataType)
                old[name] = StructField(
                    old[name].name, merged, old[name].nullable, old[name].metadata
                )
            elif name in METADATA_COLUMNS or isinstance(field.dataType, NullType):
                continue
            elif name in new:
                both = wide_enough(new[name].dataType, field.dataType)
                new[name] = StructField(new[name].name, both, nullable=True)
            else:
                new[name] = StructField(field.name, field.dataType, nullable=True)
    return (*old.values(), *new.values())


def with_new_nested(known: DataType, told: DataType) -> DataType:
    """``known`` with the fields of structs, wherever inside, that only ``told`` has."""
    from pyspark.sql import types as T  # noqa: N812 - Spark's own usage

    match known, told:
        case T.StructType(), T.StructType():
            return T.StructType(list(with_new_fields(known.fields, [told.fields])))
        case T.ArrayType(), T.ArrayType():
            element = with_new_nested(known.elementType, told.elementType)
            return T.ArrayType(element, known.containsNull)
        case T.MapType(), T.MapType():
            value = with_new_nested(known.valueType, told.valueType)
            return T.MapType(known.keyType, value, known.valueContainsNull)
    return known


def wide_enough(one: DataType, other: DataType) -> DataType:
    """A type that holds the numbers of both without a loss; else the first, with all its fields."""
    from pyspark.sql import types as T  # noqa: N812 - Spark's own usage

    names = {one.typeName(), other.typeName()}
    if names <= {*_INTEGERS}:
        return max(one, other, key=lambda kind: _INTEGERS.index(kind.typeName()))
    if names <= {*_FLOATS}:
        return T.DoubleType()
    if "double" in names and names <= {"double", *_INTEGERS[:3]}:
        return T.DoubleType()
    if isinstance(one, T.DecimalType) and isinstance(other, T.DecimalType):
        scale = max(one.scale, other.scale)
        whole = max(one.precision - one.scale, other.precision - other.scale)
        return T.DecimalType(whole + scale, scale) if whole + scale <= 38 else one
    return with_new_nested(one, other)


def needs_mapping(fields: Iterable[StructField]) -> list[str]:
    """Names of columns and nested fields that only a table with column mapping can have."""
    from pyspark.sql import types as T  # noqa: N812 - Spark's own usage

    def inside(kind: DataType) -> list[str]:
        match kind:
            case T.StructType():
                return needs_mapping(kind.fields)
            case T.ArrayType():
                return inside(kind.elementType)
            case T.MapType():
                return [*inside(kind.keyType), *inside(kind.valueType)]
        return []

    found: list[str] = []
    for field in fields:
        found += [field.name] if UNMAPPED & set(field.name) else []
        found += inside(field.dataType)
    return found
