"""Runs with nothing new as whole processes: seconds and memory. Parts of `ingest.py`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from ingest_data import SCHEMA, write_tiny_files

from lakeflow_meta.app import App
from lakeflow_meta.control.tables import FILES
from lakeflow_meta.ingest.snapshot import FileStatus
from lakeflow_meta.ingest.source import FileSource

MEMORY_BAR_MB = 50
"""What "some tens of megabytes" is taken for."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process that ended well."""

    seconds: float
    peak_mb: float


def command(folder: Path, *arguments: str) -> Process:
    """One command as a process. Its bytecode is kept, as that of an installed package is."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    called = [sys.executable, "-m", "lakeflow_meta", *arguments]
    began = time.perf_counter()
    with subprocess.Popen(
        called, cwd=folder, env=kept, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said = process.stdout.read() if process.stdout is not None else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{said}")
    return Process(seconds, usage.ru_maxrss / 1024)


def source_row(landing: Path, table: str) -> dict[str, object]:
    return {
        "source_id": landing.name,
        "source_type": "file",
        "source_config": {"path": str(landing), "format": "json", "schema": SCHEMA},
        "target_config": {"table": table},
    }


def record(app: App, folder: Path, landing: Path, table: str) -> FileSource:
    """Put a source into the control tables, as `lakeflow-meta sync` does."""
    row = source_row(landing, table)
    metadata = folder / f"{landing.name}.yml"
    metadata.parent.mkdir(parents=True, exist_ok=True)
    module = {"module_name": landing.name, "sources": [row]}
    metadata.write_text(yaml.dump({"modules": [module]}))
    app.manager.load(app.declared([metadata], {}))
    name = f"{landing.name}/{landing.name}"
    return FileSource.parse(name, row["source_config"], row["target_config"])


def nothing_new(
    app: App, folder: Path, source: FileSource, runs: int
) -> tuple[list[Process], bool]:
    """`lakeflow-meta ingest` over a copy of the control tables; whether one started a JVM."""
    home = folder / ".lakeflow"
    shutil.copytree(app.home / "warehouse" / "main", home / "warehouse" / "main")
    done = [command(folder, "ingest", source.name, "--json") for _ in range(runs)]
    return done, (home / "logs" / "spark.log").exists()


def pretend_ingested(app: App, source: FileSource) -> None:
    """Ledger rows as a run leaves them, for every file that the source lists."""
    listed = app.files.list_files(source)
    now = app.clock()
    rows = [
        {
            "file_path": file.path,
            "file_hash": f"{number:064x}",
            "status": FileStatus.SUCCESS.value,
            "processed_at": now,
            "record_count": 1,
            "target_table": source.target.key,
            "size_bytes": file.size_bytes,
            "modified_at": file.modified_at,
            "batch_id": f"bench:{1 + number // 10_000}",
            "attempt": 1,
            "fence": 2,
        }
        for number, file in enumerate(listed)
    ]
    app.store.ensure(app.tables.of(FILES), FILES)
    app.store.append(app.tables.of(FILES), rows)


def bench_memory(folder: Path, counts: Sequence[int], runs: int) -> None:
    """The same run over folders and ledgers of several sizes."""
    peaks = []
    for count in counts:
        root = folder / f"n{count}"
        app = App.from_environment(overrides={"home": root / "session" / ".lakeflow"})
        landing = root / f"landing_{count}"
        write_tiny_files(landing, count)
        source = record(app, root, landing, "main.default.events")
        pretend_ingested(app, source)
        done, started = nothing_new(app, root / "run", source, runs)
        best = min(each.seconds for each in done)
        peaks.append(max(each.peak_mb for each in done))
        jvm = "a JVM was started" if started else "no JVM"
        print(f"  {count:>9,} files listed{'':<28}{best:>8.2f} s {peaks[-1]:>8.0f} MB  {jvm}")
    grown = peaks[-1] - peaks[0]
    print(
        f"  grown by {grown:.0f} MB, bar {MEMORY_BAR_MB}: {'yes' if grown <= MEMORY_BAR_MB else 'NO'}"
    )
