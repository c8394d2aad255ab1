import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.backends.local.spark.dotted_names import items
from lakeflow_meta.backends.local.spark.names_in_sql import Edit, Parts, Rewritten, find_names
from lakeflow_meta.sql import literal


def rename(parts: Parts) -> str | None:
    """``main.s.t`` becomes ``main__s.t``; a name of one part stays."""
    if len(parts) == 3 and parts[0].lower() in ("main", "dev"):
        return f"{parts[0].lower()}__{parts[1]}.{parts[2]}"
    return f"cur__{parts[0]}.{parts[1]}" if len(parts) == 2 and parts[0] == "silver" else None


def rewritten(text: str) -> str:
    return Rewritten(text, tuple(find_names(items(text)).edits(rename))).result


def tables(text: str) -> list[str]:
    return [".".join(use.parts) for use in find_names(items(text)).tables]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM main.s.t", "SELECT * FROM main__s.t"),
        ("select * from MAIN.s.t", "select * from main__s.t"),
        ("SELECT * FROM `main`.`s`.`t` AS x", "SELECT * FROM main__s.t AS x"),
        ("SELECT * FROM main.s.t, dev.s.u v", "SELECT * FROM main__s.t, dev__s.u v"),
        (
            "SELECT * FROM main.s.t a JOIN dev.s.u b ON a.x = b.x, main.s.w",
            "SELECT * FROM main__s.t a JOIN dev__s.u b ON a.x = b.x, main__s.w",
        ),
        ("SELECT * FROM (main.s.t JOIN main.s.u)", "SELECT * FROM (main__s.t JOIN main__s.u)"),
        ("SELECT (SELECT max(x) FROM main.s.t)", "SELECT (SELECT max(x) FROM main__s.t)"),
        ("FROM main.s.t SELECT *", "FROM main__s.t SELECT *"),
        ("WITH q AS (FROM main.s.t) TABLE q", "WITH q AS (FROM main__s.t) TABLE q"),
        ("INSERT INTO main.s.t VALUES (1)", "INSERT INTO main__s.t VALUES (1)"),
        ("INSERT OVERWRITE TABLE main.s.t SELECT 1", "INSERT OVERWRITE TABLE main__s.t SELECT 1"),
        ("INSERT OVERWRITE main.s.t SELECT 1", "INSERT OVERWRITE main__s.t SELECT 1"),
        ("UPDATE main.s.t SET x = 1", "UPDATE main__s.t SET x = 1"),
        ("DELETE FROM main.s.t WHERE x", "DELETE FROM main__s.t WHERE x"),
        (
            "MERGE WITH SCHEMA EVOLUTION INTO main.s.t USING dev.s.u ON x WHEN MATCHED DELETE",
            "MERGE WITH SCHEMA EVOLUTION INTO main__s.t USING dev__s.u ON x WHEN MATCHED DELETE",
        ),
        (
            "MERGE INTO main.s.t t USING u ON x WHEN MATCHED THEN UPDATE SET t.a = u.a",
            "MERGE INTO main__s.t t USING u ON x WHEN MATCHED THEN UPDATE SET t.a = u.a",
        ),
        (
            "CREATE TABLE IF NOT EXISTS main.s.t (a INT)",
            "CREATE TABLE IF NOT EXISTS main__s.t (a INT)",
        ),
        ("CREATE TABLE main.s.t LIKE main.s.u", "CREATE TABLE main__s.t LIKE main__s.u"),
        (
            "CREATE TABLE main.s.t SHALLOW CLONE main.s.u VERSION AS OF 1",
            "CREATE TABLE main__s.t SHALLOW CLONE main__s.u VERSION AS OF 1",
        ),
        ("CREATE VIEW main.s.v AS TABLE main.s.t", "CREATE VIEW main__s.v AS TABLE main__s.t"),
        ("ALTER TABLE main.s.t RENAME TO main.s.u", "ALTER TABLE main__s.t RENAME TO main__s.u"),
        ("DROP TABLE IF EXISTS main.s.t", "DROP TABLE IF EXISTS main__s.t"),
        ("TRUNCATE TABLE main.s.t", "TRUNCATE TABLE main__s.t"),
        ("OPTIMIZE main.s.t ZORDER BY (a)", "OPTIMIZE main__s.t ZORDER BY (a)"),
        ("VACUUM main.s.t RETAIN 1 HOURS", "VACUUM main__s.t RETAIN 1 HOURS"),
        ("RESTORE main.s.t TO VERSION AS OF 1", "RESTORE main__s.t TO VERSION AS OF 1"),
        ("RESTORE TABLE main.s.t TO VERSION AS OF 1", "RESTORE TABLE main__s.t TO VERSION AS OF 1"),
        ("DESCRIBE main.s.t", "DESCRIBE main__s.t"),
        ("DESC TABLE EXTENDED main.s.t", "DESC TABLE EXTENDED main__s.t"),
        ("DESCRIBE HISTORY main.s.t LIMIT 1", "DESCRIBE HISTORY main__s.t LIMIT 1"),
        ("DESCRIBE DETAIL main.s.t", "DESCRIBE DETAIL main__s.t"),
        ("SHOW COLUMNS IN main.s.t", "SHOW COLUMNS IN main__s.t"),
        ("SHOW TBLPROPERTIES main.s.t", "SHOW TBLPROPERTIES main__s.t"),
        ("SHOW CREATE TABLE main.s.t", "SHOW CREATE TABLE main__s.t"),
        ("CACHE LAZY TABLE main.s.t", "CACHE LAZY TABLE main__s.t"),
        ("REFRESH TABLE main.s.t", "REFRESH TABLE main__s.t"),
        ("ANALYZE TABLE main.s.t COMPUTE STATISTICS", "ANALYZE TABLE main__s.t COMPUTE STATISTICS"),
        ("COMMENT ON TABLE main.s.t IS 'main.s.t'", "COMMENT ON TABLE main__s.t IS 'main.s.t'"),
        ("COMMENT ON COLUMN main.s.t.a IS 'x'", "COMMENT ON COLUMN main__s.t.`a` IS 'x'"),
        ("SELECT * FROM main.s.t VERSION AS OF 2", "SELECT * FROM main__s.t VERSION AS OF 2"),
        ("SELECT * FROM STREAM(main.s.t)", "SELECT * FROM STREAM(main__s.t)"),
        ("SELECT * FROM silver.t", "SELECT * FROM cur__silver.t"),
        ("SELECT 1; SELECT * FROM main.s.t", "SELECT 1; SELECT * FROM main__s.t"),
        ("EXPLAIN SELECT * FROM main.s.t", "EXPLAIN SELECT * FROM main__s.t"),
        (
            "SELECT * FROM a LEFT ANTI JOIN main.s.t USING (k)",
            "SELECT * FROM a LEFT ANTI JOIN main__s.t USING (k)",
        ),
        ("SELECT 1 UNION ALL SELECT x FROM main.s.t", "SELECT 1 UNION ALL SELECT x FROM main__s.t"),
    ],
)
def test_a_table_is_renamed_wherever_a_table_is_expected(text: str, expected: str) -> None:
    assert rewritten(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'main.s.t', \"main.s.t\" FROM t",
        "SELECT 1 -- FROM main.s.t",
        "SELECT 1 /* FROM main.s.t */",
        "SELECT `main.s.t` FROM t",
        "SELECT main.s.t FROM main",
        "SELECT main.s.t AS x, f(main.s.t) FROM q AS main WHERE main.s.t > 1",
        "SELECT * FROM q main ORDER BY main.s.t, main.s.u DESC",
        "SELECT extract(year FROM main.s.t) FROM q AS main",
        "SELECT trim(BOTH 'x' FROM main.s.t) FROM q AS main",
        "SELECT * FROM q main WHERE a IS DISTINCT FROM main.s.t",
        "SELECT a AS `main.s.t` FROM q",
        "SELECT * FROM q main WHERE a LIKE main.s.t",
        "SELECT * FROM t LATERAL VIEW explode(main.s.t) AS x",
        "ALTER TABLE t RENAME COLUMN a TO b",
        "SELECT * FROM delta.`/a/main.s.t`",
        "SELECT * FROM other.s.t",
        "UPDATE t SET a = main.s.t",
        "SELECT * FROM a JOIN b ON f(a.x, main.s.t)",
    ],
)
def test_what_only_looks_like_a_table_stays(text: str) -> None:
    assert rewritten(text) == text


def test_a_column_that_is_named_with_its_table_follows_the_table() -> None:
    text = "SELECT main.s.t.a, main.s.t.b.c, dev.s.t.a FROM main.s.t WHERE main.s.t.a > 1"
    assert rewritten(text) == (
        "SELECT main__s.t.`a`, main__s.t.`b`.`c`, dev.s.t.a FROM main__s.t WHERE main__s.t.`a` > 1"
    )


def test_a_column_of_a_two_part_table_follows_it_too() -> None:
    assert (
        rewritten("SELECT silver.t.a FROM silver.t")
        == "SELECT cur__silver.t.`a` FROM cur__silver.t"
    )


def test_a_table_called_like_a_word_of_describe_is_found() -> None:
    assert tables("DESCRIBE history") == ["history"]
    assert tables("DESCRIBE HISTORY t") == ["t"]


@given(st.text())
def test_a_string_never_changes(value: str) -> None:
    text = f"SELECT {literal(value)} FROM main.s.t"
    assert rewritten(text) == f"SELECT {literal(value)} FROM main__s.t"


@given(st.text(alphabet="abm.`'\"\\ \n-*/$r;(),FROMJINTABLE", max_size=80))
def test_any_text_can_be_read_and_stays_where_nothing_is_renamed(text: str) -> None:
    edits = find_names(items(text)).edits(lambda _parts: None)
    assert Rewritten(text, tuple(edits)).result == text


@given(
    st.lists(st.sampled_from(["main.s.t", "x\n", "y", "dev.a.b"]), min_size=1, max_size=8),
    st.integers(min_value=0, max_value=7),
)
def test_positions_in_the_result_lead_back_to_the_text(words: list[str], which: int) -> None:
    words = [f"FROM {word} " for word in words]
    which %= len(words)
    text = "".join(words)
    done = Rewritten(text, tuple(find_names(items(text)).edits(rename)))
    result_offset = len(rewritten("".join(words[:which])))
    before = done.result[:result_offset]
    place = (before.count("\n") + 1, result_offset - (before.rfind("\n") + 1))

    original = text[: len("".join(words[:which]))]
    expected = (original.count("\n") + 1, len(original) - (original.rfind("\n") + 1))
    assert done.original_position(*place) == expected


def test_a_position_inside_a_new_name_is_the_start_or_inside_of_the_old_one() -> None:
    done = Rewritten("FROM a.b.c x", (Edit(5, 10, "a_much_longer_name.c"),))
    assert done.original_position(1, 5) == (1, 5)
    assert done.original_position(1, 26) == (1, 11)


@given(st.lists(st.sampled_from(["a", "main.s.t", "\n", "x, "]), max_size=12), st.data())
def test_a_marked_part_of_the_new_text_is_found_in_the_old_one(
    words: list[str], data: st.DataObject
) -> None:
    text = "".join(f"{word} " for word in words)
    edits: list[Edit] = []
    new = old = 0
    spans = [(0, 0, 0, 0)]
    for word in words:
        put = data.draw(st.sampled_from(["m.t", "a_much_longer_name"])) if "." in word else word
        if "." in word:
            edits.append(Edit(old, old + len(word), put))
        spans.append((new, new + len(put), old, old + len(word)))
        new, old = new + len(put) + 1, old + len(word) + 1
    done = Rewritten(text, tuple(edits))
    start, end, first, last = data.draw(st.sampled_from(spans))
    assert (done.original_offset(start), done.original_offset(end, end=True)) == (first, last)
