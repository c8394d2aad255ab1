"""Patterns of dates and times, as ``yyyyMMdd_HHmmss``: read, checked, written. Pure.

The letters are those of Spark and Java, and each stands for a fixed number of digits, so a pattern
of a file name says how long the name is. What a reader would take for another unit than it is
(``mm`` for months, ``YYYY`` for years) is refused with the pattern that was probably meant.

https://spark.apache.org/docs/latest/sql-ref-datetime-pattern.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache, partial

from lakeflow_meta.extract.words import RefusedError

_TOKEN = re.compile(r"'(?P<quoted>(?:[^']|'')*)'|(?P<letters>([A-Za-z])\3*)|(?P<other>[^A-Za-z']+)")


def _fraction(digits: int, at: datetime) -> str:
    return f"{at.microsecond:06}"[:digits]


def _offset(moment: datetime, colon: str) -> str:
    if not (offset := moment.utcoffset() or timedelta()):
        return "Z"
    sign = "-" if offset < timedelta() else "+"
    hours, minutes = divmod(abs(offset) // timedelta(minutes=1), 60)
    return f"{sign}{hours:02}{colon}{minutes:02}"


_WRITERS: dict[str, Callable[[datetime], str]] = {
    "yyyy": lambda at: f"{at.year:04}",
    "yy": lambda at: f"{at.year % 100:02}",
    "MM": lambda at: f"{at.month:02}",
    "dd": lambda at: f"{at.day:02}",
    "DDD": lambda at: f"{at.timetuple().tm_yday:03}",
    "HH": lambda at: f"{at.hour:02}",
    "mm": lambda at: f"{at.minute:02}",
    "ss": lambda at: f"{at.second:02}",
    "XXX": lambda at: _offset(at, ":"),
    "XX": lambda at: _offset(at, ""),
    **{"S" * digits: partial(_fraction, digits) for digits in range(1, 7)},
}
_OFFSETS = ("XXX", "XX")
_RESERVED = frozenset("[]{}#")
"""Signs that mean something in patterns of Spark and Java."""
_DATES = frozenset({"yyyy", "yy", "MM", "dd", "DDD"})
_KNOWN = f"known: {' '.join(word for word in _WRITERS if not word.startswith('SS'))}"


@dataclass(frozen=True, slots=True)
class TimestampPattern:
    """A pattern that can be written. ``parts`` are (letters, text): one of the two is empty."""

    text: str
    parts: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> TimestampPattern:
        """Read a pattern. Raises RefusedError."""
        return _read(text)

    @property
    def fields(self) -> tuple[str, ...]:
        """The groups of letters, in order."""
        return tuple(letters for letters, _ in self.parts if letters)

    @property
    def only_dates(self) -> bool:
        """Whether the pattern can be written of a date without a time."""
        return _DATES.issuperset(self.fields)

    @property
    def has_offset(self) -> bool:
        """Whether it writes the zone's offset, whose length differs (``Z``, ``+01:00``)."""
        return any(field in _OFFSETS for field in self.fields)

    def write(self, moment: datetime) -> str:
        """The moment as text, in the zone that it has."""
        return "".join(
            _WRITERS[letters](moment) if letters else text for letters, text in self.parts
        )

    def masked(self, mark: str) -> str:
        """The text with a mark in the place of every digit that depends on the time."""
        return "".join(mark * len(letters) if letters else text for letters, text in self.parts)


@lru_cache(1000)
def _read(text: str) -> TimestampPattern:
    """Thousands of extracts share a few patterns."""
    if "%" in text:
        raise _unreadable(text, "write yyyyMMdd, not %Y%m%d")
    pattern = TimestampPattern(text, tuple(_parts(text)))
    _refuse_traps(text, pattern.fields)
    return pattern


def _refuse_traps(text: str, fields: tuple[str, ...]) -> None:
    if not fields:
        raise _unreadable(text, "write for example yyyyMMdd")
    if len(set(fields)) < len(fields):
        raise _unreadable(text, _meant(text) or "each unit once")
    if "mm" in fields and "HH" not in fields:
        hint = _meant(text) or "mm are minutes, MM are months"
        raise _unreadable(text, hint, "minutes without hours")


def _parts(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _unreadable(text, "close the quote")
        position = match.end()
        if letters := match["letters"]:
            if letters not in _WRITERS:
                raise _unreadable(text, _meant(text) or _KNOWN, f"{letters} is not known")
            yield letters, ""
        else:
            if reserved := _RESERVED.intersection(match["other"] or ""):
                hint = f"write '{min(reserved)}' in quotes"
                raise _unreadable(text, hint, f"{min(reserved)} is a sign of patterns")
            quoted = match["quoted"]
            yield "", match["other"] if quoted is None else quoted.replace("''", "'") or "'"


def _unreadable(text: str, hint: str, why: str = "") -> RefusedError:
    reason = f": {why}" if why else ""
    return RefusedError(f"timestamp pattern {text!r} cannot be read{reason}", hint)


def _meant(text: str) -> str:
    """A readable pattern that people write this way when they mean it."""
    lowered = _TOKEN.sub(lambda token: token[0].lower() if token["letters"] else token[0], text)
    candidate = lowered.replace("m", "M", 2).replace("h", "H")
    return f"did you mean {candidate}?" if candidate != text and _readable(candidate) else ""


def _readable(text: str) -> bool:
    fields = [match["letters"] for match in _TOKEN.finditer(text) if match["letters"]]
    known = all(field in _WRITERS for field in fields) and len(set(fields)) == len(fields)
    return known and bool(fields) and ("mm" not in fields or "HH" in fields)


def period_end(day: date, end_day: int) -> date:
    """The end of the last period that was over on ``day``, where periods end on ``end_day``.

    Of the month before where ``end_day`` is not past yet; a month that has no such day ends on
    its last: 31 on 5 March is 28 February.
    """
    month_start = day.replace(day=1)
    if day.day > end_day:
        return day.replace(day=end_day)
    last = month_start - timedelta(days=1)
    return last.replace(day=min(end_day, last.day))
