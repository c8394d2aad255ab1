"""What is under way, as lines of text: counts, rates, remaining time. Pure but for the logs' ends.

A board is told events and asked for lines, from one thread at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lakeflow_meta.progress import Event, StepState

MARKS = {
    StepState.STARTED: "…",
    StepState.RUNNING: "…",
    StepState.DONE: "✓",
    StepState.UNCHANGED: "=",
    StepState.SKIPPED: "-",
    StepState.FAILED: "✗",
}
_BAR = 12
_BAR_FROM_WIDTH = 80
_SURE_AFTER_SECONDS = 2.0
"""A rate of less than that says little."""
_LOG_BYTES = 2048

Line = tuple[StepState | None, str]
"""A line, and the state that its look follows."""
Now = Callable[[], float]
_Key = tuple[str, ...]


@dataclass(slots=True)
class Item:
    """One step on one object: the last event, when it began, and what was done before that."""

    event: Event
    began: float
    done_before: int
    ended: float | None = None

    def take(self, event: Event, now: float) -> None:
        """It went on, or came to its end."""
        self.event = event
        self.ended = now if event.state.ended else None

    def seconds(self, now: float) -> float:
        """Since it began, until its end."""
        return (now if self.ended is None else self.ended) - self.began

    def rate(self, now: float) -> float:
        """Units a second; 0 where it is too early to say."""
        seconds = self.seconds(now)
        return (self.event.done - self.done_before) / seconds if seconds >= 1.0 else 0.0

    def remaining(self, now: float) -> float | None:
        """Seconds that are left, if it goes on like this; None where that is not known."""
        rate = self.rate(now)
        known = self.ended is None and rate > 0 and self.event.total > self.event.done
        if not known or self.seconds(now) < _SURE_AFTER_SECONDS:
            return None
        return (self.event.total - self.event.done) / rate


@dataclass(slots=True)
class Board:
    """Everything that was told, by step and object, in the order of its beginning."""

    now: Now
    items: dict[_Key, Item] = field(default_factory=dict)
    wholes: dict[_Key, Item] = field(default_factory=dict)
    """What several objects are part of, such as a run of its tasks."""
    broken: set[_Key] = field(default_factory=set)
    """Wholes of which a part has failed."""

    def take(self, event: Event) -> Item:
        """Note an event; the item that it is of."""
        now = self.now()
        if event.part_of:
            key = (event.step, event.part_of)
            before = self.wholes.get(key)
            if before is not None and before.ended is not None and not event.state.ended:
                self.broken.discard(key)  # it runs once more
            if event.state is StepState.FAILED:
                self.broken.add(key)
            _put(self.wholes, key, _whole(event, broken=key in self.broken), now)
        return _put(self.items, (event.step, event.part_of, event.key), event, now)

    @property
    def running(self) -> list[Item]:
        """What has not ended."""
        return [item for item in self.items.values() if item.ended is None]

    def lines(self, width: int, height: int) -> Iterator[Line]:
        """The board in so many columns and at most so many rows."""
        now = self.now()
        logs = {id(i): t for i in self.running if (t := _last_line(i.event.log))}
        shown = self._shown(height - len(self.wholes) - len(logs) - 1)
        for header in (None, *self.wholes):
            if header is not None:
                whole = self.wholes[header]
                yield whole.event.state, cut(text(whole, now, bar=_has_bar(width)), width)
            for key, item in self.items.items():
                if key[:2] == (header or (key[0], "")) and id(item) in shown:
                    yield item.event.state, cut(text(item, now, bar=_has_bar(width)), width)
                    if id(item) in logs:
                        yield None, cut(f"      │ {logs[id(item)]}", width)
        if len(shown) < len(self.items):
            yield None, cut(f"    {self._hidden(shown)}", width)

    def _shown(self, room: int) -> set[int]:
        """What runs, then what ended last; as much as there is room for."""
        by_weight = sorted(
            self.items.values(), key=lambda i: (i.ended is not None, -(i.ended or 0.0))
        )
        return {id(item) for item in by_weight[: max(1, room)]}

    def _hidden(self, shown: set[int]) -> str:
        hidden = [item.event.state for item in self.items.values() if id(item) not in shown]
        counts = [f"{hidden.count(s):,} {s}" for s in StepState if s in hidden]
        return f"… and {len(hidden):,} more: {', '.join(counts)}"


def _put(items: dict[_Key, Item], key: _Key, event: Event, now: float) -> Item:
    known = items.get(key)
    again = known is not None and known.ended is not None and not event.state.ended
    if known is None or again:
        before = 0 if event.state is StepState.STARTED else event.done
        known = items[key] = Item(event, now, before)
    known.take(event, now)
    return known


def _whole(event: Event, *, broken: bool) -> Event:
    """The event of what it is part of."""
    ended = event.state.ended and event.total > 0 and event.done >= event.total
    end = StepState.FAILED if broken else StepState.DONE
    state = end if ended else StepState.RUNNING
    return Event(event.step, event.part_of, state, event.done, event.total, unit=event.unit)


# --------------------------------------------------------------------------- text


def text(item: Item, now: float, *, bar: bool = False) -> str:
    """One item as one line."""
    event = item.event
    indent = "    " if event.part_of else "  "
    name = event.key if event.part_of else f"{event.step} {event.key}"
    drawn = f" {_bar(event)}" if bar and not event.part_of and event.total else ""
    count = "" if event.part_of else _count(item)
    told = event.part_of and item.ended is not None and event.detail  # how long, or why not
    parts = [part for part in (*(() if told else _times(item, now)), event.detail) if part]
    return "  ".join([f"{indent}{MARKS[event.state]} {name}{drawn}{count}", *parts])


def _count(item: Item) -> str:
    event = item.event
    unit = f" {event.unit}" if event.unit else ""
    if event.total:
        return f" {event.done:,}/{event.total:,}{unit}"
    return f" {event.done:,}{unit}" if event.unit and event.done else ""


def _times(item: Item, now: float) -> Iterator[str]:
    event, seconds = item.event, item.seconds(now)
    if seconds >= 1.0:
        yield span(seconds)
    rate = item.rate(now)
    is_counted = event.unit not in ("", "tasks") and not event.part_of
    if rate and is_counted and "/s" not in event.detail:
        yield f"{rate:,.0f} {event.unit}/s" if rate >= 10 else f"{rate:,.1f} {event.unit}/s"
    left = item.remaining(now) if not event.part_of else None
    if left is not None:
        yield f"about {span(left)} left"


def _bar(event: Event) -> str:
    full = min(_BAR, _BAR * event.done // event.total)
    return "━" * full + "─" * (_BAR - full)


def _has_bar(width: int) -> bool:
    return width >= _BAR_FROM_WIDTH


def span(seconds: float) -> str:
    """``0:07``, ``12:30``, ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def cut(line: str, width: int) -> str:
    """At most so many characters, one line, nothing that moves the cursor."""
    line = "".join(c if c.isprintable() else " " for c in line)
    return line if len(line) <= width else f"{line[: max(0, width - 1)]}…"


def _last_line(log: Path | None) -> str:
    """The last line that has been written so far; none where there is no log yet."""
    if log is None:
        return ""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_BYTES))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
