import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lakeflow_meta.backends.local.spark import jars, runtime
from lakeflow_meta.backends.local.spark.class_archive import archive_options, archive_path
from lakeflow_meta.backends.local.spark.runtime import Java
from lakeflow_meta.errors import ConfigError

JAVA_17 = 'openjdk version "17.0.15" 2025-04-15'


def fake_java(folder: Path, version: str) -> Path:
    """A JAVA_HOME whose java prints a version, as Java does: on stderr."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho '{version}' >&2\n")
    java.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("text", "major"),
    [
        (JAVA_17, 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('java version "1.8.0_402"', 8),
        ('Picked up JAVA_TOOL_OPTIONS: -Dx\nopenjdk version "25-ea" 2025-09-16', 25),
    ],
)
def test_the_major_version_is_read(text: str, major: int) -> None:
    assert runtime.parse_java_major(text) == major


def test_something_that_is_no_java_is_refused() -> None:
    with pytest.raises(ConfigError, match="install Java 17"):
        runtime.parse_java_major("command not found")


def test_java_home_wins_over_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = fake_java(tmp_path / "a", JAVA_17)
    other = fake_java(tmp_path / "b", 'openjdk version "21.0.1"')
    monkeypatch.setenv("PATH", f"{other / 'bin'}:/bin:/usr/bin")
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert runtime.find_java().major == 17
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nothing"))
    assert runtime.find_java().major == 21


def test_an_old_java_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path, 'java version "1.8.0_402"')))
    with pytest.raises(ConfigError, match=r"Java 8 at .* too old for Spark; install Java 17"):
        runtime.find_java()


def test_missing_java_is_one_sentence_and_one_failed_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="Java was not found; install Java 17"):
        runtime.find_java()
    failed = {check.name: check for check in runtime.checks(tmp_path) if not check.ok}
    assert set(failed) == {"java", "delta jars"}
    assert failed["java"].remedy == runtime.INSTALL_JAVA


def test_jars_that_are_there_are_not_fetched_again(tmp_path: Path) -> None:
    jar = runtime.jars_directory(tmp_path) / "delta-spark.jar"
    jar.parent.mkdir()
    jar.write_bytes(b"")
    assert jars.install_jars(tmp_path, repository="http://127.0.0.1:9/") == (jar,)


def test_a_repository_that_refuses_is_a_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    java = subprocess.run(["java", "-version"], capture_output=True, check=False)  # noqa: S607 - from PATH
    if java.returncode:
        pytest.skip("needs Java")
    with pytest.raises(ConfigError, match=r"delta-spark.* could not be fetched from http://127"):
        jars.install_jars(tmp_path, repository="http://127.0.0.1:9/")
    assert list(tmp_path.iterdir()) == []


def test_avro_is_done_without_where_it_cannot_be_fetched_and_asked_for_again_a_day_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", "")
    monkeypatch.setenv("PATH", "")
    now = datetime.now(UTC)
    asked = [
        (jars.install_avro(tmp_path, clock=lambda: now), len(caplog.records)),
        (jars.install_avro(tmp_path, clock=lambda: now), len(caplog.records)),
        (jars.install_avro(tmp_path, clock=lambda: now, again=True), len(caplog.records)),
        (jars.install_avro(tmp_path, clock=lambda: now + timedelta(days=2)), len(caplog.records)),
    ]
    assert [(found, warned) for found, warned in asked] == [((), 1), ((), 1), ((), 2), ((), 3)]
    assert "doctor --fix" in caplog.text
    (check,) = (check for check in runtime.checks(tmp_path) if check.name == "avro jar")
    assert check.ok
    assert "doctor --fix" in check.detail


def test_an_older_cache_gets_avro_beside_its_jars_and_another_archive(tmp_path: Path) -> None:
    delta = runtime.jars_directory(tmp_path) / "delta-spark.jar"
    delta.parent.mkdir()
    delta.write_bytes(b"1")
    java_17 = Java(Path("/bin/java"), 17, JAVA_17)
    before = archive_path(tmp_path, java_17)
    assert runtime.session_jars(tmp_path) == (delta,)
    avro = runtime.avro_directory(tmp_path) / "spark-avro.jar"
    avro.parent.mkdir()
    avro.write_bytes(b"1")
    assert jars.install_jars(tmp_path, repository="http://127.0.0.1:9/") == (delta,)
    assert jars.install_avro(tmp_path, repository="http://127.0.0.1:9/") == (avro,)
    assert runtime.session_jars(tmp_path) == (delta, avro)
    assert archive_path(tmp_path, java_17) != before


def test_another_java_or_other_jars_have_another_archive(tmp_path: Path) -> None:
    jar = runtime.jars_directory(tmp_path) / "delta-spark.jar"
    jar.parent.mkdir()
    jar.write_bytes(b"1")
    java_17 = Java(Path("/bin/java"), 17, JAVA_17)
    first = archive_path(tmp_path, java_17)
    assert archive_path(tmp_path, java_17) == first
    assert archive_path(tmp_path, Java(Path("/bin/java"), 21, "21")) != first
    jar.write_bytes(b"12")
    assert archive_path(tmp_path, java_17) != first


def test_an_archive_is_used_only_when_it_is_there(tmp_path: Path) -> None:
    java = Java(Path("/bin/java"), 17, JAVA_17)
    assert archive_options(tmp_path, java) == ""
    archive_path(tmp_path, java).write_bytes(b"")
    assert str(archive_path(tmp_path, java)) in archive_options(tmp_path, java)
