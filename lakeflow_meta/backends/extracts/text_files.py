"""Lines of text into files: cut where a file is full, encoded, compressed behind our back."""

from __future__ import annotations

import bisect
from typing import Any

import pyarrow as pa

from lakeflow_meta.backends.extracts.batches import cut
from lakeflow_meta.backends.extracts.stores import Store
from lakeflow_meta.backends.extracts.streams import ByteSink, Encoded, InBackground
from lakeflow_meta.extract.file_plan import FilePlan, RowText
from lakeflow_meta.extract.publication import WrittenFile

_UTF8 = frozenset({"utf-8", "utf8", "u8", "cp65001", "us-ascii"})
_ROWS_AHEAD = 100_000
"""As many more rows a footer that counts them may have to tell of."""


class TextFiles:
    """Lines are made here, and encoded, compressed and written behind our back."""

    def __init__(self, plan: FilePlan, schema: pa.Schema, store: Store) -> None:
        self._plan = plan
        self._text: RowText = plan.text(schema)
        self._store = store
        self._part: _TextPart | None = None
        self._parts = 0

    def add(self, batch: pa.RecordBatch) -> None:
        for piece in cut(batch):
            lines = self._text.lines(piece)
            sizes = self._ends(lines)
            start = 0
            while start < len(lines):
                start = self._write(lines, sizes, start)

    def close(self) -> list[WrittenFile]:
        if self._parts == 0:
            self._open()
        self._end_part()
        return self._store.finish()

    def abandon(self) -> None:
        if self._part is not None:
            self._part.abandon()
        self._store.abandon()

    def _write(self, lines: pa.Array, ends: Any, start: int) -> int:
        """Lines into the part, as many as it takes; where to go on."""
        part = self._part or self._open()
        stop = min(len(lines), start + part.rows_left)
        if self._plan.layout.max_bytes_per_file is not None:
            stop = min(stop, bisect.bisect_right(ends, ends[start] + part.bytes_left) - 1)
            if stop <= start and part.rows == 0:
                stop = start + 1  # a line that is longer than a file may be has one for itself
        if stop <= start:
            self._end_part()
            return start
        part.write(lines, start, stop, ends[stop] - ends[start])
        return stop

    def _ends(self, lines: pa.Array) -> Any:
        """Where lines begin and end, in bytes of the file: one number more than lines."""
        if self._plan.layout.max_bytes_per_file is None or not _is_wide(self._plan.encoding):
            return _offsets(lines)
        ends = [0]
        for line in lines.to_pylist():
            ends.append(ends[-1] + _size(line, self._plan.encoding))
        return ends

    def _open(self) -> _TextPart:
        self._parts += 1
        self._part = _TextPart(self._plan, self._text, self._store.open(self._parts))
        return self._part

    def _end_part(self) -> None:
        if self._part is not None:
            self._part.finish()
            self._store.close(self._parts, self._part.rows, self._part.content_bytes)
            self._part = None


def _is_wide(encoding: str) -> bool:
    """Whether a line may have more bytes than it has in UTF-8."""
    return _size("x", encoding) > 1


def _size(text: str, encoding: str) -> int:
    """Bytes of a text, without the mark that some encodings begin a file with."""
    return len(text.encode(encoding)) - len("".encode(encoding))


def _offsets(lines: pa.Array) -> Any:
    data = memoryview(lines.buffers()[1]).cast("B")
    if pa.types.is_large_string(lines.type):
        return data.cast("q")[lines.offset :]
    return data.cast("i")[lines.offset :]


class _TextPart:
    """One file of text. ``size`` is at least what it has in the end, before compression."""

    def __init__(self, plan: FilePlan, text: RowText, sink: ByteSink) -> None:
        self.rows = 0
        self.size = len("".encode(plan.encoding))
        self._text = text
        self._encoding = plan.encoding
        self._encoded: Encoded | None = None
        if plan.encoding.lower() not in _UTF8:
            sink = self._encoded = Encoded(sink, plan.encoding)
        self._max_rows = plan.layout.max_rows_per_file
        self._max_bytes = plan.layout.max_bytes_per_file
        self._lead = text.lead
        self._work = InBackground(sink.write, f"write {plan.extract.extract_name}")
        self._words(text.head())

    @property
    def content_bytes(self) -> int:
        """What the file holds, once it is finished."""
        return self.size if self._encoded is None else self._encoded.size_bytes

    @property
    def rows_left(self) -> int:
        return 2**63 if self._max_rows is None else self._max_rows - self.rows

    @property
    def bytes_left(self) -> int:
        """For lines: the end of the file needs its own, which may tell how many rows there are."""
        if self._max_bytes is None:
            return 2**63
        longest = self._text.foot(10 * max(self.rows, _ROWS_AHEAD))
        return self._max_bytes - self.size - _size(longest, self._encoding)

    def write(self, lines: pa.Array, start: int, stop: int, size: int) -> None:
        ends = _offsets(lines)
        data = memoryview(lines.buffers()[2]).cast("B")[ends[start] + self._lead : ends[stop]]
        self.rows += stop - start
        self.size += size - self._lead
        self._lead = 0
        self._work.put(data)

    def finish(self) -> None:
        self._words(self._text.foot(self.rows))
        self._work.finish()
        if self._encoded is not None:
            self._encoded.close()

    def abandon(self) -> None:
        self._work.abandon()

    def _words(self, text: str) -> None:
        if text:
            self.size += _size(text, self._encoding)
            self._work.put(memoryview(text.encode()))
