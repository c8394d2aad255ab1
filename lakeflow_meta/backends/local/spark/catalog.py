"""Three-level names on Spark's session catalog: mapped, and registered when they are first named.

The warehouse directory is the truth, shared with other processes; what Spark knows is a cache of
it. `ensure` brings the two together for one table: a table that appeared is registered, one that
is gone is forgotten. Spark never owns a table's files here: every table is external to it, so that
only `Warehouse` deletes, by one rename.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lakeflow_meta.backends.local.spark.dotted_names import Dotted, items
from lakeflow_meta.backends.local.spark.functions_in_sql import function_edits
from lakeflow_meta.backends.local.spark.names_in_sql import Parts, Rewritten, find_names
from lakeflow_meta.backends.local.spark.spark_names import SparkNames
from lakeflow_meta.backends.local.spark.spark_tables import RunSql, SparkTables
from lakeflow_meta.backends.local.spark.warehouse import (
    Identity,
    SchemaName,
    Warehouse,
    checked_schema,
    checked_table,
    schema_name,
    table_or_none,
)
from lakeflow_meta.names import TableName
from lakeflow_meta.sql import ident

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)


class LocalCatalog:
    """The catalogs of one workspace for all sessions of one embedded Spark."""

    def __init__(self, warehouse: Warehouse, catalogs: Sequence[str], run: RunSql) -> None:
        self.warehouse = warehouse
        self.names = SparkNames(catalogs[0])
        self.run = run
        self.spark = SparkTables(self.names, run)
        self._configured = frozenset(name.lower() for name in catalogs)
        self._schemas: set[SchemaName] = {self.names.default_schema}
        self._known: dict[TableName, Identity] = {}
        self._in_progress: set[TableName] = set()
        self._lock = threading.RLock()

    # --- names

    def has_catalog(self, catalog: str) -> bool:
        """Whether there is such a catalog: configured, or a directory."""
        name = catalog.lower()
        return name in self._configured or self.warehouse.has_catalog(name)

    def catalogs(self) -> list[str]:
        """Every catalog."""
        return sorted(self._configured | set(self.warehouse.catalogs()))

    def require_catalog(self, catalog: str) -> None:
        """Raise Spark's own error for a catalog that does not exist."""
        if not self.has_catalog(catalog):
            raise catalog_not_found(catalog, self.catalogs())

    def current_schema(self, session: SparkSession) -> SchemaName:
        """The schema that a session uses for names of one part."""
        database = self.spark.current_database(session)
        return self.names.schema(database) or self.names.default_schema

    def schema_of(self, session: SparkSession, parts: Parts) -> SchemaName:
        """The schema that a name of up to two parts means in this session."""
        match parts:
            case (catalog, schema):
                self.require_catalog(catalog)
                return checked_schema(catalog, schema)
            case (schema,):
                return checked_schema(self.current_schema(session).catalog, schema)
            case _:
                return self.current_schema(session)

    def table_of(self, session: SparkSession, parts: Parts) -> TableName | None:
        """The table that a name means in this session; None for a name that is Spark's own."""
        match parts:
            case (catalog, schema, name):
                if not self.has_catalog(catalog) and self._is_foreign(session, catalog):
                    return None
                self.require_catalog(catalog)
                return checked_table(catalog, schema, name)
            case (schema, name):
                return self._in_current_catalog(session, schema, name)
            case (name,):
                current = self.current_schema(session)
                return table_or_none(current.catalog, current.schema, name)
            case _:
                return None

    def _in_current_catalog(
        self, session: SparkSession, schema: str, name: str
    ) -> TableName | None:
        table = table_or_none(self.current_schema(session).catalog, schema, name)
        if table and self.warehouse.has_schema(schema_name(table)):
            return table
        return None

    def _is_foreign(self, session: SparkSession, catalog: str) -> bool:
        """A catalog that somebody has configured in Spark itself."""
        if catalog.lower() == "spark_catalog":
            return True
        return session.conf.get(f"spark.sql.catalog.{catalog}", None) is not None

    # --- statements and names given to the DataFrame API

    def rewrite(
        self, session: SparkSession, text: str, replaces: TableName | None = None
    ) -> Rewritten:
        """The text with Spark's names; every table that it names is registered.

        ``replaces`` is the view that the text makes anew: its old form is not needed.
        """

        def spark_text(parts: Parts) -> str | None:
            table = self.table_of(session, parts)
            if table is None:
                return None
            if table != replaces:
                self.ensure(session, table)
            return None if len(parts) == 1 else self.names.quoted(table)

        def current() -> tuple[str, str]:
            return _pair(self.current_schema(session))

        found = items(text)
        edits = find_names(found).edits(spark_text)
        return Rewritten(text, (*edits, *function_edits(found, current, spark_text)))

    def spark_name(self, session: SparkSession, name: str) -> str:
        """The same for one name; what is no name is left as it is."""
        found = items(name)
        if len(found) != 1 or not isinstance(found[0], Dotted):
            return name
        table = self.table_of(session, found[0].parts)
        if table is None:
            return name
        self.ensure(session, table)
        return name if len(found[0].parts) == 1 else self.names.quoted(table)

    # --- what Spark knows

    def ensure(self, session: SparkSession, table: TableName) -> None:
        """Let Spark know the table exactly when it is there, in its present form."""
        identity = self.warehouse.identity(table)
        if identity is None:
            self.ensure_schema(session, schema_name(table))
        if identity == self._known.get(table):
            return
        with self._lock:
            if table in self._in_progress:
                return
            self._in_progress.add(table)
            try:
                self._refresh(session, table, self.warehouse.identity(table))
            finally:
                self._in_progress.discard(table)

    def _refresh(self, session: SparkSession, table: TableName, identity: Identity | None) -> None:
        self.ensure_schema(session, schema_name(table))
        if self._known.get(table) not in (None, identity):
            self.forget(session, table)
        if identity is None:
            return
        if not self.spark.has(session, table):
            self._register(session, table)
        self.spark.own(session, table)
        self._known[table] = identity

    def knows(self, table: TableName) -> bool:
        """Whether Spark knows the table in its present form."""
        return self._known.get(table) == self.warehouse.identity(table) is not None

    def trust(self, table: TableName) -> None:
        """Take what Spark has for the present form of the table."""
        identity = self.warehouse.identity(table)
        if identity is not None:
            self._known[table] = identity

    def forget(self, session: SparkSession, table: TableName) -> None:
        """Let Spark forget the table; no file is touched."""
        with self._lock:
            self._known.pop(table, None)
            self.spark.drop(session, table)

    def ensure_schema(self, session: SparkSession, schema: SchemaName) -> None:
        """Let Spark know the schema exactly when it is there."""
        present = self.warehouse.has_schema(schema)
        if present == (schema in self._schemas) or schema == self.names.default_schema:
            return
        with self._lock:
            if present:
                comment = self.warehouse.schema_note(schema).get("comment", "")
                place = self.warehouse.schema_path(schema)
                self.spark.create_schema(session, schema, place, comment)
                self._schemas.add(schema)
            else:
                self.forget_schema(session, schema)

    def forget_schema(self, session: SparkSession, schema: SchemaName) -> None:
        """Let Spark forget a schema whose directory is gone."""
        with self._lock:
            self._schemas.discard(schema)
            for table in [each for each in self._known if schema_name(each) == schema]:
                del self._known[table]
            self.spark.drop_schema(session, schema)

    def _register(self, session: SparkSession, table: TableName) -> None:
        note = self.warehouse.note(table)
        if self.warehouse.is_delta(table):
            self.spark.create_table(session, table, self.warehouse.table_path(table))
        elif "view" in note:
            self._replay(self.spark.clerk(session), note)
        elif "location" in note:
            self.spark.create_table(session, table, note["location"])
        elif "table" in note:
            self.run(self.spark.clerk(session), note["table"])

    def _replay(self, clerk: SparkSession, note: Mapping[str, Any]) -> None:
        """Make a view again from its text, as it was made: with the schema that was current."""
        current = SchemaName(*note["current"])
        self.ensure_schema(clerk, current)
        before = self.spark.current_database(clerk)
        self.spark.use(clerk, self.names.database(current))
        try:
            for statement in note["view"]:
                self.run(clerk, self.rewrite(clerk, statement).result)
        finally:
            self.spark.use(clerk, before)


def _pair(schema: SchemaName) -> tuple[str, str]:
    return schema.catalog, schema.schema


def catalog_not_found(catalog: str, known: Sequence[str]) -> Exception:
    """The error that Databricks raises, in pyspark's class."""
    message = f"The catalog {ident(catalog)} does not exist; there are {', '.join(known)}"
    return analysis_error("CATALOG_NOT_FOUND", message)


def analysis_error(condition: str, message: str) -> Exception:
    """An error as Spark itself would raise it."""
    from pyspark.errors import AnalysisException

    error: Exception = AnalysisException(f"{message}.", errorClass=condition, messageParameters={})
    return error
