"""Patterns of timestamps: what they write, and what is refused instead of written wrongly."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.extract.timestamps import TimestampPattern, period_end
from lakeflow_meta.extract.words import RefusedError

MOMENT = datetime(2025, 1, 27, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("yyyyMMdd", "20250127"),
        ("yyyyMMdd_HHmmss", "20250127_030405"),
        ("yy-DDD", "25-027"),
        ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2025-01-27T03:04:05.678Z"),
        ("dd.MM.yyyy 'o''clock'", "27.01.2025 o'clock"),
        ("HH''mm", "03'04"),
        ("yyyy1", "20251"),
    ],
)
def test_a_pattern_writes_a_moment(pattern: str, text: str) -> None:
    assert TimestampPattern.parse(pattern).write(MOMENT) == text


@pytest.mark.parametrize(("hours", "text"), [(5.5, "+05:30"), (-3, "-03:00"), (0, "Z")])
def test_an_offset_is_that_of_the_moment_s_zone(hours: float, text: str) -> None:
    moment = MOMENT.astimezone(timezone(timedelta(hours=hours)))
    assert TimestampPattern.parse("HHXXX").write(moment)[2:] == text


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("YYYYMMDD", "did you mean yyyyMMdd?"),
        ("yyyymmdd", "did you mean yyyyMMdd?"),
        ("yyyymmdd_hhmmss", "did you mean yyyyMMdd_HHmmss?"),
        ("YYYY-MM-DD'T'HH:MM:SS", "did you mean yyyy-MM-dd'T'HH:mm:ss?"),
        ("%Y%m%d", "write yyyyMMdd, not %Y%m%d"),
        ("yyyyMMdd_mm", "mm are minutes, MM are months"),
        ("yyyyMMdd{part}", "write '{' in quotes"),
        ("'open", "close the quote"),
        ("_-", "write for example yyyyMMdd"),
        ("", "write for example yyyyMMdd"),
        ("yyyy-M-d", "known: yyyy yy MM dd DDD HH mm ss XXX XX S"),
        ("yyyyyyyy", "known: yyyy yy MM dd DDD HH mm ss XXX XX S"),
    ],
)
def test_what_means_something_else_is_refused_with_what_was_meant(pattern: str, hint: str) -> None:
    with pytest.raises(RefusedError) as told:
        TimestampPattern.parse(pattern)
    assert told.value.hint == hint


@given(st.text(max_size=12))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    try:
        found = TimestampPattern.parse(text)
    except RefusedError:
        return
    assert found.fields
    assert found.write(MOMENT)


@given(
    st.lists(st.sampled_from(["yyyy", "MM", "dd", "HH", "mm", "ss", "SSS"]), unique=True),
    st.sampled_from(["", "-", "_"]),
    st.datetimes(timezones=st.just(UTC)),
)
def test_a_masked_pattern_is_as_long_as_what_is_written(
    fields: list[str], between: str, moment: datetime
) -> None:
    fields = ["HH", *(field for field in fields if field != "HH")]
    pattern = TimestampPattern.parse(between.join(fields))
    written, masked = pattern.write(moment), pattern.masked("#")
    assert len(written) == len(masked)
    assert all(m in (w, "#") for w, m in zip(written, masked, strict=True))


@pytest.mark.parametrize(
    ("day", "end_day", "end"),
    [
        (date(2025, 3, 5), 31, date(2025, 2, 28)),
        (date(2025, 3, 31), 31, date(2025, 2, 28)),
        (date(2025, 3, 20), 15, date(2025, 3, 15)),
        (date(2025, 3, 15), 15, date(2025, 2, 15)),
        (date(2024, 3, 5), 30, date(2024, 2, 29)),
        (date(2025, 1, 1), 31, date(2024, 12, 31)),
    ],
)
def test_the_end_of_the_last_period_that_is_over(day: date, end_day: int, end: date) -> None:
    assert period_end(day, end_day) == end


@given(st.dates(min_value=date(1, 2, 1)), st.integers(1, 31))
def test_a_period_ended_before_today_and_less_than_two_months_ago(day: date, end_day: int) -> None:
    assert timedelta(0) < day - period_end(day, end_day) < timedelta(days=62)
