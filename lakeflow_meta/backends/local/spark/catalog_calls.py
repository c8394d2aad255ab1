"""The methods of ``spark.catalog`` that name catalogs and schemas, answered from the warehouse.

https://spark.apache.org/docs/latest/api/python/reference/pyspark.sql/catalog.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lakeflow_meta.backends.local.spark import commands as c
from lakeflow_meta.backends.local.spark.dotted_names import Dotted, items
from lakeflow_meta.backends.local.spark.names_in_sql import Parts
from lakeflow_meta.backends.local.spark.schema_statements import matching
from lakeflow_meta.backends.local.spark.statements import Statements
from lakeflow_meta.backends.local.spark.warehouse import SchemaName
from lakeflow_meta.errors import ConfigError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def parts_of(name: str) -> Parts:
    """The parts of a name that a caller gave. Raises ConfigError."""
    found = items(name)
    if len(found) == 1 and isinstance(found[0], Dotted):
        return found[0].parts
    raise ConfigError(f"{name!r} is not a name; quote its parts in backticks")


def _current_catalog(statements: Statements, session: SparkSession) -> str:
    return statements.catalog.current_schema(session).catalog


def _current_database(statements: Statements, session: SparkSession) -> str:
    return statements.catalog.current_schema(session).schema


def _set_catalog(statements: Statements, session: SparkSession, catalogName: str) -> None:  # noqa: N803 - pyspark's
    statements.schemas.use(session, c.UseCatalog(catalogName))


def _set_database(statements: Statements, session: SparkSession, dbName: str) -> None:  # noqa: N803 - pyspark's
    statements.schemas.use(session, c.UseSchema(parts_of(dbName)))


def _catalogs(statements: Statements, session: SparkSession, pattern: str | None = None) -> Any:
    from pyspark.sql.catalog import CatalogMetadata

    del session  # the same for all
    names = matching(statements.catalog.catalogs(), pattern or "*")
    return [CatalogMetadata(name, None) for name in names]


def _databases(statements: Statements, session: SparkSession, pattern: str | None = None) -> Any:
    catalog = statements.catalog.current_schema(session).catalog
    found = statements.schemas.schemas(session, c.ShowSchemas("", pattern or "*"))
    return [_database(statements, SchemaName(catalog, name)) for name in found]


def _database(statements: Statements, schema: SchemaName) -> Any:
    from pyspark.sql.catalog import Database

    warehouse = statements.catalog.warehouse
    comment = warehouse.schema_note(schema).get("comment", "")
    return Database(schema.schema, schema.catalog, comment, warehouse.schema_path(schema).as_uri())


def _get_database(statements: Statements, session: SparkSession, dbName: str) -> Any:  # noqa: N803 - pyspark's
    schema = statements.catalog.schema_of(session, parts_of(dbName))
    statements.schemas.require_schema(schema)
    return _database(statements, schema)


def _database_exists(statements: Statements, session: SparkSession, dbName: str) -> bool:  # noqa: N803 - pyspark's
    parts = parts_of(dbName)
    if len(parts) > 1 and not statements.catalog.has_catalog(parts[0]):
        return False
    return statements.schemas.has_schema(statements.catalog.schema_of(session, parts))


def _tables(
    statements: Statements,
    session: SparkSession,
    dbName: str | None = None,  # noqa: N803 - pyspark's
    pattern: str | None = None,
) -> Any:
    """As SHOW TABLES; a table's comment is not read, so that no table has to be opened."""
    from pyspark.sql.catalog import Table

    schema = statements.catalog.schema_of(session, parts_of(dbName) if dbName else ())
    warehouse = statements.catalog.warehouse
    rows = statements.schemas.tables(session, schema, pattern or "*")
    return [
        Table(row.name, None, None, None, "TEMPORARY", True)
        if row.is_temporary
        else Table(
            row.name,
            schema.catalog,
            [schema.schema],
            None,
            "VIEW" if warehouse.is_view(schema.table(row.name)) else "EXTERNAL",
            False,
        )
        for row in rows
    ]


CATALOG_CALLS: Mapping[str, Callable[..., Any]] = {
    "currentCatalog": _current_catalog,
    "currentDatabase": _current_database,
    "setCurrentCatalog": _set_catalog,
    "setCurrentDatabase": _set_database,
    "listCatalogs": _catalogs,
    "listDatabases": _databases,
    "getDatabase": _get_database,
    "databaseExists": _database_exists,
    "listTables": _tables,
}
