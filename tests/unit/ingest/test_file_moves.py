"""Archiving and deleting real files."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from lakeflow_meta.backends import file_moves
from lakeflow_meta.backends.local_files import LocalFiles
from lakeflow_meta.ingest.files import HashedFile
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.paths import PathMap

ARCHIVE = {"after_success": "archive", "archive_path": "done", "recursive": True}


class Place:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = LocalFiles(PathMap(root, root / "volumes"))

    def write(self, name: str, text: str = "x") -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def put_away(self, path: str = "in", **config: Any) -> dict[str, str]:
        given = {"path": path, "format": "csv", **config}
        source = FileSource.parse("m/s", given, {"table": "a.b.c"})
        hashed = self.files.digest([*self.files.list_files(source)]).hashed
        return self.move(source, *hashed)

    def move(self, source: FileSource, *files: HashedFile) -> dict[str, str]:
        return dict(self.files.put_away(source, files))

    def tree(self) -> dict[str, str]:
        return {
            path.relative_to(self.root).as_posix(): path.read_text()
            for path in self.root.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_files_go_to_the_archive_as_they_lay(place: Place) -> None:
    place.write("in/a.csv", "1")
    place.write("in/deep/b c%#\n.csv", "2")
    os.utime(place.root / "in/a.csv", ns=(5, 5))
    assert place.put_away(**ARCHIVE) == {}
    assert place.tree() == {"done/a.csv": "1", "done/deep/b c%#\n.csv": "2"}
    assert (place.root / "done/a.csv").stat().st_mtime_ns == 5


@pytest.mark.parametrize("path", ["in/deep/a.csv", "in/deep/*.csv", "in/*/a.csv"])
def test_below_the_folder_that_the_path_names(place: Place, path: str) -> None:
    place.write("in/deep/a.csv")
    place.put_away(path, **ARCHIVE)
    expected = "done/deep/a.csv" if path == "in/*/a.csv" else "done/a.csv"
    assert list(place.tree()) == [expected]


def test_deleted_files_are_gone(place: Place) -> None:
    place.write("in/a.csv")
    assert place.put_away(after_success="delete") == {}
    assert place.tree() == {}


def test_volumes_are_archives_too(place: Place) -> None:
    place.write("volumes/c/s/v/in/a.csv")
    place.put_away("/Volumes/c/s/v/in", after_success="archive", archive_path="/Volumes/c/s/v/done")
    assert list(place.tree()) == ["volumes/c/s/v/done/a.csv"]


def test_nothing_in_the_archive_is_overwritten(place: Place) -> None:
    for text in ("1", "2", "2", "3"):
        place.write("in/a.tar.gz", text)
        assert place.put_away(**ARCHIVE) == {}
    names = {
        text: f"done/a-{hashlib.sha256(text.encode()).hexdigest()[:12]}.tar.gz" for text in "23"
    }
    assert place.tree() == {"done/a.tar.gz": "1", names["2"]: "2", names["3"]: "3"}


def test_a_file_that_changed_since_it_was_ingested_stays(place: Place) -> None:
    place.write("in/a.csv", "1")
    given = {"path": "in", "format": "csv", "after_success": "delete"}
    source = FileSource.parse("m/s", given, {"table": "a.b.c"})
    hashed = place.files.digest([*place.files.list_files(source)]).hashed
    place.write("in/a.csv", "22")
    assert place.move(source, *hashed) == {}
    assert place.tree() == {"in/a.csv": "22"}
    (place.root / "in/a.csv").unlink()
    assert place.move(source, *hashed) == {}, "one that is gone is gone"


def test_a_link_is_archived_as_a_file_and_what_it_points_to_stays(place: Place) -> None:
    place.write("elsewhere/a.csv", "1")
    (place.root / "in").mkdir()
    (place.root / "in/a.csv").symlink_to(place.root / "elsewhere/a.csv")
    assert place.put_away(**ARCHIVE) == {}
    assert place.tree() == {"elsewhere/a.csv": "1", "done/a.csv": "1"}
    assert not (place.root / "done/a.csv").is_symlink()


def test_what_cannot_be_moved_says_why_and_the_others_are_moved(place: Place) -> None:
    place.write("in/a/b.csv", "1")
    place.write("in/c.csv", "2")
    place.write("done/a", "a file where a folder should be")
    failures = place.put_away(**ARCHIVE)
    assert list(failures) == [str(place.root / "in/a/b.csv")]
    assert "cannot be moved to" in failures[str(place.root / "in/a/b.csv")]
    assert (place.root / "done/c.csv").read_text() == "2"


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.ENOTSUP])
def test_across_file_systems_and_without_hard_links_files_are_copied(
    place: Place, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    link = os.link

    def refuse(source: Any, target: Any, **options: Any) -> None:
        if code != errno.EXDEV or not str(source).endswith(".partial"):
            raise OSError(code, os.strerror(code))
        link(source, target, **options)

    monkeypatch.setattr(file_moves.os, "link", refuse)
    for text in ("1", "2", "1"):
        place.write("in/a.csv", text)
        assert place.put_away(**ARCHIVE) == {}
    assert sorted(place.tree().values()) == ["1", "2"]
    assert place.tree()["done/a.csv"] == "1"


def test_died_between_the_two_names_the_next_run_takes_the_old_one_away(place: Place) -> None:
    place.write("in/a.csv", "1")
    (place.root / "done").mkdir()
    os.link(place.root / "in/a.csv", place.root / "done/a.csv")
    assert place.put_away(**ARCHIVE) == {}
    assert place.tree() == {"done/a.csv": "1"}
