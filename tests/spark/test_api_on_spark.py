"""The Python interface on a Spark session, as in a notebook of a cluster.

On a SQL warehouse the same is shown by `test_databricks_target.py`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lakeflow_meta import (
    Column,
    DeltaTable,
    Integer,
    Long,
    MetadataManager,
    Registry,
    String,
    Struct,
    StructField,
    View,
    build_databricks_engine,
)

SALES = """
modules:
- module_name: sales
  sources:
  - source_id: orders
    execution_order: 1
    transformation_config:
      {task_type: sql_query, sql_task: {sql_query: "SELECT 'it''s'", warehouse_id: w}}
"""


@pytest.fixture
def manager(
    spark: SparkSession, schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MetadataManager:
    """As a notebook of a cluster makes it: the runtime's session is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAKEFLOW_META_ACTOR", "ann")
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    (tmp_path / "sales.yml").write_text(SALES)
    return MetadataManager(f"{schema}.etl_control")


def test_metadata_is_loaded_changed_by_sql_detected_and_exported(
    manager: MetadataManager, spark: SparkSession
) -> None:
    loaded = manager.load_yaml("sales.yml")
    assert (loaded[1], loaded.report.to_dict()["added"]) == (["sales"], 2)
    assert not manager.load_yaml("sales.yml").report
    assert manager.detect_changes()["new_modules"] == ["sales"]
    insert = (
        "INSERT INTO etl_control VALUES ('more', 'sales', 'sql', 2, '{}', '{}',"
        ' \'{"task_type": "sql_query", "sql_task": {"sql_query": "SELECT 2"}}\', true)'
    )
    assert manager.sql(insert)[0].rows_affected == 1
    manager.sql("UPDATE etl_control SET execution_order = 7 WHERE source_id = 'orders'")
    assert [s["source_id"] for s in manager.get_module_sources("sales")] == ["more", "orders"]
    assert "SELECT 'it''s'" in manager.export_yaml()
    rows = spark.table(manager.control_table).orderBy("source_id").collect()
    assert [(row.source_id, row.execution_order) for row in rows] == [("more", 2), ("orders", 7)]
    assert all(row.updated_timestamp is not None for row in rows)


def test_the_schema_engine_of_any_session_creates_changes_and_then_plans_nothing(
    spark: SparkSession, schema: str, tmp_path: Path
) -> None:
    catalog, name = schema.split(".")
    columns = [
        Column("id", Long(), nullable=False),
        Column("s", Struct([StructField("a", Long())])),
    ]
    table = DeltaTable(catalog, name, "t", columns, comment="it's", location=str(tmp_path / "t"))
    view = View(catalog, name, "v", f"SELECT id FROM {schema}.t")
    engine = build_databricks_engine(spark)
    assert engine.sync(Registry([table, view])).counts() == {"created": 2}
    assert not engine.plan(Registry([table, view])).has_changes

    more = replace(table, columns=[*columns, Column("note", String())], renamed_columns={})
    report = engine.sync(Registry([more, view]))
    assert report.counts() == {"changed": 1, "unchanged": 1}
    assert spark.table(f"{schema}.t").columns == ["id", "s", "note"]
    assert not engine.plan(Registry([more, view])).has_changes


def test_the_schema_engine_tells_what_it_cannot_read(spark: SparkSession, schema: str) -> None:
    catalog, name = schema.split(".")
    spark.sql(f"CREATE TABLE {schema}.csv (id INT) USING csv")
    columns = [Column("id", Integer())]
    tables = [DeltaTable(catalog, name, "csv", columns), DeltaTable(catalog, "nope", "t", columns)]
    plan = build_databricks_engine(spark).plan(Registry(tables))
    rules = {table.name.name: str(table.rejections[0].rule) for table in plan.tables}
    assert rules == {"csv": "table_unreadable", "t": "schema_missing"}
