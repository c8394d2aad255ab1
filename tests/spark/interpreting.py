"""Sessions for a few rows: to compile each plan takes longer there than to run it."""

from __future__ import annotations

from pyspark.sql import SparkSession


def interpreting(session: SparkSession) -> SparkSession:
    """A new session beside ``session`` that interprets plans."""
    made = session.newSession()
    made.conf.set("spark.sql.codegen.wholeStage", "false")
    made.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
    return made
