"""CAST, as ANSI mode does it.

https://spark.apache.org/docs/latest/sql-ref-ansi-compliance.html#cast
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date
from typing import Any

from lakeflow_meta.sql_functions.faults import SqlValueError
from lakeflow_meta.sql_functions.numbers import double_text, in_range
from lakeflow_meta.sql_functions.times import DAY_MICROSECONDS, EPOCH_DAY, day_of, moment_of


def cast(value: Any, source: str, target: str) -> Any:
    """A value as another type. Raises SqlValueError."""
    return _CASTS[source, _CAST_TARGETS.get(target, target)](value, target)


def try_cast(value: Any, source: str, target: str) -> Any:
    """`cast`, or NULL."""
    try:
        return cast(value, source, target)
    except SqlValueError:
        return None


_CAST_TARGETS = {"INT": "INTEGER", "BIGINT": "INTEGER"}
_TRUE = frozenset({"t", "true", "y", "yes", "1"})
_FALSE = frozenset({"f", "false", "n", "no", "0"})
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DATE = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:[ T].*)?)?)?", re.ASCII | re.DOTALL)


def _wrong(text: str, target: str) -> SqlValueError:
    return SqlValueError(f"{text[:60]!r} cannot be CAST AS {target}")


def _ranged(number: int, target: str) -> int:
    return in_range(number, target, 31 if target == "INT" else 63)


def _text_to_integer(text: str, target: str) -> int:
    if not _WHOLE.fullmatch(text.strip()) or len(text) > 400:
        raise _wrong(text, target)
    return _ranged(int(text), target)


def _text_to_double(text: str, target: str) -> float:
    if not _DECIMAL.fullmatch(text.strip()):
        raise _wrong(text, target)
    return float(text)


def _text_to_boolean(text: str, target: str) -> int:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise _wrong(text, target)
    return int(word in _TRUE)


def _text_to_date(text: str, target: str) -> int:
    found = _DATE.fullmatch(text.strip())
    if found is None:
        raise _wrong(text, target)
    try:
        year, month, day = (int(part or 1) for part in found.groups())
        return date(year, month, day).toordinal() - EPOCH_DAY
    except ValueError as error:
        raise _wrong(text, target) from error


def _double_to_integer(number: float, target: str) -> int:
    if not math.isfinite(number):
        raise SqlValueError(f"{double_text(number)} cannot be CAST AS {target}")
    return _ranged(int(number), target)


def _time_text(micros: int) -> str:
    moment = moment_of(micros)
    text = moment.strftime("%Y-%m-%d %H:%M:%S").rjust(19, "0")
    return f"{text}.{moment.microsecond:06}".rstrip("0") if moment.microsecond else text


_CASTS: dict[tuple[str, str], Callable[[Any, str], Any]] = {
    ("text", "INTEGER"): _text_to_integer,
    ("text", "DOUBLE"): _text_to_double,
    ("text", "BOOLEAN"): _text_to_boolean,
    ("text", "DATE"): _text_to_date,
    ("integer", "STRING"): lambda number, _: str(number),
    ("integer", "INTEGER"): _ranged,
    ("integer", "DOUBLE"): lambda number, _: float(number),
    ("integer", "BOOLEAN"): lambda number, _: int(number != 0),
    ("double", "STRING"): lambda number, _: double_text(float(number)),
    ("double", "INTEGER"): _double_to_integer,
    ("double", "DOUBLE"): lambda number, _: float(number),
    ("boolean", "STRING"): lambda flag, _: "true" if flag else "false",
    ("boolean", "INTEGER"): lambda flag, _: flag,
    ("boolean", "DOUBLE"): lambda flag, _: float(flag),
    ("timestamp", "STRING"): lambda micros, _: _time_text(micros),
    ("timestamp", "DATE"): lambda micros, _: micros // DAY_MICROSECONDS,
    ("date", "STRING"): lambda days, _: day_of(days).isoformat(),
    ("date", "TIMESTAMP"): lambda days, _: days * DAY_MICROSECONDS,
}
