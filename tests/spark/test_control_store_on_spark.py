"""What every ControlStore promises, shown on `SqlStore` over the embedded Spark session.

The suite of `contract/test_control_store.py` as it stands, and that of `test_maintenance.py` as far
as it is about every store, in a schema of its own for each test. The tables are made by delta-rs,
so each test also writes a table that the other store made.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import pytest
from contract import test_control_store as contract
from contract import test_maintenance as versions
from contract.test_control_store import *  # noqa: F403 (the suite itself)
from contract.test_maintenance import (  # noqa: F401 (tests)
    test_a_version_that_never_was_is_not_found,
    test_added_changed_and_removed_rows_are_told_with_both_sides,
    test_ignored_columns_are_no_difference_and_not_in_the_rows,
    test_two_old_versions_and_some_rows_of_them_can_be_compared,
)
from pyspark.sql import SparkSession
from spark.interpreting import interpreting

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.backends.local.spark.session import EmbeddedSpark
from lakeflow_meta.backends.spark_runner import SparkRunner
from lakeflow_meta.backends.sql_store import SqlStore
from lakeflow_meta.control.tables import SOURCES, STATE, ControlTables
from lakeflow_meta.ports import ControlStore


@pytest.fixture(scope="module")
def sessions(spark: SparkSession) -> Iterator[SparkSession]:
    """Sessions to take turns, since each needs a while to warm up."""
    return cycle([interpreting(spark) for _ in range(3)])


@pytest.fixture
def make(
    sessions: Iterator[SparkSession], schema: str, monkeypatch: pytest.MonkeyPatch
) -> contract.Make:
    """Makes stores that share their tables, each with a session of its own."""
    tables = ControlTables.named(f"{schema}.etl_control")
    for suite in (contract, versions):
        monkeypatch.setattr(suite, "TABLES", tables)
        monkeypatch.setattr(suite, "SOURCE_TABLE", tables.of(SOURCES))
        monkeypatch.setattr(suite, "STATE_TABLE", tables.of(STATE))
    return lambda: SqlStore(SparkRunner(next(sessions)))


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
