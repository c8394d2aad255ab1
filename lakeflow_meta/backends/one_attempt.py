"""databricks-sdk without its own retries: each call goes out once, and its failure comes back.

The SDK repeats every call that was throttled or whose connection broke, whatever the call does.
Whether a call may be repeated is known to who makes it.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from databricks.sdk.clock import Clock

from lakeflow_meta.ports import Sleep


class OneAttempt:
    """A client's settings, except that the SDK makes each call once.

    The SDK repeats within a budget of seconds that cannot be none. It sleeps before it repeats
    (after HTTP 429 as long as `Retry-After` says), so a clock that jumps with each sleep ends it:
    in TimeoutError, whose cause is the error of the call.
    """

    retry_timeout_seconds = 1

    def __init__(self, config: Any, sleep: Sleep) -> None:
        self._config = config
        self.clock = _JumpingClock(sleep)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, name)


class _JumpingClock(Clock):  # type: ignore[misc]  # the SDK is not followed by mypy
    """After a sleep every budget of its thread is used up."""

    def __init__(self, sleep: Sleep) -> None:
        self._sleep = sleep
        self._ahead = threading.local()

    def time(self) -> float:
        return time.monotonic() + self._jumped()

    def sleep(self, seconds: float) -> None:
        self._sleep(seconds)
        self._ahead.seconds = self._jumped() + OneAttempt.retry_timeout_seconds

    def _jumped(self) -> float:
        return float(getattr(self._ahead, "seconds", 0.0))
