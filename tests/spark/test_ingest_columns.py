"""Formats, schemas and evolution: files of every kind into tables that say what they hold."""

from __future__ import annotations

import bz2
import gzip
import json
import zlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ingest_site import Site, site_of
from pyarrow import orc
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage
from pyspark.sql import types as T  # noqa: N812 - Spark's own usage

from lakeflow_meta.backends.spark_ingest.strict_cast import StrictCast

ADD = {"schema_evolution": "add_new_columns"}
RESCUE = {"schema_evolution": "rescue"}


@pytest.fixture
def site(tmp_path: Path, interpreted: SparkSession, schema: str) -> Site:
    return site_of(tmp_path, interpreted, schema)


def create(site: Site, columns: str, rest: str = "") -> None:
    site.spark.sql(f"CREATE TABLE {site.table} ({columns}) USING delta {rest}")


def types(site: Site) -> dict[str, str]:
    found = dict(site.spark.table(site.table).dtypes)
    return {name: kind for name, kind in found.items() if name not in OURS}


OURS = ("_source_file", "_ingested_at", "_batch_id")


def rescued(site: Site, key: str) -> dict[Any, Any]:
    rows = site.spark.table(site.table).select(key, "_rescued_data").collect()
    return {row[0]: row[1] and json.loads(row[1]) for row in rows}


def write_parquet(site: Site, name: str, **columns: Any) -> None:
    pq.write_table(pa.table(columns), site.landing / f"{name}.parquet")


def written_by_spark(site: Site, query: str, kind: str, **options: str) -> bytes:
    folder = site.root / f"made_{len(list(site.root.iterdir()))}"
    writer = site.spark.sql(query).coalesce(1).write.format(kind).options(**options)
    writer.save(str(folder))
    return next(p for p in folder.iterdir() if p.name.startswith("part-")).read_bytes()


# --- new columns


def test_columns_that_are_new_are_added_in_one_transaction_and_kept_by_later_files(
    site: Site,
) -> None:
    create(site, "id INT, name STRING")
    site.put("a.csv", "id,name\n1,a\n")
    site.put("b.csv", "name,id,born,n\nb,2,2020-01-02,7\n")
    site.put("c.csv", "id,n\n3,1.5\n")
    before = site.version()
    assert site.ingest(site.source(**ADD)).failures == ()
    assert site.version() == before + 1
    assert types(site) == {"id": "int", "name": "string", "born": "date", "n": "double"}
    shown = [(r[0], r[1], str(r[2]), r[3]) for r in site.rows("id", "name", "born", "n")]
    assert shown == [(1, "a", "None", None), (2, "b", "2020-01-02", 7.0), (3, None, "None", 1.5)]
    site.put("d.csv", "id,n\n4,x\n")
    assert site.reasons(site.ingest(site.source(**ADD))).keys() == {"d.csv"}


def test_new_keys_of_json_are_added_at_any_depth(site: Site) -> None:
    create(site, "id INT, s STRUCT<x: INT>, l ARRAY<STRUCT<p: DECIMAL(5,2)>>")
    site.put("a.json", '{"id": 1, "s": {"x": 1, "y": {"z": true}}, "l": [{"p": 1.25, "q": "u"}]}\n')
    site.put("b.json", '{"ID": 2, "s": {"X": 3}, "extra": [1, 2], "nothing": null}\n')
    site.put("c.json", '{"id": 3, "l": [{"p": 1.255}]}\n')
    result = site.ingest(site.source(format="json", **ADD))
    assert site.reasons(result) == {
        "c.json": 'column l: [{"p":"1.255"}] is no array<struct<p:decimal(5,2),q:string>>'
    }
    assert types(site)["s"] == "struct<x:int,y:struct<z:boolean>>"
    assert types(site)["l"] == "array<struct<p:decimal(5,2),q:string>>"
    assert types(site)["extra"] == "array<bigint>"
    rows = {row["id"]: row.asDict(recursive=True) for row in site.spark.table(site.table).collect()}
    assert rows[1]["s"] == {"x": 1, "y": {"z": True}}
    assert rows[1]["l"] == [{"p": Decimal("1.25"), "q": "u"}]
    assert (rows[2]["s"], rows[2]["extra"]) == ({"x": 3, "y": None}, [1, 2])


def test_keys_that_files_spell_in_several_ways_are_one_column(site: Site) -> None:
    create(site, "id INT")
    site.put("a.json", '{"id": 1, "New": "a"}\n')
    site.put("b.json", '{"ID": 2, "new": "b"}\n')
    site.put("c.json", '{"id": 3, "Id": 4}\n')
    result = site.ingest(site.source(format="json", **ADD))
    assert site.reasons(result) == {"c.json": "it names 'Id' twice ('id')"}
    assert [tuple(row) for row in site.rows("id", "new")] == [(1, "a"), (2, "b")]


def test_names_that_need_column_mapping_are_refused_where_the_table_has_none(site: Site) -> None:
    site.put("a.csv", "id,a b,c.d,`e`\n1,2,3,4\n")
    assert site.ingest().failures == ()
    assert list(types(site)) == ["id", "a b", "c.d", "`e`"]
    assert site.rows("`a b`", "`c.d`", "```e```") == [(2, 3, 4)]
    site.put("b.csv", "id,a b,c.d,`e`,f g\n2,2,3,4,5\n")
    assert site.ingest(site.source(**ADD)).failures == ()
    assert "f g" in types(site)
    site.table += "_plain"
    create(site, "id INT")
    reasons = site.reasons(site.ingest(site.source(**ADD)))
    assert set(reasons) == {"a.csv", "b.csv"}
    assert "column mapping" in reasons["a.csv"]


# --- what does not fit


def test_what_does_not_fit_is_rescued_from_csv(site: Site) -> None:
    create(site, "id INT, born DATE, at TIMESTAMP, price DECIMAL(5,2), v VARCHAR(3), ok BOOLEAN")
    site.put(
        "a.csv",
        "id,born,at,price,v,ok,more\n"
        '1,2020-01-01,2020-01-01T10:00:00Z,"1,25.50",abc,true,\n'
        '2,2020-01-01 10:00:00,2020-01-01 10:00:00.1234567,1.255,abcd,yes,"q,x"\n'
        "3,,,12345.6,,,\n",
    )
    assert site.ingest(site.source(**RESCUE)).failures == ()
    assert "more" not in types(site)
    found = rescued(site, "id")
    assert (found[1], found[3]["price"]) == (None, "12345.6")
    path = "/Volumes/c/s/v/in/a.csv"
    assert found[2] == {
        "born": "2020-01-01 10:00:00",
        "at": "2020-01-01 10:00:00.1234567",
        "price": "1.255",
        "v": "abcd",
        "ok": "yes",
        "more": "q,x",
        "_file_path": path,
    }
    kept = site.spark.table(site.table).where("id = 1").select("price", "v", "ok").collect()
    assert tuple(kept[0]) == (Decimal("125.50"), "abc", True)
    site.put("torn.csv", "id,v\n4\n")
    assert site.reasons(site.ingest(site.source(**RESCUE))).keys() == {"torn.csv"}


def test_what_does_not_fit_is_rescued_from_json_and_parquet(site: Site) -> None:
    create(site, "id BIGINT, n INT, s STRUCT<x: INT>, l ARRAY<INT>")
    site.put(
        "a.json",
        '{"id": 1, "n": 5, "s": {"x": 1}, "l": [1, 2]}\n'
        '{"id": 2, "n": "five", "s": {"x": "one"}, "l": [1, "z"], "new": {"k": [1.5]}}\n'
        '{"id": 3, "n": 5000000000, "s": {"x": 2, "y": 3}, "l": 4}\n'
        '{"id": 4, "s": "text", "N": 6}\n',
    )
    site.put("b.json", '{"id": 5, "n": 6\n')
    result = site.ingest(site.source(format="json", **RESCUE))
    assert "it names" in site.reasons(result)["a.json"]
    text = (site.landing / "a.json").read_text().replace('"N": 6', '"n": 6')
    site.put("a.json", text)
    assert site.reasons(site.ingest(site.source(format="json", **RESCUE))).keys() == {"b.json"}
    table = site.spark.table(site.table)
    rows = {row["id"]: row.asDict(recursive=True) for row in table.collect()}
    assert (rows[1]["n"], rows[1]["s"], rows[1]["l"]) == (5, {"x": 1}, [1, 2])
    assert (rows[2]["n"], rows[2]["s"], rows[2]["l"]) == (None, None, None)
    assert (rows[3]["n"], rows[3]["s"], rows[3]["l"]) == (None, None, None)
    found = rescued(site, "id")
    path = {"_file_path": "/Volumes/c/s/v/in/a.json"}
    assert found[1] is None
    assert found[2]["n"] == "five"
    assert found[2]["new"] == {"k": [1.5]}
    assert json.loads(found[2]["s"]) == {"x": "one"}
    assert json.loads(found[3]["s"]) == {"x": 2, "y": 3}
    assert found[4] == {"s": "text"} | path
    (site.landing / "a.json").unlink()
    (site.landing / "b.json").unlink()
    write_parquet(site, "p", id=[7], n=[2**40], s=[{"x": 1, "y": "u"}], more=[{"a": [1]}])
    assert site.ingest(site.source(format="parquet", **RESCUE)).failures == ()
    assert rescued(site, "id")[7] == {
        "n": 2**40,
        "s": {"x": 1, "y": "u"},
        "more": {"a": [1]},
        "_file_path": "/Volumes/c/s/v/in/p.parquet",
    }
    assert site.spark.table(site.table).where("id = 7").first()["s"]["x"] == 1


BAD = object()
"""The value does not fit."""

CASES: list[tuple[str, str, Any]] = [
    ("'2020-01-01'", "DATE", "2020-01-01"),
    ("'2020-01-01 00:00:00'", "DATE", "2020-01-01"),
    ("'2020-01-01T12:00:00'", "DATE", BAD),
    ("'20200101'", "DATE", BAD),
    ("'2020-01-01T10:00:00.123456000Z'", "TIMESTAMP", "2020-01-01 10:00:00.123456"),
    ("'2020-01-01T10:00:00.123456789Z'", "TIMESTAMP", BAD),
    ("'10:00'", "TIMESTAMP", BAD),
    ("'2020-01-01 10:00:00.1234561'", "TIMESTAMP_NTZ", BAD),
    ("'1.25'", "DECIMAL(5,2)", "1.25"),
    ("' 1.25000 '", "DECIMAL(5,2)", "1.25"),
    ("'100'", "DECIMAL(5,2)", "100.00"),
    ("'1.255e1'", "DECIMAL(5,2)", "12.55"),
    ("'1.2555e1'", "DECIMAL(5,2)", BAD),
    ("'1.255'", "DECIMAL(5,2)", BAD),
    ("'1000'", "DECIMAL(5,2)", BAD),
    ("'0.1234567890123456789'", "DECIMAL(38,18)", BAD),
    ("'x'", "INT", BAD),
    ("'1.0'", "INT", BAD),
    ("'9223372036854775808'", "BIGINT", BAD),
    ("'yes'", "BOOLEAN", BAD),
    ("'True'", "BOOLEAN", "true"),
    ("'abc'", "VARCHAR(3)", "abc"),
    ("'abc '", "VARCHAR(3)", BAD),
    ("12", "CHAR(2)", "12"),
    ("5L", "INT", "5"),
    ("2147483648L", "INT", BAD),
    ("2.5D", "INT", BAD),
    ("9007199254740993L", "DOUBLE", BAD),
    ("0.1D", "FLOAT", BAD),
    ("0.5D", "FLOAT", "0.5"),
    ("1.10BD", "DECIMAL(3,1)", "1.1"),
    ("1.15BD", "DECIMAL(3,1)", BAD),
    ("DATE'2020-01-01'", "TIMESTAMP", "2020-01-01 00:00:00"),
    ("TIMESTAMP'2020-01-01 01:00:00'", "DATE", BAD),
    ("1L", "TIMESTAMP", BAD),
    ("true", "INT", BAD),
    ("1", "BOOLEAN", BAD),
    ("1.5D", "STRING", "1.5"),
    ("X'C3A9'", "STRING", "é"),
    ("X'C3'", "STRING", BAD),
    ("array(1)", "STRING", BAD),
    ("array('1', '2')", "ARRAY<INT>", "[1, 2]"),
    ("array('1', 'z')", "ARRAY<INT>", BAD),
    ("'[1, 2]'", "ARRAY<INT>", "[1, 2]"),
    ("'[1, 2'", "ARRAY<INT>", BAD),
    ('\'{"a": 1, "b": 2}\'', "STRUCT<a: INT>", BAD),
    ("named_struct('A', '1')", "STRUCT<a: INT, b: STRING>", "{1, null}"),
    ("named_struct('a', 'x')", "STRUCT<a: INT>", BAD),
    ("named_struct('b', 1)", "STRUCT<a: INT NOT NULL, b: INT>", BAD),
    ("map('k', '1.5')", "MAP<STRING, DECIMAL(2,1)>", "{k -> 1.5}"),
    ("map('k', '1.55')", "MAP<STRING, DECIMAL(2,1)>", BAD),
    ("map('7', 1)", "MAP<INT, INT>", "{7 -> 1}"),
    ("map('x', 1)", "MAP<INT, INT>", BAD),
    ("NULL", "INT", None),
    ("CAST(NULL AS STRING)", "STRUCT<a: INT>", None),
    ("CAST(NULL AS STRUCT<a: STRING>)", "STRUCT<a: INT>", None),
]


def test_values_become_what_they_say_or_are_known_not_to_fit(spark: SparkSession) -> None:
    wanted = [T.StructType.fromDDL(f"c {kind}").fields[0].dataType for _, kind, _ in CASES]
    texts = ", ".join(f"{expression} AS c{number}" for number, (expression, *_) in enumerate(CASES))
    frame = spark.sql(f"SELECT {texts}")
    columns: list[Any] = []
    for number, (field, kind) in enumerate(zip(frame.schema.fields, wanted, strict=True)):
        fit = StrictCast().fit(frame[field.name], field.dataType, kind)
        misfit = F.lit(False) if fit.misfit is None else fit.misfit
        columns += [misfit.alias(f"bad{number}"), fit.value.cast("string").alias(f"v{number}")]
    row = frame.select(*columns).first()
    found = [BAD if row[f"bad{number}"] else row[f"v{number}"] for number in range(len(CASES))]
    assert {case[:2]: got for case, got in zip(CASES, found, strict=True)} == {
        case[:2]: case[2] for case in CASES
    }


def test_a_misfit_names_its_file_its_column_and_its_value(site: Site) -> None:
    create(site, "id INT, price DECIMAL(5,2), v VARCHAR(3)")
    site.put("good.csv", 'id,price,v\n1,"1,00",\n2,1.5,abc\n')
    site.put("bad.csv", "id,price\n1,1.255\n")
    site.put("long.csv", "id,v\n1,abcd\n")
    assert site.reasons(site.ingest()) == {
        "bad.csv": "column price: 1.255 is no decimal(5,2)",
        "long.csv": "column v: abcd is no varchar(3)",
    }
    assert site.rows("id", "price") == [(1, Decimal("100.00")), (2, Decimal("1.50"))]


def test_files_of_one_batch_that_give_a_column_different_types(site: Site) -> None:
    write_parquet(site, "a", id=pa.array([1, 2], pa.int32()), n=["x", "y"])
    write_parquet(site, "a2", id=pa.array([3], pa.int32()), n=["z"])
    write_parquet(site, "b", id=pa.array([2**40], pa.int64()), n=["x"])
    write_parquet(site, "c", id=pa.array([4], pa.int32()), n=[7])
    write_parquet(site, "d", id=["five"], n=["x"])
    reasons = site.reasons(site.ingest(site.source(format="parquet")))
    assert reasons == {"d.parquet": "column id: five is no bigint"}
    assert types(site) == {"id": "bigint", "n": "string"}
    assert site.rows("id", "n") == [(1, "x"), (2, "y"), (3, "z"), (4, "7"), (2**40, "x")]
    site.table += "_json"
    create(site, "id INT, n INT")
    site.put("a.json", '{"id": 1, "n": 2}\n{"id": 2, "n": "two"}\n')
    site.put("b.json", '{"id": 3, "n": 4}\n')
    source = site.source(format="json", glob="*.json")
    assert site.reasons(site.ingest(source)).keys() == {"a.json"}
    assert site.rows("id", "n") == [(3, 4)]


# --- columns that the table makes


def test_columns_that_the_table_makes_are_left_to_it(site: Site) -> None:
    create(
        site,
        "id BIGINT GENERATED BY DEFAULT AS IDENTITY, day DATE NOT NULL GENERATED ALWAYS AS"
        " (CAST(at AS DATE)), at TIMESTAMP, kind STRING DEFAULT 'new', n INT",
        "TBLPROPERTIES ('delta.feature.allowColumnDefaults' = 'supported')",
    )
    site.put("a.csv", "at,n\n2020-01-01 10:00:00,1\n")
    site.put("b.csv", "at,n,kind\n2020-01-02 10:00:00,2,old\n")
    site.put("c.csv", "at,n,day\n2020-01-03 10:00:00,3,2020-01-03\n")
    site.put("d.csv", "at,n,id\n2020-01-04 10:00:00,4,77\n")
    reasons = site.reasons(site.ingest())
    assert set(reasons) == {"d.csv"}
    assert "identity column id" in reasons["d.csv"]
    shown = [(r[0], r[1], str(r[2])) for r in site.rows("n", "kind", "day")]
    expected = [(1, "new", "2020-01-01"), (2, "old", "2020-01-02"), (3, "new", "2020-01-03")]
    assert shown == expected
    assert len({row[0] for row in site.rows("id")}) == 3
    assert site.ingest().failures == ()
    assert site.rows("id", "n")[-1] == (77, 4)
    site.put("e.json", '{"at": "2020-01-05T00:00:00", "n": 5}\n')
    assert site.ingest(site.source(format="json", glob="*.json")).failures == ()
    last = site.spark.table(site.table).where("n = 5").first()
    assert (last["kind"], str(last["day"])) == ("new", "2020-01-05")
    assert last["id"] is not None


# --- paths


def test_folders_give_columns_in_one_read(site: Site) -> None:
    create(site, "id INT, year INT, city STRING")
    site.put("year=2024/city=New%20York/a.csv", "id\n1\n")
    site.put("year=2023/city=__HIVE_DEFAULT_PARTITION__/b.csv", "id\n2\n")
    site.put("Year=2022/city=007/year=x.csv", "id,year\n3,2022\n")
    site.put("year=2021/city=a+b/c.csv", "id,year\n4,2020\n")
    site.put("year=old/city=a/d.csv", "id\n5\n")
    site.put("city=a/e.csv", "id\n6\n")
    config = {"recursive": True, "partition_columns": ["year", "city"]}
    result = site.ingest(site.source(**config))
    assert site.reasons(result) == {
        "c.csv": "column year: 2020 in the file, 2021 in its path",
        "d.csv": "column year: old is no int",
        "e.csv": "its path has no folder year=… (partition_columns)",
    }
    assert site.rows("id", "year", "city") == [
        (1, 2024, "New York"),
        (2, 2023, None),
        (3, 2022, "007"),
    ]
    site.table += "_new"
    site.put("only/year=01/city=a b/f.csv", "id\n9\n")
    config |= {"path": "/Volumes/c/s/v/in/only"}
    assert site.ingest(site.source(**config)).failures == ()
    assert site.rows("id", "year", "city") == [(9, "01", "a b")]


# --- CSV


def test_a_wrong_delimiter_is_told(site: Site) -> None:
    site.put("a.csv", "id;name;n\n1;a;2\n")
    for config in ({}, ADD, RESCUE):
        reason = site.reasons(site.ingest(site.source(**config)))["a.csv"]
        assert reason.startswith("column 'id;name;n' unknown to ")
        assert reason.endswith("; is the delimiter ';'?")
    assert site.ingest(site.source(options={"sep": ";"})).failures == ()
    assert site.rows("id", "name") == [(1, "a")]


def test_files_that_tell_no_column_make_no_table(site: Site) -> None:
    (site.landing / "a.csv.gz").write_bytes(gzip.compress(b"\n \n"))
    site.put("b.json", " \n")
    for kind, name in (("csv", "a.csv.gz"), ("json", "b.json")):
        source = site.source(format=kind, glob=name)
        reasons = site.reasons(site.ingest(source))
        assert reasons == {name: "neither it nor anything else tells its columns"}
    create(site, "id INT")
    for kind, name in (("csv", "a.csv.gz"), ("json", "b.json")):
        assert site.ingest(site.source(format=kind, glob=name)).failures == ()
    assert site.rows("id") == []


def test_separators_of_several_characters_and_files_without_a_header(site: Site) -> None:
    create(site, "id INT, name STRING, kind STRING DEFAULT 'k'", DEFAULTS)
    site.put("a.csv", '"id"||name||kind\n1||"a||b"||x\n')
    assert site.ingest(site.source(options={"sep": "||"})).failures == ()
    site.put("a.csv", "2,b,y\n")
    site.put("b.csv", "3,c\n")
    site.put("c.csv", "4\n")
    site.put("d.csv", "5,e,f,g\n")
    site.put("e.csv", "6,f\n7\n")
    reasons = site.reasons(site.ingest(site.source(options={"header": False})))
    assert set(reasons) == {"c.csv", "d.csv", "e.csv"}
    assert "4 values, and 3 are expected (id, name, kind)" in reasons["d.csv"]
    assert site.rows("id", "name", "kind") == [(1, "a||b", "x"), (2, "b", "y"), (3, "c", "k")]


DEFAULTS = "TBLPROPERTIES ('delta.feature.allowColumnDefaults' = 'supported')"


# --- compressed and broken files


def test_compressed_files_are_read_and_those_that_spark_would_misread_are_refused(
    site: Site,
) -> None:
    create(site, "id INT, name STRING")
    lines = ["name,id", *(f"n{number * 7919 % 10007},{number}" for number in range(20_000))]
    text = ("\n".join(lines) + "\n").encode()
    (site.root / "plain.csv").write_bytes(text)
    query = f"SELECT value FROM text.`{site.root / 'plain.csv'}`"
    packed = {
        "gz": gzip.compress(text),
        "bz2": bz2.compress(text),
        "deflate": zlib.compress(text),
        "zst": pa.compress(text, "zstd", asbytes=True),
        "snappy": written_by_spark(site, query, "text", compression="snappy"),
        "lz4": written_by_spark(site, query, "text", compression="lz4"),
    }
    for suffix, data in packed.items():
        (site.landing / f"whole.csv.{suffix}").write_bytes(data)
        (site.landing / f"torn.csv.{suffix}").write_bytes(data[: len(data) * 2 // 3])
        (site.landing / f"text.csv.{suffix}").write_bytes(b"name,id\nn,1\n")
    (site.landing / "frame.csv.lz4").write_bytes(pa.compress(text, "lz4", asbytes=True))
    (site.landing / "a.csv.zip").write_bytes(b"PK\3\4")
    reasons = site.reasons(site.ingest())
    assert {name for name in reasons if name.startswith("whole")} == set()
    assert len(reasons) == 2 * len(packed) + 2
    assert "Spark does not read .zip" in reasons["a.csv.zip"]
    assert "Hadoop's block format" in reasons["frame.csv.lz4"]
    counts = site.ledger("record_count")
    # The bytes differ, the rows do not: what is packed is not looked into.
    assert {counts[f"whole.csv.{suffix}"] for suffix in packed} == {(20_000,)}
    assert site.spark.table(site.table).count() == 20_000 * len(packed)


@pytest.mark.parametrize("kind", ["parquet", "orc", "avro", "json", "xml"])
def test_a_file_that_is_torn_or_empty_or_something_else_fails_alone(site: Site, kind: str) -> None:
    create(site, "id INT, name STRING")
    if kind == "orc":
        orc.write_table(pa.table({"id": [1], "name": ["a"]}), site.root / "good")
        data = (site.root / "good").read_bytes()
    else:
        options = {"rowTag": "row"} if kind == "xml" else {}
        data = written_by_spark(site, "SELECT 1 AS id, 'a' AS name", kind, **options)
    (site.landing / f"good.{kind}").write_bytes(data)
    (site.landing / f"torn.{kind}").write_bytes(data[:-12])
    (site.landing / f"text.{kind}").write_bytes(b"id,name\n1,a\n")
    (site.landing / f"empty.{kind}").write_bytes(b"")
    config = {"options": {"rowTag": "row"}} if kind == "xml" else {}
    reasons = site.reasons(site.ingest(site.source(format=kind, **config)))
    binary = {f"empty.{kind}"} if kind in ("parquet", "orc", "avro") else set()
    assert set(reasons) == {f"torn.{kind}", f"text.{kind}"} | binary
    assert site.rows("id", "name") == [(1, "a")]


def test_xml_text_and_avro_are_read_with_evolution(site: Site) -> None:
    create(site, "id INT, tags ARRAY<STRING>")
    site.put("a.xml", '<r><row k="v"><id>1</id><tags>x</tags><New>n</New></row></r>')
    site.put("b.xml", "<r><row><id>two</id><tags>x</tags><tags>y</tags></row></r>")
    xml = {"format": "xml", "options": {"rowTag": "row"}, "glob": "*.xml"}
    assert site.reasons(site.ingest(site.source(**xml, **ADD))).keys() == {"b.xml"}
    assert types(site) == {"id": "int", "tags": "array<string>", "New": "string", "_k": "string"}
    assert site.rows("id", "tags", "New", "_k") == [(1, ["x"], "n", "v")]
    assert site.ingest(site.source(**xml, **RESCUE)).failures == ()
    assert rescued(site, "id")[None]["id"] == "two"
    data = written_by_spark(site, "SELECT 3 AS id, 'q' AS other, array('z') AS tags", "avro")
    (site.landing / "c.avro").write_bytes(data)
    avro = site.source(format="avro", glob="*.avro", **ADD)
    assert site.ingest(avro).failures == ()
    assert site.spark.table(site.table).where("id = 3").first()["other"] == "q"
    site.table += "_text"
    site.put("d.txt", "first\nsecond\n")
    assert site.ingest(site.source(format="text", glob="*.txt")).failures == ()
    assert site.rows("value") == [("first",), ("second",)]


# --- Delta tables


def test_a_version_of_a_delta_table_replaces_what_the_one_before_it_brought(site: Site) -> None:
    path = site.landing / "source"
    site.spark.sql("SELECT 1 AS id, 'a' AS name, 'x' AS _source_file").write.format("delta").save(
        str(path)
    )
    source = site.source(
        {"write_mode": "overwrite"}, format="delta", path="/Volumes/c/s/v/in/source"
    )
    assert site.ingest(source).processed == 1
    assert site.ingest(source).skipped == 1
    assert site.rows("id", "name", "_source_file") == [(1, "a", "/Volumes/c/s/v/in/source@v0")]
    more = site.spark.sql("SELECT 2 AS id, 'b' AS name, 'x' AS _source_file")
    more.write.format("delta").mode("append").save(str(path))
    assert site.ingest(source).processed == 1
    assert site.rows("id", "name") == [(1, "a"), (2, "b")]
    assert set(site.ledger("record_count").values()) == {(1,), (2,)}
