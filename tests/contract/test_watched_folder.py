"""One contract for every folder of metadata; and the Files API over HTTP by the real SDK."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
from contract.files_stand_in import VOLUME, FilesService
from contract.stand_in_server import TOKEN, Answer, Request, Server
from databricks.sdk import WorkspaceClient

from lakeflow_meta.backends.local_folder import LocalFolder
from lakeflow_meta.backends.metadata_folders import open_folder
from lakeflow_meta.backends.request_gate import RequestGate
from lakeflow_meta.backends.workspace_calls import WorkspaceCalls
from lakeflow_meta.backends.workspace_client import open_workspace, user_name
from lakeflow_meta.backends.workspace_files import AT_ONCE, TRUST_SECONDS, WorkspaceFolder
from lakeflow_meta.control.read_files import read_each, read_metadata
from lakeflow_meta.control.volume_watch import FolderWatch
from lakeflow_meta.control.watched_files import MAX_BYTES, FolderState, texts_of
from lakeflow_meta.errors import BackendError, ConfigError, NotFoundError, SpecError
from lakeflow_meta.fingerprint import content_hash
from lakeflow_meta.paths import PathMap
from lakeflow_meta.ports import MetadataFolder, PathKind
from lakeflow_meta.progress import Event, StepState

TOO_LARGE = "the file has 67,108,865 bytes; metadata has less"
ODD_NAMES = [
    "a b.yml",
    "50%.yml",
    "%2F.yml",
    "q?#&+=;.yml",
    "quote'\".yml",
    "back\\slash.yml",
    "{x}[y]~!@$,.yml",
    "漢字/ü ñ.yml",
    "new\nline.yml",
]


class Place(Protocol):
    """Somewhere that folders lie, and what others do there."""

    root: str

    def open(self, path: str) -> MetadataFolder: ...
    def put(self, name: str, data: bytes | str) -> None: ...
    def make_folder(self, name: str) -> None: ...
    def delete(self, name: str) -> None: ...
    def while_listing(self, act: Callable[[], None]) -> None: ...


class Disk:
    """The file system."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = str(path)
        self._path = path
        self._monkeypatch = monkeypatch
        path.mkdir()

    def open(self, path: str) -> MetadataFolder:
        return LocalFolder(Path(path))

    def put(self, name: str, data: bytes | str) -> None:
        file = self._path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.encode() if isinstance(data, str) else data)

    def make_folder(self, name: str) -> None:
        (self._path / name).mkdir(parents=True)

    def delete(self, name: str) -> None:
        path = self._path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def while_listing(self, act: Callable[[], None]) -> None:
        scan, acts = os.scandir, [act]

        def scandir(path: Any) -> Any:
            """As the second folder is opened, the first one has been read."""
            if str(path) != self.root and acts:
                acts.pop()()
            return scan(path)

        self._monkeypatch.setattr(os, "scandir", scandir)


class Volume:
    """A volume, behind the Files API."""

    root = VOLUME

    def __init__(self, service: FilesService, server: Server) -> None:
        self.service = service
        self.server = server
        self.time = Time()
        self.put = service.put
        self.make_folder = service.make_folder
        self.delete = service.delete

    def open(
        self, path: str = VOLUME, gate: RequestGate | None = None, **options: Any
    ) -> WorkspaceFolder:
        client = WorkspaceClient(host=self.server.host, token=TOKEN)
        gate = gate or RequestGate(sleep=self.time.sleep, monotonic=self.time)
        return WorkspaceFolder(client, path, gate, **options)

    def while_listing(self, act: Callable[[], None]) -> None:
        self.service.on_list = [lambda _path: None, lambda _path: act()]


@dataclass
class Time:
    """Monotonic seconds that pass in sleep only."""

    seconds: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    @property
    def waits(self) -> list[float]:
        """Sleeps that are no spacing of calls."""
        return [seconds for seconds in self.slept if seconds > 0.1]


@pytest.fixture
def volume() -> Iterator[Volume]:
    service = FilesService(page_size=2)
    server = Server(service)
    with server.running():
        yield Volume(service, server)


@pytest.fixture(params=["disk", "volume"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    if request.param == "disk":
        return Disk(tmp_path / "metadata", monkeypatch)
    found: Volume = request.getfixturevalue("volume")
    return found


def names(folder: MetadataFolder) -> list[str]:
    return [file.name for file in folder.list_files()]


# --- every folder


def test_all_files_below_are_listed_but_hidden_ones(place: Place) -> None:
    for name in ("b.yml", "a.yml", "c/d/e.sql", "c/f.txt", ".g.yml", "c/.h/i.yml", "z.bin"):
        place.put(name, "12345")
    place.make_folder("empty")
    files = place.open(place.root).list_files()
    assert [file.name for file in files] == ["a.yml", "b.yml", "c/d/e.sql", "c/f.txt", "z.bin"]
    assert {file.size_bytes for file in files} == {5}
    young = datetime.now(UTC) - timedelta(minutes=1)
    assert all(young < file.modified_at < datetime.now(UTC) for file in files)


def test_what_is_in_a_file_comes_back_byte_for_byte(place: Place) -> None:
    data = bytes(range(256)) * 5000
    place.put("deep/er/a.bin", data)
    place.put("empty.yml", b"")
    folder = place.open(place.root)
    assert folder.read_file("deep/er/a.bin") == data
    assert folder.read_file("empty.yml") == b""


def test_unusual_names_are_listed_and_read(place: Place) -> None:
    for name in ODD_NAMES:
        place.put(f"odd folder %25/{name}", name)
    folder = place.open(f"{place.root}/odd folder %25")
    assert names(folder) == sorted(ODD_NAMES)
    assert [folder.read_file(name).decode() for name in ODD_NAMES] == ODD_NAMES


def test_an_empty_folder_is_empty_and_a_missing_one_is_an_error(place: Place) -> None:
    place.make_folder("here")
    assert place.open(f"{place.root}/here").list_files() == []
    with pytest.raises(NotFoundError):
        place.open(f"{place.root}/gone").list_files()


def test_a_file_that_is_not_there_is_not_found(place: Place) -> None:
    with pytest.raises(NotFoundError):
        place.open(place.root).read_file("gone.yml")


@pytest.mark.parametrize("name", ["a.yml", "plain", "sub/a.yml"])
def test_a_file_is_no_folder(place: Place, name: str) -> None:
    place.put(name, "x")
    folder = place.open(f"{place.root}/{name}")
    assert folder.kind() is PathKind.FILE
    with pytest.raises(BackendError):
        folder.list_files()


@pytest.mark.parametrize("name", ["sub", "sub.yml"])
def test_a_folder_is_a_folder_whatever_its_name(place: Place, name: str) -> None:
    place.make_folder(name)
    assert place.open(f"{place.root}/{name}").kind() is PathKind.FOLDER
    assert place.open(f"{place.root}/{name}/gone").kind() is PathKind.MISSING
    assert place.open(f"{place.root}/gone.yml").kind() is PathKind.MISSING


def test_what_is_too_large_for_metadata_is_not_read(place: Place) -> None:
    place.put("a.yml", bytes(MAX_BYTES + 1))
    with pytest.raises(BackendError, match=TOO_LARGE) as large:
        place.open(place.root).read_file("a.yml")
    assert (large.value.code, large.value.transient) == ("FILE_TOO_LARGE", False)


def test_a_folder_that_goes_while_it_is_walked_leaves_a_whole_listing(place: Place) -> None:
    place.put("a.yml", "a")
    place.put("sub/b.yml", "b")
    place.while_listing(lambda: place.delete("sub"))
    assert names(place.open(place.root)) == ["a.yml"]


def test_a_root_that_goes_while_it_is_walked_is_an_error(place: Place) -> None:
    place.put("root/a.yml", "a")
    place.put("root/sub/b.yml", "b")
    place.while_listing(lambda: place.delete("root"))
    with pytest.raises(NotFoundError):
        place.open(f"{place.root}/root").list_files()


# --- a load


def test_a_load_reads_metadata_and_scripts_by_the_names_that_were_typed(place: Place) -> None:
    for name in ("b.yml", "sub/a.YAML", "a-b/c.yml", "conf/dev.yml", ".x.yml", "notes.txt"):
        place.put(name, name)
    place.put("ddl_scripts/lake/001_a/001_b.sql", "SELECT 1")
    place.put("ddl_scripts/lake/.001_a/001_c.sql", "SELECT 2")
    texts = read_metadata([Path(place.root)], place.open)
    read = ["a-b/c.yml", "b.yml", "sub/a.YAML"]
    assert texts.yaml == {f"{place.root}/{name}": name for name in read}
    assert texts.scripts == {"lake/001_a/001_b.sql": "SELECT 1"}


def test_one_file_is_read_with_the_scripts_beside_it_and_nothing_else(place: Place) -> None:
    place.put("p/a.yml", "a")
    place.put("p/b.yml", "b")
    place.put("p/ddl_scripts/lake/001_a/001_b.sql", "SELECT 1")
    texts = read_metadata([Path(place.root, "p/a.yml")], place.open)
    assert texts.yaml == {f"{place.root}/p/a.yml": "a"}
    assert texts.scripts == {"lake/001_a/001_b.sql": "SELECT 1"}


def test_a_text_is_the_same_however_its_lines_end(place: Place) -> None:
    place.put("a.yml", "a\r\nb\nc\rd")
    place.put("ddl_scripts/lake/001_a/001_b.sql", "SELECT\r\n1")
    texts = read_metadata([Path(place.root)], place.open)
    assert texts.yaml == {f"{place.root}/a.yml": "a\nb\nc\nd"}
    assert texts.scripts == {"lake/001_a/001_b.sql": "SELECT\n1"}
    assert texts_of(watch(place.open(place.root)).look({}).changed, {})["a.yml"] == "a\nb\nc\nd"


def test_a_file_that_is_away_at_one_look_only_was_not_deleted(place: Place) -> None:
    """A save by way of a second file, with an edit of another file at the same time."""
    place.put("a.yml", "one")
    place.put("b.yml", "two")
    folder = watch(place.open(place.root))
    taken = folder.look({}).digests

    def back(_seconds: float) -> bool:
        place.put("a.yml", "one")
        return False

    folder._pause = back
    place.delete("a.yml")
    place.put("b.yml", "owt")
    state = folder.look(taken)
    assert state.deleted == frozenset()
    assert state.digests["a.yml"] == taken["a.yml"]


def test_a_load_names_every_path_that_is_no_metadata(place: Place) -> None:
    place.put("notes.txt", "x")
    place.put("bad/latin.yml", b"\xff")
    place.put("bad/large.yml", bytes(MAX_BYTES + 1))
    place.put("none/conf/a.yml", "x")
    paths = [Path(place.root, name) for name in ("gone", "gone.yml", "notes.txt", "bad", "none")]
    with pytest.raises(SpecError) as wrong:
        read_metadata(paths, place.open)
    found = {p.file.removeprefix(f"{place.root}/"): p.message for p in wrong.value.problems}
    assert found == {
        "gone": "there is no such file or folder",
        "gone.yml": "there is no such file or folder",
        "notes.txt": "this is not a .yml or .yaml file",
        "bad/latin.yml": "the file is not UTF-8 text",
        "bad/large.yml": f"the file cannot be read: {TOO_LARGE}",
        "none": "the folder holds no .yml or .yaml file",
    }


def test_two_folders_may_share_a_script_but_not_its_name(place: Place) -> None:
    for folder in ("a", "b"):
        place.put(f"{folder}/m.yml", "x")
        place.put(f"{folder}/ddl_scripts/lake/001_a/001_same.sql", "SELECT 1")
    paths = [Path(place.root, folder) for folder in ("a", "b", "a")]
    assert len(read_metadata(paths, place.open).scripts) == 1
    place.put("b/ddl_scripts/lake/001_a/001_same.sql", "SELECT 2")
    with pytest.raises(SpecError, match="another folder holds a script of this name"):
        read_metadata(paths, place.open)


# --- the monitor


def watch(folder: MetadataFolder, at: Callable[[], float] = time.time) -> FolderWatch:
    return FolderWatch(
        folder,
        clock=lambda: datetime.fromtimestamp(at(), UTC),
        pause=lambda _seconds: False,
        at_once=folder.at_once,
    )


def test_a_watch_sees_new_edited_and_deleted_files(place: Place) -> None:
    folder = watch(place.open(place.root))
    place.put("a.yml", "one")
    place.put("b.yml", "two")
    first = folder.look({})
    assert first.changed == {"a.yml": b"one", "b.yml": b"two"}
    place.put("a.yml", "eno")
    place.delete("b.yml")
    second = folder.look(first.digests)
    assert (second.changed, second.deleted) == ({"a.yml": b"eno"}, {"b.yml"})
    assert folder.read(["a.yml"], {}) == {"a.yml": b"eno"}
    place.put("a.yml", "new")
    errors: dict[str, str] = {}
    assert folder.read(["a.yml"], errors) == {}
    assert "changed while it was read" in errors["a.yml"]


# --- the file system


def test_links_to_folders_are_not_followed_but_for_scripts(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "a.yml").write_text("x")
    project = tmp_path / "project"
    project.mkdir()
    (project / "ddl_scripts").symlink_to(tmp_path / "shared")
    (project / "other").symlink_to(tmp_path / "shared")
    (project / "b.yml").symlink_to(tmp_path / "shared" / "a.yml")
    (project / "nowhere.yml").symlink_to(tmp_path / "gone")
    os.mkfifo(project / "pipe.yml")
    assert names(LocalFolder(project)) == ["b.yml", "ddl_scripts/a.yml"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_below_that_may_not_be_listed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0)
    with pytest.raises(BackendError, match="shut"):
        LocalFolder(tmp_path).list_files()


def test_a_path_leads_to_the_disk_the_mapped_volume_the_mount_or_the_api(
    tmp_path: Path, volume: Volume
) -> None:
    embedded = PathMap(tmp_path, tmp_path / "volumes")
    (tmp_path / "volumes/main/lakeflow/metadata").mkdir(parents=True)
    workspace = PathMap(tmp_path)

    volume.put("a.yml", "x")
    assert names(open_folder(VOLUME, embedded)) == []
    assert names(open_folder(f"dbfs:{VOLUME}/x/..", workspace, volume.open)) == ["a.yml"]
    assert isinstance(open_folder("metadata", workspace, volume.open), LocalFolder)
    assert isinstance(open_folder(VOLUME, workspace), LocalFolder)
    assert open_folder(VOLUME, workspace).at_once > 1
    for wrong in ("/Volumes/main", f"{VOLUME}/../../x"):
        with pytest.raises(ConfigError, match="/Volumes/"):
            open_folder(wrong, workspace, volume.open)


# --- the Files API: what goes wrong


@pytest.mark.parametrize("fault", ["500", "502", "503", "429", "unreached"])
def test_a_passing_fault_is_repeated_and_nothing_is_lost(volume: Volume, fault: str) -> None:
    for number in range(5):
        volume.put(f"sub/f{number}.yml", str(number))
    volume.service.faults.next = ["", fault, "", fault, fault]
    folder = volume.open()
    assert len(folder.list_files()) == 5
    volume.service.faults.next = [fault]
    assert folder.read_file("sub/f3.yml") == b"3"


def test_what_the_platform_asks_to_wait_is_waited_once(volume: Volume) -> None:
    volume.put("a.yml", "a")
    volume.service.faults.next = ["429"]
    assert volume.open().read_file("a.yml") == b"a"
    assert volume.time.waits == [7.0]
    assert len(volume.server.lines) == 2


@pytest.mark.parametrize("fault", ["cut", "chunked cut"])
def test_a_file_that_breaks_off_is_fetched_again_and_never_taken(
    volume: Volume, fault: str
) -> None:
    volume.put("a.yml", "modules: []\n" * 100)
    volume.service.faults.at = {f"{VOLUME}/a.yml": [fault, fault]}
    assert len(volume.open().read_file("a.yml")) == 1200
    volume.service.faults.always = {f"{VOLUME}/a.yml": fault}
    with pytest.raises(BackendError) as broken:
        volume.open().read_file("a.yml")
    assert broken.value.transient


def test_a_file_whose_length_is_not_told_is_taken_whole(volume: Volume) -> None:
    volume.put("a.yml", "modules: []\n" * 100)
    volume.service.faults.always = {f"{VOLUME}/a.yml": "chunked"}
    assert len(volume.open().read_file("a.yml")) == 1200


@pytest.mark.parametrize("fault", ["500", "429", "unreached"])
def test_a_fault_that_stays_ends_within_its_time(volume: Volume, fault: str) -> None:
    volume.put("a.yml", "a")
    volume.service.faults.always = {VOLUME: fault}
    with pytest.raises(BackendError) as given_up:
        volume.open(patience_seconds=60.0).list_files()
    assert given_up.value.transient
    assert not isinstance(given_up.value, NotFoundError)
    assert 1000 < volume.time.seconds <= 1060
    assert len(volume.server.lines) < 15


@pytest.mark.parametrize("folder", ["", "/sub"])
@pytest.mark.parametrize("fault", ["403", "401", "empty"])
def test_a_listing_that_is_refused_is_an_error_and_never_no_files(
    volume: Volume, folder: str, fault: str
) -> None:
    volume.put("a.yml", "a")
    volume.put("sub/b.yml", "b")
    volume.service.faults.always = {f"{VOLUME}{folder}": fault}
    with pytest.raises(BackendError) as refused:
        volume.open().list_files()
    assert not isinstance(refused.value, NotFoundError)
    assert not refused.value.transient
    assert TOKEN not in str(refused.value)


def test_a_workspace_without_the_api_is_not_a_missing_folder(volume: Volume) -> None:
    client = WorkspaceClient(host=f"{volume.server.host}/elsewhere", token=TOKEN)
    with pytest.raises(BackendError) as missing:
        WorkspaceFolder(client, VOLUME).list_files()
    assert missing.value.code == "ENDPOINT_NOT_FOUND"
    assert not isinstance(missing.value, NotFoundError)


def test_a_file_that_may_not_be_read_fails_alone(volume: Volume) -> None:
    volume.put("a.yml", "a")
    volume.put("b.yml", "b")
    volume.service.faults.always = {f"{VOLUME}/a.yml": "403"}
    state = watch(volume.open(), lambda: time.time() + 60).look({})
    assert list(state.errors) == ["a.yml"]
    assert state.changed == {"b.yml": b"b"}
    with pytest.raises(SpecError, match=r"a.yml: the file cannot be read: you may not"):
        read_metadata([Path(VOLUME)], volume.open)


def test_a_file_that_goes_between_listing_and_reading_is_deleted(volume: Volume) -> None:
    volume.put("a.yml", "a")
    folder = volume.open()
    watched = watch(folder)
    taken = watched.look({}).digests
    volume.service.files[f"{VOLUME}/b.yml"] = volume.service.files[f"{VOLUME}/a.yml"]
    volume.service.faults.at = {f"{VOLUME}/b.yml": []}
    volume.service.on_list = []
    volume.put("c.yml", "c")
    read = folder.read_file

    def read_file(name: str) -> bytes:
        volume.service.files.pop(f"{VOLUME}/{name}", None) if name == "c.yml" else None
        return read(name)

    folder.read_file = read_file  # type: ignore[method-assign]  # others at work
    state = watched.look(taken)
    assert "c.yml" not in {**state.changed, **state.errors, **state.digests}
    assert set(state.changed) == {"b.yml"}


def test_a_file_that_is_written_again_after_it_was_listed_is_looked_at_twice(
    volume: Volume,
) -> None:
    volume.put("a.yml", "modules: [1, 2, 3]", age_seconds=3600)
    folder = volume.open()
    list_files, half = folder.list_files, ["modules: [1", "modules: [1, 2"]

    def listed() -> Any:
        found = list_files()
        if half:
            volume.put("a.yml", half.pop(0), age_seconds=3600)
        return found

    folder.list_files = listed  # type: ignore[method-assign]  # others at work
    state = watch(folder).look({})
    assert (state.changed, list(state.unsettled)) == ({}, ["a.yml"])


def test_while_nothing_answers_files_do_not_wait_one_after_another(volume: Volume) -> None:
    for number in range(200):
        volume.put(f"f{number}.yml", "x")
    folder = volume.open()
    listed = names(folder)
    volume.service.faults.always = {f"{VOLUME}/{name}": "unreached" for name in listed}
    outcomes = dict(read_each(folder, listed, folder.at_once))
    assert all(isinstance(o, BackendError) and o.transient for o in outcomes.values())
    reads = [line for line in volume.server.lines if "/fs/files/" in line]
    assert len(reads) < 20 * AT_ONCE
    volume.service.faults.always = {}
    volume.time.seconds += 60
    assert folder.read_file("f7.yml") == b"x"


@pytest.mark.parametrize("at_once", [1, AT_ONCE])
def test_files_that_stay_broken_do_not_stop_the_others(volume: Volume, at_once: int) -> None:
    for number in range(60):
        volume.put(f"f{number:02}.yml", "x")
    broken = [f"f{number:02}.yml" for number in (3, 13, 23)]
    volume.service.faults.always = {f"{VOLUME}/{name}": "500" for name in broken}
    folder = volume.open()
    outcomes = dict(read_each(folder, names(folder), at_once))
    assert [n for n, o in outcomes.items() if isinstance(o, BackendError)] == broken


@pytest.mark.parametrize("at", ["", "/a.yml"])
def test_a_load_while_nothing_answers_is_no_mistake_of_who_asked(volume: Volume, at: str) -> None:
    volume.put("a.yml", "x")
    volume.service.faults.always = {f"{VOLUME}{at}": "503"}
    with pytest.raises(BackendError) as down:
        read_metadata([Path(VOLUME)], volume.open)
    assert down.value.transient


def test_a_proxy_that_would_compress_does_not_spoil_lengths(volume: Volume) -> None:
    volume.service.compresses = True
    volume.put("a.yml", "modules: []\n" * 100)
    assert len(volume.open().read_file("a.yml")) == 1200


def test_files_of_one_folder_have_their_scripts_read_once(volume: Volume) -> None:
    for name in ("a.yml", "b.yml", "ddl_scripts/lake/001_a/001_b.sql"):
        volume.put(name, "x")
    paths = [Path(VOLUME, name) for name in ("a.yml", "b.yml")]
    assert len(read_metadata(paths, volume.open).scripts) == 1
    listed = [line for line in volume.server.lines if line.startswith("GET /api/2.0/fs/dir")]
    assert len(listed) == 3


def test_reading_is_only_little_ahead_of_what_is_used(volume: Volume) -> None:
    for number in range(40):
        volume.put(f"f{number:02}.yml", "x")
    folder = volume.open()
    outcomes = read_each(folder, names(folder), 2)
    assert next(outcomes) == ("f00.yml", b"x")
    time.sleep(0.3)
    assert reads(volume) <= 5


# --- the Files API: etags


def look_and_take(folder: FolderWatch, taken: dict[str, str]) -> FolderState:
    state = folder.look(taken)
    taken |= {name: content_hash(data) for name, data in state.changed.items()}
    return state


def reads(volume: Volume) -> int:
    return len([line for line in volume.server.lines if line.startswith("GET /api/2.0/fs/files/")])


def test_an_idle_look_downloads_nothing_until_its_trust_ends(volume: Volume) -> None:
    for number in range(7):
        volume.put(f"f{number}.yml", "x", age_seconds=3600)
    folder, taken = watch(volume.open()), dict[str, str]()
    for _ in range(3):
        look_and_take(folder, taken)
        volume.time.seconds += 60
    before = reads(volume)
    for _ in range(40):
        look_and_take(folder, taken)
        volume.time.seconds += 60
    assert reads(volume) == before
    volume.time.seconds += TRUST_SECONDS
    look_and_take(folder, taken)
    assert reads(volume) == before + 7


@pytest.mark.parametrize("interval", [0.0, 1.0, 4.0, 60.0])
def test_an_edit_in_the_same_second_and_of_the_same_size_is_not_missed(
    volume: Volume, interval: float
) -> None:
    """The storage's clock goes on with ours; its times have whole seconds."""
    volume.service._whole_seconds = True
    volume.service.now = lambda: 1_700_000_000 + volume.time.seconds
    folder, taken = watch(volume.open(), volume.service.now), dict[str, str]()
    volume.put("a.yml", "one")
    looks = 0
    while looks < 3:
        look_and_take(folder, taken)
        looks += 1
        if looks == 1:
            volume.put("a.yml", "two")
        volume.time.seconds += interval
    assert taken == {"a.yml": content_hash(b"two")}
    for edit in ("abc", "cba", "bca"):
        volume.put("a.yml", edit)
        look_and_take(folder, taken)
        assert taken == {"a.yml": content_hash(edit.encode())}
        volume.time.seconds += max(interval, 1.0)


def test_a_file_moved_over_another_of_the_same_size_and_second_is_seen_later(
    volume: Volume,
) -> None:
    volume.put("a.yml", "one")
    folder, taken = watch(volume.open()), dict[str, str]()
    for _ in range(3):
        look_and_take(folder, taken)
        volume.time.seconds += 60
    volume.service.files[f"{VOLUME}/a.yml"].data = b"two"
    look_and_take(folder, taken)
    assert taken == {"a.yml": content_hash(b"one")}
    volume.time.seconds += TRUST_SECONDS
    look_and_take(folder, taken)
    assert taken == {"a.yml": content_hash(b"two")}


# --- the Files API: speed


def test_many_files_are_read_at_once_but_not_too_many(volume: Volume) -> None:
    for number in range(100):
        volume.put(f"d{number % 10}/f{number}.yml", str(number))
    volume.server.latency_seconds = 0.02
    began = time.monotonic()
    texts = read_metadata([Path(VOLUME)], lambda path: volume.open(path, gate=RequestGate()))
    assert len(texts.yaml) == 100
    assert time.monotonic() - began < 100 * 0.02
    assert 4 < volume.server.most_at_once <= AT_ONCE


def test_a_long_read_tells_how_far_it_is_and_a_short_one_is_silent(volume: Volume) -> None:
    for number in range(30):
        volume.put(f"f{number}.yml", "x")
    events: list[Event] = []
    read_metadata([Path(VOLUME)], volume.open, progress=events.append)
    assert events == []
    volume.server.latency_seconds = 0.05
    folder = volume.open()
    outcomes = read_each(folder, names(folder), 1, progress=events.append)
    assert len(list(outcomes)) == 30
    assert events[0].state is StepState.RUNNING
    assert 0 < events[0].done < events[0].total == 30
    assert (events[-1].state, events[-1].done) == (StepState.DONE, 30)


# --- the client


@pytest.fixture
def no_workspace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing that the SDK could sign in with."""
    for name in [n for n in os.environ if n.startswith(("DATABRICKS_", "ARM_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("no_workspace")
def test_without_a_way_to_sign_in_the_error_says_what_to_set() -> None:
    with pytest.raises(ConfigError, match="DATABRICKS_HOST and DATABRICKS_TOKEN"):
        open_workspace()
    with pytest.raises(ConfigError, match="profile"):
        open_workspace(profile="none")


@pytest.mark.usefixtures("no_workspace")
def test_a_client_is_made_from_the_environment_and_says_who_it_is(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setenv("DATABRICKS_HOST", volume.server.host)
    monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
    volume.put("a.yml", "x")
    assert names(WorkspaceFolder(open_workspace(), VOLUME)) == ["a.yml"]
    assert "lakeflow-meta/0.1.0" in volume.server.requests[-1].headers["User-Agent"]
    assert TOKEN not in caplog.text


@pytest.mark.usefixtures("no_workspace")
def test_a_client_is_made_from_a_profile(volume: Volume, tmp_path: Path) -> None:
    profile = f"[dev]\nhost = {volume.server.host}\ntoken = {TOKEN}\n"
    (tmp_path / ".databrickscfg").write_text(profile)
    volume.put("a.yml", "x")
    assert names(WorkspaceFolder(open_workspace(profile="dev"), VOLUME)) == ["a.yml"]


class Directory:
    """Knows one user."""

    def answer(self, request: Request) -> Answer:
        request.check_token()
        assert request.line == "GET /api/2.0/preview/scim/v2/Me"
        return Answer.of_json({"userName": "ann@example.com"})


def test_the_workspace_says_who_we_are_or_it_is_an_error(volume: Volume) -> None:
    def asked(server: Server) -> str:
        return user_name(WorkspaceCalls(WorkspaceClient(host=server.host, token=TOKEN)))

    with Server(Directory()).running() as server:
        assert asked(server) == "ann@example.com"
    with pytest.raises(BackendError):
        asked(volume.server)
