"""Work that a task waits for, with a timeout and a stop of its own: ``dbutils.notebook.run``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lakeflow_meta.backends.local.tasks.task_attempt import (
    StopSignal,
    TaskFailedError,
    TaskStoppedError,
)

_LOOK_SECONDS = 0.05
_STOP_AGAIN_SECONDS = 0.5
_GIVE_UP_SECONDS = 10.0


class _SideRun:
    """The work in a thread, and how it ended."""

    def __init__(self, work: Callable[[StopSignal], str], name: str) -> None:
        self.stop = StopSignal()
        self.value = ""
        self.error: BaseException | None = None
        self._work = work
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            self.value = self._work(self.stop)
        except BaseException as error:  # noqa: BLE001 - handed to who waits for it
            self.error = error
        finally:
            self._ended.set()

    def ends_within(self, seconds: float) -> bool:
        """Wait in small steps: an exception that is to reach this thread needs its bytecode."""
        until = time.monotonic() + seconds
        while not self._ended.wait(_LOOK_SECONDS):
            if seconds and time.monotonic() > until:
                return False
        return True

    def end(self) -> None:
        """Stop it; asked again and again, for as long as that can help."""
        until = time.monotonic() + _GIVE_UP_SECONDS
        while time.monotonic() < until:
            self.stop.request()
            if self.ends_within(_STOP_AGAIN_SECONDS):
                return


def run_beside(
    work: Callable[[StopSignal], str], name: str, timeout_seconds: float, stop: StopSignal
) -> str:
    """What ``work`` gives. Raises what it raises, and TaskFailedError after ``timeout_seconds``.

    A timeout of 0 is none. ``stop`` reaches the work too.
    """
    side = _SideRun(work, name)
    with stop.by(side.stop.request):
        side.start()
        try:
            in_time = side.ends_within(timeout_seconds)
        except TaskStoppedError:
            side.end()
            raise
        if not in_time:
            side.end()
            raise TaskFailedError(f"notebook {name} timed out after {timeout_seconds:g} s")
    stop.check()
    if isinstance(side.error, TaskStoppedError):
        raise TaskFailedError(f"notebook {name} was stopped")
    if side.error is not None:
        raise side.error
    return side.value
