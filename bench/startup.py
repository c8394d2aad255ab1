"""How long commands take to answer, and the demo, first and again. Prints a table.

    python bench/startup.py [--demo] [--runs 5]

Commands run as whole processes over the demo's metadata in a fresh home; the floor is a Python
process that imports nothing. A JVM among the children of a control-plane command is reported.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "flights"
COMMANDS = {
    "--help": ["--help"],
    "validate": ["validate", "metadata"],
    "sync (first)": ["sync", "metadata"],
    "sync (again)": ["sync", "metadata"],
    "changes": ["changes"],
    "plan": ["plan"],
    "sql": ["sql", "SELECT module_name, count(*) FROM etl_control GROUP BY 1"],
    "status": ["status"],
    "apply (first)": ["apply"],
    "apply (again)": ["apply"],
}


BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}


def timed(command: list[str], cwd: Path) -> float:
    """Wall time of one process, in seconds. What it says of its progress is not shown."""
    began = time.perf_counter()
    subprocess.run(command, cwd=cwd, env=ENVIRONMENT, check=True, capture_output=True)
    return time.perf_counter() - began


def copy_of_example(folder: str) -> Path:
    project = Path(folder) / "flights"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns(".lakeflow", "__pycache__"))
    return project


def commands(runs: int) -> None:
    cli = str(BIN / "lakeflow-meta")
    floor = [timed([sys.executable, "-c", "pass"], Path.cwd()) for _ in range(runs)]
    print(f"{'python -c pass':<16}{min(floor):>8.2f}{statistics.median(floor):>8.2f}")
    with tempfile.TemporaryDirectory() as folder:
        project = copy_of_example(folder)
        for name, arguments in COMMANDS.items():
            once = name.endswith("(first)")
            times = [timed([cli, *arguments], project) for _ in range(1 if once else runs)]
            print(f"{name:<16}{min(times):>8.2f}{statistics.median(times):>8.2f}")
        logs = project / ".lakeflow" / "logs" / "spark.log"
        print(f"JVM started: {'yes' if logs.exists() else 'no'}")


def demo() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = copy_of_example(folder)
        for name in ("demo, first", "demo, again"):
            print(f"{name:<16}{timed([sys.executable, 'demo.py'], project):>8.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--demo", action="store_true", help="also time the demo, twice")
    arguments = parser.parse_args()
    print(f"{'seconds':<16}{'min':>8}{'median':>8}")
    commands(arguments.runs)
    if arguments.demo:
        demo()


if __name__ == "__main__":
    main()
