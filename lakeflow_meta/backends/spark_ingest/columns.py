"""Rows in the columns of their table: names, types and order; cast strictly.

Nothing turns into NULL silently: values that a cast would change or lose are errors, and so are
columns that the table does not have. Columns that the rows do not have are left to the table: NULL,
or its default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakeflow_meta.errors import BackendError
from lakeflow_meta.ingest.batch import METADATA_COLUMNS, SOURCE_FILE
from lakeflow_meta.sql import ident

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import StructField, StructType

_MADE_BY_THE_TABLE = ("CURRENT_DEFAULT", "delta.generationExpression", "delta.identity.start")


class ColumnsError(BackendError):
    """The columns of the files and of the table do not go together; some file is to blame."""


@dataclass(frozen=True, slots=True)
class TableShape:
    """Columns of a target that exists, without our metadata columns, and which of those it has."""

    fields: tuple[StructField, ...]
    metadata_columns: frozenset[str]

    @classmethod
    def of(cls, schema: StructType) -> TableShape:
        """Tell the table's own columns from ours."""
        own = tuple(field for field in schema.fields if field.name.lower() not in METADATA_COLUMNS)
        ours = frozenset(METADATA_COLUMNS) & {field.name.lower() for field in schema.fields}
        return cls(own, ours)


def conformed(frame: DataFrame, shape: TableShape) -> DataFrame:
    """The frame in the names, types and order of the table."""
    present = {field.name.lower(): field for field in frame.schema.fields}
    source_file = present.pop(SOURCE_FILE)
    known = {field.name.lower() for field in shape.fields}
    extra = [field.name for name, field in present.items() if name not in known]
    if extra:
        raise ColumnsError(f"the table has no column {', '.join(extra)}", code="EXTRA_COLUMNS")
    columns = []
    for target in shape.fields:
        field = present.get(target.name.lower())
        if field is not None:
            columns.append(_column(frame, field, target))
        elif not target.nullable and not _made_by_the_table(target):
            raise ColumnsError(
                f"column {target.name}, which must not be NULL, is missing", code="MISSING_COLUMNS"
            )
    return frame.select(*columns, frame[source_file.name])


def _made_by_the_table(field: StructField) -> bool:
    return any(key in (field.metadata or {}) for key in _MADE_BY_THE_TABLE)


def _column(frame: DataFrame, field: StructField, target: StructField) -> Column:
    column = _cast(frame[ident(field.name)], field, target)
    if not target.nullable:
        column = _not_null(column, target)
    return column.alias(target.name)


def _not_null(column: Column, target: StructField) -> Column:
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

    message = F.lit(f"column {target.name} must not be NULL")
    return F.when(column.isNull(), F.raise_error(message)).otherwise(column)


def _cast(column: Column, field: StructField, target: StructField) -> Column:
    """The same value in the target's type; a value that would change or be lost is an error."""
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage
    from pyspark.sql.types import StringType

    given, wanted = field.dataType, target.dataType
    if given.simpleString() == wanted.simpleString():
        return column
    if _is_nested(given) or _is_nested(wanted):
        raise ColumnsError(
            f"column {target.name} is {given.simpleString()}, not {wanted.simpleString()}",
            code="TYPE_MISMATCH",
        )
    cast = column.try_cast(wanted)
    lost = cast.isNull()
    if not isinstance(given, StringType) and not isinstance(wanted, StringType):
        lost = ~cast.try_cast(given).eqNullSafe(column)
    shown = F.substring(column.cast("string"), 1, 100)
    message = F.concat(
        F.lit(f"column {target.name}: "), shown, F.lit(f" is no {wanted.simpleString()}")
    )
    return F.when(column.isNotNull() & lost, F.raise_error(message)).otherwise(cast)


def _is_nested(data_type: Any) -> bool:
    return data_type.typeName() in ("struct", "array", "map", "variant", "binary")
