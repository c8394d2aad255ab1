"""How a two-level schema name is called in Spark's one session catalog, and back. Pure.

``main.silver`` is the database ``main__silver``. Spark allows only letters, digits and ``_`` there,
so a name with anything else, or one that would be ambiguous, carries a digest.
"""

from __future__ import annotations

import hashlib
import re

from lakeflow_meta.backends.local.spark.warehouse import SchemaName
from lakeflow_meta.names import TableName
from lakeflow_meta.sql import ident

SPARK_DEFAULT = "default"
"""The database that Spark makes by itself: it is ``<default catalog>.default``."""

_UNAMBIGUOUS = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")
_PLAIN = re.compile(r"[a-z0-9_]+")
_DIGEST_ENDING = re.compile(r".*__x[0-9a-f]{12}")


class SparkNames:
    """Translates schema names for one session. Keeps what it has translated, for the way back."""

    def __init__(self, default_catalog: str) -> None:
        self.default_schema = SchemaName(default_catalog, "default")
        self._seen: dict[str, SchemaName] = {SPARK_DEFAULT: self.default_schema}

    def database(self, schema: SchemaName) -> str:
        """The database that stands for a schema."""
        name = SPARK_DEFAULT if schema == self.default_schema else _database(schema)
        self._seen[name] = schema
        return name

    def schema(self, database: str) -> SchemaName | None:
        """The schema that a database stands for, None for one that is not ours."""
        return self._seen.get(database.lower())

    def quoted(self, table: TableName) -> str:
        """The table's name for Spark, quoted."""
        database = self.database(SchemaName(table.catalog, table.schema))
        return f"{ident(database)}.{ident(table.name)}"

    def restore(self, text: str) -> str:
        """A message of Spark's with the names that people know."""
        return _SPARK_NAME.sub(self._restored, text)

    def _restored(self, match: re.Match[str]) -> str:
        database = (match["quoted"] or match["plain"]).lower()
        schema = self._seen.get(database)
        qualified = match["catalog"] or (match["quoted"] and match["dot"])
        if schema is None or (database == SPARK_DEFAULT and not qualified):
            return match.group()  # the word "default" means many things
        if match["quoted"]:
            return f"{ident(schema.catalog)}.{ident(schema.schema)}"
        return str(schema)


_SPARK_NAME = re.compile(
    r"(?P<catalog>`spark_catalog`\.|\bspark_catalog\.)?(?:`(?P<quoted>\w+)`|\b(?P<plain>\w+)\b)"
    r"(?=(?P<dot>\.)?)"
)


def _database(schema: SchemaName) -> str:
    catalog, name = schema.catalog, schema.schema
    plain = f"{catalog}__{name}"
    readable = _UNAMBIGUOUS.fullmatch(catalog) and _PLAIN.fullmatch(name)
    if readable and not _DIGEST_ENDING.fullmatch(plain):
        return plain
    digest = hashlib.sha256(str(schema).encode()).hexdigest()[:12]
    return re.sub(r"[^a-z0-9]", "_", plain) + "__x" + digest
