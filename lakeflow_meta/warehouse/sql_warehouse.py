"""A SQL database as people use it from scripts and notebooks: ``warehouse_utils(…)``.

The same methods on PostgreSQL and on a Databricks SQL warehouse. Rows come as a pandas DataFrame
with Arrow's types, so numbers, times and NULL are exactly those of the database. Every statement is
a template's, translated for the warehouse; names are quoted, so they mean exactly what is written,
upper and lower case included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakeflow_meta.errors import BackendError, ConfigError
from lakeflow_meta.ports import InteractiveWarehouse, Parameters, Row, WriteMode
from lakeflow_meta.warehouse.dialects import Dialect, Value
from lakeflow_meta.warehouse.retries import MAX_RETRIES
from lakeflow_meta.warehouse.sql_templates import SqlTemplates

if TYPE_CHECKING:
    import pandas as pd

_USUAL_SCHEMA = {Dialect.POSTGRES: "public", Dialect.DATABRICKS: "default"}
_SCHEMA_IS_THERE = frozenset({"42P06", "23505", "SCHEMA_ALREADY_EXISTS"})
"""duplicate_schema, and what PostgreSQL says to the later of two that make one at once."""
_MODES = {mode.value: mode for mode in WriteMode} | {"errorifexists": WriteMode.ERROR}
Filters = Mapping[str, Value | Sequence[Value]]


class SqlWarehouse:
    """One database, or one catalog. Threads may share it.

    Raises BackendError with the SQLSTATE as its code, NotFoundError for what is not there, and
    ConfigError for a call that cannot be meant.
    """

    def __init__(
        self,
        warehouse: InteractiveWarehouse,
        *,
        templates: Path | None = None,
        workspace: str | None = None,
        name: str | None = None,
    ) -> None:
        self._warehouse = warehouse
        self.dialect = Dialect(warehouse.dialect)
        self.sql = SqlTemplates(self.dialect, templates)
        self.target_workspace_id = workspace
        self.target_warehouse_id = name
        self.usual_schema = _USUAL_SCHEMA[self.dialect]

    def __repr__(self) -> str:
        return f"warehouse_utils({self._warehouse!r})"

    def __enter__(self) -> SqlWarehouse:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back idle connections."""
        self._warehouse.close()

    # --- statements

    def get_connection(self) -> Any:
        """A connection of your own: of psycopg, on Databricks the warehouse. Close it after use."""
        return self._warehouse.connect()

    def execute_query(
        self,
        conn: Any = None,
        query: str | None = None,
        params: Parameters = None,
        max_retries: int = MAX_RETRIES,
    ) -> pd.DataFrame | None:
        """Run a statement and commit it; its rows, None where it has no columns.

        Values: ``:name`` and a mapping, or on PostgreSQL ``%s`` and a list. What may pass is tried
        again after 0.5, 1 and 2 seconds on a new connection, but never a statement that may have
        been carried out. On a ``conn`` that is in a transaction it runs there, once.
        """
        if isinstance(conn, str):  # execute_query("SELECT …")
            conn, query, params = None, conn, params if query is None else query
        if query is None:
            raise ConfigError("there is no query; write execute_query(query=…)")
        answer = self._warehouse.run(query, params, max_retries=max_retries, connection=conn)
        return None if answer.table is None else as_frame(answer.table)

    # --- schemas

    def create_schema_if_not_exists(self, schema: str, max_retries: int = MAX_RETRIES) -> None:
        """Make a schema where it is not there; that another was faster is no error."""
        if self._rows("check_schema_exists", max_retries, schema_name=schema):
            return
        try:
            self._run("create_schema", max_retries, schema_name=schema)
        except BackendError as error:
            if error.code not in _SCHEMA_IS_THERE:
                raise

    def list_schemas(self) -> list[str]:
        """Names of the schemas that are not the database's own, sorted."""
        return sorted(row["schema_name"] for row in self._rows("list_schemas"))

    # --- tables

    def check_if_table_exists(self, table_name: str, schema_name: str | None = None) -> bool:
        """Whether a table or view is there. A database that does not answer is an error."""
        return bool(self._rows("check_table_exists", **self._place(table_name, schema_name)))

    def list_tables(self, schema_name: str | None = None) -> list[str]:
        """Names of the tables and views of a schema, sorted."""
        rows = self._rows("list_tables", schema_name=schema_name or self.usual_schema)
        return sorted(row["table_name"] for row in rows)

    def get_table_schema(self, table_name: str, schema_name: str | None = None) -> dict[str, str]:
        """Columns in order, with their types; none where there is no table."""
        rows = self._rows("get_table_schema", **self._place(table_name, schema_name))
        return {row["column_name"]: row["data_type"] for row in rows}

    def get_table_metadata(self, table_name: str, schema_name: str | None = None) -> Row | None:
        """Catalog, schema, name and kind of a table; None where there is none."""
        rows = self._rows("get_table_metadata", **self._place(table_name, schema_name))
        return rows[0] if rows else None

    def get_table_row_count(self, table_name: str, schema_name: str | None = None) -> int:
        """How many rows a table has, by counting them."""
        rows = self._rows("get_table_row_count", **self._place(table_name, schema_name))
        return int(rows[0]["row_count"])

    def create_table(
        self,
        table_name: str,
        schema_name: str | None = None,
        *,
        columns: Mapping[str, str],
        required: Iterable[str] = (),
        if_not_exists: bool = False,
    ) -> None:
        """Make a table of columns and types, which are written in PostgreSQL's words everywhere."""
        self._run(
            "create_table",
            columns=columns,
            required=list(required),
            if_not_exists=if_not_exists,
            **self._place(table_name, schema_name),
        )

    def drop_table(self, table_name: str, schema_name: str | None = None) -> None:
        """Remove a table if it is there."""
        self._run("drop_table", **self._place(table_name, schema_name))

    def drop_all_tables(self, schema_name: str, table_prefix: str = "") -> list[str]:
        """Remove the tables of one schema whose names begin so, views left; their names."""
        rows = self._rows("list_tables", schema_name=schema_name)
        kept = {"VIEW", "MATERIALIZED_VIEW", "FOREIGN"}
        names = sorted(row["table_name"] for row in rows if row["table_type"] not in kept)
        dropped = [name for name in names if name.startswith(table_prefix)]
        for name in dropped:
            self.drop_table(name, schema_name)
        return dropped

    def rename_table(self, table_name: str, new_name: str, schema_name: str | None = None) -> None:
        """Give a table another name in its schema."""
        self._run("rename_table", new_table_name=new_name, **self._place(table_name, schema_name))

    def vacuum_table(self, table_name: str, schema_name: str | None = None) -> None:
        """Tidy a table up, as the platform does it."""
        self._run("vacuum_table", **self._place(table_name, schema_name))

    # --- rows

    def read_table(
        self,
        table_name: str,
        schema_name: str | None = None,
        *,
        columns: Sequence[str] | None = None,
        limit: int | None = None,
        filters: Filters | None = None,
    ) -> pd.DataFrame:
        """Rows of a table; a filter is a column and its value, several values, or None for NULL."""
        text = self.sql.render(
            "read_table",
            columns=columns,
            limit=limit,
            filters=filters or None,
            **self._place(table_name, schema_name),
        )
        table = self._warehouse.run(text).table
        return as_frame(pa.table({}) if table is None else table)

    def delete_from_table(
        self,
        table_name: str,
        schema_name: str | None = None,
        *,
        filters: Filters | None = None,
    ) -> int:
        """Remove rows, all where there is no filter; how many."""
        place = self._place(table_name, schema_name)
        return self._run("delete_from_table", filters=filters or None, **place)

    def write_to_table(
        self, df: Any, table_name: str, schema_name: str | None = None, mode: str = "overwrite"
    ) -> int:
        """Write a DataFrame of pandas, an Arrow table, or a list of rows; how many.

        Mode: overwrite, append, error (errorifexists) or ignore. One transaction: readers see all
        of it, or what was there before.
        """
        if mode.lower() not in _MODES:
            raise ConfigError(f"write mode {mode!r} is not known; write one of {', '.join(_MODES)}")
        schema = schema_name or self.usual_schema
        return self._warehouse.write(schema, table_name, as_table(df), _MODES[mode.lower()])

    # --- inside

    def _place(self, table_name: str, schema_name: str | None) -> dict[str, Any]:
        return {"schema_name": schema_name or self.usual_schema, "table_name": table_name}

    def _rows(self, template: str, max_retries: int = MAX_RETRIES, **values: Any) -> list[Row]:
        text = self.sql.render(template, **values)
        table = self._warehouse.run(text, max_retries=max_retries).table
        rows: list[Row] = [] if table is None else table.to_pylist()
        return rows

    def _run(self, template: str, max_retries: int = MAX_RETRIES, **values: Any) -> int:
        text = self.sql.render(template, **values)
        return self._warehouse.run(text, max_retries=max_retries).changed


def as_frame(table: pa.Table) -> pd.DataFrame:
    """Rows as a DataFrame with Arrow's types. Raises ConfigError where pandas is missing."""
    try:
        import pandas as pd
    except ModuleNotFoundError as error:
        raise ConfigError(
            "pandas is not installed; run: pip install 'lakeflow_meta[postgres]'"
        ) from error
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def as_table(rows: Any) -> pa.Table:
    """Rows of a DataFrame, an Arrow table, or a list of mappings. Raises ConfigError."""
    if isinstance(rows, pa.Table):
        return rows
    try:
        if isinstance(rows, list | tuple):
            return pa.Table.from_pylist(list(rows))
        return pa.Table.from_pandas(rows, preserve_index=False)
    except (pa.ArrowException, AttributeError, TypeError) as error:
        raise ConfigError(f"these rows cannot be written: {error}") from error
