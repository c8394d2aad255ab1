"""The Spark session of one attempt: started when it is first asked for, stopped with the attempt.

A notebook that never touches ``spark`` starts no JVM.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from lakeflow_meta.backends.local.tasks.spark_on_demand import asked_sessions, pyspark_itself
from lakeflow_meta.backends.local.tasks.task_attempt import StopSignal
from lakeflow_meta.backends.local.tasks.task_output import marked_threads, not_captured

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession


class TaskSession:
    """Call it for the session. Jobs of the thread that asks, and of threads that are started
    by the attempt, carry the attempt's tag, by which they are cancelled."""

    def __init__(self, make: Callable[[], SparkSession], tag: str) -> None:
        self.tag = tag
        self._make = make
        self._lock = threading.RLock()
        self._session: SparkSession | None = None
        self._tagged = threading.local()

    def __call__(self) -> SparkSession:
        """The session; the first call makes it."""
        with self._lock:
            if self._session is None:
                with pyspark_itself(), not_captured():
                    self._session = self._make()
        self._tag_thread()
        return self._session

    @property
    def started(self) -> bool:
        """Whether anybody has asked."""
        return self._session is not None

    @contextmanager
    def tagged(self) -> Iterator[None]:
        """Of a thread: its Spark jobs are this attempt's, and its tag goes with it."""
        if self.started:
            self._tag_thread()
        try:
            yield
        finally:
            if getattr(self._tagged, "yes", False):
                self._context.removeJobTag(self.tag)

    def cancel(self) -> None:
        """Cancel the attempt's Spark jobs."""
        if self.started:
            self._context.cancelJobsWithTag(self.tag)

    def _tag_thread(self) -> None:
        if not getattr(self._tagged, "yes", False):
            self._tagged.yes = True
            self._context.addJobTag(self.tag)

    @property
    def _context(self) -> SparkContext:
        if self._session is None:
            raise AssertionError("only a session that has been made is tagged")
        return self._session.sparkContext


@contextmanager
def task_session(
    make: Callable[[], SparkSession], tag: str, stop: StopSignal
) -> Iterator[TaskSession]:
    """A session for an attempt; ``SparkSession.builder.getOrCreate()`` inside gives it too."""
    session = TaskSession(make, tag)
    with ExitStack() as stack:
        stack.enter_context(session.tagged())
        stack.enter_context(marked_threads(session.tagged))
        stack.enter_context(stop.by(session.cancel))
        stack.enter_context(asked_sessions(session))
        yield session
