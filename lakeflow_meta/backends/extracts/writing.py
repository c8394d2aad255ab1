"""All rows of a run into its files. Memory holds a few batches."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from lakeflow_meta.backends.extracts.parquet_files import ParquetFiles
from lakeflow_meta.backends.extracts.stores import OneArchive, SeparateFiles
from lakeflow_meta.backends.extracts.text_files import TextFiles
from lakeflow_meta.errors import BackendError
from lakeflow_meta.extract.file_plan import FilePlan
from lakeflow_meta.extract.publication import WrittenFile
from lakeflow_meta.extract.words import CompressionType, OutputFormat, RefusedError


def write_files(
    folder: Path, plan: FilePlan, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> list[WrittenFile]:
    """Write every row; at least one file, also of no rows. Raises BackendError.

    What was written before an error is left for whoever clears the folder.
    """
    writer = _writer(folder, plan, schema)
    try:
        for batch in batches:
            writer.add(batch)
        return writer.close()
    except (OSError, pa.ArrowException, UnicodeError, RefusedError, OverflowError) as error:
        raise BackendError(_said(error, plan), code=type(error).__name__) from error
    finally:
        writer.abandon()


def _said(error: Exception, plan: FilePlan) -> str:
    match error:
        case OSError():
            return f"the file cannot be written: {error.strerror or error}"
        case UnicodeEncodeError():
            letter = error.object[error.start]
            return f"{letter!r} cannot be written in {plan.encoding}: choose another encoding"
        case RefusedError():
            return f"{error} ({error.hint})" if error.hint else str(error)
        case _:
            return str(error).splitlines()[0]


class RowWriter(Protocol):
    """Takes batches in order."""

    def add(self, batch: pa.RecordBatch) -> None:
        """Write the rows of a batch."""

    def close(self) -> list[WrittenFile]:
        """Finish the last file; what all of them are."""

    def abandon(self) -> None:
        """Let go of everything; after `close` there is nothing left to let go of."""


def _writer(folder: Path, plan: FilePlan, schema: pa.Schema) -> RowWriter:
    if plan.layout.format is OutputFormat.PARQUET:
        return ParquetFiles(folder, plan, schema)
    if plan.compression is CompressionType.ZIP and plan.names.archive is not None:
        return TextFiles(plan, schema, OneArchive(folder, plan))
    return TextFiles(plan, schema, SeparateFiles(folder, plan))
