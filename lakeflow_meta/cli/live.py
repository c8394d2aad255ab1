"""Live progress: a view that redraws on a terminal, plain lines anywhere else. On stderr."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from lakeflow_meta.progress import Event, Progress, StepState, silent

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_MARKS = {
    StepState.STARTED: "…",
    StepState.RUNNING: "…",
    StepState.DONE: "✓",
    StepState.UNCHANGED: "=",
    StepState.SKIPPED: "-",
    StepState.FAILED: "✗",
}
_LINE_SECONDS = 10.0


class Relay:
    """A sink that can be pointed elsewhere while parts already hold it."""

    def __init__(self) -> None:
        self.sink: Progress = silent

    def __call__(self, event: Event) -> None:
        self.sink(event)


@contextmanager
def watching(relay: Relay, stream: TextIO) -> Iterator[None]:
    """Show progress on ``stream`` while the block runs."""
    if stream.isatty():
        with _live(stream) as sink:
            relay.sink = sink
            try:
                yield
            finally:
                relay.sink = silent
        return
    relay.sink = Lines(stream)
    try:
        yield
    finally:
        relay.sink = silent


class Lines:
    """One line when a step starts or ends, and every ten seconds in between."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._last: dict[tuple[str, str], float] = {}

    def __call__(self, event: Event) -> None:
        with self._lock:
            if self._is_due(event):
                self._stream.write(f"{line(event)}\n")
                self._stream.flush()

    def _is_due(self, event: Event) -> bool:
        key, now = (event.step, event.key), time.monotonic()
        if event.state is StepState.RUNNING and now - self._last.get(key, 0.0) < _LINE_SECONDS:
            return False
        self._last[key] = now
        return True


def line(event: Event) -> str:
    """One event as one line."""
    count = f" {event.done:,}/{event.total:,}" if event.total else ""
    detail = f"  {event.detail}" if event.detail else ""
    return f"  {_MARKS[event.state]} {event.step} {event.key}{count}{detail}"


@contextmanager
def _live(stream: TextIO) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    view = RichProgress(
        TextColumn("{task.fields[mark]}"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        console=Console(file=stream),
    )
    with view:
        yield _View(view)


class _View:
    """Rows of a rich progress view, one for each step and key."""

    def __init__(self, view: RichProgress) -> None:
        self._view = view
        self._lock = threading.Lock()
        self._rows: dict[tuple[str, str], TaskID] = {}

    def __call__(self, event: Event) -> None:
        with self._lock:
            row = self._row(event)
            self._view.update(
                row,
                total=event.total or None,
                completed=event.done,
                mark=_MARKS[event.state],
                detail=event.detail,
            )
            if event.state not in (StepState.STARTED, StepState.RUNNING):
                total = event.total or 1
                self._view.update(row, total=total, completed=total)
                self._view.stop_task(row)

    def _row(self, event: Event) -> TaskID:
        key = (event.step, event.key)
        if key not in self._rows or event.state is StepState.STARTED:
            self._rows[key] = self._view.add_task(
                f"{event.step} {event.key}", total=None, mark="…", detail=""
            )
        return self._rows[key]
