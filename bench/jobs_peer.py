"""Applies the jobs of one YAML twice with lakeflow-jobs-meta on local Spark; prints JSON lines.

    INTERPRETER_OF_THE_PEER bench/jobs_peer.py JOBS.yml WORK_FOLDER HOST TOKEN [JARS_FOLDER]

Run by `jobs.py`, which counts the calls at the server and answers each line. Imports nothing of
lakeflow_meta: the peer lives in an environment of its own. The jobs are created paused, so that
none is started (its default starts every new job that has no schedule).
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from control_peer import session


def main() -> None:
    file, work, host, token = sys.argv[1:5]
    jars = Path(sys.argv[5]) if len(sys.argv) > 5 else None
    spark = session(Path(work), jars)
    spark.sparkContext.setLogLevel("ERROR")
    spark.sql("CREATE SCHEMA IF NOT EXISTS lakeflow")

    from databricks.sdk import WorkspaceClient
    from lakeflow_jobs_meta import JobOrchestrator

    client = WorkspaceClient(host=host, token=token)
    orchestrator = JobOrchestrator("lakeflow.etl_control", workspace_client=client)
    orchestrator.ensure_setup()
    orchestrator.metadata_manager.load_yaml(file)
    tell("loading the metadata (not counted)", time.perf_counter(), [])
    for name in ("first apply", "apply again, nothing new"):
        began = time.perf_counter()
        tell(name, began, orchestrator.create_or_update_jobs(default_pause_status=True))
    spark.stop()


def tell(name: str, began: float, jobs: list[Any]) -> None:
    seconds = time.perf_counter() - began
    print(json.dumps({"name": name, "seconds": seconds, "jobs": len(jobs)}), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
