"""A workspace file of an older version is taken over as it is."""

import sqlite3
from pathlib import Path

import pytest
from workspace.conftest import Bench

from lakeflow_meta.backends.local.jobs.workspace_db import SCHEMA_VERSION
from lakeflow_meta.errors import ConfigError


def change(home: Path, *statements: str) -> None:
    with sqlite3.connect(home / "workspace.db") as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


SECOND = """
CREATE TABLE jobs (job_id INTEGER PRIMARY KEY AUTOINCREMENT, settings TEXT NOT NULL,
  created_at TEXT NOT NULL, updated_at TEXT NOT NULL, permissions TEXT);
CREATE TABLE queries (query_id TEXT PRIMARY KEY, display_name TEXT NOT NULL,
  query_text TEXT NOT NULL, warehouse_id TEXT NOT NULL, created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL, trashed_at TEXT);
CREATE TABLE runs (run_id INTEGER PRIMARY KEY AUTOINCREMENT, job_id INTEGER NOT NULL,
  job_name TEXT NOT NULL, settings TEXT NOT NULL, parameters TEXT NOT NULL, state TEXT NOT NULL,
  error TEXT NOT NULL DEFAULT '', started_at TEXT NOT NULL, ended_at TEXT,
  cancel_requested INTEGER NOT NULL DEFAULT 0, owner TEXT NOT NULL, heartbeat_at TEXT NOT NULL);
CREATE INDEX runs_of_job ON runs (job_id, run_id);
CREATE INDEX active_runs ON runs (job_id) WHERE ended_at IS NULL;
CREATE TABLE task_runs (run_id INTEGER NOT NULL REFERENCES runs (run_id), task_key TEXT NOT NULL,
  attempt INTEGER NOT NULL, position INTEGER NOT NULL, state TEXT NOT NULL, started_at TEXT,
  ended_at TEXT, error TEXT NOT NULL DEFAULT '', log TEXT,
  PRIMARY KEY (run_id, task_key, attempt)) WITHOUT ROWID;
INSERT INTO jobs VALUES (7, '{"name": "a"}', '2026-01-01T00:00:00+00:00',
  '2026-01-01T00:00:00+00:00', NULL);
INSERT INTO runs VALUES (9, 7, 'a', '{"name": "a", "tasks": [{"task_key": "t",
  "python_wheel_task": {"package_name": "lakeflow_meta", "entry_point": "x",
  "parameters": ["ok"]}}]}', '{"day": "1"}', 'failed', '', '2026-01-01T00:00:00+00:00',
  '2026-01-01T00:01:00+00:00', 0, 'h:1:1', '2026-01-01T00:01:00+00:00');
INSERT INTO task_runs VALUES (9, 't', 0, 0, 'failed', '2026-01-01T00:00:00+00:00',
  '2026-01-01T00:00:10+00:00', 'no', '/x/t.log'), (9, 't', 1, 0, 'failed',
  '2026-01-01T00:00:20+00:00', '2026-01-01T00:00:30+00:00', 'still no', NULL);
PRAGMA user_version = 2;
"""
FIRST = (
    SECOND.replace(", permissions TEXT", "")
    .replace("',\n  '2026-01-01T00:00:00+00:00', NULL", ("',\n  '2026-01-01T00:00:00+00:00'"))
    .replace("user_version = 2", "user_version = 1")
)


def make_older(home: Path, layout: str) -> None:
    home.mkdir()
    with sqlite3.connect(home / "workspace.db") as connection:
        connection.executescript(layout)
    connection.close()


@pytest.mark.parametrize("layout", [FIRST, SECOND])
def test_a_workspace_of_before_keeps_its_jobs_and_runs(tmp_path: Path, layout: str) -> None:
    make_older(tmp_path / "home", layout)
    later = Bench(tmp_path, user="ann").workspace
    assert later.get_job(7).settings == {"name": "a"}
    run = later.get_run(9)
    assert (run.state, run.parameters, run.repair_count) == ("failed", {"day": "1"}, 0)
    assert run.trigger.kind == "manual"
    assert [(t.attempt, t.error, t.seconds, t.iteration) for t in later.attempts(9)] == [
        (0, "no", 10.0, None),
        (1, "still no", 10.0, None),
    ]
    later.repair_run(9)
    repaired = later.follow_run(9)
    assert (repaired.state, repaired.tasks[0].attempt) == ("success", 2)
    owner = {"user_name": "ann", "permission_level": "IS_OWNER"}
    assert later.permissions.get(7) == [owner]
    viewers = {"group_name": "viewers", "permission_level": "CAN_VIEW"}
    later.permissions.update(7, [viewers])
    assert later.permissions.get(7) == [owner, viewers]
    assert later.create_job({"name": "b"}) > 7
    later.close()


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.workspace.close()
    change(bench.home, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(ConfigError, match="upgrade lakeflow_meta"):
        Bench(tmp_path)
