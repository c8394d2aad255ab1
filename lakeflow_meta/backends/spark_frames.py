"""Files as a DataFrame with the columns of their table: read by name, cast strictly.

Nothing turns into NULL silently: parsing fails at the first record that does not fit
(``FAILFAST``), values that a cast would change or lose are errors, and so are columns that the
table does not have. Columns that a file does not have are left to the table: NULL, or its default.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from lakeflow_meta.backends.file_columns import ColumnsUnreadableError, FileColumns, read_columns
from lakeflow_meta.errors import BackendError
from lakeflow_meta.ingest.batch import METADATA_COLUMNS, SOURCE_FILE, BadFilesError, Batch
from lakeflow_meta.ingest.files import FoundFile
from lakeflow_meta.ingest.source import FileFormat
from lakeflow_meta.paths import VOLUMES, PathMap, is_in_volumes
from lakeflow_meta.sql import ident

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import StructField, StructType

_PLAIN = re.compile(r"[A-Za-z0-9/._~-]*")
_GLOB = re.compile(r"([\\*?\[\]{}])")
_STRICT = {"mode": "FAILFAST", "ignoreCorruptFiles": "false", "ignoreMissingFiles": "false"}
_MADE_BY_THE_TABLE = ("CURRENT_DEFAULT", "delta.generationExpression", "delta.identity.start")


class ColumnsError(BackendError):
    """The columns of the files and of the table do not go together; some file is to blame."""


@dataclass(frozen=True, slots=True)
class TableShape:
    """Columns of a target that exists, without our metadata columns, and which of those it has."""

    fields: tuple[StructField, ...]
    metadata_columns: frozenset[str]

    @classmethod
    def of(cls, schema: StructType) -> TableShape:
        """Tell the table's own columns from ours."""
        own = tuple(field for field in schema.fields if field.name.lower() not in METADATA_COLUMNS)
        ours = frozenset(METADATA_COLUMNS) & {field.name.lower() for field in schema.fields}
        return cls(own, ours)


class FileFrames:
    """Reads the files of a batch."""

    def __init__(self, session: Callable[[], SparkSession], paths: PathMap) -> None:
        self._session = session
        self._paths = paths

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
            frames.append(self._load(batch, groups.pop(largest), None))
            wanted = TableShape.of(frames[0].schema).fields
        _check_columns(groups, wanted, batch)
        frames += [
            self._load(batch, files, self._fields(batch, told, wanted))
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
                return [_renamed(by_name[name.lower()], name) for name, _ in told]
            case FileFormat.TEXT | FileFormat.PARQUET | FileFormat.ORC | FileFormat.AVRO:
                return None
            case _:
                return wanted

    def _grouped(self, batch: Batch) -> dict[FileColumns | None, list[FoundFile]]:
        """Files by the columns that they tell. Raises BadFilesError with all that tell nonsense."""
        options = {name.lower(): value for name, value in _options(batch).items()}
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

    # --- reading

    def _load(
        self,
        batch: Batch,
        files: Sequence[FoundFile],
        fields: Sequence[StructField] | None,
    ) -> DataFrame:
        from pyspark.sql.types import StructType

        reader = self._session().read.format(batch.source.file_format.spark_name)
        reader = reader.options(**_options(batch))
        if fields is not None:
            reader = reader.schema(StructType([_renamed(field, field.name) for field in fields]))
            reader = reader.option("enforceSchema", "false")
        paths = [_GLOB.sub(r"\\\1", self._paths.physical(file.path)) for file in files]
        frame = reader.load(paths)
        uri = frame.metadataColumn("_metadata").getField("file_path")
        return frame.select("*", uri.alias(SOURCE_FILE))


def known_path(uri: Column, batch: Batch, paths: PathMap) -> Column:
    """The path that the ledger knows, from the URI that Spark gives for every row.

    In a URI a plus sign stands for itself. Decoding costs as much as reading a row, so it is left
    out where no name needs it.
    """
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

    path = F.substring(uri, F.locate("/", uri), F.length(uri))
    physical = [paths.physical(name) for name in batch.paths]
    if not all(_PLAIN.fullmatch(name) for name in physical):
        path = F.url_decode(F.replace(path, F.lit("+"), F.lit("%2B")))
    if paths.volumes is None or not all(is_in_volumes(name) for name in batch.paths):
        return path
    below = F.lit(len(str(paths.volumes)) + 1)
    return F.concat(F.lit(VOLUMES), F.substring(path, below, F.length(path)))


def paths_by_uri(uris: Iterable[str], batch: Batch, paths: PathMap) -> dict[str, str]:
    """The same for a few URIs, here."""
    known = {paths.physical(name): name for name in batch.paths}
    decoded = {uri: unquote(uri[uri.find("/") :]) for uri in uris}
    return {uri: known[path] for uri, path in decoded.items() if path in known}


def _options(batch: Batch) -> dict[str, str]:
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


def _renamed(field: StructField, name: str) -> StructField:
    """A field to read with: NULL is allowed (the table decides), and lengths are not checked."""
    from pyspark.sql.types import StructField

    return StructField(name, field.dataType, nullable=True)


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


# --------------------------------------------------------------------------- the table's columns


def conformed(frame: DataFrame, shape: TableShape) -> DataFrame:
    """The frame in the names, types and order of the table."""
    present = {field.name.lower(): field for field in frame.schema.fields}
    source_file = present.pop(SOURCE_FILE)
    known = {field.name.lower() for field in shape.fields}
    extra = [field.name for name, field in present.items() if name not in known]
    if extra:
        raise ColumnsError(f"the table has no column {', '.join(extra)}", code="EXTRA_COLUMNS")
    columns = []
    for target in shape.fields:
        field = present.get(target.name.lower())
        if field is not None:
            columns.append(_column(frame, field, target))
        elif not target.nullable and not _made_by_the_table(target):
            raise ColumnsError(
                f"column {target.name}, which must not be NULL, is missing", code="MISSING_COLUMNS"
            )
    return frame.select(*columns, frame[source_file.name])


def _made_by_the_table(field: StructField) -> bool:
    return any(key in (field.metadata or {}) for key in _MADE_BY_THE_TABLE)


def _column(frame: DataFrame, field: StructField, target: StructField) -> Column:
    column = _cast(frame[ident(field.name)], field, target)
    if not target.nullable:
        column = _not_null(column, target)
    return column.alias(target.name)


def _not_null(column: Column, target: StructField) -> Column:
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

    message = F.lit(f"column {target.name} must not be NULL")
    return F.when(column.isNull(), F.raise_error(message)).otherwise(column)


def _cast(column: Column, field: StructField, target: StructField) -> Column:
    """The same value in the target's type; a value that would change or be lost is an error."""
    from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage
    from pyspark.sql.types import StringType

    given, wanted = field.dataType, target.dataType
    if given.simpleString() == wanted.simpleString():
        return column
    if _is_nested(given) or _is_nested(wanted):
        raise ColumnsError(
            f"column {target.name} is {given.simpleString()}, not {wanted.simpleString()}",
            code="TYPE_MISMATCH",
        )
    cast = column.try_cast(wanted)
    lost = cast.isNull()
    if not isinstance(given, StringType) and not isinstance(wanted, StringType):
        lost = ~cast.try_cast(given).eqNullSafe(column)
    shown = F.substring(column.cast("string"), 1, 100)
    message = F.concat(
        F.lit(f"column {target.name}: "), shown, F.lit(f" is no {wanted.simpleString()}")
    )
    return F.when(column.isNotNull() & lost, F.raise_error(message)).otherwise(cast)


def _is_nested(data_type: Any) -> bool:
    return data_type.typeName() in ("struct", "array", "map", "variant", "binary")
