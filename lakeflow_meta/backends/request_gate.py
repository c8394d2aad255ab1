"""How fast calls go out: so many a second for all threads together, none while told to wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from enum import StrEnum

from lakeflow_meta.ports import Sleep

Monotonic = Callable[[], float]
"""Seconds that only grow."""


class Lane(StrEnum):
    """Calls that are counted together: platforms allow far more reads than writes."""

    READ = "read"
    WRITE = "write"


class RequestGate:
    """Spaces calls evenly. A wait that the platform asks of one caller holds for every caller."""

    def __init__(
        self, per_second: Mapping[Lane, float], *, sleep: Sleep, monotonic: Monotonic
    ) -> None:
        if any(rate <= 0 for rate in per_second.values()):
            raise ValueError("a rate is more than 0 calls a second")
        self._apart = {lane: 1.0 / rate for lane, rate in per_second.items()}
        self._sleep = sleep
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._free_at = dict.fromkeys(per_second, 0.0)
        self._held_until = 0.0

    def hold(self, seconds: float) -> None:
        """Let nobody through for so long."""
        with self._lock:
            self._held_until = max(self._held_until, self._monotonic() + seconds)

    def enter(self, lane: Lane, until: float) -> bool:
        """Wait for one's turn. False, at once, when that would be later than ``until``."""
        while True:
            turn = self._next_turn(lane, until)
            if turn is None:
                return False
            if (pause := turn - self._monotonic()) > 0:
                self._sleep(pause)
            with self._lock:
                if turn >= self._held_until:
                    return True

    def _next_turn(self, lane: Lane, until: float) -> float | None:
        with self._lock:
            turn = max(self._monotonic(), self._free_at[lane], self._held_until)
            if turn > until:
                return None
            self._free_at[lane] = turn + self._apart[lane]
            return turn
