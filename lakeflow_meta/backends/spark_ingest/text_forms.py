"""How values are written in files of text, and as what they are read.

Spark's readers of CSV, JSON and XML round a decimal, cut a timestamp to microseconds, and take the
date out of a timestamp, without a word. So these three are read as the text that they are, and
become values by `strict_cast`, which loses nothing. With ``rescue`` everything is, so that what
does not fit can be kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakeflow_meta.errors import BackendError
from lakeflow_meta.ingest.formats import FileFormat
from lakeflow_meta.ingest.source import FileSource, SchemaEvolution

if TYPE_CHECKING:
    from pyspark.sql.types import DataType, StructType

_NOT_WITH_RESCUE = ("locale", "timezone", "nanvalue", "positiveinf", "negativeinf")
_STRUCTURED = (FileFormat.JSON, FileFormat.JSONL, FileFormat.XML)


@dataclass(frozen=True, slots=True)
class TextForm:
    """How the files of one source write values. ``date`` and so on: patterns, where they are given.

    ``structured``: files have structs, arrays and maps of their own (JSON, XML).
    """

    structured: bool = False
    csv: bool = False
    lenient: bool = False
    """Whether every value is read as text."""
    by_reader: frozenset[str] = frozenset()
    """Names of types that Spark's reader has to make, because options say how."""
    date: str | None = None
    timestamp: str | None = None
    timestamp_ntz: str | None = None

    @classmethod
    def of(cls, source: FileSource, options: Mapping[str, str]) -> TextForm:
        """The form of a source's files. ``options``: of the reader, names in lower case.

        Raises BackendError for an option that does not go with ``rescue``.
        """
        lenient = source.source_config.schema_evolution is SchemaEvolution.RESCUE
        if not source.file_format.textual:
            return cls(lenient=lenient)
        if lenient:
            _refuse(source, options)
        return cls(
            structured=source.file_format in _STRUCTURED,
            csv=source.file_format is FileFormat.CSV,
            lenient=lenient,
            by_reader=frozenset() if lenient else _made_by_reader(options),
            date=options.get("dateformat"),
            timestamp=options.get("timestampformat"),
            timestamp_ntz=options.get("timestampntzformat"),
        )

    def read_as(self, wanted: DataType) -> DataType:
        """The type to read a value with that is to become ``wanted``."""
        from pyspark.sql import types as T  # noqa: N812 - Spark's own usage

        match wanted:
            case T.StructType() | T.ArrayType() | T.MapType():
                return self._nested(wanted) if self.structured else T.StringType()
            case T.BinaryType() | T.VariantType():
                return wanted if self.structured or isinstance(wanted, T.BinaryType) else _text()
            case T.DecimalType() | T.DateType() | T.TimestampType() | T.TimestampNTZType():
                return wanted if wanted.typeName() in self.by_reader else _text()
            case T.VarcharType() | T.CharType() | T.NullType():
                return _text()
            case _:
                return _text() if self.lenient else wanted

    def _nested(self, wanted: DataType) -> DataType:
        from pyspark.sql import types as T  # noqa: N812 - Spark's own usage

        match wanted:
            case T.StructType():
                fields = [T.StructField(f.name, self.read_as(f.dataType)) for f in wanted.fields]
                return T.StructType(fields)
            case T.ArrayType():
                return T.ArrayType(self.read_as(wanted.elementType))
            case T.MapType():
                return T.MapType(wanted.keyType, self.read_as(wanted.valueType))
        return wanted

    def read_with(self, wanted: StructType, told: StructType) -> StructType:
        """What to read structured files with that have the fields ``told``, as they spell them.

        Fields of ``wanted`` that they do not have are left out; their own come along.
        """
        from pyspark.sql import types as T  # noqa: N812 - Spark's own usage

        known = {field.name.lower(): field.dataType for field in wanted.fields}
        fields = []
        for field in told.fields:
            kind = known.get(field.name.lower())
            if kind is not None:
                made = self._read_both(kind, field.dataType)
            else:  # what nobody knows is kept as it is, or becomes a column
                made = field.dataType if self.lenient else self.read_as(field.dataType)
            fields.append(T.StructField(field.name, made))
        return T.StructType(fields)

    def _read_both(self, wanted: DataType, told: DataType) -> DataType:
        from pyspark.sql import types as T  # noqa: N812 - Spark's own usage

        match wanted, told:
            case T.StructType(), T.StructType():
                return self.read_with(wanted, told)
            case T.ArrayType(), T.ArrayType():
                return T.ArrayType(self._read_both(wanted.elementType, told.elementType))
            case T.ArrayType(), T.StructType():  # XML: an element that comes once
                return T.ArrayType(self._read_both(wanted.elementType, told))
            case ((T.StructType() | T.ArrayType() | T.MapType()), T.StringType()) if self.lenient:
                return _text()  # sometimes it is something else; then it is not lost
            case _:
                return self.read_as(wanted)


def _text() -> DataType:
    from pyspark.sql.types import StringType

    return StringType()


def _refuse(source: FileSource, options: Mapping[str, str]) -> None:
    refused = [name for name in _NOT_WITH_RESCUE if name in options]
    if refused:
        raise BackendError(
            f"{source.name}: options.{refused[0]} does not go with schema_evolution: rescue, which"
            " reads values as text",
            code="OPTION_REFUSED",
        )


def _made_by_reader(options: Mapping[str, str]) -> frozenset[str]:
    """Types whose values only the reader can make, for what the options say of them."""
    made: set[str] = set()
    if options.get("mode", "FAILFAST").upper() != "FAILFAST":  # misfits are wanted as NULL
        return frozenset({"decimal", "date", "timestamp", "timestamp_ntz"})
    if options.keys() & {"locale"}:
        made |= {"decimal", "date", "timestamp", "timestamp_ntz"}
    if options.keys() & {"dateformat"}:
        made |= {"date"}
    if options.keys() & {"timestampformat", "timezone"}:
        made |= {"timestamp"}
    if options.keys() & {"timestampntzformat"}:
        made |= {"timestamp_ntz"}
    return frozenset(made)


def fields_of(struct: Sequence[Any]) -> StructType:
    """A struct of fields that may all be NULL: the table decides."""
    from pyspark.sql.types import StructField, StructType

    return StructType([StructField(field.name, field.dataType, nullable=True) for field in struct])
