"""Batches in pieces of some megabytes, so that texts of them stay small."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

_BATCH_BYTES = 16 * 2**20


def cut(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch in pieces of some megabytes."""
    size = batch.nbytes
    pieces = max(1, -(-size // _BATCH_BYTES))
    step = max(1, -(-batch.num_rows // pieces))
    for start in range(0, batch.num_rows, step):
        yield batch.slice(start, step)
