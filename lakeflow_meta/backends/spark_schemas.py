"""Layouts of control tables as Spark knows them, and Spark's names of types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lakeflow_meta.control.tables import LayoutColumn

if TYPE_CHECKING:
    from pyspark.sql.types import StructType


def spark_schema(columns: Sequence[LayoutColumn]) -> StructType:
    """Columns as a StructType; no session is needed."""
    from pyspark.sql import types

    known = {
        "STRING": types.StringType,
        "INT": types.IntegerType,
        "BIGINT": types.LongType,
        "DOUBLE": types.DoubleType,
        "BOOLEAN": types.BooleanType,
        "TIMESTAMP": types.TimestampType,
    }
    return types.StructType(
        [types.StructField(c.name, known[c.type](), c.nullable) for c in columns]
    )


def spark_types(names: Iterable[str]) -> dict[str, Any]:
    """Those of the names that are types of Spark, with what they mean."""
    from pyspark.sql import types

    return {name: getattr(types, name) for name in set(names) & set(types.__all__)}
