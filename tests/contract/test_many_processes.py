"""Real processes that write one control table at once: what each of them wrote is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.control.tables import SOURCES, ControlTables

TABLES = ControlTables.named("main.lakeflow.etl_control")
PROCESSES, MERGES, ROWS = 8, 5, 10

WRITER = """
import sys, time
from pathlib import Path
from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.control.tables import SOURCES, ControlTables

folder, me, merges, rows = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
table = ControlTables.named("main.lakeflow.etl_control").sources
store = DeltaRsStore(folder)
(folder / f"ready-{me}").touch()
while not (folder / "go").exists():
    time.sleep(0.005)
for merge in range(merges):
    offered = [
        {"module_name": me, "source_id": f"{merge}/{row}", "source_config": f'{{"by": "{me}"}}'}
        for row in range(rows)
    ]
    store.merge(table, offered, keys=SOURCES.keys)
"""


def test_eight_processes_that_each_upsert_fifty_rows_end_with_all_four_hundred(
    tmp_path: Path,
) -> None:
    store = DeltaRsStore(tmp_path)
    store.ensure(TABLES.sources, SOURCES)
    given = [str(MERGES), str(ROWS)]
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), f"p{number}", *given])
        for number in range(PROCESSES)
    ]
    while len(list(tmp_path.glob("ready-*"))) < PROCESSES:
        assert all(writer.poll() is None for writer in writers)
    (tmp_path / "go").touch()
    assert [writer.wait() for writer in writers] == [0] * PROCESSES
    rows = store.read(TABLES.sources).to_pylist()
    found = {(row["module_name"], row["source_id"]): row["source_config"] for row in rows}
    assert len(rows) == len(found) == PROCESSES * MERGES * ROWS == 400
    assert all(config == f'{{"by": "{writer}"}}' for (writer, _), config in found.items())
