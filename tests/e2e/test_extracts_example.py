"""The example of extracts, as a new user runs it; and what a kill in the middle of it leaves."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard
from cli_process import EXAMPLES, Cli
from postgres_server import PostgresServer


@pytest.fixture
def shop(tmp_path: Path, postgres_server: PostgresServer, database: str) -> Cli:
    """A copy of the example, on the server of the tests."""
    project = tmp_path / "extracts"
    shutil.copytree(EXAMPLES / "extracts", project)
    return Cli(project, postgres_server.environment(database))


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def test_the_example_writes_what_its_readme_says(
    shop: Cli, postgres_server: PostgresServer, database: str
) -> None:
    shop.ok("sync", "metadata")
    shop.ok("ddl", "run")
    planned = shop.json("extract", "run", "--dry-run")
    assert (planned["planned"], planned["failed"]) == (6, 0)
    out = shop.directory / "out"
    assert not out.exists()
    report = shop.json("extract", "run")
    assert (report["success"], report["success_rate"]) == (6, 100.0)
    assert not shop.used_spark

    customers = only(out / "customers", "*.csv").read_bytes().decode("cp1252").split("\r\n")
    assert customers[:2] == [
        "customer_id;name;city;country;since",
        "1;Bob Dubois;Köln;DE;07.02.2020",
    ]
    orders = only(out / "orders", "*.csv")
    lines = orders.read_text().splitlines()
    assert lines[-1] == f"end {report['extracts']['SAMPLE_ORDERS_INCREMENTAL']['rows']}"
    manifest = json.loads(only(out / "orders", "*.manifest.json").read_text())
    assert manifest["files"][0]["sha256"] == hashlib.sha256(orders.read_bytes()).hexdigest()
    with zipfile.ZipFile(only(out / "sales", "*.zip")) as sales:
        (name,) = sales.namelist()
        assert sales.read(name).startswith(b"month;country;orders;amount\n2024-01-01;AT;")
    assert pq.read_table(only(out / "finance", "*.parquet")).num_rows == 40
    assert only(out / "finance", "*.done").read_bytes() == b""
    assert sorted(transactions(out)) == list(range(1, 600_001))
    data = only(out / "on_request", "*.zst").read_bytes()
    with zstandard.ZstdDecompressor().stream_reader(data) as reader:
        assert len(reader.read().splitlines()) == 667

    check_what_is_new(shop, postgres_server, database)
    check_a_failure_and_its_repetition(shop, postgres_server, database)
    check_a_kill(shop)
    check_the_job(shop)


def transactions(out: Path) -> list[int]:
    found = []
    for path in sorted((out / "transactions").glob("*.tsv.gz")):
        lines = gzip.decompress(path.read_bytes()).split(b"\n")
        found += [int(line.partition(b"\t")[0]) for line in lines[1:] if line]
    return found


def changed(server: PostgresServer, database: str, statement: str) -> None:
    with server.connect(database) as connection:
        connection.execute(statement)  # type: ignore[call-overload]  # a constant of a test


def check_what_is_new(shop: Cli, server: PostgresServer, database: str) -> None:
    changed(
        server,
        database,
        "UPDATE shop.orders SET changed_at = '2026-02-01 10:00+00' WHERE order_id = 7",
    )
    report = shop.json("extract", "run", "SAMPLE_ORDERS_INCREMENTAL")
    found = report["extracts"]["SAMPLE_ORDERS_INCREMENTAL"]
    assert (found["rows"], found["watermark"]) == (1, "2026-02-01T10:00:00+00:00")
    text = (shop.directory / found["folder"] / found["files"][0]).read_text()
    assert next(csv.DictReader(io.StringIO(text)))["order_id"] == "7"


def check_a_failure_and_its_repetition(shop: Cli, server: PostgresServer, database: str) -> None:
    changed(server, database, "UPDATE shop.orders SET changed_at = '2000-01-01' WHERE order_id = 9")
    names = "SAMPLE_ORDERS_INCREMENTAL", "SAMPLE_CUSTOMERS_DAILY"
    report = shop.json("extract", "run", *names, code=1)
    assert (report["success"], report["failed"]) == (1, 1)
    error = report["extracts"]["SAMPLE_ORDERS_INCREMENTAL"]["error"]
    assert "1 orders were changed before they were made" in error
    changed(server, database, "UPDATE shop.orders SET changed_at = ordered_at WHERE order_id = 9")
    again = shop.json("extract", "run", "--failed")
    assert list(again["extracts"]) == ["SAMPLE_ORDERS_INCREMENTAL"]
    last = shop.json("extract", "log", "SAMPLE_ORDERS_INCREMENTAL")[-2:]
    assert [row["run_status"] for row in last] == ["FAILED", "SUCCESS"]


def check_a_kill(shop: Cli) -> None:
    """SIGKILL while half a million rows are being written: readers keep what they had."""
    out = shop.directory / "out"
    before = {path.name: path.read_bytes() for path in (out / "transactions").iterdir()}
    command = shop.command("extract", "run", "SAMPLE_TRANSACTIONS_EXPORT")
    process = subprocess.Popen(
        command,
        cwd=shop.directory,
        env=shop.environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not list(out.glob("transactions/.extracts/*/*/*.partial")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)  # it is there, and comes no further
    told = shop.json("extract", "run", "SAMPLE_TRANSACTIONS_EXPORT", code=1)
    process.kill()
    process.wait()
    assert "another runner is at work" in told["extracts"]["SAMPLE_TRANSACTIONS_EXPORT"]["error"]
    assert {
        p.name: p.read_bytes() for p in (out / "transactions").iterdir() if p.is_file()
    } == before
    shop.ok("extract", "run", "--failed")
    assert sorted(transactions(out)) == list(range(1, 600_001))
    assert not (out / "transactions/.extracts").exists()
    last = shop.json("extract", "log", "SAMPLE_TRANSACTIONS_EXPORT")[-2:]
    assert [row["run_status"] for row in last] == ["FAILED", "SUCCESS"]


def check_the_job(shop: Cli) -> None:
    shop.ok(
        "sql", "UPDATE etl_control_extracts SET is_active = false WHERE extract_name LIKE '%EXPORT'"
    )
    shop.ok("apply", "--run")
    last = shop.json("extract", "log", "SAMPLE_CUSTOMERS_DAILY")
    assert [row["run_status"] for row in last] == ["SUCCESS"] * 3
    assert not shop.used_spark
