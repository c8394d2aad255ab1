"""`ScriptSession` on Spark, and on whatever runs SQL. One session for each script."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lakeflow_meta.backends.spark import SparkSqlSession, translate
from lakeflow_meta.ports import SqlSession, WriteId
from lakeflow_meta.scripts.statements import Kind, Statement

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)

_APP_ID = "spark.databricks.delta.write.txnAppId"
_VERSION = "spark.databricks.delta.write.txnVersion"


class SparkScriptSession:
    """A session of Spark's own, so that USE, SET and temporary views are the script's alone.

    Delta commits rows of one ``txnAppId`` and ``txnVersion`` once. Both are settings of the
    session: they are set around each statement that writes rows, because one that stays set would
    let Delta leave out the next write. Where the platform does not let them be set (serverless
    compute), a statement that was killed may write its rows twice.
    https://docs.delta.io/latest/delta-batch.html#idempotent-writes
    """

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        self._sql = SparkSqlSession(spark)
        self._keeps_ids = True

    def execute(
        self, statement: Statement, write_id: WriteId, _about_to_commit: Callable[[str], None]
    ) -> None:
        """Run one statement. Raises BackendError, NotFoundError."""
        with self._once(write_id if statement.kind is Kind.ROWS else None):
            self._sql.execute(statement.text)

    def was_committed(self, _transaction: str) -> bool | None:
        """Spark tells no number of a transaction, so none is asked for."""
        return None

    def close(self) -> None:
        """The session goes with its last reference."""

    @contextmanager
    def _once(self, write_id: WriteId | None) -> Iterator[None]:
        if write_id is None or not self._keeps_ids:
            yield
            return
        try:
            self._spark.conf.set(_APP_ID, write_id.app_id)
            self._spark.conf.set(_VERSION, str(write_id.version))
        except Exception as error:
            found = translate(error)
            if found.code != "CONFIG_NOT_AVAILABLE":
                raise found from error
            logger.info("this session takes no ids of writes: %s", found)
            self._keeps_ids = False
            yield
            return
        try:
            yield
        finally:
            self._spark.conf.unset(_APP_ID)
            self._spark.conf.unset(_VERSION)


class SqlScriptSession:
    """Any `SqlSession`, as that of a SQL warehouse: no ids of writes, no numbers of transactions.

    Through the Statement Execution API each statement has a session of its own there, so USE and
    SET do not reach the next one: scripts write full names.
    """

    def __init__(self, session: SqlSession) -> None:
        self._session = session

    def execute(
        self, statement: Statement, _write_id: WriteId, _about_to_commit: Callable[[str], None]
    ) -> None:
        """Run one statement. Raises BackendError, NotFoundError."""
        self._session.execute(statement.text)

    def was_committed(self, _transaction: str) -> bool | None:
        """It tells no number of a transaction, so none is asked for."""
        return None

    def close(self) -> None:
        """Nothing is open."""


def own_session(spark: SparkSession) -> SparkSession:
    """A session beside one that others use; through Spark Connect there is no other."""
    if type(spark).__module__.startswith("pyspark.sql.connect"):
        return spark
    return spark.newSession()
