"""Lines of many files in one: each with the number of its file, or not at all."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.backends.spark_ingest.bundles import Numbering, numbering
from lakeflow_meta.ingest.formats import FileFormat

VALUES = st.none() | st.integers() | st.text() | st.dictionaries(st.text(), st.text(), max_size=2)
OBJECTS = st.lists(st.dictionaries(st.text(), VALUES, min_size=1, max_size=3), min_size=1)


@given(OBJECTS, st.integers(0, 10**7), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_every_object_gets_the_number_and_keeps_the_rest(
    objects: list[dict[str, object]], number: int, end: str, ended: bool
) -> None:
    lines = numbering(FileFormat.JSON, {})
    assert lines is not None
    text = end.join(json.dumps(each, ensure_ascii=False) for each in objects)
    made = lines.numbered((text + end * ended).encode(), number)
    assert made is not None
    assert made.endswith(b"\n")
    read = [json.loads(line) for line in made.decode().split("\n")[:-1]]
    assert read == [{lines.field: number, **each} for each in objects]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b'[{"id": 1}]',
        b' {"id": 1}',
        b'\xef\xbb\xbf{"id": 1}',
        b'{\n"id": 1}',
        b'{"id": 1,\n"name": 2}',
        b'{"id": 1}\n\n{"id": 2}',
        b'{"id": 1}\n {"id": 2}',
        b'{"id": 1}\n[{"id": 2}]',
        b'{"id": 1}\r{"id": 2}\n',
        b'{"id": 1}\n{}',
        b"{}",
        b'{/* 1 */"id": 1}',
        '{"id": 1}'.encode("utf-16-le"),
        b"\x1f\x8b\x08",
    ],
)
def test_what_is_not_plainly_objects_line_by_line_is_left_to_spark(data: bytes) -> None:
    lines = numbering(FileFormat.JSONL, {})
    assert lines is not None
    assert lines.numbered(data, 1) is None


def csv_lines(**options: str) -> Numbering:
    made = numbering(FileFormat.CSV, {"header": "true", **options})
    assert made is not None
    return made


def test_records_get_the_number_in_front_and_the_header_comes_once() -> None:
    lines = csv_lines(sep=";")
    field = lines.field.encode()
    assert lines.numbered(b"a;b\n1;2\n3;4", 7) == field + b";a;b\n7;1;2\n7;3;4\n"
    assert lines.numbered(b"a;b\n5;6\n", 8) == b"8;5;6\n"
    assert lines.numbered(b"a;b\n", 9) == b""
    assert lines.numbered(b"a;c\n5;6\n", 10) is None
    windows = csv_lines(sep="\\t")
    assert windows.numbered(b"a\tb\r\n1\t2\r\n", 1) == (
        windows.field.encode() + b"\ta\tb\r\n1\t1\t2\r\n"
    )


VALUE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"))


@given(st.lists(st.tuples(VALUE, VALUE)), st.integers(0, 10**7), st.sampled_from([",", ";", "||"]))
def test_every_record_gets_the_number_and_keeps_the_rest(
    rows: list[tuple[str, str]], number: int, mark: str
) -> None:
    def written(*values: object) -> str:
        return mark.join('"{}"'.format(str(value).replace('"', '""')) for value in values)

    text = "\n".join(written(*row) for row in [("a", "b"), *rows])
    lines = csv_lines(sep=mark)
    made = lines.numbered(text.encode(), number)
    assert made is not None
    assert made.decode().split("\n") == [
        f"{lines.field}{mark}{written('a', 'b')}",
        *(f"{number}{mark}{written(*row)}" for row in rows),
        "",
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\na\n1\n",
        b"a\n\n1\n",
        b"a\n1\n\n",
        b"a\n \n1\n",
        b"a\r\n1\r\n\r\n",
        b"a\n\t\n1",
        b"a\r1\r",
        b"\xef\xbb\xbfa\n1\n",
        "a\n1\n".encode("utf-16"),
        b"\x1f\x8b\x08",
    ],
)
def test_records_that_may_be_something_else_are_left_to_spark(data: bytes) -> None:
    assert csv_lines().numbered(data, 1) is None


@pytest.mark.parametrize(
    "options",
    [
        {"header": "false"},
        {"comment": "#"},
        {"multiline": "true"},
        {"encoding": "latin1"},
        {"nullvalue": "0"},
        {"sep": "1"},
        {"sep": "_"},
        {"quote": "7"},
        {"maxcolumns": "2"},
    ],
)
def test_options_that_make_something_else_of_a_number_leave_all_to_spark(
    options: dict[str, str],
) -> None:
    assert numbering(FileFormat.CSV, {"header": "true", **options}) is None
    assert numbering(FileFormat.CSV, {}) is None


def test_options_that_change_what_a_line_is_leave_all_to_spark() -> None:
    assert numbering(FileFormat.JSON, {"mode": "FAILFAST", "timestampformat": "y"}) is not None
    for option in ("multiline", "encoding", "linesep", "singlevariantcolumn", "allowcomments"):
        assert numbering(FileFormat.JSON, {option: "true"}) is None
    for other in set(FileFormat) - {FileFormat.CSV, FileFormat.JSON, FileFormat.JSONL}:
        assert numbering(other, {}) is None
