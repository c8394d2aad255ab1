"""The Python interface on a Spark session, as in a notebook of a cluster, and on a SQL warehouse.

The warehouse is the stand-in of its API over HTTP, with Spark behind it, and the client is the
real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.http_stand_in import TOKEN, WAREHOUSE, StandIn
from pyspark.sql import SparkSession
from spark.statements_on_spark import run_on

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


@pytest.fixture(params=["warehouse", "runtime"])
def manager(
    request: pytest.FixtureRequest,
    interpreted: SparkSession,
    schema: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[MetadataManager]:
    """One manager for each way to reach control tables that are in a catalog."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAKEFLOW_META_ACTOR", "ann")
    (tmp_path / "sales.yml").write_text(SALES)
    table = f"{schema}.etl_control"
    match request.param:
        case "runtime":
            monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
            yield MetadataManager(table)
        case _:
            from databricks.sdk import WorkspaceClient

            with StandIn(lambda text, given: run_on(interpreted, text, given)).running() as service:
                client = WorkspaceClient(host=service.host, token=TOKEN)
                yield MetadataManager(
                    table, workspace_client=client, default_warehouse_id=WAREHOUSE
                )


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
