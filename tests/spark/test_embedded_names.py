"""Three-level names on the embedded session."""

from __future__ import annotations

import pytest
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from lakeflow_meta.backends.spark import SparkSqlSession
from lakeflow_meta.errors import NotFoundError


def test_two_catalogs_with_the_same_schema_and_table_are_two_tables(
    spark: SparkSession, schema: str
) -> None:
    name = schema.split(".")[1]
    spark.sql(f"CREATE SCHEMA main.{name}")
    spark.sql(f"CREATE TABLE main.{name}.t AS SELECT 1 AS a")
    spark.sql(f"CREATE TABLE {schema}.t AS SELECT 2 AS a")

    assert spark.table(f"main.{name}.t").first()[0] == 1
    assert spark.table(f"{schema}.t").first()[0] == 2


def test_a_missing_table_is_reported_by_the_name_that_was_written(
    spark: SparkSession, schema: str
) -> None:
    with pytest.raises(AnalysisException, match=schema.split(".")[1] + "`.`nope`") as caught:
        spark.sql(f"SELECT * FROM {schema}.nope")
    assert "__" not in str(caught.value)
    with pytest.raises(NotFoundError, match="line 1 pos 14") as translated:
        SparkSqlSession(spark).execute(f"SELECT * FROM {schema}.nope")
    assert translated.value.code == "TABLE_OR_VIEW_NOT_FOUND"
