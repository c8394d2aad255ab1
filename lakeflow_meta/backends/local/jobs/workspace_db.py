"""``workspace.db``: the SQLite file that keeps a workspace's jobs, queries and runs."""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path

from lakeflow_meta.backends.sqlite_file import SqliteFile

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


class WorkspaceDb(SqliteFile):
    """The open file, which others may read while one writes. Raises as `SqliteFile` does."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.write_ahead()
        self.lay_out(SCHEMA_VERSION, _upgrade)


def _upgrade(connection: sqlite3.Connection, version: int) -> None:
    steps = [_UPGRADES[older] for older in range(version, SCHEMA_VERSION)] if version else [_SCHEMA]
    for statement in "".join(steps).split(";"):
        connection.execute(statement)
    if not version:
        _start_ids_at_random(connection)


def _start_ids_at_random(connection: sqlite3.Connection) -> None:
    """Ids are never reused (AUTOINCREMENT), not even by a workspace made anew in the same place.

    Control tables outlive a deleted ``workspace.db`` and hold job ids: starting again at 1 would
    hand one module's old id to another module's new job. Ids stay below 2**53, as JSON needs.
    """
    for table in ("jobs", "runs"):
        start = 10**12 + secrets.randbelow(10**15)
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, start))
