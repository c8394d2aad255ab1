"""Spark as a `SqlSession`, and Spark's errors as this package's.

Serves every SparkSession: the embedded one, a cluster's, Spark Connect.
"""

from __future__ import annotations

import re
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

LOST_RACE_CLASSES = frozenset(
    {
        "ConcurrentAppendException",
        "ConcurrentDeleteDeleteException",
        "ConcurrentDeleteReadException",
        "ConcurrentTransactionException",
        "ConcurrentWriteException",
        "DeltaConcurrentModificationException",
        "MetadataChangedException",
        "ProtocolChangedException",
    }
)
"""Classes of `delta.exceptions`: as Python sees them, conflicts have lost their condition."""

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


def is_databricks(spark: SparkSession) -> bool:
    """Whether a session runs on Databricks: on its compute, or through Databricks Connect.

    https://docs.databricks.com/compute/configure.html: every cluster, and serverless compute, has
    these settings of its own.
    """
    keys = ("spark.databricks.clusterUsageTags.clusterId", "spark.databricks.workspaceUrl")
    return any(spark.conf.get(key, "") for key in keys)


def translate(error: BaseException) -> BackendError:
    """The error of this package that says what Spark said, without a Java stack.

    Told apart by error condition and SQLSTATE. An error that Spark raises from Java without a
    condition is told by the first of its causes that has one, else by its Java class.
    """
    condition, state, message = _described(error)
    code = condition or state or type(error).__name__
    if condition in NOT_FOUND_CONDITIONS or state in _NOT_FOUND_STATES:
        return NotFoundError(message, code=code)
    lost_race = code in TRANSIENT_CONDITIONS or code in LOST_RACE_CLASSES
    return BackendError(message, code=code, transient=lost_race)


def _described(error: BaseException) -> tuple[str, str, str]:
    """Condition, SQLSTATE and message; empty where Spark gives none."""
    java = getattr(error, "java_exception", None)
    if java is not None:
        return _from_java(java)
    condition, state = _condition(error), _state(error)
    origin = getattr(error, "_origin", None)
    if not condition and origin is not None:
        condition, state, _ = _from_java(origin)
    return condition, state, first_screen(str(error) or type(error).__name__)


def _condition(error: Any) -> str:
    """The condition's class: ``DELTA_CONCURRENT_APPEND.WITH_HINT`` is told by its first part."""
    read = getattr(error, "getCondition", None)
    return str((read() if read else None) or "").split(".")[0]


def _state(error: Any) -> str:
    read = getattr(error, "getSqlState", None)
    return str((read() if read else None) or "")


def _from_java(java: Any) -> tuple[str, str, str]:
    """What a Java exception says: the first of it and its causes that has a condition."""
    chain = list(_causes(java))
    innermost = chain[-1]
    for each in chain:
        condition = _java_condition(each)
        if condition:
            message = first_screen(each.getMessage() or condition)
            if each is not innermost:
                message += f" (cause: {first_screen(innermost.toString())})"
            return condition, _java_state(each), message
    return "", "", first_screen(innermost.toString())


def _causes(java: Any) -> Iterator[Any]:
    seen = 0
    while java is not None and seen < _MOST_CAUSES:
        yield java
        java = java.getCause()
        seen += 1


_MOST_CAUSES = 20


def _java_condition(java: Any) -> str:
    throwable = _as_spark_throwable(java)
    return _condition(throwable) if throwable is not None else ""


def _java_state(java: Any) -> str:
    throwable = _as_spark_throwable(java)
    return _state(throwable) if throwable is not None else ""


def _as_spark_throwable(java: Any) -> Any | None:
    from py4j.java_gateway import is_instance_of
    from pyspark import SparkContext

    gateway = SparkContext._gateway  # noqa: SLF001 - the gateway has no public name
    if gateway is None or not is_instance_of(gateway, java, "org.apache.spark.SparkThrowable"):
        return None
    return java


_PLAN = re.compile(r"(line \d+,? pos(?:ition)? \d+);\n.*", re.DOTALL)
_STACK = re.compile(r"\n\s*(?:at [\w.$/]+\(|JVM stacktrace:|Driver stacktrace:).*", re.DOTALL)
_MOST_CHARACTERS = 2000


def first_screen(text: str) -> str:
    """What a person reads first: condition, message, position; no plan and no Java stack."""
    short = _STACK.sub("", _PLAN.sub(r"\1", text)).strip()
    return short if len(short) <= _MOST_CHARACTERS else short[:_MOST_CHARACTERS] + " …"
