"""`sql.split_statements`: where a statement ends, and where a semicolon means nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.sql import locate_statements, split_statements
from lakeflow_meta.sql_tokens import tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  \n ;; ; ", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;", ["SELECT 1"]),
        ("a;b;\nc", ["a", "b", "c"]),
        ("SELECT ';'; SELECT \";\"; SELECT `;`", ["SELECT ';'", 'SELECT ";"', "SELECT `;`"]),
        ("SELECT 'it''s;'; b", ["SELECT 'it''s;'", "b"]),
        (r"SELECT 'it\';s'; b", [r"SELECT 'it\';s'", "b"]),
        (r"SELECT 'x\\'; b", [r"SELECT 'x\\'", "b"]),
        (r"SELECT r'x\'; b", [r"SELECT r'x\'", "b"]),
        ("SELECT `a``;b`; c", ["SELECT `a``;b`", "c"]),
        ("a -- x; y\n; b", ["a -- x; y", "b"]),
        ("a -- it's\n; b", ["a -- it's", "b"]),
        ("a -- x \\\n still; comment\n; b", ["a -- x \\\n still; comment", "b"]),
        ("a /* ; */; b", ["a /* ; */", "b"]),
        ("a /* 1 /* 2; */ 3; */; b", ["a /* 1 /* 2; */ 3; */", "b"]),
        ("-- nothing;\n/* here; */;\n b -- end", ["b -- end"]),
        ("-- why\nSELECT 1; -- done", ["-- why\nSELECT 1"]),
        ("AS $$ a; b $$; c", ["AS $$ a; b $$", "c"]),
        ("AS $py$ a; $$; b $py$; c", ["AS $py$ a; $$; b $py$", "c"]),
        ("SELECT '${x;y}'; b", ["SELECT '${x;y}'", "b"]),
        ("SELECT 'open; b", ["SELECT 'open; b"]),
        ("SELECT /* open; b", ["SELECT /* open; b"]),
        ("SELECT 5 - -1; b", ["SELECT 5 - -1", "b"]),
        ("SELECT 4/2; b", ["SELECT 4/2", "b"]),
    ],
)
def test_a_semicolon_ends_a_statement_only_where_it_is_one(text: str, expected: list[str]) -> None:
    assert split_statements(text) == expected


@pytest.mark.parametrize(
    "block",
    [
        "BEGIN SELECT 1; SELECT 2; END",
        "begin declare x int; if x > 1 then select 1; else select 2; end if; select 3; end",
        "BEGIN SELECT CASE WHEN true THEN 1 END; BEGIN SELECT 1; END; SELECT 2; END",
        "BEGIN CASE WHEN true THEN SELECT 1; SELECT 2; END CASE; SELECT 3; END",
        "BEGIN WHILE true DO SELECT 1; END WHILE; FOR x AS SELECT 1 DO SELECT 2; END FOR; END",
        "BEGIN l: LOOP LEAVE l; END LOOP l; REPEAT SELECT 1; UNTIL true END REPEAT; END",
        "outer: BEGIN SELECT 1; END outer",
        "/* x */ BEGIN -- y; END;\n SELECT 'END'; END",
        "CREATE OR REPLACE PROCEDURE c.s.p() LANGUAGE SQL AS BEGIN SELECT 1; SELECT 2; END",
    ],
)
def test_a_compound_statement_stays_whole(block: str) -> None:
    assert split_statements(f"SELECT 0; {block}; SELECT 9;") == ["SELECT 0", block, "SELECT 9"]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT begin, end FROM t; SELECT 2",
        "SELECT CASE WHEN a THEN 1; SELECT 2",
        "BEGIN TRANSACTION; SELECT 2",
        "CREATE TABLE begin (a INT); SELECT 2",
    ],
)
def test_words_of_blocks_are_ordinary_names_elsewhere(text: str) -> None:
    assert len(split_statements(text)) == 2


_PIECES = st.one_of(
    st.sampled_from(["'", '"', "`", "--", "\n", "/*", "*/", "$$", "$a$", "\\", ";", "r'", " "]),
    st.text(max_size=5),
)


@given(st.lists(_PIECES, max_size=30).map("".join))
def test_any_text_is_read_to_its_end_in_order(text: str) -> None:
    position = 0
    for token in tokens(text):
        assert token.start >= position
        assert text[token.start : token.end] == token.text
        position = token.end
    assert position <= len(text)
    assert all(part in text for part in split_statements(text))


_LITERALS = st.text(alphabet=st.characters(codec="utf-8"), max_size=20).map(
    lambda text: "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
)


@given(st.lists(_LITERALS, min_size=1, max_size=8))
def test_any_literals_joined_by_semicolons_come_apart_again(literals: list[str]) -> None:
    statements = [f"SELECT {literal} /* ; */" for literal in literals]
    assert split_statements(";\n".join(statements)) == statements


@given(st.lists(_PIECES, max_size=30).map("".join))
def test_each_statement_is_where_it_is_said_to_be(text: str) -> None:
    found = locate_statements(text)
    assert [each.text for each in found] == split_statements(text)
    assert all(text[each.start :].startswith(each.text) for each in found)
    assert sorted(found, key=lambda each: each.start) == found
