"""What Spark's session catalog holds, and changing it, for one embedded Spark.

Some things have no public door: whether a table is there without an error, its type, making a
managed table an external one. They go through the session's internal catalog; the tests hold them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeflow_meta.backends.local.spark import registration_sql
from lakeflow_meta.backends.local.spark.spark_names import SparkNames
from lakeflow_meta.backends.local.spark.warehouse import SchemaName, schema_name
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


_NEVER_MAKE_A_TABLE = "spark.databricks.delta.createEmptySchemaTable.enabled"
"""Off, registering a place without a Delta log fails instead of making an empty table there."""


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
                self._clerk.conf.set(_NEVER_MAKE_A_TABLE, "false")
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

    def place_again(self, session: SparkSession, schema: SchemaName, place: Path) -> None:
        """Set a schema's directory. Spark's COMMENT ON escapes the one it had once too often."""
        catalog = self._catalog(session)
        found = catalog.getDatabaseMetadata(self._names.database(schema))
        uri = session._jvm.org.apache.hadoop.fs.Path(str(place)).toUri()  # noqa: SLF001 - see above
        catalog.alterDatabase(_copied(found, {2: uri}))

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
            location="" if is_view else self._path(session, found.location()),
        )

    def _path(self, session: SparkSession, uri: Any) -> str:
        """A place as LOCATION takes it: a URI's ``%20`` would be escaped once more."""
        return str(session._jvm.org.apache.hadoop.fs.Path(uri).toString())  # noqa: SLF001 - see above

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
        catalog.alterTable(_copied(found, {1: kinds.EXTERNAL()}))

    def _catalog(self, session: SparkSession) -> Any:
        return session._jsparkSession.sessionState().catalog()  # noqa: SLF001 - see above

    def _identifier(self, session: SparkSession, table: TableName) -> Any:
        jvm = session._jvm  # noqa: SLF001 - see above
        database = jvm.scala.Option.apply(self._names.database(schema_name(table)))
        return jvm.org.apache.spark.sql.catalyst.TableIdentifier(table.name, database)


def _copied(case_class: Any, changes: Mapping[int, Any]) -> Any:
    """A copy of a Scala case class with other values at some positions."""
    count = case_class.productArity()
    fields = [getattr(case_class, f"copy$default${number + 1}")() for number in range(count)]
    return case_class.copy(*(changes.get(at, value) for at, value in enumerate(fields)))
