"""Spark as a `SqlSession`, and Spark's errors as this package's.

Serves every SparkSession: the embedded one, a cluster's, Spark Connect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lakeflow_meta.errors import BackendError, LakeflowMetaError, NotFoundError
from lakeflow_meta.ports import Row

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NOT_FOUND_CONDITIONS = frozenset(
    {
        "TABLE_OR_VIEW_NOT_FOUND",
        "SCHEMA_NOT_FOUND",
        "CATALOG_NOT_FOUND",
        "PATH_NOT_FOUND",
        "DELTA_TABLE_NOT_FOUND",
        "DELTA_MISSING_DELTA_TABLE",
        "DELTA_PATH_DOES_NOT_EXIST",
    }
)
"""https://spark.apache.org/docs/latest/sql-error-conditions.html and Delta's own conditions."""

TRANSIENT_CONDITIONS = frozenset(
    {
        "DELTA_CONCURRENT_APPEND",
        "DELTA_CONCURRENT_DELETE_DELETE",
        "DELTA_CONCURRENT_DELETE_READ",
        "DELTA_CONCURRENT_TRANSACTION",
        "DELTA_CONCURRENT_WRITE",
        "DELTA_METADATA_CHANGED",
        "DELTA_PROTOCOL_CHANGED",
    }
)
"""Another writer was first: https://docs.delta.io/latest/concurrency-control.html."""

_NOT_FOUND_STATES = frozenset({"42P01", "42704"})
"""SQLSTATE: undefined table, undefined object."""


class SparkSqlSession:
    """Runs SQL on one SparkSession; values travel as bound parameters."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    def execute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Run one statement; its rows. Raises BackendError, NotFoundError."""
        try:
            frame = self._spark.sql(statement, dict(parameters) if parameters else None)
            return [row.asDict(recursive=True) for row in frame.collect()]
        except LakeflowMetaError:
            raise
        except Exception as error:
            raise translate(error) from error


def translate(error: BaseException) -> BackendError:
    """The error of this package that says what Spark said, without a Java stack.

    Told apart by error condition and SQLSTATE. An error that Spark raises from Java without a
    condition is told by the first of its causes that has one, else by its Java class.
    """
    condition, state, message = _described(error)
    code = condition or state or type(error).__name__
    if condition in NOT_FOUND_CONDITIONS or state in _NOT_FOUND_STATES:
        return NotFoundError(message, code=code)
    return BackendError(message, code=code, transient=condition in TRANSIENT_CONDITIONS)
