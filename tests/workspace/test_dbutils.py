"""`dbutils.fs` and `dbutils.secrets` on a workspace's directories."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.backends.local.tasks.dbutils.file_system import FileSystem
from lakeflow_meta.backends.local.tasks.dbutils.secrets import Secrets, SecretStore
from lakeflow_meta.backends.local.tasks.task_attempt import TaskFailedError
from lakeflow_meta.errors import ConfigError, NotFoundError
from lakeflow_meta.paths import PathMap

VOLUME = "/Volumes/main/bronze/landing"


@pytest.fixture
def fs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileSystem:
    """Of a project in ``tmp_path``; the temporary directory is another."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    project = tmp_path / "project"
    (project / ".lakeflow" / "volumes").mkdir(parents=True)
    return FileSystem(PathMap.of_home(project / ".lakeflow", project))


def test_a_volume_has_one_name_however_it_is_written(fs: FileSystem, tmp_path: Path) -> None:
    fs.put(f"dbfs:{VOLUME}/day/a.csv", "1\n2\n")
    fs.mkdirs(f"{VOLUME}/day/empty")
    place = tmp_path / "project/.lakeflow/volumes/main/bronze/landing/day/a.csv"
    assert place.read_text() == "1\n2\n"
    file, folder = fs.ls(f"{VOLUME}/day/")
    changed = place.stat().st_mtime_ns // 1_000_000
    assert file == (f"dbfs:{VOLUME}/day/a.csv", "a.csv", 4, changed)
    assert folder[:3] == (f"dbfs:{VOLUME}/day/empty/", "empty/", 0)
    assert (file.isFile(), folder.isDir()) == (True, True)
    assert fs.ls(file.path) == [file]


def test_files_are_copied_moved_read_and_removed(fs: FileSystem, tmp_path: Path) -> None:
    project = tmp_path / "project"
    fs.put("a.txt", "ü" * 3)
    assert fs.head("a.txt", 4) == "üü"
    fs.cp("a.txt", f"{VOLUME}/in/b.txt")
    fs.cp(f"file:{project}/a.txt", f"{VOLUME}/in")
    assert [each.name for each in fs.ls(f"{VOLUME}/in")] == ["a.txt", "b.txt"]
    fs.cp(f"{VOLUME}/in", "copy", recurse=True)
    fs.mv("copy/b.txt", "copy/c.txt")
    fs.mv("copy", "moved", recurse=True)
    assert sorted(path.name for path in (project / "moved").iterdir()) == ["a.txt", "c.txt"]
    assert fs.rm("moved", recurse=True)
    assert not fs.rm("moved")
    assert not (project / "moved").exists()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda fs: fs.put("a.txt", "other"), "exists already"),
        (lambda fs: fs.put("full", "x", overwrite=True), "is a directory"),
        (lambda fs: fs.head("full"), "is a directory"),
        (lambda fs: fs.rm("full"), "is not empty"),
        (lambda fs: fs.cp("full", "other"), "recurse=True"),
        (lambda fs: fs.cp("full", "full/inside", recurse=True), "is inside full"),
        (lambda fs: fs.mkdirs("a.txt/b"), "a file is in the way"),
        (lambda fs: fs.ls("nope"), "no file or directory nope"),
    ],
)
def test_what_would_lose_something_is_refused(fs: FileSystem, call: object, told: str) -> None:
    fs.put("a.txt", "kept")
    fs.put("full/b.txt", "kept")
    with pytest.raises(TaskFailedError, match=told):
        call(fs)  # type: ignore[operator]  # a lambda of the list above
    assert fs.head("a.txt") + fs.head("full/b.txt") == "keptkept"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/some-file-of-a-test",
        "file:/",
        ".",
        "..",
        "../beside",
        "full/../..",
        "full/..",
        ".lakeflow",
        ".lakeflow/workspace.db",
        ".lakeflow/volumes",
        VOLUME,
        "link_out/file",
    ],
)
def test_nothing_is_written_or_removed_outside(fs: FileSystem, tmp_path: Path, path: str) -> None:
    fs.put(f"{VOLUME}/kept", "")
    fs.put("full/kept", "")
    (tmp_path / "project" / "link_out").symlink_to("/usr")
    with pytest.raises(TaskFailedError, match="is not inside a volume"):
        fs.rm(path, recurse=True)
    with pytest.raises(TaskFailedError, match="is not inside a volume"):
        fs.put(path, "", overwrite=True)
    assert fs.ls(f"{VOLUME}/kept")
    assert fs.rm("link_out")  # the link itself, not what it leads to
    assert Path("/usr").is_dir()


@pytest.mark.parametrize(
    "path", ["/Volumes/main", f"{VOLUME}/../../x", "s3://bucket/a", "dbfs:/tmp/a"]
)
def test_paths_that_are_nowhere_here_are_refused(fs: FileSystem, path: str) -> None:
    with pytest.raises(ConfigError):
        fs.put(path, "")


# --------------------------------------------------------------------------- secrets


def secret_file(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    file = tmp_path / "secrets.yml"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_a_variable_wins_over_the_file(tmp_path: Path) -> None:
    file = secret_file(tmp_path, "etl-prod:\n  db.user: of-file\n  token: t\nother:\n  a: b\n")
    environment = {"LAKEFLOW_META_SECRET_ETL_PROD_DB_USER": "given", "HOME": "/"}
    secrets = Secrets(SecretStore(file, lambda: environment))
    assert secrets.get("etl-prod", "db.user") == "given"
    assert secrets.get(scope="etl-prod", key="token") == "t"
    assert secrets.getBytes("other", "a") == b"b"
    assert [each.key for each in secrets.list("etl-prod")] == ["db.user", "token"]
    assert [each.name for each in secrets.listScopes()] == ["etl-prod", "other"]
    with pytest.raises(NotFoundError, match="LAKEFLOW_META_SECRET_OTHER_NOPE"):
        secrets.get("other", "nope")


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ("s:\n  k: hidden\n", 0o640, "chmod 600"),
        ("s: hidden\n", 0o600, "scope 's' maps keys to texts"),
        ("s:\n  k: 12345\n", 0o600, "quote numbers"),
        ("- hidden\n", 0o600, "nested mappings"),
        ("s: [hidden\n", 0o600, "is no YAML"),
    ],
)
def test_a_file_that_is_wrong_is_told_without_its_values(
    tmp_path: Path, text: str, mode: int, told: str
) -> None:
    store = SecretStore(secret_file(tmp_path, text, mode), dict)
    with pytest.raises(ConfigError, match=told) as raised:
        store.get("s", "k")
    assert "hidden" not in str(raised.value)
    assert "12345" not in str(raised.value)


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4), st.data())
def test_no_value_that_was_given_out_is_in_a_redacted_text(
    values: list[str], data: st.DataObject
) -> None:
    environment = {f"LAKEFLOW_META_SECRET_S_{n}": value for n, value in enumerate(values)}
    store = SecretStore(None, lambda: environment)
    text = "".join(data.draw(st.lists(st.sampled_from([*values, "-", "."]), max_size=8)))
    assert store.redacted(text) == text
    for number in range(len(values)):
        store.get("s", str(number))
    shown = store.redacted(text).replace("[REDACTED]", "")
    assert not [value for value in values if value.strip() and value in shown and "-" not in value]
