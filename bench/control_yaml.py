"""YAML at scale, and a peer beside it: parts of `control.py`.

``bench_yaml``: 10,000 sources in 1,000 modules of one file: read, loaded, loaded again, one source
changed, changes, plan. The floor is `yaml.compose` of the same text with the C loader, taken in
turns with ours. ``bench_peer``: lakeflow-jobs-meta 0.2.0 in its own interpreter on local Spark,
with a tiny part of that, and ours with the same part in its dialect.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml

from lakeflow_meta.app import App
from lakeflow_meta.control.manager import MetadataManager
from lakeflow_meta.plan_operations import apply, plan

T = TypeVar("T")

SOURCES_IN_A_MODULE = 10
PEER = Path(__file__).with_name("control_peer.py")


# --- the metadata


def module(number: int) -> dict[str, Any]:
    name = f"sales_{number:04d}"
    return {
        "module_name": name,
        "description": f"orders of shop {number}, from landing to gold",
        "job_config": {
            "tags": {"domain": "sales", "tier": number % 3},
            "schedule": {
                "quartz_cron_expression": f"0 {number % 60} 5 * * ?",
                "timezone_id": "Europe/Zurich",
                "pause_status": "PAUSED",
            },
            "max_concurrent_runs": 1,
        },
        "sources": [source(name, number, i) for i in range(SOURCES_IN_A_MODULE)],
    }


def source(module_name: str, number: int, position: int) -> dict[str, Any]:
    """Four files, then three queries, two SQL files and a notebook that wait for them."""
    table = f"{module_name}_t{position}"
    said = {"source_id": f"s{position:03d}", "description": f"step {position} of {module_name}"}
    target = {"catalog": "${var.catalog}", "schema": "gold", "table": table}
    if position < 4:
        return {
            **said,
            "source_type": "file",
            "execution_order": 1,
            "source_config": {
                "path": f"/Volumes/${{var.catalog}}/landing/files/{table}",
                "format": "csv",
                "options": {"header": True, "nullValue": "NA"},
            },
            "target_config": {**target, "schema": "bronze", "write_mode": "append"},
        }
    query = f"INSERT INTO ${{var.catalog}}.gold.{table}\nSELECT *, {number} AS shop FROM t\n"
    work: dict[str, Any] = {"notebook_path": "notebooks/report.py", "timeout_seconds": 3600}
    if position < 7:
        work = {
            "task_type": "sql_query",
            "sql_task": {"sql_query": query, "parameters": {"day": "{{job.start_time.iso_date}}"}},
            "max_retries": 2,
        }
    elif position < 9:
        work = {
            "task_type": "sql_file",
            "sql_task": {"sql_file_path": f"sql/refine_{number % 100}.sql"},
        }
    return {
        **said,
        "source_type": "sql",
        "execution_order": position - 2,
        "target_config": target,
        "transformation_config": work,
    }


def write_project(folder: Path, count: int) -> Path:
    """A project with ``count`` sources in one file, and the files that its tasks name."""
    for name in [*(f"sql/refine_{i}.sql" for i in range(100)), "notebooks/report.py"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("SELECT 1")
    modules = [module(number) for number in range(count // SOURCES_IN_A_MODULE)]
    document = {"variables": {"catalog": "main"}, "modules": modules}
    file = folder / "metadata.yml"
    file.write_text(dumped(document))
    return file


def dumped(document: Mapping[str, Any]) -> str:
    return str(yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True))


# --- measuring


def show(name: str, seconds: float, bar: float | None = None, said: str = "") -> None:
    """One row: what, seconds, its bar, and whether that was met."""
    told = "" if bar is None else f"bar {bar:.2f} {'met' if seconds <= bar else 'MISSED'}"
    print(f"  {name:<52}{seconds:>9.3f} s  {' '.join(filter(None, [told, said]))}", flush=True)


def timed(act: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    result = act()
    return time.perf_counter() - began, result


def new_app(folder: Path) -> App:
    """As a new process has it: nothing is remembered from an earlier command."""
    return App.from_environment(overrides={"home": folder / ".lakeflow"})


# --- yaml


def bench_yaml(folder: Path, count: int, runs: int) -> None:
    folder.mkdir(parents=True)
    file = write_project(folder, count)
    text = file.read_text()
    print(
        f"yaml, {count:,} sources in {count // SOURCES_IN_A_MODULE:,} modules,"
        f" {len(text) / 1e6:.1f} MB; seconds"
    )
    floor = _parse(folder, file, text, runs)
    _loads(folder, file, floor)
    print(f"  peak memory of a process with one first load: {_peak_memory(folder, file):,} MB")


def _parse(folder: Path, file: Path, text: str, runs: int) -> float:
    """Floor and ours in turns; the median of the floor."""
    floors, ours = [], []
    for _ in range(runs):
        floors.append(timed(lambda: yaml.compose(text, Loader=yaml.CSafeLoader))[0])
        app = new_app(folder)
        ours.append(timed(lambda a=app: checked(a, file))[0])  # type: ignore[misc]  # one app a turn
    floor, parse = statistics.median(floors), statistics.median(ours)
    show(f"yaml.compose, C loader (median of {runs})", floor, said=_spread(floors))
    show(f"read and validate (median of {runs})", parse, 2 * floor, _spread(ours))
    ratios = [mine / its for mine, its in zip(ours, floors, strict=True)]
    print(f"  ratio by turn: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    return floor


def _spread(times: list[float]) -> str:
    return f"{min(times):.2f} to {max(times):.2f}"


def checked(app: App, file: Path) -> Any:
    declared = app.declared([file], {})
    if declared.problems:
        raise SystemExit("\n".join(str(problem) for problem in declared.problems[:5]))
    return declared


def _loads(folder: Path, file: Path, floor: float) -> None:
    """Whole commands as `sync` does them; "beyond" is what is left without reading."""

    def load(name: str, beyond: float) -> None:
        app = new_app(folder)
        with versions_of(app) as made:
            reading, declared = timed(lambda: checked(app, file))
            writing, report = timed(lambda: app.manager.load(declared))
        found = {k: v for k, v in report.to_dict().items() if isinstance(v, int) and v}
        show(f"{name}: sync", reading + writing, 2 * floor + beyond)
        show(f"{name}: beyond reading", writing, beyond, f"{found}, {made[0]} table versions")

    load("first load", 2.0)
    load("again, unchanged", 0.5)
    _changes_and_plan(folder, "nothing applied")
    show("apply, every job is new", timed(lambda: apply(new_app(folder), None))[0])
    _changes_and_plan(folder, "all applied")
    file.write_text(file.read_text().replace("0 AS shop FROM t\n", "0 AS shop FROM u\n", 1))
    load("one source changed", 0.5)
    _changes_and_plan(folder, "one source changed")
    seconds, text = timed(new_app(folder).manager.export)
    show("export", seconds, said=f"{len(text) / 1e6:.1f} MB")


def _changes_and_plan(folder: Path, state: str) -> None:
    seconds, changes = timed(lambda: new_app(folder).manager.changes())
    found = len(changes.new_modules) + len(changes.updated_modules)
    show(f"changes, {state}", seconds, 0.3, f"{found} modules")
    seconds, planned = timed(lambda: plan(new_app(folder), None))
    show(f"plan, {state}", seconds, said=f"{len(planned.jobs.pending)} jobs pending")


@contextmanager
def versions_of(app: App) -> Iterator[list[int]]:
    """How many versions all control tables made meanwhile; a new table counts as one."""
    made = [0]
    before = _versions(app)
    yield made
    made[0] = _versions(app) - before


def _versions(app: App) -> int:
    found = [app.store.version(table) for table in app.tables.all()]
    return sum(version + 1 for version in found if version is not None)


_LOAD_ALONE = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import control_yaml
app = control_yaml.new_app(Path(sys.argv[2]))
app.manager.load(control_yaml.checked(app, Path(sys.argv[3])))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def _peak_memory(folder: Path, file: Path) -> int:
    """Of a process that does one first load and nothing else."""
    command = [sys.executable, "-c", _LOAD_ALONE, str(PEER.parent), str(folder / "new"), str(file)]
    for name in ("sql", "notebooks"):
        (folder / "new").mkdir(exist_ok=True)
        (folder / "new" / name).symlink_to(folder / name)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout)


# --- the peer


def bench_peer(folder: Path, interpreter: str | None, jars: str | None, count: int) -> None:
    print(f"peer lakeflow-jobs-meta 0.2.0, {count} tasks in {count // SOURCES_IN_A_MODULE} jobs")
    if not interpreter:
        print("  skipped: name the interpreter that has it with --peer-python")
        return
    folder.mkdir(parents=True)
    file = folder / "jobs.yml"
    file.write_text(dumped({"jobs": jobs(count)}))
    command = [interpreter, str(PEER), str(file), str(folder / "peer"), *([jars] if jars else [])]
    environment = {**os.environ, "PYSPARK_PYTHON": interpreter}
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    for name, seconds in told["seconds"].items():
        show(f"peer: {name}", seconds)
    print(f"  peer: {told['versions']} table versions, one of them its creation")
    for name in ("first load", "again, unchanged"):
        app = new_app(folder)
        seconds, _ = timed(lambda a=app.manager, b=app: loaded(a, b, file))  # type: ignore[misc]
        show(f"ours: {name}", seconds)


def loaded(manager: MetadataManager, app: App, file: Path) -> object:
    return manager.load(checked(app, file))


def jobs(count: int) -> dict[str, Any]:
    """Jobs in the dialect of the peer."""
    return {
        f"sales_{number:04d}": {
            "max_concurrent_runs": 1,
            "tasks": [
                {
                    "task_key": f"s{i:03d}",
                    "task_type": "sql_query",
                    "warehouse_id": "w",
                    "sql_query": f"SELECT {number}, {i}",
                    "depends_on": [f"s{i - 1:03d}"] if i else [],
                }
                for i in range(SOURCES_IN_A_MODULE)
            ],
        }
        for number in range(count // SOURCES_IN_A_MODULE)
    }
