"""Files of another file system than this machine's, which only Spark reaches."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ingest_site import TABLES, Site, site_of
from pyspark.sql import SparkSession

from lakeflow_meta.backends import spark_files
from lakeflow_meta.backends.any_files import AnyFiles
from lakeflow_meta.backends.local_files import LocalFiles
from lakeflow_meta.backends.processes import may_be_alive, process_name
from lakeflow_meta.backends.spark_files import SparkFiles
from lakeflow_meta.errors import ConfigError, NotFoundError
from lakeflow_meta.ingest.batch import IngestResult
from lakeflow_meta.ingest.ingestor import Ingestor
from lakeflow_meta.ingest.source import FileSource


@dataclass
class Lake:
    """A folder that is known as ``viewfs://<name>/in`` and by no other name."""

    site: Site
    name: str

    @property
    def uri(self) -> str:
        return f"viewfs://{self.name}/in"

    def files(self) -> SparkFiles:
        return SparkFiles(lambda: self.site.spark)

    def source(self, path: str = "", **config: Any) -> FileSource:
        where = {"path": path or self.uri, "format": "csv", **config}
        return FileSource.parse("m/s", where, {"table": self.site.table})

    def listed(self, source: FileSource) -> dict[str, int]:
        found = self.files().list_files(source)
        return {file.path.removeprefix(f"{self.uri}/"): file.size_bytes for file in found}

    def ingest(self, source: FileSource) -> IngestResult:
        site = self.site
        ingestor = Ingestor(
            site.store,
            TABLES,
            site.loader,
            AnyFiles(LocalFiles(site.paths), self.files()),
            owner=process_name(),
            is_alive=may_be_alive,
        )
        return ingestor.ingest(source)


@pytest.fixture
def lake(tmp_path: Path, interpreted: SparkSession, schema: str) -> Lake:
    site = site_of(tmp_path, interpreted, schema)
    name = schema.replace("_", "-").replace(".", "-")
    settings = interpreted.sparkContext._jsc.hadoopConfiguration()
    settings.set(f"fs.viewfs.mounttable.{name}.link./in", site.landing.as_uri())
    return Lake(site, name)


def test_files_of_a_uri_are_ingested_once_and_a_bad_one_fails_alone(lake: Lake) -> None:
    site = lake.site
    site.spark.sql(f"CREATE TABLE {site.table} (id INT, name STRING, _source_file STRING)")
    site.put("a b%20#1.csv", "id,name\n1,a\n2,b\n")
    site.put("other order.csv", "name,id\nc,3\n")
    site.put("copy.csv", "name,id\nc,3\n")
    site.put("empty.csv", "")
    site.put("bad.csv", "id,name\nx,y\n")
    result = lake.ingest(lake.source())
    assert site.reasons(result).keys() == {"bad.csv"}
    assert (result.processed, result.duplicates, result.rows) == (3, 1, 3)
    assert site.rows("id", "name") == [(1, "a"), (2, "b"), (3, "c")]
    assert f"{lake.uri}/a b%20#1.csv" in {row[0] for row in site.rows("_source_file")}
    assert site.ledger("status", "record_count")["a b%20#1.csv"] == ("success", 2)
    again = lake.ingest(lake.source())
    assert (again.processed, again.skipped) == (0, 4)


def test_a_uri_is_listed_as_a_folder_of_this_machine_is(lake: Lake) -> None:
    site = lake.site
    for name in ("a.csv", "b.txt", "_hidden.csv", "sub/c.csv", "sub/day=1/d.csv", "[x].csv"):
        site.put(name, name)
    site.put("empty.csv", "")
    flat = {"a.csv": 5, "b.txt": 5, "[x].csv": 7, "empty.csv": 0}
    assert lake.listed(lake.source()) == flat
    everything = {**flat, "sub/c.csv": 9, "sub/day=1/d.csv": 15}
    assert lake.listed(lake.source(recursive=True)) == everything
    assert lake.listed(lake.source(glob="*.txt")) == {"b.txt": 5}
    assert lake.listed(lake.source(f"{lake.uri}/[x].csv")) == {"[x].csv": 7}
    assert lake.listed(lake.source(f"{lake.uri}/s*/*.csv")) == {"sub/c.csv": 9}
    assert lake.listed(lake.source(f"{lake.uri}/*.none")) == {}
    with pytest.raises(NotFoundError):
        lake.listed(lake.source(f"{lake.uri}/gone"))
    with pytest.raises(ConfigError, match="after_success: delete"):
        lake.listed(lake.source(after_success="delete"))
    assert lake.files().is_folder(lake.uri)
    assert not lake.files().is_folder(f"{lake.uri}/a.csv")


def test_bytes_are_hashed_small_and_large_and_changed_files_are_left_out(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_files, "WHOLE_BYTES", 1000)
    contents = {"small.csv": b"x" * 1000, "large.csv": os.urandom(5000), "empty.csv": b""}
    for name, content in contents.items():
        (lake.site.landing / name).write_bytes(content)
    files = list(lake.files().list_files(lake.source()))
    hashed = {
        item.path.rpartition("/")[2]: item.file_hash for item in lake.files().digest(files).hashed
    }
    assert hashed == {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    (lake.site.landing / "small.csv").unlink()
    (lake.site.landing / "large.csv").write_bytes(b"y" * 6000)
    left = lake.files().digest(files)
    assert ([item.path[-9:] for item in left.hashed], left.unreadable) == (["empty.csv"], {})
    gone = f"{lake.uri}/nowhere/x.csv"
    assert lake.files().stat([gone, files[0].path]).keys() <= {files[0].path}
