"""Declared tables: `DeltaTable` is the value, `TableSpec` its form in YAML and JSON. Pure.

A `DeltaTable` that exists obeys every rule of `rules`: they run when it is made, and all that is
wrong comes in one error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from lakeflow_meta.errors import ConfigError, Problem, SpecError
from lakeflow_meta.findings import Finding, Path, path_text
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.frozen_mapping import NOTHING, FrozenMapping
from lakeflow_meta.schema.rules import table_problems
from lakeflow_meta.schema.type_text import parse_type
from lakeflow_meta.schema.types import DataType, check_type


class UndeclaredColumns(StrEnum):
    """What to do about live columns that the declaration does not name.

    ``REJECT`` refuses to touch the table until somebody decides; ``KEEP`` leaves them alone, for
    tables that are also changed by others (schema evolution of an ingestion).
    """

    REJECT = "reject"
    KEEP = "keep"


class InvalidTableError(SpecError):
    """A declared table breaks rules; ``findings`` holds each with its path in the declaration."""

    def __init__(self, name: str, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__(
            [Problem(name, 0, 0, path_text(f.path), f.message, f.hint) for f in findings]
        )


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    data_type: DataType
    nullable: bool = True
    comment: str = ""

    def __post_init__(self) -> None:
        check_type(self.data_type, f"column {self.name!r}")


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns that name a row of another table.

    ``references`` is the parent: a `DeltaTable`, a `TableName` or ``catalog.schema.table``. Without
    ``referenced_columns`` the parent's primary key is meant, in its order. Without ``name`` the
    constraint gets a name derived from what it joins.
    """

    columns: Sequence[str]
    references: TableName | str
    referenced_columns: Sequence[str] = ()
    name: str = ""

    def __post_init__(self) -> None:
        _freeze(self, "columns", "referenced_columns")
        if isinstance(self.references, str):
            object.__setattr__(self, "references", TableName.parse(self.references))
        elif isinstance(self.references, DeltaTable):
            if not self.referenced_columns:
                object.__setattr__(self, "referenced_columns", self.references.primary_key)
            object.__setattr__(self, "references", self.references.full_name)

    @property
    def parent(self) -> TableName:
        """The table that is referenced."""
        if not isinstance(self.references, TableName):
            raise TypeError("references is made a TableName when the key is made")
        return self.references


@dataclass(frozen=True, slots=True)
class DeltaTable:
    """A declared table. Raises InvalidTableError with everything that is wrong when it is made.

    ``clustered_by`` and ``properties`` manage only what they name: an empty ``clustered_by`` and a
    property that is not named leave the live table as it is. ``checks`` maps names to SQL
    expressions. Property values may be given as booleans or numbers.
    """

    catalog: str
    schema: str
    name: str
    columns: Sequence[Column]
    comment: str = ""
    primary_key: Sequence[str] = ()
    foreign_keys: Sequence[ForeignKey] = ()
    properties: Mapping[str, str] = NOTHING
    clustered_by: Sequence[str] = ()
    partitioned_by: Sequence[str] = ()
    checks: Mapping[str, str] = NOTHING
    undeclared_columns: UndeclaredColumns = UndeclaredColumns.REJECT

    def __post_init__(self) -> None:
        key_lists = ("primary_key", "clustered_by", "partitioned_by")
        _freeze(self, "columns", "foreign_keys", *key_lists)
        properties = {key: property_text(value) for key, value in self.properties.items()}
        object.__setattr__(self, "properties", FrozenMapping(properties))
        object.__setattr__(self, "checks", FrozenMapping(self.checks))
        findings = [*_name_problems(self), *table_problems(self)]
        if findings:
            raise InvalidTableError(f"{self.catalog}.{self.schema}.{self.name}", findings)

    @property
    def full_name(self) -> TableName:
        """The three-level name."""
        return TableName(self.catalog, self.schema, self.name)

    def column(self, name: str) -> Column | None:
        """The column of that name, without regard to case."""
        return column_named(self.columns, name)


def column_named(columns: Sequence[Column], name: str) -> Column | None:
    """The column of that name, without regard to case, as Spark resolves names."""
    lowered = name.lower()
    return next((column for column in columns if column.name.lower() == lowered), None)


def property_text(value: str | bool | float) -> str:
    """The text that Delta keeps for a property: booleans in lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _freeze(value: object, *names: str) -> None:
    """Make lists tuples. A bare string would become its letters, so it is refused."""
    for name in names:
        given = getattr(value, name)
        if isinstance(given, str):
            raise TypeError(f"{name} is a list of names, not the text {given!r}")
        object.__setattr__(value, name, tuple(given))


def _name_problems(table: DeltaTable) -> Iterator[Finding]:
    try:
        table_name(table.catalog, table.schema, table.name)
    except ConfigError as error:
        yield Finding(("table",), str(error))


def table_name(catalog: str, schema: str, name: str) -> TableName:
    """Put three parts together. Raises ConfigError where one is not usable."""
    parts = (part.replace("`", "``") for part in (catalog, schema, name))
    return TableName.parse(".".join(f"`{part}`" for part in parts))


# --------------------------------------------------------------------------- YAML and JSON


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ColumnBody(_Spec):
    """What is said about a column under its name."""

    type: Annotated[str, Field(description="SQL type, e.g. bigint or decimal(10,2)")]
    nullable: bool | None = None
    comment: str = ""

    @field_validator("type")
    @classmethod
    def _known(cls, text: str) -> str:
        return str(parse_type(text))


class ColumnSpec(ColumnBody):
    """One column of a list."""

    name: str


def _names(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _column_list(value: Any) -> Any:
    """Columns given as ``name: type`` or ``name: {type: …}``, as a list."""
    if not isinstance(value, dict):
        return value
    columns: list[ColumnSpec] = []
    errors: list[InitErrorDetails] = []
    for name, given in value.items():
        body = given if isinstance(given, dict) else {"type": given}
        try:
            checked = ColumnBody.model_validate(body)
            columns.append(ColumnSpec(name=name, **checked.model_dump()))
        except ValidationError as error:
            errors += [
                _moved(detail, _column_path(name, given, detail)) for detail in error.errors()
            ]
    if errors:
        raise ValidationError.from_exception_data("columns", errors)
    return columns


def _column_path(name: str, given: Any, detail: Any) -> Path:
    return (name, *detail["loc"]) if isinstance(given, dict) else (name,)


def _moved(detail: Any, path: Path) -> InitErrorDetails:
    return InitErrorDetails(
        type=detail["type"], loc=path, input=detail["input"], ctx=detail.get("ctx", {})
    )


Names = Annotated[list[str], BeforeValidator(_names, json_schema_input_type=str | list[str])]
Columns = Annotated[
    list[ColumnSpec],
    BeforeValidator(
        _column_list, json_schema_input_type=list[ColumnSpec] | dict[str, str | ColumnBody]
    ),
]


class ForeignKeySpec(_Spec):
    """Columns that name a row of another table."""

    columns: Names
    references: Annotated[str, Field(description="catalog.schema.table")]
    referenced_columns: Names = []
    name: str = ""

    @field_validator("references")
    @classmethod
    def _a_table(cls, text: str) -> str:
        try:
            return str(TableName.parse(text))
        except ConfigError as error:
            raise ValueError(str(error)) from error


class TableSpec(_Spec):
    """One declared table. ``table``, or ``catalog``, ``schema`` and ``name``, say which.

    Columns of the primary key are NOT NULL unless they say otherwise, which is an error.
    """

    table: str = ""
    catalog: str = ""
    schema_name: Annotated[str, Field(alias="schema")] = ""
    name: str = ""
    module: str = ""
    columns: Columns
    comment: str = ""
    primary_key: Names = []
    foreign_keys: list[ForeignKeySpec] = []
    properties: dict[str, str | bool | int | float] = {}
    cluster_by: Names = []
    partition_by: Names = []
    checks: dict[str, str] = {}
    undeclared_columns: Literal["reject", "keep"] = "reject"
    is_active: bool | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _obey_the_rules(cls, data: Any, make: ModelWrapValidatorHandler[TableSpec]) -> TableSpec:
        spec = make(data)
        try:
            spec.to_table()
        except InvalidTableError as error:
            details = [_detail(finding, data) for finding in error.findings]
            raise ValidationError.from_exception_data("table", details) from error
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return spec

    @property
    def full_name(self) -> str:
        """``catalog.schema.name``."""
        return str(self._table_name())

    def to_table(self) -> DeltaTable:
        """The declared table. Raises InvalidTableError, ConfigError."""
        name = self._table_name()
        return DeltaTable(
            name.catalog,
            name.schema,
            name.name,
            columns=[self._column(column) for column in self.columns],
            comment=self.comment,
            primary_key=self.primary_key,
            foreign_keys=[ForeignKey(**key.model_dump()) for key in self.foreign_keys],
            properties={key: property_text(value) for key, value in self.properties.items()},
            clustered_by=self.cluster_by,
            partitioned_by=self.partition_by,
            checks=self.checks,
            undeclared_columns=UndeclaredColumns(self.undeclared_columns),
        )

    def row(self) -> dict[str, Any]:
        """The control-table row; ``is_active`` is None where the declaration does not name it."""
        return {
            "table_name": self.full_name,
            "module_name": self.module or None,
            "definition": canonical_json(definition(self.to_table())),
            "is_active": self.is_active,
        }

    def _table_name(self) -> TableName:
        parts = (self.catalog, self.schema_name, self.name)
        if self.table and not any(parts):
            return TableName.parse(self.table)
        if self.table or not all(parts):
            raise ConfigError("name the table by table, or by catalog, schema and name")
        return table_name(*parts)

    def _column(self, spec: ColumnSpec) -> Column:
        in_key = spec.name.lower() in (name.lower() for name in self.primary_key)
        nullable = not in_key if spec.nullable is None else spec.nullable
        return Column(spec.name, parse_type(spec.type), nullable, spec.comment)


_SPEC_WORDS = {"clustered_by": "cluster_by", "partitioned_by": "partition_by"}


def _detail(finding: Finding, data: Any) -> InitErrorDetails:
    """A broken rule as pydantic carries it, with its path in the document that was given."""
    path = (_SPEC_WORDS.get(str(finding.path[0]), finding.path[0]), *finding.path[1:])
    columns = data.get("columns") if isinstance(data, dict) else None
    if isinstance(columns, dict) and path[0] == "columns" and len(path) > 1:
        path = ("columns", list(columns)[int(path[1])])
    error = PydanticCustomError(
        "value_error", "{error}", {"error": finding.message, "hint": finding.hint}
    )
    return InitErrorDetails(type=error, loc=path, input=None)


def definition(table: DeltaTable) -> dict[str, Any]:
    """The JSON form of a table without its name; equal tables give equal definitions."""
    keep = table.undeclared_columns is UndeclaredColumns.KEEP
    parts = {
        "columns": [_column_definition(column) for column in table.columns],
        "comment": table.comment,
        "primary_key": list(table.primary_key),
        "foreign_keys": [_key_definition(key) for key in table.foreign_keys],
        "properties": dict(table.properties),
        "cluster_by": list(table.clustered_by),
        "partition_by": list(table.partitioned_by),
        "checks": dict(table.checks),
        "undeclared_columns": "keep" if keep else "",
    }
    return {name: value for name, value in parts.items() if value}


def _column_definition(column: Column) -> dict[str, Any]:
    parts: dict[str, Any] = {"name": column.name, "type": str(column.data_type)}
    if not column.nullable:
        parts["nullable"] = False
    if column.comment:
        parts["comment"] = column.comment
    return parts


def _key_definition(key: ForeignKey) -> dict[str, Any]:
    parts: dict[str, Any] = {"columns": list(key.columns), "references": str(key.parent)}
    if key.referenced_columns:
        parts["referenced_columns"] = list(key.referenced_columns)
    if key.name:
        parts["name"] = key.name
    return parts
