"""The files of a new project, and writing them."""

from __future__ import annotations

import json
from pathlib import Path

from lakeflow_meta.errors import ConfigError

_METADATA = """\
# yaml-language-server: $schema=../lakeflow.schema.json
# What is declared. `lakeflow-meta sync metadata` records it in the control tables, and
# `lakeflow-meta apply` makes jobs of it: one module is one job, each of its sources is one task.
# Names of keys complete in editors that know the line above (VS Code: the YAML extension).
metadata_version: "1.0"
description: a coffee bar, from landed files to a daily total

modules:
  - module_name: orders
    description: orders from landing to a daily total
    ddl_targets: [shop]            # scripts of ddl_scripts/shop run first, each once
    sources:
      - source_id: orders          # every CSV below landing/orders is ingested exactly once
        source_type: file
        execution_order: 1
        source_config: {path: landing/orders, format: csv, options: {header: true}}
        target_config: {table: shop.bronze.orders, write_mode: append}

      - source_id: daily_total     # runs after all sources of a lower execution_order
        source_type: sql
        execution_order: 2
        transformation_config:
          task_type: sql_file
          sql_task: {sql_file_path: sql/daily_total.sql}

      - source_id: check_orders    # a notebook; it hands a value to the tasks after it
        source_type: notebook
        execution_order: 3
        transformation_config:
          task_type: notebook
          notebook_path: notebooks/check_orders.py
          parameters: {least_orders: "1"}

      - source_id: summary         # takes that value as a parameter of its SQL
        source_type: sql
        execution_order: 4
        transformation_config:
          task_type: sql_query
          sql_task:
            sql_query: >-
              SELECT :orders AS orders_so_far, max(ordered_on) AS newest_day
              FROM shop.gold.daily_total
            parameters: {orders: "{{tasks.check_orders.values.orders}}"}

      - source_id: export          # writes out/daily_total/daily_total.csv; see extracts below
        source_type: extract
        execution_order: 4
        transformation_config: {task_type: extract, extracts: [daily_total]}

tables:
  - table: shop.bronze.orders
    module: orders
    comment: one row per order
    columns:
      - {name: order_id, type: bigint, nullable: false, comment: number of the order}
      - {name: ordered_on, type: date, nullable: false}
      - {name: amount, type: "decimal(10,2)", comment: in euro}
    primary_key: [order_id]

extracts:
  - extract_name: daily_total
    description: the daily total, for the accountant
    source: {table: shop.gold.daily_total}
    target: {path: out/daily_total}
    file_name: {name: daily_total}
    file: {format: csv, delimiter: ";"}
"""

_SCRIPT = """\
-- Runs once. Its success is remembered in ddl_script_executions; a later change is a new script.
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

_NOTEBOOK = """\
# Databricks notebook source
# MAGIC %md
# MAGIC # Are there orders?
# MAGIC Fails when there are too few; else hands their number to the tasks after it.

# COMMAND ----------

least = int(dbutils.widgets.get("least_orders"))  # noqa: F821 (given by the runtime)
orders = spark.table("shop.bronze.orders").count()  # noqa: F821 (given by the runtime)
assert orders >= least, f"{orders} orders; at least {least} are expected"

# COMMAND ----------

dbutils.jobs.taskValues.set(key="orders", value=orders)  # noqa: F821 (given by the runtime)
print(f"{orders} orders")
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
# The target without --target: the embedded workspace in one directory (.lakeflow), no account.
backend: local
"""

_PROD = """\
# lakeflow-meta --target prod …: the same metadata on a Databricks workspace. Fill in and use
# `lakeflow-meta --target prod plan`; the token is taken from the profile or the environment.
backend: databricks
# host: https://dbc-12345678-abcd.cloud.databricks.com
# profile: DEFAULT               # of ~/.databrickscfg
# warehouse_id: 1234567890abcdef # runs the SQL tasks
# deploy: {package_folder: /Volumes/main/lakeflow/packages}
"""

_README = """\
# A lakeflow_meta project

A coffee bar: its orders land as CSV files and become a table, a daily total and a file for the
accountant. It runs as it is, on this machine, without an account:

    lakeflow-meta sync metadata         # YAML into the control tables
    lakeflow-meta apply --run           # the job, created or updated in place, and run
    lakeflow-meta status                # is everything as declared, what ran, what is next

(The first run fetches Delta's jars and starts Spark; `lakeflow-meta doctor --fix` does that
beforehand and says what is missing.) Then:

    lakeflow-meta runs                  # what ran; `lakeflow-meta runs RUN_ID --logs TASK`
    lakeflow-meta plan                  # what an apply would change, field by field
    lakeflow-meta ingest log            # which files were ingested, and when

Put another CSV into landing/orders and type `lakeflow-meta run orders`: only the new file is read.

| here | is |
|---|---|
| metadata/orders.yml | the module: its tasks, its table, its extract |
| metadata/ddl_scripts/shop/ | scripts that run once |
| sql/, notebooks/ | what the tasks run |
| landing/orders/ | files to ingest |
| conf/ | settings: default.yml, then one file a target |
| .lakeflow/ | the embedded workspace; remove it to start anew |
"""

FILES = {
    "README.md": _README,
    ".gitignore": ".lakeflow/\nout/\n",
    "conf/default.yml": _DEFAULT,
    "conf/local.yml": _LOCAL,
    "conf/prod.yml": _PROD,
    "metadata/orders.yml": _METADATA,
    "metadata/ddl_scripts/shop/001_schemas/001_schemas.sql": _SCRIPT,
    "sql/daily_total.sql": _SQL,
    "notebooks/check_orders.py": _NOTEBOOK,
    "landing/orders/2025-01.csv": _ORDERS,
}
SCHEMA = "lakeflow.schema.json"
"""What editors complete metadata files from."""


def write_project(directory: Path) -> tuple[list[Path], list[Path]]:
    """Write the files that are not there yet: written, and left alone. Raises ConfigError."""
    written: list[Path] = []
    kept: list[Path] = []
    for name, text in {**FILES, SCHEMA: schema_text()}.items():
        path = directory / name
        (written if _write_new(path, text) else kept).append(path)
    return written, kept


def schema_text() -> str:
    """The JSON Schema of metadata files."""
    from lakeflow_meta.control.declared import MetadataFile
    from lakeflow_meta.control.descriptions import describe_schema

    value = describe_schema(MetadataFile.model_json_schema())
    value["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _write_new(path: Path, text: str) -> bool:
    """Whether the file was written; one that is there is left alone, whoever was first."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        if path.parent.is_dir():
            return False
        raise ConfigError(f"{path.parent} is a file; a folder is needed there") from None
    except OSError as error:
        hint = "give write permission, or name another folder: lakeflow-meta init DIR"
        raise ConfigError(f"cannot write {path}: {error.strerror}; {hint}") from error
    return True
