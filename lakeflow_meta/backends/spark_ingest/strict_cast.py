"""A value in the type of its column: the same value, or known not to fit.

What fits where is what SQL stores without a cast (ANSI store assignment:
https://spark.apache.org/docs/latest/sql-ref-ansi-compliance.html#store-assignment), and text that
says a value of the type. A value that would lose digits, or a time of day, does not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from lakeflow_meta.backends.spark_ingest.text_forms import TextForm

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql.types import ArrayType, DataType, DecimalType, MapType, StructType

_MOST_DIGITS = 38
_MICROSECONDS = 26
"""Bytes of ``2024-01-31 12:00:00.123456``: shorter text holds no digit too many."""
_DATE_AND_TIME = 18
"""Bytes that no time without a date has: ``T10:00:00.123456Z`` is shorter."""
_TOO_FINE = r"\.\d{6}\d*[1-9]"
_FIRST_COLON = 9
"""Where the first colon stands at least in text that has a date in front of its time."""
_PARSED, _BROKEN = "v", "_broken"


Bind = Callable[["Column"], "Column"]
"""Makes an expression a column of its own, so that it is computed once however often it is used."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A value in the wanted type. Where it does not fit it means nothing.

    ``misfit`` tells whether it does not (None: it always does); ``surplus`` whether it has nested
    fields that the type has no place for. Neither is ever NULL.
    """

    value: Column
    misfit: Column | None = None
    surplus: Column | None = None


@dataclass(slots=True)
class StrictCast:
    """Casts the columns of one source. ``unknown``: nested fields that had no place, by path.

    ``bind`` is for columns; what is inside of them is left to Spark.
    """

    form: TextForm = field(default_factory=TextForm)
    bind: Bind = lambda column: column
    unknown: dict[str, None] = field(default_factory=dict)

    @property
    def _inside(self) -> StrictCast:
        return StrictCast(self.form, unknown=self.unknown)

    def fit(self, column: Column, given: DataType, wanted: DataType, path: str = "") -> Fit:
        """The column, of type ``given``, as ``wanted``. ``path``: its name, for `unknown`."""
        from pyspark.sql import types as T  # noqa: N812 - Spark's own usage

        match given, wanted:
            case _, T.VarcharType() | T.CharType():
                return self._of_length(column, given, wanted.length)
            case T.NullType(), _:
                return _nothing(wanted)
            case T.StructType(), T.StructType():
                return self._struct(column, given, wanted, path)
            case T.ArrayType(), T.ArrayType():
                return self._array(column, given, wanted, path)
            case T.MapType(), T.MapType():
                return self._map(column, given, wanted, path)
            case T.StringType(), (T.StructType() | T.ArrayType() | T.MapType()):
                return self._parsed(column, wanted, path)
            case T.StringType(), _:
                return self._text(column, wanted)
            case _:
                return self._scalar(column, given, wanted)

    # --- nested

    def _struct(self, column: Column, given: StructType, wanted: StructType, path: str) -> Fit:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        if _same(given, wanted):
            return Fit(column)
        present = {each.name.lower(): each for each in given.fields}
        values, misfits, surplus = [], [], []
        for target in wanted.fields:
            source = present.pop(target.name.lower(), None)
            if source is None:
                fit = _nothing(target.dataType)
            else:
                inner = column.getField(source.name)
                kind, place = source.dataType, f"{path}.{target.name}"
                fit = self._inside.fit(inner, kind, target.dataType, place)
            values.append(fit.value.alias(target.name))
            misfits += [fit.misfit] if fit.misfit is not None else []
            misfits += [fit.value.isNull()] if not target.nullable else []
            surplus += [fit.surplus] if fit.surplus is not None else []
        for extra in present.values():
            self.unknown[f"{path}.{extra.name}"] = None
            surplus.append(column.getField(extra.name).isNotNull())
        there = column.isNotNull()
        value = F.when(there, F.struct(*values))
        return Fit(value, _both(there, misfits), _both(there, surplus))

    def _array(self, column: Column, given: ArrayType, wanted: ArrayType, path: str) -> Fit:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        if _same(given, wanted):
            return Fit(column)

        def fit(element: Column) -> Fit:
            return self._inside.fit(element, given.elementType, wanted.elementType, f"{path}[]")

        return self._of_elements(column, fit, F.transform(column, lambda e: fit(e).value))

    def _map(self, column: Column, given: MapType, wanted: MapType, path: str) -> Fit:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        if _same(given, wanted):
            return Fit(column)

        def fit(element: Column) -> Fit:
            return self._inside.fit(element, given.valueType, wanted.valueType, f"{path}{{}}")

        def key(element: Column) -> Fit:
            return self._inside.fit(element, given.keyType, wanted.keyType)

        keys, values = F.map_keys(column), F.map_values(column)
        cast = F.transform(values, lambda e: fit(e).value)
        of_keys = self._of_elements(keys, key, F.transform(keys, lambda e: key(e).value))
        of_values = self._of_elements(values, fit, cast)
        misfit = _any([m for m in (of_keys.misfit, of_values.misfit) if m is not None])
        made = F.map_from_arrays(of_keys.value, of_values.value)
        value = made if misfit is None else F.when(~misfit, made)
        return Fit(value, misfit, of_values.surplus)

    def _of_elements(self, column: Column, fit: Callable[[Column], Fit], value: Column) -> Fit:
        """What is true of any element is true of the whole."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        sample = fit(column)  # only to see which of the two there are
        misfit = surplus = None
        if sample.misfit is not None:
            misfit = F.coalesce(F.exists(column, lambda e: fit(e).misfit), F.lit(False))
        if sample.surplus is not None:
            surplus = F.coalesce(F.exists(column, lambda e: fit(e).surplus), F.lit(False))
        return Fit(value, misfit, surplus)

    def _parsed(self, column: Column, wanted: DataType, path: str) -> Fit:
        """Text that holds JSON: what is in a CSV's cell, or was read as text to lose nothing."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage
        from pyspark.sql import types as T  # noqa: N812 - Spark's own usage

        inside = TextForm(structured=True, lenient=True).read_as(wanted)
        shape = T.StructType(
            [T.StructField(_PARSED, inside), T.StructField(_BROKEN, T.StringType())]
        )
        text = F.concat(F.lit(f'{{"{_PARSED}":'), column, F.lit("}"))
        read = F.from_json(text, shape, {"columnNameOfCorruptRecord": _BROKEN})
        fit = StrictCast(TextForm(structured=True)).fit(
            read.getField(_PARSED), inside, wanted, path
        )
        said_nothing = read.getField(_PARSED).isNull() & (F.trim(column) != F.lit("null"))
        broken = read.getField(_BROKEN).isNotNull() | said_nothing
        unknown = _unknown_keys(column, wanted)
        misfits = [each for each in (broken, unknown, fit.misfit) if each is not None]
        return Fit(fit.value, F.coalesce(reduce(or_, misfits), F.lit(False)))

    # --- text

    def _of_length(self, column: Column, given: DataType, most: int) -> Fit:
        """VARCHAR and CHAR: Delta counts characters, spaces at the end too."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage
        from pyspark.sql.types import StringType

        fit = self.fit(column, given, StringType())
        too_long = F.coalesce(F.length(fit.value) > most, F.lit(False))
        return Fit(fit.value, too_long if fit.misfit is None else fit.misfit | too_long)

    def _text(self, column: Column, wanted: DataType) -> Fit:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage
        from pyspark.sql import types as T  # noqa: N812 - Spark's own usage

        match wanted:
            case T.StringType():
                return Fit(column)
            case T.BinaryType():
                return Fit(column.cast(wanted))
            case T.VariantType():
                return self._unless(column, F.try_parse_json(column))
            case T.DecimalType():
                return self._decimal(column, wanted)
            case T.DateType():
                return self._date(column)
            case T.TimestampType() | T.TimestampNTZType():
                return self._timestamp(column, wanted)
            case T.BooleanType():
                said = F.lower(F.trim(column)).isin("true", "false")
                return self._unless(column, column.try_cast(wanted), lambda _: ~said)
            case T.NumericType():
                return self._unless(column, column.try_cast(wanted))
            case _:
                return _never(column, wanted)

    def _decimal(self, column: Column, wanted: DecimalType) -> Fit:
        """Spark rounds: so digits behind the point are counted, without zeros at the end."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage
        from pyspark.sql.types import DecimalType

        text = F.replace(column, F.lit(","), F.lit("")) if self.form.csv else column
        scale = wanted.scale
        point = F.instr(text, ".")
        short = F.rtrim(F.trim(text), F.lit("0"))
        long = (point > 0) & (F.octet_length(text) - point > scale)
        finer = long & (F.length(short) - F.instr(short, ".") > scale)
        room = DecimalType(_MOST_DIGITS, _MOST_DIGITS - (wanted.precision - scale))
        with_exponent = F.contains(text, F.lit("e")) | F.contains(text, F.lit("E"))

        def lost(value: Column) -> Column:
            rounded = ~text.try_cast(room).eqNullSafe(value.cast(room))
            return F.when(with_exponent, rounded).otherwise(finer)

        return self._unless(column, text.try_cast(wanted), lost)

    def _date(self, column: Column) -> Fit:
        """A time of day is no part of a date, unless it is midnight."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        if self.form.date is not None:
            moment = F.try_to_timestamp(column, F.lit(self.form.date))
            return self._unless(column, moment.cast("date"))

        def lost(value: Column) -> Column:
            moment = column.try_cast("timestamp_ntz")
            later = F.coalesce(moment != value.cast("timestamp_ntz"), F.lit(False))
            return (F.octet_length(column) > len("2024-01-31")) & later

        return self._unless(column, column.try_cast("date"), lost)

    def _timestamp(self, column: Column, wanted: DataType) -> Fit:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage
        from pyspark.sql.types import TimestampType

        zoned = isinstance(wanted, TimestampType)
        pattern = self.form.timestamp if zoned else self.form.timestamp_ntz
        if pattern is not None:
            return self._unless(column, F.try_to_timestamp(column, F.lit(pattern)).cast(wanted))
        value = column.try_cast(wanted)
        if zoned and self.form.structured:  # a number in JSON: seconds since 1970, as Spark has it
            value = F.coalesce(value, F.timestamp_seconds(column.try_cast("bigint")))
        size = F.octet_length(column)
        finer = (size > _MICROSECONDS) & F.rlike(column, F.lit(_TOO_FINE))
        # a time alone would be one of today
        alone = (size < _DATE_AND_TIME) & F.instr(column, ":").between(1, _FIRST_COLON)
        return self._unless(column, value, lambda _: finer | alone)

    def _scalar(self, column: Column, given: DataType, wanted: DataType) -> Fit:
        """A value that is no text. Within a family it fits if it comes back the same."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage
        from pyspark.sql import types as T  # noqa: N812 - Spark's own usage

        if _same(given, wanted):
            return Fit(column)
        match given, wanted:
            case ((T.StructType() | T.ArrayType() | T.MapType() | T.VariantType()), _):
                return _never(column, wanted)
            case T.BinaryType(), T.StringType():
                text = column.cast(wanted)
                return self._unless(column, text, lambda value: ~F.is_valid_utf8(value))
            case _, T.StringType():
                return Fit(column.cast(wanted))
            case (T.NumericType(), T.NumericType()) | (T.DatetimeType(), T.DatetimeType()):
                value = column.try_cast(wanted)
                return self._unless(
                    column, value, lambda value: ~value.try_cast(given).eqNullSafe(column)
                )
            case _:
                return _never(column, wanted)

    def _unless(
        self, column: Column, value: Column, lost: Callable[[Column], Column] | None = None
    ) -> Fit:
        """The value; a misfit where there is none though there was one, or ``lost`` says so."""
        bound = self.bind(value)
        misfit = bound.isNull() if lost is None else bound.isNull() | lost(bound)
        return Fit(bound, column.isNotNull() & misfit)


def _nothing(wanted: DataType) -> Fit:
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

    return Fit(F.lit(None).cast(stored(wanted)))


def _never(column: Column, wanted: DataType) -> Fit:
    return Fit(_nothing(wanted).value, column.isNotNull())


def _any(tests: list[Column]) -> Column | None:
    return reduce(or_, tests) if tests else None


def _both(there: Column, tests: list[Column]) -> Column | None:
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

    found = _any(tests)
    return None if found is None else there & F.coalesce(found, F.lit(False))


def _unknown_keys(column: Column, wanted: DataType) -> Column | None:
    """Whether text holds an object with keys that the struct has no field for."""
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage
    from pyspark.sql.types import StructType

    if not isinstance(wanted, StructType):
        return None
    known = F.array(*(F.lit(each.name) for each in wanted.fields))
    return F.size(F.array_except(F.json_object_keys(column), known)) > 0


def _same(given: DataType, wanted: DataType) -> bool:
    """Whether nothing is to be done: names in the same letters, nothing forbidden, no lengths."""
    return given.simpleString() == wanted.simpleString() and not _has_not_null(wanted)


def _has_not_null(wanted: DataType) -> bool:
    from pyspark.sql import types as T  # noqa: N812 - Spark's own usage

    match wanted:
        case T.StructType():
            return any(not f.nullable or _has_not_null(f.dataType) for f in wanted.fields)
        case T.ArrayType():
            return not wanted.containsNull or _has_not_null(wanted.elementType)
        case T.MapType():
            return not wanted.valueContainsNull or _has_not_null(wanted.valueType)
    return False


def stored(wanted: DataType) -> DataType:
    """The type that values have: VARCHAR and CHAR are strings, and any nested value may be NULL."""
    from pyspark.sql import types as T  # noqa: N812 - Spark's own usage

    match wanted:
        case T.VarcharType() | T.CharType():
            return T.StringType()
        case T.StructType():
            return T.StructType([T.StructField(f.name, stored(f.dataType)) for f in wanted.fields])
        case T.ArrayType():
            return T.ArrayType(stored(wanted.elementType))
        case T.MapType():
            return T.MapType(stored(wanted.keyType), stored(wanted.valueType))
    return wanted
