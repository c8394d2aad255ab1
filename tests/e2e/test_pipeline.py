"""The embedded workspace through the command line: real runs, failures, kills."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from cli_process import Cli
from deltalake import DeltaTable

pytestmark = pytest.mark.spark


def table(cli: Cli, name: str) -> pa.Table:
    path = cli.directory / ".lakeflow" / "warehouse" / Path(*name.split("."))
    return DeltaTable(path).to_pyarrow_table()


def states(run: dict[str, Any]) -> dict[str, str]:
    return {task["task_key"]: task["state"] for task in run["tasks"]}


@pytest.fixture
def shop(cli: Cli) -> Cli:
    """The project that `init` makes."""
    cli.ok("init")
    return cli


def test_a_new_project_runs_and_only_new_files_are_read_again(shop: Cli) -> None:
    shop.ok("sync", "metadata")
    shop.ok("apply", "--run")
    assert table(shop, "shop.bronze.orders").num_rows == 3
    totals = {
        r["ordered_on"].isoformat(): r["orders"]
        for r in table(shop, "shop.gold.daily_total").to_pylist()
    }
    assert totals == {"2025-01-30": 2, "2025-01-31": 1}
    assert shop.json("ddl", "log")[0]["execution_status"] == "Success"
    assert (shop.directory / "out" / "daily_total" / "daily_total.csv").read_text() == (
        "ordered_on;orders;amount\n2025-01-30;2;24.90\n2025-01-31;1;42.50\n"
    )
    (first,) = shop.json("runs")
    said = shop.ok("runs", str(first["run_id"]), "--logs", "summary")
    assert re.search(r"3 .*2025-01-31", said), "the task value of the notebook"

    shop.write("landing/orders/2025-02.csv", "order_id,ordered_on,amount\n4,2025-02-01,1.00\n")
    run = shop.json("run", "orders")
    assert set(states(run).values()) == {"success"}
    assert table(shop, "shop.bronze.orders").num_rows == 4
    ledger = {Path(r["file_path"]).name: r for r in shop.json("ingest", "log")}
    assert {n: (r["status"], r["record_count"]) for n, r in ledger.items()} == {
        "2025-01.csv": ("success", 3),
        "2025-02.csv": ("success", 1),
    }
    assert shop.json("status")["runs"][0]["state"] == "success"


FAILING = """
modules:
  - module_name: m
    sources:
      - source_id: first
        source_type: sql
        execution_order: 1
        transformation_config: {task_type: sql_query, sql_task: {sql_query: "SELECT 1"}}
      - source_id: broken
        source_type: sql
        execution_order: 2
        transformation_config:
          task_type: sql_query
          sql_task: {sql_query: "SELECT nope FROM nowhere"}
      - source_id: after
        source_type: sql
        execution_order: 3
        transformation_config: {task_type: sql_query, sql_task: {sql_query: "SELECT 3"}}
      - source_id: always
        source_type: sql
        execution_order: 3
        transformation_config:
          task_type: sql_query
          sql_task: {sql_query: "SELECT 4"}
          run_if: ALL_DONE
          depends_on: [broken]
"""


def test_a_failing_task_skips_what_needs_it_and_its_log_is_named(cli: Cli) -> None:
    cli.write("m.yml", FAILING)
    cli.ok("sync", "m.yml")
    cli.ok("apply")
    done = cli.run("run", "m")
    assert done.returncode == 1
    assert "log of broken:" in done.stdout
    assert "Traceback" not in done.stderr
    (last,) = cli.json("runs")
    run = cli.json("runs", str(last["run_id"]))
    assert run["state"] == "failed"
    assert states(run) == {
        "first": "success",
        "broken": "failed",
        "after": "upstream_failed",
        "always": "success",
    }
    log = cli.ok("runs", str(last["run_id"]), "--logs", "broken")
    assert "TABLE_OR_VIEW_NOT_FOUND" in log
    assert "nowhere" in log


def test_a_killed_run_is_completed_by_the_next_exactly_once(shop: Cli) -> None:
    for day in range(1, 29):
        rows = "".join(f"{day * 1000 + n},2025-03-{day:02},1.50\n" for n in range(200))
        shop.write(f"landing/orders/2025-03-{day:02}.csv", f"order_id,ordered_on,amount\n{rows}")
    shop.ok("sync", "metadata")
    shop.ok("apply")
    process = subprocess.Popen(
        shop.command("run", "orders"),
        cwd=shop.directory,
        env=shop.environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    log = shop.directory / ".lakeflow" / "warehouse" / "shop" / "bronze" / "orders" / "_delta_log"
    deadline = time.monotonic() + 120
    while not log.is_dir() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    run = shop.json("run", "orders")
    assert run["state"] == "success"
    assert table(shop, "shop.bronze.orders").num_rows == 3 + 28 * 200
    first = shop.json("runs")[-1]
    assert first["state"] == "failed"


TWO = """
modules:
  - module_name: {name}
    sources:
      - source_id: make
        transformation_config:
          task_type: sql_query
          sql_task:
            sql_query: >-
              CREATE TABLE IF NOT EXISTS {catalog}.s.t AS SELECT '{catalog}' AS catalog
"""


def test_two_processes_work_at_once_on_two_catalogs(cli: Cli) -> None:
    cli.write("conf/default.yml", "catalogs: [left, right]\n")
    cli.write(
        "metadata/ddl_scripts/both/001_r/001_s.sql", "CREATE SCHEMA left.s;\nCREATE SCHEMA right.s"
    )
    for name in ("left", "right"):
        cli.write(f"metadata/{name}.yml", TWO.format(name=name, catalog=name))
    cli.ok("sync", "metadata")
    cli.ok("ddl", "run")
    cli.ok("apply")
    both = [
        subprocess.Popen(
            cli.command("run", name),
            cwd=cli.directory,
            env=cli.environ(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("left", "right")
    ]
    errors = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    for name in ("left", "right"):
        assert table(cli, f"{name}.s.t").to_pylist() == [{"catalog": name}]
    assert {run["state"] for run in cli.json("runs")} == {"success"}


def test_missing_java_is_one_sentence_and_the_control_plane_does_without(shop: Cli) -> None:
    bare = {"PATH": "/nonexistent", "JAVA_HOME": ""}
    assert shop.run("sync", "metadata", **bare).returncode == 0
    assert shop.run("apply", **bare).returncode == 0
    assert shop.run("plan", **bare).returncode == 0
    doctor = shop.run("doctor", **bare)
    assert doctor.returncode == 1
    assert "Java 17" in doctor.stdout
    done = shop.run("run", "orders", **bare)
    assert done.returncode == 1
    assert "Java 17" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
