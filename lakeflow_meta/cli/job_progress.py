"""Progress of plans and applies as people see it: one line for all modules, none when it is quick.

What became of each module is in the result.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from lakeflow_meta.cli.live import Relay
from lakeflow_meta.progress import Event, Progress, StepState

PATIENCE_SECONDS = 1.0
"""What is done sooner is not worth a line."""

_OF_MODULES = ("plan", "apply")


@contextmanager
def condensed(relay: Relay, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Let the relay's sink see events of modules as one step, and only after a while."""
    sink = Condensed(relay.sink)
    relay.sink = sink
    timer = threading.Timer(patience_seconds, sink.begin)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Condensed:
    """A sink in front of another one."""

    def __init__(self, sink: Progress) -> None:
        self._sink = sink
        self._lock = threading.Lock()
        self._begun = False
        self._last: Event | None = None

    def begin(self) -> None:
        """Show from now on; first what came last."""
        with self._lock:
            self._begun = True
            if self._last is not None:
                self._sink(self._last)

    def __call__(self, event: Event) -> None:
        """Events of other steps, such as runs, pass as they are."""
        if event.step not in (*_OF_MODULES, "list"):
            self._sink(event)
            return
        with self._lock:
            self._last = _of_all(event)
            if self._begun:
                self._sink(self._last)


def _of_all(event: Event) -> Event:
    if event.step not in _OF_MODULES:
        return event
    ended = event.total > 0 and event.done >= event.total
    state = StepState.DONE if ended else StepState.RUNNING
    detail = f"{event.key}: {event.detail}" if event.key else event.detail
    return replace(event, key="modules", state=state, detail="" if ended else detail)
