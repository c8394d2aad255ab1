"""Extracts of Delta tables by the embedded Spark."""

from __future__ import annotations

import csv
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from extract_samples import declared
from extract_world import World
from pyspark.sql import SparkSession

from lakeflow_meta.backends.extracts.spark_rows import SparkRows
from lakeflow_meta.errors import BackendError, ConfigError, NotFoundError


@pytest.fixture
def rows(interpreted: SparkSession, schema: str) -> SparkRows:
    return SparkRows(lambda: interpreted)


@pytest.fixture
def world(tmp_path: Path, rows: SparkRows) -> World:
    found = World(tmp_path)
    found.rows = rows
    return found


TYPES = """
SELECT id AS i, CAST(id % 100 AS TINYINT) AS s, id % 2 = 0 AS flag,
  CAST(id * 1.25 AS DECIMAL(20,4)) AS d,
  id / 3 AS f, concat('t, ', id) AS t, DATE '2024-02-28' + CAST(id AS INT) AS day,
  TIMESTAMP '2024-01-01 00:00:00.5 UTC' AS zoned, TIMESTAMP_NTZ '2024-01-01 00:00:00.25' AS at,
  array(id, NULL) AS list, map('k', id) AS pairs, named_struct('a', id) AS part,
  X'00FF' AS bytes, CAST(NULL AS STRING) AS nothing
FROM range(0, 100000, 1, 4)
"""


def test_rows_come_as_arrow_in_their_order_with_their_types(rows: SparkRows) -> None:
    with rows.stream(TYPES, batch_rows=10_000) as stream:
        assert stream.schema.field("zoned").type == pa.timestamp("us", "UTC")
        assert stream.schema.field("d").type == pa.decimal128(20, 4)
        batches = list(stream)
    assert max(batch.num_rows for batch in batches) <= 10_000
    table = pa.Table.from_batches(batches, stream.schema)
    assert table["i"].to_pylist() == list(range(100_000))
    first = table.slice(1, 1).to_pylist()[0]
    assert (first["d"], first["day"], first["list"]) == (
        Decimal("1.25"),
        date(2024, 2, 29),
        [1, None],
    )
    assert first["zoned"] == datetime(2024, 1, 1, 0, 0, 0, 500_000, UTC)
    with rows.stream("SELECT 1 AS a WHERE false") as nothing:
        assert (nothing.schema.names, list(nothing)) == (["a"], [])


def test_what_cannot_be_read_is_told(rows: SparkRows) -> None:
    with pytest.raises(NotFoundError, match="nowhere"), rows.stream("SELECT * FROM nowhere"):
        pass
    with (
        pytest.raises(BackendError) as told,
        rows.stream("SELECT 1 / (id - 5) AS x FROM range(9)") as s,
    ):
        list(s)
    assert told.value.code == "DIVIDE_BY_ZERO"
    with pytest.raises(ConfigError), rows.stream("CALL x()", read_only=False):
        pass


def test_a_delta_table_is_extracted_and_then_what_is_new(
    world: World, interpreted: SparkSession, schema: str
) -> None:
    interpreted.sql(
        f"CREATE TABLE {schema}.orders (id BIGINT, at TIMESTAMP, name STRING) USING delta"
    )
    insert = f"INSERT INTO {schema}.orders VALUES "
    interpreted.sql(
        insert + "(1, '2025-01-01T10:00:00.000001Z', 'a;b'), (2, '2025-01-01T11:00:00Z', NULL)"
    )
    world.record(
        declared(
            source={"table": f"{schema}.orders", "columns": ["id", "name"]},
            load={"mode": "incremental", "watermark_column": "at"},
            file_name={"timestamp_format": "HHmmss"},
            file={"delimiter": ";"},
            trigger={},
        )
    )
    outcome = world.one()
    assert (outcome.error, outcome.watermark) == ("", "2025-01-01T11:00:00+00:00")
    interpreted.sql(insert + "(3, '2025-01-01T11:00:00.000001Z', 'c')")
    world.clock.advance(1)
    assert world.one().rows == 1
    assert world.files() == {
        "customers_000000.csv": b'id;name\n1;"a;b"\n2;\n',
        "customers_000000.done": b"",
        "customers_000001.csv": b"id;name\n3;c\n",
        "customers_000001.done": b"",
    }


def test_a_query_with_parameters_and_a_period(world: World, interpreted: SparkSession) -> None:
    query = "SELECT id, DATE '2025-01-01' + CAST(id AS INT) AS day FROM range(:many)"
    load = {
        "mode": "period",
        "period_column": "day",
        "period_query": "SELECT DATE '2025-01-03' AS start_date, DATE '2025-01-04' AS end_date",
    }
    world.record(declared(source={"query": query, "parameters": {"many": 90}}, load=load))
    outcome = world.one()
    assert outcome.error == ""
    lines = csv.DictReader(world.files()["customers.csv"].decode().splitlines())
    assert [row["day"] for row in lines] == ["2025-01-03", "2025-01-04"]


def test_every_type_is_written(world: World) -> None:
    source = {"query": TYPES + " LIMIT 2"}
    forms = ("csv", "jsonl", "parquet")
    for form in forms:
        world.record(declared(extract_name=form, source=source, file={"format": form}))
    assert {o.extract_name: o.error for o in world.run(*forms).outcomes} == dict.fromkeys(forms, "")
    second: dict[str, Any] = json.loads(world.files()["jsonl.jsonl"].splitlines()[1])
    assert (second["pairs"], second["part"], second["zoned"]) == (
        {"k": 1},
        {"a": 1},
        "2024-01-01T00:00:00.5Z",
    )
