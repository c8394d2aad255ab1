"""Columns of values as columns of text: how numbers, times and documents are written. Pure.

Whole columns at a time, by Arrow; cell by cell only what Arrow has no text for (lists, structs,
bytes), and numbers of a size that nobody meets.

A float is written with the fewest digits that read back as the same number. A number that is
rounded to ``decimal_places`` is rounded half away from zero. A timestamp without a zone is written
as it is; one with a zone in ``time_zone``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from lakeflow_meta.extract.config import FileLayout
from lakeflow_meta.extract.timestamps import TimestampPattern
from lakeflow_meta.extract.words import RefusedError

_DIGITS = 38
"""Of Arrow's 128-bit decimals."""
_LONGEST = 76


@dataclass(frozen=True, slots=True)
class ValueStyle:
    """How values are written. ``of_time`` stands between date and time where no pattern says."""

    date: TimestampPattern | None = None
    timestamp: TimestampPattern | None = None
    time_zone: str = "UTC"
    decimal_separator: str = "."
    decimal_places: int | None = None
    of_time: str = " "

    @classmethod
    def of(cls, file: FileLayout, *, of_time: str = " ") -> ValueStyle:
        """As a layout says."""
        return cls(
            date=TimestampPattern.parse(file.date_format) if file.date_format else None,
            timestamp=(
                TimestampPattern.parse(file.timestamp_format) if file.timestamp_format else None
            ),
            time_zone=file.time_zone or "UTC",
            decimal_separator=file.decimal_separator or ".",
            decimal_places=file.decimal_places,
            of_time=of_time,
        )


def check_columns(schema: pa.Schema, style: ValueStyle) -> None:
    """Raises RefusedError for a column that cannot be written as text."""
    for field in schema:
        if not _has_text(field.type):
            hint = "cast it to text in a query, or write parquet"
            raise RefusedError(f"column {field.name!r} of type {field.type} has no text", hint)
        zoneless = pa.types.is_timestamp(field.type) and field.type.tz is None
        if zoneless and style.timestamp is not None and style.timestamp.has_offset:
            message = f"column {field.name!r} has no time zone, and the pattern writes an offset"
            raise RefusedError(message, "leave XXX out of timestamp_format")


def _has_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _has_text(kind.value_type)
    return not (pa.types.is_duration(kind) or pa.types.is_interval(kind) or pa.types.is_union(kind))


def texts(column: pa.Array, style: ValueStyle) -> pa.Array:
    """The column as text; NULL stays NULL. Raises RefusedError for a time outside years 0 to 9999.

    A list, map or struct is its JSON document.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return texts(column.cast(kind.value_type), style)
    for matches, write in _WRITERS:
        if matches(kind):
            return write(column, style)
    return column.cast(pa.string())


def is_text(kind: pa.DataType) -> bool:
    """Whether values of the type are text already."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def holds(column: pa.Array, letters: Iterable[bytes]) -> bool:
    """Whether any of the letters may be in a column of text: one look at its bytes, not its cells.

    A slice may be told of letters of its neighbours.
    """
    data = column.buffers()[2]
    if data is None:
        return False
    content = data.to_pybytes()
    return any(letter in content for letter in letters)


# --------------------------------------------------------------------------- numbers


def _floats(column: pa.Array, style: ValueStyle) -> pa.Array:
    finite = pc.is_finite(column)
    if pc.all(finite, min_count=0).as_py():
        return _separated(_finite(column, style), style)
    kept = pc.if_else(finite, column, pa.scalar(None, column.type))
    written = _separated(_finite(kept, style), style)
    words = pc.case_when(
        pc.make_struct(pc.is_nan(column), pc.greater(column, 0), pc.less(column, 0)),
        "NaN",
        "Infinity",
        "-Infinity",
    )
    return pc.if_else(finite, written, words)


def _finite(column: pa.Array, style: ValueStyle) -> pa.Array:
    places = style.decimal_places
    if places is None:
        return column.cast(pa.string())
    largest = pc.max(pc.abs(column)).as_py()
    if largest is not None and largest >= 10.0 ** (15 - min(places, 14)):
        return _rounded_one_by_one(column, places)
    rounded = pc.round(
        column.cast(pa.float64()), ndigits=places, round_mode="half_towards_infinity"
    )
    return _digits(rounded.cast(pa.decimal128(_DIGITS, places)))


def _rounded_one_by_one(column: pa.Array, places: int) -> pa.Array:
    unit = Decimal(1).scaleb(-places)
    found = [
        None if value is None else f"{_rounded(Decimal(repr(value)), unit):f}"
        for value in column.to_pylist()
    ]
    return pa.array(found, pa.string())


def _rounded(value: Decimal, unit: Decimal) -> Decimal:
    digits = value.adjusted() - unit.adjusted() + 2
    return value.quantize(unit, ROUND_HALF_UP, Context(prec=max(digits, 28)))


def _decimals(column: pa.Array, style: ValueStyle) -> pa.Array:
    places = style.decimal_places
    if places is not None:
        wide = column.cast(pa.decimal256(_LONGEST, column.type.scale))
        if places < column.type.scale:
            wide = pc.round(wide, ndigits=places, round_mode="half_towards_infinity")
        column = wide.cast(pa.decimal256(_LONGEST, places))
    return _separated(_digits(column), style)


def _digits(column: pa.Array) -> pa.Array:
    """Decimals without exponents. Arrow writes small ones as Java does: ``1E-7``."""
    written = column.cast(pa.string())
    if not holds(written, (b"E",)):
        return written
    scale = column.type.scale
    whole = _unscaled(column)
    negative = pc.starts_with(whole, "-")
    digits = pc.utf8_lpad(pc.utf8_ltrim(whole, characters="-"), width=scale + 1, padding="0")
    sign = pc.if_else(negative, "-", "")
    before = pc.utf8_slice_codeunits(digits, 0, -scale)
    after = pc.utf8_slice_codeunits(digits, -scale, None)
    return pc.binary_join_element_wise(pc.binary_join_element_wise(sign, before, ""), after, ".")


def _unscaled(column: pa.Array) -> pa.Array:
    """The digits of decimals without their point."""
    kind = column.type
    make = pa.decimal256 if pa.types.is_decimal256(kind) else pa.decimal128
    return column.view(make(kind.precision, 0)).cast(pa.string())


def _separated(written: pa.Array, style: ValueStyle) -> pa.Array:
    if style.decimal_separator == ".":
        return written
    return pc.replace_substring(written, ".", style.decimal_separator)


# --------------------------------------------------------------------------- times


def _dates(column: pa.Array, style: ValueStyle) -> pa.Array:
    days = column.cast(pa.date32())
    written = days.cast(pa.string())
    _check_length(written, len("yyyy-MM-dd"), column)
    if style.date is None:
        return written
    return _patterned(written, style.date, days.cast(pa.timestamp("us")), None)


def _timestamps(column: pa.Array, style: ValueStyle) -> pa.Array:
    zoned = column.type.tz is not None
    exact = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    local = exact
    if zoned:
        local = _local(exact.cast(pa.timestamp("us", "UTC")), style.time_zone)
    written = local.cast(pa.string())
    _check_length(written, len("yyyy-MM-dd HH:mm:ss.SSSSSS"), column)
    if style.timestamp is not None:
        instant = exact.cast(pa.timestamp("us", "UTC")) if zoned else None
        return _patterned(written, style.timestamp, local, instant)
    written = _without_zeros(written)
    if style.of_time != " ":
        written = pc.replace_substring(written, " ", style.of_time)
    return pc.binary_join_element_wise(written, "Z", "") if zoned else written


_LAST_TABLED = datetime(2037, 1, 1, tzinfo=UTC)
"""Arrow knows summer times of the tables of zones, which end in 2037, and not their rules."""


def _local(instants: pa.Array, zone: str) -> pa.Array:
    """Wall clocks of a zone."""
    local = pc.local_timestamp(instants.cast(pa.timestamp("us", zone)))
    far = pc.greater_equal(instants, pa.scalar(_LAST_TABLED, instants.type))
    if zone == "UTC" or not pc.any(far).as_py():
        return local
    clock = ZoneInfo(zone)
    found = [
        moment.astimezone(clock).replace(tzinfo=None) for moment in instants.filter(far).to_pylist()
    ]
    return pc.replace_with_mask(local, pc.fill_null(far, False), pa.array(found, local.type))


def _times(column: pa.Array, _style: ValueStyle) -> pa.Array:
    return _without_zeros(column.cast(pa.time64("us"), safe=False).cast(pa.string()))


def _without_zeros(written: pa.Array) -> pa.Array:
    """A fraction of seconds without its last zeros; none where all are."""
    return pc.ascii_rtrim(pc.ascii_rtrim(written, characters="0"), characters=".")


_PLACES = {"yyyy": (0, 4), "yy": (2, 4), "MM": (5, 7), "dd": (8, 10)}
_PLACES |= {"HH": (11, 13), "mm": (14, 16), "ss": (17, 19)}
_PLACES |= {"S" * digits: (20, 20 + digits) for digits in range(1, 7)}
"""Where the groups of letters are found in ``yyyy-MM-dd HH:mm:ss.SSSSSS``."""


def _patterned(
    written: pa.Array, pattern: TimestampPattern, local: pa.Array, instant: pa.Array | None
) -> pa.Array:
    parts: list[Any] = []
    for letters, text in pattern.parts:
        if not letters:
            parts.append(pa.scalar(text))
        elif letters in _PLACES:
            parts.append(pc.utf8_slice_codeunits(written, *_PLACES[letters]))
        elif letters == "DDD":
            days = pc.day_of_year(local).cast(pa.string())
            parts.append(pc.utf8_lpad(days, width=3, padding="0"))
        else:
            parts.append(_offsets(local, instant, ":" if letters == "XXX" else ""))
    joined = pc.binary_join_element_wise(*parts, "", null_handling="emit_null")
    return joined if isinstance(joined, pa.Array) else pa.array([joined.as_py()] * len(written))


def _offsets(local: pa.Array, instant: pa.Array | None, colon: str) -> pa.Array:
    """``Z`` or ``+01:00``: there are few, so each is written once."""
    if instant is None:
        raise RefusedError("a time without a zone has no offset", "leave XXX out of the pattern")
    seconds = pc.divide(
        pc.subtract(local.cast(pa.int64()), instant.cast(pa.int64())), pa.scalar(1_000_000)
    )
    known = pc.dictionary_encode(seconds)
    names = [_offset(value, colon) for value in known.dictionary.to_pylist()]
    return pa.array(names, pa.string()).take(known.indices)


def _offset(seconds: int, colon: str) -> str:
    if seconds == 0:
        return "Z"
    hours, minutes = divmod(abs(seconds) // 60, 60)
    return f"{'-' if seconds < 0 else '+'}{hours:02}{colon}{minutes:02}"


def _check_length(written: pa.Array, length: int, column: pa.Array) -> None:
    extremes = pc.min_max(pc.binary_length(written)).as_py()
    if extremes["min"] not in (None, length) or extremes["max"] not in (None, length):
        message = f"a {column.type} lies outside the years 0 to 9999"
        raise RefusedError(message, "cast it to text in a query, or write parquet")


# --------------------------------------------------------------------------- cell by cell


def _documents(column: pa.Array, _style: ValueStyle) -> pa.Array:
    found = [None if value is None else document(value) for value in column.to_pylist()]
    return pa.array(found, pa.string())


def document(value: Any) -> str:
    """A list, map or struct as JSON; pairs of a map are an object, bytes are base64."""
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() if value and all(isinstance(item, tuple) for item in value):
            return {str(key): _plain(item) for key, item in value}
        case list():
            return [_plain(item) for item in value]
        case bytes():
            return base64.b64encode(value).decode()
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case float() if value != value or value in (float("inf"), float("-inf")):
            return None
        case _:
            return value


def _bytes(column: pa.Array, _style: ValueStyle) -> pa.Array:
    found = [
        None if value is None else base64.b64encode(value).decode() for value in column.to_pylist()
    ]
    return pa.array(found, pa.string())


def _nested(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind))


def _binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


_WRITERS: tuple[
    tuple[Callable[[pa.DataType], bool], Callable[[pa.Array, ValueStyle], pa.Array]], ...
] = (
    (pa.types.is_floating, _floats),
    (pa.types.is_decimal, _decimals),
    (pa.types.is_date, _dates),
    (pa.types.is_timestamp, _timestamps),
    (pa.types.is_time, _times),
    (_binary, _bytes),
    (_nested, _documents),
)
