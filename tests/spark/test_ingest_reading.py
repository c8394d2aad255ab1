"""How files are read: through links where Spark is on this machine, packed, and counted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest
from deltalake import DeltaTable
from ingest_site import Site, site_of
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage
from pyspark.sql.types import IntegerType, StructField

from lakeflow_meta.backends.spark_ingest import counting
from lakeflow_meta.backends.spark_ingest.links import LinkFolders
from lakeflow_meta.backends.spark_ingest.reading import FileReader
from lakeflow_meta.ingest.batch import BadFilesError
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.names import TableName

SCHEMA = "id INT"


@pytest.fixture
def site(tmp_path: Path, interpreted: SparkSession, schema: str) -> Site:
    return site_of(tmp_path, interpreted, schema)


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


@pytest.mark.parametrize(
    ("kind", "text"), [("json", '{{"id": {}}}\n'), ("jsonl", '{{"id": {}}}'), ("csv", "id\n{}\n")]
)
def test_spark_opens_one_file_for_many_small_ones(site: Site, kind: str, text: str) -> None:
    names = [f"{number}.{kind}" for number in range(20)]
    for number, name in enumerate(names):
        site.put(name, text.format(number))
    batch = site.batch(1, *names, source=site.source(format=kind, schema=SCHEMA))
    reader = FileReader(lambda: site.spark, site.paths, LinkFolders(site.root / "links"))
    frame = reader.load(batch, batch.files, [StructField("id", IntegerType())])
    assert len(frame.inputFiles()) == 1
    assert frame.columns == ["id", "_source_file"]
    assert {row["id"]: row["_source_file"] for row in frame.collect()} == {
        number: f"/Volumes/c/s/v/in/{name}" for number, name in enumerate(names)
    }


def test_a_record_of_another_length_is_found_whoever_asks_for_its_file(site: Site) -> None:
    site.put("a.csv", "id\n1\n")
    site.put("b.csv", "id\n2,3\n")
    batch = site.batch(1, "a.csv", "b.csv")
    reader = FileReader(lambda: site.spark, site.paths, LinkFolders(site.root / "links"))
    frame = reader.load(batch, batch.files, [StructField("id", IntegerType())])
    with pytest.raises(Exception, match="MALFORMED_RECORD"):
        frame.select("id").collect()


ODD = {
    "plain.json": '{"id": 1, "name": "a"}\n{"id": 2, "name": "b"}\n',
    "windows.json": '{"id": 3, "name": "c"}\r\n{"id": 4}\r\n',
    "no_end.json": '{"id": 5, "name": "{\\"id\\": 6}"}',
    "spaces.json": '  {"id": 7}\n\n\t{"id": 8}\n',
    "array.json": '[{"id": 9}, {"id": 10}]\n{"id": 11}\n',
    "mark.json": '\ufeff{"id": 12}\n{"id": 13}\n',
    "bare.json": '{"id": 14}\r{"id": 15}\n',
    "name'd #1 é.json": '{"name": "ü\\n{", "id": 16}\n{"x": 1, "name": null, "id": 17}\n',
    "large.json": "".join(f'{{"id": {n}, "name": "{n:040}"}}\n' for n in range(100, 2100)),
}


ODD_CSV = {
    "plain.csv": 'id,name\n1,a\n2,"b, c"\n',
    "windows.csv": "id,name\r\n3,c\r\n4,\r\n",
    "no_end.csv": 'id,name\n5,"say \\"hi\\""',
    "quoted.csv": 'id,name\n6,"x""y"\n7,""\n8," z "\n',
    "header.csv": "id,name\n",
    "unicode é, #1.csv": "id,name\n9,ü\u2028ü\n",
    "swapped.csv": "name,id\nten,10\n11,11\n",
    "swapped too.csv": "name,id\ntwelve,12\n",
    "spelled.csv": '"id",name\n13,13\n',
    "blank.csv": "id,name\n14,n\n\n  \n15,o\n",
}


@pytest.mark.parametrize(
    ("odd", "rows"), [(ODD, 2016), (ODD_CSV, 15), ({**ODD_CSV, "blank.csv": "id,name\n"}, 13)]
)
def test_files_read_together_give_what_each_gives_alone(
    tmp_path: Path, interpreted: SparkSession, schema: str, odd: Mapping[str, str], rows: int
) -> None:
    def ingested(**config: object) -> tuple[int, list[Row], object]:
        site = site_of(tmp_path / str(len(config)), interpreted, schema)
        for name, text in odd.items():
            (site.landing / name).write_bytes(text.encode())
        interpreted.sql(f"DROP TABLE IF EXISTS {site.table}")
        source = {"format": min(odd).rpartition(".")[2], "schema": "id INT, name STRING", **config}
        result = site.ingest(site.source(**source))
        assert result.failures == ()
        found = interpreted.table(site.table).select("id", "name", "_source_file").orderBy("id")
        return result.rows, found.collect(), site.ledger("status", "record_count")

    together = ingested()
    assert together == ingested(max_files=1)
    assert together[0] == rows


@pytest.mark.parametrize(("bad", "told"), [("1", True), ("1,2,3", False), ("x,a", True)])
def test_of_records_that_are_read_as_one_the_file_of_a_bad_one_is_named(
    site: Site, bad: str, told: bool
) -> None:
    for number in range(20):
        site.put(f"{number}.csv", f"id,name\n{number},a\n")
    site.put("bad.csv", f"id,name\n7,b\n{bad}\n")
    result = site.ingest(site.source({"metadata_columns": told}, schema="id INT, name STRING"))
    assert [*site.reasons(result)] == ["bad.csv"]
    assert "lakeflow" not in site.reasons(result)["bad.csv"]
    assert site.rows("id", "name") == [(number, "a") for number in range(20)]


def test_types_are_found_in_records_that_are_read_as_one(site: Site) -> None:
    for number in range(3):
        site.put(f"{number}.csv", f"day,size\n2026-01-0{number + 1},{number / 2}\n")
    site.ingest()
    assert site.rows("day", "size") == [(date(2026, 1, n + 1), n / 2) for n in range(3)]


@pytest.mark.parametrize("bad", ['{"id": 1}\n{"id": 2', '{"id": "x"}\n', '{"id": 1\n"name": 2}\n'])
def test_of_many_files_that_are_read_as_one_the_bad_one_is_named(site: Site, bad: str) -> None:
    for number in range(20):
        site.put(f"{number}.json", f'{{"id": {number}}}\n' * 2)
    site.put("bad.json", bad)
    result = site.ingest(json_source(site))
    assert [*site.reasons(result)] == ["bad.json"]
    assert "lakeflow" not in site.reasons(result)["bad.json"]
    assert result.rows == 40
    assert site.ledger("status", "record_count")["7.json"] == ("success", 2)


def test_columns_are_found_in_files_that_are_read_as_one(site: Site) -> None:
    for number in range(5):
        site.put(f"{number}.json", f'{{"id": {number}}}\n')
    evolving = site.source(format="json", schema_evolution="add_new_columns")
    site.ingest(evolving)
    site.put("5.json", '{"id": 5, "size": 1.5}\n')
    site.put("6.json", '{"id": 6, "Size": 2.5}\n')
    site.ingest(evolving)
    ours = {"_source_file", "_ingested_at", "_batch_id"}
    assert {*site.spark.table(site.table).columns} - ours == {"id", "size"}
    assert site.rows("id", "size")[-2:] == [(5, 1.5), (6, 2.5)]


def test_lines_that_broke_are_kept_as_they_are(site: Site) -> None:
    site.put("a.json", '{"id": 1}\n{"id": 2\n')
    site.put("b.json", '{"id": 3}\n')
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": "broken"}
    schema = "id INT, name STRING, broken STRING"
    site.ingest(site.source(format="json", schema=schema, options=options))
    broken = site.spark.table(site.table).where("broken IS NOT NULL")
    assert [row["broken"] for row in broken.collect()] == ['{"id": 2']
