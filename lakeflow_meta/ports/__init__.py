"""The doors to the outside. Verbs act through these; `backends` and `testing` implement them.

Rows are plain dicts with Python values: timestamps are aware UTC datetimes, JSON columns are text.
This is the one place to import them from.
"""

from lakeflow_meta.control.rows import Row
from lakeflow_meta.ports.control import (
    Commit,
    ControlStore,
    MergeResult,
    MetadataFolder,
    PathKind,
    WatchedFolder,
)
from lakeflow_meta.ports.data import (
    BatchLoader,
    FileLister,
    SqlSession,
    TableReader,
)
from lakeflow_meta.ports.functions import (
    Actor,
    Clock,
    Sleep,
    nobody,
    utc_now,
)
from lakeflow_meta.ports.jobs import (
    NOT_TAKEN,
    OUTCOME_UNKNOWN,
    JobRun,
    JobsApi,
    LiveJob,
    PermissionsApi,
    QueriesApi,
    RunState,
    RunStopper,
    SavedQuery,
    TaskRun,
    Uploads,
)

__all__ = [
    "NOT_TAKEN",
    "OUTCOME_UNKNOWN",
    "Actor",
    "BatchLoader",
    "Clock",
    "Commit",
    "ControlStore",
    "FileLister",
    "JobRun",
    "JobsApi",
    "LiveJob",
    "MergeResult",
    "MetadataFolder",
    "PathKind",
    "PermissionsApi",
    "QueriesApi",
    "Row",
    "RunState",
    "RunStopper",
    "SavedQuery",
    "Sleep",
    "SqlSession",
    "TableReader",
    "TaskRun",
    "Uploads",
    "WatchedFolder",
    "nobody",
    "utc_now",
]
