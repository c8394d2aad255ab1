"""One batch as one frame: its groups of files, each read as it tells its columns, then united."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

from lakeflow_meta.backends.spark import translate
from lakeflow_meta.backends.spark_ingest.columns import (
    ColumnsError,
    Rules,
    TableShape,
    conformed,
    default_of,
)
from lakeflow_meta.backends.spark_ingest.commits import Locate
from lakeflow_meta.backends.spark_ingest.evolution import (
    evolved,
    needs_mapping,
    with_new_fields,
    with_rescued,
)
from lakeflow_meta.backends.spark_ingest.expected import Expected
from lakeflow_meta.backends.spark_ingest.file_groups import FileGroup, FileGroups
from lakeflow_meta.backends.spark_ingest.json_keys import by_spelling
from lakeflow_meta.backends.spark_ingest.made_by_table import TableRules, table_rules
from lakeflow_meta.backends.spark_ingest.partitions import Partitions
from lakeflow_meta.backends.spark_ingest.reading import FileReader, reader_options
from lakeflow_meta.errors import BackendError, LakeflowMetaError
from lakeflow_meta.ingest.batch import SOURCE_FILE, BadFilesError, Batch
from lakeflow_meta.ingest.formats import FileFormat
from lakeflow_meta.ingest.source import SchemaEvolution

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import DataType, StructField

_BROKEN_RECORD = "_lakeflow_broken_record"
_INFERENCE = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": _BROKEN_RECORD}
"""A record that is broken fails the file when it is read: then Spark names the file."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A group that is read. ``fields``: its columns, with the types that its values have."""

    group: FileGroup
    frame: DataFrame
    fields: Sequence[StructField]


class BatchFrame:
    """Reads one batch."""

    def __init__(
        self,
        session: Callable[[], SparkSession],
        reader: FileReader,
        groups: FileGroups,
        batch: Batch,
        locate: Locate,
    ) -> None:
        self._session = session
        self._locate = locate
        self._reader = reader
        self._find_groups = groups
        self._batch = batch
        self._rules = Rules.of(batch)
        self._partitions = Partitions(batch)
        config = batch.source.source_config
        self._existing = False
        transforms = config.transform is not None or batch.source.transform_fn is not None
        fails = config.schema_evolution is SchemaEvolution.FAIL
        self._evolves = not fails or (transforms and config.ddl is None)
        self._options = {name.lower(): text for name, text in reader_options(batch).items()}

    def rows(self, shape: TableShape | None) -> DataFrame:
        """The rows, in the columns of the table as it will be. Raises as `FileFrames.read`."""
        self._existing = shape is not None
        self._partitions.check()
        expected = Expected.of(self._batch, shape, self._partitions.columns)
        reads = list(self._reads(expected))
        wider = self._shape(shape, expected, reads)
        self._check_new_names(shape, wider, reads)
        made = [(read, self._conformed(read, wider)) for read in reads]
        return united(self._completed(made, wider, shape))

    # --- reading

    def _reads(self, expected: Expected) -> Iterator[_Read]:
        groups = self._find_groups.of(self._batch, self._options)
        if self._batch.source.file_format is FileFormat.CSV:
            expected.check_delimiter(groups, self._options)
        if expected.known and not self._evolves:
            expected.check_names(groups)
        for number, group in enumerate(groups):
            for read in self._group(group, expected):
                yield read
                if not expected.known and not self._evolves:  # the largest group says what there is
                    expected = expected.learned(read.fields)
                    expected.check_names(groups[number + 1 :])

    def _group(self, group: FileGroup, expected: Expected) -> Iterator[_Read]:
        try:
            match self._batch.source.file_format:
                case FileFormat.CSV:
                    yield self._csv(group, expected)
                case FileFormat.JSON | FileFormat.JSONL | FileFormat.XML:
                    yield from self._structured(group, expected)
                case _:
                    frame = self._load(group, None)
                    yield self._read(group, frame, _own_fields(frame))
        except LakeflowMetaError:
            raise
        except Exception as error:
            raise self._blamed(group, error) from error

    def _blamed(self, group: FileGroup, error: Exception) -> Exception:
        """An error about the columns of the group is one of all its files: they are alike."""
        from pyspark.errors import AnalysisException

        told = translate(error)
        if told.code == "DATA_SOURCE_NOT_FOUND" or "AVRO" in told.code:
            return BackendError(
                f"{self._batch.source.name}: this Spark has no reader of format"
                f" {self._batch.source.file_format}: for avro on this machine `lakeflow-meta"
                " doctor --fix` fetches it, which needs the network once",
                code="NO_READER",
            )
        if isinstance(error, AnalysisException) and told.code != "PATH_NOT_FOUND":
            return BadFilesError(dict.fromkeys(group.paths, str(told)))
        return error

    def _load(
        self, group: FileGroup, fields: Sequence[StructField] | None, infer: bool = False
    ) -> DataFrame:
        options = _INFERENCE if infer else None
        frame = self._reader.load(self._batch, group.files, fields, options)
        _ = frame.schema  # Spark Connect looks at it only now
        return frame

    def _inferred(self, group: FileGroup) -> list[StructField]:
        """What Spark finds that the files hold, in a pass of its own."""
        found = _own_fields(self._load(group, None, infer=True))
        return [field for field in found if field.name != _BROKEN_RECORD]

    def _read(self, group: FileGroup, frame: DataFrame, fields: Sequence[StructField]) -> _Read:
        """With the columns of the path, which are of every file."""
        from pyspark.sql.types import StringType, StructField

        ours = {name.lower() for name in self._partitions.columns}
        own = [field for field in fields if field.name.lower() not in ours]
        told = [StructField(name, StringType()) for name in self._partitions.columns]
        return _Read(group, self._partitions.added(frame), [*own, *told])

    # --- CSV

    def _csv(self, group: FileGroup, expected: Expected) -> _Read:
        fields: Sequence[StructField]
        if group.columns is None:  # not even a header
            fields = expected.fields or _nothing_known(group.paths)
        elif not any(group.names()):
            fields = expected.by_position(group, lambda: self._table_rules) or self._inferred(group)
        else:
            fields = self._by_header(group, expected)
        frame = self._load(group, [self._as_read(field) for field in fields])
        return self._read(group, frame, fields)

    def _by_header(self, group: FileGroup, expected: Expected) -> Sequence[StructField]:
        from pyspark.sql.types import StringType, StructField

        new = [name for name in group.names() if not expected.knows(name)]
        inferred = {}
        if new and (not self._rules.rescues or not expected.known):
            inferred = {field.name: field for field in self._inferred(group)}
        text = StringType()
        return [
            StructField(name, expected.type_of(name) or _type_in(inferred, name) or text)
            for name in group.names()
        ]

    def _as_read(self, field: StructField) -> StructField:
        from pyspark.sql.types import StructField

        return StructField(field.name, self._rules.form.read_as(field.dataType))

    # --- JSON, XML

    def _structured(self, group: FileGroup, expected: Expected) -> Iterator[_Read]:
        """Keys that nobody knows are found in a pass of its own, where they matter."""
        from pyspark.sql.types import StructType

        if expected.known and not self._evolves:
            fields = self._left_to_table(group, expected)
            yield self._read(group, self._load(group, [*map(self._as_read, fields)]), fields)
            return
        for part, told in self._told(group):
            wanted = StructType(list(expected.fields))
            schema = self._rules.form.read_with(wanted, StructType(told))
            yield self._read(part, self._load(part, schema.fields), told)

    def _left_to_table(self, group: FileGroup, expected: Expected) -> Sequence[StructField]:
        """The expected columns, without those that the table makes and the files do not have.

        A key that is missing cannot be told from one that is NULL once it is read.
        """
        made = {field.name.lower() for field in expected.fields if default_of(field) is not None}
        if self._existing:
            made |= self._table_rules.made
        if not made & {field.name.lower() for field in expected.fields}:
            return expected.fields
        told = {field.name.lower() for _, fields in self._told(group) for field in fields}
        return [
            field
            for field in expected.fields
            if field.name.lower() not in made or field.name.lower() in told
        ]

    def _told(self, group: FileGroup) -> Iterator[tuple[FileGroup, list[StructField]]]:
        """Files and their fields; in parts, where they spell one name in several ways."""
        try:
            yield group, self._inferred(group)
        except Exception as error:
            if translate(error).code != "COLUMN_ALREADY_EXISTS":
                raise
            if self._batch.source.file_format is FileFormat.XML:
                raise
            for part in by_spelling(self._reader, self._batch, group):
                yield part, self._inferred(part)

    # --- the columns of the table

    def _shape(
        self, shape: TableShape | None, expected: Expected, reads: Sequence[_Read]
    ) -> TableShape:
        told = [read.fields for read in reads]
        if shape is not None:
            return evolved(shape, told, self._rules.evolution)
        declared = expected.declared or ()
        if not declared or self._evolves:
            fields = with_new_fields(declared, told)
        else:
            fields = with_new_fields(declared, [expected.of_paths(told)])
        if not fields:
            _nothing_known([path for read in reads for path in read.group.paths])
        made = TableShape(tuple(fields), frozenset())
        return with_rescued(made) if self._rules.rescues else made

    def _check_new_names(
        self, shape: TableShape | None, wider: TableShape, reads: Sequence[_Read]
    ) -> None:
        """Raises BadFilesError: a new column has a name that the table cannot have."""
        if shape is None:
            return
        odd = set(needs_mapping(wider.fields)) - set(needs_mapping(shape.fields))
        if not odd or self._table_rules.maps_columns:
            return
        bad = {}
        for read in reads:
            if names := sorted(odd & {*needs_mapping(read.fields)}):
                reason = (
                    f"column {names[0]!r} cannot be added: such names need column mapping"
                    " (table property delta.columnMapping.mode = name)"
                )
                bad.update(dict.fromkeys(read.group.paths, reason))
        raise BadFilesError(bad)

    def _conformed(self, read: _Read, shape: TableShape) -> DataFrame:
        try:
            return conformed(read.frame, shape, self._rules)
        except ColumnsError as error:
            missing = error.code == "MISSING_COLUMNS"
            if missing and self._made_elsewhere(read, shape):
                return conformed(read.frame, self._without_made(read, shape), self._rules)
            raise BadFilesError(dict.fromkeys(read.group.paths, str(error))) from error

    @cached_property
    def _table_rules(self) -> TableRules:
        return table_rules(self._session(), self._batch.source.target, self._locate)

    def _made_elsewhere(self, read: _Read, shape: TableShape) -> bool:
        """Whether every column that must not be NULL and that the files lack is the table's."""
        present = {field.name.lower() for field in read.fields}
        needed = {
            field.name.lower()
            for field in shape.fields
            if not field.nullable and default_of(field) is None
        }
        return needed - present <= self._table_rules.made

    def _without_made(self, read: _Read, shape: TableShape) -> TableShape:
        present = {field.name.lower() for field in read.fields}
        made = self._table_rules.made - present
        kept = tuple(field for field in shape.fields if field.name.lower() not in made)
        return TableShape(kept, shape.metadata_columns)

    # --- files that have a column, and files that leave it to the table

    def _completed(
        self,
        made: Sequence[tuple[_Read, DataFrame]],
        shape: TableShape,
        existing: TableShape | None,
    ) -> list[DataFrame]:
        """Once one file of a batch brings a column, the others have to bring it too."""
        frames = [frame for _, frame in made]
        if len(frames) == 1 or existing is None:
            return frames
        told = {name.lower() for frame in frames for name in frame.columns}
        lacked = [
            field
            for field in shape.fields
            if field.name.lower() in told
            and any(field.name not in frame.columns for frame in frames)
        ]
        for field in lacked:
            frames = self._filled(field, made, frames)
        return frames

    def _filled(
        self,
        field: StructField,
        made: Sequence[tuple[_Read, DataFrame]],
        frames: Sequence[DataFrame],
    ) -> list[DataFrame]:
        from pyspark.sql import functions as F  # noqa: N812 - Spark's own usage

        value = default_of(field)
        if value is None and (field.name.lower() in self._table_rules.identities):
            self._refuse_mixed(field.name, made)
        value = value or self._table_rules.generated.get(field.name.lower(), "NULL")
        column = F.expr(value).cast(field.dataType)
        return [
            frame if field.name in frame.columns else frame.withColumn(field.name, column)
            for frame in frames
        ]

    def _refuse_mixed(self, name: str, made: Sequence[tuple[_Read, DataFrame]]) -> None:
        """Raises BadFilesError: rows with and without a value of an identity in one write."""
        giving = [read for read, frame in made if name in frame.columns]
        reason = (
            f"it brings values of the identity column {name}, and other files of its batch do not;"
            " it goes into a batch of its own next time"
        )
        raise BadFilesError({path: reason for read in giving for path in read.group.paths})


def united(frames: Sequence[DataFrame]) -> DataFrame:
    """All rows; halves of halves, because Spark walks through a chain of unions again each time."""
    if len(frames) == 1:
        return frames[0]
    middle = len(frames) // 2
    left, right = united(frames[:middle]), united(frames[middle:])
    return left.unionByName(right, allowMissingColumns=True)


def _own_fields(frame: DataFrame) -> list[StructField]:
    return [field for field in frame.schema.fields if field.name != SOURCE_FILE]


def _type_in(fields: Mapping[str, StructField], name: str) -> DataType | None:
    return fields[name].dataType if name in fields else None


def _nothing_known(paths: Sequence[str]) -> NoReturn:
    raise BadFilesError(dict.fromkeys(paths, "neither it nor anything else tells its columns"))
