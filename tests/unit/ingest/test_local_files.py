"""Listing and hashing files of this machine."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

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


def test_a_glob_is_matched_and_a_path_that_exists_is_itself(root: Path) -> None:
    assert listed(root, "in/*.csv") == ["in/a.csv", "in/x[1].csv"]
    assert listed(root, "in/**/c.csv") == ["in/deep/c.csv"]
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
