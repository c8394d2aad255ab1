"""Rows as lines of delimited text: csv, tsv, dat. Pure; whole columns at a time.

A value is put in quotes where it holds the delimiter, the quote, a line break, or reads as the text
that stands for NULL; never else. So NULL and an empty text are told apart. These are the rules of
PostgreSQL's COPY: https://www.postgresql.org/docs/current/sql-copy.html
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from lakeflow_meta.extract.config import Delimited, FileLayout
from lakeflow_meta.extract.text_values import ValueStyle, check_columns, holds, is_text, texts


class DelimitedText:
    """The text of files with these columns. Raises RefusedError for a column without a text."""

    lead = 0
    """Characters of the first line of a file that are left out."""

    def __init__(self, file: FileLayout, extract_name: str, schema: pa.Schema) -> None:
        self._layout: Delimited = file.delimited()
        self._style = ValueStyle.of(file)
        self._extract_name = extract_name
        self._names = pa.array(schema.names, pa.string())
        check_columns(schema, self._style)
        layout = self._layout
        self._special = (layout.delimiter, layout.quote, "\n", "\r")
        self._special_bytes = tuple(letter.encode() for letter in self._special)

    def head(self) -> str:
        """What a file begins with: the names of the columns, where there is a header."""
        if not self._layout.header:
            return ""
        names = self._quoted(self._names, is_text=True).to_pylist()
        return self._layout.delimiter.join(names) + self._layout.line_ending

    def foot(self, rows: int) -> str:
        """What a file with so many rows ends with."""
        if self._layout.footer is None:
            return ""
        footer = self._layout.footer.format(rows=rows, extract_name=self._extract_name)
        return footer + self._layout.line_ending

    def lines(self, batch: pa.RecordBatch) -> pa.Array:
        """Each row as a line with its end."""
        layout = self._layout
        columns = [self._column(column) for column in batch.columns]
        columns[-1] = pc.binary_join_element_wise(columns[-1], layout.line_ending, "")
        if len(columns) == 1:
            return columns[0]
        return pc.binary_join_element_wise(*columns, layout.delimiter)

    def _column(self, column: pa.Array) -> pa.Array:
        written = self._quoted(texts(column, self._style), is_text=is_text(column.type))
        if written.null_count == 0:
            return written
        return pc.fill_null(written, self._layout.null_value)

    def _quoted(self, written: pa.Array, *, is_text: bool) -> pa.Array:
        mask = self._to_be_quoted(written, is_text=is_text)
        if mask is None:
            return written
        quote, escape = self._layout.quote, self._layout.escape
        chosen = written.filter(mask)
        if escape != quote:
            chosen = pc.replace_substring(chosen, escape, escape * 2)
        chosen = pc.replace_substring(chosen, quote, escape + quote)
        chosen = pc.binary_join_element_wise(quote, chosen, quote, "")
        return pc.replace_with_mask(written, mask, chosen)

    def _to_be_quoted(self, written: pa.Array, *, is_text: bool) -> pa.Array | None:
        """Which values; None where none. Most columns are told by one look at all their bytes."""
        found = []
        if holds(written, self._special_bytes):
            found = [pc.match_substring(written, letter) for letter in self._special]
        if self._layout.null_value or is_text:
            found.append(pc.equal(written, self._layout.null_value))
        mask = None
        for each in found:
            mask = each if mask is None else pc.or_(mask, each)
        if mask is None or not pc.any(mask).as_py():
            return None
        return pc.fill_null(mask, False)
