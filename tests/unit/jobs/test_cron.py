"""Quartz cron expressions are checked before anybody sends them."""

import pytest

from lakeflow_meta.jobs.cron import cron_problem, time_zone_problem

GOOD = [
    "0 0 2 * * ?",
    "0 30 2 ? * MON-FRI",
    "0 0/15 8-18 ? * mon,wed,fri",
    "*/10 * * * * ?",
    "0 0 0 L * ?",
    "0 0 0 LW * ?",
    "0 0 0 L-3 * ?",
    "0 0 0 15W * ?",
    "0 0 0 ? * 6L",
    "0 0 0 ? JAN,JUL 6#3",
    "0 0 0 1 1 ? 2026-2030",
    "  0  0 12 1/5 * ? ",
    "0 0 22-2 ? * WED,FRI",
    "0 0 0 L-3W * ?",
    "0 0/59 0/23 1/31 1/12 ?",
]
BAD = [
    ("", "has 0"),
    ("0 2 * * *", "has 5"),
    ("0 0 2 * * ? 2026 1", "has 8"),
    ("0 0 2 * * *", "exactly one"),
    ("0 0 2 ? * ?", "exactly one"),
    ("0 0 24 * * ?", "'24' is no value for hours (0 to 23)"),
    ("60 0 2 * * ?", "seconds"),
    ("0 0 2 32 * ?", "day of month"),
    ("0 0 2 ? * 0", "day of week"),
    ("0 0 2 ? * MON-FRY", "day of week"),
    ("0 0 2 * 13 ?", "month"),
    ("0 0/0 2 * * ?", "minutes"),
    ("0 , 2 * * ?", "minutes"),
    ("0 0 2 * * ? 1969", "year"),
    ("? 0 2 * * ?", "seconds"),
    ("0 0/60 2 * * ?", "minutes"),
    ("0 0 0/24 * * ?", "hours"),
    ("0 0 2 1,L * ?", "'1,L' for day of month: a day with L, W or # stands alone"),
    ("0 0 2 1W,15 * ?", "stands alone"),
    ("0 0 2 ? * MON#1,FRI#2", "stands alone"),
    ("0 0 2 ? * MON,6L", "stands alone"),
    ("0 0 ٢ * * ?", "hours"),
]


@pytest.mark.parametrize("expression", GOOD)
def test_a_well_formed_expression_has_no_problem(expression: str) -> None:
    assert cron_problem(expression) is None


@pytest.mark.parametrize(("expression", "expected"), BAD)
def test_what_is_wrong_with_an_expression_is_named(expression: str, expected: str) -> None:
    assert expected in (cron_problem(expression) or "")


@pytest.mark.parametrize(
    "zone",
    ["UTC", "GMT", "Europe/Berlin", "America/Argentina/Ushuaia", "Etc/GMT-3", "PST", "CTT"],
)
def test_a_zone_that_java_knows_has_no_problem(zone: str) -> None:
    assert time_zone_problem(zone) is None


@pytest.mark.parametrize("zone", ["GMT+2", "GMT+02:00", "GMT-0930", "US/Pacific"])
def test_an_offset_is_a_zone_as_well(zone: str) -> None:
    assert time_zone_problem(zone) is None


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("Europe/Berlim", "did you mean Europe/Berlin?"),
        ("Berlin", "unknown time zone 'Berlin'"),
        ("UTC+2", "unknown time zone 'UTC+2'"),
        ("GMT+25:00", "unknown time zone"),
        ("europe/berlin", "did you mean Europe/Berlin?"),
        ("CEST", "unknown time zone"),
        ("", "for example Europe/Berlin"),
        ("../../etc/passwd", "unknown time zone"),
        ("localtime", "unknown time zone"),
        ("posix/Europe/Berlin", "unknown time zone"),
    ],
)
def test_what_java_would_take_for_gmt_is_named(zone: str, expected: str) -> None:
    assert expected in (time_zone_problem(zone) or "")
