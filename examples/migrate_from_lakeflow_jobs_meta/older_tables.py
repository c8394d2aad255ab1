"""Makes the control tables that lakeflow-jobs-meta 0.2.0 would have made, in the local home.

Stands in for tables that you already have, so that `lakeflow-meta migrate` has something to read.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

ROOT = Path(".lakeflow/warehouse/main/default")
AT = datetime(2025, 11, 20, tzinfo=UTC)
TIMESTAMP = pa.timestamp("us", "UTC")
AUDIT = {"created_by": "ann", "created_timestamp": AT, "updated_by": "ann", "updated_timestamp": AT}
AUDIT_TYPES = [(name, TIMESTAMP if "timestamp" in name else pa.string()) for name in AUDIT]

JOB = {"resource_id": "daily_sales_dev", "job_name": "Daily sales (dev)"}
SETTINGS = {
    "tags": {"team": "sales"},
    "parameters": [{"name": "day", "default": "2025-11-20"}],
    "schedule": {
        "quartz_cron_expression": "0 0 2 * * ?",
        "timezone_id": "UTC",
        "pause_status": "PAUSED",
    },
}
TASKS = [
    (
        "load",
        [],
        "notebook",
        {"file_path": "notebooks/load.py", "parameters": {"rows": 100}},
        False,
    ),
    ("by_country", ["load"], "sql_file", {"file_path": "sql/by_country.sql"}, False),
    (
        "check",
        ["by_country"],
        "sql_query",
        {"sql_query": "SELECT 'checked' AS state", "run_if": "ALL_DONE"},
        True,
    ),
]
CONTROL = pa.schema(
    [
        *((name, pa.string()) for name in ("resource_id", "job_name", "task_key", "depends_on")),
        *((name, pa.string()) for name in ("task_type", "job_config", "task_config")),
        ("disabled", pa.bool_()),
        *AUDIT_TYPES,
    ]
)
JOBS = pa.schema(
    [("resource_id", pa.string()), ("job_id", pa.int64()), ("job_name", pa.string()), *AUDIT_TYPES]
)


def main() -> None:
    """Write both tables anew."""
    rows = [
        {
            **JOB,
            "task_key": key,
            "depends_on": json.dumps(needs),
            "task_type": kind,
            "job_config": json.dumps(SETTINGS),
            "task_config": json.dumps(config),
            "disabled": disabled,
            **AUDIT,
        }
        for key, needs, kind, config, disabled in TASKS
    ]
    table = "job_metadata_control_table"
    write(table, pa.Table.from_pylist(rows, CONTROL))
    write(f"{table}_jobs", pa.Table.from_pylist([{**JOB, "job_id": 4711, **AUDIT}], JOBS))


def write(name: str, rows: pa.Table) -> None:
    """One table, whatever was there before."""
    write_deltalake(ROOT / name, rows, mode="overwrite")
    print(f"main.default.{name}: {rows.num_rows} row(s)")


if __name__ == "__main__":
    main()
