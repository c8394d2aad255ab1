"""Spark's readers on the files of a batch. Strict: parsing fails at the first record that does
not fit (``FAILFAST``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lakeflow_meta.backends.spark_ingest.bundles import numbering
from lakeflow_meta.backends.spark_ingest.links import LinkFolder, LinkFolders
from lakeflow_meta.backends.spark_ingest.source_paths import source_path
from lakeflow_meta.ingest.batch import METADATA_COLUMNS, SOURCE_FILE, BadFilesError, Batch
from lakeflow_meta.ingest.files import FoundFile, table_version
from lakeflow_meta.ingest.formats import FileFormat
from lakeflow_meta.paths import PathMap, is_uri
from lakeflow_meta.sql import ident

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import StructField

_GLOB = re.compile(r"([\\*?\[\]{}])")
_STRICT = {"mode": "FAILFAST", "ignoreCorruptFiles": "false", "ignoreMissingFiles": "false"}


class FileReader:
    """Reads files as they are, in given columns or those that Spark finds.

    ``links``: where Spark runs on this machine; then files of this machine are read through them,
    in a tenth of the time to plan, and under any name; small ones as one. Elsewhere Spark is given
    their list.
    """

    def __init__(
        self,
        session: Callable[[], SparkSession],
        paths: PathMap,
        links: LinkFolders | None = None,
    ) -> None:
        self._session = session
        self._paths = paths
        self._links = links

    def load(
        self,
        batch: Batch,
        files: Sequence[FoundFile],
        fields: Sequence[StructField] | None,
        options: Mapping[str, str] | None = None,
    ) -> DataFrame:
        """The rows of the files, and the path of each row's file in ``_source_file``.

        Columns of the files that are named like ours are left out. ``options``: besides those of
        the source, and before them.
        """
        from pyspark.sql.types import IntegerType, StructField, StructType

        if batch.source.file_format is FileFormat.DELTA:
            (version,) = files  # of one table, the newest one
            return self._table_version(version)
        given = {**reader_options(batch), **(options or {})}
        known = [file.path for file in files]
        places = [self._paths.physical(path) for path in known]
        folder = self._folder(batch, places, given)
        numbers = None if folder is None else folder.numbers
        reader = self._session().read.format(batch.source.file_format.spark_name).options(**given)
        if fields is not None:
            own = [nullable_field(field, field.name) for field in fields]
            if numbers is not None:
                own.insert(0, StructField(numbers, IntegerType()))
                reader = reader.option("columnPruning", "false")  # else CSV lines of any length fit
            reader = reader.schema(StructType(own)).option("enforceSchema", "false")
        if folder is None:
            frame = reader.load([_escaped(place) for place in places])
        else:
            frame = reader.load(_escaped(str(folder.path)))
            _check_there(dict(zip(places, known, strict=True)), folder.broken())
        path = source_path(frame, known, self._paths, folder)
        return frame.select(*_own(frame, numbers), path.alias(SOURCE_FILE))

    def _folder(
        self, batch: Batch, places: Sequence[str], options: Mapping[str, str]
    ) -> LinkFolder | None:
        """What is read in place of the files; None where they are read by their own names."""
        if self._links is None or self._by_name(batch):
            return None
        kept = reader_options(batch)["mode"].upper() != _STRICT["mode"]  # broken records, as text
        named = {name.lower(): value for name, value in options.items()}
        bundled = None if kept else numbering(batch.source.file_format, named)
        return self._links.folder(places, bundled)

    def _by_name(self, batch: Batch) -> bool:
        """Whether files are read by their own names: a transform may ask for them
        (``input_file_name()``), and other storage has no links.
        """
        return transforms(batch) or any(map(is_uri, batch.paths))

    def _table_version(self, file: FoundFile) -> DataFrame:
        """The rows of a Delta table as it was at the version that the path names."""
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        table, version = table_version(file.path) or (file.path, 0)
        reader = self._session().read.format("delta").option("versionAsOf", version)
        frame = reader.load(self._paths.physical(table))
        return frame.select(*_own(frame), F.lit(file.path).alias(SOURCE_FILE))


def transforms(batch: Batch) -> bool:
    """Whether the rows go through a function of the user's."""
    source = batch.source
    return source.transform_fn is not None or source.source_config.transform is not None


def _check_there(known: Mapping[str, str], broken: Sequence[str]) -> None:
    """Spark lists a link that leads nowhere as no file at all, without a word.

    It listed the folder just now, so what is there has been there. ``known``: the path that the
    ledger knows, by place. Raises BadFilesError.
    """
    if broken:
        raise BadFilesError({known[place]: "it is gone" for place in broken})


def _escaped(path: str) -> str:
    """A path that Spark takes for itself, and not for a pattern."""
    return _GLOB.sub(r"\\\1", path)


def _own(frame: DataFrame, numbers: str | None = None) -> list[Column | str]:
    """The columns of the files, without those that are named like ours, and ``numbers``."""
    names = frame.columns
    kept = [name for name in names if name.lower() not in METADATA_COLUMNS and name != numbers]
    return ["*"] if len(kept) == len(names) else [frame[ident(name)] for name in kept]


def reader_options(batch: Batch) -> dict[str, str]:
    """Reader options as text; what people wrote wins over the defaults, whatever its case."""
    config = batch.source.source_config
    defaults = dict(_STRICT)
    if batch.source.file_format is FileFormat.CSV:
        defaults |= {"header": "true", "inferSchema": "true"}
    given = {name: _text(value) for name, value in config.options.items()}
    known = {name.lower(): name for name in defaults}
    return defaults | {known.get(name.lower(), name): value for name, value in given.items()}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def nullable_field(field: StructField, name: str) -> StructField:
    """A field to read with: NULL is allowed (the table decides), and lengths are not checked."""
    from pyspark.sql.types import StructField

    return StructField(name, field.dataType, nullable=True)
