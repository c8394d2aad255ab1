"""What statements do, and which of them are done when a script runs again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.scripts.script_progress import ScriptProgress
from lakeflow_meta.scripts.statements import Kind, kept_after, read_statements, says_done

KINDS = {
    "CREATE TABLE t (a INT)": Kind.CREATE,
    "create or replace view v as select 1": Kind.CREATE,
    "CREATE TEMPORARY VIEW v AS SELECT 1": Kind.SESSION,
    "CREATE OR REPLACE GLOBAL TEMP VIEW v AS SELECT 1": Kind.SESSION,
    "CREATE TEMPORARY FUNCTION f AS 'x'": Kind.SESSION,
    "CREATE TEMP TABLE t (a INT)": Kind.TEMPORARY_TABLE,
    "CREATE OR REPLACE LOCAL TEMPORARY TABLE t AS SELECT 1": Kind.TEMPORARY_TABLE,
    "CREATE TABLE temp (a INT)": Kind.CREATE,
    "ALTER TABLE `add` ADD COLUMN b INT": Kind.ADD,
    "ALTER TABLE t DROP COLUMN b": Kind.REPLACE,
    "ALTER TABLE t RENAME TO u": Kind.REPLACE,
    "ALTER TABLE t SET TBLPROPERTIES ('a' = 'add')": Kind.OTHER,
    "DROP TABLE t": Kind.DROP,
    "DROP TEMPORARY VARIABLE x": Kind.SESSION,
    "/* INSERT */ -- x\n USE CATALOG c": Kind.SESSION,
    "SET a = 1": Kind.SESSION,
    "DECLARE x INT": Kind.SESSION,
    "INSERT INTO t VALUES ('DROP')": Kind.ROWS,
    "WITH q AS (SELECT 1) INSERT INTO t SELECT * FROM q": Kind.ROWS,
    "BEGIN SELECT 1; SELECT 2; END": Kind.OTHER,
    "BEGIN TRANSACTION": Kind.BEGIN,
    "START TRANSACTION": Kind.BEGIN,
    "COMMIT": Kind.END,
    "ROLLBACK TO SAVEPOINT s": Kind.OTHER,
    "GRANT SELECT ON t TO u": Kind.OTHER,
    "OPTIMIZE t": Kind.OTHER,
}


@pytest.mark.parametrize(("text", "kind"), KINDS.items())
def test_the_first_words_tell_what_a_statement_does(text: str, kind: Kind) -> None:
    (statement,) = read_statements(text, "databricks")
    assert statement.kind is kind


def test_postgres_is_read_by_its_own_rules() -> None:
    text = r"""
        INSERT INTO t VALUES ('c:\'); -- a backslash escapes nothing
        CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $f_1$ BEGIN x; y; END; $f_1$;
        CREATE PROCEDURE p() BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;
        BEGIN; SELECT ";" FROM "a;b"; END; SELECT E'it\'s;', $$;$$, a$b$c"""
    kinds = [statement.kind for statement in read_statements(text, "postgres")]
    assert kinds == [
        *(Kind.ROWS, Kind.CREATE, Kind.CREATE, Kind.BEGIN, Kind.OTHER, Kind.END, Kind.OTHER),
    ]


def test_a_statement_is_the_same_whatever_its_comments_and_white_space() -> None:
    texts = ["SELECT  1 -- one", "/* a */ SELECT\n1", "SELECT 1"]
    assert len({read_statements(text, "databricks")[0].digest for text in texts}) == 1
    assert read_statements("SELECT '1 '", "databricks") != read_statements("SELECT '1'", "spark")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("A; B", (True, True)),
        ("A; BEGIN TRANSACTION; B; COMMIT; C", (True, False, False, True, True)),
        ("A; CREATE TEMP TABLE t AS SELECT 1; B", (False, False, False)),
    ],
)
def test_what_a_session_takes_with_it_is_not_done(text: str, kept: tuple[bool, ...]) -> None:
    assert kept_after(read_statements(text, "databricks")) == kept


def test_an_error_says_done_only_of_a_statement_that_would_have_that_effect() -> None:
    assert says_done(Kind.CREATE, "TABLE_OR_VIEW_ALREADY_EXISTS")
    assert says_done(Kind.DROP, "42P01")
    assert not says_done(Kind.CREATE, "TABLE_OR_VIEW_NOT_FOUND")
    assert not says_done(Kind.ROWS, "TABLE_OR_VIEW_NOT_FOUND")
    assert not says_done(Kind.ADD, "")


DIGESTS = st.lists(st.sampled_from("abc"), max_size=5).map(tuple)


@given(DIGESTS, DIGESTS, st.sampled_from(["", "a", "b"]))
def test_progress_holds_for_the_same_first_statements_only(
    done: tuple[str, ...], digests: tuple[str, ...], started: str
) -> None:
    kept = ScriptProgress("e", done, started, 3).within(digests)
    assert kept.done == digests[: len(kept.done)] == done[: len(kept.done)]
    more = len(kept.done)
    assert more == min(len(done), len(digests)) or done[more] != digests[more]
    if kept.started:
        assert kept.in_doubt(digests, more)
        assert kept.starting(digests, more).number == 3


@given(DIGESTS, st.integers(min_value=0, max_value=9), st.text(max_size=3))
def test_progress_reads_back_as_it_was_written(
    done: tuple[str, ...], number: int, transaction: str
) -> None:
    progress = ScriptProgress("e", done, "s", number, transaction)
    assert ScriptProgress.of(progress.to_dict(), "other") == progress
    assert ScriptProgress.of({"done": 1}, "other") == ScriptProgress("other")
    assert ScriptProgress.of(None, "other") == ScriptProgress("other")
