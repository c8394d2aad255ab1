"""Folders of links that Spark reads instead of a list of files."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lakeflow_meta.backends.processes import process_name
from lakeflow_meta.backends.spark_ingest.bundles import numbering
from lakeflow_meta.backends.spark_ingest.links import LinkFolder, LinkFolders, remove_leftovers
from lakeflow_meta.ingest.formats import FileFormat

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def files(folder: Path, *names: str) -> list[str]:
    for name in names:
        (folder / name).write_text(name)
    return [str(folder / name) for name in names]


def test_links_are_named_by_position_and_keep_what_tells_the_compression(tmp_path: Path) -> None:
    names = ("a:b.csv", "é c.json.gz", "no_suffix", "odd.a b")
    folder = LinkFolders(tmp_path / "links").folder(files(tmp_path, *names))
    assert folder is not None
    assert sorted(link.name for link in folder.path.iterdir()) == [
        "0000000.csv",
        "0000001.gz",
        "0000002",
        "0000003",
    ]
    assert [link.read_text() for link in sorted(folder.path.iterdir())] == list(names)


def test_the_same_files_are_linked_once(tmp_path: Path) -> None:
    links = LinkFolders(tmp_path / "links")
    some = files(tmp_path, "a", "b")
    assert links.folder(some) == links.folder(some)
    assert links.folder(some) != links.folder(some[:1])


def test_a_file_that_is_replaced_or_removed_is_still_the_one_that_was_linked(
    tmp_path: Path,
) -> None:
    links = LinkFolders(tmp_path / "links")
    replaced, removed = some = files(tmp_path, "replaced", "removed")
    folder = links.folder(some)
    (tmp_path / "new").write_text("of tomorrow")
    (tmp_path / "new").replace(replaced)
    Path(removed).unlink()
    assert folder is not None
    assert [link.read_text() for link in sorted(folder.path.iterdir())] == ["replaced", "removed"]
    assert folder.broken() == []


def test_where_no_hard_link_can_be_made_there_is_a_symbolic_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: str) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    links = LinkFolders(tmp_path / "links")
    some = files(tmp_path, "there", "gone")
    folder = links.folder(some)
    Path(some[1]).unlink()
    assert folder is not None
    assert [Path(links.behind(str(link))).name for link in sorted(folder.path.iterdir())] == [
        "there",
        "gone",
    ]
    assert folder.broken() == some[1:]


def test_a_file_that_is_itself_a_link_is_read_as_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    files(tmp_path, "data.json")
    source = tmp_path / "landing" / "current.json"
    source.symlink_to("../data.json")  # counts from where it lies
    links = LinkFolders(tmp_path / "links")
    folder = links.folder([str(source)])
    assert folder is not None
    assert [link.read_text() for link in folder.path.iterdir()] == ["data.json"]
    assert folder.broken() == []


def test_a_file_that_was_gone_before_it_was_linked_is_told(tmp_path: Path) -> None:
    links = LinkFolders(tmp_path / "links")
    some = [*files(tmp_path, "there"), str(tmp_path / "gone")]
    folder = links.folder(some)
    assert folder is not None
    assert folder.broken() == some[1:]


def test_a_failure_leaves_the_folders_that_are_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = LinkFolders(tmp_path / "links")
    some = files(tmp_path, "a", "b")
    kept = links.folder(some)

    def refused(*_: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(os, "symlink", refused)
    assert links.folder(some[:1]) is None
    assert kept is not None
    assert len(list(kept.path.iterdir())) == 2
    assert [folder.name for folder in kept.path.parent.iterdir()] == [kept.path.name]


def test_clearing_removes_links_and_not_files(tmp_path: Path) -> None:
    links, others = LinkFolders(tmp_path / "links"), LinkFolders(tmp_path / "links")
    some = files(tmp_path, "a")
    kept = others.folder(some)
    links.folder(some)
    links.clear()
    assert kept is not None
    assert [link.name for link in kept.path.iterdir()] == ["0000000"]
    others.clear()
    assert list((tmp_path / "links").iterdir()) == []
    assert Path(some[0]).read_text() == "a"


def test_where_no_links_can_be_made_there_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "links").write_text("in the way")
    assert LinkFolders(tmp_path / "links").folder(files(tmp_path, "a")) is None


def test_what_a_dead_process_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    some = files(tmp_path, "a")
    script = (
        "import os, sys; from pathlib import Path;"
        "from lakeflow_meta.backends.spark_ingest.links import LinkFolders;"
        "LinkFolders(Path(sys.argv[1])).folder([sys.argv[2]]); os._exit(9)"
    )
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    died = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "links"), some[0]],
        env={**os.environ, **path},
        check=False,
    )
    assert died.returncode == 9
    (left,) = (tmp_path / "links").iterdir()
    LinkFolders(tmp_path / "links").folder(some)
    assert [folder.name for folder in (tmp_path / "links").iterdir()] == [
        process_name().replace(":", "~")
    ]
    assert not left.exists()
    assert Path(some[0]).read_text() == "a"


def bundling(links: LinkFolders, some: list[str]) -> LinkFolder:
    numbering_ = numbering(FileFormat.JSON, {})
    assert numbering_ is not None
    folder = links.folder(some, numbering_)
    assert folder is not None
    return folder


def test_small_files_of_lines_are_one_bundle_and_the_others_links(tmp_path: Path) -> None:
    links = LinkFolders(tmp_path / "links")
    some = [str(tmp_path / name) for name in ("a.json", "large.json", "gone.json", "b.json")]
    Path(some[0]).write_text('{"id": 1}\n{"id": 2}')
    Path(some[1]).write_text('{"id": 3}\n' * 10_000)
    Path(some[3]).write_text('{"id": 4}\n')
    folder = bundling(links, some)
    assert sorted(folder.links.values()) == [some[2], some[1]]
    assert folder.broken() == some[2:3]
    bundle = folder.path / "bundle"
    assert [json.loads(line) for line in bundle.read_text().splitlines()] == [
        {folder.numbers: 0, "id": 1},
        {folder.numbers: 0, "id": 2},
        {folder.numbers: 3, "id": 4},
    ]
    assert bundle.stat().st_mode & 0o777 == 0o600  # whoever may read the files
    assert links.behind(str(bundle)) == ""
    links.clear()
    assert not bundle.exists()


def test_one_file_alone_is_no_bundle_nor_are_files_whose_errors_are_to_be_told(
    tmp_path: Path,
) -> None:
    links = LinkFolders(tmp_path / "links")
    some = [str(tmp_path / name) for name in ("a.json", "b.json")]
    for name in some:
        Path(name).write_text('{"id": 1}\n')
    assert bundling(links, some[:1]).numbers is None
    assert bundling(links, some).numbers is not None
    links.without_bundles()
    alone = bundling(links, some)
    assert (alone.numbers, [*alone.links.values()]) == (None, some)
    links.clear()
    assert bundling(links, some).numbers is not None


def test_records_that_cannot_be_beside_others_are_all_in_the_bundle_or_none(
    tmp_path: Path,
) -> None:
    some = [str(tmp_path / name) for name in ("a.csv", "b.csv", "odd.csv")]
    for name in some:
        Path(name).write_text("id\n1\n" + "\n" * ("odd" in name))
    links = LinkFolders(tmp_path / "links")
    together, apart = (
        links.folder(files, numbering(FileFormat.CSV, {"header": "true"}))
        for files in (some[:2], some)
    )
    assert together is not None
    assert apart is not None
    assert [file.name for file in together.path.iterdir()] == ["bundle"]
    assert (apart.numbers, [*apart.links.values()]) == (None, some)


def test_where_the_disk_has_no_room_for_a_bundle_all_are_linked(tmp_path: Path) -> None:
    some = files(tmp_path, "a", "b")
    code = """
import resource, sys
from pathlib import Path
from lakeflow_meta.backends.spark_ingest.bundles import JsonLines
from lakeflow_meta.backends.spark_ingest.links import LinkFolders
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))  # bytes
folder = LinkFolders(Path(sys.argv[1])).folder(sys.argv[2:], JsonLines())
print(folder.numbers, *folder.links.values())
"""
    for name in some:
        Path(name).write_text('{"id": 1}\n')
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(tmp_path / "links"), *some]
    ended = subprocess.run(
        command, env={**os.environ, **path}, check=False, capture_output=True, text=True
    )
    assert ended.stdout.split() == ["None", *some], ended.stderr


def test_what_cannot_be_bundled_at_all_is_linked(tmp_path: Path) -> None:
    folder = bundling(LinkFolders(tmp_path / "links"), files(tmp_path, "a", "b"))
    assert folder.numbers is None
    assert sorted(link.name for link in folder.path.iterdir()) == ["0000000", "0000001"]


def test_folders_of_another_machine_are_kept_for_a_day(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere@boot.1~7~99"
    folder.mkdir()
    os.utime(folder, (NOW.timestamp(), NOW.timestamp()))
    remove_leftovers(tmp_path, NOW + timedelta(hours=23))
    assert folder.exists()
    remove_leftovers(tmp_path, NOW + timedelta(hours=25))
    assert not folder.exists()
