"""The demo: real flights from landing to gold, twice, then a change by SQL. Runs the CLI only.

Everything that this script does, a person can type; each command is shown before it runs.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from land import land

HERE = Path(__file__).parent
HOME = Path(".lakeflow")
FLIGHTS = 336_776
CLI = shutil.which("lakeflow-meta") or sys.exit("lakeflow-meta is not installed: see README.md")

QUERY = """
CREATE OR REPLACE TABLE nyc.gold.busiest_days AS
SELECT flight_date, count(*) AS flights FROM nyc.silver.flights GROUP BY 1
"""
TASK: dict[str, Any] = {
    "task_type": "sql_query",
    "sql_task": {"warehouse_id": "local", "sql_query": ""},
}
INSERT = """
INSERT INTO etl_control VALUES
('busiest_days', 'nyc_flights', 'sql', 3, '{}', '{}', '%s', true)
"""
UPDATE = """
UPDATE etl_control SET execution_order = 4
WHERE module_name = 'nyc_flights' AND source_id = 'busiest_days'
"""
DELETE = "DELETE FROM etl_control WHERE source_id = 'busiest_days'"


def title(text: str) -> None:
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def run(*arguments: str) -> None:
    """Show a command and run it; the demo ends where one fails."""
    print(f"$ lakeflow-meta {' '.join(map(shown, arguments))}", flush=True)
    done = subprocess.run([CLI, *arguments], cwd=HERE, check=False)
    if done.returncode:
        sys.exit(f"the command ended with exit code {done.returncode}")


def ask(*arguments: str) -> Any:
    """The JSON result of a command."""
    done = subprocess.run([CLI, "--json", *arguments], cwd=HERE, check=True, capture_output=True)
    return json.loads(done.stdout)


def shown(argument: str) -> str:
    """An argument as a person would type it."""
    if " " not in argument:
        return argument
    quoted = argument.replace('"', '\\"')
    return f'"{quoted}"'


def flat(sql: str) -> str:
    """SQL on one line."""
    return " ".join(sql.split())


def insert() -> str:
    """The eight-value INSERT that people write, with its task as JSON."""
    task = {**TASK, "sql_task": {**TASK["sql_task"], "sql_query": flat(QUERY)}}
    return flat(INSERT) % json.dumps(task)


def main() -> None:
    began = time.monotonic()
    title("Real data lands in a volume")
    count = land(HERE / HOME / "volumes" / "nyc" / "landing" / "files")
    print(f"{count:,} flights in 365 files, with airlines, airports, planes and weather")

    title("YAML into the control tables, control tables into jobs")
    run("validate", "metadata")
    run("sync", "metadata")
    run("plan")
    run("apply")

    title("The jobs run: schemas, tables, ingestion, silver, gold")
    run("run", "nyc_reference", "nyc_flights")
    run("status")
    show_results()

    title("The other way in: SQL on the control table")
    before = ask("apply", "nyc_flights")[0]["job_id"]
    run("sql", insert())
    run("sql", flat(UPDATE))
    run("plan")
    run("apply")
    after = ask("apply", "nyc_flights")[0]["job_id"]
    print(f"job id before {before}, after {after}: {'the same job' if before == after else 'LOST'}")
    title("And back")
    run("sql", DELETE)
    run("apply")
    print(f"\ndone in {time.monotonic() - began:.0f} s. Run it again: nothing will change.")


def show_results() -> None:
    """Print the gold layer, read straight from its Delta files, and check the count."""
    from gold import rows, show

    bronze = rows(HERE / HOME, "nyc.bronze.flights", ["carrier"]).num_rows
    title(f"{bronze:,} flights, each exactly once; how late they were")
    show(HERE / HOME)
    if bronze != FLIGHTS:
        sys.exit(f"expected {FLIGHTS:,} flights")


if __name__ == "__main__":
    main()
