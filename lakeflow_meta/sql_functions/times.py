"""Timestamps and dates, in UTC."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from lakeflow_meta.sql_functions.faults import SqlValueError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_MICROSECONDS = 86_400_000_000
EPOCH_DAY = date(1970, 1, 1).toordinal()


def moment_of(micros: int) -> datetime:
    try:
        return EPOCH + timedelta(microseconds=micros)
    except OverflowError as error:
        raise SqlValueError("a time outside of the years 1 to 9999") from error


def day_of(days: int) -> date:
    try:
        return date.fromordinal(EPOCH_DAY + days)
    except (ValueError, OverflowError) as error:
        raise SqlValueError("a date outside of the years 1 to 9999") from error


def micros_of(moment: datetime) -> int:
    delta = moment - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def shift(micros: int, amount: int) -> int:
    return micros_of(moment_of(micros + amount))


_TRUNCATED: dict[str, Callable[[datetime], datetime]] = {
    "YEAR": lambda m: m.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0),
    "QUARTER": lambda m: m.replace(
        month=m.month - (m.month - 1) % 3, day=1, hour=0, minute=0, second=0, microsecond=0
    ),
    "MONTH": lambda m: m.replace(day=1, hour=0, minute=0, second=0, microsecond=0),
    "WEEK": lambda m: (m - timedelta(days=m.weekday())).replace(
        hour=0, minute=0, second=0, microsecond=0
    ),
    "DAY": lambda m: m.replace(hour=0, minute=0, second=0, microsecond=0),
    "HOUR": lambda m: m.replace(minute=0, second=0, microsecond=0),
    "MINUTE": lambda m: m.replace(second=0, microsecond=0),
    "SECOND": lambda m: m.replace(microsecond=0),
}


def date_trunc(unit: str, micros: int) -> int:
    return micros_of(_TRUNCATED[unit](moment_of(micros)))


def datediff(end: int, start: int) -> int:
    return end - start


def date_add(days: int, amount: int) -> int:
    return day_of(days + amount).toordinal() - EPOCH_DAY


def date_sub(days: int, amount: int) -> int:
    return date_add(days, -amount)


def add_months(days: int, amount: int) -> int:
    """The same day of the month, or the last where that month is shorter."""
    day = day_of(days)
    months = day.year * 12 + day.month - 1 + amount
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        raise SqlValueError("a date outside of the years 1 to 9999")
    last = monthrange(year, month + 1)[1]
    return date(year, month + 1, min(day.day, last)).toordinal() - EPOCH_DAY


def last_day(days: int) -> int:
    day = day_of(days)
    return day.replace(day=monthrange(day.year, day.month)[1]).toordinal() - EPOCH_DAY


def unix_timestamp(micros: int) -> int:
    return micros // 1_000_000


PARTS: dict[str, Callable[[datetime], int]] = {
    "year": lambda m: m.year,
    "quarter": lambda m: (m.month + 2) // 3,
    "month": lambda m: m.month,
    "day": lambda m: m.day,
    "dayofweek": lambda m: m.isoweekday() % 7 + 1,
    "weekday": lambda m: m.weekday(),
    "dayofyear": lambda m: m.timetuple().tm_yday,
    "weekofyear": lambda m: m.isocalendar().week,
    "hour": lambda m: m.hour,
    "minute": lambda m: m.minute,
    "second": lambda m: m.second,
}


def of_time(part: str) -> Callable[[int], int]:
    """A part of a timestamp, such as its year."""
    read = PARTS[part]
    return lambda micros: read(moment_of(micros))


def of_date(part: str) -> Callable[[int], int]:
    """A part of a date."""
    read = PARTS[part]
    return lambda days: read(midnight_of(days))


_MONTHS = [
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
]  # fmt: skip
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_LETTERS: dict[str, Callable[[datetime], str]] = {
    "yyyy": lambda m: f"{m.year:04}",
    "yy": lambda m: f"{m.year % 100:02}",
    "MMMM": lambda m: _MONTHS[m.month - 1],
    "MMM": lambda m: _MONTHS[m.month - 1][:3],
    "MM": lambda m: f"{m.month:02}",
    "M": lambda m: str(m.month),
    "dd": lambda m: f"{m.day:02}",
    "d": lambda m: str(m.day),
    "HH": lambda m: f"{m.hour:02}",
    "H": lambda m: str(m.hour),
    "hh": lambda m: f"{(m.hour + 11) % 12 + 1:02}",
    "h": lambda m: str((m.hour + 11) % 12 + 1),
    "mm": lambda m: f"{m.minute:02}",
    "m": lambda m: str(m.minute),
    "ss": lambda m: f"{m.second:02}",
    "s": lambda m: str(m.second),
    "a": lambda m: "AM" if m.hour < 12 else "PM",
    "EEEE": lambda m: _DAYS[m.weekday()],
    "EEE": lambda m: _DAYS[m.weekday()][:3],
    "E": lambda m: _DAYS[m.weekday()][:3],
    "D": lambda m: str(m.timetuple().tm_yday),
}
_LETTER_RUNS = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|(.)", re.DOTALL)


def _formatted(moment: datetime, pattern: str) -> str:
    parts = []
    for found in _LETTER_RUNS.finditer(pattern):
        run, quoted = found.group(), found.group(1)
        if quoted is not None:
            parts.append(quoted.replace("''", "'") or "'")
        elif run[0] == "S":
            parts.append(f"{moment.microsecond:06}"[: len(run)])
        else:
            parts.append(_LETTERS[run](moment) if run in _LETTERS else run)
    return "".join(parts)


def date_format(micros: int, pattern: str) -> str:
    return _formatted(moment_of(micros), pattern)


def date_format_of_date(days: int, pattern: str) -> str:
    return _formatted(midnight_of(days), pattern)


def midnight_of(days: int) -> datetime:
    return datetime.combine(day_of(days), datetime.min.time(), UTC)
