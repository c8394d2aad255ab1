"""What a task prints goes to its own log, also when several run in this process at once.

``sys.stdout`` and ``sys.stderr`` are one for the whole process. While any task runs they are
replaced by a switch that looks up the calling thread's log, and everything printed by other
threads goes where it went before. A thread that a task starts by itself is such another thread.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_current = threading.local()
_lock = threading.Lock()
_tasks = 0
_before: dict[str, Any] = {}


class _Switch:
    """Stands in for one of the two streams."""

    def __init__(self, otherwise: TextIO) -> None:
        self._otherwise = otherwise

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(_current, "output", None) or self._otherwise, name)


@contextmanager
def captured(output: TextIO) -> Iterator[None]:
    """Send what this thread prints to ``output``."""
    _install()
    outer = getattr(_current, "output", None)
    _current.output = output
    try:
        yield
    finally:
        _current.output = outer
        _uninstall()


def _install() -> None:
    global _tasks
    with _lock:
        _tasks += 1
        if _tasks == 1:
            for name in ("stdout", "stderr"):
                _before[name] = getattr(sys, name)
                setattr(sys, name, _Switch(_before[name]))


def _uninstall() -> None:
    """Put the streams back after the last task, unless somebody else has replaced them since."""
    global _tasks
    with _lock:
        _tasks -= 1
        if _tasks == 0:
            for name, before in _before.items():
                if isinstance(getattr(sys, name), _Switch):
                    setattr(sys, name, before)
            _before.clear()
