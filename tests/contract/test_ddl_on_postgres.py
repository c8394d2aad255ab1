"""Scripts whose target is the warehouse: a real PostgreSQL."""

from __future__ import annotations

import io
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cli_process import Cli

from lakeflow_meta.app import App
from lakeflow_meta.control.tables import DDL_SCRIPTS, EXECUTIONS, ControlTables
from lakeflow_meta.ports import ScriptSession
from lakeflow_meta.scripts.runner import ScriptRunner
from lakeflow_meta.scripts.script import read_scripts
from lakeflow_meta.testing.clock import FixedClock
from lakeflow_meta.testing.crash import Crash, CrashPoint
from lakeflow_meta.testing.fake_scripts import FakeScriptTarget
from lakeflow_meta.testing.fake_store import FakeStore

if TYPE_CHECKING:
    from lakeflow_meta.backends.postgres.warehouse import PostgresWarehouse

TABLES = ControlTables.named("main.lakeflow.etl_control")
SCRIPT = """
CREATE SCHEMA s;  -- no IF NOT EXISTS anywhere: a second time would be an error
SET search_path TO s;
CREATE TABLE "a;b" (id int, note text DEFAULT 'c:\\');
INSERT INTO "a;b" VALUES (1, E'it\\'s;');
CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $f_1$ BEGIN RETURN 2; END; $f_1$;
ALTER TABLE "a;b" RENAME COLUMN note TO text;
INSERT INTO "a;b" SELECT f(), '100%'
"""
ROWS = [{"id": 1, "text": "it's;"}, {"id": 2, "text": "100%"}]


class _Place(FakeScriptTarget):
    """The real database behind a target's interface."""

    noun = "warehouse"
    allows_transactions = False

    def __init__(self, warehouse: PostgresWarehouse, crash: CrashPoint) -> None:
        super().__init__()
        self._warehouse = warehouse
        self._crash = crash
        self._opened: list[ScriptSession] = []

    @property
    def dialect(self) -> str:
        return self._warehouse.dialect

    def open_session(self) -> ScriptSession:
        session = self._warehouse.script_session()
        self._opened.append(session)
        return self._crash.wrap(session)

    def end(self) -> None:
        """The process is gone, and its connections with it."""
        for session in self._opened:
            session.close()


def _recorded(store: Any, texts: dict[str, str]) -> None:
    scripts, findings = read_scripts(texts)
    assert not findings
    store.ensure(TABLES.of(DDL_SCRIPTS), DDL_SCRIPTS)
    store.merge(TABLES.of(DDL_SCRIPTS), [s.row() for s in scripts], keys=["script_id"])


def _run(store: FakeStore, warehouse: PostgresWarehouse, crash: CrashPoint) -> Any:
    place = _Place(warehouse, crash)
    runner = ScriptRunner(
        crash.wrap(store),
        TABLES,
        lambda _: place,
        clock=FixedClock(),
        sleep=lambda _: None,
        is_alive=lambda _: False,
        max_parallel=1,
    )
    try:
        return runner.run()
    finally:
        place.end()


def test_killed_at_any_step_every_statement_has_run_once(warehouse: PostgresWarehouse) -> None:
    calls = 1000
    at = 0
    while at < calls:
        store = FakeStore(FixedClock())
        for table, layout in TABLES.all().items():
            store.ensure(table, layout)
        _recorded(store, {"dw/001_init/001_all.sql": SCRIPT})
        crash = CrashPoint(at, after=True)
        if at:
            with pytest.raises(Crash):
                _run(store, warehouse, crash)
        report = _run(store, warehouse, whole := CrashPoint())
        calls = calls if at else len(whole.calls)
        assert not report.has_failures, (at, list(report.lines()))
        assert warehouse.query('SELECT id, text FROM s."a;b" ORDER BY id') == ROWS, at
        assert store.read(TABLES.of(EXECUTIONS)).num_rows == 1
        warehouse.execute("DROP SCHEMA s CASCADE")
        at += 1
    assert calls > 25


def test_a_statement_that_fails_names_its_number_and_the_rest_is_done_later(
    warehouse: PostgresWarehouse,
) -> None:
    store = FakeStore(FixedClock())
    _recorded(store, {"dw/001_a/001_x.sql": "CREATE TABLE t (id int); INSERT INTO u VALUES (1)"})
    report = _run(store, warehouse, CrashPoint())
    assert report.targets[0].outcomes[0].error.startswith("statement 2 of 2: ")
    assert report.to_dict()["exit_value"] == "failed: 1 of 1 warehouses failed"
    _recorded(store, {"dw/001_a/001_x.sql": "CREATE TABLE t (id int); INSERT INTO t VALUES (1)"})
    assert not _run(store, warehouse, CrashPoint()).has_failures
    assert warehouse.query("SELECT count(*) AS n FROM t") == [{"n": 1}]


def test_statements_that_no_transaction_takes_run_outside_of_one(
    warehouse: PostgresWarehouse,
) -> None:
    store = FakeStore(FixedClock())
    body = "CREATE TABLE t (id int); VACUUM t; CREATE INDEX CONCURRENTLY i ON t (id)"
    _recorded(store, {"dw/001_a/001_x.sql": body})
    assert not _run(store, warehouse, CrashPoint()).has_failures


def test_a_process_that_is_killed_in_a_statement_is_followed_by_one_that_does_the_rest(
    tmp_path: Path, warehouse: PostgresWarehouse, postgres_environment: Any
) -> None:
    cli = Cli(tmp_path)
    cli.write("conf/local.yml", "backend: local\nwarehouse_targets: [dw]\n")
    app = App.from_environment(overrides={"home": tmp_path / ".lakeflow"}, conf=tmp_path / "conf")
    slow = "SELECT pg_sleep(CASE WHEN (SELECT count(*) FROM t) < 2 THEN 60 ELSE 0 END)"
    body = f"CREATE TABLE t (id int); INSERT INTO t VALUES (1); {slow}; INSERT INTO t VALUES (3)"
    bodies = {"dw/001_a/001_x.sql": body, "dw/001_a/002_y.py": "warehouse.execute('VACUUM t')"}
    _recorded(app.store, bodies)
    process = subprocess.Popen(cli.command("ddl", "run"), cwd=tmp_path, env=cli.environ())
    database = app.warehouse
    while not database.query("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"):
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    database.execute("INSERT INTO t VALUES (2)")
    report = app.script_runner.run(output=io.StringIO())
    assert not report.has_failures, list(report.lines())
    found = database.query("SELECT id FROM t ORDER BY id")
    assert [row["id"] for row in found] == [1, 2, 3]
    assert report.to_dict()["exit_value"] == "success"
