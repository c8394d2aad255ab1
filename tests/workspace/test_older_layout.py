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


def test_jobs_of_before_permissions_belong_to_whoever_opens_the_workspace(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    job_id = bench.workspace.create_job({"name": "a"})
    bench.workspace.close()
    change(bench.home, "ALTER TABLE jobs DROP COLUMN permissions", "PRAGMA user_version = 1")
    later = Bench(tmp_path, user="ann").workspace
    assert later.get_job(job_id).settings == {"name": "a"}
    owner = {"user_name": "ann", "permission_level": "IS_OWNER"}
    assert later.permissions.get(job_id) == [owner]
    viewers = {"group_name": "viewers", "permission_level": "CAN_VIEW"}
    later.permissions.update(job_id, [viewers])
    assert later.permissions.get(job_id) == [owner, viewers]
    assert later.create_job({"name": "b"}) > job_id
    later.close()


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.workspace.close()
    change(bench.home, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(ConfigError, match="upgrade lakeflow_meta"):
        Bench(tmp_path)
