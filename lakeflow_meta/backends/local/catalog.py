"""Three-level names on Spark's session catalog: mapped, and registered when they are first named.

The warehouse directory is the truth, shared with other processes; what Spark knows is a cache of
it. `ensure` brings the two together for one table: a table that appeared is registered, one that
is gone is forgotten. Spark never owns a table's files here: every table is external to it, so that
only `Warehouse` deletes, by one rename.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from lakeflow_meta.backends.local.names_in_sql import Parts, apply_edits, find_names
from lakeflow_meta.backends.local.spark_names import SparkNames
from lakeflow_meta.backends.local.sql_tokens import Dotted, items
from lakeflow_meta.backends.local.warehouse import (
    Identity,
    SchemaName,
    Warehouse,
    checked_schema,
    checked_table,
)
from lakeflow_meta.names import TableName
from lakeflow_meta.sql import ident, literal

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

logger = logging.getLogger(__name__)


class RunSql(Protocol):
    """Spark's own ``sql``, with its own names."""

    def __call__(self, session: SparkSession, text: str, args: Any = None) -> DataFrame:
        """Run one statement."""


class LocalCatalog:
    """The catalogs of one workspace for all sessions of one embedded Spark."""

    def __init__(self, warehouse: Warehouse, catalogs: Sequence[str], run: RunSql) -> None:
        self.warehouse = warehouse
        self.names = SparkNames(catalogs[0])
        self.run = run
        self._configured = frozenset(name.lower() for name in catalogs)
        self._clerk: SparkSession | None = None
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

    def current_schema(self, session: SparkSession) -> SchemaName:
        """The schema that a session uses for names of one part."""
        database = session._jsparkSession.catalog().currentDatabase()  # noqa: SLF001 - unpatched
        return self.names.schema(database) or self.names.default_schema

    def schema_of(self, session: SparkSession, parts: Parts) -> SchemaName:
        """The schema that a name of one or two parts means in this session."""
        match parts:
            case (catalog, schema):
                self.require_catalog(session, catalog)
                return checked_schema(catalog, schema)
            case (schema,):
                return checked_schema(self.current_schema(session).catalog, schema)
            case _:
                return self.current_schema(session)

    def table_of(self, session: SparkSession, parts: Parts) -> TableName | None:
        """The table that a name means in this session; None for a name that is Spark's own."""
        match parts:
            case (catalog, schema, name):
                if self._is_foreign(session, catalog):
                    return None
                self.require_catalog(session, catalog)
                return checked_table(catalog, schema, name)
            case (schema, name):
                return self._in_current_catalog(session, schema, name)
            case (name,):
                current = self.current_schema(session)
                return _table_or_none(current.catalog, current.schema, name)
            case _:
                return None

    def _in_current_catalog(self, session: SparkSession, schema: str, name: str) -> TableName | None:
        catalog = self.current_schema(session).catalog
        table = _table_or_none(catalog, schema, name)
        if table and self.warehouse.has_schema(SchemaName(table.catalog, table.schema)):
            return table
        return None

    def _is_foreign(self, session: SparkSession, catalog: str) -> bool:
        """A catalog that somebody has configured in Spark itself."""
        if catalog.lower() == "spark_catalog":
            return True
        return session.conf.get(f"spark.sql.catalog.{catalog}", None) is not None

    def require_catalog(self, session: SparkSession, catalog: str) -> None:
        """Raise Spark's own error for a catalog that does not exist."""
        if not self.has_catalog(catalog):
            raise catalog_not_found(catalog, self.catalogs())

    # --- statements and names given to the DataFrame API

    def rewrite(self, session: SparkSession, text: str) -> str:
        """The text with Spark's names; every table that it names is registered."""
        names = find_names(items(text))

        def spark_name(parts: Parts) -> str | None:
            table = self.table_of(session, parts)
            if table is None:
                return None
            self.ensure(session, table)
            return None if len(parts) == 1 else self.names.quoted(table)

        return apply_edits(text, names.edits(spark_name))

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
        schema = SchemaName(table.catalog, table.schema)
        if identity is None:
            self.ensure_schema(session, schema)
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
        self.ensure_schema(session, SchemaName(table.catalog, table.schema))
        if self._known.get(table) not in (None, identity):
            self.forget(session, table)
        if identity is None:
            return
        if not self._spark_has(session, table):
            self._register(session, table)
        self._own(session, table)
        self._known[table] = identity

    def trust(self, table: TableName) -> None:
        """Take what Spark has for the present form of the table."""
        identity = self.warehouse.identity(table)
        if identity is not None:
            self._known[table] = identity

    def forget(self, session: SparkSession, table: TableName) -> None:
        """Let Spark forget the table; no file is touched."""
        with self._lock:
            self._known.pop(table, None)
            if self._spark_has(session, table):
                self._own(session, table)
                kind = "VIEW" if self._is_view(session, table) else "TABLE"
                self.run(self.clerk(session), f"DROP {kind} IF EXISTS {self.names.quoted(table)}")

    def ensure_schema(self, session: SparkSession, schema: SchemaName) -> None:
        """Let Spark know the schema exactly when it is there."""
        present = self.warehouse.has_schema(schema)
        if present == (schema in self._schemas) or schema == self.names.default_schema:
            return
        with self._lock:
            if present:
                self._register_schema(session, schema)
            else:
                self.forget_schema(session, schema)

    def forget_schema(self, session: SparkSession, schema: SchemaName) -> None:
        """Let Spark forget a schema whose directory is gone."""
        with self._lock:
            self._schemas.discard(schema)
            for table in [t for t in self._known if (t.catalog, t.schema) == _pair(schema)]:
                del self._known[table]
            database = ident(self.names.database(schema))
            self.run(self.clerk(session), f"DROP DATABASE IF EXISTS {database} CASCADE")

    def _register_schema(self, session: SparkSession, schema: SchemaName) -> None:
        database = ident(self.names.database(schema))
        comment = literal(self.warehouse.schema_note(schema).get("comment", ""))
        place = literal(str(self.warehouse.schema_path(schema)))
        self.run(
            self.clerk(session),
            f"CREATE DATABASE IF NOT EXISTS {database} COMMENT {comment} LOCATION {place}",
        )
        self._schemas.add(schema)

    def _register(self, session: SparkSession, table: TableName) -> None:
        note = self.warehouse.note(table)
        clerk = self.clerk(session)
        if "view" in note:
            self._replay(clerk, note)
            return
        if "table" in note:
            self.run(clerk, note["table"])
            return
        place = literal(str(self.warehouse.table_path(table)))
        name = self.names.quoted(table)
        self.run(clerk, f"CREATE TABLE IF NOT EXISTS {name} USING delta LOCATION {place}")

    def _replay(self, clerk: SparkSession, note: dict[str, Any]) -> None:
        """Make a view again from its text, as it was made: with the schema that was current."""
        current = SchemaName(*note["current"])
        self.ensure_schema(clerk, current)
        before = clerk._jsparkSession.catalog().currentDatabase()  # noqa: SLF001 - unpatched
        clerk._jsparkSession.catalog().setCurrentDatabase(self.names.database(current))  # noqa: SLF001
        try:
            for statement in note["view"]:
                self.run(clerk, self.rewrite(clerk, statement))
        finally:
            clerk._jsparkSession.catalog().setCurrentDatabase(before)  # noqa: SLF001

    def clerk(self, session: SparkSession) -> SparkSession:
        """The session that registers: no user's current schema, settings or temporary views."""
        with self._lock:
            if self._clerk is None:
                self._clerk = session.newSession()
            return self._clerk

    # --- Spark's own view of a table: there is no public door to change a table's type

    def _identifier(self, session: SparkSession, table: TableName) -> Any:
        jvm = session._jvm  # noqa: SLF001
        database = self.names.database(SchemaName(table.catalog, table.schema))
        option = jvm.scala.Option.apply(database)
        return jvm.org.apache.spark.sql.catalyst.TableIdentifier(table.name, option)

    def _spark_has(self, session: SparkSession, table: TableName) -> bool:
        catalog = session._jsparkSession.sessionState().catalog()  # noqa: SLF001
        return bool(catalog.tableExists(self._identifier(session, table)))

    def _is_view(self, session: SparkSession, table: TableName) -> bool:
        catalog = session._jsparkSession.sessionState().catalog()  # noqa: SLF001
        return bool(catalog.getTableMetadata(self._identifier(session, table)).tableType().name() == "VIEW")

    def _own(self, session: SparkSession, table: TableName) -> None:
        """Make a table that Spark has created as managed an external one."""
        catalog = session._jsparkSession.sessionState().catalog()  # noqa: SLF001
        found = catalog.getTableMetadata(self._identifier(session, table))
        types = session._jvm.org.apache.spark.sql.catalyst.catalog.CatalogTableType  # noqa: SLF001
        if found.tableType().name() != types.MANAGED().name():
            return
        fields = [getattr(found, f"copy$default${n}")() for n in range(1, found.productArity() + 1)]
        fields[1] = types.EXTERNAL()
        catalog.alterTable(found.copy(*fields))


def _pair(schema: SchemaName) -> tuple[str, str]:
    return schema.catalog, schema.schema


def _table_or_none(catalog: str, schema: str, name: str) -> TableName | None:
    """None where the name cannot be a directory: then it is something of Spark's own."""
    from lakeflow_meta.errors import ConfigError

    try:
        return checked_table(catalog, schema, name)
    except ConfigError:
        return None


def catalog_not_found(catalog: str, known: Sequence[str]) -> Exception:
    """The error that Databricks raises, in pyspark's class."""
    from pyspark.errors import AnalysisException

    return AnalysisException(
        f"[CATALOG_NOT_FOUND] The catalog {ident(catalog)} does not exist; there are"
        f" {', '.join(known)}. CREATE CATALOG {ident(catalog)} makes it.",
        errorClass="CATALOG_NOT_FOUND",
        messageParameters={"catalogName": ident(catalog)},
    )
