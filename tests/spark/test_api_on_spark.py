"""The Python interface on a Spark session, as in a notebook of a cluster.

On a SQL warehouse the same is shown by `test_databricks_target.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lakeflow_meta import MetadataManager

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
