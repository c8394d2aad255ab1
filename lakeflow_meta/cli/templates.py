"""The files of a new project, and writing them."""

from __future__ import annotations

from pathlib import Path

from lakeflow_meta.errors import ConfigError

_METADATA = """\
# yaml-language-server: $schema=../lakeflow.schema.json
# One module is one job; each of its sources is one task.
metadata_version: "1.0"
description: a first pipeline

modules:
  - module_name: orders
    description: orders from landing to a daily total
    ddl_targets: [shop]            # run-once scripts of ddl_scripts/shop run first
    sources:
      - source_id: orders          # every CSV below landing/orders is ingested exactly once
        source_type: file
        execution_order: 1
        source_config: {path: landing/orders, format: csv, options: {header: true}}
        target_config: {table: shop.bronze.orders, write_mode: append}
      - source_id: daily_total     # runs after all sources of a lower order
        source_type: sql
        execution_order: 2
        transformation_config:
          task_type: sql_file
          sql_task: {sql_file_path: sql/daily_total.sql, warehouse_id: "${var.warehouse_id:-local}"}

tables:
  - table: shop.bronze.orders
    module: orders
    comment: one row per order
    columns:
      - {name: order_id, type: bigint, nullable: false, comment: number of the order}
      - {name: ordered_on, type: date, nullable: false}
      - {name: amount, type: "decimal(10,2)", comment: in euro}
    primary_key: [order_id]
"""

_SCRIPT = """\
-- Runs once. Its success is remembered in ddl_script_executions.
CREATE CATALOG IF NOT EXISTS shop;
CREATE SCHEMA IF NOT EXISTS shop.bronze;
CREATE SCHEMA IF NOT EXISTS shop.gold;
"""

_SQL = """\
CREATE OR REPLACE TABLE shop.gold.daily_total AS
SELECT ordered_on, count(*) AS orders, sum(amount) AS amount
FROM shop.bronze.orders
GROUP BY ordered_on;

SELECT * FROM shop.gold.daily_total ORDER BY ordered_on;
"""

_ORDERS = """\
order_id,ordered_on,amount
1,2025-01-30,19.90
2,2025-01-30,5.00
3,2025-01-31,42.50
"""

_DEFAULT = """\
# Settings that every target starts from; conf/TARGET.yml overrides them. No secrets in here.
# `lakeflow-meta config` prints every effective value and where it comes from.
control_table: main.lakeflow.etl_control
catalogs: [shop]
"""

_LOCAL = """\
# The embedded workspace: one directory (.lakeflow), no account.
backend: local
"""

_README = """\
# A lakeflow_meta project

    lakeflow-meta validate metadata     # every problem at once
    lakeflow-meta sync metadata         # YAML into the control tables
    lakeflow-meta plan                  # what would change
    lakeflow-meta apply --run           # jobs created or updated in place, then run
    lakeflow-meta status

Put another CSV into landing/orders and run `lakeflow-meta run orders`: only the new file is read.
"""

FILES = {
    "conf/default.yml": _DEFAULT,
    "conf/local.yml": _LOCAL,
    "metadata/orders.yml": _METADATA,
    "metadata/ddl_scripts/shop/001_schemas/001_schemas.sql": _SCRIPT,
    "sql/daily_total.sql": _SQL,
    "landing/orders/2025-01.csv": _ORDERS,
    "README.md": _README,
    ".gitignore": ".lakeflow/\n",
}


def write_project(directory: Path) -> tuple[list[Path], list[Path]]:
    """Write the files that are not there yet: written, and left alone. Raises ConfigError."""
    written, kept = [], []
    for name, text in FILES.items():
        path = directory / name
        if path.exists():
            kept.append(path)
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror}") from error
        written.append(path)
    return written, kept
