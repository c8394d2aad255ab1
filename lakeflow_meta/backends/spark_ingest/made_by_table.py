"""Columns whose values the table makes: generated columns and identities.

Spark does not tell them with the schema of a table, so they are looked up where it matters: when
files do not have a column that others of their batch have, or that must not be NULL, or when they
do not tell which columns they have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
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
_MAPPING = "delta.columnMapping.mode"
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


def table_rules(
    session: SparkSession, table: TableName, locate: Callable[[TableName], Path | None]
) -> TableRules:
    """Ask the log of a table on this machine, in milliseconds; DESCRIBE of another, and SHOW CREATE
    TABLE where its columns may be generated. Raises errors of Spark's.

    ``locate``: where a table lies, None where Spark has to be asked.
    """
    if (place := locate(table)) is not None and (rules := _by_log(place)) is not None:
        return rules
    told = session.sql(describe_extended(table)).collect()
    facts = {row["col_name"]: row["data_type"] for row in told if row["data_type"]}
    properties = facts.get("Table Properties", "")
    maps_columns = _MAPPED.search(properties) is not None
    if not _may_generate(properties):
        return TableRules({}, frozenset(), maps_columns)
    place = path_of_location(facts.get("Location", ""))
    if place is not None and (rules := _by_log(place)) is not None:
        return rules
    made = generated_columns(session.sql(show_create_table(table)).collect()[0][0])
    return TableRules(
        {name: one.expression for name, one in made.items() if one.expression},
        frozenset(name for name, one in made.items() if one.identity is not None),
        maps_columns,
    )


def _may_generate(properties: str) -> bool:
    writer = _WRITER.search(properties)
    by_version = writer is None or int(writer[1]) in _GENERATES
    return by_version or any(feature in properties for feature in _FEATURES)


def _by_log(place: Path) -> TableRules | None:
    snapshot = newest_snapshot(f"{place}/_delta_log")
    if snapshot is None:
        return None
    fields = json.loads(snapshot.metadata["schemaString"])["fields"]
    told = {field["name"].lower(): field.get("metadata") or {} for field in fields}
    properties = dict(snapshot.metadata.get("configuration") or {})
    return TableRules(
        {name: one[_EXPRESSION] for name, one in told.items() if _EXPRESSION in one},
        frozenset(name for name, one in told.items() if _IDENTITY in one),
        properties.get(_MAPPING, "none") != "none",
    )
