"""Runs the statements that name catalogs and schemas: USE, CREATE, DROP, COMMENT ON, SHOW."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

from lakeflow_meta.backends.local.spark import commands as c
from lakeflow_meta.backends.local.spark import registration_sql
from lakeflow_meta.backends.local.spark.catalog import LocalCatalog, analysis_error
from lakeflow_meta.backends.local.spark.names_in_sql import Edit, NameUse, apply_edits
from lakeflow_meta.backends.local.spark.warehouse import SchemaName, checked_schema
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.sql import ident

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SchemaCommand = c.CreateSchema | c.DropSchema | c.ChangeSchema | c.DescribeSchema
CatalogCommand = c.CreateCatalog | c.DropCatalog
ShowCommand = c.ShowCatalogs | c.ShowSchemas | c.ShowTables


@dataclass(frozen=True, slots=True)
class ShownTable:
    """One row of SHOW TABLES."""

    name: str
    is_temporary: bool


class SchemaStatements:
    """Catalogs and schemas of one local catalog."""

    def __init__(self, catalog: LocalCatalog) -> None:
        self._catalog = catalog
        self._warehouse = catalog.warehouse

    # --- USE

    def use(self, session: SparkSession, command: c.UseCatalog | c.UseSchema) -> DataFrame:
        """Make a schema current; with a catalog, its schema ``default``."""
        if isinstance(command, c.UseCatalog):
            self._catalog.require_catalog(command.catalog)
            schema = checked_schema(command.catalog, "default")
            self._warehouse.create_schema(schema)
        else:
            schema = self._catalog.schema_of(session, command.schema)
        self._catalog.ensure_schema(session, schema)
        database = self._catalog.names.database(schema)
        return self._catalog.run(session, registration_sql.use_database(database))

    # --- catalogs

    def on_catalog(self, session: SparkSession, command: CatalogCommand) -> DataFrame:
        """CREATE CATALOG, DROP CATALOG."""
        match command:
            case c.CreateCatalog():
                self._create_catalog(command)
            case c.DropCatalog():
                if self._catalog.has_catalog(command.catalog) or not command.if_exists:
                    self._drop_catalog(session, command)
            case _:
                assert_never(command)
        return self.nothing(session)

    def nothing(self, session: SparkSession) -> DataFrame:
        """The answer of a statement that has none."""
        return self._catalog.run(session, "SELECT 1 AS done LIMIT 0").drop("done")

    def _create_catalog(self, command: c.CreateCatalog) -> None:
        if command.clause:
            raise ConfigError(
                f"the local catalog takes no {command.clause} clause: a catalog is a directory"
            )
        if self._catalog.has_catalog(command.catalog) and not command.if_not_exists:
            raise analysis_error(
                "CATALOG_ALREADY_EXISTS", f"The catalog {ident(command.catalog)} exists already"
            )
        self._warehouse.create_schema(checked_schema(command.catalog, "default"))

    def _drop_catalog(self, session: SparkSession, command: c.DropCatalog) -> None:
        self._catalog.require_catalog(command.catalog)
        name = checked_schema(command.catalog, "default").catalog
        schemas = [SchemaName(name, each) for each in self._warehouse.schemas(name)]
        if not command.cascade and any(self._warehouse.relations(each) for each in schemas):
            raise analysis_error(
                "CATALOG_NOT_EMPTY", f"The catalog {ident(name)} is not empty; add CASCADE"
            )
        self._warehouse.drop_catalog(name)
        for schema in schemas:
            self._catalog.forget_schema(session, schema)

    # --- schemas

    def on_schema(self, session: SparkSession, text: str, command: SchemaCommand) -> DataFrame:
        """CREATE, DROP, DESCRIBE SCHEMA, COMMENT ON SCHEMA."""
        schema = self._catalog.schema_of(session, command.use.parts)
        self._catalog.ensure_schema(session, schema)
        match command:
            case c.CreateSchema():
                return self._create_schema(session, text, command, schema)
            case c.DropSchema():
                return self._drop_schema(session, text, command, schema)
            case c.ChangeSchema():
                return self._change_schema(session, text, command, schema)
            case c.DescribeSchema():
                return self._run_renamed(session, text, command.use, schema)
            case _:
                assert_never(command)

    def _run_renamed(
        self, session: SparkSession, text: str, use: NameUse, schema: SchemaName, clause: str = ""
    ) -> DataFrame:
        database = ident(self._catalog.names.database(schema))
        edit = Edit(use.start, use.end, f"{database} {clause}".rstrip())
        return self._catalog.run(session, apply_edits(text, [edit]))

    def _create_schema(
        self, session: SparkSession, text: str, command: c.CreateSchema, schema: SchemaName
    ) -> DataFrame:
        if command.clause:
            raise ConfigError(
                f"the local catalog takes no {command.clause} clause: a schema is a directory"
            )
        place = registration_sql.at(self._warehouse.schema_path(schema))
        existed = self._warehouse.has_schema(schema)
        answer = self._run_renamed(session, text, command.use, schema, place)
        self._catalog.ensure_schema(session, schema)
        if not existed:
            self._note_comment(session, schema)
        return answer

    def _change_schema(
        self, session: SparkSession, text: str, command: c.ChangeSchema, schema: SchemaName
    ) -> DataFrame:
        if not command.is_comment:
            raise ConfigError("the local catalog has no ALTER SCHEMA; it has COMMENT ON SCHEMA")
        answer = self._run_renamed(session, text, command.use, schema)
        place = self._warehouse.schema_path(schema)
        self._catalog.spark.place_again(session, schema, place)
        self._note_comment(session, schema)
        return answer

    def _note_comment(self, session: SparkSession, schema: SchemaName) -> None:
        comment = self._catalog.spark.comment_of(session, schema)
        if comment != self._warehouse.schema_note(schema).get("comment", ""):
            self._warehouse.write_schema_note(schema, {"comment": comment})

    def _drop_schema(
        self, session: SparkSession, text: str, command: c.DropSchema, schema: SchemaName
    ) -> DataFrame:
        """Spark says whether it may go: a schema with anything in it needs CASCADE."""
        inside = self._warehouse.relations(schema)
        if inside and not command.cascade:
            self._catalog.ensure(session, schema.table(inside[0]))
        elif schema != self._catalog.names.default_schema:
            self._warehouse.drop_schema(schema)
        answer = self._run_renamed(session, text, command.use, schema)
        self._catalog.forget_schema(session, schema)
        return answer

    # --- SHOW

    def show(self, session: SparkSession, command: ShowCommand) -> DataFrame:
        """SHOW CATALOGS, SCHEMAS, TABLES, VIEWS: from the directory, not from what Spark knows."""
        match command:
            case c.ShowCatalogs():
                found = matching(self._catalog.catalogs(), command.pattern)
                return self._rows(session, "catalog string", ({"catalog": n} for n in found))
            case c.ShowSchemas():
                rows = ({"databaseName": n} for n in self.schemas(session, command))
                return self._rows(session, "databaseName string", rows)
            case c.ShowTables():
                return self._show_tables(session, command)
            case _:
                assert_never(command)

    def schemas(self, session: SparkSession, command: c.ShowSchemas) -> list[str]:
        """The schemas of a catalog; every catalog has one called ``default``."""
        catalog = command.catalog or self._catalog.current_schema(session).catalog
        self._catalog.require_catalog(catalog)
        everything = {"default", *self._warehouse.schemas(catalog.lower())}
        return matching(sorted(everything), command.pattern)

    def has_schema(self, schema: SchemaName) -> bool:
        """Whether there is such a schema; every catalog has one called ``default``."""
        return schema.schema == "default" or self._warehouse.has_schema(schema)

    def require_schema(self, schema: SchemaName) -> None:
        """Raise Spark's own error for a schema that does not exist."""
        if not self.has_schema(schema):
            raise analysis_error("SCHEMA_NOT_FOUND", f"The schema {schema} does not exist")

    def tables(
        self, session: SparkSession, schema: SchemaName, pattern: str, *, views_only: bool = False
    ) -> list[ShownTable]:
        """Tables and views of a schema, and the session's temporary views."""
        self.require_schema(schema)
        names = self._warehouse.views(schema) if views_only else self._warehouse.relations(schema)
        lasting = [ShownTable(name, is_temporary=False) for name in matching(names, pattern)]
        passing = matching(self._temporary_views(session), pattern)
        return [*lasting, *(ShownTable(name, is_temporary=True) for name in passing)]

    def _show_tables(self, session: SparkSession, command: c.ShowTables) -> DataFrame:
        """Columns as Databricks names them, which differ from Spark's own."""
        schema = self._catalog.schema_of(session, command.schema)
        found = self.tables(session, schema, command.pattern, views_only=command.views_only)
        first, second = (
            ("namespace", "viewName") if command.views_only else ("database", "tableName")
        )
        rows = (
            {
                first: "" if each.is_temporary else schema.schema,
                second: each.name,
                "isTemporary": each.is_temporary,
            }
            for each in found
        )
        return self._rows(session, f"{first} string, {second} string, isTemporary boolean", rows)

    def _temporary_views(self, session: SparkSession) -> list[str]:
        found = self._catalog.run(session, "SHOW VIEWS").collect()
        return [row["viewName"] for row in found if row["isTemporary"]]

    def _rows(
        self, session: SparkSession, columns: str, rows: Iterable[Mapping[str, Any]]
    ) -> DataFrame:
        text = registration_sql.rows_from_json(columns)
        return self._catalog.run(session, text, {"rows": json.dumps(list(rows))})


def matching(names: Iterable[str], pattern: str) -> list[str]:
    """SHOW's patterns: ``*`` is any text, ``|`` is or, case does not matter.

    https://docs.databricks.com/sql/language-manual/sql-ref-syntax-aux-show-tables.html
    """
    choices = [re.escape(each.strip()).replace(r"\*", ".*") for each in pattern.split("|")]
    wanted = re.compile("|".join(choices), re.IGNORECASE)
    return [name for name in names if wanted.fullmatch(name)]
