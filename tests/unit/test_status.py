"""What `status` says of the monitor."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lakeflow_meta.backends.heartbeat_file import HeartbeatFile, monitor_state
from lakeflow_meta.backends.processes import process_name
from lakeflow_meta.monitor_operations import HEARTBEAT
from lakeflow_meta.status import MonitorStatus, Status, monitor_status

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
