"""PostgreSQL's text: tokens, parameters by name, transactions, arrays."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.backends.postgres.column_types import from_text
from lakeflow_meta.backends.postgres.parameters import bound
from lakeflow_meta.backends.postgres.statements import can_be_copied, refuse_transactions
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.settings import environment_layer, resolve
from lakeflow_meta.warehouse.postgres_tokens import tokens


@given(st.text(max_size=200))
def test_any_text_has_tokens_that_are_of_it_and_in_order(text: str) -> None:
    end = 0
    for token in tokens(text):
        assert text[token.start : token.end] == token.text
        assert token.start >= end
        end = token.end


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a -- b ; 'c\nd", ["a", "d"]),
        ("a /* b /* c */ d */ e", ["a", "e"]),
        ("'it''s' E'a\\'b' U&'x'", ["'it''s'", "E'a\\'b'", "U&'x'"]),
        ('"a""b;" $$x;$y$ $$ $f$;$$;$f$', ['"a""b;"', "$$x;$y$ $$", "$f$;$$;$f$"]),
        ("a::int := 1", ["a", "::", "int", ":=", "1"]),
        ("'open ; text", ["'open ; text"]),
        ("'back\\' b", ["'back\\'", "b"]),
    ],
)
def test_tokens_are_those_of_postgresql(text: str, found: list[str]) -> None:
    assert [token.text for token in tokens(text)] == found


@pytest.mark.parametrize(
    ("statement", "made"),
    [
        ("SELECT :a", "SELECT %(a)s"),
        ("SELECT :a::int, b::a", "SELECT %(a)s::int, b::a"),
        ("SELECT ':a', \":a\", $$:a$$ -- :a\n, :a", "SELECT ':a', \":a\", $$:a$$ -- :a\n, %(a)s"),
        ("SELECT x[1:a], (:a), 5 % 2", "SELECT x[1:a], (%(a)s), 5 %% 2"),
        ("SELECT :ab, :a", "SELECT :ab, %(a)s"),
    ],
)
def test_a_name_after_a_colon_is_a_value(statement: str, made: str) -> None:
    assert bound(statement, {"a": 1}) == (made, {"a": 1})


def test_without_values_a_statement_is_as_it_is() -> None:
    assert bound("SELECT '%' :a", None) == ("SELECT '%' :a", None)
    assert bound("SELECT '%' :a", {}) == ("SELECT '%' :a", None)
    assert bound("SELECT %s", [1]) == ("SELECT %s", [1])
    with pytest.raises(ConfigError, match="a mapping or a list"):
        bound("SELECT 1", "abc")


@pytest.mark.parametrize(
    "text", ["COMMIT", "SELECT 1; ROLLBACK", "/**/ begin", "PREPARE TRANSACTION 'x'"]
)
def test_transactions_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="transaction of its own"):
        refuse_transactions(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'COMMIT; BEGIN'",
        "PREPARE p AS SELECT 1",
        "DO $$ BEGIN COMMIT; END $$",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
        "",
    ],
)
def test_words_of_transactions_elsewhere_are_not(text: str) -> None:
    refuse_transactions(text)


@pytest.mark.parametrize(
    ("text", "can"),
    [
        ("-- x\n(SELECT 1)", True),
        ("with a as (select 1) table a", True),
        ("CALL p()", False),
        ("SHOW port", False),
        ("", False),
    ],
)
def test_queries_can_be_copied_and_calls_cannot(text: str, can: bool) -> None:
    assert can_be_copied(text) is can


def test_arrays_of_other_delimiters_and_bounds() -> None:
    text = pa.array(["{(1,1),(0,0);(2,2),(1,1)}", "[2:3]={NULL;(0,0),(0,0)}", None])
    found = from_text("b", text, pa.list_(pa.string()), ";")
    assert found.to_pylist() == [["(1,1),(0,0)", "(2,2),(1,1)"], [None, "(0,0),(0,0)"], None]


def test_the_environment_names_the_server_and_never_a_password() -> None:
    environment = {
        "POSTGRES_HOST": "db",
        "POSTGRES_PORT": "6543",
        "POSTGRES_USER": "",
        "POSTGRES_PASSWORD": "secret",
    }
    found = resolve([environment_layer(environment)])
    assert (found.settings.postgres.host, found.settings.postgres.port) == ("db", 6543)
    assert (found.settings.postgres.user, found.settings.postgres.database) == (None, "local")
    assert "secret" not in repr(found)
    with pytest.raises(ConfigError, match=r"environment: postgres\.port"):
        resolve([environment_layer({"POSTGRES_PORT": "many"})])
