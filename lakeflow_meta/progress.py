"""Progress: one callable that takes one event. Sinks decide how it looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class StepState(StrEnum):
    """How far one step is."""

    STARTED = "started"
    RUNNING = "running"
    DONE = "done"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing more will be told of the step."""
        return self not in (StepState.STARTED, StepState.RUNNING)


@dataclass(frozen=True, slots=True)
class Event:
    """What happened: ``step`` (a verb, e.g. ``ingest``) on ``key`` (its object).

    ``done`` of ``total`` units where both are known; ``detail`` is one short line. ``unit`` is what
    is counted, in the plural (files, rows, tasks). Where ``part_of`` is given, ``done`` and
    ``total`` count the objects of that whole (the tasks of a run), not this one's own work.
    ``log`` is where the object writes what it prints.
    """

    step: str
    key: str
    state: StepState
    done: int = 0
    total: int = 0
    detail: str = ""
    unit: str = ""
    part_of: str = ""
    log: Path | None = None


Progress = Callable[[Event], None]


def silent(_event: Event) -> None:
    """The default sink."""
