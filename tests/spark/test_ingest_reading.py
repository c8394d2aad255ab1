"""How files are read: through links where Spark is on this machine, packed, and counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable
from ingest_site import Site, site_of
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

from lakeflow_meta.backends.spark_ingest import counting
from lakeflow_meta.ingest.batch import BadFilesError
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.names import TableName

SCHEMA = "id INT"


@pytest.fixture
def site(tmp_path: Path, spark: SparkSession, schema: str) -> Site:
    return site_of(tmp_path, spark, schema)


def json_source(site: Site, **config: object) -> FileSource:
    return site.source(format="json", schema=SCHEMA, **config)


def test_a_file_that_goes_away_before_it_is_read_fails_by_name(site: Site) -> None:
    for number in range(3):
        site.put(f"{number}.json", f'{{"id": {number}}}\n')
    batch = site.batch(1, "0.json", "1.json", "2.json", source=json_source(site))
    (site.landing / "1.json").unlink()
    with pytest.raises(BadFilesError) as raised:
        site.loader().load(batch)
    assert raised.value.reasons == {"/Volumes/c/s/v/in/1.json": "it is gone"}
    assert list((site.root / "links").iterdir()) == []


def test_a_batch_of_few_rows_becomes_one_file_and_leaves_no_links(site: Site) -> None:
    for number in range(10):
        site.put(f"{number}.json", f'{{"id": {number}}}\n' * number)
    result = site.ingest(json_source(site))
    assert (result.processed, result.rows) == (10, 45)
    assert site.ledger("record_count") == {f"{n}.json": (n,) for n in range(10)}
    folder = site.locate(TableName.parse(site.table))
    assert len(DeltaTable(str(folder)).file_uris()) == 1
    assert list((site.root / "links").iterdir()) == []


def test_files_that_are_links_themselves_are_read_beside_others(site: Site) -> None:
    site.put("a.json", '{"id": 1}\n')
    (site.landing.parent / "elsewhere.json").write_text('{"id": 2}\n{"id": 3}\n')
    (site.landing / "current.json").symlink_to("../elsewhere.json")
    result = site.ingest(json_source(site))
    assert (result.processed, result.rows) == (2, 3)
    assert site.ledger("record_count") == {"a.json": (1,), "current.json": (2,)}


@pytest.mark.parametrize("row_wise", [False, True])
def test_a_transform_asks_spark_for_the_name_of_its_file(site: Site, row_wise: bool) -> None:
    def named(frame: DataFrame) -> DataFrame:
        return frame.withColumn("name", F.regexp_extract(F.input_file_name(), "[^/]*$", 0))

    site.put("a.json", '{"id": 1}\n')
    site.put("b.json", '{"id": 2}\n')
    source = json_source(site).model_copy(update={"transform_fn": named})
    config = source.source_config.model_copy(update={"row_wise": row_wise})
    site.ingest(source.model_copy(update={"source_config": config}))
    assert site.rows("id", "name") == [(1, "a.json"), (2, "b.json")]


def test_without_a_function_that_counts_by_value_rows_are_counted_afterwards(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "_BY_VALUE", "of_a_later_spark")
    site.put("a.json", '{"id": 1}\n')
    site.put("b.json", '{"id": 2}\n{"id": 3}\n')
    site.ingest(json_source(site))
    assert site.ledger("record_count") == {"a.json": (1,), "b.json": (2,)}


def test_one_file_is_counted_where_commits_tell_no_rows(site: Site) -> None:
    site.spark.conf.set("spark.databricks.delta.history.metricsEnabled", "false")
    try:
        site.put("a.json", '{"id": 1}\n{"id": 2}\n')
        site.ingest(json_source(site))
    finally:
        site.spark.conf.unset("spark.databricks.delta.history.metricsEnabled")
    assert site.ledger("record_count") == {"a.json": (2,)}
