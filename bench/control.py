"""How fast the control plane is at scale. Prints a table a part, to be read against its bars.

    python bench/control.py [yaml] [peer] [changes] [year] [--sources 10000] [--rows 100000]
                            [--commits 20000] [--peer-python PYTHON] [--peer-jars FOLDER]

``yaml``: 10,000 sources of one file read, loaded, changed and planned, against the floor of the
YAML parser. ``peer``: lakeflow-jobs-meta 0.2.0 with 200 tasks, in the environment of
``--peer-python``. ``changes``: the change detector over 100,000 sources. ``year``: control tables
after a year of small commits, simulated by writing log files in the form of delta-rs, before and
after one round of upkeep, and the time of real commits with and without upkeep.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from control_yaml import bench_peer, bench_yaml

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.backends.deltars_maintenance import Maintenance
from lakeflow_meta.control.change_memory import ChangeMemory
from lakeflow_meta.control.changes import active_states
from lakeflow_meta.control.manager import MetadataManager
from lakeflow_meta.control.tables import EVENTS, JOBS, SOURCES, ControlTables

T = TypeVar("T")
TABLES = ControlTables.named("main.lakeflow.etl_control")
SOURCES_IN_A_MODULE = 100


def timed(name: str, act: Callable[[], T], bar: str = "") -> T:
    began = time.perf_counter()
    result = act()
    print(f"  {name:<56}{time.perf_counter() - began:>9.3f} s  {bar}")
    return result


# --- changes


def source(number: int, now: datetime) -> dict[str, Any]:
    task = {"task_type": "sql_query", "sql_task": {"sql_query": f"SELECT {number}"}}
    return {
        "source_id": f"s{number % SOURCES_IN_A_MODULE:03d}",
        "module_name": f"m{number // SOURCES_IN_A_MODULE:05d}",
        "source_type": "sql",
        "execution_order": number % 5,
        "source_config": json.dumps({"path": f"/Volumes/main/raw/in/{number}", "format": "json"}),
        "target_config": json.dumps({"catalog": "main", "schema": "raw", "table": f"t{number}"}),
        "transformation_config": json.dumps(task),
        "is_active": True,
        "created_timestamp": now,
        "updated_timestamp": now,
    }


def applied(manager: MetadataManager, now: datetime) -> list[dict[str, Any]]:
    """Job records as `apply` leaves them."""
    states = active_states(manager.recorded().modules)
    return [
        {
            "module_name": name,
            "job_id": number,
            "job_name": name,
            "applied_state": json.dumps(state.to_dict()),
            "is_active": True,
            "created_timestamp": now,
            "updated_timestamp": now,
        }
        for number, (name, state) in enumerate(sorted(states.items()))
    ]


def bench_changes(folder: Path, rows: int) -> None:
    print(f"changes, {rows:,} sources in {rows // SOURCES_IN_A_MODULE:,} modules")
    store, now = DeltaRsStore(folder), datetime.now(UTC)
    manager = MetadataManager(str(TABLES.sources), store=store)
    manager.ensure_exists()
    store.append(TABLES.sources, [source(number, now) for number in range(rows)])
    store.append(TABLES.of(JOBS), applied(manager, now))
    memory = ChangeMemory(store, TABLES)
    timed("changes(), nothing remembered", manager.changes)
    memory.remember(memory.versions(), [])
    for again in ("first", "second", "third"):
        timed(f"who may have changed, same versions ({again})", memory.suspects, "bar 0.1 s")
    timed("changes(), same versions", manager.changes, "bar 0.1 s")
    changed = {**source(777, now), "source_config": '{"changed":true}'}
    store.merge(TABLES.sources, [changed], keys=SOURCES.keys)
    for again in ("first", "second", "third"):
        found = timed(f"who may have changed, one row ({again})", memory.suspects, "bar 1.5 s")
    print(f"  found: {sorted(found or ())}")
    timed("changes(), one row changed", manager.changes, "bar 1.5 s")
    store.maintain(TABLES.sources)
    timed("who may have changed, after upkeep", memory.suspects)
    print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024:,} MB")


# --- a year


def write_commits(table: Path, count: int, *, appends: bool, days: float) -> None:
    """Commits as delta-rs writes them: each replaces the one data file, or adds one more."""
    log = table / "_delta_log"
    last = max(int(file.stem) for file in log.glob("*.json"))
    entries = [json.loads(line) for line in (log / f"{last:020d}.json").read_text().splitlines()]
    add = next(entry["add"] for entry in entries if "add" in entry)
    info = next(entry["commitInfo"] for entry in entries if "commitInfo" in entry)
    path = add["path"]
    for number in range(1, count + 1):
        at = info["timestamp"] - int(days * 86_400_000 * (count - number) / count)
        name = f"part-{number:05d}-{uuid.uuid4()}.parquet"
        link(table / add["path"], table / name)
        lines: list[dict[str, Any]] = [{"commitInfo": {**info, "timestamp": at}}]
        if not appends:
            remove = {"path": path, "dataChange": True, "deletionTimestamp": at}
            lines.append({"remove": {**remove, "extendedFileMetadata": False}})
        lines.append({"add": {**add, "path": name, "modificationTime": at}})
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (log / f"{last + number:020d}.json").write_text(text)
        path = name


def link(source_file: Path, target: Path) -> None:
    """The same bytes under another name; copied where the file system has no more links."""
    try:
        target.hardlink_to(source_file)
    except OSError:
        target.write_bytes(source_file.read_bytes())


def bench_year(folder: Path, commits: int) -> None:
    for appends in (False, True):
        kind = "appends" if appends else "updates"
        print(f"{commits:,} {kind} in 365 days, no upkeep until then")
        root = folder / kind
        store = DeltaRsStore(root, maintenance=Maintenance(every_commits=0))
        store.ensure(TABLES.sources, SOURCES)
        now = datetime.now(UTC)
        store.append(TABLES.sources, [source(number, now) for number in range(10)])
        write_commits(
            root / "main" / "lakeflow" / "etl_control", commits, appends=appends, days=365
        )
        use("before upkeep", store)
        timed("one round of upkeep", lambda s=store: s.maintain(TABLES.sources))
        use("after upkeep", store)
        timed("  the next round of upkeep", lambda s=store: s.maintain(TABLES.sources))


def use(when: str, store: DeltaRsStore) -> None:
    bar = "bar 0.2 s" if when.startswith("after") else ""
    timed(f"{when}: open", lambda: store.version(TABLES.sources), bar)
    timed(f"{when}: read", lambda: store.read(TABLES.sources), bar)
    for turn in ("first", "second"):
        row = source(1, datetime.now(UTC)) | {"source_config": json.dumps([when, turn])}
        merge = partial(store.merge, TABLES.sources, [row], keys=SOURCES.keys)
        timed(f"{when}: merge 1 row ({turn})", merge, bar if turn == "second" else "")
    timed(f"{when}: history", lambda: store.history(TABLES.sources))


def bench_real_commits(folder: Path, commits: int) -> None:
    """Real commits, events and sources in turns, as a busy day makes them."""
    for every in (0, 100):
        print(f"{commits:,} real commits, upkeep {f'every {every}' if every else 'off'}")
        how = Maintenance(every_commits=every, retention=timedelta(hours=1))
        store = DeltaRsStore(folder / f"real{every}", maintenance=how)
        for layout in (SOURCES, EVENTS):
            store.ensure(TABLES.of(layout), layout)
        now = datetime.now(UTC)
        store.append(TABLES.sources, [source(number, now) for number in range(1000)])
        began, slowest = time.perf_counter(), 0.0
        for number in range(commits):
            one = time.perf_counter()
            row = source(number % 1000, now) | {"source_config": json.dumps(number)}
            store.merge(TABLES.sources, [row], keys=SOURCES.keys)
            store.append(TABLES.of(EVENTS), [{"at": now, "object": str(number)}])
            slowest = max(slowest, time.perf_counter() - one)
            if (number + 1) % (commits // 4) == 0:
                each = (time.perf_counter() - began) / (commits // 4) * 1000
                print(f"  {number + 1:>6,}: {each:>6.1f} ms for both, slowest {slowest:.2f} s")
                began, slowest = time.perf_counter(), 0.0
        timed("read the events", lambda s=store: s.read(TABLES.of(EVENTS)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["yaml", "peer", "changes", "year"])
    parser.add_argument("--sources", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5, help="turns of floor and ours")
    parser.add_argument("--peer-python", help="interpreter with lakeflow-jobs-meta and delta-spark")
    parser.add_argument("--peer-jars", help="folder of the Delta jars, to fetch none")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--commits", type=int, default=20_000)
    parser.add_argument("--real-commits", type=int, default=400)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if "yaml" in arguments.parts:
            bench_yaml(Path(folder) / "yaml", arguments.sources, arguments.runs)
        if "peer" in arguments.parts:
            peer = arguments.peer_python, arguments.peer_jars
            bench_peer(Path(folder) / "peer", *peer, count=200)
        if "changes" in arguments.parts:
            bench_changes(Path(folder) / "changes", arguments.rows)
        if "year" in arguments.parts:
            bench_year(Path(folder) / "year", arguments.commits)
            bench_real_commits(Path(folder) / "real", arguments.real_commits)


if __name__ == "__main__":
    main()
