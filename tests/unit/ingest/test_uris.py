"""Paths of storage that only Spark reaches."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakeflow_meta.backends.any_files import AnyFiles
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.ingest.files import FoundFile
from lakeflow_meta.ingest.listing import EPOCH
from lakeflow_meta.paths import PathMap, is_uri, known_uri
from lakeflow_meta.testing.fake_ingest import FakeFiles


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("s3://bucket/in/", "s3://bucket/in"),
        ("ABFSS://c@account/in/../x//a b%20.csv", "abfss://c@account/x/a b%20.csv"),
        ("viewfs:/in", "viewfs:/in"),
        ("hdfs:///in", "hdfs:///in"),
    ],
)
def test_a_uri_has_one_name(written: str, known: str) -> None:
    assert is_uri(written)
    assert known_uri(written) == known
    assert known_uri(known) == known


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("file:///data/a", "/data/a"),
        ("dbfs:/Volumes/c/s/v/a", "/Volumes/c/s/v/a"),
        ("/Volumes/c/s/v/a", "/Volumes/c/s/v/a"),
    ],
)
def test_what_is_local_or_in_a_volume_is_known_without_its_scheme(written: str, known: str) -> None:
    assert not is_uri(written)
    assert known_uri(written) == known == PathMap(Path("/p")).known_as(written)


def test_a_relative_path_is_no_uri() -> None:
    assert not is_uri("in/a:b.csv")
    assert not is_uri("c:/in")
    with pytest.raises(ConfigError):
        known_uri("in/a.csv")


def test_files_are_asked_where_they_lie() -> None:
    local, by_spark = FakeFiles(), FakeFiles()
    local.put("/in/a.csv", "1")
    by_spark.put("s3://b/in/a.csv", "22")
    files = AnyFiles(local, by_spark)
    found = files.stat(["/in/a.csv", "s3://b/in/a.csv", "s3://b/in/gone.csv"])
    assert {path: file.size_bytes for path, file in found.items()} == {
        "/in/a.csv": 1,
        "s3://b/in/a.csv": 2,
    }
    hashed = files.digest([*found.values(), FoundFile("s3://b/gone", 1, EPOCH)]).hashed
    assert [item.path for item in hashed] == ["/in/a.csv", "s3://b/in/a.csv"]
    assert (local.hashed, by_spark.hashed) == (["/in/a.csv"], ["s3://b/in/a.csv", "s3://b/gone"])
    assert files.is_folder("s3://b/in")
    assert not files.is_folder("/other")
