"""A run in time: lanes of tasks, bars of their attempts, ticks of an axis. Pure.

Places are percent of the whole width, so that the picture fits any screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from lakeflow_meta.ports import RunState

_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300)
_LONG_STEPS = (600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
_MOST_TICKS = 5
_THINNEST = 0.4


@dataclass(frozen=True, slots=True)
class Span:
    """An attempt of a task, one iteration of it, or a wait (``state`` None) before one."""

    lane: str
    label: str
    started_at: datetime
    ended_at: datetime | None
    state: RunState | None


@dataclass(frozen=True, slots=True)
class Bar:
    """A span as drawn: left edge and width in percent."""

    left: float
    width: float
    label: str
    state: RunState | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Lane:
    """What belongs to one task, in order of time. Without bars it never started."""

    key: str
    state: RunState
    bars: tuple[Bar, ...]

    @property
    def seconds(self) -> float:
        """How long its attempts took."""
        return sum(bar.seconds for bar in self.bars if bar.state is not None)


@dataclass(frozen=True, slots=True)
class Timeline:
    """All lanes, and the seconds of the axis with their places."""

    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[float, float], ...]
    seconds: float


def timeline(
    lanes: Sequence[tuple[str, RunState]],
    spans: Iterable[Span],
    started_at: datetime,
    until: datetime,
) -> Timeline:
    """Draw a run from its start until its end or now. What is outside of that is cut."""
    total = max((until - started_at).total_seconds(), 0.001)
    bars: dict[str, list[tuple[float, Bar]]] = {key: [] for key, _ in lanes}
    for span in spans:
        began = (span.started_at - started_at).total_seconds()
        ended = ((span.ended_at or until) - started_at).total_seconds()
        if span.lane in bars:
            bars[span.lane].append((began, _bar(span, began, ended, total)))
    drawn = tuple(
        Lane(key, state, tuple(bar for _, bar in sorted(bars[key], key=lambda pair: pair[0])))
        for key, state in lanes
    )
    return Timeline(drawn, _ticks(total), total)


def _bar(span: Span, began: float, ended: float, total: float) -> Bar:
    left = min(max(100 * began / total, 0.0), 100 - _THINNEST)
    right = min(max(100 * ended / total, left), 100.0)
    width = max(right - left, _THINNEST)
    return Bar(round(left, 2), round(width, 2), span.label, span.state, max(ended - began, 0.0))


def _ticks(total: float) -> tuple[tuple[float, float], ...]:
    """At most a handful of round numbers of seconds, and where they stand."""
    for step in (*_STEPS, *_LONG_STEPS):
        if total / step <= _MOST_TICKS:
            break
    else:
        step = total / _MOST_TICKS
    count = int(total / step)
    return tuple((n * step, round(100 * n * step / total, 2)) for n in range(count + 1))
