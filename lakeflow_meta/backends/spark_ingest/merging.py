"""What a merge is given: one row a key, from files whose keys make sense.

Two passes: the first counts rows by file and finds files that cannot be merged, before anything is
written; the second is the MERGE itself, whose source holds only rows that change the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any

from lakeflow_meta.backends.spark_ingest.columns import ColumnsError
from lakeflow_meta.errors import BackendError
from lakeflow_meta.ingest.batch import SOURCE_FILE, BadFilesError, Batch
from lakeflow_meta.sql import ident

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_RANK = "_lakeflow_rank"
_ROW = "_lakeflow_row"
_MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Counted:
    """Rows by file."""

    by_path: Mapping[str, int]

    def of(self, batch: Batch) -> dict[str, int]:
        """Rows of every file of the batch; files of no rows too."""
        return {path: self.by_path.get(path, 0) for path in batch.paths}


class MergeRows:
    """The rows of a batch on their way into a merge. ``frame``: as they would be appended."""

    def __init__(self, frame: DataFrame, batch: Batch) -> None:
        self._frame = frame
        self._batch = batch
        self.keys = [self._name(key) for key in batch.source.target_config.keys]
        sequence = batch.source.target_config.sequence_by
        self.sequence = None if sequence is None else self._name(sequence)

    def _name(self, wanted: str) -> str:
        """The column's name as the frame spells it. Raises ColumnsError."""
        for name in self._frame.columns:
            if name.lower() == wanted.lower() and name != SOURCE_FILE:
                return str(name)
        raise ColumnsError(f"column {wanted}, which merging needs, is missing", code="NO_KEY")

    # --- the first pass

    def counted(self) -> Counted:
        """Rows by file. Raises BadFilesError with every file whose keys make no sense."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        told = self._frame.select(
            F.col(ident(SOURCE_FILE)).alias("file"),
            F.struct(*(self._frame[ident(name)] for name in self._ordering)).alias("key"),
            self._missing.alias("missing"),
            self._fingerprint.alias("print"),
        )
        by_key = told.groupBy("file", "key").agg(
            F.count(F.lit(1)).alias("n"),
            F.max("missing").alias("missing"),
            (F.min("print") != F.max("print")).alias("differ"),
        )
        by_file = by_key.groupBy("file").agg(
            F.sum("n").alias("n"),
            F.max("missing").alias("missing"),
            F.min(F.when(F.col("differ"), F.to_json("key"))).alias("differ"),
        )
        rows = by_file.collect()
        self._refuse({row["file"]: why for row in rows if (why := self._why(row))})
        return Counted({row["file"]: row["n"] for row in rows})

    @property
    def _ordering(self) -> list[str]:
        return [*self.keys, *([self.sequence] if self.sequence else [])]

    @property
    def _missing(self) -> Column:
        """The first of the key columns that is NULL in a row; NULL where none is."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        tests = [F.when(self._frame[ident(name)].isNull(), F.lit(name)) for name in self._ordering]
        return F.coalesce(*tests)

    @property
    def _fingerprint(self) -> Column:
        """A hash of all columns: it also makes Spark read, and so check, every one of them."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        values = [_comparable(self._frame, name) for name in _data_columns(self._frame)]
        return F.xxhash64(*values)

    def _why(self, row: Any) -> str:
        if row["missing"] is not None:
            noun = "a key" if row["missing"] in self.keys else "sequence_by"
            return f"column {row['missing']}, {noun}, is NULL"
        if row["differ"] is None:
            return ""
        shown = row["differ"][:_MOST_SHOWN]
        if self.sequence is None:
            return f"rows of one key differ, and no sequence_by tells which is newer: {shown}"
        return f"rows of one key and one {self.sequence} differ: {shown}"

    def _refuse(self, reasons: Mapping[str, str]) -> None:
        if reasons:
            raise BadFilesError(reasons)

    # --- the second pass

    def winners(self, counted: Counted, session: SparkSession) -> DataFrame:
        """One row a key: of the highest sequence, then of the newest file."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        frame = self._ranked(counted, session)
        others = [name for name in self._frame.columns if name not in self.keys]
        row = F.struct(*(frame[ident(name)] for name in others))
        order = [name for name in (self.sequence, _RANK) if name and name in frame.columns]
        best = F.any_value(row)
        if order:
            best = F.max_by(row, F.struct(*(frame[ident(name)] for name in order)))
        grouped = frame.groupBy(*(frame[ident(key)] for key in self.keys)).agg(best.alias(_ROW))
        of_row = [F.col(f"{_ROW}.{ident(name)}").alias(name) for name in others]
        made = grouped.select(*(grouped[ident(key)] for key in self.keys), *of_row)
        return made.select(*(made[ident(name)] for name in self._frame.columns))

    def _ranked(self, counted: Counted, session: SparkSession) -> DataFrame:
        """The rows with the place of their file among the others by age."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        if len(counted.by_path) < 2:
            return self._frame
        files = [file for file in self._batch.files if file.path in counted.by_path]
        ordered = sorted(files, key=lambda file: (file.modified_at, file.path))
        ranks = session.createDataFrame(
            [(file.path, rank) for rank, file in enumerate(ordered)],
            f"_lakeflow_path STRING, {_RANK} INT",
        )
        same = self._frame[ident(SOURCE_FILE)] == ranks["_lakeflow_path"]
        return self._frame.join(F.broadcast(ranks), same, "inner").drop("_lakeflow_path")

    def changes(self, rows: DataFrame, target: DataFrame) -> DataFrame:
        """Rows that are new to the table, or differ from what it has under their key.

        Delta copies every file in which a row matches, also where nothing differs (measured).
        """
        own = {name.lower(): name for name in target.columns}
        if any(key.lower() not in own for key in self._ordering):
            missing = [key for key in self._ordering if key.lower() not in own]
            raise BackendError(
                f"{self._batch.source.target} has no column {', '.join(missing)}, which merging"
                " needs",
                code="NO_KEY",
            )
        s, t = rows.alias("s"), target.alias("t")
        same_key = reduce(and_, (s[ident(k)] == t[ident(own[k.lower()])] for k in self.keys))
        return s.join(t, same_key & self._stands(s, t, own), "left_anti")

    def _stands(self, s: DataFrame, t: DataFrame, own: Mapping[str, str]) -> Column:
        """Whether the table's row stays: it is the same, or a newer one."""
        names = [name for name in _data_columns(s) if name not in self.keys]
        if any(name.lower() not in own for name in names):
            return self._newer(s, t, own)
        pairs = [(_comparable(s, n), _comparable(t, own[n.lower()])) for n in names]
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        same = reduce(and_, (one.eqNullSafe(other) for one, other in pairs), F.lit(True))
        return same | self._newer(s, t, own)

    def _newer(self, s: DataFrame, t: DataFrame, own: Mapping[str, str]) -> Column:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        if self.sequence is None:
            return F.lit(False)
        theirs = t[ident(own[self.sequence.lower()])]
        return F.coalesce(theirs > s[ident(self.sequence)], F.lit(False))


def _data_columns(frame: DataFrame) -> list[str]:
    return [name for name in frame.columns if name != SOURCE_FILE and name != _RANK]


def _comparable(frame: DataFrame, name: str) -> Column:
    """A column, or its JSON where values of its type cannot be compared."""
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

    column = frame[ident(name)]
    text = frame.schema[name].dataType.simpleString()
    if "map<" in text or "variant" in text:
        return F.to_json(F.struct(column.alias("v")))
    return column
