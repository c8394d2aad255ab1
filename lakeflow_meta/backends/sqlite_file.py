"""One SQLite file that several processes keep: whole transactions, errors of ours, layouts.

One connection, shared by the threads of this process under a lock; other processes have their own.
Every write is one short transaction that takes the write lock at its start, so that two processes
never deadlock on an upgrade of their lock. A killed process leaves a whole transaction or none.

https://www.sqlite.org/atomiccommit.html
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lakeflow_meta.errors import BackendError, ConfigError

BUSY_SECONDS = 30.0

_BUSY = frozenset({"SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED", "SQLITE_BUSY_RECOVERY"})
_DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})


class SqliteFile:
    """The open file. ``if_damaged`` is what to do then, for people.

    Raises ConfigError when it cannot be made, BackendError when it cannot be read.
    """

    def __init__(self, path: Path, *, if_damaged: str = "") -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            hint = "give write permission, or choose another place with --home"
            raise ConfigError(f"{path.parent} cannot be made: {error.strerror}; {hint}") from error
        self.path = path
        self._if_damaged = if_damaged
        self._lock = threading.RLock()
        with self._translated():
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row

    def write_ahead(self) -> None:
        """Let others read while one writes: https://www.sqlite.org/wal.html.

        A commit is then on the disk only where `transaction` is ``durable``: a machine that stops
        loses the last ones, a process that dies none. SQLite does not wait for other openers here,
        so this waits itself.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        with self._translated():
            while True:
                try:
                    self._connection.execute("PRAGMA journal_mode = WAL")
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorname not in _BUSY or time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)
                else:
                    break
            self._connection.execute("PRAGMA synchronous = NORMAL")

    def lay_out(self, layout: int, make: Callable[[sqlite3.Connection, int], None]) -> None:
        """Bring the file to ``layout``: ``make`` leads there from the one that it has, 0 for a new
        file, in one transaction. A file that has it already is not locked.

        Raises ConfigError when a newer version wrote it.
        """
        if self._layout() == layout:
            return
        with self.transaction() as connection:
            found = self._layout()  # somebody else may have been quicker
            if found > layout:
                raise ConfigError(
                    f"{self.path} has layout {found}; this version of lakeflow_meta knows {layout}:"
                    " upgrade lakeflow_meta, or use another home"
                )
            if found < layout:
                make(connection, found)
                connection.execute(f"PRAGMA user_version = {layout}")

    def _layout(self) -> int:
        return int(self.rows("PRAGMA user_version")[0][0])

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """One write transaction; all of it or nothing. ``durable``: on the disk at its end."""
        with self._lock, self._translated(), self._synced(durable):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """The rows of one constant SELECT."""
        with self._lock, self._translated():
            try:
                return self._connection.execute(query, values).fetchall()
            except OverflowError:  # a number of more than 64 bits stands in no row
                return []

    def close(self) -> None:
        """Close the connection; further calls fail."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _synced(self, durable: bool) -> Iterator[None]:
        """https://www.sqlite.org/pragma.html#pragma_synchronous"""
        if not durable:
            yield
            return
        before = self._connection.execute("PRAGMA synchronous").fetchone()[0]
        self._connection.execute("PRAGMA synchronous = FULL")
        try:
            yield
        finally:
            self._connection.execute(f"PRAGMA synchronous = {before}")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorname", type(error).__name__)
            hint = f"; {self._if_damaged}" if self._if_damaged and code in _DAMAGED else ""
            message = f"{self.path}: {error}{hint}"
            raise BackendError(message, code=code, transient=code in _BUSY) from error
