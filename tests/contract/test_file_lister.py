"""What every `FileLister` promises: the one of this machine, and the fake that stands for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import pytest

from lakeflow_meta.backends.any_files import AnyFiles
from lakeflow_meta.backends.local_files import LocalFiles
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.ingest.files import FoundFile
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.paths import PathMap
from lakeflow_meta.ports import FileLister
from lakeflow_meta.testing.fake_ingest import FakeFiles


class Place(Protocol):
    """A folder ``in`` with a lister over it."""

    lister: FileLister
    root: str

    def put(self, name: str, text: str) -> None: ...
    def remove(self, name: str) -> None: ...
    def text(self, name: str) -> str: ...


class OnDisk:
    def __init__(self, root: Path) -> None:
        local = LocalFiles(PathMap(root))
        self.lister = AnyFiles(local, FakeFiles())
        self.root = str(root)
        self._time = 1_700_000_000

    def put(self, name: str, text: str) -> None:
        path = Path(self.root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self._time += 1
        os.utime(path, (self._time, self._time))

    def remove(self, name: str) -> None:
        Path(self.root, name).unlink()

    def text(self, name: str) -> str:
        return Path(self.root, name).read_text()


class InMemory:
    def __init__(self) -> None:
        self.lister = FakeFiles()
        self.root = ""

    def put(self, name: str, text: str) -> None:
        self.lister.put(f"/{name}", text)

    def remove(self, name: str) -> None:
        self.lister.remove(f"/{name}")

    def text(self, name: str) -> str:
        return self.lister.text(f"/{name}")


@pytest.fixture(params=["on disk", "in memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return OnDisk(tmp_path) if request.param == "on disk" else InMemory()


def source(place: Place, path: str = "in", **config: Any) -> FileSource:
    given = {"path": f"{place.root}/{path}", "format": "csv", "recursive": True, **config}
    return FileSource.parse("m/s", given, {"table": "a.b.c"})


def listed(place: Place, path: str = "in", **config: Any) -> dict[str, FoundFile]:
    found = place.lister.list_files(source(place, path, **config))
    return {file.path.removeprefix(f"{place.root}/"): file for file in found}


def test_a_folder_a_file_and_what_is_not_there(place: Place) -> None:
    place.put("in/a.csv", "1\n")
    place.put("in/deep/b.csv", "22\n")
    assert {name: file.size_bytes for name, file in listed(place).items()} == {
        "in/a.csv": 2,
        "in/deep/b.csv": 3,
    }
    assert list(listed(place, "in/a.csv")) == ["in/a.csv"]
    assert place.lister.is_folder(f"{place.root}/in")
    assert not place.lister.is_folder(f"{place.root}/in/a.csv")
    with pytest.raises(NotFoundError, match="none"):
        listed(place, "none")
    place.remove("in/a.csv")
    place.remove("in/deep/b.csv")
    assert listed(place) == {}, "an empty folder is a folder"


def test_a_file_is_told_apart_from_what_it_was(place: Place) -> None:
    place.put("in/a.csv", "1\n")
    place.put("in/b.csv", "1\n")
    before = listed(place)
    place.put("in/a.csv", "1\n")
    after = listed(place)
    assert before["in/b.csv"] == after["in/b.csv"]
    assert before["in/a.csv"] != after["in/a.csv"]
    place.remove("in/b.csv")
    paths = [file.path for file in before.values()]
    assert place.lister.stat(paths) == {after["in/a.csv"].path: after["in/a.csv"]}


def test_equal_bytes_have_equal_digests_and_what_is_gone_has_none(place: Place) -> None:
    for name, text in (("a", "1\n"), ("b", "1\n"), ("c", "2\n"), ("d", "3\n")):
        place.put(f"in/{name}.csv", text)
    found = list(listed(place).values())
    place.remove("in/d.csv")
    digests = place.lister.digest(found)
    hashes = [item.file_hash for item in sorted(digests.hashed, key=lambda item: item.path)]
    assert len(hashes) == 3
    assert hashes[0] == hashes[1] != hashes[2]
    assert not digests.unreadable


def test_archived_files_keep_their_bytes_and_overwrite_nothing(place: Place) -> None:
    config = {"after_success": "archive", "archive_path": f"{place.root}/in/done"}
    for text in ("1\n", "2\n"):
        place.put("in/deep/a.csv", text)
        hashed = place.lister.digest(list(listed(place, **config).values())).hashed
        assert place.lister.put_away(source(place, **config), hashed) == {}
    assert listed(place, **config) == {}, "the archive is no part of the source"
    assert place.text("in/done/deep/a.csv") == "1\n"
    kept = [name for name in listed(place) if name.startswith("in/done/")]
    assert sorted(place.text(name) for name in kept) == ["1\n", "2\n"]


def test_deleted_files_are_gone_and_changed_ones_stay(place: Place) -> None:
    place.put("in/a.csv", "1\n")
    place.put("in/b.csv", "2\n")
    hashed = place.lister.digest(list(listed(place).values())).hashed
    place.put("in/b.csv", "3\n")
    for _ in range(2):
        given = source(place, after_success="delete")
        assert place.lister.put_away(given, hashed) == {}
    assert list(listed(place)) == ["in/b.csv"]
