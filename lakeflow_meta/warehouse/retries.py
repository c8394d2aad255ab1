"""Which failures may pass, and trying again. Pure, but for the waiting that a caller gives.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from lakeflow_meta.errors import BackendError

logger = logging.getLogger(__name__)

MAX_RETRIES = 3
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 30.0
_PASSING_CLASSES = frozenset({"08"})
_PASSING_STATES = frozenset(
    {
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "53300",  # too_many_connections
        "55P03",  # lock_not_available
        "57P01",  # admin_shutdown
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now: it starts, or stops
        "57P05",  # idle_session_timeout
        "25P03",  # idle_in_transaction_session_timeout
    }
)
_LASTING_STATES = frozenset({"08P01", "08007"})
"""A protocol violation repeats; at transaction_resolution_unknown nobody knows what was done."""

T = TypeVar("T")


def is_passing(sqlstate: str) -> bool:
    """Whether the same statement may succeed later."""
    if sqlstate in _LASTING_STATES:
        return False
    return sqlstate in _PASSING_STATES or sqlstate[:2] in _PASSING_CLASSES


def wait_seconds(attempt: int) -> float:
    """How long to wait after a failed attempt, the first being 0: 0.5, 1, 2, … seconds."""
    return min(_FIRST_WAIT_SECONDS * 2.0**attempt, _LONGEST_WAIT_SECONDS)


def tried_again(
    attempt: Callable[[int], T],
    max_retries: int = MAX_RETRIES,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """What ``attempt(number)`` returns, after at most ``max_retries`` more attempts than one.

    Only a transient BackendError is tried again. An attempt that cannot rule out that it was
    carried out must raise one that is not transient.
    """
    number = 0
    while True:
        try:
            return attempt(number)
        except BackendError as error:
            if not error.transient or number >= max_retries:
                if error.transient and max_retries:
                    logger.error("Max retries (%d) exceeded: %s", max_retries, error)  # noqa: TRY400
                raise
            logger.warning("Retryable error on attempt %d: %s", number + 1, error)
        delay = wait_seconds(number)
        logger.warning("Retrying in %.1f seconds...", delay)
        sleep(delay)
        number += 1
