"""What Spark's session catalog holds, and changing it, for one embedded Spark.

Three things have no public door: whether a table is there without an error, its type, and making a
managed table an external one. They go through the session's internal catalog; a test holds them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeflow_meta.backends.local import registration_sql
from lakeflow_meta.backends.local.spark_names import SparkNames
from lakeflow_meta.backends.local.warehouse import SchemaName, schema_name
from lakeflow_meta.names import TableName

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

RunSql = Callable[..., "DataFrame"]
"""Spark's own ``sql``: a session, a text with Spark's names, and maybe arguments."""


@dataclass(frozen=True, slots=True)
class Found:
    """A table as Spark has it; ``provider`` is its format, e.g. ``delta``."""

    is_view: bool
    is_managed: bool
    provider: str
    location: str


class SparkTables:
    """Registers and forgets. No file is ever written or deleted here."""

    def __init__(self, names: SparkNames, run: RunSql) -> None:
        self._names = names
        self._run = run
        self._clerk: SparkSession | None = None
        self._lock = threading.RLock()

    def clerk(self, session: SparkSession) -> SparkSession:
        """The session that registers: no user's current schema, settings or temporary views."""
        with self._lock:
            if self._clerk is None:
                self._clerk = session.newSession()
            return self._clerk

    # --- schemas

    def create_schema(
        self, session: SparkSession, schema: SchemaName, place: Path, comment: str
    ) -> None:
        """Register a schema's directory."""
        database = self._names.database(schema)
        text = registration_sql.create_database(database, place, comment)
        self._run(self.clerk(session), text)

    def drop_schema(self, session: SparkSession, schema: SchemaName) -> None:
        """Forget a schema and everything in it. Its directory must be gone already."""
        text = registration_sql.drop_database(self._names.database(schema))
        self._run(self.clerk(session), text)

    def current_database(self, session: SparkSession) -> str:
        """The database that a session uses for names of one part."""
        return str(session._jsparkSession.catalog().currentDatabase())  # noqa: SLF001 - unwrapped

    def use(self, session: SparkSession, database: str) -> None:
        """Make a database current in a session."""
        session._jsparkSession.catalog().setCurrentDatabase(database)  # noqa: SLF001 - unwrapped

    def comment_of(self, session: SparkSession, schema: SchemaName) -> str:
        """The comment of a schema; empty where it has none."""
        catalog = session._jsparkSession.catalog()  # noqa: SLF001 - unwrapped
        return str(catalog.getDatabase(self._names.database(schema)).description() or "")

    # --- tables and views

    def has(self, session: SparkSession, table: TableName) -> bool:
        """Whether Spark knows the table or view."""
        return bool(self._catalog(session).tableExists(self._identifier(session, table)))

    def find(self, session: SparkSession, table: TableName) -> Found:
        """What Spark knows of it."""
        found = self._catalog(session).getTableMetadata(self._identifier(session, table))
        kind = found.tableType().name()
        is_view = kind == "VIEW"
        provider = found.provider()
        return Found(
            is_view=is_view,
            is_managed=kind == "MANAGED",
            provider=str(provider.get()).lower() if provider.isDefined() else "",
            location="" if is_view else str(found.location().toString()),
        )

    def is_temporary_view(self, session: SparkSession, name: str) -> bool:
        """Whether a name of one part is a temporary view in this session."""
        return bool(self._catalog(session).getTempView(name).isDefined())

    def create_table(self, session: SparkSession, table: TableName, place: Path | str) -> None:
        """Register a Delta directory."""
        text = registration_sql.create_delta_table(self._names.quoted(table), place)
        self._run(self.clerk(session), text)

    def text_of(self, session: SparkSession, table: TableName) -> str:
        """The statement that makes a table of another format again."""
        text = registration_sql.show_create_table(self._names.quoted(table))
        return str(self._run(self.clerk(session), text).collect()[0][0])

    def drop(self, session: SparkSession, table: TableName) -> None:
        """Forget the table or view; its files stay."""
        if not self.has(session, table):
            return
        self.own(session, table)
        is_view = self.find(session, table).is_view
        text = registration_sql.drop_relation(self._names.quoted(table), is_view=is_view)
        self._run(self.clerk(session), text)

    def own(self, session: SparkSession, table: TableName) -> None:
        """Make a table that Spark has created as managed an external one: dropping keeps files."""
        if not self.find(session, table).is_managed:
            return
        catalog = self._catalog(session)
        found = catalog.getTableMetadata(self._identifier(session, table))
        kinds = session._jvm.org.apache.spark.sql.catalyst.catalog.CatalogTableType  # noqa: SLF001
        fields = [getattr(found, f"copy$default${n}")() for n in range(1, found.productArity() + 1)]
        fields[1] = kinds.EXTERNAL()
        catalog.alterTable(found.copy(*fields))

    def _catalog(self, session: SparkSession) -> Any:
        return session._jsparkSession.sessionState().catalog()  # noqa: SLF001 - see above

    def _identifier(self, session: SparkSession, table: TableName) -> Any:
        jvm = session._jvm  # noqa: SLF001 - see above
        database = jvm.scala.Option.apply(self._names.database(schema_name(table)))
        return jvm.org.apache.spark.sql.catalyst.TableIdentifier(table.name, database)
