"""Tables that were made by SQL are imported: their declarations have nothing left to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lakeflow_meta.backends.delta_log import DeltaLogReader
from lakeflow_meta.backends.local.spark.session import EmbeddedSpark
from lakeflow_meta.backends.spark import SparkSqlSession
from lakeflow_meta.control.declared import read_declared
from lakeflow_meta.control.tables_text import tables_yaml
from lakeflow_meta.jobs.job_settings import JobContext
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.capabilities import OPEN_SOURCE_DELTA
from lakeflow_meta.schema.engine import SchemaEngine
from lakeflow_meta.schema.imported import import_tables
from lakeflow_meta.schema.plan import Outlook
from lakeflow_meta.schema.python_text import python_module
from lakeflow_meta.schema.recorded_tables import read_tables
from lakeflow_meta.schema.registry import Registry
from lakeflow_meta.schema.table import Declared, Policy

STATEMENTS = [
    """CREATE TABLE {schema}.`Every` (
         id BIGINT NOT NULL COMMENT 'it''s "quoted" \\\\ é 🎈\\nline',
         `a b` STRUCT<x: INT COMMENT 'inside', y: ARRAY<STRUCT<z: DECIMAL(12,3)>>>,
         code VARCHAR(7) DEFAULT 'new' COMMENT '',
         at TIMESTAMP,
         day DATE GENERATED ALWAYS AS (CAST(at AS DATE)),
         v VARIANT
       ) USING delta COMMENT 'all \\u0024{{env:HOME}}'
       TBLPROPERTIES ('delta.columnMapping.mode' = 'name', 'my.own' = 'it''s',
         'delta.feature.allowColumnDefaults' = 'supported', 'delta.enableRowTracking' = 'true')""",
    "ALTER TABLE {schema}.`Every` CLUSTER BY (id, day)",
    "ALTER TABLE {schema}.`Every` ADD CONSTRAINT Positive CHECK (id > 0 AND code <> 'a;)')",
    "CREATE TABLE {schema}.parts (n INT, p STRING) USING delta PARTITIONED BY (p)",
    "CREATE TABLE {schema}.outside (n INT) USING delta LOCATION '{folder}'",
    "CREATE TABLE {schema}.nest (n INT, s STRUCT<k: INT, m: INT>) USING delta CLUSTER BY (s.k)",
    "CREATE VIEW {schema}.shown COMMENT 'seen' AS SELECT n,\n  'x' AS x -- why\nFROM {schema}.nest",
]
NAMES = ("Every", "parts", "outside", "nest", "shown")


@pytest.mark.parametrize("policy", list(Policy))
def test_imported_tables_are_in_sync_whichever_form_they_went_through(
    spark: SparkSession, embedded: EmbeddedSpark, schema: str, tmp_path: Path, policy: Policy
) -> None:
    for statement in STATEMENTS:
        spark.sql(statement.format(schema=schema, folder=tmp_path / "out"))
    reader = DeltaLogReader(embedded._home / "warehouse")
    names = [TableName.parse(f"{schema}.{name}") for name in (*NAMES, "missing")]

    found = import_tables(reader.describe(names), OPEN_SOURCE_DELTA, policy)

    assert [name.name for name in found.left_out] == ["missing"]
    assert [table.name for table in found.tables] == sorted(NAMES, key=str.lower)
    assert _from_python(found.tables) == _from_yaml(found.tables) == list(found.tables)
    every = next(table for table in found.tables if table.name == "Every")
    assert {*every.properties} == {  # type: ignore[union-attr]  # it is a table
        "delta.columnMapping.mode", "delta.enableRowTracking", "my.own",
    }  # fmt: skip
    engine = SchemaEngine(reader, lambda: SparkSqlSession(spark))
    plan = engine.plan(Registry(found.tables))
    assert plan.counts()[Outlook.UNCHANGED] == len(NAMES), plan.text()
    assert [note for table in plan.tables for note in table.notes] == []
    assert [line for table in plan.tables for line in table.lines] == []


def _from_python(tables: Sequence[Declared]) -> list[Declared]:
    scope: dict[str, Any] = {}
    exec(compile(python_module(tables), "tables.py", "exec"), scope)  # noqa: S102 - our own text
    return list(scope["registry"])


def _from_yaml(tables: Sequence[Declared]) -> list[Declared]:
    context = JobContext("main.lakeflow.etl_control")
    found = read_declared({"t.yml": tables_yaml(tables)}, {}, variables={}, context=context)
    assert found.problems == ()
    read, problems = read_tables(found.tables, "etl_control_tables")
    assert problems == {}
    return sorted(read, key=lambda table: table.full_name.key)
