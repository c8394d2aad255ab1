"""Rows out of a real PostgreSQL: types, streams, copies, and values that go in and come back."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postgres_server import PostgresServer, warehouse_on

from lakeflow_meta.backends.postgres.warehouse import PostgresWarehouse
from lakeflow_meta.errors import BackendError, ConfigError
from lakeflow_meta.ports import CopyOptions, WriteMode
from lakeflow_meta.warehouse.dialects import Dialect
from lakeflow_meta.warehouse.sql_templates import SqlTemplates

SQL = SqlTemplates(Dialect.POSTGRES)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False, places=6, max_value=10**20, min_value=-1),
    TEXT,
    st.binary(max_size=40),
    st.dates(),
    st.datetimes(timezones=st.just(UTC)),
)
TYPES = {
    bool: "boolean",
    int: "bigint",
    float: "double precision",
    Decimal: "numeric(30,6)",
    str: "text",
    bytes: "bytea",
    date: "date",
    datetime: "timestamptz",
}


@pytest.fixture(scope="module")
def shared(postgres_server: PostgresServer) -> Iterator[PostgresWarehouse]:
    """One database for tests that only read."""
    made = warehouse_on(postgres_server, postgres_server.new_database())
    made.execute("CREATE TYPE mood AS ENUM ('sad', 'o''k'); CREATE DOMAIN cents AS numeric(12,2)")
    made.execute("CREATE TYPE pair AS (a int, b text)")
    yield made
    made.close()


def streamed(warehouse: PostgresWarehouse, query: str, **options: Any) -> pa.Table:
    with warehouse.stream(query, **options) as rows:
        return pa.Table.from_batches(list(rows), rows.schema)


KINDS: list[tuple[str, pa.DataType, Any]] = [
    ("true", pa.bool_(), True),
    ("(-32768)::int2", pa.int16(), -32768),
    ("2147483647", pa.int32(), 2147483647),
    ("(-9223372036854775808)::int8", pa.int64(), -(2**63)),
    ("1.5::float4", pa.float32(), 1.5),
    ("0.1::float8", pa.float64(), 0.1),
    ("'Infinity'::float8", pa.float64(), float("inf")),
    ("1.10::numeric(5,2)", pa.decimal128(5, 2), Decimal("1.10")),
    ("12345::numeric(3,-2)", pa.decimal128(5, 0), Decimal(12300)),
    ("0.0012::numeric(2,4)", pa.decimal128(4, 4), Decimal("0.0012")),
    ("1.5::numeric(60,2)", pa.decimal256(60, 2), Decimal("1.50")),
    ("1e-90::numeric(95,92)", pa.string(), "0." + "0" * 89 + "100"),
    ("1.5000::numeric", pa.string(), "1.5000"),
    ("99.5::cents", pa.decimal128(12, 2), Decimal("99.50")),
    ("'ünï'::text", pa.string(), "ünï"),
    ("'ab'::char(4)", pa.string(), "ab  "),
    ("'v'::varchar(9)", pa.string(), "v"),
    ("'x'", pa.string(), "x"),
    ("'o''k'::mood", pa.string(), "o'k"),
    ("'\\x00ff'::bytea", pa.binary(), b"\x00\xff"),
    ("''::bytea", pa.binary(), b""),
    ("date '0001-01-01'", pa.date32(), date(1, 1, 1)),
    ("time '23:59:59.999999'", pa.time64("us"), time(23, 59, 59, 999999)),
    (
        "timestamp '2024-02-29 1:2:3.4'",
        pa.timestamp("us"),
        datetime.fromisoformat("2024-02-29T01:02:03.4"),
    ),
    (
        "timestamptz '2024-07-01 12:00+02'",
        pa.timestamp("us", "UTC"),
        datetime(2024, 7, 1, 10, tzinfo=UTC),
    ),
    ("time with time zone '12:00+02'", pa.string(), "12:00:00+02"),
    ("interval '1 year 2 days 03:04:05.6'", pa.string(), "P1Y2DT3H4M5.6S"),
    ("'{\"a\": [1]}'::json", pa.string(), '{"a": [1]}'),
    ("'{\"a\":1}'::jsonb", pa.string(), '{"a": 1}'),
    (
        "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
        pa.string(),
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    ),
    ("'10.0.0.1'::inet", pa.string(), "10.0.0.1"),
    ("4294967295::oid", pa.uint32(), 4294967295),
    ("'18446744073709551615'::xid8", pa.uint64(), 2**64 - 1),
    ("int4range(1,5)", pa.string(), "[1,5)"),
    ("B'101'", pa.string(), "101"),
    ("point(1,2)", pa.string(), "(1,2)"),
    ("'{1,NULL,3}'::int[]", pa.list_(pa.int32()), [1, None, 3]),
    ("'[0:1]={7,8}'::int[]", pa.list_(pa.int32()), [7, 8]),
    ("'{}'::text[]", pa.list_(pa.string()), []),
    (
        """ARRAY['a,b', 'q"', 'back\\', NULL, 'NULL', '', 'null', '{x}']""",
        pa.list_(pa.string()),
        ["a,b", 'q"', "back\\", None, "NULL", "", "null", "{x}"],
    ),
    ("ARRAY[1.5]::numeric(5,2)[]", pa.list_(pa.decimal128(5, 2)), [Decimal("1.50")]),
    ("ARRAY[date '2024-01-01']", pa.list_(pa.date32()), [date(2024, 1, 1)]),
    ("ARRAY[time '10:00']", pa.list_(pa.time64("us")), [time(10)]),
    ("ARRAY[true, false, NULL]", pa.list_(pa.bool_()), [True, False, None]),
    ("ARRAY['\\x01'::bytea]", pa.list_(pa.binary()), [b"\x01"]),
    ("ARRAY['sad'::mood]", pa.list_(pa.string()), ["sad"]),
    ("ARRAY[box(point(1,1),point(0,0)), NULL]", pa.list_(pa.string()), ["(1,1),(0,0)", None]),
]


@pytest.mark.parametrize(("text", "kind", "value"), KINDS, ids=[kind[0] for kind in KINDS])
def test_every_type_has_one_arrow_type_and_its_exact_value(
    shared: PostgresWarehouse, text: str, kind: pa.DataType, value: object
) -> None:
    query = f"SELECT (SELECT {text} WHERE n = 1) AS v, n FROM generate_series(1, 2) AS n"
    table = streamed(shared, query)
    assert table.schema.field("v").type == kind
    assert table.column("v").to_pylist() == [value, None]
    whole = shared.run(query).table
    assert whole.schema.equals(table.schema)
    assert whole.to_pylist() == table.to_pylist()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("date 'infinity'", "column v holds infinity.*NULLIF"),
        ("timestamptz '-infinity'", "column v holds -infinity.*NULLIF"),
        ("date '0044-03-15 BC'", "column v holds 0044-03-15 BC.*::text"),
        ("timestamp '294276-12-31'", "column v holds 294276-12-31.*::text"),
        ("'NaN'::numeric(5,2)", "column v holds NaN.*NULLIF"),
        ("time '24:00'", "column v holds 24:00:00.*::text"),
        ("ARRAY[date 'infinity']", "column v holds infinity"),
        ("ARRAY[[1,2],[3,4]]", "column v holds an array of several dimensions.*to_jsonb"),
        ("ROW(1, 'x')::pair", 'column v is of type pair.*"v"::text'),
        ("ARRAY[ROW(1, 'x')::pair]", 'column v is of type pair\\[\\].*"v"::text'),
        ("ROW(1, 'x')", "column v is of type record"),
    ],
)
def test_what_has_no_exact_place_is_an_error_by_name_with_a_remedy(
    shared: PostgresWarehouse, text: str, said: str
) -> None:
    with pytest.raises(BackendError, match=said):
        streamed(shared, f"SELECT {text} AS v, 1 AS n")
    with pytest.raises(BackendError, match=said):
        shared.query(f"SELECT {text} AS v, 1 AS n")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT 1 AS a, 2 AS a", "several columns are called a"),
        ("SELECT FROM generate_series(1, 2)", "no columns"),
        ("CREATE TABLE x (a int)", "no rows|no columns|read-only"),
        ("SELECT 1; SELECT 2", "more than one|multiple commands"),
    ],
)
def test_what_cannot_be_streamed_says_why(shared: PostgresWarehouse, query: str, said: str) -> None:
    with pytest.raises((BackendError, ConfigError), match=said):
        streamed(shared, query)


def test_batches_are_no_larger_than_asked_and_complete(shared: PostgresWarehouse) -> None:
    query = "SELECT i, repeat('é', i % 50) AS t FROM generate_series(1, 30000) AS i"
    with shared.stream(query, batch_rows=1000) as rows:
        sizes = [batch.num_rows for batch in rows]
    assert (sum(sizes), max(sizes)) == (30000, 1000)


def test_no_rows_still_have_their_columns(shared: PostgresWarehouse) -> None:
    table = streamed(shared, "SELECT 1 AS a, ARRAY[1] AS b WHERE false")
    assert (table.num_rows, table.schema.names) == (0, ["a", "b"])


def test_a_stream_is_one_snapshot(shared: PostgresWarehouse) -> None:
    shared.execute(
        "CREATE TABLE many AS SELECT i, repeat('x', 100) AS t FROM generate_series(1, 50000) AS i"
    )
    with shared.stream("SELECT i, t FROM many") as rows:
        source = iter(rows)
        seen = next(source).num_rows
        shared.execute("DELETE FROM many")
        seen += sum(batch.num_rows for batch in source)
    assert seen == 50000


def test_a_stream_only_reads_unless_it_is_told_otherwise(shared: PostgresWarehouse) -> None:
    shared.execute(
        "CREATE TABLE log (n int); CREATE FUNCTION noted() RETURNS SETOF int LANGUAGE sql AS"
        " $$ INSERT INTO log VALUES (1), (2) RETURNING n $$"
    )
    with pytest.raises(BackendError) as caught:
        streamed(shared, "SELECT * FROM noted()")
    assert caught.value.code == "25006"
    assert streamed(shared, "SELECT * FROM noted()", read_only=False).num_rows == 2
    assert shared.query("SELECT count(*) AS n FROM log") == [{"n": 2}]

    def stopped() -> None:
        with warehouse_stream as rows:
            list(rows)
            raise RuntimeError

    warehouse_stream = shared.stream("SELECT * FROM noted()", read_only=False)
    with pytest.raises(RuntimeError):
        stopped()
    assert shared.query("SELECT count(*) AS n FROM log") == [{"n": 2}]


def test_a_procedure_gives_rows_by_a_cursor(shared: PostgresWarehouse) -> None:
    shared.execute(
        "CREATE PROCEDURE report(lowest int, INOUT rows refcursor DEFAULT 'r') LANGUAGE plpgsql AS"
        " $$ BEGIN OPEN rows FOR SELECT i, i * 1.5::numeric(9,1) AS x"
        " FROM generate_series(lowest, 10) AS i; END $$"
    )
    with shared.stream("CALL report(:lowest)", {"lowest": 8}, batch_rows=2) as rows:
        assert rows.schema == pa.schema([("i", pa.int32()), ("x", pa.string())])
        batches = [batch.to_pylist() for batch in rows]
    assert [row["i"] for batch in batches for row in batch] == [8, 9, 10]
    assert len(batches) == 2


def test_a_procedure_with_out_parameters_gives_one_row(shared: PostgresWarehouse) -> None:
    shared.execute(
        "CREATE PROCEDURE answer(INOUT n int) LANGUAGE plpgsql AS $$ BEGIN n := n * 2; END $$"
    )
    assert streamed(shared, "CALL answer(21)").to_pylist() == [{"n": 42}]
    shared.execute("CREATE PROCEDURE mute() LANGUAGE sql AS $$ SELECT 1 $$")
    with pytest.raises(BackendError, match="refcursor"):
        streamed(shared, "CALL mute()")


def test_copied_text_is_what_psql_writes(
    shared: PostgresWarehouse, postgres_server: PostgresServer
) -> None:
    query = (
        "SELECT i, CASE WHEN i % 3 = 0 THEN NULL WHEN i % 3 = 1 THEN '' ELSE E'a\"b,\\n' || i END"
        " AS t, i / 7.0 AS n, date '2020-01-01' + i AS d FROM generate_series(1, 40000) AS i"
    )
    name = str(shared).rpartition("/")[2].rstrip(")")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "out.csv")
        subprocess.run(
            [
                str(postgres_server.programs / "psql"),
                *("-X", "-q", "-h", postgres_server.host, "-p", str(postgres_server.port)),
                *("-U", postgres_server.user, "-d", name),
                *("-c", f"\\copy ({query.replace(chr(10), ' ')}) TO '{file}' CSV HEADER"),
            ],
            env={"PGPASSWORD": postgres_server.password, "PGCLIENTENCODING": "UTF8"},
            check=True,
        )
        with shared.copy_text(query, options=CopyOptions(header=True)) as blocks:
            found = list(blocks)
        assert b"".join(found) == file.read_bytes()
    assert len(found) > 1


def test_copied_text_has_the_options_it_was_asked_for(shared: PostgresWarehouse) -> None:
    options = CopyOptions(
        delimiter="|", quote="'", escape="\\", null="NIL", encoding="LATIN1", quote_all=True
    )
    query = "SELECT 1 AS n, 'ü''|' AS t, NULL AS nil, true AS b"
    with shared.copy_text(query, options=options) as blocks:
        assert b"".join(blocks) == "'1'|'ü\\'|'|NIL|'t'\n".encode("latin-1")
    with (
        pytest.raises(BackendError) as caught,
        shared.copy_text("SELECT '€'", options=options) as blocks,
    ):
        list(blocks)
    assert caught.value.code == "22P05"
    with pytest.raises(ConfigError, match="stream"), shared.copy_text("SHOW port", options=options):
        pass


def test_values_are_bound_by_name_and_by_place(shared: PostgresWarehouse) -> None:
    statement = (
        "SELECT :a::text AS a, ':a' AS s, 'x%' LIKE '%:b%' AS l, (ARRAY[1,2])[1:2] AS i -- :a"
    )
    assert shared.query(statement, {"a": "o'x%s"}) == [
        {"a": "o'x%s", "s": ":a", "l": False, "i": [1, 2]}
    ]
    assert shared.query("SELECT %s::int AS n, '%%' AS p", [5]) == [{"n": 5, "p": "%"}]
    assert shared.query("SELECT '%' AS p") == [{"p": "%"}]
    with pytest.raises(ConfigError, match="no place for: b"):
        shared.query("SELECT :a", {"a": 1, "b": 2})
    with shared.stream("SELECT :d AS d", {"d": date(2024, 1, 1)}) as rows:
        assert rows.schema.field("d").type == pa.date32()


@settings(max_examples=60)
@given(values=st.lists(VALUES, min_size=1, max_size=5))
def test_literals_of_templates_read_back_as_they_were(
    shared: PostgresWarehouse, values: list[Any]
) -> None:
    kinds = [TYPES.get(type(value), "text") for value in values]
    rendered = SQL.render(
        "insert_row",
        schema_name="public",
        table_name="t",
        values={f"c{number}": value for number, value in enumerate(values)},
    )
    columns = {f"c{number}": kind for number, kind in enumerate(kinds)}
    create = SQL.render("create_table", schema_name="public", table_name="t", columns=columns)
    drop = SQL.render("drop_table", schema_name="public", table_name="t")
    shared.execute(f"{drop}; {create}")
    assert shared.execute(rendered) == 1
    assert list(shared.query("SELECT * FROM t")[0].values()) == values


@settings(max_examples=40)
@given(name=TEXT.filter(lambda name: 0 < len(name.encode()) <= 60), value=TEXT)
def test_names_of_templates_are_names_whatever_they_hold(
    shared: PostgresWarehouse, name: str, value: str
) -> None:
    place = {"schema_name": "public", "table_name": name}
    shared.execute(SQL.render("create_table", columns={name: "text"}, **place))
    try:
        shared.execute(SQL.render("insert_row", values={name: value}, **place))
        found = shared.query(SQL.render("read_table", filters={name: value}, limit=1, **place))
        assert found == [{name: value}]
        assert shared.query(SQL.render("check_table_exists", **place)) == [{"table_exists": 1}]
        assert (
            shared.execute(SQL.render("delete_from_table", filters={name: [value]}, **place)) == 1
        )
    finally:
        shared.execute(SQL.render("drop_table", **place))


@settings(max_examples=40)
@given(items=st.lists(st.none() | TEXT, max_size=8), text=st.none() | TEXT)
def test_texts_and_arrays_stream_as_they_are(
    shared: PostgresWarehouse, items: list[str | None], text: str | None
) -> None:
    with shared.stream("SELECT :a::text[] AS a, :t::text AS t", {"a": items, "t": text}) as rows:
        assert [row for batch in rows for row in batch.to_pylist()] == [{"a": items, "t": text}]


def test_written_rows_come_back(warehouse: PostgresWarehouse) -> None:
    moment = datetime(2024, 7, 1, 10, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    data = pa.table(
        {
            "i": pa.array([1, None], pa.int64()),
            "f": [0.1, None],
            "t": ['a"b,\n', ""],
            "b": [True, None],
            "y": [b"\x00\xff", None],
            "d": [date(2024, 1, 1), None],
            "m": pa.array([moment, None], pa.timestamp("us", "Europe/Berlin")),
            "n": pa.array([Decimal("1.10"), None], pa.decimal128(9, 2)),
            "c": [time(10, 0, 1), None],
        }
    )
    assert warehouse.write("public", "T x", data, WriteMode.ERROR) == 2
    found = warehouse.run('SELECT * FROM "T x"').table
    assert (
        found.to_pylist()
        == data.set_column(6, "m", data["m"].cast(pa.timestamp("us", "UTC"))).to_pylist()
    )
    with pytest.raises(BackendError) as caught:
        warehouse.write("public", "T x", data, WriteMode.ERROR)
    assert caught.value.code == "42P07"
    assert warehouse.write("public", "T x", data, WriteMode.IGNORE) == 0
    assert warehouse.write("public", "T x", data, WriteMode.APPEND) == 2
    assert warehouse.query('SELECT count(*) AS n FROM "T x"') == [{"n": 4}]
    assert warehouse.write("public", "T x", data.slice(0, 1), WriteMode.OVERWRITE) == 1
    assert warehouse.query('SELECT count(*) AS n FROM "T x"') == [{"n": 1}]
    assert warehouse.write("public", "T x", data.select(["i"]), WriteMode.OVERWRITE) == 2
    assert warehouse.query('SELECT * FROM "T x" ORDER BY i') == [{"i": 1}, {"i": None}]
    with pytest.raises(ConfigError, match="column s is struct"):
        warehouse.write("public", "u", pa.table({"s": [{"a": 1}]}), WriteMode.APPEND)


def test_an_overwrite_that_fails_leaves_what_was_there(warehouse: PostgresWarehouse) -> None:
    warehouse.write("public", "t", pa.table({"a": [1, 2]}), WriteMode.ERROR)
    warehouse.execute("ALTER TABLE t ADD CHECK (a < 10)")
    with pytest.raises(BackendError) as caught:
        warehouse.write("public", "t", pa.table({"a": [1, 99]}), WriteMode.OVERWRITE)
    assert caught.value.code == "23514"
    assert warehouse.query("SELECT a FROM t ORDER BY a") == [{"a": 1}, {"a": 2}]
