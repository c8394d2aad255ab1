"""A Spark session of one's own: for settings that must not reach anybody else.

Delta takes the transaction of a MERGE from settings of the session. They stay set, and a session is
shared by threads: another's append would be taken for a transaction that is known, and be lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from lakeflow_meta.backends.spark import translate
from lakeflow_meta.errors import BackendError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def own_session(spark: SparkSession) -> SparkSession:
    """A session with the settings of ``spark``, the same tables, and no settings in common.

    Raises BackendError: this Spark has none to give.
    """
    if hasattr(spark, "newSession"):
        made = spark.newSession()
        _copy_settings(spark, made)
        return made
    if hasattr(spark, "cloneSession"):  # Spark Connect 4.1
        cloned: SparkSession = spark.cloneSession()
        return cloned
    raise BackendError(
        "write_mode: merge needs a Spark session of its own, and this Spark Connect, older than"
        " 4.1, has none to give; run the ingestor on a cluster",
        code="NO_OWN_SESSION",
    )


def _copy_settings(spark: SparkSession, made: SparkSession) -> None:
    """Settings that were changed since ``spark`` was made; a new session has those of the start."""
    theirs: Mapping[str, str] = made.conf.getAll
    for name, value in spark.conf.getAll.items():
        if theirs.get(name) != value and made.conf.isModifiable(name):
            made.conf.set(name, value)


@contextmanager
def settings(spark: SparkSession, values: Mapping[str, str]) -> Iterator[None]:
    """Settings of a session, taken back at the end whatever happens.

    Raises BackendError where the platform does not let them be set (serverless compute:
    https://docs.databricks.com/spark/conf.html).
    """
    with ExitStack() as undo:
        for name, value in values.items():
            try:
                spark.conf.set(name, value)
            except Exception as error:
                raise BackendError(
                    f"write_mode: merge is written exactly once by means of the setting {name},"
                    " which this compute refuses; run the ingestor on a cluster"
                    f" ({translate(error)})",
                    code="SETTING_REFUSED",
                ) from error
            undo.callback(spark.conf.unset, name)
        yield
