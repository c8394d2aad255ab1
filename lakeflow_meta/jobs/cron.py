"""When a schedule starts a job: Quartz cron expressions, and ids of time zones. Pure.

http://www.quartz-scheduler.org/documentation/quartz-2.3.0/tutorials/crontrigger.html
https://docs.oracle.com/javase/8/docs/api/java/util/TimeZone.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from lakeflow_meta.findings import did_you_mean

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
    longest_step: int | None = None
    """Quartz refuses ``/61`` for minutes and so on."""


_DAY = r"([1-9]|[12]\d|3[01])"
_FIELDS = (
    _Field("seconds", 0, 59, _NO_WORDS, longest_step=59),
    _Field("minutes", 0, 59, _NO_WORDS, longest_step=59),
    _Field("hours", 0, 23, _NO_WORDS, longest_step=23),
    _Field("day of month", 1, 31, _NO_WORDS, rf"LW?|L-([1-9]|[12]\d|30)W?|{_DAY}W", 31),
    _Field("month", 1, 12, _MONTHS, longest_step=12),
    _Field("day of week", 1, 7, _DAYS, r"L|([1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)(L|#[1-5])", 7),
    _Field("year", 1970, 2099, _NO_WORDS),
)
_DAY_OF_MONTH, _DAY_OF_WEEK = 3, 5
_ALONE = re.compile(r".*[LW]|L-.*|.*#.*")
"""``L``, ``W`` and ``#`` name one day; Quartz takes no list with one of them in it."""


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
        if _ends_alone(field, part):
            return f"{part!r} for {field.name}: a day with L, W or # stands alone, in no list"
        if not (part == "?" and field.name.startswith("day")) and not _is_field(field, part):
            return f"{part!r} is no value for {field.name} ({field.low} to {field.high})"
    return None


def _ends_alone(field: _Field, text: str) -> bool:
    elements = text.split(",")
    return len(elements) > 1 and any(
        field.special and element not in field.words and _ALONE.fullmatch(element)
        for element in elements
    )


def _is_field(field: _Field, text: str) -> bool:
    return all(_is_element(field, element) for element in text.split(","))


def _is_element(field: _Field, text: str) -> bool:
    """Quartz reads no range from a number to a name."""
    if field.special and re.fullmatch(field.special, text):
        return True
    span, slash, step = text.partition("/")
    if slash and not _is_step(field, step):
        return False
    first, dash, last = span.partition("-")
    if dash:
        named = (first in field.words, last in field.words)
        return any(named) == all(named) and _is_value(field, first) and _is_value(field, last)
    return span == "*" or (bool(slash) and not span) or _is_value(field, span)


def _is_step(field: _Field, text: str) -> bool:
    if not (text.isascii() and text.isdecimal()):
        return False
    return 0 < int(text) <= (field.longest_step or int(text))


def _is_value(field: _Field, text: str) -> bool:
    if text in field.words:
        return True
    return text.isascii() and text.isdecimal() and field.low <= int(text) <= field.high


OFFSET = re.compile(r"GMT[+-]([01]?\d|2[0-3])(:?[0-5]\d)?")
_OLD_NAMES = frozenset(
    {"ACT", "AET", "AGT", "ART", "AST", "BET", "BST", "CAT", "CNT", "CST", "CTT", "EAT", "ECT"}
    | {"EST", "HST", "IET", "IST", "JST", "MIT", "MST", "NET", "NST", "PLT", "PNT", "PRT", "PST"}
    | {"SST", "VST"}
)
"""Three letters that Java still knows: ZoneId.SHORT_IDS."""


def time_zone_problem(zone: str) -> str | None:
    """Why the platform would not take the id of a time zone, None when it would.

    Known are the names of the IANA database, three-letter ids of old, and ``GMT+02:00``. What Java
    does not know, it takes for GMT, so a typo here would start jobs at other hours.
    """
    if zone in _OLD_NAMES or OFFSET.fullmatch(zone) or _is_iana(zone):
        return None
    if not _zones():  # no database of time zones on this machine: the platform will say
        return None
    hint = did_you_mean(zone, _zones()) or "for example Europe/Berlin, or UTC"
    return f"unknown time zone {zone!r}; {hint}"


@cache
def _is_iana(zone: str) -> bool:
    """One look-up; listing all zones costs a hundred times that."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return zone[:1].isupper()  # not localtime, posix/Europe/Berlin, or utc where case is no matter


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
