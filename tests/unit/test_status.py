"""What `status` says: one screen, and stable JSON."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lakeflow_meta.app import App
from lakeflow_meta.backends.folder_size import size_bytes
from lakeflow_meta.backends.heartbeat_file import HeartbeatFile, monitor_state
from lakeflow_meta.backends.processes import process_name
from lakeflow_meta.control.tables import FILES
from lakeflow_meta.monitor_operations import HEARTBEAT
from lakeflow_meta.ports import JobRun, RunState, TaskRun
from lakeflow_meta.serve_operations import Upcoming
from lakeflow_meta.status import (
    DeclaredStatus,
    FilesStatus,
    MonitorStatus,
    Status,
    monitor_status,
    status,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def beat(**more: Any) -> dict[str, Any]:
    return {
        "state": "running",
        "at": (NOW - timedelta(seconds=30)).isoformat(),
        "iterations": 7,
        "interval_seconds": 60,
        "last": {"errors": ["etl_control: sales/a: broken"]},
        **more,
    }


def process_that_ended() -> str:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = process_name(child.pid)
    child.communicate()
    return name


@pytest.fixture
def app(tmp_path: Path) -> Any:
    return SimpleNamespace(home=tmp_path, clock=lambda: NOW)


def said(app: Any, **more: Any) -> MonitorStatus | None:
    HeartbeatFile(app.home / HEARTBEAT).write(beat(**more))
    return monitor_status(app)


def test_where_no_monitor_has_run_nothing_is_said(app: Any) -> None:
    assert monitor_status(app) is None
    assert Status("c", {}, (), (), ()).to_dict()["monitor"] is None


def test_a_running_monitor_is_shown_with_its_last_look_and_its_errors(app: Any) -> None:
    found = said(app)
    assert found is not None
    assert (found.state, found.iterations, found.pid) == ("running", 7, os.getpid())
    lines = list(found.lines())
    assert lines[0].startswith("monitor: running, last look 2026-03-01T11:59:30+00:00")
    assert lines[1:] == ["  ✗ etl_control: sales/a: broken"]
    whole = Status("c", {}, (), (), (), found)
    assert json.loads(json.dumps(whole.to_dict()))["monitor"]["state"] == "running"
    assert lines[0] in list(whole.lines())


def test_a_monitor_whose_process_is_gone_is_dead_however_fresh_its_heartbeat(app: Any) -> None:
    found = said(app, process=process_that_ended())
    assert found is not None
    assert found.state == "dead"
    assert "is gone; start `lakeflow-meta monitor` again" in next(found.lines())


def test_a_monitor_that_ended_in_order_is_stopped_and_not_dead() -> None:
    value = beat(state="stopped", process=process_that_ended())
    assert monitor_state(value, NOW) == "stopped"


@pytest.mark.parametrize(
    ("interval", "age", "state"),
    [(60, 100, "running"), (60, 121, "silent"), (3600, 3000, "running")],
)
@pytest.mark.parametrize("process", [process_name(), "elsewhere@boot.1:17:99", ""])
def test_a_monitor_that_no_look_was_heard_of_in_time_is_silent(
    interval: float, age: float, state: str, process: str
) -> None:
    at = (NOW - timedelta(seconds=age)).isoformat()
    assert monitor_state(beat(at=at, interval_seconds=interval, process=process), NOW) == state


@pytest.mark.parametrize(
    "damage",
    [
        {"at": "yesterday"},
        {"at": None},
        {"at": "2026-03-01T12:00:00"},
        {"interval_seconds": "often"},
        {"interval_seconds": 1e300},
        {"state": "dancing"},
        {"last": "?"},
        {"last": {"errors": 5}},
    ],
)
def test_a_heartbeat_file_of_others_breaks_nothing(app: Any, damage: dict[str, Any]) -> None:
    found = said(app, **damage)
    assert found is not None
    assert found.state == ("running" if "last" in damage else "unknown")
    assert next(found.lines()).startswith("monitor: ")


def test_many_errors_are_counted_not_all_shown(app: Any) -> None:
    found = said(app, last={"errors": [f"error {n}" for n in range(9)]})
    assert found is not None
    assert list(found.lines())[-1] == "  … and 4 more"


# --------------------------------------------------------------------------- one screen

HOUR = timedelta(hours=1)


def run_of(job: str, state: RunState, run_id: int = 7, error: str = "") -> JobRun:
    tasks = (
        TaskRun("load", RunState.SUCCESS),
        TaskRun("check", RunState.FAILED, error=error, log_path=Path("check.log")),
        TaskRun("after", RunState.UPSTREAM_FAILED, error="check failed"),
    )
    return JobRun(run_id, 1, job, state, NOW - HOUR, NOW - HOUR / 2, tasks if state.bad else ())


def entry(job: str, *, next_at: datetime | None = None, paused: bool = False) -> Upcoming:
    return Upcoming(job, job, 1, "every hour", next_at, paused)


def screen(**more: Any) -> list[str]:
    values: dict[str, Any] = {
        "control_table": "main.lakeflow.etl_control",
        "counts": {"modules": 2, "sources": 1000, "tables": 3, "files ingested": 12_000},
        "pending": (),
        "problems": (),
        "runs": (),
        "now": NOW,
    }
    return list(Status(**{**values, **more}).lines())


def test_where_all_is_well_the_screen_is_short() -> None:
    lines = screen(
        declared=DeclaredStatus("metadata"),
        home="/p/.lakeflow",
        home_bytes=12_345_678,
        runs=[run_of("sales", RunState.SUCCESS)],
        upcoming=[
            entry("soon", next_at=NOW + HOUR / 1200),
            entry("sales", next_at=NOW + HOUR),
            entry("old", paused=True),
        ],
    )
    assert lines == [
        "main.lakeflow.etl_control: 2 modules, 1,000 sources, 3 tables, 12,000 files ingested",
        "target local, home /p/.lakeflow (12 MB)",
        "metadata: everything is recorded as declared",
        "everything is as recorded",
        "last run of sales: success in 1800.0 s, 30 minutes ago (run 7)",
        "next run of soon: in 3 s, 2026-03-01 12:00 UTC (every hour)",
        "next run of sales: in 1 hour, 2026-03-01 13:00 UTC (every hour)",
        "paused: 1 job",
    ]


def test_what_failed_comes_with_the_commands_that_show_it_and_mend_it() -> None:
    lines = screen(runs=[run_of("sales", RunState.FAILED, error="no such\ncolumn")])
    assert lines[2:] == [
        "✗ sales: failed, 30 minutes ago (run 7)",
        "    check: no such column",
        "    log: lakeflow-meta runs 7 --logs check",
        "    mend it, then: lakeflow-meta run --repair 7",
    ]


def test_a_run_that_succeeded_with_failures_is_to_be_mended_too() -> None:
    run = replace(run_of("sales", RunState.FAILED, error="x"), state=RunState.SUCCESS_WITH_FAILURES)
    said = screen(runs=[run])[2:]
    assert said[0] == "✗ sales: success_with_failures, 30 minutes ago (run 7)"
    assert said[-1] == "    mend it, then: lakeflow-meta run --repair 7"


def test_a_task_without_a_log_is_not_said_to_have_one() -> None:
    run = run_of("sales", RunState.FAILED, error="x")
    run = replace(run, tasks=tuple(replace(task, log_path=None) for task in run.tasks))
    assert not any("log:" in line for line in screen(runs=[run]))


def test_what_is_to_be_done_comes_with_its_command() -> None:
    lines = screen(
        declared=DeclaredStatus("metadata", ["+a/b", "~c/d"], not_declared=2),
        pending=["create sales", "update stock"],
        files=FilesStatus(3, [("/landing/" + "x" * 60 + "/bad.csv", "malformed")]),
    )
    assert lines[1:] == [
        "metadata: 2 changes to record: +a/b, ~c/d",
        "next: lakeflow-meta sync metadata",
        "2 changes to apply: create sales, update stock",
        "next: lakeflow-meta plan, then lakeflow-meta apply",
        "✗ 1 file failed: lakeflow-meta ingest log --status failed",
        f"    …{'x' * 37}/bad.csv: malformed",
    ]


def test_what_a_run_does_is_no_matter_of_apply() -> None:
    waiting = ["run shop/001/1.sql", "create a.b.c"]
    assert screen(waiting=waiting[:1])[1:] == [
        "1 script or table to bring up: run shop/001/1.sql",
        "next: lakeflow-meta run MODULE, or lakeflow-meta ddl run and tables sync",
    ]
    assert screen(pending=["create sales"], waiting=waiting)[1:] == [
        "1 change to apply: create sales",
        "next: lakeflow-meta plan, then lakeflow-meta apply",
        "2 scripts or tables to bring up: run shop/001/1.sql, create a.b.c",
    ]


def test_metadata_that_is_wrong_says_how_to_see_it() -> None:
    lines = screen(declared=DeclaredStatus("metadata", problems=["a", "b"]))
    assert lines[1] == "✗ metadata: 2 problems; see: lakeflow-meta validate metadata"


def test_an_empty_folder_is_told_how_to_begin() -> None:
    assert screen(counts={"modules": 0, "sources": 0})[1:] == [
        "nothing is recorded yet",
        "next: lakeflow-meta init, or lakeflow-meta sync PATH",
    ]


def test_however_much_there_is_it_fits_one_screen() -> None:
    """24 rows; 80 columns are the terminal's doing, which cuts."""
    good = [run_of(f"good{n}", RunState.SUCCESS) for n in range(500)]
    bad = [run_of(f"bad{n}", RunState.FAILED, error="x") for n in range(500)]
    lines = screen(
        declared=DeclaredStatus("metadata", [f"+{n}" for n in range(1000)]),
        home="/p/.lakeflow",
        pending=[f"update {n}" for n in range(1000)],
        waiting=[f"create {n}" for n in range(1000)],
        runs=[*bad, *good],
        upcoming=[entry(f"good{n}", next_at=NOW + HOUR) for n in range(1000)],
        files=FilesStatus(1, [(f"{n}.csv", "bad") for n in range(1000)]),
    )
    assert len(lines) <= 24
    said = "\n".join(lines)
    assert "metadata: 1,000 changes to record: +0, +1, +2" in said
    assert "1,000 changes to apply: update 0, update 1, update 2, update 3 … and 996 more" in said
    assert "… and 498 more jobs whose last run failed" in said
    assert "… and 498 more: lakeflow-meta runs" in said
    assert "… and 998 more: lakeflow-meta serve --list" in said


def test_json_has_every_key_and_only_adds_to_them() -> None:
    found = Status("c", {"modules": 1}, ("update a",), (), [run_of("sales", RunState.FAILED)])
    value = json.loads(json.dumps(found.to_dict(), default=str))
    assert {"control_table", "modules", "pending", "problems", "monitor", "runs"} < value.keys()
    assert value["runs"][0]["failed_tasks"] == ["check"]
    assert (value["upcoming"], value["declared"], value["failed_files"]) == ([], None, [])


# --------------------------------------------------------------------------- a project


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """A project with a metadata folder, nothing recorded."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "SELECT 1")
    return App.from_environment()


def write(folder: Path, sql: str) -> None:
    task = f"{{task_type: sql_query, sql_task: {{sql_query: {sql}}}}}"
    (folder / "metadata").mkdir(exist_ok=True)
    (folder / "metadata" / "m.yml").write_text(
        f"modules: [{{module_name: m, sources: [{{source_id: s, transformation_config: {task}}}]}}]"
    )


def sync(app: App) -> None:
    app.manager.load(app.declared([app.project_root / "metadata"], {}))


def test_declared_recorded_and_live_are_compared_one_after_the_other(shop: App) -> None:
    assert status(shop).declared == DeclaredStatus(
        "metadata",
        (
            "+m",
            "+m/s",
        ),
    )
    assert not shop.home.exists()
    sync(shop)
    found = status(shop)
    assert found.declared == DeclaredStatus("metadata")
    assert found.pending == ["create m"]
    shop.orchestrator.apply()
    assert status(shop).pending == []

    write(shop.project_root, "SELECT 2")
    assert status(shop).declared == DeclaredStatus("metadata", ("~m/s",))
    sync(shop)
    assert status(shop).pending == ["update m"]


def test_a_kept_answer_is_used_only_while_nothing_changed(shop: App) -> None:
    sync(shop)
    assert status(shop).declared == DeclaredStatus("metadata")
    kept = shop.home / "status.json"
    before = kept.read_text()
    kept.write_text(before.replace('"changes": []', '"changes": ["kept"]'))
    assert status(shop).declared == DeclaredStatus("metadata", ("kept",))
    shop.manager.sql("UPDATE etl_control SET execution_order = 5 WHERE source_id = 's'")
    assert status(shop).declared == DeclaredStatus("metadata", ("~m/s",))
    for damage in ("", "[]", "{", '{"of": 1}'):
        kept.write_text(damage)
        assert status(shop).declared == DeclaredStatus("metadata", ("~m/s",))


def test_broken_metadata_is_told_and_hides_nothing_else(shop: App) -> None:
    sync(shop)
    (shop.project_root / "metadata" / "broken.yml").write_text("modules: [")
    found = status(shop)
    assert found.declared is not None
    assert len(found.declared.problems) == 1
    assert found.pending == ["create m"]


def test_failed_files_are_counted_and_the_first_is_named(shop: App) -> None:
    sync(shop)
    rows = [
        {"file_path": f"/l/{n}.csv", "file_hash": str(n), "target_table": "t", "status": state}
        | {"error_message": "malformed\nat line 2" if state == "failed" else None}
        for n, state in enumerate(["success", "failed", "success", "pending"])
    ]
    shop.store.merge(shop.tables.of(FILES), rows, keys=("file_path", "file_hash", "target_table"))
    found = status(shop)
    assert found.counts["files ingested"] == 2
    assert found.files.failed == [("/l/1.csv", "malformed")]


def test_the_size_of_a_home_is_told_where_it_is_quickly_counted(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(b"x" * 100)
    (tmp_path / "d").write_bytes(b"x" * 11)
    assert size_bytes(tmp_path, 100) == 111
    assert size_bytes(tmp_path, 2) is None
    assert size_bytes(tmp_path / "nowhere", 2) == 0
