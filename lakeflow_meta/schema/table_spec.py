"""Declared tables and views in YAML and JSON. Pure.

`TableSpec` is what people write; `definition` what the control table records, the same keys without
the name. Equal declarations give equal definitions.
"""

from __future__ import annotations

from functools import cached_property
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

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.findings import Finding, Path
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.table import (
    Column,
    Declared,
    DeltaTable,
    DroppedTable,
    ForeignKey,
    Identity,
    InvalidTableError,
    Policy,
    View,
    property_text,
    table_name,
)
from lakeflow_meta.schema.type_text import parse_type


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class IdentitySpec(_Spec):
    """Numbers that the table gives by itself."""

    start: int = 1
    step: int = 1
    always: Annotated[bool, Field(description="nobody else may give a number")] = True


def _expression(value: Any) -> Any:
    """Defaults may be written as YAML numbers and booleans."""
    return property_text(value) if isinstance(value, bool | int | float) else value


def _identity(value: Any) -> Any:
    """``identity: true`` is the identity with all its defaults."""
    return {} if value is True else value


Tags = dict[str, str]


class ColumnBody(_Spec):
    """What is said about a column under its name."""

    type: Annotated[str, Field(description="SQL type, e.g. bigint or decimal(10,2)")]
    nullable: bool | None = None
    comment: str = ""
    default: Annotated[
        str,
        BeforeValidator(_expression, json_schema_input_type=str | bool | int | float),
        Field(description="SQL expression, e.g. current_timestamp() or 'new'"),
    ] = ""
    generated: Annotated[str, Field(description="SQL expression over other columns")] = ""
    identity: Annotated[
        IdentitySpec | None,
        BeforeValidator(_identity, json_schema_input_type=IdentitySpec | bool),
    ] = None
    # pydantic would make a deep copy of a literal {} for each column
    tags: Tags = Field(default_factory=dict)

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
    """One declared table or view. ``table``, or ``catalog``, ``schema`` and ``name``, say which.

    ``view`` makes it a view; ``drop: true`` says that the table must not be there. Columns of the
    primary key are NOT NULL unless they say otherwise, which is an error.
    """

    table: str = ""
    catalog: str = ""
    schema_name: Annotated[str, Field(alias="schema")] = ""
    name: str = ""
    module: str = ""
    columns: Columns = []
    comment: str = ""
    primary_key: Names = []
    foreign_keys: list[ForeignKeySpec] = []
    properties: Annotated[
        dict[str, str | bool | int | float | None],
        Field(description="null: the table must not have the property"),
    ] = {}
    cluster_by: Names = []
    partition_by: Names = []
    checks: dict[str, str] = {}
    tags: Tags = {}
    location: Annotated[str, Field(description="where an external table lies")] = ""
    renamed_from: Annotated[str, Field(description="an earlier name of the table")] = ""
    renamed_columns: Annotated[dict[str, str], Field(description="old: new")] = {}
    policy: Annotated[
        Literal["additive", "strict"],
        Field(description="whether what is not declared is left alone or taken away"),
    ] = "additive"
    allow: Annotated[
        Names, Field(description="changes that lose data, e.g. drop_column or drop_column memo")
    ] = []
    view: Annotated[str, Field(description="the SELECT of a view")] = ""
    drop: Literal[True] | None = None
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

    def to_table(self) -> Declared:
        """What is declared, made once. Raises InvalidTableError, ConfigError."""
        return self.declared

    @cached_property
    def declared(self) -> Declared:
        """As `to_table`; a validated spec has it already, and raises nothing."""
        name = self._table_name()
        if self.drop:
            self._refuse_others("drop: true", _ROW_KEYS | {"drop"})
            return DroppedTable(name.catalog, name.schema, name.name)
        if self.view:
            self._refuse_others("a view", _ROW_KEYS | {"view", "comment"})
            return View(name.catalog, name.schema, name.name, self.view.strip(), self.comment)
        return self._delta_table(name)

    def _delta_table(self, name: TableName) -> DeltaTable:
        properties = {k: v for k, v in self.properties.items() if v is not None}
        return DeltaTable(
            name.catalog,
            name.schema,
            name.name,
            columns=[self._column(column) for column in self.columns],
            comment=self.comment,
            primary_key=self.primary_key,
            foreign_keys=[ForeignKey(**key.model_dump()) for key in self.foreign_keys],
            properties={key: property_text(value) for key, value in properties.items()},
            clustered_by=self.cluster_by,
            partitioned_by=self.partition_by,
            checks=self.checks,
            tags=self.tags,
            location=self.location,
            renamed_from=self.renamed_from,
            renamed_columns=self.renamed_columns,
            policy=Policy(self.policy),
            allow=self.allow,
            absent_properties=sorted(self.properties.keys() - properties.keys()),
        )

    def row(self) -> dict[str, Any]:
        """The control-table row; ``is_active`` is None where the declaration does not name it."""
        return {
            "table_name": self.full_name,
            "module_name": self.module or None,
            "definition": canonical_json(definition(self.to_table())),
            "is_active": self.is_active,
        }

    def _refuse_others(self, what: str, known: set[str]) -> None:
        others = sorted(self.model_fields_set - known)
        if others:
            raise ConfigError(f"{what} takes no {', '.join(others)}")

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
        identity = None if spec.identity is None else Identity(**spec.identity.model_dump())
        return Column(
            spec.name,
            parse_type(spec.type),
            nullable,
            spec.comment,
            spec.default,
            spec.generated,
            identity,
            spec.tags,
        )


_ROW_KEYS = {"table", "catalog", "schema_name", "name", "module", "is_active"}
_SPEC_WORDS = {"clustered_by": "cluster_by", "partitioned_by": "partition_by"}


def _detail(finding: Finding, data: Any) -> InitErrorDetails:
    """A broken rule as pydantic carries it, with its path in the document that was given."""
    path = (_SPEC_WORDS.get(str(finding.path[0]), finding.path[0]), *finding.path[1:])
    columns = data.get("columns") if isinstance(data, dict) else None
    if isinstance(columns, dict) and path[0] == "columns" and len(path) > 1:
        name = list(columns)[int(path[1])]
        inside = path[2:] if isinstance(columns[name], dict) and path[2:3] != ("name",) else ()
        path = ("columns", name, *inside)
    error = PydanticCustomError(
        "value_error", "{error}", {"error": finding.message, "hint": finding.hint}
    )
    return InitErrorDetails(type=error, loc=path, input=None)


def definition(table: Declared) -> dict[str, Any]:
    """The JSON form of a declaration without its name."""
    match table:
        case DeltaTable():
            parts = _table_definition(table)
        case View(query=query, comment=comment):
            parts = {"view": query, "comment": comment}
        case DroppedTable():
            parts = {"drop": True}
    return {name: value for name, value in parts.items() if value}


def _table_definition(table: DeltaTable) -> dict[str, Any]:
    return {
        "columns": [_column_definition(column) for column in table.columns],
        "comment": table.comment,
        "primary_key": list(table.primary_key),
        "foreign_keys": [_key_definition(key) for key in table.foreign_keys],
        "properties": {**table.properties, **dict.fromkeys(table.absent_properties)},
        "cluster_by": list(table.clustered_by),
        "partition_by": list(table.partitioned_by),
        "checks": dict(table.checks),
        "tags": dict(table.tags),
        "location": table.location,
        "renamed_from": table.renamed_from,
        "renamed_columns": dict(table.renamed_columns),
        "policy": "" if table.policy is Policy.ADDITIVE else str(table.policy),
        "allow": list(table.allow),
    }


def _column_definition(column: Column) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "name": column.name,
        "type": str(column.data_type),
        "nullable": None if column.nullable else False,
        "comment": column.comment,
        "default": column.default,
        "generated": column.generated,
        "identity": _identity_definition(column.identity),
        "tags": dict(column.tags),
    }
    return {name: value for name, value in parts.items() if value or value is False}


def _identity_definition(identity: Identity | None) -> dict[str, Any] | None:
    if identity is None:
        return None
    return {"start": identity.start, "step": identity.step, "always": identity.always}


def _key_definition(key: ForeignKey) -> dict[str, Any]:
    parts: dict[str, Any] = {"columns": list(key.columns), "references": str(key.parent)}
    if key.referenced_columns:
        parts["referenced_columns"] = list(key.referenced_columns)
    if key.name:
        parts["name"] = key.name
    return parts
