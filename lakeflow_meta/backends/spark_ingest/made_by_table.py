"""Columns whose values the table makes: generated columns and identities.

Spark does not tell them with the schema of a table, so they are looked up where it matters: when
files do not have a column that others of their batch have, or that must not be NULL, or when they
do not tell which columns they have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakeflow_meta.backends.delta_snapshot import newest_snapshot
from lakeflow_meta.backends.unity_catalog_create import generated_columns
from lakeflow_meta.names import TableName
from lakeflow_meta.paths import path_of_location
from lakeflow_meta.sql_catalog import show_create_table
from lakeflow_meta.sql_ingest import describe_extended

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_EXPRESSION = "delta.generationExpression"
_IDENTITY = "delta.identity.start"
_FEATURES = ("delta.feature.generatedColumns=", "delta.feature.identityColumns=")
_MAPPED = re.compile(r"delta\.columnMapping\.mode=(?:name|id)\b")
_WRITER = re.compile(r"delta\.minWriterVersion=(\d+)")
_GENERATES = range(4, 7)
"""Writer versions that bring generated columns without naming the feature:
https://docs.delta.io/latest/versioning.html."""


@dataclass(frozen=True, slots=True)
class TableRules:
    """What a table says of itself beyond its schema. ``generated``: SQL by lower-case name."""

    generated: Mapping[str, str]
    identities: frozenset[str]
    maps_columns: bool
    """Whether its columns may have any name: it has column mapping."""

    @property
    def made(self) -> frozenset[str]:
        """Columns that the table fills itself, in lower case."""
        return self.identities | self.generated.keys()


def table_rules(session: SparkSession, table: TableName) -> TableRules:
    """Ask DESCRIBE; and where columns may be generated, the table's log (in milliseconds), or SHOW
    CREATE TABLE where that is not on this machine. Raises errors of Spark's.
    """
    told = session.sql(describe_extended(table)).collect()
    facts = {row["col_name"]: row["data_type"] for row in told if row["data_type"]}
    properties = facts.get("Table Properties", "")
    maps_columns = _MAPPED.search(properties) is not None
    if not _may_generate(properties):
        return TableRules({}, frozenset(), maps_columns)
    generated, identities = _made(session, table, facts.get("Location", ""))
    return TableRules(generated, identities, maps_columns)


def _may_generate(properties: str) -> bool:
    writer = _WRITER.search(properties)
    by_version = writer is None or int(writer[1]) in _GENERATES
    return by_version or any(feature in properties for feature in _FEATURES)


def _made(
    session: SparkSession, table: TableName, location: str
) -> tuple[Mapping[str, str], frozenset[str]]:
    place = path_of_location(location)
    snapshot = None if place is None else newest_snapshot(f"{place}/_delta_log")
    if snapshot is not None:
        fields = json.loads(snapshot.metadata["schemaString"])["fields"]
        told = {field["name"].lower(): field.get("metadata") or {} for field in fields}
        generated = {name: one[_EXPRESSION] for name, one in told.items() if _EXPRESSION in one}
        return generated, frozenset(name for name, one in told.items() if _IDENTITY in one)
    made = generated_columns(session.sql(show_create_table(table)).collect()[0][0])
    generated = {name: one.expression for name, one in made.items() if one.expression}
    return generated, frozenset(name for name, one in made.items() if one.identity is not None)
