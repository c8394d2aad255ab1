"""Rows as text: every value can be read back, and looks as its layout says."""

from __future__ import annotations

import csv
import io
import json
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.extract.config import FileLayout
from lakeflow_meta.extract.delimited_text import DelimitedText
from lakeflow_meta.extract.json_text import JsonText
from lakeflow_meta.extract.text_values import ValueStyle, texts
from lakeflow_meta.extract.timestamps import TimestampPattern
from lakeflow_meta.extract.words import RefusedError

AT = datetime(2025, 7, 1, 10, 0, 0, 120000)  # noqa: DTZ001 (columns without a zone)
WINTER = datetime(2025, 1, 31, 23, 59, 59)  # noqa: DTZ001


def written(values: list[Any], kind: pa.DataType, **layout: Any) -> list[str | None]:
    style = ValueStyle.of(FileLayout.model_validate({"format": "csv", **layout}))
    found: list[str | None] = texts(pa.array(values, kind), style).to_pylist()
    return found


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (pa.int64(), [-1, 2**63 - 1, None], ["-1", "9223372036854775807", None]),
        (pa.bool_(), [True, False, None], ["true", "false", None]),
        (pa.float64(), [1.0, 0.1, 1e20, -0.0], ["1", "0.1", "1e+20", "-0"]),
        (
            pa.float64(),
            [math.nan, math.inf, -math.inf, 1.5, None],
            ["NaN", "Infinity", "-Infinity", "1.5", None],
        ),
        (
            pa.decimal128(20, 7),
            [Decimal("0.0000001"), Decimal("-123.45"), Decimal(0), None],
            ["0.0000001", "-123.4500000", "0.0000000", None],
        ),
        (pa.date32(), [date(2025, 1, 2), None], ["2025-01-02", None]),
        (pa.timestamp("us"), [AT, WINTER], ["2025-07-01 10:00:00.12", "2025-01-31 23:59:59"]),
        (pa.timestamp("us", "Europe/Berlin"), [AT, None], ["2025-07-01 10:00:00.12Z", None]),
        (pa.timestamp("s"), [WINTER], ["2025-01-31 23:59:59"]),
        (pa.time64("us"), [time(1, 2, 3, 500), time(10)], ["01:02:03.0005", "10:00:00"]),
        (pa.binary(), [b"ab", None], ["YWI=", None]),
        (pa.list_(pa.int64()), [[1, None], None], ["[1,null]", None]),
        (pa.map_(pa.string(), pa.int64()), [[("k", 1)], None], ['{"k":1}', None]),
        (
            pa.struct([("a", pa.float64()), ("b", pa.timestamp("us"))]),
            [{"a": math.nan, "b": AT}],
            ['{"a":null,"b":"2025-07-01T10:00:00.120000"}'],
        ),
        (pa.dictionary(pa.int32(), pa.string()), ["x", None, "x"], ["x", None, "x"]),
        (pa.null(), [None, None], [None, None]),
    ],
    ids=str,
)
def test_a_value_is_written_so(kind: pa.DataType, values: list[Any], expected: list[Any]) -> None:
    assert written(values, kind) == expected


def test_decimals_are_rounded_half_away_from_zero() -> None:
    kind = pa.decimal128(20, 4)
    halves = [Decimal("2.5"), Decimal("-2.5"), Decimal("2.4999"), None]
    assert written(halves, kind, decimal_places=0) == ["3", "-3", "2", None]
    assert written(halves[:1], kind, decimal_places=6) == ["2.500000"]
    assert written([1.125, -1.125], pa.float64(), decimal_places=2) == ["1.13", "-1.13"]
    assert written([1e30, None], pa.float64(), decimal_places=1) == [f"{10**30}.0", None]
    assert written([Decimal("1.5")], kind, decimal_separator=",") == ["1,5000"]


def test_times_are_written_by_their_pattern_in_their_zone() -> None:
    zoned = pa.timestamp("us", "UTC")
    layout = {"timestamp_format": "dd.MM.yyyy HH:mm:ss.SSSXXX", "time_zone": "Europe/Berlin"}
    assert written([AT, WINTER, None], zoned, **layout) == [
        "01.07.2025 12:00:00.120+02:00",
        "01.02.2025 00:59:59.000+01:00",
        None,
    ]
    plain = {"timestamp_format": "yyyyDDD'T'HHmm"}
    assert written([AT, WINTER], pa.timestamp("ns"), **plain) == ["2025182T1000", "2025031T2359"]
    assert written([date(2025, 1, 2)], pa.date32(), date_format="dd/MM/yy") == ["02/01/25"]


@given(
    st.datetimes(AT.replace(year=1), AT.replace(year=9998)),
    st.sampled_from(["yyyy-MM-dd HH:mm:ss.SSSSSS", "DDD yy SS XX", "HHmmssXXX"]),
    st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York"]),
)
def test_columns_and_single_moments_are_written_alike(
    moment: datetime, pattern: str, zone: str
) -> None:
    aware = moment.replace(tzinfo=UTC)
    try:
        local = aware.astimezone(ZoneInfo(zone))
    except OverflowError:
        return
    if (local.utcoffset() or AT - AT).total_seconds() % 60:
        return  # local mean time, of the 19th century
    found = written([aware], pa.timestamp("us", "UTC"), timestamp_format=pattern, time_zone=zone)
    assert found == [TimestampPattern.parse(pattern).write(local)]


def test_a_column_that_has_no_text_is_refused_by_its_name() -> None:
    schema = pa.schema([("ok", pa.int64()), ("takes", pa.duration("s"))])
    with pytest.raises(RefusedError, match="column 'takes' of type duration"):
        DelimitedText(FileLayout(), "x", schema)
    zoneless = pa.schema([("at", pa.timestamp("us"))])
    with pytest.raises(RefusedError, match="column 'at' has no time zone"):
        JsonText(
            FileLayout.model_validate({"format": "jsonl", "timestamp_format": "yyyyXXX"}), zoneless
        )
    with pytest.raises(RefusedError, match="outside the years 0 to 9999"):
        written([253402300800000000], pa.timestamp("us"))


# --------------------------------------------------------------------------- delimited

TABLE = pa.RecordBatch.from_pydict(
    {"a": [1, None, 3], 'b,"x': ["x", 'a,"b"\nc', None], "c": ["", None, "NULL"]}
)


def whole(batch: pa.RecordBatch, **layout: Any) -> str:
    text = DelimitedText(FileLayout.model_validate(layout), "name", batch.schema)
    lines = "".join(text.lines(batch).to_pylist())
    return text.head() + lines + text.foot(batch.num_rows)


def test_a_value_is_quoted_where_it_has_to_be_and_never_else() -> None:
    assert whole(TABLE) == 'a,"b,""x",c\n1,x,""\n,"a,""b""\nc",\n3,,NULL\n'


def test_what_reads_as_null_is_quoted_so_that_it_is_none() -> None:
    found = whole(TABLE, null_value="NULL", header=False)
    assert found == '1,x,\nNULL,"a,""b""\nc",NULL\n3,NULL,"NULL"\n'


def test_every_option_of_lines() -> None:
    layout = {"format": "dat", "escape": "\\", "line_ending": "crlf", "quote": "'"}
    batch = pa.RecordBatch.from_pydict({"a": ["it's | so\\", "plain\\"], "b": [1.5, None]})
    found = whole(batch, **layout, footer="T{rows} {extract_name} {{}}", decimal_separator=",")
    assert found == "a|b\r\n'it\\'s | so\\\\'|1,5\r\nplain\\|\r\nT2 name {}\r\n"


def test_tsv_is_delimited_by_tabs() -> None:
    batch = pa.RecordBatch.from_pydict({"a": ["x\ty", "z"], "b": [1, 2]})
    assert whole(batch, format="tsv") == 'a\tb\n"x\ty"\t1\nz\t2\n'


def test_numbers_that_hold_the_delimiter_are_quoted() -> None:
    batch = pa.RecordBatch.from_pydict({"a": [1.5, 2.0], "b": [1, 2]})
    assert whole(batch, decimal_separator=",", header=False) == '"1,5",1\n2,2\n'


@given(
    st.lists(
        st.tuples(
            st.none() | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")),
            st.none() | st.text("a,;|\"'\r\n\t ", max_size=6),
        ),
        min_size=1,
    ),
    st.sampled_from([",", ";", "|", "\t"]),
    st.sampled_from(["", "NULL", "a"]),
)
def test_text_reads_back_as_it_was(
    rows: list[tuple[str | None, str | None]], delimiter: str, null: str
) -> None:
    batch = pa.RecordBatch.from_pydict(
        {"a": [a for a, _ in rows], "b": [b for _, b in rows], "end": ["x"] * len(rows)},
        schema=pa.schema([("a", pa.string()), ("b", pa.string()), ("end", pa.string())]),
    )
    form = "tsv" if delimiter == "\t" else "csv"
    layout = {"format": form, "delimiter": delimiter, "null_value": null, "header": False}
    found = list(csv.reader(io.StringIO(whole(batch, **layout), newline=""), delimiter=delimiter))
    expected = [[null if v is None else v for v in (a, b, "x")] for a, b in rows]
    assert found == expected


# --------------------------------------------------------------------------- JSON


def json_of(batch: pa.RecordBatch, form: str, **layout: Any) -> str:
    text = JsonText(FileLayout.model_validate({"format": form, **layout}), batch.schema)
    lines = "".join(text.lines(batch).to_pylist())
    return text.head() + lines[text.lead :] + text.foot(batch.num_rows)


def test_json_keeps_what_json_has_words_for() -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "n": [1, None],
            "f": [1.5, math.nan],
            "d": pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)),
            "b": [True, None],
            "at": [AT.replace(tzinfo=UTC), None],
            "list": [[1, 2], None],
        }
    )
    first, second = json_of(batch, "jsonl").splitlines()
    assert first == (
        '{"n":1,"f":1.5,"d":1.50,"b":true,"at":"2025-07-01T10:00:00.12Z","list":[1,2]}'
    )
    assert set(json.loads(second).values()) == {None}


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=("Cs",))), min_size=1))
def test_text_in_json_reads_back_as_it_was(values: list[str | None]) -> None:
    batch = pa.RecordBatch.from_pydict(
        {'k "1"\n': values, "end": [1] * len(values)},
        schema=pa.schema([('k "1"\n', pa.string()), ("end", pa.int64())]),
    )
    expected = [{'k "1"\n': value, "end": 1} for value in values]
    lines = json_of(batch, "jsonl").removesuffix("\n").split("\n")
    assert [json.loads(line) for line in lines] == expected
    assert json.loads(json_of(batch, "json")) == expected
