"""Unity Catalog as a `SqlSession`: its information schema in SQLite, DESCRIBE from the same model.

The relations have the columns that the documentation lists, and no others, so that a query for
anything else is an error. sqlglot reads the statements as Databricks SQL, and writes SQLite's.
"""

import json
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlglot
from sqlglot import exp

from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.sql_tokens import parameter_names

# https://docs.databricks.com/sql/language-manual/sql-ref-information-schema.html
_CONSTRAINT = ("constraint_catalog", "constraint_schema", "constraint_name")
_TABLE = ("table_catalog", "table_schema", "table_name")
_CHANGES = ("created", "created_by", "last_altered", "last_altered_by")
RELATIONS = {
    "schemata": ("catalog_name", "schema_name", "schema_owner", "comment", *_CHANGES),
    "tables": (
        *_TABLE,
        *("table_type", "is_insertable_into", "commit_action", "table_owner", "comment"),
        *_CHANGES,
        *("data_source_format", "storage_sub_directory"),
    ),
    "views": (
        *_TABLE,
        *("view_definition", "check_option", "is_updatable", "is_insertable_into", "sql_path"),
    ),
    "columns": (
        *_TABLE,
        *("column_name", "ordinal_position", "column_default", "is_nullable", "full_data_type"),
        *("data_type", "is_identity", "is_generated", "generation_expression", "comment"),
    ),
    "table_tags": ("catalog_name", "schema_name", "table_name", "tag_name", "tag_value"),
    "column_tags": (
        *("catalog_name", "schema_name", "table_name", "column_name", "tag_name", "tag_value"),
    ),
    "table_constraints": (
        *_CONSTRAINT,
        *_TABLE,
        *("constraint_type", "is_deferrable", "initially_deferred", "enforced", "comment"),
    ),
    "key_column_usage": (
        *_CONSTRAINT,
        *_TABLE,
        *("column_name", "ordinal_position", "position_in_unique_constraint"),
    ),
    "referential_constraints": (
        *_CONSTRAINT,
        *("unique_constraint_catalog", "unique_constraint_schema", "unique_constraint_name"),
        *("match_option", "update_rule", "delete_rule"),
    ),
}
MOST_PARAMETERS = 256
_DESCRIBE = re.compile(r"DESCRIBE TABLE EXTENDED (\S+) AS JSON")
_SHOW = re.compile(r"SHOW CREATE TABLE (\S+)")
_SCHEMA = re.compile(r"DESCRIBE SCHEMA (\S+)")
_TABLES = re.compile(r"SHOW TABLES IN (\S+)")

Place = tuple[str, str, str]


@dataclass
class ForeignKey:
    """Names the primary key of its parent; ``positions`` in it, where not in its order."""

    name: str
    columns: tuple[str, ...]
    parent: Place
    positions: tuple[int, ...] = ()


@dataclass
class StandInTable:
    """One table or view; ``columns`` are entries of the JSON document, as Spark writes them."""

    columns: list[dict[str, Any]] = field(default_factory=list)
    kind: str = "MANAGED"
    format: str = "DELTA"
    comment: str | None = None
    properties: dict[str, str] = field(default_factory=dict)
    partitioned_by: list[str] = field(default_factory=list)
    clustered_by: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    column_tags: dict[str, dict[str, str]] = field(default_factory=dict)
    full_types: dict[str, str] = field(default_factory=dict)
    primary_key: tuple[str, tuple[str, ...]] | None = None
    unique_key: tuple[str, tuple[str, ...]] | None = None
    foreign_keys: list[ForeignKey] = field(default_factory=list)
    view_text: str | None = None
    owned: bool = True
    location: str = "s3://bucket/managed/0815"
    create: str = "CREATE TABLE t (\n  id BIGINT)\nUSING delta\n"
    collation: str = "UTF8_BINARY"
    last_altered: str = "2026-01-01T00:00:00+00:00"
    fails_with: BackendError | None = None

    def document(self, place: tuple[str, ...]) -> dict[str, Any]:
        """As DESCRIBE TABLE EXTENDED … AS JSON shows it: "only non-null fields"."""
        shown = {
            "table_name": place[2],
            "catalog_name": place[0],
            "namespace": [place[1]],
            "schema_name": place[1],
            "columns": self.columns,
            "clustering_columns": self.clustered_by or None,
            "partition_columns": self.partitioned_by or None,
            "location": None if self.kind == "VIEW" else self.location,
            "type": "EXTERNAL" if self.kind.startswith("EXTERNAL") else self.kind,
            "provider": None if self.kind == "VIEW" else self.format.lower(),
            "comment": self.comment,
            "view_text": self.view_text if self.owned else None,
            "table_properties": self.properties or None,
            "collation": self.collation,
        }
        return {key: value for key, value in shown.items() if value is not None}


class CatalogStandIn:
    """A `SqlSession`. ``statements`` are those that ran; ``most_at_once`` how many at a time."""

    def __init__(self) -> None:
        self.schemas: set[tuple[str, str]] = set()
        self.tables: dict[Place, StandInTable] = {}
        self.forbidden_catalogs: set[str] = set()
        self.forbidden_schemas: set[tuple[str, str]] = set()
        self.hidden_tables: set[Place] = set()
        self.statements: list[str] = []
        self.most_at_once = 0
        self._running = 0
        self._lock = threading.Lock()

    def add(self, name: str, table: StandInTable) -> None:
        """Add a table ``catalog.schema.name``, with its schema."""
        catalog, schema, last = name.split(".")
        self.schemas.add((catalog, schema))
        self.tables[catalog, schema, last] = table

    def counts(self) -> Counter[str]:
        """How many statements ran, by their first two words."""
        return Counter(" ".join(text.split()[:2]).upper() for text in self.statements)

    def execute(
        self, statement: str, parameters: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Run one statement."""
        given = dict(parameters or {})
        if parameter_names(statement) != given.keys() or len(given) > MOST_PARAMETERS:
            raise AssertionError(f"parameters do not fit: {sorted(given)} of {statement}")
        with self._lock:
            self.statements.append(statement)
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
        try:
            return self._run(statement, given)
        finally:
            with self._lock:
                self._running -= 1

    def _run(self, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        if match := _DESCRIBE.fullmatch(statement):
            place = _parts(match[1])
            return [{"json_metadata": json.dumps(self._table(place).document(place))}]
        if match := _SHOW.fullmatch(statement):
            return [{"createtab_stmt": self._table(_parts(match[1])).create}]
        if match := _TABLES.fullmatch(statement):
            return self._shown_tables(*_parts(match[1]))
        if match := _SCHEMA.fullmatch(statement):
            return self._described_schema(*_parts(match[1]))
        return self._select(statement, parameters)

    # --- one object

    def _table(self, place: tuple[str, ...]) -> StandInTable:
        catalog, schema, name = (part.lower() for part in place)
        self._enter(catalog)
        if (catalog, schema) in self.forbidden_schemas:
            raise forbidden("USE SCHEMA")
        if (catalog, schema, name) not in self.tables:
            raise NotFoundError("no such table", code="TABLE_OR_VIEW_NOT_FOUND")
        table = self.tables[catalog, schema, name]
        if table.fails_with is not None:
            raise table.fails_with
        return table

    def _shown_tables(self, catalog: str, schema: str) -> list[dict[str, Any]]:
        self._described_schema(catalog, schema)
        return [
            {"database": schema, "tableName": name, "isTemporary": False}
            for place, other, name in self.tables
            if (place, other) == (catalog, schema)
        ]

    def _described_schema(self, catalog: str, schema: str) -> list[dict[str, Any]]:
        self._enter(catalog)
        if (catalog, schema) not in self.schemas:
            raise NotFoundError("no such schema", code="SCHEMA_NOT_FOUND")
        if (catalog, schema) in self.forbidden_schemas:
            raise forbidden("USE SCHEMA")
        return [{"database_description_item": "Namespace Name"}]

    def _enter(self, catalog: str) -> None:
        if catalog not in {name for name, _ in self.schemas}:
            raise NotFoundError("no such catalog", code="NO_SUCH_CATALOG_EXCEPTION")
        if catalog in self.forbidden_catalogs:
            raise forbidden("USE CATALOG")

    # --- the information schema

    def _select(self, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        catalog, relations, query = _as_sqlite(statement)
        self._enter(catalog)
        connection = self._database(catalog, relations)
        try:
            cursor = connection.execute(query, parameters)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]
        finally:
            connection.close()

    def _database(self, catalog: str, relations: frozenset[str]) -> sqlite3.Connection:
        """The relations of one catalog, with the rows that the user may see."""
        connection = sqlite3.connect(":memory:")
        connection.create_function("unix_micros", 1, _unix_micros)
        for relation in relations:
            columns = RELATIONS[relation]
            connection.execute(f"CREATE TABLE {relation} ({', '.join(columns)})")
            marks = ", ".join("?" for _ in columns)
            rows = [
                tuple(row.get(column) for column in columns)
                for row in getattr(self, f"_{relation}")(catalog)
            ]
            connection.executemany(f"INSERT INTO {relation} VALUES ({marks})", rows)
        return connection

    def _visible(self, catalog: str) -> Iterator[tuple[Place, StandInTable]]:
        for place, table in self.tables.items():
            hidden = place[:2] in self.forbidden_schemas or place in self.hidden_tables
            if place[0] == catalog and not hidden:
                yield place, table

    def _schemata(self, catalog: str) -> Iterator[dict[str, Any]]:
        for schema in self.schemas - self.forbidden_schemas:
            if schema[0] == catalog:
                yield {"catalog_name": schema[0], "schema_name": schema[1]}

    def _tables(self, catalog: str) -> Iterator[dict[str, Any]]:
        for place, table in self._visible(catalog):
            yield {
                **_named(_TABLE, place),
                "table_type": table.kind,
                "comment": table.comment,
                "last_altered": table.last_altered,
                "data_source_format": None if table.kind == "VIEW" else table.format,
            }

    def _views(self, catalog: str) -> Iterator[dict[str, Any]]:
        for place, table in self._visible(catalog):
            if table.kind == "VIEW":
                text = table.view_text if table.owned else None
                yield {**_named(_TABLE, place), "view_definition": text}

    def _columns(self, catalog: str) -> Iterator[dict[str, Any]]:
        for place, table in self._visible(catalog):
            for position, entry in enumerate(table.columns, 1):
                name = entry["name"]
                yield {
                    **_named(_TABLE, place),
                    "column_name": name,
                    "ordinal_position": position,
                    "full_data_type": table.full_types.get(name, entry["type"]["name"]),
                    "is_identity": "NO",
                }

    def _table_tags(self, catalog: str) -> Iterator[dict[str, Any]]:
        names = ("catalog_name", "schema_name", "table_name")
        for place, table in self._visible(catalog):
            for key, value in table.tags.items():
                yield {**_named(names, place), "tag_name": key, "tag_value": value}

    def _column_tags(self, catalog: str) -> Iterator[dict[str, Any]]:
        names = ("catalog_name", "schema_name", "table_name", "column_name")
        for place, table in self._visible(catalog):
            for column, tags in table.column_tags.items():
                for key, value in tags.items():
                    row = _named(names, (*place, column))
                    yield {**row, "tag_name": key, "tag_value": value}

    def _constraints(
        self, catalog: str
    ) -> Iterator[tuple[Place, str, str, tuple[str, ...], ForeignKey | None]]:
        """Table, name, type, columns, and the foreign key if it is one."""
        for place, table in self._visible(catalog):
            if table.primary_key:
                yield place, table.primary_key[0], "PRIMARY KEY", table.primary_key[1], None
            if table.unique_key:
                yield place, table.unique_key[0], "UNIQUE", table.unique_key[1], None
            for key in table.foreign_keys:
                yield place, key.name, "FOREIGN KEY", key.columns, key

    def _table_constraints(self, catalog: str) -> Iterator[dict[str, Any]]:
        for place, name, kind, _, _ in self._constraints(catalog):
            row = _named(_CONSTRAINT, (*place[:2], name)) | _named(_TABLE, place)
            yield {**row, "constraint_type": kind}

    def _key_column_usage(self, catalog: str) -> Iterator[dict[str, Any]]:
        for place, name, _, columns, key in self._constraints(catalog):
            positions = (key.positions if key else ()) or range(1, len(columns) + 1)
            for position, column in reversed(list(enumerate(columns, 1))):
                row = _named(_CONSTRAINT, (*place[:2], name)) | _named(_TABLE, place)
                yield {
                    **row,
                    "column_name": column,
                    "ordinal_position": position,
                    "position_in_unique_constraint": positions[position - 1] if key else None,
                }

    def _referential_constraints(self, catalog: str) -> Iterator[dict[str, Any]]:
        for place, name, _, _, key in self._constraints(catalog):
            if key is None:
                continue
            parent, parent_key = key.parent, self.tables[key.parent].primary_key
            assert parent_key is not None
            named = tuple(f"unique_{column}" for column in _CONSTRAINT)
            yield {
                **_named(_CONSTRAINT, (*place[:2], name)),
                **_named(named, (*parent[:2], parent_key[0])),
            }


def forbidden(privilege: str) -> BackendError:
    """As the platform says that a privilege is missing."""
    return BackendError(f"user does not have {privilege}", code="INSUFFICIENT_PERMISSIONS")


def _named(names: tuple[str, ...], values: tuple[str, ...]) -> dict[str, Any]:
    return dict(zip(names, values, strict=True))


def _parts(quoted: str) -> tuple[str, ...]:
    return tuple(part.replace("``", "`") for part in re.findall(r"`((?:[^`]|``)+)`", quoted))


@lru_cache(maxsize=1024)
def _as_sqlite(statement: str) -> tuple[str, frozenset[str], str]:
    """The catalog, its relations, and the query for SQLite."""
    tree = sqlglot.parse_one(statement, read="databricks")
    tables = list(tree.find_all(exp.Table))
    assert {table.db for table in tables} == {"information_schema"}
    (catalog,) = {table.catalog for table in tables}
    for table in tables:
        table.set("catalog", None)
        table.set("db", None)
    for exploded in list(tree.find_all(exp.Explode)):
        (marker,) = exploded.find_all(exp.Placeholder)
        each = sqlglot.parse_one(f"SELECT value FROM json_each(:{marker.this})", read="sqlite")
        select = exploded.find_ancestor(exp.Select)
        assert select is not None
        assert select.sql("databricks").startswith("SELECT EXPLODE(FROM_JSON(:")
        select.replace(each)
    return catalog, frozenset(table.name for table in tables), tree.sql("sqlite")


def _unix_micros(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1_000_000)
