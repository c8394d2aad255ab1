"""How fast files become rows, beside what Spark does without us. Prints a table a part, with bars.

    python bench/ingest.py [small] [large] [memory] [--files 10000] [--csv-mb 1024] [--naive 50]
                           [--rounds 3] [--runs 5] [--small]

All on one warm Spark, in turns. ``small``: JSON files of 40 rows (4 KB) each. (a) plain
``spark.read….write`` of their folder, as Spark packs them, and packed into as many tasks as there
are cores; both as a Spark without us is, which has all of Hadoop's defaults, and again as our
session is (see `local.spark.hadoop_defaults`); (b) ours, into a new table, with the same columns,
and with the three that say where a row came from, which it adds unless it is told not to; (c) ours
with nothing new, the call and a whole process; (d) ours with 10 new files; (e) Structured
Streaming's file source with ``availableNow`` for b, c and d, as it is without us; (f) the pattern
of one MERGE, count, append and MERGE a file, on a few files. ``large``: one CSV file, (a) and (b).
``memory``: processes with nothing new among 1,000 and among 100,000 files; starts no Spark.
``--small``: sizes that only show that the bench runs.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ingest_data import CSV_SCHEMA, ROWS_IN_A_FILE, SCHEMA, write_large_file, write_small_files
from ingest_idle import bench_memory, nothing_new, record

from lakeflow_meta.app import App
from lakeflow_meta.backends.local.spark.hadoop_defaults import add_defaults
from lakeflow_meta.ingest.batch import IngestResult
from lakeflow_meta.ingest.source import FileSource

CATALOG = "bench"
NEW_FILES = 10
IDLE_BAR_SECONDS = 0.5


@dataclass(frozen=True)
class Bench:
    """One warm session, and where everything lies."""

    app: App
    folder: Path

    @cached_property
    def spark(self) -> Any:
        """The session that floors and streams run in; ours has its own, in the same JVM."""
        spark = self.app.local.spark.session()
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS {CATALOG}.raw")
        return spark

    @contextmanager
    def as_without_us(self) -> Iterator[None]:
        """Inside, Spark has all of Hadoop's default settings, as it has them by itself."""
        context = self.spark.sparkContext._jsc.sc()  # noqa: SLF001 - Spark has no public way
        place = context.getClass().getDeclaredField("_hadoopConfiguration")
        place.setAccessible(True)
        ours = place.get(context)
        place.set(context, self._of_hadoop)
        try:
            yield
        finally:
            place.set(context, ours)

    @cached_property
    def _of_hadoop(self) -> Any:
        context = self.spark.sparkContext
        ours = context._jsc.hadoopConfiguration()  # noqa: SLF001 - Spark has no public way
        made = context._jvm.org.apache.hadoop.conf.Configuration(ours)  # noqa: SLF001
        add_defaults(self.spark, made)
        check(made.size() > 1000, f"Hadoop has {made.size()} settings")
        return made

    def target(self, name: str) -> str:
        """Where a floor or a stream writes."""
        return str(self.folder / "floors" / name)

    def ours(self, source: FileSource) -> IngestResult:
        result = self.app.ingestor.ingest(source)
        check(not result.failures, f"{result.failures[:1]}")
        return result


def timed(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def check(good: bool, said: str) -> None:
    if not good:
        raise SystemExit(f"✗ {said}")


def title(text: str) -> None:
    """The load says how far other programs were in the way."""
    name = f"{text}; load {os.getloadavg()[0]:.1f}"
    print(f"{name:<58}{'min':>8}{'median':>8}")


def show(name: str, seconds: Iterable[float], said: str = "") -> None:
    seconds = list(seconds)
    print(f"  {name:<56}{min(seconds):>8.2f}{statistics.median(seconds):>8.2f}  {said}")


Times = dict[str, list[float]]


def ratio(times: Times, one: str, other: str, bar: float | None = None) -> None:
    """Of every round, and whether the middle one meets the bar."""
    found = sorted(a / b for a, b in zip(times[one], times[other], strict=True))
    said = ", ".join(f"{each:.2f}" for each in found)
    if bar is not None:
        met = "yes" if statistics.median(found) <= bar else "NO"
        said += f"  bar {bar}: {met}"
    print(f"  {f'{one} / {other}':<56}  {said}")


# --- Spark without us


def floor(bench: Bench, kind: str, path: Path, target: str, schema: str, pack: int | None) -> None:
    frame = bench.spark.read.schema(schema).option("header", "true").format(kind).load(str(path))
    frame = frame if pack is None else frame.coalesce(pack)
    frame.write.format("delta").mode("append").save(bench.target(target))


def stream(bench: Bench, path: Path, target: str) -> None:
    frame = bench.spark.readStream.schema(SCHEMA).json(str(path))
    writer = frame.writeStream.format("delta").trigger(availableNow=True)
    writer = writer.option("checkpointLocation", bench.target(f"{target}_checkpoint"))
    writer.start(bench.target(target)).awaitTermination()


def naive(bench: Bench, files: Iterable[Path], target: str) -> None:
    """One MERGE into a ledger, a count, an append and another MERGE for every file."""
    ledger, table = f"{CATALOG}.raw.naive_ledger", f"{CATALOG}.raw.{target}"
    columns = "file_path STRING, status STRING, record_count BIGINT"
    bench.spark.sql(f"CREATE TABLE IF NOT EXISTS {ledger} ({columns}) USING delta")
    for file in files:
        merge_status(bench.spark, ledger, file, "processing", 0)
        frame = bench.spark.read.schema(SCHEMA).json(str(file))
        count = frame.count()
        frame.write.format("delta").mode("append").saveAsTable(table)
        merge_status(bench.spark, ledger, file, "success", count)


def merge_status(spark: Any, ledger: str, file: Path, status: str, count: int) -> None:
    row = f"'{file}' AS file_path, '{status}' AS status, {count} AS record_count"
    spark.sql(
        f"MERGE INTO {ledger} AS t USING (SELECT {row}) AS s ON t.file_path = s.file_path"
        " WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    )


# --- many small files

DEFAULT, PACKED = "(a) Spark, as it packs", "(a) Spark, packed"
DEFAULT_HERE, PACKED_HERE = f"{DEFAULT}, in our session", f"{PACKED}, in our session"
OURS, OURS_TOLD = "(b) ours, the same columns", "(b) ours, with three columns more"
STREAM = "(e) streaming, first"
OURS_IDLE, STREAM_IDLE = "(c) ours, nothing new", "(e) streaming, nothing new"
OURS_PROCESS = "(c) ours, nothing new, a whole process"
OURS_NEW, STREAM_NEW = f"(d) ours, {NEW_FILES} new", f"(e) streaming, {NEW_FILES} new"


def bench_small(bench: Bench, count: int, few: int, rounds: int, runs: int) -> None:
    landing = bench.folder / "landing"
    files = write_small_files(landing, 0, count)
    warm_up(bench)
    size = sum(file.stat().st_size for file in files) / 2**20
    title(f"{count:,} JSON files, {size:.0f} MB")
    times: Times = defaultdict(list)
    for number in range(rounds):
        small_round(bench, landing, count, number, times)
    last = small_source(bench, landing, rounds - 1)
    processes, started = nothing_new(bench.app, bench.folder / "idle", last, runs)
    times[OURS_PROCESS] = [each.seconds for each in processes]
    one = naive_seconds(bench, files[:few])
    for name in (DEFAULT, PACKED, DEFAULT_HERE, PACKED_HERE, OURS, OURS_TOLD, STREAM):
        show(name, times[name])
    for name in (OURS, OURS_TOLD):
        for floor_name in (DEFAULT, DEFAULT_HERE):
            ratio(times, name, floor_name, 0.8)
        for floor_name in (PACKED, PACKED_HERE):
            ratio(times, name, floor_name, 1.3)
        ratio(times, name, STREAM, 1.0)
    for name in (OURS_IDLE, OURS_PROCESS):
        met = statistics.median(times[name]) <= IDLE_BAR_SECONDS and not started
        said = f"bar {IDLE_BAR_SECONDS}: {'yes' if met else 'NO'}{', a JVM was started' * started}"
        show(name, times[name], said)
    show(STREAM_IDLE, times[STREAM_IDLE])
    show(OURS_NEW, times[OURS_NEW])
    show(STREAM_NEW, times[STREAM_NEW])
    ratio(times, OURS_NEW, STREAM_NEW, 1.0)
    show(f"(f) four Spark jobs a file, {count:,} files by {few}", [one * count])
    print(f"  {'(f) / (b)':<56}{one * count / min(times[OURS]):.0f}")


def warm_up(bench: Bench) -> None:
    """What Spark loads and compiles at first use is paid by nobody."""
    landing = bench.folder / "warm"
    write_small_files(landing, 0, 200)
    for number in range(3):
        small_round(bench, landing, 200, -1 - number, defaultdict(list))


def small_config(landing: Path) -> dict[str, Any]:
    return {"path": str(landing), "format": "json", "schema": SCHEMA}


def small_source(bench: Bench, landing: Path, number: int) -> FileSource:
    """Each round has a table of its own, and so a ledger that knows nothing of the files."""
    name = f"{landing.name}_{number}".replace("-", "m")
    config = small_config(landing)
    return record(bench.app, bench.folder / "metadata", name, config, f"{CATALOG}.raw.{name}")


def small_round(bench: Bench, landing: Path, count: int, number: int, times: Times) -> None:
    source = small_source(bench, landing, number)
    tag = source.target.name
    cores = os.cpu_count() or 1

    same = FileSource.parse(
        f"bench/{tag}_same",
        small_config(landing),
        {"table": f"{CATALOG}.raw.{tag}_same", "metadata_columns": False},
    )

    def ours(files: int, source: FileSource = source) -> None:
        result = bench.ours(source)
        check(result.rows == files * ROWS_IN_A_FILE, f"{result.rows} rows")

    def idle() -> None:
        check(bench.ours(source).skipped >= count, "files are not known")

    def plain(target: str, pack: int | None) -> None:
        floor(bench, "json", landing, f"{tag}_{target}", SCHEMA, pack)

    def streamed() -> None:
        stream(bench, landing, f"{tag}_stream")

    def alone(act: Callable[[], None]) -> None:
        with bench.as_without_us():
            act()

    acts: dict[str, Callable[[], None]] = {
        DEFAULT: lambda: alone(lambda: plain("default", None)),
        PACKED: lambda: alone(lambda: plain("packed", cores)),
        DEFAULT_HERE: lambda: plain("default_here", None),
        PACKED_HERE: lambda: plain("packed_here", cores),
        OURS: lambda: ours(count, same),
        OURS_TOLD: lambda: ours(count),
        STREAM: lambda: alone(streamed),
    }
    for name in list(acts)[:: -1 if number % 2 else 1]:  # nobody is always first
        times[name].append(timed(acts[name]))
    times[OURS_IDLE].append(timed(idle))
    times[STREAM_IDLE].append(timed(lambda: alone(streamed)))
    added = write_small_files(landing, 10 * count, NEW_FILES)
    times[OURS_NEW].append(timed(lambda: ours(NEW_FILES)))
    times[STREAM_NEW].append(timed(lambda: alone(streamed)))
    written = bench.spark.read.format("delta").load(bench.target(f"{tag}_stream")).count()
    check(written == (count + NEW_FILES) * ROWS_IN_A_FILE, f"streaming wrote {written} rows")
    for file in added:
        file.unlink()


def naive_seconds(bench: Bench, files: list[Path]) -> float:
    """Seconds a file, after a first one."""
    naive(bench, files[:1], "naive")
    return timed(lambda: naive(bench, files, "naive")) / len(files)


# --- one large file

FLOOR_CSV = "(a) Spark"


def bench_large(bench: Bench, megabytes: int, rounds: int) -> None:
    small, large = bench.folder / "warm_csv", bench.folder / "large"
    rows = {large: 0, small: write_large_file(small / "some.csv", 4)}
    for number in range(2):
        large_round(bench, small, rows[small], number, defaultdict(list))
    rows[large] = write_large_file(large / "some.csv", megabytes)
    title(f"one CSV file of {megabytes:,} MB, {rows[large]:,} rows")
    times: Times = defaultdict(list)
    for number in range(rounds):
        large_round(bench, large, rows[large], number, times)
    for name in (FLOOR_CSV, OURS, OURS_TOLD):
        show(name, times[name])
    ratio(times, OURS, FLOOR_CSV, 1.15)
    ratio(times, OURS_TOLD, FLOOR_CSV)


def large_round(bench: Bench, folder: Path, rows: int, number: int, times: Times) -> None:
    tag = f"{folder.name}_{number}"

    def ours(kind: str, told: bool) -> None:
        source = FileSource.parse(
            f"bench/{tag}",
            {"path": str(folder), "format": "csv", "schema": CSV_SCHEMA},
            {"table": f"{CATALOG}.raw.{tag}_{kind}", "metadata_columns": told},
        )
        check(bench.ours(source).rows == rows, "rows are missing")

    acts: dict[str, Callable[[], None]] = {
        FLOOR_CSV: lambda: floor(bench, "csv", folder, tag, CSV_SCHEMA, None),
        OURS: lambda: ours("same", told=False),
        OURS_TOLD: lambda: ours("told", told=True),
    }
    for name in list(acts)[:: -1 if number % 2 else 1]:
        times[name].append(timed(acts[name]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["small", "large", "memory"])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--csv-mb", type=int, default=1024)
    parser.add_argument("--naive", type=int, default=50, help="files of the naive pattern")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=5, help="processes with nothing new")
    parser.add_argument("--small", action="store_true", help="only show that everything runs")
    given = parser.parse_args()
    if given.small:
        given.files, given.csv_mb, given.naive, given.rounds, given.runs = 100, 2, 2, 1, 1
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        overrides = {"home": Path(name) / ".lakeflow", "catalogs": [CATALOG]}
        bench = Bench(App.from_environment(overrides=overrides), Path(name))
        if "small" in given.parts:
            bench_small(bench, given.files, given.naive, given.rounds, given.runs)
        if "large" in given.parts:
            bench_large(bench, given.csv_mb, given.rounds)
        if "memory" in given.parts:
            counts = (100, 1000) if given.small else (1000, 100_000)
            print("a process with nothing new")
            bench_memory(Path(name) / "memory", counts, given.runs)


if __name__ == "__main__":
    main()
