"""Extracts of a real PostgreSQL: every kind of source, types, watermarks, checks."""

from __future__ import annotations

import csv
import gzip
import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
from extract_samples import declared
from extract_world import World
from postgres_server import PostgresServer
from pydantic import SecretStr

from lakeflow_meta.backends.postgres.connect import PostgresConnector
from lakeflow_meta.backends.postgres.warehouse import PostgresWarehouse
from lakeflow_meta.warehouse.connection_faults import Address

SCHEMA = """
CREATE SCHEMA shop;
CREATE TABLE shop.customers (
  id int PRIMARY KEY, name text, "Changed At" timestamptz, paid numeric(10,2)
);
INSERT INTO shop.customers VALUES
  (1, 'Ann', '2025-01-01 10:00:00.000001+00', 1.50),
  (2, 'Bob, "B"', '2025-01-02 10:00:00+00', NULL),
  (3, '', '2025-01-03 10:00:00+02', 0),
  (4, NULL, '2025-01-03 10:00:00+02', -3);
CREATE VIEW shop.paying AS SELECT id, paid FROM shop.customers WHERE paid > 0;
CREATE FUNCTION shop.report(at_least numeric)
  RETURNS TABLE (id int, paid numeric(10,2)) LANGUAGE sql AS
  'SELECT c.id, c.paid FROM shop.customers c WHERE c.paid >= at_least ORDER BY 1';
CREATE TABLE shop.calls (at timestamptz DEFAULT now());
CREATE PROCEDURE shop.open_report(INOUT rows refcursor = 'rows') LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO shop.calls DEFAULT VALUES;
  OPEN rows FOR SELECT id, name FROM shop.customers ORDER BY id;
END $$;
CREATE PROCEDURE shop.check_customers() LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM shop.customers WHERE name IS NULL) THEN
    RAISE EXCEPTION 'a customer has no name' USING ERRCODE = 'P0001';
  END IF;
END $$;
"""


@pytest.fixture
def warehouse(postgres_server: PostgresServer, database: str) -> Iterator[PostgresWarehouse]:
    with postgres_server.connect(database) as connection:
        connection.execute(SCHEMA)
    server = postgres_server
    address = Address(server.host, str(server.port), server.user, database)
    made = PostgresWarehouse(PostgresConnector(address, SecretStr(server.password)))
    yield made
    made.close()


@pytest.fixture
def sql(
    warehouse: PostgresWarehouse, postgres_server: PostgresServer, database: str
) -> Iterator[psycopg.Connection]:
    with postgres_server.connect(database) as connection:
        yield connection


@pytest.fixture
def world(tmp_path: Path, warehouse: PostgresWarehouse) -> World:
    found = World(tmp_path)
    found.rows = warehouse
    return found


def extract(world: World, source: dict[str, Any], **changes: Any) -> list[list[str]]:
    """The lines of the one file that an extract of this source writes."""
    changes.setdefault("file", {"null_value": "NULL"})
    world.record(declared(source={"datastore": "warehouse", **source}, **changes))
    outcome = world.one()
    assert outcome.error == ""
    ((name, data),) = world.files().items()
    assert name == "customers.csv"
    return list(csv.reader(data.decode().splitlines()))


def test_a_table_with_columns_and_a_filter(world: World) -> None:
    source = {
        "table": "shop.customers",
        "columns": ["name", "Changed At", "id"],
        "where": "id <= 3 -- not the last",
    }
    assert extract(world, source) == [
        ["name", "Changed At", "id"],
        ["Ann", "2025-01-01 10:00:00.000001Z", "1"],
        ['Bob, "B"', "2025-01-02 10:00:00Z", "2"],
        ["", "2025-01-03 08:00:00Z", "3"],
    ]


def test_a_view(world: World) -> None:
    assert extract(world, {"view": "shop.paying"}) == [["id", "paid"], ["1", "1.50"]]


def test_a_query_with_parameters(world: World) -> None:
    source = {
        "query": "WITH c AS (SELECT * FROM shop.customers) "
        "SELECT id::text || ':x' AS key FROM c WHERE name = :name OR paid = :paid;",
        "parameters": {"name": 'Bob, "B"', "paid": -3},
    }
    assert extract(world, source) == [["key"], ["2:x"], ["4:x"]]


def test_a_function_with_arguments_by_name(world: World) -> None:
    source = {"procedure": "shop.report", "parameters": {"at_least": 0}}
    assert extract(world, source) == [["id", "paid"], ["1", "1.50"], ["3", "0.00"]]


def test_a_procedure_that_opens_a_cursor_and_its_writes_are_kept(
    world: World, sql: psycopg.Connection
) -> None:
    found = extract(world, {"procedure": "shop.open_report"})
    assert found == [["id", "name"], ["1", "Ann"], ["2", 'Bob, "B"'], ["3", ""], ["4", "NULL"]]
    assert sql.execute("SELECT count(*) FROM shop.calls").fetchone() == (1,)


def test_what_is_not_there_is_told(world: World) -> None:
    world.record(declared(source={"datastore": "warehouse", "procedure": "shop.nothing"}))
    assert world.one().error == "there is no function or procedure shop.nothing"
    world.record(declared(source={"datastore": "warehouse", "table": "shop.nothing"}))
    assert "shop.nothing" in world.one().error
    assert world.history()[-1]["error_details"] == "42P01"
    assert world.hidden() == []


def test_a_check_that_fails_publishes_nothing_and_says_why(
    world: World, sql: psycopg.Connection
) -> None:
    source = {"datastore": "warehouse", "table": "shop.customers"}
    world.record(declared(source=source, validation={"procedure": "shop.check_customers"}))
    assert "a customer has no name" in world.one().error
    assert world.files() == {}
    sql.execute("UPDATE shop.customers SET name = 'Dan' WHERE id = 4")
    assert world.one().rows == 4
    wrong = {"query": "SELECT * FROM shop.customers WHERE paid < 0;", "max_failed_rows": 0}
    world.record(declared(source=source, validation=wrong))
    assert world.one().error == "validation failed: 1 rows are wrong, 0 may be"


@pytest.mark.parametrize(
    ("column", "marks"),
    [
        ("id", ["4", "5"]),
        ("changed at", ["2025-01-03T08:00:00+00:00", "2025-01-03T08:00:00.000001+00:00"]),
    ],
)
def test_the_next_run_takes_exactly_what_is_newer(
    world: World, sql: psycopg.Connection, column: str, marks: list[str]
) -> None:
    source = {"datastore": "warehouse", "table": "shop.customers", "columns": ["id"]}
    load = {"mode": "incremental", "watermark_column": column}
    naming = {"timestamp_format": "HHmmss"}
    world.record(declared(source=source, load=load, file_name=naming))
    assert (world.one().rows, world.watermark()) == (4, marks[0])
    sql.execute("INSERT INTO shop.customers VALUES (5, 'Eve', '2025-01-03 08:00:00.000001+00')")
    world.clock.advance(1)
    outcome = world.one()
    assert (outcome.error, outcome.rows, world.watermark()) == ("", 1, marks[1])
    world.clock.advance(1)
    assert world.one().rows == 0


def test_rows_are_of_one_moment_however_long_they_are_read(
    world: World, sql: psycopg.Connection
) -> None:
    """Somebody changes the table when the first rows have come."""
    sql.execute(
        "CREATE TABLE shop.big AS"
        " SELECT n AS id, repeat('x', 200) AS x FROM generate_series(1, 50000) AS n"
    )
    source = {"datastore": "warehouse", "table": "shop.big"}
    load = {"mode": "incremental", "watermark_column": "id"}
    world.record(declared(source=source, load=load, file_name={"timestamp_format": "HHmmss"}))
    changed = threading.Event()

    def change(event: Any) -> None:
        if event.state == "running" and not changed.is_set():
            changed.set()
            sql.execute("DELETE FROM shop.big WHERE id <= 40000")
            sql.execute("INSERT INTO shop.big VALUES (60000, 'late')")

    extractor = world.extractor()
    extractor._progress = change
    (outcome,) = extractor.run().outcomes
    assert changed.is_set()
    assert (outcome.rows, outcome.watermark) == (50_000, "50000")
    world.clock.advance(1)
    assert (world.one().rows, world.watermark()) == (1, "60000")


def test_a_connection_that_breaks_in_the_middle_leaves_nothing_half(
    world: World, sql: psycopg.Connection
) -> None:
    sql.execute(
        "CREATE TABLE shop.big AS"
        " SELECT n AS id, repeat('x', 200) AS x FROM generate_series(1, 100000) AS n"
    )
    source = {"datastore": "warehouse", "table": "shop.big"}
    load = {"mode": "incremental", "watermark_column": "id"}
    world.record(declared(source=source, load=load, trigger={}))
    broken = threading.Event()

    def end_the_connection(event: Any) -> None:
        if event.state == "running" and not broken.is_set():
            broken.set()
            sql.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE query LIKE 'COPY%' AND datname = current_database()"
            )

    extractor = world.extractor()
    extractor._progress = end_the_connection
    (outcome,) = extractor.run().outcomes
    assert (outcome.rows, outcome.status) == (0, "failed")
    assert (world.files(), world.hidden(), world.watermark()) == ({}, [], None)
    assert world.history()[-1]["error_details"] in ("57P01", "08006")  # told, or only gone
    assert world.one().rows == 100_000


def test_a_period_is_asked_of_the_database(world: World) -> None:
    load = {
        "mode": "period",
        "period_column": "Changed At",
        "period_query": "SELECT DATE '2025-01-01' AS start_date, DATE '2025-01-02' AS end_date",
    }
    found = extract(world, {"table": "shop.customers", "columns": ["id"]}, load=load)
    assert found == [["id"], ["1"], ["2"]]


TYPES = """
SELECT n AS i, n::smallint AS s, n * 10000000000 AS b, (n % 2 = 0) AS flag,
  CASE n WHEN 3 THEN NULL ELSE n * 1.25 END::numeric(20,4) AS d, (n / 3.0)::float8 AS f,
  n::real AS r, 'text ' || n AS t, DATE '2024-02-28' + n::int AS day,
  TIMESTAMP '2024-01-01' + n * interval '1.5 s' AS at,
  TIMESTAMPTZ '2024-01-01 00:00+00' + n * interval '1 h' AS zoned,
  TIME '10:00' + n * interval '1 s' AS clock, ARRAY[n, NULL] AS list, '\\x00ff'::bytea AS bytes,
  jsonb_build_object('n', n) AS doc, gen_random_uuid() AS uuid, NULL::text AS nothing
FROM generate_series(1, 5) AS n
"""
FIRST = (
    ("i", "1"),
    ("s", "1"),
    ("b", "10000000000"),
    ("flag", "false"),
    ("d", "1.2500"),
    ("f", "0.3333333333333333"),
    ("r", "1"),
    ("t", "text 1"),
    ("day", "2024-02-29"),
    ("at", "2024-01-01 00:00:01.5"),
    ("zoned", "2024-01-01 01:00:00Z"),
    ("clock", "10:00:01"),
    ("list", "[1,null]"),
    ("bytes", "AP8="),
    ("doc", '{"n": 1}'),
    ("nothing", ""),
)


def test_every_usual_type_is_written_as_text_json_and_parquet(world: World, tmp_path: Path) -> None:
    source = {"datastore": "warehouse", "query": TYPES}
    forms = ("csv", "jsonl", "parquet")
    for form in forms:
        world.record(
            declared(
                extract_name=form, source=source, target={"path": "out"}, file={"format": form}
            )
        )
    assert {o.extract_name: o.error for o in world.run(*forms).outcomes} == dict.fromkeys(forms, "")
    files = world.files("out")
    first = next(csv.DictReader(files["csv.csv"].decode().splitlines()))
    del first["uuid"]
    assert first == dict(FIRST)
    document = json.loads(files["jsonl.jsonl"].splitlines()[2])
    assert (document["i"], document["d"], document["at"]) == (3, None, "2024-01-01T00:00:04.5")
    rows = pq.read_table(tmp_path / "out/parquet.parquet").to_pylist()
    assert rows[1]["d"] == Decimal("2.5000")
    assert rows[1]["day"] == date(2024, 3, 1)
    assert rows[1]["zoned"] == datetime(2024, 1, 1, 2, tzinfo=UTC)
    assert rows[1]["list"] == [2, None]


def test_the_bytes_are_those_of_copy_where_copy_has_the_same_layout(
    world: World, sql: psycopg.Connection
) -> None:
    """Text, numbers and times without a zone: PostgreSQL is the judge of our quoting."""
    query = (
        "SELECT n, chr(n) AS letter, chr(n) || chr(44) || chr(n) AS pair, nullif('', chr(n)) AS e,"
        " n * 0.01 AS d, TIMESTAMP '2024-01-01' + n * interval '10 ms' AS at"
        " FROM generate_series(1, 300) AS n"
    )
    world.record(declared(source={"datastore": "warehouse", "query": query}))
    assert world.one().rows == 300
    with sql.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)") as copy:
        expected = b"".join(bytes(block) for block in copy)
    assert world.files()["customers.csv"] == expected


def test_five_extracts_of_one_database_at_once(world: World) -> None:
    for number in range(5):
        world.record(
            declared(
                extract_name=f"e{number}",
                source={"datastore": "warehouse", "query": TYPES},
                compression={"type": "gzip"},
            )
        )
    report = world.extractor().run(max_parallel=3)
    assert [o.error for o in report.outcomes] == [""] * 5
    files = world.files()
    assert all(len(gzip.decompress(data).splitlines()) == 6 for data in files.values())
