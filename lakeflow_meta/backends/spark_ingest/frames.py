"""Files as a DataFrame with the columns of their table: read by name, cast strictly.

Nothing turns into NULL silently: parsing fails at the first record that does not fit
(``FAILFAST``), values that a cast would change or lose are errors, and so are columns that the
table does not have. Columns that a file does not have are left to the table: NULL, or its default.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from lakeflow_meta.backends.spark_ingest.columns import TableShape, conformed
from lakeflow_meta.backends.spark_ingest.file_columns import (
    ColumnsUnreadableError,
    FileColumns,
    read_columns,
)
from lakeflow_meta.backends.spark_ingest.reading import (
    FileReader,
    nullable_field,
    reader_options,
)
from lakeflow_meta.errors import BackendError
from lakeflow_meta.ingest.batch import BadFilesError, Batch
from lakeflow_meta.ingest.files import FoundFile
from lakeflow_meta.ingest.formats import FileFormat
from lakeflow_meta.paths import PathMap

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructField

_PLAIN = re.compile(r"[A-Za-z0-9/._~-]*")
_GLOB = re.compile(r"([\\*?\[\]{}])")
_STRICT = {"mode": "FAILFAST", "ignoreCorruptFiles": "false", "ignoreMissingFiles": "false"}
_MADE_BY_THE_TABLE = ("CURRENT_DEFAULT", "delta.generationExpression", "delta.identity.start")


class FileFrames:
    """Reads the files of a batch."""

    def __init__(self, session: Callable[[], SparkSession], paths: PathMap) -> None:
        self._paths = paths
        self._reader = FileReader(session, paths)

    def read(self, batch: Batch, shape: TableShape | None) -> DataFrame:
        """The rows of the batch's files in the columns of the table, and each file's URI.

        The URI is in ``_source_file``, for `known_path` to make a path of it.
        ``shape`` None: there is no table yet, and the columns are those of the declared schema,
        or inferred. Raises BadFilesError, ColumnsError, and errors of Spark's.
        """
        given = self._given_fields(batch)
        if shape is not None and given is not None:
            _check_known(given, shape, batch)
        wanted = given or (shape.fields if shape is not None else None)
        groups = self._grouped(batch)
        frames: list[DataFrame] = []
        if wanted is None:
            largest = max(groups, key=lambda told: (told is not None, len(groups[told])))
            frames.append(self._reader.load(batch, groups.pop(largest), None))
            wanted = TableShape.of(frames[0].schema).fields
        _check_columns(groups, wanted, batch)
        frames += [
            self._reader.load(batch, files, self._fields(batch, told, wanted))
            for told, files in groups.items()
        ]
        target = shape or TableShape(tuple(wanted), frozenset())
        return reduce(_union, (conformed(frame, target) for frame in frames))

    def _given_fields(self, batch: Batch) -> tuple[StructField, ...] | None:
        from pyspark.sql.types import StructType

        ddl = batch.source.source_config.ddl
        return None if ddl is None else tuple(StructType.fromDDL(ddl).fields)

    def _fields(
        self, batch: Batch, told: FileColumns | None, wanted: Sequence[StructField]
    ) -> Sequence[StructField] | None:
        """The columns to read a group with; None where the files know better."""
        match batch.source.file_format:
            case FileFormat.CSV if told is not None:
                by_name = {field.name.lower(): field for field in wanted}
                return [nullable_field(by_name[name.lower()], name) for name, _ in told]
            case FileFormat.TEXT | FileFormat.PARQUET | FileFormat.ORC | FileFormat.AVRO:
                return None
            case _:
                return wanted

    def _grouped(self, batch: Batch) -> dict[FileColumns | None, list[FoundFile]]:
        """Files by the columns that they tell. Raises BadFilesError with all that tell nonsense."""
        options = {name.lower(): value for name, value in reader_options(batch).items()}
        file_format = batch.source.file_format
        groups: dict[FileColumns | None, list[FoundFile]] = defaultdict(list)
        bad: dict[str, str] = {}
        for file in batch.files:
            try:
                path = Path(self._paths.physical(file.path))
                groups[read_columns(path, file_format, options)].append(file)
            except ColumnsUnreadableError as error:
                bad[file.path] = str(error)
            except OSError as error:
                bad[file.path] = f"it cannot be read: {error.strerror or error}"
        if bad:
            raise BadFilesError(bad)
        return groups


def _union(left: DataFrame, right: DataFrame) -> DataFrame:
    return left.unionByName(right, allowMissingColumns=True)


def _check_columns(
    groups: Mapping[FileColumns | None, Sequence[FoundFile]],
    wanted: Sequence[StructField],
    batch: Batch,
) -> None:
    """Raises BadFilesError with every file that has columns which nobody expects."""
    known = {field.name.lower() for field in wanted}
    bad = {}
    for told, files in groups.items():
        extra = [name for name, _ in told or () if name.lower() not in known]
        if extra:
            reason = _unknown_columns(extra, batch)
            bad.update(dict.fromkeys((file.path for file in files), reason))
    if bad:
        raise BadFilesError(bad)


def _unknown_columns(names: Sequence[str], batch: Batch) -> str:
    quoted = ", ".join(repr(name) for name in names)
    noun = "column" if len(names) == 1 else "columns"
    return f"{noun} {quoted} unknown to {batch.source.target}"


def _check_known(fields: Sequence[StructField], shape: TableShape, batch: Batch) -> None:
    """A declared schema has to fit its table, whatever the files hold. Raises BackendError."""
    known = {field.name.lower() for field in shape.fields}
    extra = [field.name for field in fields if field.name.lower() not in known]
    if extra:
        raise BackendError(
            f"{batch.source.name}: schema: {_unknown_columns(extra, batch)}", code="SCHEMA_MISMATCH"
        )
