"""How long the schema engine takes. Prints a table a part, to be read against its bars.

    python bench/schema.py [create] [noop] [one] [peer] [--tables 1000] [--created 100] [--runs 5]
                           [--peer-python PYTHON] [--peer-source FOLDER] [--peer-jars FOLDER]

``create``: in one warm session the engine makes ``--created`` tables of 20 columns, in turns with
their bare CREATE TABLE statements one after another; then nothing to do, and one column added to
one of them, nothing remembered. ``noop``: ``--tables`` recorded tables and
``lakeflow-meta tables sync --json`` as a process; a JVM is reported. ``one``: one column added
among as many tables, in one process with a warm session, beside the same ALTER alone. The many
tables are copies of one that Spark made. ``peer``: delta-engine 0.14.0 with ``--created`` tables;
see `schema_peer.py` for the environment of ``--peer-python`` and the folder ``--peer-source``.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from lakeflow_meta.app import App
from lakeflow_meta.ports import SqlSession
from lakeflow_meta.schema.engine import SchemaEngine
from lakeflow_meta.schema.registry import Registry
from lakeflow_meta.schema.report import SyncReport
from lakeflow_meta.schema.table import Column, DeltaTable
from lakeflow_meta.schema.table_spec import definition
from lakeflow_meta.schema.type_text import parse_type
from lakeflow_meta.table_operations import sync_tables

CATALOG = "bench"
TYPES = ("bigint", "string", "decimal(18,2)", "date", "timestamp", "double", "boolean", "int")
NESTED = ("struct<city:string,at:struct<x:double,y:double>>", "array<string>", "map<string,int>")
TABLES_IN_A_SCHEMA = 250
BAR_TABLES = 1000
"""How many tables the bars are about."""


# --- what is declared


def table(schema: str, number: int) -> DeltaTable:
    """One table of 20 columns."""
    key = Column("id", parse_type("bigint"), nullable=False, comment="of the source system")
    plain = [
        Column(f"c{index:02d}", parse_type(TYPES[index % len(TYPES)]), comment=f"column {index}")
        for index in range(1, 17)
    ]
    nested = [Column(f"n{index}", parse_type(text)) for index, text in enumerate(NESTED)]
    columns = [key, *plain, *nested]
    assert len(columns) == 20  # noqa: S101 (a bench checks itself)
    return DeltaTable(CATALOG, schema, f"t{number:05d}", columns, comment="one of many")


def tables(schema: str, count: int) -> list[DeltaTable]:
    return [table(schema, number) for number in range(count)]


def many(count: int) -> list[DeltaTable]:
    """In schemas of some size."""
    return [table(f"s{number // TABLES_IN_A_SCHEMA:03d}", number) for number in range(count)]


def with_column(one: DeltaTable, name: str) -> DeltaTable:
    return replace(one, columns=[*one.columns, Column(name, parse_type("string"))])


def write_metadata(declared: Sequence[DeltaTable], path: Path) -> None:
    entries = [{"table": str(one.full_name), **definition(one)} for one in declared]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.dump({"tables": entries}, Dumper=yaml.CSafeDumper), encoding="utf-8")


# --- measuring


def seconds_of(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def show(name: str, seconds: Sequence[float], bar: str = "") -> None:
    print(f"  {name:<52}{min(seconds):>8.2f}{statistics.median(seconds):>8.2f}  {bar}")


def title(text: str) -> None:
    """The load says how far other programs were in the way."""
    print(f"{f'{text}; load {os.getloadavg()[0]:.1f}':<54}")


def check(good: bool, said: str) -> None:
    if not good:
        print(f"  ✗ {said}")


# --- create


def bench_create(app: App, count: int, runs: int) -> None:
    title(f"{count} tables, one warm session, {app.settings.max_parallel_tasks} at once")
    session = app.sql_session()
    warm_up(app, session)
    found: dict[str, list[float]] = {"bare": [], "engine": [], "again": [], "one": []}
    for run in range(runs):
        for kind in ("bare", "engine") if run % 2 else ("engine", "bare"):
            declared = tables(f"{kind}_{run}", count)
            make_schema(session, declared[0].schema)
            made = bare if kind == "bare" else created
            found[kind].append(made(app, session, declared))
        declared = tables(f"engine_{run}", count)
        found["again"].append(synced(app, declared, {"unchanged": count}))
        declared[count // 2] = with_column(declared[count // 2], "added")
        found["one"].append(synced(app, declared, {"changed": 1, "unchanged": count - 1}))
    show("bare CREATE TABLE statements, one after another", found["bare"])
    ratios = [ours / theirs for ours, theirs in zip(found["engine"], found["bare"], strict=True)]
    said = ", ".join(f"{ratio:.2f}" for ratio in sorted(ratios))
    show("sync: all are created", found["engine"], f"{said} x bare, bar 0.8")
    show("sync again: nothing to do", found["again"])
    show("sync: one column added to one", found["one"])


def warm_up(app: App, session: SqlSession) -> None:
    """What Spark loads and compiles at first use is paid by neither side."""
    for number in range(2):
        declared = tables(f"warm_{number}", 20)
        make_schema(session, declared[0].schema)
        (bare if number else created)(app, session, declared)


def make_schema(session: SqlSession, schema: str) -> None:
    session.execute(f"CREATE SCHEMA IF NOT EXISTS {CATALOG}.{schema}")


def bare(app: App, session: SqlSession, declared: Sequence[DeltaTable]) -> float:
    """The statements that the engine would run, without it."""
    statements = engine_of(app).plan(Registry(declared)).statements
    check(len(statements) == len(declared), f"{len(statements)} statements")
    return seconds_of(lambda: [session.execute(statement) for statement in statements])


def created(app: App, _session: SqlSession, declared: Sequence[DeltaTable]) -> float:
    return synced(app, declared, {"created": len(declared)})


def synced(app: App, declared: Sequence[DeltaTable], wanted: dict[str, int]) -> float:
    """One sync without memory: every table is read."""
    reports: list[SyncReport] = []
    taken = seconds_of(lambda: reports.append(engine_of(app).sync(Registry(declared))))
    counts = reports[0].counts()
    check(counts == wanted, f"{counts} instead of {wanted}")
    return taken


def engine_of(app: App) -> SchemaEngine:
    at_once = app.settings.max_parallel_tasks
    return SchemaEngine(app.table_reader, app.sql_session, max_parallel=at_once)


# --- many tables


def lay_out(app: App, home: Path, declared: Sequence[DeltaTable]) -> None:
    """Put a table where each declared one belongs; none is recorded yet."""
    template = app.home / "warehouse" / CATALOG / "template" / "t00000"
    if not template.is_dir():
        make_schema(app.sql_session(), "template")
        engine_of(app).sync(Registry([table("template", 0)]))
    for one in declared:
        shutil.copytree(template, home / "warehouse" / CATALOG / one.schema / one.name)


def command(folder: Path, *arguments: str) -> float:
    """One command as a process. Its bytecode is kept, as that of an installed package is."""
    called = [sys.executable, "-m", "lakeflow_meta", *arguments]
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return seconds_of(
        lambda: subprocess.run(called, cwd=folder, env=kept, check=True, capture_output=True)
    )


def bench_noop(app: App, folder: Path, count: int, runs: int) -> None:
    declared = many(count)
    write_metadata(declared, folder / "metadata" / "tables.yml")
    lay_out(app, folder / ".lakeflow", declared)
    title(f"{count:,} recorded tables, commands as processes")
    show("sync metadata, first", [command(folder, "sync", "metadata")])
    sync = ("tables", "sync", "--json")
    show("tables sync, nothing remembered: all are read", [command(folder, *sync)])
    bar = "bar 2" if count == BAR_TABLES else ""
    show("tables sync, nothing to do", [command(folder, *sync) for _ in range(runs)], bar)
    plan = ("tables", "plan", "--json")
    show("tables plan, nothing to do", [command(folder, *plan) for _ in range(runs)])
    check(not (folder / ".lakeflow" / "logs" / "spark.log").exists(), "a JVM was started")


def bench_one(app: App, folder: Path, count: int, runs: int) -> None:
    declared = many(count)
    lay_out(app, app.home, declared)
    record(app, folder, declared)
    unchanged = sync_recorded(app, {"unchanged": count})
    title(f"{count:,} recorded tables, one process, a warm session")
    show("sync, nothing remembered: all are read", [unchanged])
    alone: list[float] = []
    added: list[float] = []
    for run in range(runs + 1):
        declared[run] = with_column(declared[run], "added")
        alone.append(altered(app.sql_session(), declared[-1 - run]))
        declared[-1 - run] = with_column(declared[-1 - run], "added")
        record(app, folder, declared)
        added.append(sync_recorded(app, {"changed": 1, "unchanged": count - 1}))
    show("the ALTER alone, of another table", alone[1:])
    bar = f"bar {2 + min(alone[1:]):.2f}: 2 and the ALTER" if count == BAR_TABLES else ""
    show("sync: one column added to one", added[1:], bar)
    nothing = [sync_recorded(app, {"unchanged": count}) for _ in range(runs)]
    show("sync, nothing to do", nothing)


def altered(session: SqlSession, one: DeltaTable) -> float:
    statement = f"ALTER TABLE {one.full_name} ADD COLUMNS (added string)"
    return seconds_of(lambda: session.execute(statement))


def record(app: App, folder: Path, declared: Sequence[DeltaTable]) -> None:
    path = folder / "metadata" / "tables.yml"
    write_metadata(declared, path)
    app.manager.load(app.declared([path], {}))


def sync_recorded(app: App, wanted: dict[str, int]) -> float:
    """What `lakeflow-meta tables sync` does, from the control table on."""
    counts: list[dict[str, int]] = []
    taken = seconds_of(lambda: counts.append(sync_tables(app, None, None).report.counts()))
    check(counts[0] == wanted, f"{counts[0]} instead of {wanted}")
    return taken


# --- the peer


def bench_peer(folder: Path, given: argparse.Namespace) -> None:
    title(f"{given.created} tables with delta-engine 0.14.0, a warm session of its own")
    if given.peer_python is None or given.peer_source is None:
        print("  skipped, no --peer-python or no --peer-source is given")
        return
    folder.mkdir()
    script = Path(__file__).with_name("schema_peer.py")
    called = [given.peer_python, script, given.peer_source, folder, str(given.created)]
    called += [given.peer_jars] if given.peer_jars else []
    ended = subprocess.run(called, capture_output=True, text=True, cwd=folder, check=False)
    if ended.returncode:
        print(f"  ✗ it failed: {ended.stderr[-2000:]}")
        return
    for name, seconds in json.loads(ended.stdout.splitlines()[-1]).items():
        show(f"peer, {name}", [seconds])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["create", "noop", "one", "peer"])
    parser.add_argument("--tables", type=int, default=BAR_TABLES)
    parser.add_argument("--created", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peer-python", help="interpreter with pyspark and delta-spark, 3.12")
    parser.add_argument("--peer-source", type=Path, help="unpacked source of delta-engine")
    parser.add_argument("--peer-jars", help="folder of the Delta jars, to fetch none")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        app = App.from_environment(
            overrides={"home": folder / "session" / ".lakeflow", "catalogs": [CATALOG]}
        )
        print(f"{'seconds':<54}{'min':>8}{'median':>8}")
        if "create" in given.parts:
            bench_create(app, given.created, given.runs)
        if "noop" in given.parts:
            bench_noop(app, folder / "noop", given.tables, given.runs)
        if "one" in given.parts:
            bench_one(app, folder / "one", given.tables, given.runs)
        if "peer" in given.parts:
            bench_peer(folder / "peer", given)


if __name__ == "__main__":
    main()
