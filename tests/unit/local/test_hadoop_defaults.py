"""Hadoop's default settings, without those of clusters and daemons. No JVM is started."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from lakeflow_meta.backends.local.spark import hadoop_defaults, runtime
from lakeflow_meta.backends.local.spark.hadoop_defaults import install_defaults

DEFAULTS = """<?xml version="1.0"?>
<configuration>
  <!-- as Hadoop writes them -->
  <property><name>fs.s3a.impl</name><value>a &amp; b</value><description>d</description></property>
  <property><name>io.serializations</name><value>x</value></property>
  <property><name>fs.s3a.threads.max</name><value>96</value></property>
  <property><name>fs.token.impl</name><description>none</description></property>
  <property><name>ipc.client.timeout</name><value>1</value></property>
</configuration>
"""


@pytest.fixture
def spark_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Spark with a jar of Hadoop's."""
    home = tmp_path / "spark"
    (home / "jars").mkdir(parents=True)
    with zipfile.ZipFile(home / "jars" / "hadoop-client-api-3.4.2.jar", "w") as jar:
        jar.writestr("core-default.xml", DEFAULTS)
        jar.writestr("yarn-default.xml", DEFAULTS)
    monkeypatch.setattr(hadoop_defaults, "spark_home", lambda: home)
    return home


def test_settings_of_file_systems_are_kept_and_those_of_clusters_left_out(
    tmp_path: Path, spark_home: Path
) -> None:
    assert runtime.session_jars(tmp_path) == ()
    install_defaults(tmp_path)
    (made,) = runtime.session_jars(tmp_path)
    with zipfile.ZipFile(made) as jar:
        texts = {name: jar.read(name).decode() for name in jar.namelist()}
    assert texts == {
        "core-default.xml": (
            "<configuration>"
            "<property><name>fs.s3a.impl</name><value>a &amp; b</value></property>"
            "<property><name>io.serializations</name><value>x</value></property>"
            "</configuration>"
        ),
        "yarn-default.xml": "<configuration/>",
        "mapred-default.xml": "<configuration/>",
    }
    assert [file.name for file in tmp_path.glob("*.jar")] == [made.name]


def test_made_again_it_is_the_same_jar(tmp_path: Path, spark_home: Path) -> None:
    made = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        install_defaults(tmp_path / name)
        jar = runtime.defaults_jar(tmp_path / name)
        made.append((jar.read_bytes(), jar.stat().st_mtime))
    assert made[0] == made[1]


def test_the_jar_is_in_front_and_made_once(tmp_path: Path, spark_home: Path) -> None:
    delta = runtime.jars_directory(tmp_path) / "delta.jar"
    delta.parent.mkdir()
    delta.touch()
    install_defaults(tmp_path)
    before = runtime.defaults_jar(tmp_path).stat()
    install_defaults(tmp_path)
    assert runtime.defaults_jar(tmp_path).stat() == before
    assert runtime.session_jars(tmp_path) == (runtime.defaults_jar(tmp_path), delta)


@pytest.mark.parametrize("damage", ["no jar", "no zip", "no file", "no XML"])
def test_where_it_cannot_be_made_a_session_goes_without(
    damage: str, tmp_path: Path, spark_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    jar = spark_home / "jars" / "hadoop-client-api-3.4.2.jar"
    if damage == "no jar":
        jar.unlink()
    elif damage == "no zip":
        jar.write_bytes(b"x")
    else:
        with zipfile.ZipFile(jar, "w") as made:
            made.writestr("core-default.xml" if damage == "no XML" else "other", "<configuration>")
    install_defaults(tmp_path)
    assert runtime.session_jars(tmp_path) == ()
    assert "read slower" in caplog.text
