"""Progress: one callable that takes one event. Sinks decide how it looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class StepState(StrEnum):
    """How far one step is."""

    STARTED = "started"
    RUNNING = "running"
    DONE = "done"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened: ``step`` (a verb, e.g. ``ingest``) on ``key`` (its object).

    ``done`` of ``total`` units where both are known; ``detail`` is one short line.
    """

    step: str
    key: str
    state: StepState
    done: int = 0
    total: int = 0
    detail: str = ""


Progress = Callable[[Event], None]


def silent(_event: Event) -> None:
    """The default sink."""
