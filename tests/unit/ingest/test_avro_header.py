"""The columns that an Avro file tells in its header."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.backends.spark_ingest.avro_header import AvroHeaderError, read_avro_fields
from lakeflow_meta.backends.spark_ingest.file_columns import (
    ColumnsUnreadableError,
    told_columns,
)
from lakeflow_meta.ingest.formats import FileFormat


def zigzag(value: int) -> bytes:
    number, made = (value << 1) ^ (value >> 63), b""
    while number > 127:
        made += bytes([number & 127 | 128])
        number >>= 7
    return made + bytes([number])


def header(schema: Any, *, sized: bool = False) -> bytes:
    entries = {"avro.codec": b"null", "avro.schema": json.dumps(schema).encode()}
    body = b"".join(
        zigzag(len(name)) + name.encode() + zigzag(len(value)) + value
        for name, value in entries.items()
    )
    count = zigzag(-len(entries)) + zigzag(len(body)) if sized else zigzag(len(entries))
    return b"Obj\x01" + count + body + zigzag(0) + b"sync" * 4


def record(*fields: tuple[str, Any]) -> dict[str, Any]:
    return {
        "type": "record",
        "name": "r",
        "fields": [{"name": name, "type": kind} for name, kind in fields],
    }


@given(st.lists(st.tuples(st.text(min_size=1), st.sampled_from(["int", "string"])), max_size=9))
def test_any_record_is_read_back(fields: list[tuple[str, str]]) -> None:
    for sized in (False, True):
        data = header(record(*fields), sized=sized)
        assert read_avro_fields(io.BytesIO(data)) == fields


@pytest.mark.parametrize("data", [b"", b"id,name\n", header(record(("a", "int")))[:40]])
def test_what_is_no_avro_file_or_torn_is_told(data: bytes) -> None:
    with pytest.raises(AvroHeaderError):
        read_avro_fields(io.BytesIO(data))


def test_values_that_are_no_records_are_refused() -> None:
    with pytest.raises(AvroHeaderError, match="does not hold records"):
        read_avro_fields(io.BytesIO(header("string")))


def test_names_that_are_one_to_spark_are_refused() -> None:
    data = io.BytesIO(header(record(("id", "int"), ("ID", "int"))))
    with pytest.raises(ColumnsUnreadableError, match="'ID' twice"):
        told_columns(data, ".avro", FileFormat.AVRO, {})
