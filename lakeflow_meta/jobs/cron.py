"""The syntax of Quartz cron expressions, as ``schedule.quartz_cron_expression`` takes them. Pure.

http://www.quartz-scheduler.org/documentation/quartz-2.3.0/tutorials/crontrigger.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MONTHS = frozenset({"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT"})
_MONTHS |= {"NOV", "DEC"}
_DAYS = frozenset({"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"})
_NO_WORDS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    words: frozenset[str]
    special: str = ""
    """What else one element may be, as a pattern."""


_FIELDS = (
    _Field("seconds", 0, 59, _NO_WORDS),
    _Field("minutes", 0, 59, _NO_WORDS),
    _Field("hours", 0, 23, _NO_WORDS),
    _Field("day of month", 1, 31, _NO_WORDS, r"L|LW|L-([1-9]|[12]\d|30)|([1-9]|[12]\d|3[01])W"),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 1, 7, _DAYS, r"L|([1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)(L|#[1-5])"),
    _Field("year", 1970, 2099, _NO_WORDS),
)
_DAY_OF_MONTH, _DAY_OF_WEEK = 3, 5


def cron_problem(expression: str) -> str | None:
    """What is wrong with the expression, None when it is well formed."""
    parts = expression.upper().split()
    if len(parts) not in (6, 7):
        return (
            f"a Quartz expression has 6 or 7 fields, this one has {len(parts)};"
            " the first one is seconds, e.g. 0 30 2 * * ?"
        )
    days = (parts[_DAY_OF_MONTH], parts[_DAY_OF_WEEK])
    if days.count("?") != 1:
        return "exactly one of day of month and day of week is ?, e.g. 0 30 2 * * ?"
    for field, part in zip(_FIELDS, parts, strict=False):
        if not (part == "?" and field.name.startswith("day")) and not _is_field(field, part):
            return f"{part!r} is no value for {field.name} ({field.low} to {field.high})"
    return None


def _is_field(field: _Field, text: str) -> bool:
    return all(_is_element(field, element) for element in text.split(","))


def _is_element(field: _Field, text: str) -> bool:
    if field.special and re.fullmatch(field.special, text):
        return True
    span, slash, step = text.partition("/")
    if slash and not (step.isdecimal() and int(step) > 0):
        return False
    first, dash, last = span.partition("-")
    if dash:
        return _is_value(field, first) and _is_value(field, last)
    return span == "*" or (bool(slash) and not span) or _is_value(field, span)


def _is_value(field: _Field, text: str) -> bool:
    if text in field.words:
        return True
    return text.isdecimal() and field.low <= int(text) <= field.high
