"""Run-once scripts on the embedded session, logged in real control tables."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.backends.spark import SparkSqlSession
from lakeflow_meta.control.tables import DDL_SCRIPTS, EXECUTIONS, ControlTables
from lakeflow_meta.ports import SqlSession
from lakeflow_meta.scripts.report import TargetStatus
from lakeflow_meta.scripts.runner import ScriptRunner
from lakeflow_meta.scripts.script import read_scripts

TABLES = ControlTables.named("main.ops.etl_control")


def test_scripts_of_two_targets_run_once_and_a_failure_names_its_statement(
    spark: SparkSession, schema: str, tmp_path: Path
) -> None:
    store = DeltaRsStore(tmp_path)
    for table, layout in TABLES.all().items():
        store.ensure(table, layout)
    texts = {
        "shop/001_init/001_orders.sql": (
            f"CREATE TABLE IF NOT EXISTS {schema}.orders (id BIGINT, note STRING) USING delta;\n"
            f"-- one row; with a semicolon\nINSERT INTO {schema}.orders VALUES (1, 'a;b');\n"
        ),
        "shop/002_more/001_index.sql": f"ALTER TABLE {schema}.orders ADD COLUMNS (amount INT)",
        "wrong/001_init/001_x.sql": f"SELECT 1; SELECT nothing FROM {schema}.missing; SELECT 2",
    }
    scripts, _ = read_scripts(texts)
    store.merge(TABLES.of(DDL_SCRIPTS), [s.row() for s in scripts], keys=["script_id"])
    starts: list[int] = []

    def session() -> SqlSession:
        starts.append(1)
        return SparkSqlSession(spark.newSession())

    runner = ScriptRunner(store, TABLES, session, actor=lambda: "ann", stagger_seconds=0.01)
    first = runner.run()
    second = runner.run(["shop"])

    shop, wrong = first.targets
    assert shop.status is TargetStatus.SUCCESS
    assert wrong.outcomes[0].error.startswith("statement 2 of 3: ")
    assert second.targets[0].status is TargetStatus.UNCHANGED
    assert len(starts) == 2
    rows = spark.table(f"{schema}.orders").collect()
    assert [row.asDict() for row in rows] == [{"id": 1, "note": "a;b", "amount": None}]
    log = store.read(TABLES.of(EXECUTIONS)).to_pylist()
    assert sorted((r["script_id"], r["execution_status"]) for r in log) == [
        ("shop/001_init/001_orders.sql", "Success"),
        ("shop/002_more/001_index.sql", "Success"),
        ("wrong/001_init/001_x.sql", "Failure"),
    ]
