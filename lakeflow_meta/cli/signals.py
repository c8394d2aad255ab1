"""What SIGTERM and Ctrl-C do while a command runs; only the main thread may say so."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Handlers = Mapping[signal.Signals, Any]


@contextmanager
def sigterm_like_ctrl_c() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, too: what is under way is stopped in order."""
    with _handled({signal.SIGTERM: signal.default_int_handler}):
        yield


@contextmanager
def asked_by_signals(ask: Callable[[], None], *, patience: int = 1) -> Iterator[None]:
    """SIGTERM and Ctrl-C call ``ask``, which takes no lock: what it interrupts may hold it.

    After ``patience`` of them they do again what they did before.
    """
    asked = 0

    def handler(_number: int, _frame: Any) -> None:
        nonlocal asked
        asked += 1
        ask()
        if asked >= patience:
            _set(before)

    with _handled({signal.SIGTERM: handler, signal.SIGINT: handler}) as before:
        yield


@contextmanager
def _handled(handlers: Handlers) -> Iterator[Handlers]:
    """Handlers for a while; yields those that were there before."""
    if threading.current_thread() is not threading.main_thread():
        yield {}
        return
    before = {number: signal.getsignal(number) for number in handlers}
    _set(handlers)
    try:
        yield before
    finally:
        _set(before)


def _set(handlers: Handlers) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
