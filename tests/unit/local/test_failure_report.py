"""How a failure is shown: places, and the lines with what is to blame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.backends.local.tasks.failure_report import Source, excerpt, line_and_column


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Source("a.sql"), "a.sql:3:7"),
        (Source("n.py", line=10, cell=2), "cell 2, n.py:12:7"),
        (Source("n.ipynb", line=0, cell=4), "cell 4, line 3:7"),
    ],
)
def test_a_place_is_told_in_the_terms_of_the_file(source: Source, expected: str) -> None:
    assert source.place(3, 7) == expected
    assert source.place(3) == expected.removesuffix(":7")


def test_the_line_is_shown_with_two_above_it_and_its_number_in_the_file() -> None:
    text = "a\nb\nc\n\tSELECT nope\nd"
    assert excerpt(text, 14, 18, first_line=97) == (
        "   98 | b\n   99 | c\n  100 | \tSELECT nope\n      | \t       ^^^^"
    )


def test_of_a_very_long_line_the_part_around_the_place_is_shown() -> None:
    text = "x" * 1000 + "nope" + "y" * 1000
    line, carets = excerpt(text, 1000, 1004).splitlines()
    assert len(line) < 130
    assert line.index("nope") == carets.index("^^^^")


def test_carets_end_with_the_line() -> None:
    assert excerpt("ab\ncd", 1, 5) == "  1 | ab\n    |  ^"
    assert excerpt("ab", 2, 3) == "  1 | ab\n    |   ^"


@given(st.text(alphabet="ab\n\t ", max_size=60), st.data())
def test_any_place_of_any_text_can_be_shown(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    line, column = line_and_column(text, start)
    shown = excerpt(text, start, end).splitlines()
    assert "^" in shown[-1]
    assert 1 <= column <= len(text.split("\n")[line - 1]) + 1
