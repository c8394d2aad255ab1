"""The ingestor end to end: files on disk, a ledger by delta-rs, appends by Spark."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from ingest_site import TABLES, Site, site_of
from pyspark.sql import SparkSession

from lakeflow_meta.control.tables import FILES
from lakeflow_meta.errors import BackendError
from lakeflow_meta.ingest.batch import BadFilesError, Batch, BatchLimits, FencedOutError
from lakeflow_meta.names import TableName


@pytest.fixture
def site(tmp_path: Path, spark: SparkSession, schema: str) -> Site:
    return site_of(tmp_path, spark, schema)


def test_many_small_files_become_one_transaction_with_exact_counts(site: Site) -> None:
    for number in range(20):
        lines = "".join(f"{number},n{row}\n" for row in range(number))
        site.put(f"{number:02}.csv", "id,name\n" + lines)
    result = site.ingest()
    assert (result.processed, result.failed, result.rows) == (20, 0, 190)
    assert len(site.rows("id")) == 190
    assert site.ledger("status", "record_count") == {
        f"{number:02}.csv": ("success", number) for number in range(20)
    }
    by_file = site.spark.table(site.table).groupBy("_source_file").count().collect()
    assert {row[0]: row[1] for row in by_file} == {
        f"/Volumes/c/s/v/in/{number:02}.csv": number for number in range(1, 20)
    }
    # Created empty, filled at once.
    assert site.version() == 1
    assert dict(site.spark.table(site.table).dtypes)["id"] == "int"


def test_nothing_new_makes_no_loader_and_no_commit(site: Site) -> None:
    site.put("a.csv", "id,name\n1,a\n")
    site.ingest()
    ledger, target, loaders = (
        site.store.version(TABLES.of(FILES)),
        site.version(),
        len(site.loaders),
    )
    again = site.ingest()
    assert (again.processed, again.skipped) == (0, 1)
    assert len(site.loaders) == loaders
    assert (site.store.version(TABLES.of(FILES)), site.version()) == (ledger, target)


def test_a_copy_under_another_name_is_linked(site: Site) -> None:
    site.put("a.csv", "id,name\n1,a\n")
    site.ingest()
    site.put("copy.csv", "id,name\n1,a\n")
    site.put("b.csv", "id,name\n2,b\n")
    result = site.ingest()
    assert (result.processed, result.duplicates) == (1, 1)
    assert site.rows("id") == [(1,), (2,)]
    assert site.ledger("duplicate_of")["copy.csv"] == ("/Volumes/c/s/v/in/a.csv",)


def test_a_bad_value_fails_its_file_alone_and_is_named(site: Site) -> None:
    site.spark.sql(f"CREATE TABLE {site.table} (id INT, name STRING)")
    for number in range(5):
        site.put(f"{number}.csv", f"id,name\n{number},n\n")
    site.put("bad.csv", "id,name\n1,a\nx,b\n")
    result = site.ingest()
    assert (result.processed, result.failed) == (5, 1)
    assert site.rows("id") == [(number,) for number in range(5)]
    assert "bad.csv" in site.reasons(result)
    status, error = site.ledger("status", "error_message")["bad.csv"]
    assert status == "failed"
    assert 'For input string: "x"' in error
    site.put("bad.csv", "id,name\n7,b\n")
    assert site.ingest().failed == 0
    assert site.rows("id") == [*((number,) for number in range(5)), (7,)]


def test_columns_of_csv_are_taken_by_header_whatever_their_order(site: Site) -> None:
    site.spark.sql(f"CREATE TABLE {site.table} (id BIGINT, name STRING, born DATE)")
    site.put("a.csv", "born,id,name\n2001-02-03,1,a\n")
    site.put("b.csv", "NAME,id\nb,2\n")
    site.put("c.csv", "id,nmae\n3,c\n")
    site.put("d.csv", "id,name,born\n4,d\n")
    with gzip.open(site.landing / "e.csv.gz", "wt") as file:
        file.write("name,born,id\ne,2005-05-05,5\n")
    result = site.ingest()
    assert site.reasons(result).keys() == {"c.csv", "d.csv"}
    assert "'nmae'" in site.reasons(result)["c.csv"]
    rows = [(row[0], row[1], str(row[2])) for row in site.rows("id", "name", "born")]
    assert rows == [(1, "a", "2001-02-03"), (2, "b", "None"), (5, "e", "2005-05-05")]
    assert site.spark.table(site.table).columns == ["id", "name", "born"]


def test_a_null_that_the_table_forbids_fails_its_file_alone(site: Site) -> None:
    site.spark.sql(f"CREATE TABLE {site.table} (id INT NOT NULL, name STRING)")
    for number in range(8):
        site.put(f"{number}.csv", f"id,name\n{number},a\n")
    site.put("null.csv", "id,name\nNA,b\n")
    site.put("without.csv", "name\nb\n")
    result = site.ingest(site.source(options={"nullValue": "NA"}))
    assert site.reasons(result) == {
        "null.csv": "column id must not be NULL",
        "without.csv": "column id, which must not be NULL, is missing",
    }
    assert site.rows("id") == [(number,) for number in range(8)]


def test_parquet_is_cast_strictly_to_the_table(site: Site) -> None:
    site.spark.sql(f"CREATE TABLE {site.table} (id INT, part DECIMAL(5,2))")
    make = {"good": "1L id, 1.25D part", "lossy": "2.5D id, 1D part", "big": "1L<<40 id, 1 part"}
    for name, columns in make.items():
        site.spark.sql(f"SELECT {columns}").coalesce(1).write.parquet(str(site.root / name))
        made = next((site.root / name).glob("*.parquet"))
        made.rename(site.landing / f"{name}.parquet")
    (site.landing / "torn.parquet").write_bytes((site.landing / "good.parquet").read_bytes()[:-200])
    result = site.ingest(site.source(format="parquet"))
    assert site.rows("id") == [(1,)]
    reasons = site.reasons(result)
    assert reasons.keys() == {"lossy.parquet", "big.parquet", "torn.parquet"}
    assert reasons["lossy.parquet"] == "column id: 2.5 is no int"
    assert reasons["big.parquet"] == "column id: 1099511627776 is no int"


def test_json_lines_with_a_declared_schema_fail_at_a_broken_line(site: Site) -> None:
    site.put("a.jsonl", '{"id": 1, "tags": ["x", "y"]}\n{"id": 2}\n')
    site.put("b.jsonl", '{"id": 3}\n{"id": \n')
    source = site.source(format="jsonl", schema="id INT, tags ARRAY<STRING>")
    result = site.ingest(source)
    assert site.rows("id", "tags") == [(1, ["x", "y"]), (2, None)]
    assert site.reasons(result).keys() == {"b.jsonl"}


def test_names_with_unusual_characters_are_files_like_others(site: Site) -> None:
    names = [
        "a b.csv",
        "100%.csv",
        "c+d#e.csv",
        "f[1]{2}*?.csv",
        "é'\".csv",
        "p=q,r;s.csv",
        "%41.csv",
        "co:lon.csv",
        "日本\n語.csv",
        "back\\slash.csv",
    ]
    for number, name in enumerate(names):
        site.put(name, f"id\n{number}\n")
    site.put("_hidden.csv", "id\n98\n")
    result = site.ingest()
    assert result.processed == len(names)
    assert site.rows("id") == [(number,) for number in range(len(names))]
    counts = site.ledger("record_count")
    assert {counts[name] for name in names} == {(1,)}


def test_empty_files_are_files_of_no_rows(site: Site) -> None:
    site.put("empty.csv", "")
    site.put("a.csv", "id\n1\n")
    result = site.ingest()
    assert (result.processed, result.rows) == (2, 1)
    assert site.ledger("record_count") == {"empty.csv": (0,), "a.csv": (1,)}


def test_metadata_columns_can_be_left_out(site: Site) -> None:
    site.put("a.csv", "id\n1\n")
    site.put("b.csv", "id\n2\n")
    site.ingest(site.source({"metadata_columns": False}))
    assert site.spark.table(site.table).columns == ["id"]
    assert site.ledger("record_count") == {"a.csv": (1,), "b.csv": (1,)}


def test_metadata_columns_that_the_table_lacks_are_an_error_when_asked_for(site: Site) -> None:
    site.spark.sql(f"CREATE TABLE {site.table} (id INT)")
    site.put("a.csv", "id\n1\n")
    with pytest.raises(BackendError, match="_batch_id"):
        site.ingest(site.source({"metadata_columns": True}))
    assert site.ingest().processed == 1


def test_a_schema_that_does_not_exist_is_an_error_and_the_files_are_ingested_later(
    site: Site,
) -> None:
    site.put("a.csv", "id\n1\n")
    site.table = site.table.replace(".people", "_later.people")
    with pytest.raises(BackendError):
        site.ingest()
    site.spark.sql(f"CREATE SCHEMA {site.table.rpartition('.')[0]}")
    assert site.ingest().processed == 1
    assert site.rows("id") == [(1,)]


# --- the loader's own promises


@pytest.fixture
def batch_of(site: Site) -> Callable[..., Batch]:
    return site.batch


def test_a_batch_that_was_committed_is_not_appended_again(
    site: Site, batch_of: Callable[..., Batch]
) -> None:
    site.put("a.csv", "id\n1\n")
    site.put("b.csv", "id\n2\n3\n")
    batch = batch_of(1, "a.csv", "b.csv")
    loader = site.loader()
    first = loader.load(batch)
    version = site.version()
    assert site.loader().load(batch) == first
    assert loader.recount(batch) == first
    assert {path[-5:]: count for path, count in first.rows.items()} == {"a.csv": 1, "b.csv": 2}
    assert site.version() == version
    assert loader.committed_version(TableName.parse(site.table), "lane") == 1
    assert loader.committed_version(TableName.parse(site.table), "other") is None


def test_a_batch_that_another_process_commits_meanwhile_is_found(
    site: Site, batch_of: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one commits after this one looked: Delta skips this write without a word."""
    site.put("a.csv", "id\n1\n")
    site.put("b.csv", "id\n2\n3\n")
    batch = batch_of(1, "a.csv", "b.csv")
    other, slow = site.loader(), site.loader()
    monkeypatch.setattr(slow, "committed_version", lambda *_: None)
    other.load(batch.without({"/Volumes/c/s/v/in/b.csv": "left out"}))
    assert {path[-5:]: count for path, count in slow.load(batch).rows.items()} == {"a.csv": 1}
    assert site.rows("id") == [(1,)]


def test_a_version_below_the_last_of_its_lane_is_fenced_out(
    site: Site, batch_of: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.put("a.csv", "id\n1\n")
    site.put("b.csv", "id\n2\n")
    loader = site.loader()
    loader.load(batch_of(5, "a.csv"))
    with pytest.raises(FencedOutError):
        loader.load(batch_of(4, "b.csv"))
    monkeypatch.setattr(loader, "committed_version", lambda *_: None)
    with pytest.raises(FencedOutError):
        loader.load(batch_of(4, "b.csv"))
    assert site.rows("id") == [(1,)]


def test_probing_finds_every_bad_file(site: Site, batch_of: Callable[..., Batch]) -> None:
    site.spark.sql(f"CREATE TABLE {site.table} (id INT NOT NULL)")
    names = [f"{number:02}.csv" for number in range(16)]
    for number, name in enumerate(names):
        site.put(name, f"id\n{'x' if number in (3, 4) else '' if number == 11 else number}\n")
    site.put("11.csv", 'id\n""\n')
    batch = batch_of(1, *names)
    bad = site.loader().probe(batch)
    assert {path[-6:] for path in bad} == {"03.csv", "04.csv", "11.csv"}
    with pytest.raises(BadFilesError):
        site.loader().load(batch)


def test_batches_of_several_lanes_are_kept_apart(site: Site) -> None:
    for number in range(6):
        site.put(f"{number}.csv", f"id\n{number}\n")
    result = site.ingest(limits=BatchLimits(max_files=2))
    assert result.batches == 3
    assert len({row[0] for row in site.rows("_batch_id")}) == 3
    assert site.rows("id") == [(number,) for number in range(6)]


def test_a_table_outside_the_warehouse_may_lie_anywhere(site: Site) -> None:
    place = site.root / "a b%20c"
    site.spark.sql(f"CREATE TABLE {site.table} (a INT) LOCATION '{place}'")
    for number in (1, 2):
        site.put(f"{number}.csv", f"a\n{number}\n")
        assert site.ingest().processed == 1
    assert site.rows("a") == [(1,), (2,)]
