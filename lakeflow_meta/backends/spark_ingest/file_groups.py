"""Files of a batch by the columns that they tell: each group is read by itself and by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from lakeflow_meta.backends.spark_ingest.compressed_files import (
    HADOOP_CODECS,
    CompressionError,
    check_suffix,
)
from lakeflow_meta.backends.spark_ingest.file_columns import (
    TELLING,
    ColumnsUnreadableError,
    FileColumns,
    read_columns,
)
from lakeflow_meta.backends.spark_ingest.remote_columns import RemoteColumns
from lakeflow_meta.ingest.batch import BadFilesError, Batch
from lakeflow_meta.ingest.files import FoundFile
from lakeflow_meta.ingest.formats import FileFormat
from lakeflow_meta.paths import PathMap

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True, slots=True)
class FileGroup:
    """Files with the same columns; None: they tell none, or only to Spark."""

    files: tuple[FoundFile, ...]
    columns: FileColumns | None

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of the files."""
        return tuple(file.path for file in self.files)

    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(name for name, _ in self.columns or ())


class FileGroups:
    """Groups files. Those of other storage are asked through Spark."""

    def __init__(self, session: Callable[[], SparkSession], paths: PathMap) -> None:
        self._session = session
        self._paths = paths

    def of(self, batch: Batch, options: Mapping[str, str]) -> list[FileGroup]:
        """Groups, the largest first; files that tell nothing last. ``options``: names in lower
        case. Raises BadFilesError with all files that tell nonsense.
        """
        file_format = batch.source.file_format
        if file_format is FileFormat.DELTA:
            return [FileGroup(batch.files, None)]
        bad: dict[str, str] = {}
        told = dict(self._here(batch, options, bad))
        told |= self._elsewhere(batch, options, bad)
        if bad:
            raise BadFilesError(bad)
        return grouped((file, told[file.path]) for file in batch.files)

    def _here(
        self, batch: Batch, options: Mapping[str, str], bad: dict[str, str]
    ) -> Iterable[tuple[str, FileColumns | None]]:
        for file in batch.files:
            if not self._paths.is_here(file.path):
                continue
            try:
                path = Path(self._paths.physical(file.path))
                yield file.path, read_columns(path, batch.source.file_format, options)
            except ColumnsUnreadableError as error:
                bad[file.path] = str(error)
            except OSError as error:
                bad[file.path] = f"it cannot be read: {error.strerror or error}"

    def _elsewhere(
        self, batch: Batch, options: Mapping[str, str], bad: dict[str, str]
    ) -> Mapping[str, FileColumns | None]:
        file_format = batch.source.file_format
        files = [file for file in batch.files if not self._paths.is_here(file.path)]
        if file_format.textual:
            bad.update(_unchecked(files))
        asked = [file for file in files if file.path not in bad]
        if file_format not in TELLING:
            return dict.fromkeys((file.path for file in asked), None)
        return RemoteColumns(self._session(), file_format, options).of(asked, bad)


def grouped(told: Iterable[tuple[FoundFile, FileColumns | None]]) -> list[FileGroup]:
    """Files by what they tell, the most files first; those that tell nothing last."""
    groups: dict[FileColumns | None, list[FoundFile]] = defaultdict(list)
    for file, columns in told:
        groups[columns].append(file)
    made = [FileGroup(tuple(files), columns) for columns, files in groups.items()]
    return sorted(made, key=lambda group: (group.columns is None, -len(group.files)))


def _unchecked(files: Iterable[FoundFile]) -> Mapping[str, str]:
    """Files of other storage whose compression Spark reads wrongly, or not safely."""
    bad = {}
    for file in files:
        suffix = PurePosixPath(file.path).suffix.lower()
        try:
            check_suffix(suffix)
        except CompressionError as error:
            bad[file.path] = str(error)
        if suffix in HADOOP_CODECS:
            bad[file.path] = (
                f"Spark reads a torn {suffix} as a shorter file, and only files of this machine and"
                " of volumes are checked; pack it as .gz"
            )
    return bad
