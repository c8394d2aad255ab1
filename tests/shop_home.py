"""A home that a small shop has worked with: for the tests of the web page, and for its pictures.

Everything in it was made by the public API: metadata that was synced, jobs that were applied and
run here with Python tasks, rows of the ledger written by the store. No Spark.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from lakeflow_meta.app import App
from lakeflow_meta.control.tables import EXECUTIONS, FILES
from lakeflow_meta.plan_operations import apply

_TASK = "transformation_config: {task_type: spark_python, python_file: tasks/%s.py%s}"

SOURCE = f"{{source_id: s, source_type: python, {_TASK % ('work', '')}}}"
"""One source of a module, as YAML in one line."""

ORDERS = f"""
modules:
  - module_name: daily_orders
    description: orders of the shop, from what the tills send to the report of the morning
    job_config:
      schedule: {{quartz_cron_expression: "0 30 5 * * ?", timezone_id: Europe/Berlin}}
      parameters: [{{name: day, default: "2026-03-01"}}]
      tags: {{domain: sales}}
    sources:
      - {{source_id: orders, source_type: python, execution_order: 1, {_TASK % ("work", "")}}}
      - {{source_id: customers, source_type: python, execution_order: 1, {_TASK % ("work", "")}}}
      - {{source_id: prices, source_type: python, execution_order: 1, {_TASK % ("work", "")}}}
      - {{source_id: clean_orders, source_type: python, execution_order: 2, {_TASK % ("work", "")}}}
      - {{source_id: clean_customers, source_type: python, execution_order: 2,
         {_TASK % ("work", "")}}}
      - {{source_id: joined, source_type: python, execution_order: 3, {_TASK % ("work", "")}}}
      - {{source_id: by_city, source_type: python, execution_order: 4, {_TASK % ("work", "")}}}
      - {{source_id: by_product, source_type: python, execution_order: 4, {_TASK % ("work", "")}}}
      - source_id: morning_report
        source_type: python
        execution_order: 5
        {_TASK % ("work", "")}
  - module_name: stock_levels
    description: what lies in the three warehouses
    sources:
      - source_id: count_stock
        source_type: python
        execution_order: 1
        transformation_config:
          task_type: for_each
          inputs: '["north", "south", "harbour"]'
          concurrency: 2
          task:
            {{task_type: spark_python, python_file: tasks/work.py, parameters: ["{{{{input}}}}"]}}
      - source_id: check_stock
        source_type: python
        execution_order: 2
        {_TASK % ("fail", ", max_retries: 1, min_retry_interval_millis: 300")}
      - {{source_id: publish_stock, source_type: python, execution_order: 3,
         {_TASK % ("work", "")}}}
  - module_name: tills
    description: files that the tills leave in the landing volume
    sources:
      - source_id: receipts
        source_type: file
        source_config: {{path: /Volumes/shop/landing/tills, format: csv, options: {{header: true}}}}
        target_config: {{table: shop.bronze.receipts}}
"""
TABLES = """
tables:
  - table: shop.silver.orders
    module: tills
    comment: one row per order
    columns:
      - {name: order_id, type: bigint, nullable: false}
      - {name: city, type: string}
      - {name: amount, type: "decimal(10,2)", comment: euros%s}
"""
WORK = 'import sys, time\nprint("rows written:", 1234)\ntime.sleep(0.15)\n'
FAIL = """
import sys
for number in range(40):
    print(f"warehouse {number % 3}: counted {number * 17} pieces")
print("\\x1b[31mwarehouse 2: 12 pieces are missing\\x1b[0m", file=sys.stderr)
raise SystemExit("stock of warehouse 2 is below what was sold")
"""
SETTINGS = """
catalogs: [shop]
variables: {country: DE, till_password: hunter2}
"""
SCRIPTS = {"shop/001_init/001_schemas.sql": "CREATE SCHEMA IF NOT EXISTS shop.silver"}
LEDGER = 250


def open_shop(folder: Path, **parts: Any) -> App:
    """The app of a home below ``folder``."""
    return App.from_environment(
        overrides={"home": folder / ".lakeflow", "target": "local"}, conf=folder / "conf", **parts
    )


def fill_shop(folder: Path) -> App:
    """Make the home; its newest run failed, its table was changed once, a change waits."""
    (folder / "tasks").mkdir(parents=True)
    (folder / "conf").mkdir()
    (folder / "conf" / "default.yml").write_text(SETTINGS)
    (folder / "tasks" / "work.py").write_text(WORK)
    (folder / "tasks" / "fail.py").write_text(FAIL)
    app = open_shop(folder)
    sync(app, ORDERS + TABLES % "")
    apply(app, None)
    for module in ("daily_orders", "daily_orders", "stock_levels"):
        app.orchestrator.run(module)
    _write_ledger(app)
    _write_executions(app)
    sync(app, ORDERS + TABLES % "}\n      - {name: shipped_at, type: timestamp")
    app.manager.sql(
        "UPDATE etl_control SET execution_order = 2"
        " WHERE module_name = 'stock_levels' AND source_id = 'publish_stock'"
    )
    return app


def sync(app: App, text: str) -> None:
    """Record metadata that is given as text."""
    app.manager.load(app.declared_in({"shop.yml": text}, SCRIPTS, {}, check_files=False))


def _write_ledger(app: App) -> None:
    app.store.append(app.tables.of(FILES), list(_files(app)))


def _files(app: App) -> Iterator[dict[str, Any]]:
    now = app.clock()
    for number in range(LEDGER):
        failed = number % 40 == 7
        yield {
            "file_path": f"/Volumes/shop/landing/tills/till_{number % 9}/{number:05}.csv",
            "file_hash": f"{number:064x}",
            "status": "failed" if failed else "success",
            "processed_at": now - timedelta(minutes=number),
            "record_count": None if failed else 100 + number,
            "error_message": "line 17: '12,5' is no DECIMAL(10,2)" if failed else None,
            "target_table": "shop.bronze.receipts",
            "size_bytes": 4_000 + 31 * number,
            "attempt": 2 if failed else 1,
        }


def _write_executions(app: App) -> None:
    now = app.clock()
    row = {
        "script_id": "shop/000_roles/001_roles",
        "script_name": "roles",
        "execution_status": "Success",
        "update_date": now,
        "started_at": now - timedelta(seconds=2),
        "duration_seconds": 2.0,
        "executed_by": "ada",
        "target": "shop",
    }
    app.store.append(app.tables.of(EXECUTIONS), [row])
