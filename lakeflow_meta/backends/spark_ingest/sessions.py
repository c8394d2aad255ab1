"""A Spark session of one's own: for settings that must not reach anybody else.

Delta takes the transaction of a MERGE from settings of the session. They stay set, and a session is
shared by threads: another's append would be taken for a transaction that is known, and be lost.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from lakeflow_meta.backends.spark import translate
from lakeflow_meta.errors import BackendError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)


@contextmanager
def own_session(spark: SparkSession) -> Iterator[SparkSession]:
    """A session with the settings of ``spark``, the same tables, and nobody else in it.

    Raises BackendError: this Spark has none to give.
    """
    if hasattr(spark, "newSession"):
        made = spark.newSession()
        _copy_settings(spark, made)
        yield made
    elif hasattr(spark, "cloneSession"):
        with _clones.borrowed(spark) as clone:
            yield clone
    else:
        raise BackendError(
            "write_mode: merge needs a Spark session of its own, and this Spark Connect, older than"
            " 4.1, has none to give; run the ingestor on a cluster",
            code="NO_OWN_SESSION",
        )


class _Clones:
    """Clones of Spark Connect sessions: used again, never freed, closed before the process ends.

    pyspark closes the channel of a session that is garbage collected, which waits for calls that
    are under way. In the middle of such a call it waits for itself, and when the interpreter clears
    its modules, for a thread that has ended; for ever in both cases (measured, pyspark 4.1.4 with
    grpcio 1.85). Nothing is released on the server, which forgets sessions by itself: at an exit
    it may be out of reach.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[str, list[SparkSession]] = {}
        self._made: list[SparkSession] = []

    @contextmanager
    def borrowed(self, spark: SparkSession) -> Iterator[SparkSession]:
        """A clone that nobody else uses in the meantime."""
        key = str(spark.session_id)
        clone = self._taken(key, spark) or self._new(spark)
        try:
            yield clone
        finally:
            with self._lock:
                self._idle.setdefault(key, []).append(clone)

    def _new(self, spark: SparkSession) -> SparkSession:
        clone = spark.cloneSession()
        with self._lock:
            if not self._made:
                atexit.register(self._close_all)
            self._made.append(clone)
        return clone

    def _close_all(self) -> None:
        for clone in self._made:
            clone.client.close()

    def _taken(self, key: str, spark: SparkSession) -> SparkSession | None:
        """An idle clone, with the settings of now; the server forgets sessions after a while."""
        while True:
            with self._lock:
                idle = self._idle.get(key)
                clone = idle.pop() if idle else None
            if clone is None:
                return None
            try:
                _copy_settings(spark, clone)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next one is tried
                logger.debug("a cloned session is gone: %s", translate(error))
            else:
                return clone


_clones = _Clones()


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
