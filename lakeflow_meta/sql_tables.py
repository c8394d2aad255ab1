"""DDL of tables and views: Spark SQL, as open-source Delta and Databricks both read it. Pure.

The other half of `sql`: every statement of the schema engine is built here.
https://docs.databricks.com/sql/language-manual/#ddl-statements
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from lakeflow_meta.names import TableName
from lakeflow_meta.sql import ident, idents, literal, qualified

if TYPE_CHECKING:
    from lakeflow_meta.schema.table import Column, DeltaTable, Identity

Path = Sequence[str]
"""A column, or a field inside it."""

DEFAULTS_FEATURE = "delta.feature.allowColumnDefaults"


def create_table(table: DeltaTable, *, if_absent: bool = False) -> str:
    """Create a Delta table as declared, without its keys, checks and tags.

    A plain CREATE by default: somebody else's table of that name must not look like ours.
    https://docs.databricks.com/sql/language-manual/sql-ref-syntax-ddl-create-table-using.html

    Delta 4.4 cuts CLUSTER BY out of the text at an offset that is one too small for each character
    beyond U+FFFF before it, and so writes a damaged table (measured). Literals escape such
    characters; where a name holds one, CLUSTER BY is left out (`clusters_late`).
    """
    columns = ",\n  ".join(column_definition(column) for column in table.columns)
    create = "CREATE TABLE IF NOT EXISTS" if if_absent else "CREATE TABLE"
    lines = [f"{create} {qualified(table.full_name)} (\n  {columns}\n)", "USING delta"]
    if table.comment:
        lines.append(f"COMMENT {_ddl_text(table.comment)}")
    if properties := _properties_at_creation(table):
        lines.append(f"TBLPROPERTIES ({_assignments(properties)})")
    if table.partitioned_by:
        lines.append(f"PARTITIONED BY ({idents(table.partitioned_by)})")
    if table.clustered_by and not clusters_late(table):
        lines.append(f"CLUSTER BY ({clustering_columns(table)})")
    if table.location:
        lines.append(f"LOCATION {_ddl_text(table.location)}")
    return "\n".join(lines)


def _properties_at_creation(table: DeltaTable) -> dict[str, str]:
    with_defaults = any(column.default for column in table.columns)
    feature = {DEFAULTS_FEATURE: "supported"} if with_defaults else {}
    return {**feature, **table.properties}


_BEYOND_16_BITS = re.compile("[\U00010000-\U0010ffff]")


def clusters_late(table: DeltaTable) -> bool:
    """Whether the clustering of a new table has to be set by a second statement."""
    if not table.clustered_by:
        return False
    texts = [f"{c.name} {c.data_type} {c.default} {c.generated}" for c in table.columns]
    return any(map(_BEYOND_16_BITS.search, [str(table.full_name), *texts]))


def _ddl_text(value: str) -> str:
    """A text literal without characters beyond U+FFFF; Spark reads ``\\UXXXXXXXX`` back."""
    return _BEYOND_16_BITS.sub(lambda match: f"\\U{ord(match[0]):08X}", literal(value))


def column_definition(column: Column) -> str:
    """One column of a CREATE TABLE."""
    parts = [ident(column.name), str(column.data_type)]
    if not column.nullable:
        parts.append("NOT NULL")
    if column.generated:
        parts.append(f"GENERATED ALWAYS AS ({column.generated})")
    if column.identity is not None:
        parts.append(_identity(column.identity))
    if column.default:
        parts.append(f"DEFAULT {column.default}")
    if column.comment:
        parts.append(f"COMMENT {_ddl_text(column.comment)}")
    return " ".join(parts)


def _identity(identity: Identity) -> str:
    how = "ALWAYS" if identity.always else "BY DEFAULT"
    steps = f"START WITH {identity.start:d} INCREMENT BY {identity.step:d}"
    return f"GENERATED {how} AS IDENTITY ({steps})"


def path_text(path: Path) -> str:
    """A column or a field inside it, quoted."""
    return ".".join(ident(part) for part in path)


def clustering_columns(table: DeltaTable) -> str:
    """Clustering columns of a declaration; those that are no column are paths into one."""
    return ", ".join(path_text(path) for path in table.clustering_paths)


# --- changes of a table


def rename_table(old: TableName, new: TableName) -> str:
    """Give a table another name."""
    return f"{_alter(old)} RENAME TO {qualified(new)}"


def drop_table(table: TableName) -> str:
    """Delete a table with its data."""
    return f"DROP TABLE {qualified(table)}"


def comment_table(table: TableName, comment: str) -> str:
    """Set the comment of a table; an empty comment clears."""
    return f"COMMENT ON TABLE {qualified(table)} IS {_ddl_text(comment)}"


def set_properties(table: TableName, properties: Mapping[str, str]) -> str:
    """Set table properties."""
    return f"{_alter(table)} SET TBLPROPERTIES ({_assignments(properties)})"


def unset_properties(table: TableName, keys: Iterable[str]) -> str:
    """Take table properties away; those that are not there do not matter."""
    names = ", ".join(_ddl_text(key) for key in sorted(keys))
    return f"{_alter(table)} UNSET TBLPROPERTIES IF EXISTS ({names})"


def cluster_by(table: TableName, paths: Iterable[Path]) -> str:
    """Set the clustering columns; data is rewritten by later OPTIMIZE runs, not now."""
    columns = ", ".join(path_text(path) for path in paths)
    return f"{_alter(table)} CLUSTER BY {f'({columns})' if columns else 'NONE'}"


def set_tags(table: TableName, tags: Mapping[str, str], column: str = "") -> str:
    """Set tags of a table, or of a column.

    https://docs.databricks.com/sql/language-manual/sql-ref-syntax-ddl-alter-table.html
    """
    return f"{_alter(table)}{_column_of(column)} SET TAGS ({_assignments(tags)})"


def unset_tags(table: TableName, keys: Iterable[str], column: str = "") -> str:
    """Take tags of a table, or of a column, away."""
    names = ", ".join(_ddl_text(key) for key in sorted(keys))
    return f"{_alter(table)}{_column_of(column)} UNSET TAGS ({names})"


def _column_of(column: str) -> str:
    return f" ALTER COLUMN {ident(column)}" if column else ""


# --- changes of columns


def add_columns(table: TableName, columns: Iterable[tuple[Path, Column, str | None]]) -> str:
    """Add columns, or fields inside them, at a path; each after the named sibling.

    None puts it first, "" last. A default cannot be given here (Delta): it is set afterwards.
    """
    parts = [
        f"{path_text(path)} {_plain_definition(column)}{_position(after)}"
        for path, column, after in columns
    ]
    return f"{_alter(table)} ADD COLUMNS ({', '.join(parts)})"


def _plain_definition(column: Column) -> str:
    comment = f" COMMENT {_ddl_text(column.comment)}" if column.comment else ""
    return f"{column.data_type}{comment}"


def _position(after: str | None) -> str:
    if after is None:
        return " FIRST"
    return f" AFTER {ident(after)}" if after else ""


def drop_columns(table: TableName, paths: Iterable[Path]) -> str:
    """Drop columns, or fields inside them."""
    return f"{_alter(table)} DROP COLUMNS ({', '.join(map(path_text, paths))})"


def rename_column(table: TableName, path: Path, name: str) -> str:
    """Give a column, or a field, another name."""
    return f"{_alter(table)} RENAME COLUMN {path_text(path)} TO {ident(name)}"


def alter_column(table: TableName, path: Path, change: str) -> str:
    """Change one column, or field; ``change`` is made by one of the functions below."""
    return f"{_alter(table)} ALTER COLUMN {path_text(path)} {change}"


def alter_columns(table: TableName, changes: Iterable[tuple[Path, str]]) -> str:
    """Change several different columns by one statement."""
    parts = [f"{path_text(path)} {change}" for path, change in changes]
    return f"{_alter(table)} ALTER COLUMN {', '.join(parts)}"


def comment(text: str) -> str:
    """For `alter_column`: set the comment; an empty one clears."""
    return f"COMMENT {_ddl_text(text)}"


def new_type(data_type: object) -> str:
    """For `alter_column`: another type."""
    return f"TYPE {data_type}"


def nullability(*, nullable: bool) -> str:
    """For `alter_column`: whether the column may be NULL."""
    return "DROP NOT NULL" if nullable else "SET NOT NULL"


def default(expression: str) -> str:
    """For `alter_column`: set the default; "" drops it."""
    return f"SET DEFAULT {expression}" if expression else "DROP DEFAULT"


def place(after: str | None) -> str:
    """For `alter_column`: behind another column, or first."""
    return "FIRST" if after is None else f"AFTER {ident(after)}"


def fill_nulls(table: TableName, column: str, expression: str) -> str:
    """Give rows a value that have none."""
    name = ident(column)
    change = f"SET {name} = {expression} WHERE {name} IS NULL"
    return f"UPDATE {qualified(table)} {change}"


# --- constraints


def add_check(table: TableName, name: str, expression: str) -> str:
    """Add a CHECK constraint; refused by Delta where existing rows break it."""
    return f"{_alter(table)} ADD CONSTRAINT {ident(name)} CHECK ({expression})"


def add_primary_key(table: TableName, name: str, columns: Iterable[str]) -> str:
    """Add a primary key; Unity Catalog keeps it and does not enforce it."""
    return f"{_alter(table)} ADD CONSTRAINT {ident(name)} PRIMARY KEY ({idents(columns)})"


def drop_primary_key(table: TableName) -> str:
    """Drop the primary key, and the foreign keys that name it."""
    return f"{_alter(table)} DROP PRIMARY KEY IF EXISTS CASCADE"


def add_foreign_key(
    table: TableName,
    name: str,
    columns: Iterable[str],
    parent: TableName,
    referenced: Iterable[str],
) -> str:
    """Add a foreign key; Unity Catalog keeps it and does not enforce it."""
    constraint = f"ADD CONSTRAINT {ident(name)} FOREIGN KEY ({idents(columns)})"
    return f"{_alter(table)} {constraint} REFERENCES {qualified(parent)} ({idents(referenced)})"


def drop_constraint(table: TableName, name: str) -> str:
    """Drop a check or a foreign key; one that is gone already does not matter."""
    return f"{_alter(table)} DROP CONSTRAINT IF EXISTS {ident(name)}"


# --- views


def create_view(view: TableName, query: str, comment_text: str) -> str:
    """Create a view, or replace it."""
    shown = f"\nCOMMENT {_ddl_text(comment_text)}" if comment_text else ""
    return f"CREATE OR REPLACE VIEW {qualified(view)}{shown} AS\n{query}"


# --- questions to the catalog and to the data


def describe_table(table: TableName) -> str:
    """Where a table lies, and what kind it is, below its columns."""
    return f"DESCRIBE TABLE EXTENDED {qualified(table)}"


def show_tables(catalog: str, schema: str) -> str:
    """Tables and views of a schema."""
    return f"SHOW TABLES IN {ident(catalog)}.{ident(schema)}"


def describe_schema(catalog: str, schema: str) -> str:
    """Fails for a schema that is missing, and in another way for one that the user may not use.

    https://docs.databricks.com/sql/language-manual/sql-ref-syntax-aux-describe-schema.html
    """
    return f"DESCRIBE SCHEMA {ident(catalog)}.{ident(schema)}"


def count_rows(
    table: TableName, columns: Iterable[tuple[str, str]], conditions: Mapping[str, str]
) -> str:
    """How many rows meet each condition, as columns of one row.

    ``columns`` (name, expression) is what the table will look like when the conditions hold.
    """
    counts = ", ".join(f"count_if({text}) AS {ident(name)}" for name, text in conditions.items())
    shape = ", ".join(f"{expression} AS {ident(name)}" for name, expression in columns)
    return f"SELECT {counts} FROM (SELECT {shape} FROM {qualified(table)}) AS rows"  # noqa: S608


def is_null(column: str) -> str:
    """For `count_rows`: the column has no value."""
    return f"{ident(column)} IS NULL"


def breaks(expression: str) -> str:
    """For `count_rows`: the row breaks a check. One that comes out NULL is broken (measured)."""
    return f"NOT coalesce(({expression}), false)"


def does_not_fit(column: str, before: object, after: object) -> str:
    """For `count_rows`: the value does not survive a cast to another type and back."""
    name = ident(column)
    back = f"try_cast(try_cast({name} AS {after}) AS {before})"
    return f"NOT ({name} <=> {back})"


def is_longer(column: str, length: int) -> str:
    """For `count_rows`: the value has more characters. Casts do not cut texts (measured)."""
    return f"char_length(CAST({ident(column)} AS string)) > {length:d}"


def as_type(column: str, before: object, after: object) -> str:
    """A column, cast where another type is wanted."""
    name = ident(column)
    return name if str(before) == str(after) else f"CAST({name} AS {after})"


def filled(value: str, expression: str) -> str:
    """A value, or what it becomes where it is missing."""
    return f"coalesce({value}, {expression})"


def field_of(value: str, name: str) -> str:
    """A field of a struct."""
    return f"{value}.{ident(name)}"


def struct_of(value: str, fields: Iterable[tuple[str, str]]) -> str:
    """A struct made anew of ``fields`` (name, expression), NULL where ``value`` is."""
    made = ", ".join(f"{literal(name)}, {expression}" for name, expression in fields)
    return f"IF({value} IS NULL, NULL, named_struct({made}))"


def typed_null(data_type: object) -> str:
    """The missing value of a type."""
    return f"CAST(NULL AS {data_type})"


# --- inside


def _alter(table: TableName) -> str:
    return f"ALTER TABLE {qualified(table)}"


def _assignments(values: Mapping[str, str]) -> str:
    return ", ".join(
        f"{_ddl_text(key)} = {_ddl_text(value)}" for key, value in sorted(values.items())
    )
