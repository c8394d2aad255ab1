"""SQL that people type: what passes, what is refused, and why."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.control.statements import (
    Delete,
    Insert,
    Select,
    Update,
    datafusion_query,
    parse_statements,
)
from lakeflow_meta.control.tables import ControlTables
from lakeflow_meta.errors import SpecError

TABLES = ControlTables.named("main.lakeflow.etl_control")
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def one(text: str) -> Any:
    (statement,) = parse_statements(text, TABLES, now=NOON)
    return statement


def refusal(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_statements(text, TABLES, now=NOON)
    return str(caught.value)


def test_eight_values_fill_the_first_eight_columns() -> None:
    found = one("INSERT INTO etl_control VALUES ('s', 'm', 'sql', 1, '{}', '{}', '{}', true)")
    assert isinstance(found, Insert)
    assert found.columns[0] == "source_id"
    assert found.columns[-1] == "is_active"
    assert found.rows == (("s", "m", "sql", 1, "{}", "{}", "{}", True),)


def test_values_are_read_as_spark_reads_them() -> None:
    found = one(
        r"""INSERT INTO etl_control_state (key, value, fence)
        VALUES ('it\'s', "a\\b" 'c', -3), (NULL, current_timestamp(), 1)"""
    )
    assert found.rows == (("it's", "a\\bc", -3), (None, NOON, 1))


@pytest.mark.parametrize(
    "name", ["etl_control", "lakeflow.etl_control", "main.lakeflow.etl_control", "`ETL_Control`"]
)
def test_a_control_table_may_be_named_short_or_full(name: str) -> None:
    assert isinstance(one(f"SELECT * FROM {name}"), Select)


def test_update_and_delete_are_taken_apart() -> None:
    update = one("UPDATE etl_control e SET is_active = false WHERE e.source_id = 'a'")
    assert isinstance(update, Update)
    assert list(update.assignments) == ["is_active"]
    delete = one("DELETE FROM etl_control WHERE source_id = 'a'")
    assert isinstance(delete, Delete)
    assert delete.where is not None


def test_ctes_and_joins_pass_and_name_their_tables() -> None:
    found = one(
        "WITH x AS (SELECT * FROM etl_control_jobs) SELECT c.source_id FROM x "
        "JOIN main.lakeflow.etl_control c ON c.module_name = x.module_name LIMIT 3"
    )
    prepared = datafusion_query(found.query)
    assert prepared.tables == ("etl_control", "etl_control_jobs")
    assert prepared.limit == 3


def test_a_with_may_have_the_name_of_a_control_table() -> None:
    found = one("WITH etl_control AS (SELECT * FROM etl_control_jobs) SELECT * FROM etl_control")
    assert datafusion_query(found.query).tables == ("etl_control_jobs",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there is no statement"),
        ("selec 1", "statement:1:7"),
        ("DROP TABLE etl_control", "DROP does not run here"),
        ("TRUNCATE TABLE etl_control", "does not run here"),
        ("VACUUM etl_control", "VACUUM does not run here"),
        ("COPY (SELECT 1) TO '/tmp/x'", "COPY does not run here"),
        ("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc'", "CREATE does not run here"),
        ("SELECT * FROM other", "other is not a control table"),
        ("SELECT * FROM other.lakeflow.etl_control", "is not a control table"),
        ("SELECT * FROM csv.`/etc/passwd`", "is not a control table"),
        ("SELECT * FROM read_files('/x')", "read_files() does not run here"),
        ("SELECT java_method('a', 'b')", "java_method() does not run here"),
        ("SELECT transform(a) USING 'sh' FROM etl_control", "does not run here"),
        ("SELECT * FROM etl_control, LATERAL explode(array(1))", "does not run here"),
        ("WITH secret AS (SELECT * FROM secret) SELECT * FROM secret", "not a control table"),
        ("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a", "not a control table"),
        (
            "SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a) x JOIN a ON true",
            "not a control table",
        ),
        ("INSERT OVERWRITE etl_control VALUES (1)", "OVERWRITE does not run here"),
        ("INSERT INTO etl_control VALUES (1, 2), (3)", "differ in length"),
        ("INSERT INTO etl_control (source_id) VALUES (1, 2)", "2 value(s) a row for 1 column(s)"),
        ("INSERT INTO etl_control (nope) VALUES (1)", "no column nope"),
        ("INSERT INTO etl_control VALUES (uuid())", "is not a plain value"),
        ("UPDATE etl_control SET nope = 1", "no column nope"),
        ("UPDATE etl_control SET is_active = (SELECT true)", "query inside"),
        (
            "DELETE FROM etl_control WHERE source_id IN (SELECT source_id FROM etl_control)",
            "query inside",
        ),
        ("SELECT 1; DROP TABLE etl_control", "statement 2: DROP does not run here"),
    ],
)
def test_the_rest_is_refused_with_a_reason(text: str, reason: str) -> None:
    assert reason in refusal(text)


def test_every_bad_statement_is_named_at_once() -> None:
    assert refusal("DROP TABLE a; SELECT 1; VACUUM b").startswith("2 problems")


@given(st.text(max_size=80))
def test_no_text_makes_it_crash(text: str) -> None:
    for candidate in (text, f"SELECT {text}", f"INSERT INTO etl_control VALUES ({text})"):
        try:
            parse_statements(candidate, TABLES, now=NOON)
        except SpecError:
            continue
