"""Runs one SQL text on the local catalog.

Most texts only get Spark's names and go to Spark. Those that name catalogs and schemas, or change
which tables and views there are, also change the warehouse directory: always the directory first
or last in one step, so that dying in between leaves the statement done or not done.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, assert_never

from lakeflow_meta.backends.local import commands as c
from lakeflow_meta.backends.local.catalog import LocalCatalog
from lakeflow_meta.backends.local.names_in_sql import NameUse, Parts, apply_edits
from lakeflow_meta.backends.local.sql_tokens import items
from lakeflow_meta.backends.local.warehouse import SchemaName
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.names import TableName
from lakeflow_meta.sql import ident, literal

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class Statements:
    """The door for SQL texts: ``sql`` as users know it, with three-level names."""

    def __init__(self, catalog: LocalCatalog) -> None:
        self._catalog = catalog
        self._warehouse = catalog.warehouse

    def sql(self, session: SparkSession, text: str, args: Any = None) -> DataFrame:
        """Run one statement in a session."""
        command = c.read_command(items(text))
        match command:
            case c.Other():
                return self._plain(session, text, args)
            case c.UseCatalog() | c.UseSchema():
                return self._use(session, command)
            case c.CreateCatalog() | c.DropCatalog():
                return self._catalog_command(session, command)
            case c.CreateSchema() | c.DropSchema() | c.ChangeSchema() | c.DescribeSchema():
                return self._schema_command(session, text, command)
            case c.ShowCatalogs() | c.ShowSchemas() | c.ShowTables():
                return self._show(session, command)
            case c.CreateView() | c.AlterView():
                return self._view(session, text, command)
            case c.CreateTable():
                return self._create_table(session, text, args, command)
            case c.DropRelation():
                return self._drop(session, text, command)
            case c.RenameTable():
                return self._rename(session, text, command)
            case c.Describe():
                return self._described(session, self._plain(session, text, args))
            case _:
                assert_never(command)

    def _plain(self, session: SparkSession, text: str, args: Any = None) -> DataFrame:
        return self._catalog.run(session, self._catalog.rewrite(session, text), args)

    def _nothing(self, session: SparkSession) -> DataFrame:
        return self._catalog.run(session, "SELECT 1 AS done LIMIT 0").drop("done")

    # --- USE

    def _use(self, session: SparkSession, command: c.UseCatalog | c.UseSchema) -> DataFrame:
        if isinstance(command, c.UseCatalog):
            self._catalog.require_catalog(session, command.catalog)
            schema = SchemaName(command.catalog.lower(), "default")
            self._make_schema(schema)
        else:
            schema = self._catalog.schema_of(session, command.schema)
        self._catalog.ensure_schema(session, schema)
        database = ident(self._catalog.names.database(schema))
        return self._catalog.run(session, f"USE {database}")

    def _make_schema(self, schema: SchemaName) -> None:
        self._warehouse.schema_path(schema).mkdir(parents=True, exist_ok=True)

    # --- catalogs

    def _catalog_command(
        self, session: SparkSession, command: c.CreateCatalog | c.DropCatalog
    ) -> DataFrame:
        if isinstance(command, c.CreateCatalog):
            self._create_catalog(command)
        elif self._catalog.has_catalog(command.catalog) or not command.if_exists:
            self._drop_catalog(session, command)
        return self._nothing(session)

    def _create_catalog(self, command: c.CreateCatalog) -> None:
        if command.clause not in ("", "COMMENT"):
            raise ConfigError(f"CREATE CATALOG … {command.clause} is not offered locally")
        if self._catalog.has_catalog(command.catalog) and not command.if_not_exists:
            raise _analysis_error(
                "CATALOG_ALREADY_EXISTS", f"The catalog {ident(command.catalog)} exists already"
            )
        self._make_schema(SchemaName(command.catalog.lower(), "default"))

    def _drop_catalog(self, session: SparkSession, command: c.DropCatalog) -> None:
        self._catalog.require_catalog(session, command.catalog)
        name = command.catalog.lower()
        schemas = [SchemaName(name, each) for each in self._warehouse.schemas(name)]
        if not command.cascade and any(self._holds_anything(each) for each in schemas):
            raise _analysis_error(
                "CATALOG_NOT_EMPTY", f"The catalog {ident(name)} is not empty; add CASCADE"
            )
        self._warehouse.drop_catalog(name)
        for schema in schemas:
            self._catalog.forget_schema(session, schema)

    def _holds_anything(self, schema: SchemaName) -> bool:
        return bool(self._warehouse.tables(schema) or self._warehouse.views(schema))

    # --- schemas

    def _schema_command(
        self,
        session: SparkSession,
        text: str,
        command: c.CreateSchema | c.DropSchema | c.ChangeSchema | c.DescribeSchema,
    ) -> DataFrame:
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
                answer = self._run_renamed(session, text, command.use, schema)
                return self._described(session, answer)

    def _run_renamed(
        self, session: SparkSession, text: str, use: NameUse, schema: SchemaName
    ) -> DataFrame:
        database = ident(self._catalog.names.database(schema))
        return self._catalog.run(session, apply_edits(text, [use.renamed(database)]))

    def _create_schema(
        self, session: SparkSession, text: str, command: c.CreateSchema, schema: SchemaName
    ) -> DataFrame:
        if command.has_location:
            raise ConfigError("CREATE SCHEMA … LOCATION is not offered locally")
        place = literal(str(self._warehouse.schema_path(schema)))
        located = f"{text.rstrip().rstrip(';')} LOCATION {place}"
        existed = self._warehouse.has_schema(schema)
        answer = self._run_renamed(session, located, command.use, schema)
        self._catalog.ensure_schema(session, schema)
        if not existed:
            self._note_comment(session, schema)
        return answer

    def _change_schema(
        self, session: SparkSession, text: str, command: c.ChangeSchema, schema: SchemaName
    ) -> DataFrame:
        if not command.is_comment:
            raise ConfigError("ALTER SCHEMA is not offered locally; COMMENT ON SCHEMA is")
        answer = self._run_renamed(session, text, command.use, schema)
        self._note_comment(session, schema)
        return answer

    def _note_comment(self, session: SparkSession, schema: SchemaName) -> None:
        database = self._catalog.names.database(schema)
        found = session._jsparkSession.catalog().getDatabase(database)  # noqa: SLF001 - unpatched
        comment = found.description() or ""
        if comment != self._warehouse.schema_note(schema).get("comment", ""):
            self._warehouse.write_schema_note(schema, {"comment": comment})

    def _drop_schema(
        self, session: SparkSession, text: str, command: c.DropSchema, schema: SchemaName
    ) -> DataFrame:
        """Spark decides whether it may go (RESTRICT), by what it knows of the schema."""
        inside = [*self._warehouse.tables(schema), *self._warehouse.views(schema)]
        if inside:
            self._catalog.ensure(session, schema.table(inside[0]))
        answer = self._run_renamed(session, text, command.use, schema)
        self._warehouse.drop_schema(schema)
        self._catalog.forget_schema(session, schema)
        return answer

    # --- SHOW

    def _show(
        self, session: SparkSession, command: c.ShowCatalogs | c.ShowSchemas | c.ShowTables
    ) -> DataFrame:
        match command:
            case c.ShowCatalogs():
                found = _matching(self._catalog.catalogs(), command.pattern)
                return self._rows(session, "catalog string", ({"catalog": n} for n in found))
            case c.ShowSchemas():
                catalog = command.catalog or self._catalog.current_schema(session).catalog
                self._catalog.require_catalog(session, catalog)
                everything = {"default", *self._warehouse.schemas(catalog.lower())}
                found = _matching(sorted(everything), command.pattern)
                rows = ({"databaseName": name} for name in found)
                return self._rows(session, "databaseName string", rows)
            case c.ShowTables():
                return self._show_tables(session, command)

    def _show_tables(self, session: SparkSession, command: c.ShowTables) -> DataFrame:
        schema = self._catalog.schema_of(session, command.schema)
        if schema != self._catalog.names.default_schema and not self._warehouse.has_schema(schema):
            raise _analysis_error("SCHEMA_NOT_FOUND", f"The schema {schema} does not exist")
        names = self._warehouse.views(schema)
        if not command.views_only:
            names = sorted({*names, *self._warehouse.tables(schema)})
        first, second = ("namespace", "viewName") if command.views_only else ("database", "tableName")
        rows = [
            {first: schema.schema, second: name, "isTemporary": False}
            for name in _matching(names, command.pattern)
        ]
        rows += [
            {first: "", second: name, "isTemporary": True}
            for name in _matching(self._temporary_views(session), command.pattern)
        ]
        return self._rows(session, f"{first} string, {second} string, isTemporary boolean", rows)

    def _temporary_views(self, session: SparkSession) -> list[str]:
        found = self._catalog.run(session, "SHOW VIEWS").collect()
        return [row["viewName"] for row in found if row["isTemporary"]]

    def _rows(
        self, session: SparkSession, columns: str, rows: Iterable[Mapping[str, Any]]
    ) -> DataFrame:
        return self._catalog.run(
            session,
            f"SELECT inline(from_json(:rows, 'array<struct<{_json_type(columns)}>>'))",
            {"rows": json.dumps(list(rows))},
        )

    def _described(self, session: SparkSession, answer: DataFrame) -> DataFrame:
        """The same rows with the names that people know in every text."""
        rows = answer.collect()
        restored = [tuple(self._restored(value) for value in row) for row in rows]
        if restored == [tuple(row) for row in rows]:
            return answer
        return session.createDataFrame(restored, answer.schema)

    def _restored(self, value: Any) -> Any:
        return self._catalog.names.restore(value) if isinstance(value, str) else value

    # --- tables and views

    def _create_table(
        self, session: SparkSession, text: str, args: Any, command: c.CreateTable
    ) -> DataFrame:
        answer = self._plain(session, text, args)
        self.settle(session, command.table)
        return answer

    def settle(self, session: SparkSession, name: Parts) -> None:
        """Note a table that Spark has just made: take it over, or note where it lies."""
        table = self._catalog.table_of(session, name)
        if table is None:
            return
        if self._warehouse.identity(table) is None:
            self._note_elsewhere(session, table)
        self._catalog.ensure(session, table)

    def _note_elsewhere(self, session: SparkSession, table: TableName) -> None:
        name = self._catalog.names.quoted(table)
        row = self._catalog.run(session, f"SHOW CREATE TABLE {name}").first()
        if row is not None:
            self._warehouse.write_note(table, {"table": row[0]})

    def _view(self, session: SparkSession, text: str, command: c.CreateView | c.AlterView) -> DataFrame:
        """Kept as its text, with the schema that was current; ALTER adds to the text."""
        view = self._catalog.table_of(session, command.view)
        current = self._catalog.current_schema(session)
        if isinstance(command, c.AlterView) and command.new:
            raise ConfigError("ALTER VIEW … RENAME TO is not offered locally; create the view anew")
        existed = view is not None and self._warehouse.identity(view) is not None
        answer = self._plain(session, text)
        if view is None:
            return answer
        if isinstance(command, c.AlterView):
            note = self._warehouse.note(view)
            self._warehouse.write_note(view, {**note, "view": [*note["view"], text]})
        elif not (existed and _IF_NOT_EXISTS.search(text)):
            self._warehouse.write_note(
                view, {"view": [text], "current": [current.catalog, current.schema]}
            )
        self._catalog.trust(view)
        return answer

    def _drop(self, session: SparkSession, text: str, command: c.DropRelation) -> DataFrame:
        relation = self._catalog.table_of(session, command.relation)
        answer = self._plain(session, text)
        if relation is not None and not self._is_temporary(session, command.relation):
            self._warehouse.drop_table(relation)
            self._catalog.forget(session, relation)
        return answer

    def _is_temporary(self, session: SparkSession, name: Parts) -> bool:
        return False

    def _rename(self, session: SparkSession, text: str, command: c.RenameTable) -> DataFrame:
        table = self._catalog.table_of(session, command.table)
        new = self._catalog.table_of(session, command.new)
        answer = self._plain(session, text)
        if table is not None and new is not None:
            self._catalog.forget(session, new)
            self._warehouse.rename_table(table, new)
            self._catalog.forget(session, table)
        return answer


_IF_NOT_EXISTS = re.compile(r"^\s*CREATE\s+VIEW\s+IF\s+NOT\s+EXISTS", re.IGNORECASE)


def _json_type(columns: str) -> str:
    return ", ".join(":".join(column.split()) for column in columns.split(","))


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    """SHOW's patterns: ``*`` is any text, ``|`` is or, case does not matter."""
    choices = [re.escape(each.strip()).replace(r"\*", ".*") for each in pattern.split("|")]
    wanted = re.compile("|".join(choices), re.IGNORECASE)
    return [name for name in names if wanted.fullmatch(name)]


def _analysis_error(condition: str, message: str) -> Exception:
    from pyspark.errors import AnalysisException

    return AnalysisException(f"[{condition}] {message}.", errorClass=condition, messageParameters={})
