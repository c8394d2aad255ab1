"""Columns that a file has from the folders it lies in, as expressions on its path.

One read serves all files of a batch, in however many folders they lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakeflow_meta.backends.spark_ingest.misfits import raised
from lakeflow_meta.backends.spark_ingest.strict_cast import StrictCast
from lakeflow_meta.ingest.batch import SOURCE_FILE, BadFilesError, Batch
from lakeflow_meta.ingest.partition_values import NULL_FOLDER, partition_faults, spellings
from lakeflow_meta.sql import ident

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


@dataclass(frozen=True, slots=True)
class Partitions:
    """The partition columns of one batch."""

    batch: Batch

    @property
    def columns(self) -> Sequence[str]:
        """Their names."""
        return self.batch.source.source_config.partition_columns or ()

    def check(self) -> None:
        """Raises BadFilesError with every file whose path does not tell all of them."""
        faults = partition_faults(self.batch.paths, self.columns)
        if faults:
            raise BadFilesError(faults)

    def added(self, frame: DataFrame) -> DataFrame:
        """The frame with them, as text; NULL for Hive's word for it.

        Where a file has such a column itself, it has to say the same as its path, or nothing.
        """
        if not self.columns:
            return frame
        path = frame[ident(SOURCE_FILE)]
        spelled = spellings(self.batch.paths, self.columns)
        values = {name: _value(path, spelled[name]) for name in self.columns}
        ours = {name.lower() for name in self.columns}
        own = {name.lower(): name for name in frame.columns}
        others = [frame[ident(name)] for name in frame.columns if name.lower() not in ours]
        made = [
            (self._agreed(frame, own[name.lower()], value) if name.lower() in own else value)
            for name, value in values.items()
        ]
        return frame.select(
            *others, *(column.alias(name) for name, column in zip(values, made, strict=True))
        )

    def _agreed(self, frame: DataFrame, name: str, value: Column) -> Column:
        """The value of the path; an error where the file's own is another."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage
        from pyspark.sql.types import StringType

        column, kind = frame[ident(name)], frame.schema[name].dataType
        typed = StrictCast().fit(value, StringType(), kind).value
        message = F.concat(
            F.lit(f"column {name}: "),
            column.cast("string"),
            F.lit(" in the file, "),
            F.coalesce(value, F.lit("NULL")),
            F.lit(" in its path"),
        )
        differs = column.isNotNull() & ~column.eqNullSafe(typed)
        return F.when(differs, raised(frame[ident(SOURCE_FILE)], message)).otherwise(value)


def _value(path: Column, names: Sequence[str]) -> Column:
    """What the folder of one of these spellings says."""
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

    file = F.substring_index(path, "/", -1)
    folder = F.substr(path, F.lit(1), F.length(path) - F.length(file))
    found = [
        F.when(
            F.instr(folder, f"/{name}=") > 0,
            F.substring_index(F.substring_index(folder, f"/{name}=", -1), "/", 1),
        )
        for name in names
    ]
    text = F.coalesce(*found)
    plain = F.try_url_decode(F.replace(text, F.lit("+"), F.lit("%2B")))
    decoded = F.when(F.contains(text, F.lit("%")), F.coalesce(plain, text)).otherwise(text)
    return F.when(text != NULL_FOLDER, decoded)
