"""The SQL of people on `SqlStore` over Spark: the cases of `contract/test_control_sql.py`.

Spark starts slowly for each statement, so that what one query can show is one query, and the cases
that write share their tables, which are set back between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest
from contract import sql_cases as cases
from contract import test_control_sql as contract
from pyspark.sql import SparkSession
from spark.interpreting import interpreting

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.backends.local.spark.session import EmbeddedSpark
from lakeflow_meta.backends.spark_runner import SparkRunner
from lakeflow_meta.backends.sql_store import SqlStore
from lakeflow_meta.control.manager import MetadataManager
from lakeflow_meta.control.tables import JOBS, SOURCES
from lakeflow_meta.errors import BackendError
from lakeflow_meta.testing.clock import FixedClock

CONTROL = "main.lakeflow.etl_control"
CHECKS = "spark.databricks.delta.allFilesInCrc.verificationMode"


@pytest.fixture(scope="module")
def session(spark: SparkSession) -> SparkSession:
    """A session far from UTC that interprets plans."""
    made = interpreting(spark)
    made.conf.set("spark.sql.session.timeZone", "America/St_Johns")
    # where it is not UTC, Delta reads the log again after each commit, to check itself
    made.conf.set(f"{CHECKS}.forceOnNonUTC.enabled", "false")
    return made


@pytest.fixture(scope="module")
def tables(session: SparkSession, embedded: EmbeddedSpark) -> Iterator[None]:
    """The control tables, made by delta-rs, with the rows of the cases."""
    session.sql("CREATE SCHEMA IF NOT EXISTS main.lakeflow")
    contract.filled(lambda: DeltaRsStore(embedded.warehouse))
    yield
    session.sql("DROP SCHEMA main.lakeflow CASCADE")


@pytest.fixture
def other(embedded: EmbeddedSpark, tables: None) -> DeltaRsStore:
    return DeltaRsStore(embedded.warehouse)


@pytest.fixture
def manager(session: SparkSession, other: DeltaRsStore) -> MetadataManager:
    """On Spark, over tables that hold the rows of the cases."""
    return set_back(session, other)


def set_back(
    session: SparkSession, other: DeltaRsStore, at: datetime = cases.NOON
) -> MetadataManager:
    store = SqlStore(SparkRunner(session))
    found = MetadataManager(CONTROL, store=store, clock=FixedClock(at))
    for layout, rows in ((SOURCES, cases.SOURCES), (JOBS, cases.JOBS)):
        other.merge(found.tables.of(layout), rows, keys=layout.keys, scope={})
    return found


def test_expressions_mean_what_they_mean_locally(manager: MetadataManager) -> None:
    contract.check_in_one_query(manager, cases.EXPRESSIONS)


def test_queries_give_the_rows_that_they_give_locally(manager: MetadataManager) -> None:
    contract.check_queries(manager, cases.QUERIES)


def test_what_has_no_result_is_an_error(manager: MetadataManager) -> None:
    for text in cases.FAILING:
        with pytest.raises(BackendError):
            manager.sql(text)


def test_statements_write_what_they_write_locally(
    session: SparkSession, other: DeltaRsStore, tables: None
) -> None:
    reader = MetadataManager(CONTROL, store=other, clock=FixedClock(cases.LATER))
    for change in cases.CHANGES:
        contract.check_change(set_back(session, other, cases.LATER), change, reader)


def test_what_must_not_be_recorded_is_refused(
    manager: MetadataManager, other: DeltaRsStore
) -> None:
    contract.check_refused(manager, other)
