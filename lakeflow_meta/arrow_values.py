"""Values of Python into Arrow and out of it, without pandas. Pure.

Where pandas is installed, pyarrow imports it at the first conversion of a value of Python, to see
whether that is one of pandas, and at the first time that becomes a value of Python: 0.2 to 0.3 s
and 55 MB for commands that need neither. So what control tables hold is laid out here as Arrow has
it, which asks nobody; anything else, and what does not fit, is left to pyarrow.

https://arrow.apache.org/docs/format/Columnar.html
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP = timedelta(microseconds=1)
_WORTH_PANDAS = 20_000
"""From so many values on, pyarrow's own loop saves more than the import of pandas costs."""

_Values = Sequence[Any]
_Buffers = list[pa.Buffer]


def array_of(values: Iterable[Any], kind: pa.DataType) -> pa.Array:
    """Values as an array of a type, as ``pa.array``. Raises ArrowException as that does."""
    given = list(values)
    if "pandas" in sys.modules or len(given) > _WORTH_PANDAS:
        return pa.array(given, kind)
    known, stored, layout = _layout_of(kind)
    if known is None or not all(value is None or type(value) is known for value in given):
        return pa.array(given, kind)
    try:
        buffers = layout(given)
    except (OverflowError, UnicodeEncodeError):
        return pa.array(given, kind)
    nulls = sum(value is None for value in given)
    found = pa.Array.from_buffers(stored, len(given), [_validity(given), *buffers], nulls)
    return found if stored == kind else found.cast(kind)


def scalar_of(value: Any, kind: pa.DataType) -> pa.Scalar:
    """One value, as ``pa.scalar``."""
    return array_of([value], kind)[0]


def table_of(stream: Any) -> pa.Table:
    """A table of whatever gives its batches by the Arrow C stream interface."""
    return pa.RecordBatchReader.from_stream(stream).read_all()


def values_of(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Values of a column; times with a zone are aware, in that zone."""
    kind = column.type
    if not pa.types.is_timestamp(kind) or kind.unit != "us":
        values: list[Any] = column.to_pylist()
        return values
    steps = column.cast(pa.int64()).to_pylist()
    if kind.tz is None:
        naive = _EPOCH.replace(tzinfo=None)
        return [None if step is None else naive + timedelta(microseconds=step) for step in steps]
    times = [None if step is None else _EPOCH + timedelta(microseconds=step) for step in steps]
    if kind.tz == "UTC":
        return times
    zone = ZoneInfo(kind.tz)
    return [None if time is None else time.astimezone(zone) for time in times]


def rows_of(table: pa.Table | pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows of a table, each as a mapping."""
    names: Sequence[str] = table.schema.names
    if not names:
        return [{} for _ in range(table.num_rows)]
    columns = [values_of(column) for column in table.columns]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


# --------------------------------------------------------------------------- layouts


def _layout_of(kind: pa.DataType) -> tuple[type | None, pa.DataType, Callable[[_Values], _Buffers]]:
    """The type of Python that is laid out, the type that it is stored as, and how."""
    if kind == pa.string():
        return str, kind, _texts
    if kind in (pa.int64(), pa.int32()):
        return int, pa.int64(), _whole_numbers
    if kind == pa.float64():
        return float, kind, _numbers
    if kind == pa.bool_():
        return bool, kind, _switches
    if pa.types.is_timestamp(kind) and kind.unit == "us":
        return datetime, kind, _times
    return None, kind, _texts


def _texts(values: _Values) -> _Buffers:
    parts = [b"" if value is None else value.encode() for value in values]
    ends = array("i", [0])
    for part in parts:
        ends.append(ends[-1] + len(part))
    return [pa.py_buffer(ends), pa.py_buffer(b"".join(parts))]


def _whole_numbers(values: _Values) -> _Buffers:
    return [pa.py_buffer(array("q", [value or 0 for value in values]))]


def _numbers(values: _Values) -> _Buffers:
    return [pa.py_buffer(array("d", [value or 0.0 for value in values]))]


def _switches(values: _Values) -> _Buffers:
    return [_bits(values)]


def _times(values: _Values) -> _Buffers:
    """Microseconds since 1970; a time without a zone is one in UTC, as pyarrow has it."""
    aware = (v if v is None or v.tzinfo is not None else v.replace(tzinfo=UTC) for v in values)
    return [pa.py_buffer(array("q", [0 if v is None else (v - _EPOCH) // _STEP for v in aware]))]


def _validity(values: _Values) -> pa.Buffer | None:
    if None not in values:
        return None
    return _bits([value is not None for value in values])


def _bits(values: _Values) -> pa.Buffer:
    """One bit a value, the first one lowest."""
    packed = bytearray((len(values) + 7) // 8)
    for position, value in enumerate(values):
        if value:
            packed[position >> 3] |= 1 << (position & 7)
    return pa.py_buffer(bytes(packed))
