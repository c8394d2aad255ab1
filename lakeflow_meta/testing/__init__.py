"""Fakes to test with: the doors of `lakeflow_meta.ports`, in memory.

They are part of the product. The contract suite runs the same tests against them and against what
they stand for.
"""

from lakeflow_meta.testing.clock import FixedClock
from lakeflow_meta.testing.crash import Crash, CrashPoint
from lakeflow_meta.testing.fake_ingest import FakeCommit, FakeFiles, FakeLoader, FakeTarget
from lakeflow_meta.testing.fake_jobs import Call, FakeJobs
from lakeflow_meta.testing.fake_queries import FakeQueries
from lakeflow_meta.testing.fake_store import FakeStore
from lakeflow_meta.testing.faults import InjectedError

__all__ = [
    "Call",
    "Crash",
    "CrashPoint",
    "FakeCommit",
    "FakeFiles",
    "FakeJobs",
    "FakeLoader",
    "FakeQueries",
    "FakeStore",
    "FakeTarget",
    "FixedClock",
    "InjectedError",
]
