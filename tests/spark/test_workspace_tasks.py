"""Tasks of the embedded workspace that need Spark: SQL files, saved queries, notebooks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from pyspark.sql import SparkSession

from lakeflow_meta.backends.local.jobs.workspace import LocalWorkspace
from lakeflow_meta.backends.local.spark.session import EmbeddedSpark
from lakeflow_meta.ports import JobRun
from lakeflow_meta.ports import RunState as S


def no_own_task(parameters: list[str], output: TextIO) -> None:
    raise AssertionError("no task of these tests is our own")


@pytest.fixture
def workspace(embedded: EmbeddedSpark, tmp_path: Path) -> Iterator[LocalWorkspace]:
    with LocalWorkspace(
        tmp_path / "home",
        tmp_path,
        task_session=embedded.task_session,
        own_task=no_own_task,
    ) as made:
        yield made


def why(run: JobRun) -> dict[str, str]:
    return {task.task_key: task.error for task in run.tasks if task.error}


def test_a_graph_of_sql_files_queries_and_notebooks_works_on_the_same_tables(
    workspace: LocalWorkspace, spark: SparkSession, schema: str, tmp_path: Path
) -> None:
    (tmp_path / "create.sql").write_text(
        f"-- the table; made once\nCREATE TABLE {schema}.orders (id INT, note STRING);\n"
        f"INSERT INTO {schema}.orders VALUES (1, 'a;b'), (2, :note);\n"
        f"COMMENT ON TABLE {schema}.orders IS 'it''s; fine';"
    )
    (tmp_path / "double.py").write_text(
        "# Databricks notebook source\n"
        "name = dbutils.widgets.get('schema')\n"
        "# COMMAND ----------\n"
        "orders = spark.table(f'{name}.orders')\n"
        "doubled = orders.selectExpr('id * 2 AS id', 'note')\n"
        "doubled.write.saveAsTable(f'{name}.doubled')\n"
        "# COMMAND ----------\n"
        f"# MAGIC %sql SELECT * FROM {schema}.doubled WHERE note = :note\n"
        "# COMMAND ----------\n"
        "display(doubled.orderBy('id'))\n"
    )
    query = workspace.create_query(
        "q", f"SELECT sum(id) AS total, :day AS day FROM {schema}.doubled"
    )
    tasks = [
        {"task_key": "create", "sql_task": {"warehouse_id": "w", "file": {"path": "create.sql"}}},
        {
            "task_key": "double",
            "notebook_task": {"notebook_path": "double", "base_parameters": {"schema": schema}},
            "depends_on": [{"task_key": "create"}],
        },
        {
            "task_key": "total",
            "sql_task": {
                "warehouse_id": "w",
                "query": {"query_id": query},
                "parameters": {"day": "{{job.start_time.iso_date}}"},
            },
            "depends_on": [{"task_key": "double"}],
        },
    ]
    parameters = [{"name": "note", "default": "x'\\; y"}]
    job_id = workspace.create_job({"name": "j", "parameters": parameters, "tasks": tasks})
    run = workspace.follow_run(workspace.run_job(job_id, {}))
    assert why(run) == {}
    rows = spark.table(f"{schema}.doubled").orderBy("id").collect()
    assert [tuple(row) for row in rows] == [(2, "a;b"), (4, "x'\\; y")]
    day = run.started_at.date().isoformat()
    assert workspace.task_log(run.run_id, "total").splitlines()[-1] == f"6     | {day}"
    assert "id | note\n---+-------\n4  | x'\\; y\n" in workspace.task_log(run.run_id, "double")
    assert "2  | a;b\n4  | x'\\; y\n" in workspace.task_log(run.run_id, "double")


def test_the_statement_that_fails_ends_the_task_with_its_error(
    workspace: LocalWorkspace, spark: SparkSession, schema: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.sql").write_text(
        f"CREATE TABLE {schema}.a (id INT); SELECT nope FROM {schema}.a; DROP TABLE {schema}.a"
    )
    tasks = [{"task_key": "bad", "sql_task": {"file": {"path": "bad.sql"}, "warehouse_id": "w"}}]
    job_id = workspace.create_job({"tasks": tasks})
    run = workspace.follow_run(workspace.run_job(job_id, {}))
    assert run.state is S.FAILED
    assert "UNRESOLVED_COLUMN" in run.tasks[0].error
    assert "-- [2/3] SELECT nope" in workspace.task_log(run.run_id, "bad")
    assert spark.catalog.tableExists(f"{schema}.a")


def test_a_spark_task_that_takes_too_long_is_cancelled_and_others_are_not(
    workspace: LocalWorkspace, schema: str, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(
        "# Databricks notebook source\n"
        "slow = spark.range(4000000000).selectExpr('sum(hash(id, id))')\n"
        "slow.collect()\n"
    )
    (tmp_path / "quick.sql").write_text("SELECT count(*) FROM range(10)")
    tasks = [
        {"task_key": "slow", "notebook_task": {"notebook_path": "slow"}, "timeout_seconds": 2},
        {"task_key": "quick", "sql_task": {"warehouse_id": "w", "file": {"path": "quick.sql"}}},
    ]
    job_id = workspace.create_job({"tasks": tasks})
    began = time.monotonic()
    run = workspace.follow_run(workspace.run_job(job_id, {}))
    assert {task.task_key: (task.state, task.error) for task in run.tasks} == {
        "slow": (S.TIMED_OUT, "stopped after 2 s"),
        "quick": (S.SUCCESS, ""),
    }
    assert time.monotonic() - began < 12
