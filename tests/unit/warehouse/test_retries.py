"""What is tried again, how often, and after how long."""

from __future__ import annotations

import pytest

from lakeflow_meta.errors import BackendError
from lakeflow_meta.warehouse.retries import is_passing, tried_again, wait_seconds


@pytest.mark.parametrize(
    "sqlstate",
    ["08000", "08001", "08003", "08006", "40001", "40P01", "53300", "55P03", "57P01", "57P03"],
)
def test_what_may_pass(sqlstate: str) -> None:
    assert is_passing(sqlstate)


@pytest.mark.parametrize(
    "sqlstate",
    ["", "08P01", "08007", "28P01", "28000", "3D000", "42601", "42501", "23505", "57014", "53100"],
)
def test_what_stays(sqlstate: str) -> None:
    assert not is_passing(sqlstate)


def failing(times: int, *, transient: bool = True) -> tuple[list[int], object]:
    attempts: list[int] = []

    def attempt(number: int) -> str:
        attempts.append(number)
        if len(attempts) <= times:
            raise BackendError("broken", code="40001", transient=transient)
        return "done"

    return attempts, attempt


def test_waits_are_half_a_second_one_and_two() -> None:
    slept: list[float] = []
    attempts, attempt = failing(3)
    assert tried_again(attempt, 3, slept.append) == "done"  # type: ignore[arg-type]
    assert (attempts, slept) == ([0, 1, 2, 3], [0.5, 1.0, 2.0])


def test_after_the_last_retry_its_own_error_is_raised() -> None:
    slept: list[float] = []
    attempts, attempt = failing(9)
    with pytest.raises(BackendError, match="broken"):
        tried_again(attempt, 3, slept.append)  # type: ignore[arg-type]
    assert (len(attempts), slept) == (4, [0.5, 1.0, 2.0])


def test_what_is_not_transient_is_tried_once() -> None:
    slept: list[float] = []
    attempts, attempt = failing(1, transient=False)
    with pytest.raises(BackendError):
        tried_again(attempt, 3, slept.append)  # type: ignore[arg-type]
    assert (attempts, slept) == ([0], [])


def test_a_wait_never_grows_without_end() -> None:
    assert wait_seconds(20) == 30.0
