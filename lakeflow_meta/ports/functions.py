"""Doors that are one function each: the clock, waiting, and who acts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
Sleep = Callable[[float], None]

Actor = Callable[[], str]
"""Who acts, for history. The first call may go over the network, later ones are cheap: ask only
where something is written, and before it is. Raises BackendError."""


def utc_now() -> datetime:
    """The current time, aware, UTC. Nothing else in this package reads the clock."""
    return datetime.now(UTC)


def nobody() -> str:
    """An `Actor` that has no name."""
    return ""
