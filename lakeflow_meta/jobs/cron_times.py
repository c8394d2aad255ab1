"""When a Quartz cron expression fires next, in a time zone. Pure.

Changes of the clock are met as Quartz meets them. A local time that does not exist, because clocks
go forward over it, is passed over: no run on that day. A local time that there is twice is fired
once, the second time. So what fires every quarter of an hour rests for the hour that is repeated.

http://www.quartz-scheduler.org/documentation/quartz-2.3.0/tutorials/crontrigger.html
http://www.quartz-scheduler.org/documentation/2.3.1-SNAPSHOT/best-practices.html (daylight saving)
"""

from __future__ import annotations

import calendar
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.jobs.cron import OFFSET, cron_problem, time_zone_problem

LAST_YEAR = 2099
"""Quartz looks no further."""

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEK = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_NAMES = {name: str(number) for names in (_MONTHS, _WEEK) for number, name in enumerate(names, 1)}
_SATURDAY, _SUNDAY = 5, 6  # of date.weekday()

_OLD_ZONES = {
    "ACT": "Australia/Darwin",
    "AET": "Australia/Sydney",
    "AGT": "America/Argentina/Buenos_Aires",
    "ART": "Africa/Cairo",
    "AST": "America/Anchorage",
    "BET": "America/Sao_Paulo",
    "BST": "Asia/Dhaka",
    "CAT": "Africa/Harare",
    "CNT": "America/St_Johns",
    "CST": "America/Chicago",
    "CTT": "Asia/Shanghai",
    "EAT": "Africa/Addis_Ababa",
    "ECT": "Europe/Paris",
    "EST": "Etc/GMT+5",
    "HST": "Etc/GMT+10",
    "IET": "America/Indiana/Indianapolis",
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
    "MIT": "Pacific/Apia",
    "MST": "Etc/GMT+7",
    "NET": "Asia/Yerevan",
    "NST": "Pacific/Auckland",
    "PLT": "Asia/Karachi",
    "PNT": "America/Phoenix",
    "PRT": "America/Puerto_Rico",
    "PST": "America/Los_Angeles",
    "SST": "Pacific/Guadalcanal",
    "VST": "Asia/Ho_Chi_Minh",
}
"""https://docs.oracle.com/en/java/javase/17/docs/api/java.base/java/time/ZoneId.html#SHORT_IDS"""

_DaysOf = Callable[[int, int], frozenset[int]]
"""The days of a month (year, month) on which something fires."""


@dataclass(frozen=True, slots=True)
class CronTimes:
    """The times of one expression in one zone. Make it by `cron_times`."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int]
    years: frozenset[int]
    days: _DaysOf
    zone: tzinfo

    def after(self, moment: datetime) -> datetime | None:
        """The first time that is later than an aware ``moment``, in UTC; None if there is none."""
        start = moment.astimezone(self.zone).replace(tzinfo=None, microsecond=0)
        start += timedelta(seconds=1)
        for day in self._days_from(start.date()):
            first = start.time() if day == start.date() else time()
            for local in self._times_of(day, first):
                if fires := self._moment(local):
                    return fires
        return None

    def _days_from(self, first: date) -> Iterator[date]:
        for year in sorted(year for year in self.years if year >= first.year):
            for month in sorted(self.months):
                if (year, month) < (first.year, first.month):
                    continue
                for day in sorted(self.days(year, month)):
                    if (found := date(year, month, day)) >= first:
                        yield found

    def _times_of(self, day: date, first: time) -> Iterator[datetime]:
        for hour in self.hours[bisect_left(self.hours, first.hour) :]:
            from_minute = first.minute if hour == first.hour else 0
            for minute in self.minutes[bisect_left(self.minutes, from_minute) :]:
                same = (hour, minute) == (first.hour, first.minute)
                from_second = first.second if same else 0
                for second in self.seconds[bisect_left(self.seconds, from_second) :]:
                    yield datetime.combine(day, time(hour, minute, second))

    def _moment(self, local: datetime) -> datetime | None:
        """None for a local time that does not exist; of two the later one (``fold=1``)."""
        found = local.replace(tzinfo=self.zone, fold=1).astimezone(UTC)
        exists = found.astimezone(self.zone).replace(tzinfo=None) == local
        return found if exists else None


@lru_cache(maxsize=4096)
def cron_times(expression: str, zone: str) -> CronTimes:
    """The times of an expression. Raises ConfigError for one that is not well formed."""
    problem = cron_problem(expression) or time_zone_problem(zone)
    if problem is not None:
        raise ConfigError(f"schedule {expression!r} in {zone}: {problem}")
    second, minute, hour, day, month, weekday, *year = expression.upper().split()
    return CronTimes(
        seconds=_values(second, 0, 59),
        minutes=_values(minute, 0, 59),
        hours=_values(hour, 0, 23),
        months=frozenset(_values(month, 1, 12)),
        years=frozenset(_values(year[0] if year else "*", 1970, LAST_YEAR)),
        days=_days_of_week(weekday) if day == "?" else _days_of_month(day),
        zone=zone_of(zone),
    )


def zone_of(name: str) -> tzinfo:
    """The zone that Java means by an id. Raises ConfigError where this machine does not know it."""
    if found := OFFSET.fullmatch(name):
        hours, minutes = int(found[1]), int((found[2] or "0").strip(":"))
        offset = timedelta(hours=hours, minutes=minutes)
        return timezone(-offset if name[3] == "-" else offset)
    try:
        return ZoneInfo(_OLD_ZONES.get(name, name))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        hint = "install the Python package tzdata" if name != "UTC" else "write GMT+00:00"
        raise ConfigError(f"time zone {name!r} is not known to this machine; {hint}") from error


# --------------------------------------------------------------------------- fields


def _values(text: str, low: int, high: int) -> tuple[int, ...]:
    """The sorted values of a field of numbers and names."""
    found = {value for element in text.split(",") for value in _element(element, low, high)}
    return tuple(sorted(found))


def _element(text: str, low: int, high: int) -> Iterator[int]:
    """``a``, ``a-b`` (which may lead over the end), ``*``; each with ``/step``.

    Behind a name Quartz leaves a step out: ``MON-FRI/2`` is every day from Monday to Friday.
    """
    span, slash, step = text.partition("/")
    if span[:3] in _NAMES:
        slash = step = ""
    first, dash, last = span.partition("-")
    if span in ("", "*"):
        start, end = low, high
    elif dash:
        start, end = _number(first), _number(last)
    else:
        start, end = _number(first), high if slash else _number(first)
    size = high - low + 1
    length = (end - start) % size if dash else end - start
    for offset in range(0, length + 1, int(step or 1)):
        yield low + (start - low + offset) % size


def _number(text: str) -> int:
    return int(_NAMES.get(text, text))


# --------------------------------------------------------------------------- days


def _days_of_month(text: str) -> _DaysOf:
    if text == "L" or text.startswith("L-"):
        back = int(text.removesuffix("W")[2:] or 0)
        return _last_day(back, working=text.endswith("W"))
    if text == "LW":
        return _last_day(0, working=True)
    if text.endswith("W"):
        return _nearest_weekday(int(text[:-1]))
    wanted = frozenset(_values(text, 1, 31))
    return lambda year, month: frozenset(d for d in wanted if d <= _length(year, month))


def _last_day(back: int, *, working: bool) -> _DaysOf:
    def days(year: int, month: int) -> frozenset[int]:
        day = _length(year, month) - back
        if day < 1:
            return frozenset()
        return frozenset({_working_day(year, month, day) if working else day})

    return days


def _nearest_weekday(wanted: int) -> _DaysOf:
    def days(year: int, month: int) -> frozenset[int]:
        if wanted > _length(year, month):
            return frozenset()
        return frozenset({_working_day(year, month, wanted)})

    return days


def _working_day(year: int, month: int, day: int) -> int:
    """The day from Monday to Friday that is nearest, in the same month."""
    weekday = calendar.weekday(year, month, day)
    if weekday == _SATURDAY:
        return day + 2 if day == 1 else day - 1
    if weekday == _SUNDAY:
        return day - 2 if day == _length(year, month) else day + 1
    return day


def _days_of_week(text: str) -> _DaysOf:
    """``2`` is Monday, ``6L`` the last Friday, ``6#3`` the third one; ``L`` alone is Saturday."""
    if found := re.fullmatch(r"(\w+)#(\d)", text):
        nth = int(found[2])
        return lambda year, month: _nth(_weekdays(year, month, {_number(found[1])}), nth)
    if text != "L" and text.endswith("L"):
        last = {_number(text[:-1])}
        return lambda year, month: frozenset({max(_weekdays(year, month, last))})
    wanted = {7} if text == "L" else set(_values(text, 1, 7))
    return lambda year, month: frozenset(_weekdays(year, month, wanted))


def _weekdays(year: int, month: int, wanted: set[int]) -> list[int]:
    """The days of the month that fall on these days of the week, where Sunday is 1."""
    first = (calendar.weekday(year, month, 1) + 1) % 7
    return [
        day for day in range(1, _length(year, month) + 1) if (first + day - 1) % 7 + 1 in wanted
    ]


def _nth(days: list[int], nth: int) -> frozenset[int]:
    return frozenset(days[nth - 1 : nth])


def _length(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]
