"""Rows into Parquet files, row group by row group, which are written behind our back."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lakeflow_meta.backends.extracts.batches import cut
from lakeflow_meta.backends.extracts.stores import staged_name
from lakeflow_meta.backends.extracts.streams import HashedFile, InBackground
from lakeflow_meta.extract.file_plan import FilePlan
from lakeflow_meta.extract.publication import WrittenFile

_GROUP_ROWS = 65_536
_GROUP_BYTES = 64 * 2**20
"""A row group holds this much at most, as it lies in memory."""
_DICTIONARY_BYTES = 128 * 1024
"""A column whose values differ more is written without a dictionary: its tables would take more
memory than the rows.
"""


class ParquetFiles:
    """Row groups are compressed and written behind our back. A file ends with the row group that
    reaches ``max_bytes_per_file``.
    """

    def __init__(self, folder: Path, plan: FilePlan, schema: pa.Schema) -> None:
        self._folder = folder
        self._plan = plan
        self._schema = schema
        self._part: _ParquetPart | None = None
        self._written: list[WrittenFile] = []

    def add(self, batch: pa.RecordBatch) -> None:
        for piece in cut(batch):
            start = 0
            while start < piece.num_rows:
                part = self._part or self._open()
                taken = piece.slice(start, min(part.rows_left, _GROUP_ROWS))
                part.write(taken)
                start += taken.num_rows
                if part.is_full:
                    self._end_part()

    def close(self) -> list[WrittenFile]:
        if not self._written and self._part is None:
            self._open()
        self._end_part()
        return self._written

    def abandon(self) -> None:
        if self._part is not None:
            self._part.abandon()

    def _open(self) -> _ParquetPart:
        number = len(self._written) + 1
        self._part = _ParquetPart(self._folder / staged_name(number), self._plan, self._schema)
        return self._part

    def _end_part(self) -> None:
        part, number = self._part, len(self._written) + 1
        if part is None:
            return
        part.finish()
        size, name = part.file.size_bytes, self._plan.names.data(number)
        written = WrittenFile(name, staged_name(number), part.rows, size, size, part.file.sha256)
        self._written.append(written)
        self._part = None


class _ParquetPart:
    def __init__(self, path: Path, plan: FilePlan, schema: pa.Schema) -> None:
        self.rows = 0
        self.file = HashedFile(path)
        self._max_rows = plan.layout.max_rows_per_file
        self._max_bytes = plan.layout.max_bytes_per_file
        self._group_bytes = min(_GROUP_BYTES, self._max_bytes or _GROUP_BYTES)
        self._waiting: list[pa.RecordBatch] = []
        self._schema = schema
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self.file, mode="w"),
            schema,
            compression=str(plan.compression or "none"),
            compression_level=plan.level,
            dictionary_pagesize_limit=_DICTIONARY_BYTES,
        )
        self._work: InBackground | None = None
        if self._max_bytes is None:  # else what a group takes must be known before the next
            name = f"write {plan.extract.extract_name}"
            self._work = InBackground(self._write_group, name, ahead=1)

    @property
    def rows_left(self) -> int:
        return 2**63 if self._max_rows is None else self._max_rows - self.rows

    @property
    def is_full(self) -> bool:
        if self.rows_left == 0:
            return True
        if self._max_bytes is None:
            return False
        return not self._waiting and self.file.size_bytes >= self._max_bytes

    def write(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        self._waiting.append(batch)
        rows = sum(each.num_rows for each in self._waiting)
        if rows >= _GROUP_ROWS or sum(each.nbytes for each in self._waiting) >= self._group_bytes:
            self._hand_over()

    def finish(self) -> None:
        self._hand_over()
        if self._work is not None:
            self._work.finish()
        self._writer.close()
        self.file.close()

    def abandon(self) -> None:
        if self._work is not None:
            self._work.abandon()
        if not self.file.closed:
            self.file.abandon()

    def _hand_over(self) -> None:
        if self._waiting:
            rows = pa.Table.from_batches(self._waiting, self._schema)
            self._waiting = []
            (self._write_group if self._work is None else self._work.put)(rows)

    def _write_group(self, rows: pa.Table) -> None:
        self._writer.write_table(rows, row_group_size=max(rows.num_rows, 1))
