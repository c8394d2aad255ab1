"""Statements that people typed, as Spark and SQLite get them: no text of theirs is in the text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import parse_one

from lakeflow_meta.control.sql.checked_query import CheckedQuery
from lakeflow_meta.control.sql.statements import parse_statements
from lakeflow_meta.control.tables import SOURCES, ControlTables
from lakeflow_meta.errors import BackendError
from lakeflow_meta.sql_queries import MOST_PARAMETERS, Target, change_rows, select_query
from lakeflow_meta.sql_rows import Offer
from lakeflow_meta.sql_sqlite import sqlite_query

TABLES = ControlTables.named("main.lakeflow.etl_control")
NAMES = {name.name.lower(): name for name in TABLES.all()}
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
SECRET = st.text(st.characters(categories=["L", "S", "P", "Z"]), min_size=1).map("§{}§".format)
SOURCE = "`main`.`lakeflow`.`etl_control`"


def query(text: str) -> Any:
    (statement,) = parse_statements(text, TABLES, now=NOON)
    return statement.query


def test_texts_are_bound_tables_are_full_names_and_the_other_names_are_ours() -> None:
    bound = select_query(
        query("SELECT 'it\\'s' x FROM etl_control c WHERE c.source_id LIKE '${env:A}%' ESCAPE '!'"),
        NAMES,
    )
    assert bound.text == (
        f"SELECT :text_1 AS `c2` FROM {SOURCE} AS `t1`"
        " WHERE `t1`.`source_id` LIKE :text_0 ESCAPE '!'"
    )
    assert bound.parameters == {"text_0": "${env:A}%", "text_1": "it's"}


def test_a_with_of_a_tables_name_reads_the_table_inside_only() -> None:
    text = "WITH etl_control AS (SELECT * FROM etl_control) SELECT count(*) FROM etl_control"
    found = select_query(query(text), NAMES).text
    assert found.count(SOURCE) == 1
    assert found.index(SOURCE) < found.index("COUNT(*)")


def test_one_text_is_one_parameter_however_often_it_stands() -> None:
    bound = select_query(query("SELECT 'a', 'a', 'b'"), NAMES)
    assert list(bound.parameters.values()) == ["a", "b"]


def test_texts_beyond_what_a_warehouse_takes_are_quoted() -> None:
    many = [f"it's {number}" for number in range(MOST_PARAMETERS + 2)]
    texts = ", ".join("'" + text.replace("'", "''") + "'" for text in many)
    bound = select_query(query(f"SELECT 1 FROM etl_control WHERE source_id IN ({texts})"), NAMES)
    assert list(bound.parameters.values()) == many[:MOST_PARAMETERS]
    assert all(f"'it\\'s {MOST_PARAMETERS + more}'" in bound.text for more in (0, 1))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM secret",
        "SELECT * FROM other.schema.etl_control",
        "WITH a AS (SELECT * FROM b), c AS (SELECT 1) SELECT * FROM a",
    ],
)
def test_a_table_that_was_not_checked_is_refused(text: str) -> None:
    past_the_check = CheckedQuery(parse_one(text), ("x",), ())  # type: ignore[arg-type]  # a query
    with pytest.raises(BackendError) as refused:
        select_query(past_the_check, NAMES)
    assert refused.value.code == "UNKNOWN_TABLE"


@given(SECRET, SECRET)
def test_nothing_that_was_typed_is_in_the_text_of_a_statement(one: str, two: str) -> None:
    quoted = ["'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'" for text in (one, two)]
    alias = one.replace("`", "``")
    checked = query(
        f"SELECT `{alias}`.source_id AS `{alias}`, {quoted[1]} FROM etl_control AS `{alias}`"
        f" WHERE `{alias}`.source_id = {quoted[0]} ORDER BY `{alias}`"
    )
    assert checked.names[0] == one
    for bound in (select_query(checked, NAMES), sqlite_query(checked)):
        assert "§" not in bound.text
        assert sorted(bound.parameters.values()) == sorted({one, two})


def test_a_change_finds_rows_by_what_they_are_and_writes_only_where_all_are_there() -> None:
    target = Target(TABLES.of(SOURCES), ("a`b", "at"), frozenset({"at"}))
    offer = Offer.of([{"action": "delete", "row": "x"}], {"action": "STRING", "row": "STRING"})
    text = change_rows(target, offer, [], known=1).text
    assert "unix_micros(`t`.`at`)" in text
    assert "'0', `t`.`a``b`" in text
    assert "count(DISTINCT n.row) = 1 AS fresh" in text
    assert "UPDATE" not in text
