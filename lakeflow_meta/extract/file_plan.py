"""How the files of one run are written: names, layout, compression, limits. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from lakeflow_meta.extract.config import Extract, FileLayout
from lakeflow_meta.extract.delimited_text import DelimitedText
from lakeflow_meta.extract.json_text import JsonText
from lakeflow_meta.extract.run_files import RunFiles
from lakeflow_meta.extract.words import CompressionType, OutputFormat, RefusedError


class RowText(Protocol):
    """Rows as text."""

    @property
    def lead(self) -> int:
        """Characters of the first line of a file that are left out."""

    def head(self) -> str:
        """What a file begins with."""

    def foot(self, rows: int, /) -> str:
        """What a file with so many rows ends with."""

    def lines(self, batch: pa.RecordBatch) -> pa.Array:
        """A text for each row, with whatever parts it from the next."""


@dataclass(frozen=True, slots=True)
class FilePlan:
    """Everything that a writer has to know of an extract and its run."""

    extract: Extract
    names: RunFiles

    @property
    def layout(self) -> FileLayout:
        """What is in a file."""
        return self.extract.file

    @property
    def compression(self) -> CompressionType | None:
        """How files are compressed."""
        return self.extract.compression.type if self.extract.compression else None

    @property
    def level(self) -> int | None:
        """The level of it, as the algorithm counts."""
        return self.extract.compression.level_number if self.extract.compression else None

    @property
    def encoding(self) -> str:
        """Of text."""
        return self.layout.encoding or "utf-8"

    def text(self, schema: pa.Schema) -> RowText:
        """How rows of these columns are written. Raises RefusedError."""
        if self.layout.format.delimited:
            return DelimitedText(self.layout, self.extract.extract_name, schema)
        return JsonText(self.layout, schema)

    def check(self, schema: pa.Schema) -> None:
        """Raises RefusedError for columns that cannot be written so."""
        seen: set[str] = set()
        for name in schema.names:
            if name.lower() in seen and not self.layout.format.delimited:
                hint = "name each column once: SELECT a.id AS a_id, …"
                raise RefusedError(f"two columns are called {name!r}", hint)
            seen.add(name.lower())
        if not schema.names:
            raise RefusedError("the rows have no columns", "select at least one")
        if self.layout.format is not OutputFormat.PARQUET:
            self.text(schema)
