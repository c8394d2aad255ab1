"""``workspace.db``: the SQLite file that keeps a workspace's jobs, queries and runs.

One connection, shared by the threads of this process under a lock; other processes have their own.
WAL lets them read while one writes; every write is one short transaction that takes the write
lock at its start, so that two processes never deadlock on an upgrade of their lock. A killed
process leaves a whole transaction or none.

https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lakeflow_meta.errors import BackendError, ConfigError

BUSY_SECONDS = 30.0
SCHEMA_VERSION = 3

_JOBS = """
CREATE TABLE jobs (
  job_id INTEGER PRIMARY KEY AUTOINCREMENT,
  settings TEXT NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  permissions TEXT
);
CREATE TABLE queries (
  query_id TEXT PRIMARY KEY,
  display_name TEXT NOT NULL,
  query_text TEXT NOT NULL,
  warehouse_id TEXT NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  trashed_at TEXT
);
"""

_RUNS = """
CREATE TABLE runs (
  run_id INTEGER PRIMARY KEY AUTOINCREMENT,
  job_id INTEGER NOT NULL,
  job_name TEXT NOT NULL,
  settings TEXT NOT NULL,
  parameters TEXT NOT NULL,
  state TEXT NOT NULL,
  error TEXT NOT NULL DEFAULT '',
  started_at TEXT NOT NULL,
  ended_at TEXT,
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  owner TEXT NOT NULL,
  heartbeat_at TEXT NOT NULL
);
CREATE INDEX runs_of_job ON runs (job_id, run_id);
CREATE INDEX active_runs ON runs (job_id) WHERE ended_at IS NULL;
"""

# Rows of a task hold iteration -1; those of an iteration its number.
_TASK_RUNS = """
CREATE TABLE task_runs (
  run_id INTEGER NOT NULL REFERENCES runs (run_id),
  task_key TEXT NOT NULL,
  iteration INTEGER NOT NULL DEFAULT -1,
  attempt INTEGER NOT NULL,
  position INTEGER NOT NULL,
  state TEXT NOT NULL,
  started_at TEXT,
  ended_at TEXT,
  error TEXT NOT NULL DEFAULT '',
  log TEXT,
  outcome TEXT NOT NULL DEFAULT '',
  input TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (run_id, task_key, iteration, attempt)
) WITHOUT ROWID;
"""

_TASK_GRAPH = """
ALTER TABLE runs ADD COLUMN trigger_kind TEXT NOT NULL DEFAULT 'manual';
ALTER TABLE runs ADD COLUMN trigger_at TEXT;
ALTER TABLE runs ADD COLUMN trigger_details TEXT NOT NULL DEFAULT '{}';
ALTER TABLE runs ADD COLUMN token TEXT;
ALTER TABLE runs ADD COLUMN queued_at TEXT;
ALTER TABLE runs ADD COLUMN repair_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN repaired_at TEXT;
ALTER TABLE runs ADD COLUMN parent_run_id INTEGER;
ALTER TABLE runs ADD COLUMN parent_task TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN parent_attempt INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX run_tokens ON runs (job_id, token) WHERE token IS NOT NULL;
CREATE INDEX child_runs ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE TABLE task_values (
  run_id INTEGER NOT NULL REFERENCES runs (run_id),
  task_key TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (run_id, task_key, key)
) WITHOUT ROWID;
CREATE TABLE task_outputs (
  run_id INTEGER NOT NULL REFERENCES runs (run_id),
  task_key TEXT NOT NULL,
  output TEXT NOT NULL,
  PRIMARY KEY (run_id, task_key)
) WITHOUT ROWID;
"""

_ITERATIONS = (
    "ALTER TABLE task_runs RENAME TO older_task_runs;"
    + _TASK_RUNS
    + """
INSERT INTO task_runs (run_id, task_key, attempt, position, state, started_at, ended_at, error, log)
SELECT run_id, task_key, attempt, position, state, started_at, ended_at, error, log
FROM older_task_runs;
DROP TABLE older_task_runs;
"""
)

_SCHEMA = _JOBS + _RUNS + _TASK_RUNS + _TASK_GRAPH
_UPGRADES = {
    1: "ALTER TABLE jobs ADD COLUMN permissions TEXT;",
    2: _ITERATIONS + _TASK_GRAPH,
}
"""What leads from a layout to the next one."""

_BUSY = frozenset({"SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED", "SQLITE_BUSY_RECOVERY"})


class WorkspaceDb:
    """The open file. Raises ConfigError when it cannot be made, or a newer version wrote it."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            hint = "give write permission, or choose another place with --home"
            raise ConfigError(f"{path.parent} cannot be made: {error.strerror}; {hint}") from error
        self._path = path
        self._lock = threading.RLock()
        with _translated(path):
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            _use_wal(self._connection)
            self._connection.execute("PRAGMA synchronous = NORMAL")
        with self.transaction() as connection:
            _create_or_check(connection, path)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One write transaction; all of it or nothing."""
        with self._lock, _translated(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """The rows of one constant SELECT."""
        with self._lock, _translated(self._path):
            try:
                return self._connection.execute(query, values).fetchall()
            except OverflowError:  # a number of more than 64 bits stands in no row
                return []

    def close(self) -> None:
        """Close the connection; further calls fail."""
        with self._lock:
            self._connection.close()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorname", type(error).__name__)
        raise BackendError(f"{path}: {error}", code=code, transient=code in _BUSY) from error


def _use_wal(connection: sqlite3.Connection) -> None:
    """Turn WAL on. SQLite does not wait for other openers here, so this waits itself."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname not in _BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _create_or_check(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise ConfigError(
            f"{path} has layout {version}; this version of lakeflow_meta knows {SCHEMA_VERSION}:"
            " upgrade lakeflow_meta, or use another home"
        )
    if version == SCHEMA_VERSION:
        return
    steps = [_UPGRADES[older] for older in range(version, SCHEMA_VERSION)] if version else [_SCHEMA]
    for statement in "".join(steps).split(";"):
        connection.execute(statement)
    if not version:
        _start_ids_at_random(connection)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _start_ids_at_random(connection: sqlite3.Connection) -> None:
    """Ids are never reused (AUTOINCREMENT), not even by a workspace made anew in the same place.

    Control tables outlive a deleted ``workspace.db`` and hold job ids: starting again at 1 would
    hand one module's old id to another module's new job. Ids stay below 2**53, as JSON needs.
    """
    for table in ("jobs", "runs"):
        start = 10**12 + secrets.randbelow(10**15)
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, start))
