"""Quartz cron expressions are checked before anybody sends them."""

import pytest

from lakeflow_meta.jobs.cron import cron_problem

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
]


@pytest.mark.parametrize("expression", GOOD)
def test_a_well_formed_expression_has_no_problem(expression: str) -> None:
    assert cron_problem(expression) is None


@pytest.mark.parametrize(("expression", "expected"), BAD)
def test_what_is_wrong_with_an_expression_is_named(expression: str, expected: str) -> None:
    assert expected in (cron_problem(expression) or "")
