"""How fast calls go out: each lane so many a second for all threads, none while told to wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lakeflow_meta.ports import Sleep

Monotonic = Callable[[], float]
"""Seconds that only grow."""


class RequestGate:
    """The way to one workspace. A wait that it asks of one caller holds every lane.

    ``sleep`` and ``monotonic`` are the time of all who call through it.
    """

    def __init__(self, *, sleep: Sleep = time.sleep, monotonic: Monotonic = time.monotonic) -> None:
        self.sleep = sleep
        self.monotonic = monotonic
        self._lock = threading.Lock()
        self._held_until = 0.0

    def lane(self, per_second: float) -> Lane:
        """A new lane, for calls that the platform counts together. Raises ValueError."""
        return Lane(self, per_second)

    def hold(self, seconds: float) -> None:
        """Let nobody through for so long."""
        with self._lock:
            self._held_until = max(self._held_until, self.monotonic() + seconds)

    @property
    def held_until(self) -> float:
        """Nobody goes through before; on the clock of ``monotonic``."""
        with self._lock:
            return self._held_until


class Lane:
    """Spaces its calls evenly."""

    def __init__(self, gate: RequestGate, per_second: float) -> None:
        if per_second <= 0:
            raise ValueError("a rate is more than 0 calls a second")
        self._gate = gate
        self._apart = 1.0 / per_second
        self._lock = threading.Lock()
        self._free_at = 0.0

    def enter(self, until: float) -> bool:
        """Wait for one's turn. False, at once, when that would be later than ``until``."""
        while True:
            turn = self._next_turn(until)
            if turn is None:
                return False
            if (pause := turn - self._gate.monotonic()) > 0:
                self._gate.sleep(pause)
            if turn >= self._gate.held_until:
                return True

    def _next_turn(self, until: float) -> float | None:
        with self._lock:
            turn = max(self._gate.monotonic(), self._free_at, self._gate.held_until)
            if turn > until:
                return None
            self._free_at = turn + self._apart
            return turn
