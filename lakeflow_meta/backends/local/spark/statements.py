"""Runs one SQL text on the local catalog.

Most texts only get Spark's names and go to Spark. Those that change which tables and views there
are also change the warehouse directory, in one step, so that a process that dies in between leaves
the statement done or not done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, assert_never

from lakeflow_meta.backends.local.spark import commands as c
from lakeflow_meta.backends.local.spark.catalog import LocalCatalog
from lakeflow_meta.backends.local.spark.dotted_names import items
from lakeflow_meta.backends.local.spark.functions_in_sql import inline_identifiers
from lakeflow_meta.backends.local.spark.names_in_sql import Parts, Rewritten
from lakeflow_meta.backends.local.spark.schema_statements import SchemaStatements
from lakeflow_meta.backends.local.spark.warehouse import SchemaName
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.names import TableName

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Ask = Callable[[Rewritten], "DataFrame"]
"""Spark's own answer to the user's statement, with the user's arguments."""

_NOT_IN_SCRIPTS = {"DROP", "RENAME", "VIEW", "SCHEMA", "DATABASE", "CATALOG", "USE"}


class Statements:
    """The door for SQL texts: ``sql`` as users know it, with three-level names."""

    def __init__(self, catalog: LocalCatalog) -> None:
        self.catalog = catalog
        self._warehouse = catalog.warehouse
        self.schemas = SchemaStatements(catalog)

    def sql(self, session: SparkSession, text: str, args: Any, ask: Ask) -> DataFrame:
        """Run one statement in a session."""
        text = inline_identifiers(text, args)
        command = c.read_command(items(text))
        match command:
            case c.Other():
                return ask(self.catalog.rewrite(session, text))
            case c.Script():
                return self._script(session, text, ask)
            case c.UseCatalog() | c.UseSchema():
                return self.schemas.use(session, command)
            case c.CreateCatalog() | c.DropCatalog():
                return self.schemas.on_catalog(session, command)
            case c.ShowCatalogs() | c.ShowSchemas() | c.ShowTables():
                return self.schemas.show(session, command)
            case c.CreateSchema() | c.DropSchema() | c.ChangeSchema():
                return self.schemas.on_schema(session, text, command)
            case c.DescribeSchema():
                return self._described(session, self.schemas.on_schema(session, text, command))
            case _:
                return self._on_tables(session, text, ask, command)

    def _on_tables(
        self, session: SparkSession, text: str, ask: Ask, command: c.TableCommand
    ) -> DataFrame:
        match command:
            case c.CreateTable():
                return self._create_table(session, text, ask, command)
            case c.CreateView():
                return self._create_view(session, text, ask, command)
            case c.AlterView():
                return self._alter_view(session, text, ask, command)
            case c.DropRelation():
                return self._drop(session, text, ask, command)
            case c.RenameTable():
                return self._rename(session, text, ask, command)
            case c.Describe():
                return self._described(session, ask(self.catalog.rewrite(session, text)))
            case _:
                assert_never(command)

    def _script(self, session: SparkSession, text: str, ask: Ask) -> DataFrame:
        """BEGIN … END: names are mapped; what would change the directory is refused."""
        refused = sorted({item.word for item in items(text)} & _NOT_IN_SCRIPTS)
        if refused:
            raise ConfigError(
                f"the local catalog takes no {', '.join(refused)} inside BEGIN … END;"
                " run it as a statement of its own"
            )
        return ask(self.catalog.rewrite(session, text))

    # --- tables

    def _create_table(
        self, session: SparkSession, text: str, ask: Ask, command: c.CreateTable
    ) -> DataFrame:
        table = self.catalog.table_of(session, command.table)
        if table is not None:
            self._warehouse.clear_vacant(table)
        answer = ask(self.catalog.rewrite(session, text))
        self.settle(session, command.table)
        return answer

    def settle(self, session: SparkSession, name: Parts) -> None:
        """Note a table that Spark has just made: take it over, or note where it lies."""
        table = self.catalog.table_of(session, name)
        if table is None:
            return
        if self._warehouse.identity(table) is None and self.catalog.spark.has(session, table):
            self._note_elsewhere(session, table)
        self.catalog.ensure(session, table)

    def _note_elsewhere(self, session: SparkSession, table: TableName) -> None:
        spark = self.catalog.spark
        spark.own(session, table)
        found = spark.find(session, table)
        if found.provider == "delta":
            self._warehouse.write_note(table, {"location": found.location})
        else:
            self._warehouse.write_note(table, {"table": spark.text_of(session, table)})

    def _drop(
        self, session: SparkSession, text: str, ask: Ask, command: c.DropRelation
    ) -> DataFrame:
        relation = self._lasting(session, command.relation)
        if relation is None or self._warehouse.identity(relation) is None:
            return ask(self.catalog.rewrite(session, text))
        if not self.catalog.knows(relation) and self._is_of_kind(relation, command):
            answer = self.schemas.nothing(session)
        else:
            answer = ask(self.catalog.rewrite(session, text))
        self._warehouse.drop_table(relation)
        self.catalog.forget(session, relation)
        return answer

    def _is_of_kind(self, relation: TableName, command: c.DropRelation) -> bool:
        return self._warehouse.is_view(relation) == command.is_view

    def _lasting(self, session: SparkSession, name: Parts) -> TableName | None:
        """The table or view that is meant; None where a temporary view has the name."""
        if len(name) == 1 and self.catalog.spark.is_temporary_view(session, name[0]):
            return None
        return self.catalog.table_of(session, name)

    def _rename(
        self, session: SparkSession, text: str, ask: Ask, command: c.RenameTable
    ) -> DataFrame:
        """Spark checks it and renames its entry; then the directory gets its name, at once."""
        table = self._lasting(session, command.table)
        answer = ask(self.catalog.rewrite(session, text))
        if table is not None:
            new = self._renamed(session, table, command.new)
            self.catalog.forget(session, new)
            self.catalog.forget(session, table)
            self._warehouse.rename_table(table, new)
        return answer

    def _renamed(self, session: SparkSession, table: TableName, new: Parts) -> TableName:
        """A new name of one part stays in the table's schema."""
        meant = self.catalog.table_of(session, new) if len(new) > 1 else None
        return meant or SchemaName(table.catalog, table.schema).table(new[-1])

    # --- views

    def _create_view(
        self, session: SparkSession, text: str, ask: Ask, command: c.CreateView
    ) -> DataFrame:
        """Kept as its text, with the schema that was current."""
        view = self.catalog.table_of(session, command.view)
        replaces = view if command.replaces else None
        answer = ask(self.catalog.rewrite(session, text, replaces))
        if view is None or (command.if_not_exists and self._warehouse.identity(view) is not None):
            return answer
        current = self.catalog.current_schema(session)
        note = {"view": [text], "current": [current.catalog, current.schema]}
        self._warehouse.write_note(view, note)
        self.catalog.trust(view)
        return answer

    def _alter_view(
        self, session: SparkSession, text: str, ask: Ask, command: c.AlterView
    ) -> DataFrame:
        """The statement is added to the view's text. What it names must be named in full."""
        if command.renames:
            raise ConfigError("the local catalog cannot rename a view; create it anew")
        view = self._lasting(session, command.view)
        answer = ask(self.catalog.rewrite(session, text))
        if view is not None:
            note = self._warehouse.note(view)
            self._warehouse.write_note(view, {**note, "view": [*note["view"], text]})
            self.catalog.trust(view)
        return answer

    # --- answers

    def _described(self, session: SparkSession, answer: DataFrame) -> DataFrame:
        """The same rows with the names that people know in every text."""
        rows = answer.collect()
        databases = [row[1] for row in rows if row[0] in _DATABASE_ROWS]
        schema = self.catalog.names.schema(databases[0]) if databases else None
        restored = [tuple(self._restored(row, value, schema) for value in row) for row in rows]
        if restored == [tuple(row) for row in rows]:
            return answer
        return session.createDataFrame(restored, answer.schema)

    def _restored(self, row: Any, value: Any, schema: SchemaName | None) -> Any:
        if schema is not None and value == row[1]:
            if row[0] in _CATALOG_ROWS:
                return schema.catalog
            if row[0] in _DATABASE_ROWS:
                return schema.schema
        return self.catalog.names.restore(value) if isinstance(value, str) else value


_CATALOG_ROWS = {"Catalog", "Catalog Name"}
_DATABASE_ROWS = {"Database", "Namespace", "Namespace Name"}
"""How DESCRIBE labels them: TABLE EXTENDED, SCHEMA."""
