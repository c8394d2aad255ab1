"""``ddl run`` from a laptop: by the SQL warehouse of a workspace, the real SDK over HTTP."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from contract.http_stand_in import TOKEN, WAREHOUSE, StandIn, StatementError
from databricks.sdk import WorkspaceClient

from lakeflow_meta.app import App
from lakeflow_meta.cli.main import run
from lakeflow_meta.cli.output import Output, Session
from lakeflow_meta.control.tables import DDL_SCRIPTS, EXECUTIONS, ControlTables
from lakeflow_meta.scripts.script import read_scripts
from lakeflow_meta.testing import FakeStore, FixedClock

TABLES = ControlTables.named("main.lakeflow.etl_control")


class Warehouse:
    """What ran; a statement that holds a word of ``failures`` fails so."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.failures: dict[str, StatementError] = {}

    def __call__(self, statement: str, parameters: Mapping[str, Any]) -> pa.Table:
        for word, error in self.failures.items():
            if word in statement:
                raise error
        self.ran.append(statement)
        return pa.table({"done": pa.array([True])})


@pytest.fixture
def store() -> FakeStore:
    return FakeStore(FixedClock())


def _ddl_run(store: FakeStore, host: str) -> tuple[int, str]:
    app = App.from_environment(
        overrides={"backend": "databricks", "actor": "ann", "warehouse_id": WAREHOUSE},
        store=store,
        workspace_client=WorkspaceClient(host=host, token=TOKEN),
    )
    out = io.StringIO()
    code = run(["ddl", "run"], Session(Output(out=out, err=out), shared=app))
    return code, out.getvalue()


def _record(store: FakeStore, texts: Mapping[str, str]) -> None:
    scripts, findings = read_scripts(texts)
    assert not findings
    store.ensure(TABLES.of(DDL_SCRIPTS), DDL_SCRIPTS)
    store.merge(TABLES.of(DDL_SCRIPTS), [s.row() for s in scripts], keys=["script_id"])


def test_scripts_run_on_the_sql_warehouse_and_python_without_spark_runs_here(
    store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    warehouse = Warehouse()
    gone = StatementError("[TABLE_OR_VIEW_NOT_FOUND] no such table", "42P01")
    warehouse.failures["missing"] = gone
    _record(
        store,
        {
            "a/1_a/1_x.sql": "CREATE TABLE c.s.t (id INT); INSERT INTO c.s.t VALUES (1)",
            "a/1_a/2_y.py": "print('hello from', target)",
            "b/1_a/1_x.sql": "SELECT 1; DROP TABLE missing",
            "c/1_a/1_x.sql": "SELECT 3",
            "c/1_a/2_y.py": "spark.sql('SELECT 1')",
        },
    )
    with StandIn(warehouse).running() as service:
        code, said = _ddl_run(store, service.host)
        warehouse.failures.clear()
        again, _ = _ddl_run(store, service.host)
    assert (code, again) == (1, 1)
    assert "hello from a" in said
    assert "statement 2 of 2: [TABLE_OR_VIEW_NOT_FOUND] no such table" in said
    assert "c/1_a/2_y.py: it names spark, and there is no Spark session here" in said
    assert "Failed: 2" in said
    assert sorted(warehouse.ran) == [
        *("CREATE TABLE c.s.t (id INT)", "DROP TABLE missing"),
        *("INSERT INTO c.s.t VALUES (1)", "SELECT 1"),
    ], "nothing of target c, and in target b only what is left"
    statuses = [row["execution_status"] for row in store.read(TABLES.of(EXECUTIONS)).to_pylist()]
    assert sorted(statuses) == ["Failure", "Success", "Success", "Success"]
