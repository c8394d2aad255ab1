"""`RunSql` on a SparkSession: the embedded one, a cluster's, Spark Connect. Needs Spark 4."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import pyarrow as pa

from lakeflow_meta.backends.commit_notes import write_note
from lakeflow_meta.backends.spark import translate
from lakeflow_meta.errors import LakeflowMetaError
from lakeflow_meta.sql_rows import with_literals

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_NOTE = "spark.databricks.delta.commitInfo.userMetadata"
"""https://docs.databricks.com/delta/custom-metadata.html"""

_writing: WeakKeyDictionary[Any, threading.Lock] = WeakKeyDictionary()
_making = threading.Lock()


class SparkRunner:
    """Runs SQL on one SparkSession: embedded, a cluster's, or Spark Connect.

    The note of a commit is a setting of the session, so writes of one session go one by one. Give
    it a session of its own where other threads write Delta tables in the same one, or their
    commits may carry our notes. Where the platform does not let the setting be set (serverless
    compute), commits have no note.
    """

    most_bytes: int | None = None

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        self._notes = True
        self._binds = True
        with _making:
            self._lock = _writing.setdefault(spark, threading.Lock())

    def query(self, statement: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Run a statement that writes nothing; its rows."""
        return _translated(lambda: self._run(statement, parameters or {}))

    def change(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        note: Mapping[str, str] | None = None,
    ) -> pa.Table:
        """Run a statement that writes; Spark itself never repeats it."""
        with self._lock, self._noted(note or {}):
            return _translated(lambda: self._run(statement, parameters or {}))

    def _run(self, statement: str, parameters: Mapping[str, Any]) -> pa.Table:
        """Bound where the engine keeps parameters; it says so before it has run anything."""
        if parameters and self._binds:
            try:
                return self._spark.sql(statement, dict(parameters)).toArrow()
            except Exception as error:
                if translate(error).code != "UNBOUND_SQL_PARAMETER":
                    raise
                logger.info("this session loses parameters of SQL; values go as literals")
                self._binds = False
        return self._spark.sql(with_literals(statement, parameters)).toArrow()

    @contextmanager
    def _noted(self, note: Mapping[str, str]) -> Iterator[None]:
        if not note or not self._notes:
            yield
            return
        before = self._leave(write_note(note))
        try:
            yield
        finally:
            self._leave(before)

    def _leave(self, text: str | None) -> str | None:
        """Set the note, or unset it; what it was before."""
        try:
            before: str | None = self._spark.conf.get(_NOTE, None)
            if text is None:
                self._spark.conf.unset(_NOTE)
            else:
                self._spark.conf.set(_NOTE, text)
        except Exception as error:
            found = translate(error)
            if found.code != "CONFIG_NOT_AVAILABLE":
                raise found from error
            logger.info("this session takes no notes for commits: %s", found)
            self._notes = False
            return None
        return before


def active_session() -> SparkSession:
    """The session of the Databricks runtime that this process runs in, in any of its threads."""
    from pyspark.sql import SparkSession

    return SparkSession.builder.getOrCreate()


def _translated(call: Callable[[], _T]) -> _T:
    try:
        return call()
    except LakeflowMetaError:
        raise
    except Exception as error:
        raise translate(error) from error
