"""Rows as JSON: a document a line, or one array of documents. Pure; whole columns at a time.

Numbers are numbers (one that JSON has no word for, as NaN, is null), times are text in ISO 8601
where no pattern says otherwise, bytes are base64. A NULL is written as null, never left out.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakeflow_meta.extract.config import FileLayout
from lakeflow_meta.extract.text_values import ValueStyle, check_columns, texts
from lakeflow_meta.extract.words import OutputFormat

_ESCAPED = re.compile(rb'[\x00-\x1f"\\]')


class JsonText:
    """The text of files with these columns. Raises RefusedError for a column without a text."""

    def __init__(self, file: FileLayout, schema: pa.Schema) -> None:
        self._style = ValueStyle.of(file, of_time="T")
        self._array = file.format is OutputFormat.JSON
        self._keys = [json.dumps(name, ensure_ascii=False) + ":" for name in schema.names]
        check_columns(schema, self._style)

    @property
    def lead(self) -> int:
        """Characters of the first line of a file that are left out: the comma before it."""
        return 1 if self._array else 0

    def head(self) -> str:
        """What a file begins with."""
        return "[" if self._array else ""

    def foot(self, _rows: int) -> str:
        """What a file ends with."""
        return "\n]\n" if self._array else ""

    def lines(self, batch: pa.RecordBatch) -> pa.Array:
        """Each row as a document: with a line break after it, or of an array a comma before."""
        parts: list[Any] = []
        opening = ",\n{" if self._array else "{"
        for key, column in zip(self._keys, batch.columns, strict=True):
            parts += [pa.scalar(opening + key), self._values(column)]
            opening = ","
        parts += [pa.scalar("}" if self._array else "}\n"), ""]
        return pc.binary_join_element_wise(*parts)

    def _values(self, column: pa.Array) -> pa.Array:
        kind = column.type
        if pa.types.is_dictionary(kind):
            return self._values(column.cast(kind.value_type))
        if pa.types.is_floating(kind):
            column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, kind))
        written = texts(column, self._style)
        if not _is_literal(kind):
            written = pc.binary_join_element_wise('"', _escaped(written), '"', "")
        return pc.fill_null(written, "null")


def _is_literal(kind: pa.DataType) -> bool:
    """Whether the text of a value is JSON as it is."""
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_nested(kind)
        or pa.types.is_null(kind)
    )


def _escaped(written: pa.Array) -> pa.Array:
    data = written.buffers()[2]
    if data is None or not _ESCAPED.search(data):
        return written
    for letter in sorted(set(_ESCAPED.findall(data)), key=lambda letter: letter != b"\\"):
        text = letter.decode()
        written = pc.replace_substring(written, text, json.dumps(text)[1:-1])
    return written
