"""Live progress: a view that redraws on a terminal, plain lines anywhere else. On stderr."""

from __future__ import annotations

import io
import logging
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from lakeflow_meta.cli.progress_board import Board, Item, Now, text
from lakeflow_meta.progress import Event, Progress, StepState, silent

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.live import Live

BETWEEN_LINES_SECONDS = 10.0
"""Of a log, for what is under way; what ends is told at once."""
_REDRAWS_PER_SECOND = 6.0
_MOST_ENDS = 50
"""Lines for objects of one step that ended well; a thousand of them say less than a count."""


class Relay:
    """A sink that can be pointed elsewhere while parts already hold it."""

    def __init__(self) -> None:
        self.sink: Progress = silent

    def __call__(self, event: Event) -> None:
        self.sink(event)


@contextmanager
def watching(relay: Relay, stream: TextIO) -> Iterator[TextIO]:
    """Show progress on ``stream`` while the block runs, which may print to what it is given."""
    sink = Screen(stream) if redraws(stream, os.environ) else Lines(stream)
    relay.sink = sink
    try:
        with sink.shown():
            if isinstance(sink, Screen):
                with Above(sink, stream) as above:
                    yield above
            else:
                yield stream
    finally:
        relay.sink = silent


def redraws(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether a view may be drawn again and again: a terminal that can, and nobody logs to it."""
    return (
        stream.isatty()
        and environment.get("TERM", "") not in ("", "dumb", "unknown")
        and not environment.get("CI")
        and not logging.getLogger().isEnabledFor(logging.INFO)
    )


# --------------------------------------------------------------------------- plain lines


class Lines:
    """A line for what ends, and every ten seconds one for what is under way."""

    def __init__(self, stream: TextIO, now: Now = time.monotonic) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._board = Board(now)
        self._ends: Counter[str] = Counter()
        self._told_at: float | None = None

    def __call__(self, event: Event) -> None:
        with self._lock:
            item = self._board.take(event)
            if not event.state.ended:
                self._tell_running(item)
            elif self._is_worth_a_line(event):
                self._write(item)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """While the block runs, also what sends no events is told of."""
        ended = threading.Event()
        thread = threading.Thread(target=self._keep_telling, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def tick(self) -> None:
        """Tell what is under way, if nothing was told for ten seconds."""
        with self._lock:
            running = self._board.running
            if running:
                self._tell_running(running[0], others=len(running) - 1)

    def _keep_telling(self, ended: threading.Event) -> None:
        while not ended.wait(BETWEEN_LINES_SECONDS):
            self.tick()

    def _tell_running(self, item: Item, others: int = 0) -> None:
        now = self._board.now()
        if self._told_at is not None and now - self._told_at < BETWEEN_LINES_SECONDS:
            return
        self._told_at = now
        self._write(item, f"  (and {others} more)" if others else "")

    def _is_worth_a_line(self, event: Event) -> bool:
        self._ends[event.step] += 1
        return event.state is StepState.FAILED or self._ends[event.step] <= _MOST_ENDS

    def _write(self, item: Item, more: str = "") -> None:
        self._stream.write(f"{self._line(item)}{more}\n")
        self._stream.flush()

    def _line(self, item: Item) -> str:
        event, now = item.event, self._board.now()
        if not event.part_of:
            return text(item, now)
        whole = f"{event.step} {event.part_of} {event.done:,}/{event.total:,} {event.unit}"
        return f"  {whole.rstrip()}:{text(item, now)[3:]}"


# --------------------------------------------------------------------------- a terminal


class Screen:
    """A board that is drawn in place; nothing is drawn before the first event."""

    def __init__(self, stream: TextIO, now: Now = time.monotonic) -> None:
        self._stream = stream
        self._lock = threading.RLock()  # making a view draws it
        self._board = Board(now)
        self._live: Live | None = None

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._board.take(event)
            begins = self._live is None
            if begins:
                self._live = self._make()
        if begins and self._live is not None:
            self._live.start()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Whatever ends the block, the cursor is given back and the last state stays."""
        try:
            yield
        finally:
            if self._live is not None:
                self._live.stop()

    def print_above(self, line: str) -> bool:
        """Print a line above the view, as it is; whether there is a view."""
        from rich.text import Text

        live = self._live
        if live is not None:
            live.console.print(Text(line), soft_wrap=True)
        return live is not None

    def _make(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stream, markup=False, highlight=False, emoji=False)
        return Live(
            get_renderable=lambda: self._drawn(console),
            console=console,
            refresh_per_second=_REDRAWS_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def _drawn(self, console: Console) -> Group:
        from rich.console import Group
        from rich.text import Text

        height = shutil.get_terminal_size().lines - 1
        with self._lock:
            lines = list(self._board.lines(console.width, height))
        return Group(*(Text(line, style=_style(state), no_wrap=True) for state, line in lines))


class Above(io.StringIO):
    """What a script prints while a view is drawn: whole lines, above the view."""

    def __init__(self, screen: Screen, stream: TextIO) -> None:
        super().__init__()
        self._screen = screen
        self._below = stream
        self._begun = ""

    def write(self, text: str) -> int:
        """Print the lines that are whole; the rest waits for its end."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if not self._screen.print_above(line):
                self._below.write(f"{line}\n")
        return len(text)

    def flush(self) -> None:
        """Nothing waits but a line that has no end."""
        if not self.closed:
            self._below.flush()

    def close(self) -> None:
        """Print the line that has no end."""
        if self._begun:
            self.write("\n")
        super().close()


_STYLES = {
    StepState.DONE: "green",
    StepState.FAILED: "bold red",
    StepState.UNCHANGED: "dim",
    StepState.SKIPPED: "dim",
}


def _style(state: StepState | None) -> str:
    return "dim" if state is None else _STYLES.get(state, "")
