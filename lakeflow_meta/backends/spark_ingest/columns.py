"""Rows in the columns of their table: names, types and order; cast strictly.

Nothing turns into NULL silently: values that a cast would change or lose are errors, and so are
columns that the table does not have; or else (``rescue``) both are kept in ``_rescued_data``.
Columns that the rows do not have are left to the table: NULL, or its default.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from lakeflow_meta.backends.spark_ingest.misfits import raised
from lakeflow_meta.backends.spark_ingest.reading import reader_options
from lakeflow_meta.backends.spark_ingest.strict_cast import Fit, StrictCast
from lakeflow_meta.backends.spark_ingest.text_forms import TextForm
from lakeflow_meta.errors import BackendError
from lakeflow_meta.ingest.batch import METADATA_COLUMNS, SOURCE_FILE, Batch
from lakeflow_meta.ingest.source import SchemaEvolution
from lakeflow_meta.sql import ident

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType, StructField, StructType

RESCUED = "_rescued_data"
"""The column that keeps, as JSON, what does not fit; as Auto Loader has it:
https://docs.databricks.com/ingestion/cloud-object-storage/auto-loader/schema."""

_FILE_PATH = "_file_path"
_DEFAULT = "CURRENT_DEFAULT"
# Spark 4.1: CharVarcharUtils.CHAR_VARCHAR_TYPE_STRING_METADATA_KEY
_WITH_LENGTHS = "__CHAR_VARCHAR_TYPE_STRING"
_LENGTH = re.compile(r"(varchar|char)\((\d+)\)")
_MOST_SHOWN = 100
_BOUND = "_lakeflow_value_"


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


@dataclass(frozen=True, slots=True)
class Rules:
    """What becomes of what does not fit."""

    evolution: SchemaEvolution = SchemaEvolution.FAIL
    form: TextForm = field(default_factory=TextForm)

    @classmethod
    def of(cls, batch: Batch) -> Rules:
        """The rules of a batch's source. Raises BackendError for options that contradict them."""
        options = {name.lower(): value for name, value in reader_options(batch).items()}
        return cls(
            batch.source.source_config.schema_evolution,
            TextForm.of(batch.source, options),
        )

    @property
    def rescues(self) -> bool:
        """Whether what does not fit is kept."""
        return self.evolution is SchemaEvolution.RESCUE


def conformed(frame: DataFrame, shape: TableShape, rules: Rules | None = None) -> DataFrame:
    """The frame in the names, types and order of the table; and ``_source_file``.

    Raises ColumnsError for what is wrong with all rows.
    """
    return _Conforming(frame, shape, rules or Rules()).rows()


def default_of(target: StructField) -> str | None:
    """The SQL of the value that the table gives where a row has none."""
    found = (target.metadata or {}).get(_DEFAULT)
    return None if found is None else str(found)


class _Conforming:
    """One frame on its way into one table."""

    def __init__(self, frame: DataFrame, shape: TableShape, rules: Rules) -> None:
        self._frame = frame
        self._shape = shape
        self._rules = rules
        self._present = {field.name.lower(): field for field in frame.schema.fields}
        self._path = frame[ident(self._present.pop(SOURCE_FILE).name)]
        self._rescued: list[Column] = []
        self._bound: list[Column] = []

    def rows(self) -> DataFrame:
        """The columns of the table; what they are made of is computed once, in a step before."""
        incoming = self._present.pop(RESCUED, None) if self._rules.rescues else None
        self._unknown_columns()
        columns = [made for target in self._shape.fields for made in self._made(target)]
        if self._rules.rescues:
            columns.append(self._rescued_data(incoming).alias(RESCUED))
        frame = self._frame.select("*", *self._bound) if self._bound else self._frame
        return frame.select(*columns, self._path.alias(SOURCE_FILE))

    def _bind(self, column: Column) -> Column:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        name = f"{_BOUND}{len(self._bound)}"
        self._bound.append(column.alias(name))
        return F.col(name)

    def _unknown_columns(self) -> None:
        known = {target.name.lower() for target in self._shape.fields}
        extra = [given for name, given in self._present.items() if name not in known]
        if self._rules.rescues:
            for given in extra:
                column = self._frame[ident(given.name)]
                self._rescue(given.name, column, column.isNotNull())
        elif extra:
            names = ", ".join(given.name for given in extra)
            raise ColumnsError(f"the table has no column {names}", code="EXTRA_COLUMNS")

    def _made(self, target: StructField) -> Iterator[Column]:
        """The column, unless it is the table's to make. Raises ColumnsError."""
        if self._rules.rescues and target.name.lower() == RESCUED:
            return
        given = self._present.get(target.name.lower())
        if given is not None:
            yield self._column(given, target).alias(target.name)
        elif not target.nullable and default_of(target) is None:
            raise ColumnsError(
                f"column {target.name}, which must not be NULL, is missing", code="MISSING_COLUMNS"
            )

    def _column(self, given: StructField, target: StructField) -> Column:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        column, wanted = self._frame[ident(given.name)], full_type(target)
        cast = StrictCast(self._rules.form, self._bind)
        fit = cast.fit(column, given.dataType, wanted, target.name)
        if self._rules.rescues and target.nullable:
            self._rescue_misfits(given.name, column, fit)
            return fit.value if fit.misfit is None else F.when(~fit.misfit, fit.value)
        if cast.unknown:
            names = ", ".join(cast.unknown)
            raise ColumnsError(f"the table has no field {names}", code="EXTRA_COLUMNS")
        value = self._or_raise(fit, _misfit_message(column, given.dataType, target.name, wanted))
        return value if target.nullable else self._not_null(value, target)

    def _or_raise(self, fit: Fit, message: Column) -> Column:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        if fit.misfit is None:
            return fit.value
        return F.when(fit.misfit, raised(self._path, message)).otherwise(fit.value)

    def _not_null(self, column: Column, target: StructField) -> Column:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        message = F.lit(f"column {target.name} must not be NULL")
        return F.when(column.isNull(), raised(self._path, message)).otherwise(column)

    # --- what is kept of what does not fit

    def _rescue_misfits(self, name: str, column: Column, fit: Fit) -> None:
        tests = [test for test in (fit.misfit, fit.surplus) if test is not None]
        if tests:
            self._rescue(name, column, reduce(or_, tests))

    def _rescue(self, name: str, column: Column, where: Column) -> None:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        pair = F.concat(F.lit(json.dumps(name, ensure_ascii=False) + ":"), _as_json(column))
        self._rescued.append(F.when(where, pair))

    def _rescued_data(self, incoming: StructField | None) -> Column:
        """One object of what does not fit, joined to one that the rows had already."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        before = F.lit(None).cast("string")
        if incoming is not None:
            before = self._frame[ident(incoming.name)].cast("string")
        if not self._rescued:
            return before
        pairs = F.concat_ws(",", *self._rescued)
        path = F.concat(F.lit(f'"{_FILE_PATH}":'), _as_json(self._path))
        rest = F.coalesce(F.substr(before, F.lit(2)), F.concat(path, F.lit("}")))
        return F.when(pairs != "", F.concat(F.lit("{"), pairs, F.lit(","), rest)).otherwise(before)


def _as_json(column: Column) -> Column:
    """A value as JSON says it: text in quotes, a struct as an object."""
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

    made = F.to_json(F.struct(column.alias("v")))
    before = len('{"v":')
    return F.substr(made, F.lit(before + 1), F.length(made) - before - 1)


def _misfit_message(column: Column, given: DataType, name: str, wanted: DataType) -> Column:
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

    nested = given.typeName() in ("struct", "array", "map", "variant")
    shown = F.substring(_as_json(column) if nested else column.cast("string"), 1, _MOST_SHOWN)
    return F.concat(F.lit(f"column {name}: "), shown, F.lit(f" is no {wanted.simpleString()}"))


def full_type(target: StructField) -> DataType:
    """The type of a column with the lengths of VARCHAR and CHAR, which Spark keeps apart."""
    from pyspark.sql import types as T  # noqa: N812 - Spark's own usage

    text = (target.metadata or {}).get(_WITH_LENGTHS)
    if text is None:
        return target.dataType
    found = _LENGTH.fullmatch(text)
    if found is None:
        return T.StructType.fromDDL(f"c {text}").fields[0].dataType
    kind = T.VarcharType if found[1] == "varchar" else T.CharType
    return kind(int(found[2]))
