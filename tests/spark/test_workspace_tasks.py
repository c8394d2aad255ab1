"""Tasks of the embedded workspace that need Spark: SQL files, saved queries, notebooks."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from pyspark.sql import SparkSession

from lakeflow_meta.backends.local.jobs.workspace import LocalWorkspace
from lakeflow_meta.backends.local.spark.session import EmbeddedSpark
from lakeflow_meta.backends.local.tasks.program_start import WORKSPACE
from lakeflow_meta.backends.local.tasks.program_workspace import ProgramWorkspace
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
    column = len(f"CREATE TABLE {schema}.a (id INT); SELECT n")
    place = f"bad.sql:1:{column}"
    assert run.tasks[0].error == (
        f"UNRESOLVED_COLUMN.WITH_SUGGESTION at {place}, statement 2 of 3: A column, variable, or"
        " function parameter with name `nope` cannot be resolved. Did you mean one of the"
        " following? [`id`]."
    )
    log = workspace.task_log(run.run_id, "bad")
    shown = log[log.index("error: ") :].splitlines()
    assert "-- [2/3] SELECT nope" in log
    assert shown[0] == (
        f"error: statement 2 of 3 failed at {place}:"
        " UNRESOLVED_COLUMN.WITH_SUGGESTION (SQLSTATE 42703)"
    )
    assert shown[3].startswith(f"  1 | CREATE TABLE {schema}.a (id INT); SELECT nope FROM {schema}")
    assert shown[4] == "    | " + " " * (column - 1) + "^^^^"
    trace = Path(shown[-1].removeprefix("the Java stack trace: "))
    assert "\tat org.apache.spark" in trace.read_text()
    assert "\tat " not in log
    assert "py4j" not in log
    assert spark.catalog.tableExists(f"{schema}.a")


def test_a_notebook_does_on_spark_what_it_does_on_the_platform(
    workspace: LocalWorkspace, spark: SparkSession, schema: str, tmp_path: Path
) -> None:
    (tmp_path / "shared.py").write_text(
        "# Databricks notebook source\n"
        "sql('SELECT :n AS n', {'n': dbutils.widgets.get('n')}).createTempView('mine')\n"
    )
    (tmp_path / "mine.sql").write_text("SELECT 1;\n\nSELECT *\n  FROM mine")
    (tmp_path / "child.py").write_text("n = table('mine').first().n\ndbutils.notebook.exit(n)\n")
    (tmp_path / "uses_spark.py").write_text(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from databricks.sdk.runtime import spark\n"
        "from pyspark.sql import SparkSession\n"
        "from databricks.connect import DatabricksSession\n"
        "def sums():\n"
        "    builders = [SparkSession.builder, DatabricksSession.builder]\n"
        "    sessions = [SparkSession.getActiveSession(), *(b.getOrCreate() for b in builders)]\n"
        "    views = [session.table('mine').first().n for session in sessions]\n"
        "    sessions[0].stop()\n"
        "    with ThreadPoolExecutor(2) as pool:\n"
        "        return views + list(pool.map(lambda n: spark.range(n).count(), [3, 4]))\n"
    )
    (tmp_path / "all.py").write_text(
        "# Databricks notebook source\n"
        '# MAGIC %run ./shared $n="7"\n'
        "# COMMAND ----------\n"
        "# MAGIC %sql\n"
        f"# MAGIC CREATE TABLE {schema}.t AS SELECT id, n FROM range(3), mine;\n"
        f"# MAGIC SELECT * FROM {schema}.t WHERE id = :id\n"
        "# COMMAND ----------\n"
        "import uses_spark\n"
        "print('got', _sqldf.first().id, uses_spark.sums())\n"
        "dbutils.jobs.taskValues.set('n', dbutils.notebook.run('child', 60))\n"
        "# COMMAND ----------\n"
        "dbutils.notebook.exit(sql('SELECT count(*) AS n FROM mine').first().n)\n"
    )
    (tmp_path / "other.py").write_text(
        "# Databricks notebook source\n"
        "print('value', dbutils.jobs.taskValues.get('all', 'n'))\n"
        "# COMMAND ----------\n"
        "def query(n):\n"
        f"    return spark.sql(f'SELECT id\\n  FROM {schema}.t\\n WHERE nope = {{n}}')\n"
        "query(1).show()\n"
    )
    (tmp_path / "endless.py").write_text(
        "spark.range(4000000000).selectExpr('sum(hash(id, id))').collect()\n"
    )
    (tmp_path / "udf.py").write_text(
        "# Databricks notebook source\n"
        "try:\n"
        "    dbutils.notebook.run('endless', 0.5)\n"
        "except Exception as error:\n"
        "    print(error)\n"
        "try:\n"
        "    sql('SELECT 1 / id FROM range(2)').collect()\n"
        "except Exception as error:\n"
        "    print('caught', error.getCondition())\n"
        "# COMMAND ----------\n"
        "def fails(n):\n"
        "    raise ValueError('told so')\n"
        "spark.range(1).select(udf(fails)('id')).collect()\n"
    )
    tasks = [
        {
            "task_key": "all",
            "notebook_task": {"notebook_path": "all", "base_parameters": {"id": "2"}},
        },
        {
            "task_key": "other",
            "notebook_task": {"notebook_path": "other"},
            "depends_on": [{"task_key": "all"}],
        },
        {
            "task_key": "udf",
            "notebook_task": {"notebook_path": "udf"},
            "depends_on": [{"task_key": "all"}],
        },
        {
            "task_key": "own_views",
            "sql_task": {"warehouse_id": "w", "file": {"path": "mine.sql"}},
            "depends_on": [{"task_key": "all"}],
        },
        {
            "task_key": "at_run_time",
            "sql_task": {
                "warehouse_id": "w",
                "query": {
                    "query_id": workspace.create_query(
                        "q", f"SELECT 1;\nSELECT id / 0 FROM {schema}.t"
                    )
                },
            },
            "depends_on": [{"task_key": "all"}],
        },
    ]
    run = workspace.follow_run(workspace.run_job(workspace.create_job({"tasks": tasks}), {}))
    log = workspace.task_log(run.run_id, "all")
    assert "got 2 ['7', '7', '7', 3, 4]\n" in log, log
    assert log.endswith("--- notebook exited: 1\n")
    errors = why(run)
    assert set(errors) == {"other", "own_views", "at_run_time", "udf"}
    log = workspace.task_log(run.run_id, "udf")
    assert "notebook endless.py timed out after 0.5 s\ncaught DIVIDE_BY_ZERO\n" in log
    assert errors["udf"] == "PythonException at cell 2, udf.py:13: ValueError: told so", log
    assert 'udf.py", line 12, in fails\n' in log
    assert errors["other"].startswith(
        "UNRESOLVED_COLUMN.WITH_SUGGESTION at cell 2, other.py:6: A column"
    )
    log = workspace.task_log(run.run_id, "other")
    assert "value 7\n" in log
    assert "in the SQL text, line 3, column 8:\n  1 | SELECT id\n" in log
    assert "  3 |  WHERE nope = 1\n    |        ^^^^\n" in log
    assert "line 6, in <module>\n    query(1).show()\n" in log
    assert "line 5, in query\n" in log
    assert "py4j" not in log
    assert "pyspark" not in log
    assert errors["own_views"].startswith(
        "TABLE_OR_VIEW_NOT_FOUND at mine.sql:4:8, statement 2 of 2: The table or view `mine`"
    )
    assert errors["at_run_time"].startswith(
        "DIVIDE_BY_ZERO at the saved query:2:8, statement 2 of 2: Division by zero"
    )


def test_a_spark_task_that_takes_too_long_is_cancelled_and_others_are_not(
    workspace: LocalWorkspace, schema: str, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(
        "# Databricks notebook source\n"
        "slow = spark.range(4000000000).selectExpr('sum(hash(id, id))')\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(1) as pool:\n"
        "    pool.submit(slow.collect).result()\n"
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


def test_a_program_that_asks_pyspark_for_a_session_sees_the_same_tables(
    embedded: EmbeddedSpark, spark: SparkSession, schema: str, tmp_path: Path
) -> None:
    spark.sql(f"CREATE TABLE {schema}.t AS SELECT 5 AS a")
    (tmp_path / "beside.py").write_text("import sys\nARGUMENTS = sys.argv[1:]\n")
    (tmp_path / "program.py").write_text(
        "from beside import ARGUMENTS\n"
        "from pyspark.sql import SparkSession\n"
        "from databricks.connect import DatabricksSession\n"
        "from databricks.sdk.runtime import dbutils\n"
        "spark = SparkSession.builder.appName('x').config('spark.sql.ansi.enabled', 'false')"
        ".getOrCreate()\n"
        "assert DatabricksSession.builder.serverless(True).getOrCreate() is spark\n"
        "found = spark.table(ARGUMENTS[0]).first().a\n"
        "spark.sql(f'CREATE TABLE {ARGUMENTS[0]}_back AS SELECT {found} / 0 AS a')\n"
        "size = dbutils.fs.ls('beside.py')[0].size\n"
        "print(__name__, found, spark.catalog.currentCatalog(), size)\n"
        "spark.sql('SELECT nope')\n"
    )
    cache = os.environ.get("LAKEFLOW_META_CACHE")
    home = embedded.warehouse.parent
    spec = ProgramWorkspace(str(home), str(tmp_path), cache, ("main", "testcat"), {})
    with LocalWorkspace(
        tmp_path / "home",
        tmp_path,
        task_session=embedded.task_session,
        own_task=no_own_task,
        environment=lambda: {WORKSPACE: spec.as_json()},
    ) as workspace:
        program = {"python_file": "program.py", "parameters": [f"{schema}.t"]}
        job_id = workspace.create_job({"tasks": [{"task_key": "p", "spark_python_task": program}]})
        run = workspace.follow_run(workspace.run_job(job_id, {}))
        log = workspace.task_log(run.run_id, "p")
    assert "__main__ 5 main 36\n" in log, log
    assert "ended with exit code 1: pyspark.errors.exceptions.captured.Ana" in why(run)["p"]
    assert "UNRESOLVED_COLUMN" in log
    assert f'File "{tmp_path / "program.py"}", line 11, in <module>\n' in log
    assert "program_start.py" not in log
    assert "\tat org.apache" not in log
    assert spark.table(f"{schema}.t_back").first().a is None
