"""`make demo`, twice: real flights, exactly once, and nothing to do the second time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli_process import Cli

pytestmark = pytest.mark.spark


def demo(flights: Cli) -> str:
    bin_folder = str(Path(sys.executable).parent)
    environment = flights.environ()
    environment["PATH"] = f"{bin_folder}:{environment['PATH']}"
    done = subprocess.run(
        [sys.executable, "demo.py"],
        cwd=flights.directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_runs_twice_and_the_second_time_changes_nothing(flights: Cli) -> None:
    first = demo(flights)
    assert "336,776 flights, each exactly once" in first
    assert "the same job" in first
    ledger = flights.json("ingest", "log")
    assert len(ledger) == 369
    assert sum(r["record_count"] for r in ledger if "/flights/" in r["file_path"]) == 336_776
    jobs = {row["module"]: row["job_id"] for row in flights.json("apply")}

    again = demo(flights)
    assert "336,776 flights, each exactly once" in again
    assert re.search(r"added 0, changed 0, unchanged 19, removed 0", again)
    assert "no changes" in again
    assert {row["module"]: row["job_id"] for row in flights.json("apply")} == jobs
    assert flights.json("ingest", "log") == ledger
