"""Runs with nothing new as whole processes: seconds and memory. Parts of `ingest.py`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ingest_data import SCHEMA, write_tiny_files

from lakeflow_meta.app import App
from lakeflow_meta.control.tables import FILES
from lakeflow_meta.ingest.snapshot import FileStatus
from lakeflow_meta.ingest.source import FileSource

MEMORY_BAR_MB = 100
"""What is still called flat for a hundred times as many files."""

_MEASURED = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps([done.returncode, done.stdout, seconds, peak]))
"""
"""Run by a small process: a child starts with the peak memory of the process that forks it."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process that ended well."""

    seconds: float
    peak_mb: float


def command(folder: Path, *arguments: str) -> Process:
    """One command as a process. Its bytecode is kept, as that of an installed package is."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    called = [sys.executable, "-S", "-c", _MEASURED]
    called += [sys.executable, "-m", "lakeflow_meta", *arguments]
    ended = subprocess.run(called, cwd=folder, env=kept, check=True, stdout=subprocess.PIPE)
    code, said, seconds, peak_mb = json.loads(ended.stdout)
    if code:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{said}")
    return Process(seconds, peak_mb)


def record(app: App, folder: Path, name: str, config: dict[str, Any], table: str) -> FileSource:
    """Put a source into the control tables, as `lakeflow-meta sync` does."""
    row = {
        "source_id": name,
        "source_type": "file",
        "source_config": config,
        "target_config": {"table": table},
    }
    metadata = folder / f"{name}.yml"
    metadata.parent.mkdir(parents=True, exist_ok=True)
    metadata.write_text(yaml.dump({"modules": [{"module_name": name, "sources": [row]}]}))
    app.manager.load(app.declared([metadata], {}))
    return FileSource.parse(f"{name}/{name}", config, {"table": table})


def nothing_new(
    app: App, folder: Path, source: FileSource, runs: int
) -> tuple[list[Process], bool]:
    """`lakeflow-meta ingest` on a copy of the control tables; and whether a JVM was started."""
    home = folder / ".lakeflow"
    catalog = app.tables.sources.catalog
    shutil.copytree(app.home / "warehouse" / catalog, home / "warehouse" / catalog)
    done = [command(folder, "ingest", source.name, "--json") for _ in range(runs)]
    return done, (home / "logs" / "spark.log").exists()


def pretend_ingested(app: App, source: FileSource) -> None:
    """Ledger rows as a run leaves them, for every file that the source lists."""
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
        for number, file in enumerate(app.files.list_files(source))
    ]
    app.store.ensure(app.tables.of(FILES), FILES)
    app.store.append(app.tables.of(FILES), rows)


def bench_memory(folder: Path, counts: Sequence[int], runs: int) -> None:
    """The same run over folders and ledgers of several sizes."""
    peaks = []
    for count in counts:
        root = folder / f"n{count}"
        app = App.from_environment(overrides={"home": root / "session" / ".lakeflow"})
        landing = root / "landing"
        write_tiny_files(landing, count)
        config = {"path": str(landing), "format": "json", "schema": SCHEMA}
        source = record(app, root, "events", config, "main.default.events")
        pretend_ingested(app, source)
        done, started = nothing_new(app, root / "run", source, runs)
        best = min(each.seconds for each in done)
        peaks.append(max(each.peak_mb for each in done))
        jvm = ", and a JVM was started" if started else ""
        print(f"  {f'{count:,} files listed':<44}{best:>8.2f} s{peaks[-1]:>8.0f} MB{jvm}")
    grown = peaks[-1] - peaks[0]
    met = "yes" if grown <= MEMORY_BAR_MB else "NO"
    print(f"  {'more memory':<44}{'':>10}{grown:>8.0f} MB  bar {MEMORY_BAR_MB}: {met}")
