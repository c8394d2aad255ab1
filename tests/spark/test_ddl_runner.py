"""Scripts and work functions on the embedded session, logged in real control tables."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import pytest
from pyspark.sql import SparkSession

from lakeflow_meta import ddl_utils
from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.backends.python_scripts import run_script
from lakeflow_meta.backends.script_sessions import SparkScriptSession
from lakeflow_meta.control.tables import DDL_SCRIPTS, EXECUTIONS, ControlTables
from lakeflow_meta.ports import ScriptSession
from lakeflow_meta.scripts.report import ScriptsReport, TargetStatus
from lakeflow_meta.scripts.runner import ScriptRunner
from lakeflow_meta.scripts.script import read_scripts
from lakeflow_meta.testing.crash import Crash, CrashPoint
from lakeflow_meta.testing.fake_scripts import FakeScriptTarget

TABLES = ControlTables.named("main.ops.etl_control")


class Place(FakeScriptTarget):
    """The embedded session behind a target's interface."""

    def __init__(self, spark: SparkSession, wrap: Callable[[Any], Any] = lambda it: it) -> None:
        super().__init__(wrap=wrap)
        self._spark = spark

    def open_session(self) -> ScriptSession:
        self.sessions += 1
        return self.wrap(SparkScriptSession(self._spark.newSession()))

    def run_python(self, body: str, file: str, output: TextIO) -> None:
        run_script(body, file, {"spark": lambda: self._spark}, output)


def _store(folder: Path, texts: Mapping[str, str]) -> DeltaRsStore:
    store = DeltaRsStore(folder)
    scripts, _ = read_scripts(texts)
    store.ensure(TABLES.of(DDL_SCRIPTS), DDL_SCRIPTS)
    store.merge(TABLES.of(DDL_SCRIPTS), [s.row() for s in scripts], keys=["script_id"])
    return store


def _run(store: Any, place: Place, **more: Any) -> ScriptsReport:
    runner = ScriptRunner(
        store, TABLES, lambda _: place, stagger_seconds=0.01, is_alive=lambda _: False
    )
    return runner.run(output=io.StringIO(), **more)


def test_scripts_of_two_targets_run_once_and_a_failure_names_its_statement(
    spark: SparkSession, schema: str, tmp_path: Path
) -> None:
    texts = {
        "shop/001_init/001_orders.sql": (
            f"CREATE TABLE IF NOT EXISTS {schema}.orders (id BIGINT, note STRING) USING delta;\n"
            f"-- one row; with a semicolon\nINSERT INTO {schema}.orders VALUES (1, 'a;b');\n"
        ),
        "shop/002_more/001_index.py": (
            "import pyspark.sql.functions as F\n"
            f"spark.sql('ALTER TABLE {schema}.orders ADD COLUMNS (amount INT)')\n"
            "print(StructType([]).simpleString())\n"
        ),
        "wrong/001_init/001_x.sql": f"SELECT 1; SELECT nothing FROM {schema}.missing; SELECT 2",
        "wrong/R__code.py": f"spark.table('{schema}.missing')",
    }
    store, place = _store(tmp_path, texts), Place(spark)
    first = _run(store, place)
    second = _run(store, place, targets=["shop"])

    shop, wrong = first.targets
    assert shop.status is TargetStatus.SUCCESS, list(first.lines())
    assert wrong.outcomes[0].error.startswith("statement 2 of 3: ")
    assert second.targets[0].status is TargetStatus.UNCHANGED
    assert place.sessions == 2
    rows = spark.table(f"{schema}.orders").collect()
    assert [row.asDict() for row in rows] == [{"id": 1, "note": "a;b", "amount": None}]
    log = store.read(TABLES.of(EXECUTIONS)).to_pylist()
    assert sorted((r["script_id"], r["execution_status"]) for r in log) == [
        ("shop/001_init/001_orders.sql", "Success"),
        ("shop/002_more/001_index.py", "Success"),
        ("wrong/001_init/001_x.sql", "Failure"),
    ]


def test_killed_behind_any_statement_every_one_has_had_its_effect_once(
    spark: SparkSession, schema: str, tmp_path: Path
) -> None:
    """None is repeatable by itself: Delta, and what is there already, tell that it ran."""
    statements = [
        f"USE {schema}",
        "CREATE TABLE t (id BIGINT) USING delta TBLPROPERTIES (delta.columnMapping.mode = 'name')",
        "INSERT INTO t VALUES (1)",
        "ALTER TABLE t ADD COLUMNS (note STRING)",
        "ALTER TABLE t RENAME COLUMN note TO text",
        "CREATE VIEW v AS SELECT count(*) AS n FROM t",
    ]
    store = _store(tmp_path, {"t/1_a/1_x.sql": ";\n".join(statements)})
    for at in (2, 3, 3, 3, 3):  # USE, the one in doubt, and one that is new
        crash = CrashPoint(at, after=True)
        with pytest.raises(Crash):
            _run(store, Place(spark, crash.wrap))
    report = _run(store, Place(spark))
    assert not report.has_failures, list(report.lines())
    assert not _run(store, Place(spark)).has_changes
    assert [tuple(row) for row in spark.sql(f"SELECT id, text FROM {schema}.t").collect()] == [
        (1, None)
    ]
    assert spark.table(f"{schema}.v").columns == ["n"]
    assert store.read(TABLES.of(EXECUTIONS)).num_rows == 1
    assert spark.conf.get("spark.databricks.delta.write.txnAppId", None) is None


def test_the_log_of_work_functions_may_be_kept_by_a_given_session(
    interpreted: SparkSession, schema: str, tmp_path: Path
) -> None:
    name = f"{schema}.etl_control"
    utils = ddl_utils("ws", "lh", spark=interpreted, control_table=name, home=tmp_path)
    utils.initialise_ddl_script_executions_table()
    utils.write_to_execution_log("g-1", "sales", "Success")
    assert utils.check_if_script_has_run("g-1")
    log = interpreted.table(f"{schema}.ddl_script_executions")
    assert log.schema.fieldNames()[:4] == utils.execution_log_schema().fieldNames()
    assert sorted(row.script_name for row in log.collect()) == ["ddl_script_executions", "sales"]
