"""Listing and hashing files of this machine."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakeflow_meta.backends.local_files import LocalFiles
from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.paths import PathMap


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (
        "in/a.csv",
        "in/b.json",
        "in/_meta.csv",
        "in/.hid.csv",
        "in/deep/c.csv",
        "in/_tmp/d.csv",
        "in/day=1/e.csv",
        "volumes/c/s/v/f.csv",
        "in/x[1].csv",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def listed(root: Path, path: str, **config: Any) -> list[str]:
    files = LocalFiles(PathMap(root, root / "volumes"))
    source = FileSource.parse("m/s", {"path": path, "format": "csv", **config}, {"table": "a.b.c"})
    return sorted(file.path.removeprefix(f"{root}/") for file in files.list_files(source))


def test_a_directory_is_its_files_without_hidden_ones(root: Path) -> None:
    assert listed(root, "in") == ["in/a.csv", "in/b.json", "in/x[1].csv"]


def test_recursion_leaves_out_hidden_directories(root: Path) -> None:
    found = listed(root, "in", recursive=True, glob="*.csv")
    assert found == ["in/a.csv", "in/day=1/e.csv", "in/deep/c.csv", "in/x[1].csv"]


def test_a_directory_that_links_to_itself_is_walked_once(root: Path) -> None:
    (root / "in/deep/loop").symlink_to(root / "in/deep")
    assert listed(root, "in/deep", recursive=True) == ["in/deep/c.csv", "in/deep/loop/c.csv"]


def test_a_link_to_a_folder_above_ends_somewhere_and_one_to_nowhere_is_nothing(root: Path) -> None:
    (root / "in/deep/up").symlink_to(root / "in")
    (root / "in/deep/gone.csv").symlink_to(root / "nowhere.csv")
    found = listed(root, "in", recursive=True, glob="c.csv")
    assert "in/deep/c.csv" in found
    assert len(found) < 5


@pytest.mark.parametrize("path", ["in", "in/**/c.csv", "in/*"])
def test_a_folder_that_may_not_be_read_is_an_error_wherever_it_lies(root: Path, path: str) -> None:
    """Files that nobody could see must not look like files that are not there."""

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.scandir" and active and str(arguments[0]).endswith("in/deep"):
            raise PermissionError(13, "Permission denied", str(arguments[0]))

    active = [True]
    sys.addaudithook(refuse)
    try:
        with pytest.raises(BackendError, match="in/deep cannot be listed: Permission denied"):
            listed(root, path, recursive=True)
    finally:
        active.clear()


def test_names_may_be_anything_that_is_text(root: Path) -> None:
    names = ["a b.csv", "100%.csv", "#1.csv", "x+y.csv", "new\nline.csv", "ä€😀.csv", "q'\".csv"]
    folder = root / "odd"
    folder.mkdir()
    for name in names:
        (folder / name).write_text(name)
    assert listed(root, "odd") == sorted(f"odd/{name}" for name in names)


def test_a_name_that_is_no_text_is_refused_alone(root: Path) -> None:
    (root / "in" / os.fsdecode(b"\xff.csv")).write_text("x")
    files = LocalFiles(PathMap(root))
    source = FileSource.parse("m/s", {"path": "in", "format": "csv"}, {"table": "a.b.c"})
    listing = files.list_files(source)
    assert len(listing) == 3
    assert [*listing.refused.values()] == ["its name is no text in UTF-8; rename it"]


def test_the_archive_is_no_part_of_its_source(root: Path) -> None:
    config = {"after_success": "archive", "archive_path": "in/deep", "recursive": True}
    assert listed(root, "in", glob="c.csv", **config) == []
    assert listed(root, "in/**/c.csv", **config) == []


def test_a_glob_is_matched_and_a_path_that_exists_is_itself(root: Path) -> None:
    assert listed(root, "in/*.csv") == ["in/a.csv", "in/x[1].csv"]
    assert listed(root, "in/**/c.csv") == ["in/deep/c.csv"]
    assert listed(root, "in/d*") == ["in/day=1/e.csv", "in/deep/c.csv"]
    assert listed(root, "in/d*/*.csv") == ["in/day=1/e.csv", "in/deep/c.csv"]
    assert "in/_tmp/d.csv" not in listed(root, "in/**")
    assert listed(root, "in/x[1].csv") == ["in/x[1].csv"]
    assert listed(root, "in/*.none") == []


def test_absolute_and_volume_paths_are_kept_as_they_are_known(root: Path) -> None:
    assert listed(root, str(root / "in/a.csv")) == ["in/a.csv"]
    assert listed(root, "/Volumes/c/s/v") == ["/Volumes/c/s/v/f.csv"]
    assert listed(root, "/Volumes/c/s/v/*.csv") == ["/Volumes/c/s/v/f.csv"]


@pytest.mark.parametrize("path", ["none", "none/*.csv", "in/none.csv", "/Volumes/c/s/none"])
def test_what_is_not_there_is_an_error(root: Path, path: str) -> None:
    with pytest.raises(NotFoundError, match="none"):
        listed(root, path)


def test_a_hidden_file_named_by_itself_is_an_error_because_spark_reads_it_as_empty(
    root: Path,
) -> None:
    with pytest.raises(BackendError, match="rename"):
        listed(root, "in/_meta.csv")


def test_times_are_exact_to_the_microsecond(root: Path) -> None:
    os.utime(root / "in/a.csv", ns=(0, 1_700_000_000_123_456_789))
    files = LocalFiles(PathMap(root))
    (found,) = files.stat([str(root / "in/a.csv")]).values()
    assert found.modified_at.isoformat() == "2023-11-14T22:13:20.123456+00:00"


def test_bytes_are_hashed_and_a_changing_file_is_left_out(root: Path) -> None:
    files = LocalFiles(PathMap(root))
    paths = [str(root / name) for name in ("in/a.csv", "in/b.json", "in/deep/c.csv")]
    found = files.stat(paths)
    (root / "in/b.json").write_text("longer than it was")
    (root / "in/deep/c.csv").unlink()
    digests = files.digest(list(found.values()))
    assert [(item.path, item.file_hash) for item in digests.hashed] == [
        (paths[0], hashlib.sha256(b"in/a.csv").hexdigest())
    ]
    assert digests.unreadable == {}
    assert files.stat(paths).keys() == set(paths[:2])


def test_of_a_delta_table_the_newest_version_is_found(root: Path) -> None:
    table = root / "lake/t"
    for number in range(2):
        write_deltalake(table, pa.table({"id": [number]}), mode="append")
    files = LocalFiles(PathMap(root, root / "volumes"))
    source = FileSource.parse(
        "m/s", {"path": "lake/t", "format": "delta"}, {"table": "a.b.c", "write_mode": "overwrite"}
    )
    (found,) = files.list_files(source)
    assert found.path == f"{table}@v1"
    assert found.size_bytes > 0
    assert files.stat([found.path]) == {found.path: found}
    (hashed,) = files.digest([found]).hashed
    assert hashed.file_hash == f"delta:{DeltaTable(table).metadata().id}@v1"
    write_deltalake(table, pa.table({"id": [9]}), mode="append")
    assert files.stat([found.path]) == {found.path: found}, "a version stays what it is"
    assert files.stat([f"{table}@v7", f"{root}/in/a.csv@v1"]) == {}
    (table / "_delta_log/00000000000000000001.json").unlink()
    assert files.stat([found.path]) == {}
    gone = FileSource.parse(
        "m/s", {"path": "lake/x", "format": "delta"}, {"table": "a.b.c", "write_mode": "overwrite"}
    )
    with pytest.raises(NotFoundError, match="no Delta table"):
        files.list_files(gone)
