"""Ctrl-C while much is done at once: what has begun ends in order, nothing else begins.

The work runs beside the main thread, so that an interrupt never strikes between a call to the
platform and its record.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from lakeflow_meta.ports import Sleep

_LONGEST_NAP = 0.5


class Interruption:
    """Whether to stop, for one piece of work and everything that it waits for."""

    def __init__(self, tell: Callable[[], None]) -> None:
        """``tell`` is called once when the work is asked to stop."""
        self._tell = tell
        self._asked = threading.Event()

    @property
    def asked(self) -> bool:
        """Whether nothing more is to be begun."""
        return self._asked.is_set()

    def run(self, work: Callable[[], None]) -> None:
        """Do the work; a Ctrl-C is raised when what had begun has ended.

        A second Ctrl-C is raised at once, and leaves what is under way to itself.
        """
        pool = ThreadPoolExecutor(1, thread_name_prefix="apply")
        pool.submit(_nothing).result()  # so that there is a thread to wait for, come what may
        future: Future[None] | None = None
        try:
            future = pool.submit(work)
            _wait_for(future)
        except KeyboardInterrupt as stop:
            self._asked.set()
            self._tell()
            if future is None:
                pool.shutdown(wait=True)
                raise
            _wait_for(future)
            failure = future.exception()
            raise stop if isinstance(failure, _Stopping | None) else failure from None
        finally:
            pool.shutdown(wait=False)
        future.result()

    def sleeping(self, sleep: Sleep) -> Sleep:
        """The same sleep, but it ends the work soon after somebody asked for that."""

        def nap(seconds: float) -> None:
            left = seconds
            while left > 0 and not self.asked:
                sleep(min(left, _LONGEST_NAP))
                left -= _LONGEST_NAP
            if self.asked:
                raise _Stopping

        return nap


def _wait_for(future: Future[None]) -> None:
    """In short naps: an interrupt right before a long one would be noticed only after it."""
    while not future.done():
        wait([future], timeout=_LONGEST_NAP)


def _nothing() -> None:
    """Work that is done at once."""


class _Stopping(KeyboardInterrupt):
    """Unwinds work that waits for something."""
