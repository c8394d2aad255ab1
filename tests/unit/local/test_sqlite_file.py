from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from lakeflow_meta.backends import sqlite_file
from lakeflow_meta.backends.sqlite_file import SqliteFile
from lakeflow_meta.errors import BackendError, ConfigError


def synced(file: SqliteFile, *, durable: bool) -> int:
    with file.transaction(durable=durable) as connection:
        return int(connection.execute("PRAGMA synchronous").fetchone()[0])


def test_a_durable_transaction_is_on_the_disk_at_its_end_and_others_as_before(
    tmp_path: Path,
) -> None:
    file = SqliteFile(tmp_path / "a.db")
    file.write_ahead()
    assert [synced(file, durable=durable) for durable in (False, True, False)] == [1, 2, 1]
    file.close()


def test_a_file_is_laid_out_once_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    seen: list[int] = []

    def make(connection: sqlite3.Connection, found: int) -> None:
        seen.append(found)
        connection.execute(f"CREATE TABLE t{len(seen)} (a)")

    for layout in (1, 1, 2):
        file = SqliteFile(tmp_path / "new/a.db")
        file.lay_out(layout, make)
        file.close()
    assert seen == [0, 1]
    file = SqliteFile(tmp_path / "new/a.db")
    with pytest.raises(ConfigError, match="has layout 2; this version of lakeflow_meta knows 1"):
        file.lay_out(1, make)
    file.close()


def test_what_fails_on_the_way_to_a_layout_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path / "a.db")

    def make(connection: sqlite3.Connection, _found: int) -> None:
        connection.execute("CREATE TABLE t (a)")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        file.lay_out(1, make)
    assert file.rows("SELECT * FROM sqlite_master") == []
    file.close()


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"no database" * 100)
    file = SqliteFile(tmp_path / "a.db", if_damaged="delete it")
    with pytest.raises(BackendError, match="not a database; delete it"):
        file.rows("SELECT 1 FROM t")
    file.close()


def test_a_file_that_another_writes_for_too_long_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.05)
    one, other = SqliteFile(tmp_path / "a.db"), SqliteFile(tmp_path / "a.db")
    with one.transaction(), pytest.raises(BackendError) as caught, other.transaction():
        pass
    assert caught.value.transient
    one.close()
    other.close()
