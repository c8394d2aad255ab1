"""Connections that are used again: at most so many at once, made on need, never a broken one.

Why not psycopg_pool: it connects in threads of its own and tells whoever waits only that time is
up, not why the server refused, which is what people need to know.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lakeflow_meta.errors import BackendError

if TYPE_CHECKING:
    import psycopg

logger = logging.getLogger(__name__)

POOL_EXHAUSTED = "POOL_EXHAUSTED"
_IDLE_SECONDS = 300.0
"""Longer idle connections are closed: firewalls forget them without a word."""


class PostgresPool:
    """Lends connections to threads. A process that was forked starts with none of its own."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection],
        *,
        size: int = 8,
        wait_seconds: float = 30.0,
    ) -> None:
        self._connect = connect
        self._size = size
        self._wait_seconds = wait_seconds
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._free = threading.BoundedSemaphore(self._size)
        self._lock = threading.Lock()
        self._idle: list[tuple[psycopg.Connection, float]] = []
        weakref.finalize(self, _close_all, self._idle, self._pid)

    @contextmanager
    def connection(self, *, fresh: bool = False) -> Iterator[psycopg.Connection]:
        """One connection for a while; ``fresh`` is one that nobody has used before.

        It is kept for the next only where it is idle afterwards, outside of a transaction. Raises
        BackendError ``POOL_EXHAUSTED`` where none gets free in time, and as connecting does.
        """
        if os.getpid() != self._pid:
            self._start()  # what the parent uses is not ours, not even to close
        free = self._free
        if not free.acquire(timeout=self._wait_seconds):
            raise BackendError(
                f"all {self._size} connections are in use, and none got free in"
                f" {self._wait_seconds:g} seconds; use fewer threads, or a larger"
                " postgres.pool_size",
                code=POOL_EXHAUSTED,
            )
        try:
            connection = self._connect() if fresh else self._taken() or self._connect()
            try:
                yield connection
            finally:
                self._give_back(connection)
        finally:
            free.release()

    def close(self) -> None:
        """Close the idle ones."""
        with self._lock:
            _close_all(self._idle, self._pid)

    def _taken(self) -> psycopg.Connection | None:
        """The one that was used last and still works. Says nothing of why others did not."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection, since = self._idle.pop()
            if time.monotonic() - since < _IDLE_SECONDS and not _is_dead(connection):
                return connection
            connection.close()

    def _give_back(self, connection: psycopg.Connection) -> None:
        from psycopg.pq import TransactionStatus

        if connection.info.transaction_status == TransactionStatus.IDLE:
            with self._lock:
                if len(self._idle) < self._size:
                    self._idle.append((connection, time.monotonic()))
                    return
        connection.close()


def _close_all(idle: list[tuple[psycopg.Connection, float]], pid: int) -> None:
    """In the process that made them; a forked one would end them for its parent."""
    while idle:
        connection, _ = idle.pop()
        if os.getpid() == pid:
            connection.close()


def _is_dead(connection: psycopg.Connection) -> bool:
    """Whether the server has closed an idle connection. A live one has nothing to say unasked.

    A notice that came meanwhile also counts: the connection is closed, and a new one made.
    """
    if connection.closed:
        return True
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN | select.POLLHUP)
    return bool(waiting.poll(0))
