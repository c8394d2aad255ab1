"""Statements over rows: no value is ever text of the statement."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import parse_one

from lakeflow_meta.control.statements import Select, parse_statements
from lakeflow_meta.control.tables import ControlTables
from lakeflow_meta.errors import BackendError
from lakeflow_meta.names import TableName
from lakeflow_meta.sql_queries import MOST_PARAMETERS, select_query, update_rows
from lakeflow_meta.sql_rows import CHUNK_BYTES, Merge, Offer, condition, select_rows, with_literals

TABLES = ControlTables.named("main.lakeflow.etl_control")
NAMES = {name.name.lower(): name for name in TABLES.all()}
TABLE = TABLES.sources
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
SECRET = st.text(st.characters(categories=["L", "S", "P", "Z"]), min_size=1).map("§{}§".format)


def query(text: str) -> Any:
    (statement,) = parse_statements(text, TABLES, now=NOON)
    assert isinstance(statement, Select)
    return statement.query


def given_rows(offer: Offer) -> list[dict[str, Any]]:
    return [row for chunk in offer.chunks for row in json.loads(chunk)]


@given(st.lists(st.fixed_dictionaries({"a": SECRET, "b": st.none() | st.integers()})))
def test_rows_come_back_from_their_parameters(rows: list[dict[str, Any]]) -> None:
    assert given_rows(Offer.of(rows, {"a": "STRING", "b": "BIGINT"})) == rows


def test_many_rows_are_several_parameters_in_order() -> None:
    rows = [{"a": "x" * 100_000 + str(number)} for number in range(100)]
    offer = Offer.of(rows, {"a": "STRING"})
    assert 1 < len(offer.parameters) < 5
    assert max(map(len, offer.chunks)) < CHUNK_BYTES + 200_000
    assert given_rows(offer) == rows
    assert all(f":{name}," in offer.query for name in offer.parameters)


def test_a_text_longer_than_the_parser_takes_is_refused_by_column() -> None:
    with pytest.raises(BackendError, match="column a") as refused:
        Offer.of([{"a": "ü" * 9_500_001}], {"a": "STRING"})
    assert refused.value.code == "VALUE_TOO_LONG"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_does_not_have_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Offer.of([{"a": value}], {"a": "DOUBLE"})


@given(SECRET, SECRET)
def test_no_value_is_text_of_a_statement(one: str, two: str) -> None:
    merge = Merge(
        TABLE,
        Offer.of([{"k": one, "v": two}], {"k": "STRING", "v": "STRING"}),
        empty=False,
        keys=["k"],
        insert_only=(),
        touch=(),
        scope={"k": [one, two], "v": one},
        fence=None,
        mark="0123",
    )
    for bound in (merge.bound, select_rows(TABLE, None, {"k": one, "v": [two]}, 3)):
        assert "§" not in bound.text
        assert "§" in str(bound.parameters)
        assert all(f":{name}" in bound.text for name in bound.parameters)


def test_literals_take_the_place_of_parameters_and_of_nothing_else() -> None:
    text = "SELECT ':a', `:a`, : a, :b /* :a */ FROM t WHERE c <=> :a AND d = :aa -- :a"
    assert with_literals(text, {"a": "it's", "b": None}) == (
        "SELECT ':a', `:a`, : a, NULL /* :a */ FROM t WHERE c <=> 'it\\'s' AND d = :aa -- :a"
    )


def test_null_in_a_condition_means_null() -> None:
    assert condition({"a": None}).text == "(`a` IS NULL)"
    assert condition({"a": [None]}).text == "`a` IS NULL"
    both = condition({"a": ["x", None]})
    assert "`a` IS NULL OR array_contains(" in both.text
    assert both.parameters == {"where_0": '["x"]'}
    assert condition({"a": []}).text == "FALSE"
    assert condition({}).text == "TRUE"


def test_a_value_that_no_column_has_is_refused() -> None:
    with pytest.raises(ValueError, match="dict"):
        condition({"a": [{}]})


# --- statements that people typed


def test_texts_of_a_query_are_bound_and_its_tables_are_full_names() -> None:
    bound = select_query(
        query("SELECT 'it\\'s' x FROM etl_control c WHERE c.source_id LIKE '${env:A}%' ESCAPE '!'"),
        NAMES,
    )
    assert bound.text == (
        "SELECT :text_0 AS x FROM `main`.`lakeflow`.`etl_control` AS c"
        " WHERE c.source_id LIKE :text_1 ESCAPE '!'"
    )
    assert bound.parameters == {"text_0": "it's", "text_1": "${env:A}%"}


def test_a_with_of_a_tables_name_reads_the_table_inside_only() -> None:
    text = "WITH etl_control AS (SELECT * FROM etl_control) SELECT count(*) FROM etl_control"
    full = "`main`.`lakeflow`.`etl_control` AS `etl_control`"
    assert select_query(query(text), NAMES).text == (
        f"WITH etl_control AS (SELECT * FROM {full}) SELECT COUNT(*) FROM etl_control"
    )


@pytest.mark.parametrize(
    "text",
    [
        "WITH secret AS (SELECT * FROM secret) SELECT * FROM secret",
        "SELECT * FROM (WITH secret AS (SELECT 1) SELECT * FROM secret) a, secret",
        "WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a",
        "SELECT 1 FROM etl_control WHERE 1 IN (WITH s AS (SELECT * FROM s) SELECT a FROM s)",
    ],
)
def test_a_table_behind_the_name_of_a_with_is_refused(text: str) -> None:
    with pytest.raises(BackendError) as refused:
        select_query(parse_one(text), NAMES)  # past the check, which refuses it as well
    assert refused.value.code == "UNKNOWN_TABLE"


def test_a_full_name_that_was_not_checked_is_refused() -> None:
    with pytest.raises(BackendError):
        select_query(parse_one("SELECT * FROM other.schema.etl_control"), NAMES)


def test_values_of_an_update_are_bound() -> None:
    (statement,) = parse_statements(
        "UPDATE etl_control SET source_config = 'a' || 'b', is_active = false,"
        " updated_timestamp = current_timestamp() WHERE source_id = 'x'",
        TABLES,
        now=NOON,
    )
    bound = update_rows(statement.table, statement.assignments, statement.where)
    assert bound.text == (
        "UPDATE `main`.`lakeflow`.`etl_control` SET `source_config` = :text_0 || :text_1,"
        " `is_active` = FALSE, `updated_timestamp` = CAST(:text_2 AS TIMESTAMP)"
        " WHERE source_id = :text_3"
    )
    assert list(bound.parameters.values()) == ["a", "b", NOON.isoformat(), "x"]


def test_more_texts_than_a_warehouse_takes_are_refused() -> None:
    many = ", ".join(f"'{number}'" for number in range(MOST_PARAMETERS + 1))
    with pytest.raises(BackendError) as refused:
        select_query(query(f"SELECT 1 FROM etl_control WHERE source_id IN ({many})"), NAMES)
    assert refused.value.code == "TOO_MANY_PARAMETERS"


def test_a_name_with_a_quote_stays_a_name() -> None:
    odd = TableName("main", "lakeflow", "a`b;drop")
    assert select_rows(odd, ["c`d"], None, None).text == (
        "SELECT `c``d` FROM `main`.`lakeflow`.`a``b;drop` WHERE TRUE"
    )
