"""Declared tables, views and drops: values that obey every rule of `rules`. Pure.

The rules run when a value is made, and all that is wrong comes in one error. `table_spec` is their
form in YAML and JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lakeflow_meta.errors import ConfigError, Problem, SpecError
from lakeflow_meta.findings import Finding, path_text
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.field_paths import Path, read_path
from lakeflow_meta.schema.frozen_mapping import NOTHING, FrozenMapping
from lakeflow_meta.schema.rules import table_problems, view_problems
from lakeflow_meta.schema.types import DataType, check_type


class Policy(StrEnum):
    """What to do about things of the live table that the declaration does not name.

    ``ADDITIVE`` leaves columns, their order, checks, tags and properties alone that are not named,
    for tables that are also changed by others (schema evolution of an ingestion). ``STRICT`` makes
    the table exactly as declared; properties of Delta itself (``delta.…``) stay.
    """

    ADDITIVE = "additive"
    STRICT = "strict"


class Consent(StrEnum):
    """Words for changes that lose or rewrite data, as ``allow`` names them.

    A word alone allows the change for every column; with a name behind it, for that one:
    ``drop_column memo``.
    """

    DROP_COLUMN = "drop_column"
    BACKFILL = "backfill"


class InvalidTableError(SpecError):
    """A declared table breaks rules; ``findings`` holds each with its path in the declaration."""

    def __init__(self, name: str, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__(
            [Problem(name, 0, 0, path_text(f.path), f.message, f.hint) for f in findings]
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """Numbers that the table gives by itself; with ``always`` nobody else may give any.

    https://docs.databricks.com/sql/language-manual/sql-ref-syntax-ddl-create-table-using.html
    """

    start: int = 1
    step: int = 1
    always: bool = True


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. ``default`` and ``generated`` are SQL expressions."""

    name: str
    data_type: DataType
    nullable: bool = True
    comment: str = ""
    default: str = ""
    generated: str = ""
    identity: Identity | None = None
    tags: Mapping[str, str] = NOTHING

    def __post_init__(self) -> None:
        check_type(self.data_type, f"column {self.name!r}")
        object.__setattr__(self, "tags", FrozenMapping(self.tags))


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

    ``clustered_by``, ``tags`` and ``properties`` manage what they name; see `Policy` for the rest.
    ``checks`` maps names to SQL expressions. Property values may be booleans or numbers; None says
    that the table must not have the property.

    ``location`` makes the table external. ``renamed_from`` is an earlier name of the table (in its
    schema, or ``catalog.schema.table``), ``renamed_columns`` maps earlier names of columns to names
    that are declared, with dotted paths inside structs; both do nothing once they are done.
    ``allow`` holds words of `Consent`.
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
    tags: Mapping[str, str] = NOTHING
    location: str = ""
    renamed_from: str = ""
    renamed_columns: Mapping[str, str] = NOTHING
    policy: Policy = Policy.ADDITIVE
    allow: Sequence[str] = ()
    absent_properties: Sequence[str] = ()

    def __post_init__(self) -> None:
        key_lists = ("primary_key", "clustered_by", "partitioned_by", "allow", "absent_properties")
        _freeze(self, "columns", "foreign_keys", *key_lists)
        self._split_properties()
        for name in ("checks", "tags", "renamed_columns"):
            object.__setattr__(self, name, FrozenMapping(getattr(self, name)))
        findings = [*_name_problems(self), *table_problems(self)]
        if findings:
            raise InvalidTableError(str(self.full_name), findings)

    def _split_properties(self) -> None:
        given = dict(self.properties)
        absent = {*self.absent_properties, *(key for key in given if given[key] is None)}
        kept = {key: property_text(given[key]) for key in given.keys() - absent}
        object.__setattr__(self, "properties", FrozenMapping(kept))
        object.__setattr__(self, "absent_properties", tuple(sorted(absent)))

    @property
    def full_name(self) -> TableName:
        """The three-level name."""
        return TableName(self.catalog, self.schema, self.name)

    @property
    def old_name(self) -> TableName | None:
        """The three-level name that the table had before."""
        if not self.renamed_from:
            return None
        if "." in self.renamed_from:
            return TableName.parse(self.renamed_from)
        return self.full_name.sibling(self.renamed_from)

    def column(self, name: str) -> Column | None:
        """The column of that name, without regard to case."""
        return column_named(self.columns, name)

    @property
    def clustering_paths(self) -> tuple[Path, ...]:
        """``clustered_by`` as paths: names of columns, or of fields inside them."""
        return tuple(
            (n,) if self.column(n) is not None else read_path(n) for n in self.clustered_by
        )

    def allows(self, consent: Consent, subject: str) -> bool:
        """Whether ``allow`` has the word, alone or for this column."""
        wanted = {consent, f"{consent} {subject}".lower()}
        return any(" ".join(words.split()).lower() in wanted for words in self.allow)


@dataclass(frozen=True, slots=True)
class View:
    """A declared view: ``query`` is one SELECT, with full names of what it reads."""

    catalog: str
    schema: str
    name: str
    query: str
    comment: str = ""

    def __post_init__(self) -> None:
        findings = [*_name_problems(self), *view_problems(self)]
        if findings:
            raise InvalidTableError(str(self.full_name), findings)

    @property
    def full_name(self) -> TableName:
        """The three-level name."""
        return TableName(self.catalog, self.schema, self.name)


@dataclass(frozen=True, slots=True)
class DroppedTable:
    """A table that must not be there: a sync drops it with its data. Views are not touched."""

    catalog: str
    schema: str
    name: str

    def __post_init__(self) -> None:
        findings = list(_name_problems(self))
        if findings:
            raise InvalidTableError(str(self.full_name), findings)

    @property
    def full_name(self) -> TableName:
        """The three-level name."""
        return TableName(self.catalog, self.schema, self.name)


Declared = DeltaTable | View | DroppedTable


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


def _name_problems(table: Declared) -> Iterator[Finding]:
    try:
        table_name(table.catalog, table.schema, table.name)
    except ConfigError as error:
        yield Finding(("table",), str(error))


def table_name(catalog: str, schema: str, name: str) -> TableName:
    """Put three parts together. Raises ConfigError where one is not usable."""
    parts = (part.replace("`", "``") for part in (catalog, schema, name))
    return TableName.parse(".".join(f"`{part}`" for part in parts))
