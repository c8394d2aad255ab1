"""Statements that read Unity Catalog: many tables by its information schema, or one table. Pure.

https://docs.databricks.com/sql/language-manual/sql-ref-information-schema.html: each catalog has
its own; rows are those that the user may see. Only columns whose meaning is documented are read.
Columns of tables are not read here but by `describe_as_json`: ``columns`` has no generation or
identity ("reserved for future use"), and may lag behind a Delta log until REPAIR TABLE … SYNC
METADATA.

Names are searched as they are kept, "in lower case"
(https://docs.databricks.com/sql/language-manual/sql-ref-names.html), without a function around the
column, so that the catalog can look them up.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from lakeflow_meta.names import TableName
from lakeflow_meta.sql import ident, literal, qualified
from lakeflow_meta.sql_rows import Bound

FEW_NAMES = 50
"""Up to so many names are a parameter each, which a catalog can look up; more are one JSON text.

A statement takes 256 parameters:
https://docs.databricks.com/sql/language-manual/sql-ref-parameter-marker.html
"""


@dataclass(frozen=True, slots=True)
class CatalogQueries:
    """The queries about some tables of one catalog: always seven, whatever the number of tables.

    ``tables`` are pairs of schema and table in lower case. Each query may also tell of tables whose
    schema is that of one asked table and whose name is that of another.
    """

    catalog: str
    tables: Collection[tuple[str, str]]

    @property
    def all(self) -> Mapping[str, Bound]:
        """Every query by the relation that it is about."""
        return {
            "schemata": self._schemata,
            "tables": self._tables,
            "views": self._views,
            "table_tags": self._table_tags,
            "column_tags": self._column_tags,
            "columns": self._char_columns,
            "keys": self._keys,
        }

    @property
    def _schemata(self) -> Bound:
        """https://docs.databricks.com/sql/language-manual/information-schema/schemata.html."""
        return self._select(
            "SELECT schema_name", "schemata", _among("schema_name", "schema", self._schema_names)
        )

    @property
    def _tables(self) -> Bound:
        """https://docs.databricks.com/sql/language-manual/information-schema/tables.html.

        ``last_altered``: "when the relation definition was last altered in any way".
        """
        return self._select(
            "SELECT table_schema, table_name, table_type, data_source_format, comment,"
            " unix_micros(last_altered) AS altered",
            "tables",
            self._asked("table_schema", "table_name"),
        )

    @property
    def _views(self) -> Bound:
        """https://docs.databricks.com/sql/language-manual/information-schema/views.html.

        ``view_definition``: "The view text if the user owns the view, NULL otherwise".
        """
        return self._select(
            "SELECT table_schema, table_name, view_definition",
            "views",
            self._asked("table_schema", "table_name"),
        )

    @property
    def _table_tags(self) -> Bound:
        """https://docs.databricks.com/sql/language-manual/information-schema/table_tags.html."""
        return self._select(
            "SELECT schema_name, table_name, tag_name, tag_value",
            "table_tags",
            self._asked("schema_name", "table_name"),
        )

    @property
    def _column_tags(self) -> Bound:
        """https://docs.databricks.com/sql/language-manual/information-schema/column_tags.html."""
        return self._select(
            "SELECT schema_name, table_name, column_name, tag_name, tag_value",
            "column_tags",
            self._asked("schema_name", "table_name"),
        )

    @property
    def _char_columns(self) -> Bound:
        """https://docs.databricks.com/sql/language-manual/information-schema/columns.html.

        ``full_data_type``: "The data type as specified in the column definition". Only columns with
        CHAR or VARCHAR, for which `describe_as_json` says string (measured on Spark 4.1).
        """
        where = self._asked("table_schema", "table_name")
        text = f"{where.text} AND lower(full_data_type) LIKE '%char(%'"
        return self._select(
            "SELECT table_schema, table_name, column_name, full_data_type",
            "columns",
            Bound(text, where.parameters),
        )

    @property
    def _keys(self) -> Bound:
        """A row for each column of a key: keys of the tables, and foreign keys that name them.

        The name of a constraint is unique in its schema. Pages: ``table_constraints``,
        ``key_column_usage`` (``position_in_unique_constraint``: the place of a foreign key's column
        in the key that it names) and ``referential_constraints`` below
        https://docs.databricks.com/sql/language-manual/information-schema/. Older versions of the
        last page spell ``unique_constraint_schema`` with two letters exchanged.
        """
        own = self._asked("c.table_schema", "c.table_name")
        inbound = self._asked("p.table_schema", "p.table_name")
        text = (
            "SELECT c.table_schema, c.table_name, c.constraint_schema, c.constraint_name,"
            " c.constraint_type, k.column_name, k.ordinal_position,"
            " p.table_catalog AS parent_catalog, p.table_schema AS parent_schema,"
            " p.table_name AS parent_table, p.column_name AS parent_column\n"
            f"FROM {self._relation('table_constraints')} AS c\n"
            f"JOIN {self._relation('key_column_usage')} AS k"
            f" ON {_same_constraint('k', 'c')}\n"
            f"LEFT JOIN {self._relation('referential_constraints')} AS r"
            f" ON {_same_constraint('r', 'c')}\n"
            f"LEFT JOIN {self._relation('key_column_usage')} AS p"
            f" ON {_same_constraint('p', 'r', 'unique_')}"
            " AND p.ordinal_position = k.position_in_unique_constraint\n"
            "WHERE c.constraint_type IN ('PRIMARY KEY', 'FOREIGN KEY')"
            f" AND (({own.text}) OR ({inbound.text}))"
        )
        return Bound(text, own.parameters)

    def _select(self, columns: str, relation: str, where: Bound) -> Bound:
        text = f"{columns} FROM {self._relation(relation)} WHERE {where.text}"
        return Bound(text, where.parameters)

    def _relation(self, name: str) -> str:
        return f"{ident(self.catalog)}.information_schema.{name}"

    @property
    def _schema_names(self) -> set[str]:
        return {schema for schema, _ in self.tables}

    def _asked(self, schema: str, table: str) -> Bound:
        schemas = _among(schema, "schema", self._schema_names)
        names = _among(table, "table", {name for _, name in self.tables})
        text = f"{schemas.text} AND {names.text}"
        return Bound(text, {**schemas.parameters, **names.parameters})


def _among(column: str, parameter: str, values: Iterable[str]) -> Bound:
    wanted = sorted(values)
    if len(wanted) <= FEW_NAMES:
        parameters = {f"{parameter}_{number}": value for number, value in enumerate(wanted)}
        return Bound(f"{column} IN ({', '.join(f':{name}' for name in parameters)})", parameters)
    listed = f"from_json(:{parameter}, {literal('array<string>')})"
    return Bound(f"{column} IN (SELECT explode({listed}))", {parameter: json.dumps(wanted)})


def _same_constraint(one: str, other: str, prefix: str = "") -> str:
    return " AND ".join(
        f"{one}.constraint_{part} = {other}.{prefix}constraint_{part}"
        for part in ("catalog", "schema", "name")
    )


def describe_as_json(table: TableName) -> str:
    """What one table or view looks like, as a JSON document (Databricks Runtime 16.2 and above).

    https://docs.databricks.com/sql/language-manual/sql-ref-syntax-aux-describe-table.html: the form
    for programs. DESCRIBE DETAIL knows no columns, and sums up the files of the table first.
    """
    return f"DESCRIBE TABLE EXTENDED {qualified(table)} AS JSON"


def show_create_table(table: TableName) -> str:
    """The statement that would create the table: the only one that tells how columns are generated.

    https://docs.databricks.com/sql/language-manual/sql-ref-syntax-aux-show-create-table.html
    """
    return f"SHOW CREATE TABLE {qualified(table)}"
