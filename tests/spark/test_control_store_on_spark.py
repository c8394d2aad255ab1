"""What every ControlStore promises, shown on `SqlStore` over the embedded Spark session.

The suite of `contract/test_control_store.py` as it stands, in a schema of its own for each test.
Its tables are made by delta-rs, so each test also writes a table that the other store made.
"""

from __future__ import annotations

import pytest
from contract import test_control_store as contract
from contract.test_control_store import *  # noqa: F403 (the suite itself)
from pyspark.sql import SparkSession

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.backends.local.session import EmbeddedSpark
from lakeflow_meta.backends.spark_runner import SparkRunner
from lakeflow_meta.backends.sql_store import SqlStore
from lakeflow_meta.control.tables import SOURCES, STATE, ControlTables
from lakeflow_meta.ports import ControlStore


@pytest.fixture
def make(spark: SparkSession, schema: str, monkeypatch: pytest.MonkeyPatch) -> contract.Make:
    """Makes stores that share their tables, each with a session of its own."""
    tables = ControlTables.named(f"{schema}.etl_control")
    monkeypatch.setattr(contract, "TABLES", tables)
    monkeypatch.setattr(contract, "SOURCE_TABLE", tables.of(SOURCES))
    monkeypatch.setattr(contract, "STATE_TABLE", tables.of(STATE))
    return lambda: SqlStore(SparkRunner(spark.newSession()))


@pytest.fixture
def store(make: contract.Make, embedded: EmbeddedSpark) -> ControlStore:
    other = DeltaRsStore(embedded.warehouse)
    for table, layout in contract.TABLES.all().items():
        other.ensure(table, layout)
    return make()


@pytest.fixture
def crowd() -> tuple[int, int]:
    """A lost race costs seconds here."""
    return 3, 2
