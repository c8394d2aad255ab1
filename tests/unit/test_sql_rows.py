"""Statements over rows: no value is ever text of the statement."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.errors import BackendError
from lakeflow_meta.names import TableName
from lakeflow_meta.sql_rows import CHUNK_BYTES, Merge, Offer, condition, select_rows, with_literals

TABLE = TableName("main", "lakeflow", "etl_control")
SECRET = st.text(st.characters(categories=["L", "S", "P", "Z"]), min_size=1).map("§{}§".format)


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
        insert=True,
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


def test_a_name_with_a_quote_stays_a_name() -> None:
    odd = TableName("main", "lakeflow", "a`b;drop")
    assert select_rows(odd, ["c`d"], None, None).text == (
        "SELECT `c``d` FROM `main`.`lakeflow`.`a``b;drop` WHERE TRUE"
    )
