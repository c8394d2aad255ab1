"""A clock that stands still until it is told to move."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


class FixedClock:
    """A `ports.Clock`. ``step_seconds`` lets every reading be later than the one before."""

    def __init__(self, now: datetime = START, *, step_seconds: float = 0.0) -> None:
        if now.tzinfo is None:
            raise ValueError("a clock needs an aware time")
        self._now = now.astimezone(UTC)
        self._step = timedelta(seconds=step_seconds)
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        with self._lock:
            now = self._now
            self._now = now + self._step
            return now

    def advance(self, seconds: float) -> None:
        """Move on by ``seconds``; negative goes back."""
        with self._lock:
            self._now += timedelta(seconds=seconds)

    def set(self, now: datetime) -> None:
        """Stand at another aware time."""
        if now.tzinfo is None:
            raise ValueError("a clock needs an aware time")
        with self._lock:
            self._now = now.astimezone(UTC)
