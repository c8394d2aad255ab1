"""One embedded Spark session for the whole run, one schema for each test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from spark.interpreting import interpreting

from lakeflow_meta.backends.local.spark.runtime import default_cache
from lakeflow_meta.backends.local.spark.session import EmbeddedSpark

LONG_RUN = {"spark.driver.extraJavaOptions": "-Xmn300m"}
"""Room for garbage. The thorough compiler takes half as much CPU again, and is no quicker."""

MANY_TESTS = 60

SPARK_FIXTURES = {"embedded", "spark", "interpreted", "schema"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if SPARK_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.spark)
            # pyspark leaves the socket of every collect() to the garbage collector
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))


@pytest.fixture(scope="session")
def embedded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedSpark]:
    """The one embedded session of the run; its home has a name that needs care."""
    given = os.environ.get("LAKEFLOW_META_CACHE")
    cache = Path(given) if given else default_cache()
    home = tmp_path_factory.mktemp("home of ünits")
    conf = LONG_RUN if request.session.testscollected > MANY_TESTS else {}
    engine = EmbeddedSpark(home, cache=cache, conf=conf, catalogs=("main", "testcat"))
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def spark(embedded: EmbeddedSpark) -> SparkSession:
    """The session that all tests share."""
    return embedded.session()


@pytest.fixture(scope="session")
def interpreted(spark: SparkSession) -> SparkSession:
    """A session that interprets plans."""
    return interpreting(spark)


@pytest.fixture
def schema(spark: SparkSession) -> str:
    """A fresh schema of the catalog ``testcat``: its two-level name."""
    name = f"testcat.s_{uuid.uuid4().hex[:10]}"
    spark.sql(f"CREATE SCHEMA {name}")
    return name
