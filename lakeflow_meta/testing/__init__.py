"""Fakes to test with: the doors of `lakeflow_meta.ports`, in memory.

They are part of the product. The contract suite runs the same tests against them and against what
they stand for.
"""

from lakeflow_meta.testing.clock import FixedClock
from lakeflow_meta.testing.crash import Crash, CrashPoint
from lakeflow_meta.testing.fake_jobs import Call, FakeJobs, InjectedError
from lakeflow_meta.testing.fake_queries import FakeQueries
from lakeflow_meta.testing.fake_store import FakeStore

__all__ = [
    "Call",
    "Crash",
    "CrashPoint",
    "FakeJobs",
    "FakeQueries",
    "FakeStore",
    "FixedClock",
    "InjectedError",
]
