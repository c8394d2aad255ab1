import pytest

from lakeflow_meta.backends.local.spark.view_text import ViewText, read_view


@pytest.mark.parametrize(
    ("text", "query", "comment"),
    [
        ("CREATE VIEW v AS SELECT 1 AS y", "SELECT 1 AS y", ""),
        ("create or replace view if not exists a.b.as as\n select 1 ;", "select 1", ""),
        (
            "CREATE VIEW v (x COMMENT 'col', y) COMMENT 'it''s' AS SELECT 1, 2",
            "SELECT 1, 2",
            "it's",
        ),
        ("CREATE VIEW v COMMENT 'a' 'b' AS SELECT 1", "SELECT 1", "ab"),
        (r"CREATE VIEW v COMMENT r'a\b' AS SELECT 1", "SELECT 1", r"a\b"),
        (r"CREATE VIEW v COMMENT 'it\'s\n' AS SELECT 1", "SELECT 1", "it's\n"),
        (
            """CREATE VIEW v TBLPROPERTIES ('as' = 'x', comment = 'no') WITH SCHEMA BINDING
            COMMENT "c" AS WITH a AS (SELECT 1) SELECT * FROM a""",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "c",
        ),
        ("CREATE VIEW v AS -- why\nSELECT ';' -- end", "-- why\nSELECT ';' -- end", ""),
        ("CREATE VIEW v AS (SELECT 1)", "(SELECT 1)", ""),
    ],
)
def test_a_view_is_read_as_it_was_written(text: str, query: str, comment: str) -> None:
    assert read_view([text]) == ViewText(query, comment)


@pytest.mark.parametrize(
    ("alter", "expected"),
    [
        ("ALTER VIEW v AS SELECT 2;", ViewText("SELECT 2", "old")),
        ("ALTER VIEW v SELECT 2", ViewText("SELECT 2", "old")),
        ("ALTER VIEW v WITH schema AS (SELECT 2) TABLE schema", None),
        ("ALTER VIEW v WITH SCHEMA TYPE EVOLUTION", ViewText("SELECT 1", "old")),
        ("ALTER VIEW v SET TBLPROPERTIES ('a' = 'comment', 'comment' = 'new')", "new"),
        ("ALTER VIEW v SET TBLPROPERTIES (comment 'new')", "new"),
        ("ALTER VIEW v SET TBLPROPERTIES ('a' = 'comment')", "old"),
        ("ALTER VIEW v UNSET TBLPROPERTIES IF EXISTS ('a', 'comment')", ""),
        ("ALTER VIEW v UNSET TBLPROPERTIES ('a')", "old"),
    ],
)
def test_later_statements_change_the_view(alter: str, expected: ViewText | str | None) -> None:
    if expected is None:
        expected = ViewText(alter.removeprefix("ALTER VIEW v "), "old")
    if isinstance(expected, str):
        expected = ViewText("SELECT 1", expected)
    assert read_view(["CREATE VIEW v COMMENT 'old' AS SELECT 1", alter]) == expected


@pytest.mark.parametrize("text", ["CREATE VIEW v", "CREATE VIEW v AS", "CREATE VIEW v AS ;", "x"])
def test_what_makes_no_view_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"no query is in|not in list"):
        read_view([text])


@pytest.mark.parametrize("text", ["ALTER VIEW", "ALTER VIEW v", "ALTER VIEW v AS"])
def test_what_alters_no_view_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="no query is in"):
        read_view(["CREATE VIEW v AS SELECT 1", text])
