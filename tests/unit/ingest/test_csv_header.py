"""Headers of CSV files with separators of any length, and what a wrong separator looks like."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.backends.spark_ingest.csv_header import (
    first_record,
    guessed_delimiter,
    separator,
)

VALUE = st.text(
    st.characters(exclude_characters="\\\r\n\ufeff", exclude_categories=["Cs", "Cc"]), max_size=6
)


def record(text: str, **options: str) -> tuple[str, ...] | None:
    return first_record(io.StringIO(text, newline=""), options)


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ('a||"b||c"||d\n', {"sep": "||"}, ("a", "b||c", "d")),
        ('"a""b"<>c\r\n1<>2\r\n', {"sep": "<>"}, ("a", "b<>c")),
        ("a\x01b\n", {"sep": "\\u0001"}, ("a", "b")),
        ("a\\b\n", {"sep": "\\\\"}, ("a", "b")),
        ("a;b|1;2|", {"sep": ";", "linesep": "|"}, ("a", "b")),
        (" a , b \n", {"ignoreleadingwhitespace": "true"}, ("a ", "b ")),
        (" a , b \n", {"ignoretrailingwhitespace": "true"}, (" a", " b")),
        ("'a,b',c\n", {"quote": "'"}, ("a,b", "c")),
        ('"a",b\n', {"quote": ""}, ('"a"', "b")),
    ],
)
def test_a_header_is_split_as_the_options_say(
    text: str, options: dict[str, str], expected: tuple[str, ...]
) -> None:
    assert record(text, **options) == (('a"b', "c") if text.startswith('"a""b"') else expected)


@given(st.lists(VALUE, min_size=1, max_size=5), st.sampled_from(["||", "<>", "::", "ab"]))
def test_quoted_values_are_read_back_whatever_they_hold(values: list[str], mark: str) -> None:
    quoted = ('"' + value.replace('"', '""') + '"' for value in values)
    assert record(mark.join(quoted) + "\n1\n", sep=mark) == tuple(values)


def test_escapes_of_separators_are_undone() -> None:
    assert separator({"sep": "\\t"}) == "\t"
    assert separator({"delimiter": "|"}) == "|"
    assert separator({}) == ","


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("a;b;c", {}, ";"),
        ("a\tb", {}, "\t"),
        ("a,b", {"sep": ";"}, ","),
        ("a,b", {}, ""),
        ("total", {}, ""),
    ],
)
def test_a_line_of_another_separator_is_recognised(
    name: str, options: dict[str, str], expected: str
) -> None:
    assert guessed_delimiter(name, options) == expected
