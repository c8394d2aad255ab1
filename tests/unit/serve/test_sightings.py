"""What is seen of folders and Delta logs: new files, and versions that change data."""

import json
import os
from pathlib import Path

import pytest

from lakeflow_meta.backends.local.serving import LocalSightings
from lakeflow_meta.errors import BackendError, ConfigError
from lakeflow_meta.paths import PathMap


@pytest.fixture
def sightings(tmp_path: Path) -> LocalSightings:
    paths = PathMap(tmp_path / "project", tmp_path / "volumes")
    return LocalSightings(paths, tmp_path / "warehouse")


def _put(path: Path, text: str = "x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_files_are_seen_at_any_depth_and_hidden_ones_are_none(
    sightings: LocalSightings, tmp_path: Path
) -> None:
    folder = tmp_path / "volumes" / "a" / "b" / "c"
    for name in ("x.csv", "2026/01/y.csv", ".z.partial", "_tmp/w.csv", "d=1/v.csv"):
        _put(folder / "in" / name)
    assert set(sightings.files("/Volumes/a/b/c/in/")) == {"x.csv", "2026/01/y.csv", "d=1/v.csv"}
    assert sightings.files("/Volumes/a/b/c/in") == sightings.files("dbfs:/Volumes/a/b/c/in")


def test_a_folder_that_is_not_there_yet_is_empty(sightings: LocalSightings, tmp_path: Path) -> None:
    assert sightings.files("/Volumes/a/b/c") == {}
    assert sightings.files("incoming") == {}
    _put(tmp_path / "project" / "incoming" / "x")
    assert set(sightings.files("incoming")) == {"x"}


def test_storage_that_is_not_on_this_machine_is_refused_by_name(sightings: LocalSightings) -> None:
    with pytest.raises(ConfigError, match="s3 storage is not on this machine"):
        sightings.files("s3://bucket/in")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_an_error(
    sightings: LocalSightings, tmp_path: Path
) -> None:
    (tmp_path / "project" / "in").mkdir(parents=True, mode=0)
    with pytest.raises(BackendError, match="cannot be listed"):
        sightings.files("in")


# --------------------------------------------------------------------------- tables

ADD = {"add": {"path": "p", "dataChange": True}}
MOVED = {"add": {"path": "p", "dataChange": False}}
RENAMED = {"metaData": {"id": "1", "name": '"dataChange":true'}}


class Table:
    """A table's log, written commit by commit."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "_delta_log"
        self.log.mkdir(parents=True)
        self.commits = 0

    def commit(self, *actions: dict[str, object]) -> None:
        lines = [json.dumps(action) for action in ({"commitInfo": {}}, *actions)]
        (self.log / f"{self.commits:020}.json").write_text("\n".join(lines) + "\n")
        self.commits += 1


def test_versions_that_change_data_are_told_from_those_that_do_not(
    sightings: LocalSightings, tmp_path: Path
) -> None:
    assert sightings.data_version("m.s.t", -1) == (-1, False)
    table = Table(tmp_path / "warehouse" / "m" / "s" / "t")
    table.commit(RENAMED)
    assert sightings.data_version("m.s.t", -1) == (0, False)
    table.commit(ADD)
    assert sightings.data_version("m.s.t", 0) == (1, True)
    assert sightings.data_version("M.S.T", 1) == (1, False)
    table.commit(MOVED)
    table.commit(RENAMED)
    assert sightings.data_version("m.s.t", 1) == (3, False)
    table.commit({"remove": {"path": "p", "dataChange": True}})
    table.commit(MOVED)
    assert sightings.data_version("m.s.t", 3) == (5, True)


def test_a_commit_that_was_cleaned_up_meanwhile_counts_as_a_change(
    sightings: LocalSightings, tmp_path: Path
) -> None:
    table = Table(tmp_path / "warehouse" / "m" / "s" / "t")
    for _ in range(4):
        table.commit(MOVED)
    (table.log / f"{2:020}.json").unlink()
    assert sightings.data_version("m.s.t", 2) == (3, False)
    assert sightings.data_version("m.s.t", 1) == (3, True)


def test_a_table_that_was_made_anew_has_new_data(sightings: LocalSightings, tmp_path: Path) -> None:
    table = Table(tmp_path / "warehouse" / "m" / "s" / "t")
    table.commit(ADD)
    assert sightings.data_version("m.s.t", 9) == (0, True)


def test_a_torn_log_is_an_error_and_no_change(sightings: LocalSightings, tmp_path: Path) -> None:
    table = Table(tmp_path / "warehouse" / "m" / "s" / "t")
    (table.log / f"{0:020}.json").write_text('{"add": {"dataChange": tr')
    with pytest.raises(BackendError, match="cannot be read"):
        sightings.data_version("m.s.t", -1)


def test_a_view_is_refused_by_name(sightings: LocalSightings, tmp_path: Path) -> None:
    from lakeflow_meta.backends.local.spark.warehouse import Warehouse, checked_table

    name = checked_table("m", "s", "v")
    Warehouse(tmp_path / "warehouse").write_note(name, {"view": "SELECT 1"})
    with pytest.raises(BackendError, match="is a view"):
        sightings.data_version("m.s.v", -1)
