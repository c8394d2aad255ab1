"""Extracts of real processes: killed with SIGKILL, and out of disk space."""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from cli_process import ROOT
from extract_samples import declared
from extract_world import World

from lakeflow_meta.backends.deltars import DeltaRsStore

EXTRACT = declared(
    load={"mode": "incremental", "watermark_column": "id"},
    file_name={"timestamp_format": "yyyyMMdd_HHmmss"},
    file={"max_rows_per_file": 40_000},
    compression={"type": "gzip"},
    trigger={},
    manifest=True,
)
ROWS = 100_000
CHILD = """
import resource, sys, time
from pathlib import Path
sys.path[:0] = [{tests!r}]
import test_extract_killed as here
from extract_world import Choice, CrashPoint

class Pause(CrashPoint):
    '''Says where it is, and waits to be killed.'''
    def call(self, name, act):
        result = super().call(name, act)
        if name == {step!r}:
            print("here", flush=True)
            time.sleep(600)
        return result

world = here.world_in(Path({folder!r}))
if {limit!r}:
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit!r}, {limit!r}))
outcome, = world.extractor("child", Pause()).run(Choice()).outcomes
print(outcome.error)
"""


def world_in(folder: Path) -> World:
    world = World(folder, DeltaRsStore(folder / "warehouse"))
    world.rows.batch_rows = 10_000
    world.rows.tables["customers"] = pa.table({"id": range(1, ROWS + 1), "x": ["y" * 20] * ROWS})
    return world


def started(folder: Path, step: str = "", limit: int = 0) -> subprocess.Popen[str]:
    values: Mapping[str, Any] = {
        "tests": str(Path(__file__).parent),
        "folder": str(folder),
        "step": step,
        "limit": limit,
    }
    return subprocess.Popen(
        [sys.executable, "-c", CHILD.format(**values)],
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
    )


def ids(world: World) -> list[int]:
    found: list[int] = []
    for name, data in world.files().items():
        if name.endswith(".csv.gz"):
            text = gzip.decompress(data).decode().splitlines()
            found += [int(row["id"]) for row in csv.DictReader(text)]
    return sorted(found)


@pytest.mark.parametrize("step", ["write", "publish"])
def test_what_a_killed_process_left_is_brought_to_its_end(tmp_path: Path, step: str) -> None:
    world = world_in(tmp_path)
    world.record(EXTRACT)
    child = started(tmp_path, step)
    assert child.stdout is not None
    assert child.stdout.readline() == "here\n"
    child.kill()
    child.communicate()
    if step == "write":
        assert world.files() == {}
    else:
        assert 0 < len(world.files()) < 5
    world.dead.add("child")
    world.clock.advance(1)
    (outcome,) = world.run(process="parent").outcomes
    assert (outcome.error, len(outcome.completed)) == ("", int(step == "publish"))
    assert ids(world) == list(range(1, ROWS + 1))
    assert (world.watermark(), world.hidden()) == (str(ROWS), [])
    statuses = world.history("run_status")
    assert sorted(statuses) == sorted(
        ["IN_PROGRESS", "IN_PROGRESS", "SUCCESS", "SUCCESS" if step == "publish" else "FAILED"]
    )


def test_a_process_that_runs_out_of_space_leaves_nothing_half(tmp_path: Path) -> None:
    """RLIMIT_FSIZE: a file that grows beyond it cannot be written, as on a full disk."""
    world = world_in(tmp_path)
    world.record(EXTRACT)
    told, _ = started(tmp_path, limit=60_000).communicate(timeout=60)
    assert "the file cannot be written: File too large" in told
    assert (world.files(), world.hidden(), world.watermark()) == ({}, [], None)
    assert sorted(world.history("run_status")) == ["FAILED", "IN_PROGRESS"]
    assert world.run().outcomes[0].rows == ROWS
    assert ids(world) == list(range(1, ROWS + 1))
