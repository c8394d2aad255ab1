"""When a Quartz expression fires next: as Quartz says, and as looking at every second says."""

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.jobs.cron import cron_problem
from lakeflow_meta.jobs.cron_times import cron_times, zone_of

QUARTZ = Path(__file__).with_name("quartz_2_3_2.txt").read_text().splitlines()[1:]
WEEK = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


def _moment(text: str) -> datetime | None:
    return None if text == "null" else datetime.fromisoformat(text)


@pytest.mark.parametrize("line", QUARTZ)
def test_the_next_four_times_are_those_of_quartz(line: str) -> None:
    expression, zone, start, expected = (part.strip() for part in line.split("|"))
    times, at = cron_times(expression, zone), _moment(start)
    for wanted in expected.split():
        assert at is not None
        at = times.after(at)
        assert at == _moment(wanted)


# --------------------------------------------------------------------------- every second


def _values(low: int, high: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    """A field of a few forms, and the values that it means, told without our reader."""
    size = high - low + 1
    number = st.integers(low, high)

    def span(first: int, last: int, step: int) -> tuple[str, frozenset[int]]:
        length = (last - first) % size
        values = frozenset(low + (first - low + n) % size for n in range(0, length + 1, step))
        return (f"{first}-{last}" if step == 1 else f"{first}-{last}/{step}"), values

    every = st.just(("*", frozenset(range(low, high + 1))))
    one = number.map(lambda value: (str(value), frozenset({value})))
    spans = st.builds(span, number, number, st.integers(1, 7))
    steps = st.builds(
        lambda first, step: (f"{first}/{step}", frozenset(range(first, high + 1, step))),
        number,
        st.integers(1, min(size - 1, 31)),
    )
    single = one | spans | steps
    lists = st.lists(single, min_size=2, max_size=3).map(
        lambda parts: (
            ",".join(text for text, _ in parts),
            frozenset().union(*(v for _, v in parts)),
        )
    )
    return every | single | lists


_ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])
_STARTS = st.integers(0, 3 * 365 * 86400).map(
    lambda seconds: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)


@given(_values(0, 59), _values(0, 59), _values(0, 23), _ZONES, _STARTS)
def test_no_second_that_matches_is_passed_over(
    second: tuple[str, frozenset[int]],
    minute: tuple[str, frozenset[int]],
    hour: tuple[str, frozenset[int]],
    zone: str,
    start: datetime,
) -> None:
    """Looks at every second of the next 40 minutes; the repeated hour fires the second time."""
    found = cron_times(f"{second[0]} {minute[0]} {hour[0]} * * ?", zone).after(start)
    assert found is not None
    assert found > start
    expected = None
    for later in range(1, 2400):
        local = (start + timedelta(seconds=later)).astimezone(ZoneInfo(zone))
        is_first_of_two = local.utcoffset() != local.replace(fold=1).utcoffset()
        if local.second in second[1] and local.minute in minute[1] and local.hour in hour[1]:
            if is_first_of_two:
                return
            expected = start + timedelta(seconds=later)
            break
    if expected is None:
        assert found >= start + timedelta(seconds=2400)
    else:
        assert found == expected


# --------------------------------------------------------------------------- every day

_Day = tuple[str, str, Callable[[date], bool]]


def _last(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def _nearest_working_day(wanted: date) -> date:
    near = [wanted + timedelta(days=d) for d in (0, -1, 1, -2, 2)]
    return next(d for d in near if d.month == wanted.month and d.weekday() < 5)


def _month_days() -> st.SearchStrategy[_Day]:
    numbers = _values(1, 31).map(lambda f: (f[0], "?", lambda day: day.day in f[1]))
    last = st.just(("L", "?", lambda day: day.day == _last(day)))
    before_last = st.integers(1, 27).map(
        lambda n: (f"L-{n}", "?", lambda day: day.day == _last(day) - n)
    )
    working = st.integers(1, 28).map(
        lambda n: (f"{n}W", "?", lambda day: day == _nearest_working_day(day.replace(day=n)))
    )
    last_working = st.just(
        ("LW", "?", lambda day: day == _nearest_working_day(day.replace(day=_last(day))))
    )
    return numbers | last | before_last | working | last_working


def _week_days() -> st.SearchStrategy[_Day]:
    def quartz(day: date) -> int:
        return (day.weekday() + 1) % 7 + 1

    number = st.integers(1, 7)
    several = _values(1, 7).map(lambda f: ("?", f[0], lambda day: quartz(day) in f[1]))
    named = number.map(lambda n: ("?", WEEK[n - 1], lambda day: quartz(day) == n))
    last = number.map(
        lambda n: ("?", f"{n}L", lambda day: quartz(day) == n and day.day + 7 > _last(day))
    )
    nth = st.tuples(number, st.integers(1, 5)).map(
        lambda x: (
            "?",
            f"{x[0]}#{x[1]}",
            lambda day: quartz(day) == x[0] and (day.day - 1) // 7 + 1 == x[1],
        )
    )
    return several | named | last | nth


@given(_month_days() | _week_days(), _values(1, 12), _STARTS)
def test_no_day_that_matches_is_passed_over(
    day: _Day, month: tuple[str, frozenset[int]], start: datetime
) -> None:
    expression = f"0 0 12 {day[0]} {month[0]} {day[1]}"
    assert cron_problem(expression) is None
    found = cron_times(expression, "UTC").after(start)
    first = start.date() if start.hour < 12 else start.date() + timedelta(days=1)
    days = (first + timedelta(days=n) for n in range(1500))
    expected = next((d for d in days if d.month in month[1] and day[2](d)), None)
    if expected is None:
        assert found is None or found.date() > first + timedelta(days=1499)
    else:
        assert found == datetime(expected.year, expected.month, expected.day, 12, tzinfo=UTC)


# --------------------------------------------------------------------------- single cases


def test_an_expression_whose_years_are_over_never_fires() -> None:
    assert cron_times("0 0 0 1 1 ? 2020", "UTC").after(datetime(2026, 1, 1, tzinfo=UTC)) is None
    assert cron_times("0 0 0 30 2 ?", "UTC").after(datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_parts_of_a_second_do_not_bring_the_same_second_again() -> None:
    at = datetime(2026, 1, 1, 12, 0, 0, 1, tzinfo=UTC)
    assert cron_times("* * * * * ?", "UTC").after(at) == datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC)


def test_a_malformed_expression_or_zone_is_refused() -> None:
    with pytest.raises(ConfigError, match="exactly one"):
        cron_times("0 0 2 * * *", "UTC")
    with pytest.raises(ConfigError, match="Europe/Berlin"):
        cron_times("0 0 2 * * ?", "Europe/Berlim")


@pytest.mark.parametrize("text", ["0 0 0 ? * 3-SAT", "0 0 0 1 APR-11 ?", "0 0 0 1 8-JUN ?"])
def test_a_range_from_a_number_to_a_name_is_refused_as_by_quartz(text: str) -> None:
    assert cron_problem(text) is not None


@pytest.mark.parametrize(
    ("zone", "hours"),
    [("GMT+02:00", 2), ("GMT-0930", -9.5), ("GMT+5", 5), ("JST", 9), ("EST", -5), ("UTC", 0)],
)
def test_a_zone_is_the_one_that_java_means(zone: str, hours: float) -> None:
    at = datetime(2026, 7, 1, tzinfo=zone_of(zone))
    assert at.utcoffset() == timedelta(hours=hours)


def test_every_short_name_of_java_is_a_zone_of_this_machine() -> None:
    from lakeflow_meta.jobs.cron import _OLD_NAMES

    assert all(re.fullmatch("[A-Z]{3}", name) and zone_of(name) for name in _OLD_NAMES)
