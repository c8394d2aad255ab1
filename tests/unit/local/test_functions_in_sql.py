import pytest

from lakeflow_meta.backends.local.spark.dotted_names import items
from lakeflow_meta.backends.local.spark.functions_in_sql import function_edits, inline_identifiers
from lakeflow_meta.backends.local.spark.names_in_sql import Parts, apply_edits


def with_functions(text: str) -> str:
    def rename(parts: Parts) -> str | None:
        return "`main__s`.`t`" if parts == ("main", "s", "t") else None

    return apply_edits(text, function_edits(items(text), lambda: ("main", "sil'ver"), rename))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM IDENTIFIER('main.s.t')", "SELECT * FROM `main`.`s`.`t`"),
        ("SELECT * FROM IDENTIFIER(:name)", "SELECT * FROM `dev`.`s`.`t`"),
        ("SELECT * FROM IDENTIFIER(:cat || '.s.' || \"t\")", "SELECT * FROM `dev`.`s`.`t`"),
        ("USE identifier ( :cat )", "USE `dev`"),
        ("SELECT IDENTIFIER('a`;x')", "SELECT IDENTIFIER('a`;x')"),
        ("SELECT IDENTIFIER(:missing)", "SELECT IDENTIFIER(:missing)"),
        ("SELECT IDENTIFIER(lower('a'))", "SELECT IDENTIFIER(lower('a'))"),
        ("SELECT IDENTIFIER(", "SELECT IDENTIFIER("),
        ("SELECT 'IDENTIFIER(:cat)'", "SELECT 'IDENTIFIER(:cat)'"),
        ("SELECT identifier FROM t", "SELECT identifier FROM t"),
    ],
)
def test_identifier_becomes_the_name_where_it_can_be_told(text: str, expected: str) -> None:
    assert inline_identifiers(text, {"name": "dev.s.t", "cat": "dev"}) == expected


def test_a_value_cannot_leave_the_name_that_it_is_given_for() -> None:
    text = inline_identifiers("SELECT * FROM IDENTIFIER(:t)", {"t": "`a``b; DROP TABLE x`"})
    assert text == "SELECT * FROM `a``b; DROP TABLE x`"


def test_current_names_are_those_of_the_session() -> None:
    assert with_functions("SELECT current_catalog(), current_schema(), current_database( )") == (
        "SELECT 'main', 'sil\\'ver', 'sil\\'ver'"
    )


def test_table_changes_takes_the_tables_name() -> None:
    assert with_functions("SELECT * FROM table_changes('main.s.t', 1)") == (
        "SELECT * FROM table_changes('`main__s`.`t`', 1)"
    )
    assert with_functions("SELECT * FROM table_changes('x', 1)") == (
        "SELECT * FROM table_changes('x', 1)"
    )
