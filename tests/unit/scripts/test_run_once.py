"""`ddl_utils`: work that runs once, on control tables of this machine and without Spark."""

from __future__ import annotations

import io
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

import lakeflow_meta
from lakeflow_meta import (
    ConfigError,
    DDLUtilsInterface,
    LakeflowMetaError,
    ScriptFailedError,
    WorkFunctionError,
    ddl_utils,
)
from lakeflow_meta.app import App
from lakeflow_meta.backends.python_scripts import call_work
from lakeflow_meta.control.tables import EXECUTIONS, STATE, ControlTables
from lakeflow_meta.ports import Row
from lakeflow_meta.run_once import LOG_GUID
from lakeflow_meta.scripts.execution_log import Execution, ExecutionLog
from lakeflow_meta.scripts.run_once import RunOnce
from lakeflow_meta.scripts.target_lease import Leases
from lakeflow_meta.scripts.work import work_guid
from lakeflow_meta.testing.clock import FixedClock
from lakeflow_meta.testing.crash import Crash, CrashPoint
from lakeflow_meta.testing.fake_store import FakeStore

TABLES = ControlTables.named("main.lakeflow.etl_control")
RAN: list[str] = []


def create_orders() -> None:
    """Makes the table."""
    RAN.append("orders")


def fails() -> None:
    """Does not get far."""
    raise KeyError("no such thing")


def answers_false() -> bool:
    """As notebooks of others say that a statement failed."""
    return False


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    RAN.clear()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore(FixedClock())


@pytest.fixture
def utils(store: FakeStore, tmp_path: Path) -> ddl_utils:
    return ddl_utils("ws", "lh", store=store, home=tmp_path, clock=FixedClock())


def _rows(store: FakeStore) -> list[Row]:
    rows: list[Row] = store.read(TABLES.of(EXECUTIONS)).to_pylist()
    return [row for row in rows if row["script_id"] != LOG_GUID]


def test_it_meets_its_interface(utils: ddl_utils) -> None:
    typed: DDLUtilsInterface = utils
    assert isinstance(typed, DDLUtilsInterface)
    assert issubclass(lakeflow_meta.ddl_utils, lakeflow_meta.DDLUtilsInterface)


def test_the_log_is_made_once_and_says_so_of_itself(
    store: FakeStore, utils: ddl_utils, tmp_path: Path
) -> None:
    table = TABLES.of(EXECUTIONS)
    version = store.version(table)
    ddl_utils("ws", "other", store=store, home=tmp_path).initialise_ddl_script_executions_table()
    assert store.version(table) == version
    (row,) = store.read(table).to_pylist()
    first = {name: row[name] for name in EXECUTIONS.names[:4]}
    assert first == {
        "script_id": "b8c83c87-36d2-46a8-9686-ced38363e169",
        "script_name": "ddl_script_executions",
        "execution_status": "Success",
        "update_date": row["update_date"],
    }
    assert utils.check_if_script_has_run(LOG_GUID)


def test_work_runs_once_for_each_target(store: FakeStore, utils: ddl_utils, tmp_path: Path) -> None:
    for _ in range(2):
        utils.run_once(create_orders, "orders")
    assert RAN == ["orders"]
    ddl_utils("ws", "other", store=store, home=tmp_path).run_once(create_orders, "orders")
    assert RAN == ["orders", "orders"]
    assert [(row["script_id"], row["target"]) for row in _rows(store)] == [
        (work_guid(create_orders), "ws/lh"),
        (work_guid(create_orders), "ws/other"),
    ]
    assert utils.check_if_script_has_run(work_guid(create_orders))


def test_a_second_run_writes_nothing(store: FakeStore, utils: ddl_utils) -> None:
    utils.run_once(create_orders, "orders")
    versions = [store.version(TABLES.of(layout)) for layout in (EXECUTIONS, STATE)]
    utils.run_once(create_orders, "orders")
    assert [store.version(TABLES.of(layout)) for layout in (EXECUTIONS, STATE)] == versions


def test_what_is_skipped_is_told(utils: ddl_utils, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        utils.run_once(lambda: None, "orders", guid="g-1")
        utils.run_once(lambda: None, "orders", "g-1")
    assert caplog.messages[-1] == (
        "Skipping g-1:orders as the script has already run on workspace_id:ws | lakehouse_id:lh"
    )


def test_a_given_guid_counts_alone_and_an_edited_body_is_told(
    utils: ddl_utils, caplog: pytest.LogCaptureFixture
) -> None:
    utils.run_once(create_orders, "orders", guid="g-1")
    utils.run_once(fails, "orders", guid="g-1")
    assert "g-1: orders was changed after it ran; it does not run again" in caplog.messages


def test_a_failure_is_recorded_raised_with_its_cause_and_tried_again(
    store: FakeStore, utils: ddl_utils, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ScriptFailedError) as raised:
        utils.run_once(fails, "orders", guid="g-1")
    assert str(raised.value) == "Error in work_fn for g-1 (orders): KeyError: 'no such thing'"
    assert isinstance(raised.value.__cause__, KeyError)
    assert isinstance(raised.value, RuntimeError)
    assert isinstance(raised.value, LakeflowMetaError)
    assert caplog.messages == [str(raised.value)]
    assert not utils.check_if_script_has_run("g-1")
    utils.run_once(create_orders, "orders", guid="g-1")
    assert [row["execution_status"] for row in _rows(store)] == ["Failure", "Success"]
    assert _rows(store)[0]["error"] == "KeyError: 'no such thing'"
    assert utils.check_if_script_has_run("g-1")


def leaves() -> None:
    """Ends the process, it thinks."""
    raise SystemExit(3)


async def waits() -> None:
    """Never runs when it is called."""


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (answers_false, "it returned False"),
        (leaves, "it ended with exit code 3"),
        (lambda: waits(), "it returned a coroutine, so its body did not run"),
        (lambda: (x for x in RAN), "it returned a generator, which did not run"),
    ],
)
def test_what_did_not_do_the_work_is_no_success(utils: ddl_utils, work: Any, reason: str) -> None:
    with pytest.raises(ScriptFailedError, match=reason):
        utils.run_once(work, "orders", guid="g-1")
    assert not utils.check_if_script_has_run("g-1")


def test_a_lambda_without_guid_is_refused(utils: ddl_utils) -> None:
    with pytest.raises(WorkFunctionError, match=r"named function defined at top-level.*guid="):
        utils.run_once(lambda: None, "orders")
    with pytest.raises(ConfigError, match="is async"):
        utils.run_once(waits, "orders", guid="g-1")


def test_work_that_cannot_be_logged_is_neither_success_nor_failure(
    store: FakeStore, utils: ddl_utils
) -> None:
    store.fail_on("append")
    with pytest.raises(ScriptFailedError, match="the work is done, but the execution log could"):
        utils.run_once(create_orders, "orders")
    assert _rows(store) == []


def test_a_failure_that_cannot_be_logged_keeps_its_cause(
    store: FakeStore, utils: ddl_utils
) -> None:
    store.fail_on("append")
    with pytest.raises(
        ScriptFailedError, match=r"no such thing.*, but the execution log"
    ) as raised:
        utils.run_once(fails, "orders")
    assert isinstance(raised.value.__cause__, KeyError)


def test_rows_that_others_wrote_count(store: FakeStore, utils: ddl_utils) -> None:
    row = {"script_id": "old", "script_name": "o", "execution_status": "Success"}
    store.append(TABLES.of(EXECUTIONS), [{**row, "update_date": FixedClock()()}])
    utils.run_once(create_orders, "orders", guid="old")
    assert RAN == []


def test_the_log_is_written_by_hand_with_its_two_words_only(
    store: FakeStore, utils: ddl_utils
) -> None:
    utils.write_to_execution_log("g-1", "orders", "Failure")
    utils.write_to_execution_log("g-2", "orders", "success")
    with pytest.raises(ConfigError, match="'done' is not Success or Failure"):
        utils.write_to_execution_log("g-3", "orders", "done")
    assert [row["execution_status"] for row in _rows(store)] == ["Failure", "Success"]


def test_the_log_can_be_shown(
    store: FakeStore, utils: ddl_utils, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    utils.run_once(create_orders, "orders", guid="g-1")
    ddl_utils("ws", "x", store=store, home=tmp_path).run_once(create_orders, "orders", "g-2")
    with pytest.raises(ScriptFailedError):
        utils.run_once(fails, "bad", guid="g-3")
    utils.print_log()
    shown = capsys.readouterr().out
    assert "DDL EXECUTION LOG\n" in shown
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "g-1 orders Success 2026-01-01 00:00:00" in lines
    assert "g-3 bad Failure 2026-01-01 00:00:00" in lines
    assert "KeyError: 'no such thing'" in lines
    assert "g-2" not in shown
    output = io.StringIO()
    ddl_utils("ws", "lh", store=store, home=tmp_path, output=output).print_log()
    assert output.getvalue() == shown


def test_the_schema_of_the_contract_needs_no_session() -> None:
    schema = ddl_utils.execution_log_schema()
    assert schema.simpleString() == (
        "struct<script_id:string,script_name:string,execution_status:string,update_date:timestamp>"
    )
    assert not any(field.nullable for field in schema.fields)


@pytest.mark.parametrize(("workspace", "lakehouse"), [("", "lh"), ("ws", None)])
def test_a_target_needs_both_names(workspace: Any, lakehouse: Any) -> None:
    with pytest.raises(ConfigError, match="is not set"):
        ddl_utils(workspace, lakehouse)


def test_two_sessions_at_once_do_the_work_once(store: FakeStore, tmp_path: Path) -> None:
    both = threading.Barrier(2)
    ran: list[int] = []

    def slow() -> None:
        ran.append(1)
        threading.Event().wait(0.05)

    def go() -> None:
        utils = ddl_utils("ws", "lh", store=store, home=tmp_path)
        both.wait()
        utils.run_once(slow, "slow", guid="g")

    threads = [threading.Thread(target=go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ran == [1]
    assert len(_rows(store)) == 1


def test_work_may_hold_work_of_its_own(utils: ddl_utils) -> None:
    def outer() -> None:
        utils.run_once(create_orders, "orders")

    utils.run_once(outer, "outer", guid="outer")
    assert RAN == ["orders"]


def test_killed_at_any_step_the_next_session_ends_as_if_nothing_had_happened() -> None:
    def once(store: FakeStore, crash: CrashPoint) -> RunOnce:
        port = crash.wrap(store)
        clock = FixedClock()
        log = ExecutionLog(port, TABLES, clock=clock, actor=lambda: "ann", run_id="r")
        leases = Leases(port, TABLES, "p", is_alive=lambda _: False, clock=clock)
        return RunOnce(log, leases, "t", call_work, clock)

    def go(store: FakeStore, crash: CrashPoint) -> None:
        session = once(store, crash)
        session.log.ensure()
        session.log.write_once(Execution(LOG_GUID, "log"))
        session.run(create_orders, "orders")

    whole = CrashPoint()
    expected = FakeStore(FixedClock())
    expected.ensure(TABLES.of(EXECUTIONS), EXECUTIONS)
    go(expected, whole)
    for at in range(1, len(whole.calls) + 1):
        for after in (False, True):
            store = FakeStore(FixedClock())
            store.ensure(TABLES.of(EXECUTIONS), EXECUTIONS)
            with pytest.raises(Crash):
                go(store, CrashPoint(at, after=after))
            go(store, CrashPoint())
            assert [r["execution_status"] for r in _rows(store)] == ["Success"], (at, after)
            assert len(store.read(TABLES.of(EXECUTIONS))) == 2


def test_it_keeps_its_log_where_the_settings_say_without_spark(tmp_path: Path) -> None:
    ddl_utils("ws", "lh", home=tmp_path, control_table="main.ops.control").run_once(
        create_orders, "orders"
    )
    app = App.from_environment(overrides={"home": tmp_path, "control_table": "main.ops.control"})
    table = app.tables.of(EXECUTIONS)
    assert str(table) == "main.ops.ddl_script_executions"
    assert app.store.read(table).num_rows == 2
    assert not (tmp_path / "logs").exists()
