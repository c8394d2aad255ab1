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
from lakeflow_meta.ports.extracts import (
    ExtractFolders,
    Lease,
    LeaseOf,
    RenderTemplate,
    RowSource,
    Staging,
)
from lakeflow_meta.ports.functions import (
    Actor,
    Clock,
    Sleep,
    nobody,
    utc_now,
)
from lakeflow_meta.ports.jobs import (
    BY_HAND,
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
    Trigger,
    TriggerKind,
    Uploads,
)
from lakeflow_meta.ports.scripts import (
    ScriptSession,
    ScriptTarget,
    WriteId,
)
from lakeflow_meta.ports.serve import (
    FiredRuns,
    FireStore,
    Sightings,
)
from lakeflow_meta.ports.warehouse import (
    Answer,
    CopyOptions,
    InteractiveWarehouse,
    Parameters,
    RowStream,
    Warehouse,
    WriteMode,
)

__all__ = [
    "BY_HAND",
    "NOT_TAKEN",
    "OUTCOME_UNKNOWN",
    "Actor",
    "Answer",
    "BatchLoader",
    "Clock",
    "Commit",
    "ControlStore",
    "CopyOptions",
    "ExtractFolders",
    "FileLister",
    "FireStore",
    "FiredRuns",
    "InteractiveWarehouse",
    "JobRun",
    "JobsApi",
    "Lease",
    "LeaseOf",
    "LiveJob",
    "MergeResult",
    "MetadataFolder",
    "Parameters",
    "PathKind",
    "PermissionsApi",
    "QueriesApi",
    "RenderTemplate",
    "Row",
    "RowSource",
    "RowStream",
    "RunState",
    "RunStopper",
    "SavedQuery",
    "ScriptSession",
    "ScriptTarget",
    "Sightings",
    "Sleep",
    "SqlSession",
    "Staging",
    "TableReader",
    "TaskRun",
    "Trigger",
    "TriggerKind",
    "Uploads",
    "Warehouse",
    "WatchedFolder",
    "WriteId",
    "WriteMode",
    "nobody",
    "utc_now",
]
