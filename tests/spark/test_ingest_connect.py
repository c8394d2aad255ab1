"""The ingestor as a client of a real Spark Connect server, which runs inside the test's own JVM."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

CLIENT = Path(__file__).parents[1] / "connect_client.py"
CLIENT_SECONDS = 300


@pytest.fixture(scope="module")
def port(spark: SparkSession) -> Iterator[int]:
    """Where the server listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = int(free.getsockname()[1])
    context = spark.sparkContext._jsc.sc()
    context.conf().set("spark.connect.grpc.binding.address", "127.0.0.1")
    context.conf().set("spark.connect.grpc.binding.port", str(number))
    service = spark._jvm.org.apache.spark.sql.connect.service.SparkConnectService  # type: ignore[union-attr]
    service.start(context)
    yield number
    service.stop(spark._jvm.scala.Option.empty(), spark._jvm.scala.Option.empty())  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def told(port: int, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of every step of the client."""
    root = tmp_path_factory.mktemp("connect")
    schema = f"spark_catalog.connect_{uuid.uuid4().hex[:8]}"
    here = Path(__file__).parents[2]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYSPARK_")}
    done = subprocess.run(
        [sys.executable, str(CLIENT), str(port), str(root), schema],
        env={**kept, "PYTHONPATH": str(here)},
        capture_output=True,
        text=True,
        timeout=CLIENT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_files_are_appended_and_counted_and_a_bad_one_fails_alone(told: dict[str, Any]) -> None:
    first, again, rows, counts = told["append"]
    assert (first["processed"], first["rows"]) == (2, 3)
    assert first["failures"].keys() == again["failures"].keys() == {"bad.csv"}
    assert 'For input string: "x"' in first["failures"]["bad.csv"]
    assert (again["processed"], again["skipped"]) == (0, 2)
    assert rows == [[1, "a"], [2, "b"], [3, "c"]]
    assert counts == {"a.csv": 2, "b.csv": 1, "bad.csv": None}


def test_files_are_merged_and_counted_and_no_setting_stays(told: dict[str, Any]) -> None:
    result, rows, counts, left = told["merge"]
    assert result["failures"] == {"null.csv": "column id, a key, is NULL"}
    assert rows == [[1, "a"], [2, "B"], [3, "C"]]
    assert counts == {"a.csv": 2, "b.csv": 2, "c.csv": 1, "null.csv": None}
    assert left == []


def test_a_batch_is_written_once_in_every_mode(told: dict[str, Any]) -> None:
    expected = {"a.csv": 1, "b.csv": 2}
    assert told["once"] == [[expected, expected, expected, 3]] * 3


def test_a_function_that_raises_fails_its_file_alone(told: dict[str, Any]) -> None:
    result, rows = told["transform"]
    assert result["failures"].keys() == {"b.csv"}
    assert "RuntimeError: unlucky" in result["failures"]["b.csv"]
    assert rows == [[10], [30], [40]]


def test_expectations_drop_and_fail(told: dict[str, Any]) -> None:
    result, rows, dropped = told["expect"]
    assert result["failures"] == {"bad.csv": "expectation known is not met: id IS NOT NULL"}
    assert result["violations"] == {"positive": 1}
    assert rows == [[1], [3]]
    assert dropped == [[2, ["positive"]]]


def test_files_are_listed_and_hashed_by_spark(told: dict[str, Any]) -> None:
    assert told["listing"] == {"same files": True, "same hashes": True, "stat": True}


def test_columns_evolve_and_what_does_not_fit_is_rescued(told: dict[str, Any]) -> None:
    (added, rescued), rows = told["evolve"]
    assert added.keys() == {"b.json", "c.json"}
    assert rescued == {"b.json": "it names 'ID' twice ('id')"}
    assert rows[0] == [1, '{"x":1,"y":2}', "2024-01-31", True, None]
    assert rows[1][:4] == [4, None, "2024-01-31", None]
    kept = json.loads(rows[1][4])
    assert (kept["s"], kept.keys()) == ({"x": "one"}, {"s", "_file_path"})


def test_files_that_only_spark_reaches_tell_their_columns(told: dict[str, Any]) -> None:
    assert told["remote"] == [["a.csv"], True, ["bad.csv"]]
