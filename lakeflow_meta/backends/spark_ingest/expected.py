"""The columns that files of a source are expected to have, and files that have others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lakeflow_meta.backends.spark_ingest.columns import (
    RESCUED,
    TableShape,
    default_of,
    full_type,
)
from lakeflow_meta.backends.spark_ingest.csv_header import guessed_delimiter
from lakeflow_meta.backends.spark_ingest.file_groups import FileGroup
from lakeflow_meta.errors import BackendError
from lakeflow_meta.ingest.batch import METADATA_COLUMNS, BadFilesError, Batch
from lakeflow_meta.ingest.source import SchemaEvolution

if TYPE_CHECKING:
    from pyspark.sql.types import DataType, StructField

    from lakeflow_meta.backends.spark_ingest.made_by_table import TableRules


@dataclass(frozen=True, slots=True)
class Expected:
    """``fields``: columns that the files are to have, without those of their paths; none: nobody
    says, and the files do. ``declared``: all columns of the source's schema, if it has one.
    """

    batch: Batch
    partition_columns: frozenset[str]
    declared: tuple[StructField, ...] | None
    fields: tuple[StructField, ...]

    @classmethod
    def of(
        cls, batch: Batch, shape: TableShape | None, partition_columns: Sequence[str]
    ) -> Expected:
        """What is declared, else what the table has; with evolution both.

        Raises BackendError: the schema has columns that the table has not, and does not get.
        """
        evolution = batch.source.source_config.schema_evolution
        declared = _declared(batch)
        of_table = () if shape is None else shape.fields
        adds = evolution is SchemaEvolution.ADD_NEW_COLUMNS
        if declared is not None and shape is not None and not adds:
            _check_declared(declared, shape, batch)
        fields = of_table if declared is None else declared
        if declared is not None and evolution is not SchemaEvolution.FAIL:
            known = {field.name.lower() for field in declared}
            fields = (*declared, *(f for f in of_table if f.name.lower() not in known))
        ours = frozenset(name.lower() for name in partition_columns)
        left_out = {*ours, *METADATA_COLUMNS}
        if evolution is SchemaEvolution.RESCUE:
            left_out.add(RESCUED)
        kept = tuple(field for field in fields if field.name.lower() not in left_out)
        return cls(batch, ours, declared, kept)

    @property
    def known(self) -> bool:
        """Whether anybody says what the columns are."""
        return bool(self.fields)

    def learned(self, fields: Sequence[StructField]) -> Expected:
        """With what the first files told."""
        kept = [field for field in fields if field.name.lower() not in self.partition_columns]
        return replace(self, fields=tuple(kept))

    def knows(self, name: str) -> bool:
        """Whether a file may have the column."""
        lower = name.lower()
        return (
            lower in self.partition_columns
            or lower in METADATA_COLUMNS
            or any(field.name.lower() == lower for field in self.fields)
        )

    def type_of(self, name: str) -> DataType | None:
        """The type of a column that is expected."""
        found = (f for f in self.fields if f.name.lower() == name.lower())
        return next(map(full_type, found), None)

    def of_paths(self, told: Sequence[Sequence[StructField]]) -> list[StructField]:
        """The columns of the paths, among those that files told."""
        first = told[0] if told else ()
        return [field for field in first if field.name.lower() in self.partition_columns]

    # --- files that have other columns

    def check_names(self, groups: Sequence[FileGroup]) -> None:
        """Raises BadFilesError with every file that has columns which nobody expects."""
        bad = {}
        for group in groups:
            extra = [name for name in group.names() if name and not self.knows(name)]
            if extra:
                bad.update(dict.fromkeys(group.paths, self._unknown(extra)))
        if bad:
            raise BadFilesError(bad)

    def check_delimiter(self, groups: Sequence[FileGroup], options: Mapping[str, str]) -> None:
        """Raises BadFilesError with every file whose only column is a line of another delimiter."""
        bad = {}
        for group in groups:
            names = group.names()
            mark = guessed_delimiter(names[0], options) if len(names) == 1 else ""
            if mark and not self.knows(names[0]):
                reason = f"{self._unknown(names)}; is the delimiter {mark!r}?"
                bad.update(dict.fromkeys(group.paths, reason))
        if bad:
            raise BadFilesError(bad)

    def _unknown(self, names: Sequence[str]) -> str:
        quoted = ", ".join(repr(name) for name in names)
        noun = "column" if len(names) == 1 else "columns"
        return f"{noun} {quoted} unknown to {self.batch.source.target}"

    # --- files without a header

    def by_position(
        self, group: FileGroup, rules: Callable[[], TableRules]
    ) -> Sequence[StructField]:
        """The columns of a file that has only their order; none where nobody says what they are.

        The table's own ones (defaults, generated) may be missing, all together. Raises
        BadFilesError.
        """
        count = len(group.columns or ())
        if not self.fields or count == len(self.fields):
            return [_plain(field) for field in self.fields]
        if self.declared is None:
            ours = rules().made
            given = [
                field
                for field in self.fields
                if default_of(field) is None and field.name.lower() not in ours
            ]
            if count == len(given):
                return [_plain(field) for field in given]
        names = ", ".join(field.name for field in self.fields)
        reason = (
            f"its first record has {count} value{'s' if count > 1 else ''}, and"
            f" {len(self.fields)} are expected ({names}); without a header they are taken by"
            " position" + ("; is the delimiter right?" if count == 1 else "")
        )
        raise BadFilesError(dict.fromkeys(group.paths, reason))


def _plain(field: StructField) -> StructField:
    from pyspark.sql.types import StructField

    return StructField(field.name, full_type(field))


def _declared(batch: Batch) -> tuple[Any, ...] | None:
    from pyspark.sql.types import StructType

    ddl = batch.source.source_config.ddl
    return None if ddl is None else tuple(StructType.fromDDL(ddl).fields)


def _check_declared(fields: Sequence[StructField], shape: TableShape, batch: Batch) -> None:
    """A declared schema has to fit its table, whatever the files hold. Raises BackendError."""
    known = {field.name.lower() for field in shape.fields}
    extra = [field.name for field in fields if field.name.lower() not in known]
    if extra:
        quoted = ", ".join(map(repr, extra))
        raise BackendError(
            f"{batch.source.name}: schema: columns {quoted} unknown to {batch.source.target}",
            code="SCHEMA_MISMATCH",
        )
