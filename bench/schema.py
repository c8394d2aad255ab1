"""How long the schema engine takes. Prints a table, to be read against its bars.

    python bench/schema.py [create] [noop] [one] [--tables 1000] [--created 100] [--runs 5]

``create``: in one warm session, the engine makes ``--created`` tables of 20 columns, in turns with
their bare CREATE TABLE statements one after another; then nothing to do, and one column added to
one of them. ``noop``: ``--tables`` recorded tables, ``lakeflow-meta tables sync --json`` as a
process. ``one``: one column added among as many tables, in one process with a warm session, beside
the same ALTER alone. The many tables are copies of one that Spark made.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
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


# --- what is declared


def table(schema: str, number: int, extra: Sequence[Column] = ()) -> DeltaTable:
    """One table of 20 columns, and ``extra`` ones."""
    key = Column("id", parse_type("bigint"), nullable=False, comment="of the source system")
    plain = [
        Column(f"c{index:02d}", parse_type(TYPES[index % len(TYPES)]), comment=f"column {index}")
        for index in range(1, 17)
    ]
    nested = [Column(f"n{index}", parse_type(text)) for index, text in enumerate(NESTED)]
    columns = [key, *plain, *nested, *extra]
    assert len(columns) == 20 + len(extra)  # noqa: S101 (a bench checks itself)
    name = f"t{number:05d}"
    return DeltaTable(CATALOG, schema, name, columns, comment="one of many")


def tables(schema: str, count: int) -> list[DeltaTable]:
    return [table(schema, number) for number in range(count)]


def with_column(one: DeltaTable, name: str) -> DeltaTable:
    return replace(one, columns=[*one.columns, Column(name, parse_type("string"))])


def metadata(declared: Sequence[DeltaTable], path: Path) -> None:
    """The declarations as a file of metadata."""
    entries = [{"table": str(one.full_name), **definition(one)} for one in declared]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.dump({"tables": entries}, Dumper=yaml.CSafeDumper), encoding="utf-8")


# --- what is measured


@dataclass(frozen=True)
class Times:
    """Seconds of several turns."""

    name: str
    seconds: tuple[float, ...]
    bar: str = ""

    def __str__(self) -> str:
        best, middle = min(self.seconds), statistics.median(self.seconds)
        return f"  {self.name:<58}{best:>8.2f}{middle:>8.2f}  {self.bar}"


def seconds_of(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def check(good: bool, said: str) -> None:
    if not good:
        print(f"  ✗ {said}")


def load() -> str:
    return f"load {os.getloadavg()[0]:.1f}"


# --- create


def bench_create(app: App, count: int, runs: int) -> None:
    print(f"{count} tables of 20 columns, one warm session, {app.settings.max_parallel_tasks} threads")
    session = app.sql_session()
    make_schema(session, "warm")
    for _ in range(2):
        warm_up(session)
    bare, engine, again, one = ([], [], [], [])  # type: tuple[list[float], ...]
    for run in range(runs):
        for kind in ("bare", "engine") if run % 2 else ("engine", "bare"):
            schema = f"{kind}_{run}"
            make_schema(session, schema)
            if kind == "bare":
                bare.append(bare_statements(app, session, tables(schema, count)))
            else:
                engine.append(synced(app, tables(schema, count), "created", count))
        schema = f"engine_{run}"
        again.append(synced(app, tables(schema, count), "unchanged", count))
        changed = [with_column(table(schema, 0), "added"), *tables(schema, count)[1:]]
        one.append(synced(app, changed, "changed", 1))
    print(Times("bare CREATE TABLE statements, one after another", tuple(bare)))
    print(Times("sync creates them", tuple(engine), f"bar {0.8 * min(bare):.2f} (0.8 x bare)"))
    ratios = sorted(ours / theirs for ours, theirs in zip(engine, bare, strict=True))
    print(f"  ratio of each turn: {', '.join(f'{ratio:.2f}' for ratio in ratios)}; {load()}")
    print(Times("sync again, nothing to do", tuple(again)))
    print(Times("sync with one column added to one", tuple(one)))


def make_schema(session: SqlSession, schema: str) -> None:
    session.execute(f"CREATE SCHEMA IF NOT EXISTS {CATALOG}.{schema}")


def warm_up(session: SqlSession) -> None:
    """Some tables, made and dropped: what Spark compiles at first use is paid."""
    for one in tables("warm", 20):
        session.execute(f"CREATE TABLE {one.full_name} (a int, s struct<b:string>) USING delta")
        session.execute(f"DROP TABLE {one.full_name}")


def bare_statements(app: App, session: SqlSession, declared: Sequence[DeltaTable]) -> float:
    """What the engine would run, without it."""
    statements = engine_of(app).plan(Registry(declared)).statements
    check(len(statements) == len(declared), f"{len(statements)} statements")

    def run() -> None:
        for statement in statements:
            session.execute(statement)

    return seconds_of(run)


def synced(app: App, declared: Sequence[DeltaTable], status: str, count: int) -> float:
    """Seconds of one sync, of the declarations too, without memory: every table is read."""
    reports: list[SyncReport] = []
    engine = engine_of(app)
    taken = seconds_of(lambda: reports.append(engine.sync(Registry(declared))))
    counts = reports[0].counts()
    check(counts.get(status) == count, f"{counts} instead of {count} {status}")
    return taken


def engine_of(app: App) -> SchemaEngine:
    return SchemaEngine(
        app.table_reader, app.sql_session, max_parallel=app.settings.max_parallel_tasks
    )


# --- many tables


def project(root: Path, app: App, declared: Sequence[DeltaTable]) -> Path:
    """A project with its own home, where every declared table lies and none is recorded yet."""
    metadata(declared, root / "metadata" / "tables.yml")
    schemas = {one.schema for one in declared}
    for schema in schemas:
        (root / ".lakeflow" / "warehouse" / CATALOG / schema).mkdir(parents=True)
    template = template_of(app)
    for one in declared:
        place = root / ".lakeflow" / "warehouse" / CATALOG / one.schema / one.name
        shutil.copytree(template, place)
    return root


def template_of(app: App) -> Path:
    """The directory of one table, made by Spark."""
    made = app.home / "warehouse" / CATALOG / "template" / "t00000"
    if not made.is_dir():
        session = app.sql_session()
        make_schema(session, "template")
        engine_of(app).sync(Registry([table("template", 0)]))
    return made


def many(count: int) -> list[DeltaTable]:
    """In schemas of 250 each."""
    return [table(f"s{number // 250:03d}", number) for number in range(count)]


def command(folder: Path, *arguments: str) -> float:
    """Seconds of one command as a process."""
    called = [sys.executable, "-m", "lakeflow_meta", *arguments]
    return seconds_of(lambda: subprocess.run(called, cwd=folder, check=True, capture_output=True))


def bench_noop(folder: Path, app: App, count: int, runs: int) -> None:
    print(f"{count:,} recorded tables, `lakeflow-meta tables sync --json` as a process")
    root = project(folder, app, many(count))
    recorded = command(root, "sync", "metadata", "--json")
    print(Times("lakeflow-meta sync: the declarations are recorded", (recorded,)))
    first = command(root, "tables", "sync", "--json")
    print(Times("nothing to do, nothing remembered: all are read", (first,)))
    again = tuple(command(root, "tables", "sync", "--json") for _ in range(runs))
    bar = "bar 2" if count == 1000 else ""
    print(Times("nothing to do, all remembered", again, f"{bar}  {load()}"))
    plans = tuple(command(root, "tables", "plan", "--json") for _ in range(runs))
    print(Times("lakeflow-meta tables plan", plans))
    check(not (root / ".lakeflow" / "logs" / "spark.log").exists(), "a JVM was started")


def bench_one(folder: Path, app: App, count: int, runs: int) -> None:
    """In the process and the session that made the template, with the home of that session."""
    print(f"one column added among {count:,} recorded tables, one process, a warm session")
    declared = many(count)
    place = app.home / "warehouse" / CATALOG
    template = template_of(app)
    for one in declared:
        shutil.copytree(template, place / one.schema / one.name)
    session = app.sql_session()
    record(app, declared, folder)
    seen = sync_tables(app, None, None).report.counts()
    check(seen == {"unchanged": count}, f"{seen}")
    alone, one_added, nothing = [], [], []  # type: tuple[list[float], ...]
    for run in range(-2, runs):
        spare, chosen = declared[run % count], declared[(run + 100) % count]
        name = f"added_{run + 2}"
        alter = f"ALTER TABLE {{}} ADD COLUMNS ({name} string)"
        other = str(spare.full_name)
        alone.append(seconds_of(lambda text=alter.format(other): session.execute(text)))
        declared[run % count] = with_column(spare, name)
        declared[(run + 100) % count] = with_column(chosen, name)
        record(app, declared, folder)
        sync_one = seconds_of(lambda: one_added.append(sync_tables(app, None, None)))
        counts = one_added[-1].report.counts()
        check(counts == {"changed": 1, "unchanged": count - 1}, f"{counts}")
        one_added[-1] = sync_one
        nothing.append(seconds_of(lambda: sync_tables(app, None, None)))
    print(Times("the ALTER alone, of another table", tuple(alone[2:])))
    bar = f"bar {2 + min(alone[2:]):.2f} (2 + the ALTER)"
    print(Times("sync with one column added to one", tuple(one_added[2:]), bar))
    print(Times("sync again, nothing to do", tuple(nothing[2:]), load()))


def record(app: App, declared: Sequence[DeltaTable], folder: Path) -> None:
    path = folder / "tables.yml"
    metadata(declared, path)
    found = app.declared([path], {})
    app.manager.load(found)


# --- all


def parts(app: App, folder: Path, arguments: argparse.Namespace) -> Iterator[Callable[[], None]]:
    chosen, runs = arguments.parts, arguments.runs
    if "create" in chosen:
        yield lambda: bench_create(app, arguments.created, runs)
    if "noop" in chosen:
        yield lambda: bench_noop(folder / "noop", app, arguments.tables, runs)
    if "one" in chosen:
        yield lambda: bench_one(folder / "one", app, arguments.tables, runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["create", "noop", "one"])
    parser.add_argument("--tables", type=int, default=1000)
    parser.add_argument("--created", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "session" / ".lakeflow"
        overrides = {"home": home, "catalogs": [CATALOG]}
        app = App.from_environment(overrides=overrides, conf=None)
        print(f"{'seconds':<60}{'min':>8}{'median':>8}  {load()}")
        for part in parts(app, Path(name), arguments):
            part()


if __name__ == "__main__":
    main()
