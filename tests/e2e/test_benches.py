"""The programs under bench/ can be started: what they import is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted(path.name for path in (ROOT / "bench").glob("*.py"))


def started(*arguments: str) -> str:
    """What a bench prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [name for name in PROGRAMS if not name.endswith("_peer.py")])
def test_a_bench_can_be_started(name: str) -> None:
    started(f"bench/{name}", "--help")


def test_the_bench_of_idle_ingestion_runs_and_starts_no_spark() -> None:
    said = started("bench/ingest.py", "memory", "--small")
    assert "100 files listed" in said
    assert "JVM" not in said


def test_the_bench_of_the_workspace_runs_without_spark() -> None:
    said = started("bench/workspace.py", "--small")
    assert [line.split()[1] for line in said.splitlines() if line.startswith("  run, ")] == [
        "fan",
        "chain",
        "layers",
    ]
