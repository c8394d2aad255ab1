"""Real processes on one directory, real control tables, a real Delta table; some are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from deltalake import DeltaTable
from ingest_worker import TABLES

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.control.tables import FILES

WORKER = Path(__file__).parents[1] / "ingest_worker.py"
FILE_COUNT = 60


def start(root: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    return subprocess.Popen([sys.executable, str(WORKER), str(root), *arguments], env=environ)


@pytest.mark.parametrize("killed_after", [(), (1, 4, 9)], ids=["all live", "three are killed"])
def test_four_processes_share_a_directory_and_every_row_is_there_once(
    tmp_path: Path, killed_after: tuple[int, ...]
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(FILE_COUNT):
        copied = number - 1 if number % 10 == 9 else number
        (tmp_path / f"in/{number:02}.txt").write_text(f"{copied} a\n{copied} b\n")
    doomed = [start(tmp_path, str(effects)) for effects in killed_after]
    living = [start(tmp_path) for _ in range(4 - len(doomed))]
    assert [process.wait(120) for process in doomed] == [-signal.SIGKILL] * len(doomed)
    assert [process.wait(120) for process in living] == [0] * len(living)
    assert start(tmp_path).wait(60) == 0, "one more run, for what was killed last"

    rows = DeltaTable(tmp_path / "target").to_pyarrow_table().to_pylist()
    different = [number for number in range(FILE_COUNT) if number % 10 != 9]
    expected = Counter(f"{number} {letter}" for number in different for letter in "ab")
    assert Counter(row["line"] for row in rows) == expected
    ledger = DeltaRsStore(tmp_path / "control").read(TABLES.of(FILES)).to_pylist()
    assert {row["status"] for row in ledger} == {"success"}
    by_file = Counter(row["file"] for row in rows)
    counted = {row["file_path"]: row["record_count"] for row in ledger if row["record_count"]}
    assert counted == by_file
    assert len(ledger) == FILE_COUNT
    assert not any((tmp_path / "in").iterdir())
    assert len([*(tmp_path / "done").iterdir()]) == FILE_COUNT
