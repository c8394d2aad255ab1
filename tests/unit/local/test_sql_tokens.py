import re

from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.backends.local.spark.dotted_names import Dotted, items
from lakeflow_meta.sql import ident, literal
from lakeflow_meta.sql_tokens import Kind, tokens

SQL_LIKE = st.text(alphabet="ab.`'\"\\ \n-*/$rR;(),1", max_size=60)


def kinds(text: str) -> list[tuple[Kind, str]]:
    return [(token.kind, token.text) for token in tokens(text)]


@given(SQL_LIKE)
def test_tokens_cover_the_text_and_leave_out_only_space_and_comments(text: str) -> None:
    position = 0
    for token in tokens(text):
        assert text[token.start : token.end] == token.text
        assert token.text
        assert token.start >= position
        skipped = text[position : token.start].strip()
        assert not skipped or skipped.startswith(("--", "/*"))
        position = token.end
    rest = text[position:].strip()
    assert not rest or rest.startswith(("--", "/*"))


@given(st.text())
def test_a_literal_is_one_string_whatever_is_in_it(value: str) -> None:
    text = f"SELECT {literal(value)} FROM t"
    assert [kind for kind, _ in kinds(text)] == [Kind.WORD, Kind.STRING, Kind.WORD, Kind.WORD]


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_a_quoted_name_reads_back_as_its_parts(parts: list[str]) -> None:
    found = items(".".join(ident(part) for part in parts))
    assert len(found) == 1
    assert isinstance(found[0], Dotted)
    assert found[0].parts == tuple(parts)


def test_escapes_raw_strings_and_dollar_bodies_are_strings() -> None:
    text = r"""'it\'s' r'\' "a\"b" $$ x 'y' $$ $py$ $$ $py$ 'two''quotes' """
    assert kinds(text) == [
        (Kind.STRING, r"'it\'s'"),
        (Kind.STRING, r"r'\'"),
        (Kind.STRING, r'"a\"b"'),
        (Kind.STRING, "$$ x 'y' $$"),
        (Kind.STRING, "$py$ $$ $py$"),
        (Kind.STRING, "'two'"),
        (Kind.STRING, "'quotes'"),
    ]


def test_block_comments_nest_and_line_comments_end_with_the_line() -> None:
    text = "a /* b /* c */ d */ e -- f\ng -- h \\\n i\nj"
    assert [text for _, text in kinds(text)] == ["a", "e", "g", "j"]


def test_a_name_may_have_space_and_comments_around_its_dots() -> None:
    found = items("main . /* here */ silver\n.`or``ders` x")
    assert [item.parts for item in found if isinstance(item, Dotted)] == [
        ("main", "silver", "or`ders"),
        ("x",),
    ]


def test_a_quoted_keyword_is_no_keyword() -> None:
    assert [item.word for item in items("from `from` from.x")] == ["FROM", "", ""]


def test_long_texts_are_read_in_one_pass() -> None:
    text = "SELECT " + ", ".join(f"a.b{i} /* x */" for i in range(20_000)) + " FROM m.s.t"
    assert len([i for i in items(text) if isinstance(i, Dotted)]) == 20_003
    assert re.search("m.s.t$", text)
