"""The programs under bench/ can be started: what they import is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted(path.name for path in (ROOT / "bench").glob("*.py"))


@pytest.mark.parametrize("name", [name for name in PROGRAMS if not name.endswith("_peer.py")])
def test_a_bench_can_be_started(name: str) -> None:
    done = subprocess.run(
        [sys.executable, f"bench/{name}", "--help"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
