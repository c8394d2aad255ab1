"""The doors to the outside. Verbs act through these; `backends` and `testing` implement them.

Rows are plain dicts with Python values: timestamps are aware UTC datetimes, JSON columns are text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lakeflow_meta.control.rows import Row as Row  # rows are a word of every port

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeflow_meta.control.row_changes import RowChange
    from lakeflow_meta.control.sql.checked_query import CheckedQuery
    from lakeflow_meta.control.sql.row_edits import CheckEdits
    from lakeflow_meta.control.tables import TableLayout
    from lakeflow_meta.control.watched_files import WatchedFile
    from lakeflow_meta.ingest.batch import Batch, BatchCounts
    from lakeflow_meta.ingest.files import Digests, FoundFile
    from lakeflow_meta.ingest.source import FileSource
    from lakeflow_meta.names import TableName
    from lakeflow_meta.schema.live import TableState

Clock = Callable[[], datetime]
Sleep = Callable[[float], None]


def utc_now() -> datetime:
    """The current time, aware, UTC. Nothing else in this package reads the clock."""
    return datetime.now(UTC)


# --------------------------------------------------------------------------- control tables


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What one `ControlStore.merge` did. ``version`` is the table version afterwards."""

    inserted: int = 0
    updated: int = 0
    removed: int = 0
    version: int = 0

    @property
    def changed(self) -> bool:
        """Whether a commit was made."""
        return bool(self.inserted or self.updated or self.removed)


@dataclass(frozen=True, slots=True)
class Commit:
    """One entry of a table's history. ``metadata`` is what the writer left in the commit."""

    version: int
    at: datetime
    operation: str
    metadata: Mapping[str, str] = field(default_factory=dict)


class ControlStore(Protocol):
    """Keeper of control tables: Delta tables, read and written row by row.

    ``table`` is a full name, ``catalog.schema.table``. Every write is one transaction. Concurrent
    writers are retried inside; what still cannot be written raises ConflictError (somebody was
    first) or BackendError (refused). Reading a table that does not exist raises NotFoundError.
    """

    def ensure(self, table: TableName, layout: TableLayout) -> bool:
        """Create the table when it is absent, add missing trailing columns; True if it wrote."""

    def version(self, table: TableName) -> int | None:
        """The current version, None when there is no such table. Cheap: no data is read."""

    def read(
        self,
        table: TableName,
        *,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        version: int | None = None,
    ) -> pa.Table:
        """Rows now, or as of a version; ``where`` maps columns to a value or a list of values."""

    def merge(
        self,
        table: TableName,
        rows: Sequence[Row],
        *,
        keys: Sequence[str],
        insert_only: Sequence[str] = (),
        touch: Sequence[str] = (),
        scope: Mapping[str, Any] | None = None,
        fence: str | None = None,
        note: Mapping[str, str] | None = None,
    ) -> MergeResult:
        """Insert rows with new ``keys``, update rows that differ, in one transaction.

        All rows name the same columns. ``insert_only`` columns keep their value on update,
        ``touch`` columns are written on update but are no difference by themselves. With
        ``scope`` (columns to a value or a list of values; ``{}`` is the whole table) rows inside
        it that are not among ``rows`` are removed. With ``fence`` (an integer column) a row is
        updated only where the recorded one carries exactly its fence minus 1, so that of two
        writers who saw the same state one wins; a first insert has no recorded fence.
        ``note`` is left in the commit (actor, verb). Nothing to do makes no version.
        """

    def append(
        self, table: TableName, rows: Sequence[Row], *, note: Mapping[str, str] | None = None
    ) -> None:
        """Add rows; columns that a row does not name become NULL."""

    def select(self, query: CheckedQuery, tables: Mapping[str, TableName]) -> pa.Table:
        """Run a checked query; ``tables`` says which table each name in it stands for.

        The columns of the result have the query's names. Raises BackendError for a value that has
        no result, such as a CAST of a text that is no number.
        """

    def change(
        self,
        table: TableName,
        query: CheckedQuery,
        tables: Mapping[str, TableName],
        *,
        check: CheckEdits,
        note: Mapping[str, str] | None = None,
    ) -> int:
        """Work out the edits of single rows, check them, and write them; the number of rows.

        ``query`` gives the edits (`control.sql.row_edits`); ``check`` sees them before anything is
        written, and again when another writer was first. What is written is what was checked, in
        one transaction, and only while each row is as the query saw it. No edits make no version.
        """

    def history(self, table: TableName) -> list[Commit]:
        """All known commits, oldest first."""

    def changed_rows(
        self,
        table: TableName,
        since: int,
        *,
        keys: Sequence[str],
        ignore: Iterable[str] = (),
        where: Mapping[str, Any] | None = None,
        until: int | None = None,
    ) -> list[RowChange]:
        """Rows whose content differs between version ``since`` and ``until`` (now), by key.

        Columns named by ``ignore`` are no difference and not in the result. Commits that change
        no content (compaction, vacuum, a row written again) give nothing. Raises NotFoundError
        when a version does not exist or can no longer be read.
        """


class WatchedFolder(Protocol):
    """A folder of metadata files, wherever it lies. Files in hidden folders are left out."""

    def list_files(self) -> list[WatchedFile]:
        """Every file below the folder, as it is now. Raises NotFoundError, BackendError."""

    def read_file(self, name: str) -> bytes:
        """One file's bytes, by its path below the folder. Raises NotFoundError, BackendError."""


class PathKind(StrEnum):
    """What lies at a path."""

    FOLDER = "folder"
    FILE = "file"
    MISSING = "missing"


class MetadataFolder(WatchedFolder, Protocol):
    """A path of metadata as people name it. Where it is no folder, only `kind` is of use."""

    @property
    def at_once(self) -> int:
        """How many files may be read at the same time, from as many threads."""

    def kind(self) -> PathKind:
        """What lies at the path now. Raises BackendError."""


# --------------------------------------------------------------------------- jobs


OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
"""Code of a BackendError: the platform did not answer, so the call may have taken effect."""

NOT_TAKEN = "NOT_TAKEN"
"""Code of a BackendError: the platform is too busy or out of reach; the call had no effect."""


class RunState(StrEnum):
    """How far a run or one of its tasks is, or how it ended.

    The words follow the Jobs API's result states; see ``RunResultState`` in
    https://docs.databricks.com/api/workspace/jobs/getrun
    """

    QUEUED = "queued"
    RUNNING = "running"
    WAITING_FOR_RETRY = "waiting_for_retry"
    SUCCESS = "success"
    SUCCESS_WITH_FAILURES = "success_with_failures"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    UPSTREAM_FAILED = "upstream_failed"
    UPSTREAM_CANCELLED = "upstream_cancelled"
    EXCLUDED = "excluded"
    DISABLED = "disabled"
    SKIPPED = "skipped"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self not in _ACTIVE

    @property
    def bad(self) -> bool:
        """Whether it failed, was stopped, or could not run because of that."""
        return self in _BAD


_ACTIVE = frozenset({RunState.QUEUED, RunState.RUNNING, RunState.WAITING_FOR_RETRY})
_BAD = frozenset(
    {
        RunState.FAILED,
        RunState.TIMED_OUT,
        RunState.CANCELLED,
        RunState.UPSTREAM_FAILED,
        RunState.UPSTREAM_CANCELLED,
    }
)


@dataclass(frozen=True, slots=True)
class LiveJob:
    """A job as the platform has it. ``settings`` is in the shape of the API's JobSettings."""

    job_id: int
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One task of a run. ``attempt`` counts from 0; ``error`` is one short line."""

    task_key: str
    state: RunState
    started_at: datetime | None = None
    ended_at: datetime | None = None
    attempt: int = 0
    error: str = ""
    log_path: Path | None = None

    @property
    def seconds(self) -> float:
        """Wall time of the task; 0 where it did not start."""
        if self.started_at is None or self.ended_at is None:
            return 0.0
        return (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run of a job. ``error`` is why it could not go on, where no task tells it."""

    run_id: int
    job_id: int
    job_name: str
    state: RunState
    started_at: datetime
    ended_at: datetime | None
    tasks: tuple[TaskRun, ...] = ()
    error: str = ""


class JobsApi(Protocol):
    """The jobs of one workspace, in the shape of the Databricks Jobs API 2.2.

    https://docs.databricks.com/api/workspace/jobs
    """

    def list_jobs(self, *, with_tasks: bool = True) -> Iterator[LiveJob]:
        """Every job the caller may see, oldest first, with settings (tasks may be left out).

        Without tasks they always are, with the clusters: the list is then short, also of many jobs.
        """

    def get_job(self, job_id: int) -> LiveJob:
        """One job with all settings. Raises NotFoundError."""

    def create_job(self, settings: Mapping[str, Any]) -> int:
        """Create a job; its new id. Never repeated: raises BackendError with `OUTCOME_UNKNOWN`."""

    def update_job(
        self, job_id: int, settings: Mapping[str, Any], fields_to_remove: Sequence[str] = ()
    ) -> None:
        """Change the named top-level fields; ``tasks`` and ``job_clusters`` are merged by key.

        Removals run first: ``fields_to_remove`` names top-level fields or ``tasks/<task_key>``.
        Raises NotFoundError.
        """

    def delete_job(self, job_id: int) -> None:
        """Delete a job. Raises NotFoundError."""

    def run_job(self, job_id: int, parameters: Mapping[str, str]) -> int:
        """Start a run; its id. Raises NotFoundError."""

    def follow_run(self, run_id: int) -> JobRun:
        """Wait until the run has ended; how it ended. Raises NotFoundError."""

    def get_run(self, run_id: int) -> JobRun:
        """A run as it stands. Raises NotFoundError."""

    def list_runs(self, job_id: int | None = None, limit: int = 25) -> list[JobRun]:
        """The newest runs first, without their tasks."""


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """A query as the Queries API keeps it; inline SQL of a task is saved as one."""

    query_id: str
    display_name: str
    query_text: str
    warehouse_id: str


class QueriesApi(Protocol):
    """Saved queries of one workspace: https://docs.databricks.com/api/workspace/queries."""

    def create_query(self, display_name: str, query_text: str, warehouse_id: str = "") -> str:
        """Save a query; its new id.

        Where the platform keeps names apart, a name that is taken raises ConflictError. Never
        repeated: raises BackendError with `OUTCOME_UNKNOWN`.
        """

    def get_query(self, query_id: str) -> SavedQuery:
        """One query that is not in the trash. Raises NotFoundError."""

    def list_queries(self) -> list[SavedQuery]:
        """Every query that is not in the trash and that the caller may see."""

    def update_query(
        self, query_id: str, *, display_name: str | None = None, query_text: str | None = None
    ) -> None:
        """Change the given fields. Raises NotFoundError."""

    def trash_query(self, query_id: str) -> None:
        """Move a query to the trash: no longer found or run. Raises NotFoundError."""


class PermissionsApi(Protocol):
    """Who may do what with jobs: https://docs.databricks.com/api/workspace/permissions.

    An entry is ``{"user_name" | "group_name" | "service_principal_name": …, "permission_level":
    …}``, as `JobDefinition.permissions` has them.
    """

    def get(self, job_id: int) -> list[dict[str, str]]:
        """Entries of the job itself, its owner among them; what is inherited is left out.

        Raises NotFoundError.
        """

    def update(self, job_id: int, permissions: Sequence[Mapping[str, str]]) -> None:
        """Give the named principals these levels; all others keep theirs. Raises NotFoundError."""

    def replace(self, job_id: int, permissions: Sequence[Mapping[str, str]]) -> None:
        """Make these the only entries of the job itself; exactly one of them is its owner.

        Raises NotFoundError.
        """


class RunStopper(Protocol):
    """Ends what a job is doing now."""

    def cancel_runs(self, job_id: int) -> None:
        """Ask every active run of the job to stop, without waiting; a continuous job then starts
        anew, with the settings of now. Raises NotFoundError.

        https://docs.databricks.com/jobs/continuous
        """


class Uploads(Protocol):
    """Files of a workspace, by absolute paths: of a volume or of its own folders."""

    def has(self, path: str, size_bytes: int) -> bool:
        """Whether a file of this size is there. Raises BackendError."""

    def put(self, path: str, content: bytes) -> None:
        """Write a file whole, over one that is there; folders above are made.

        Raises NotFoundError where there is no such volume, BackendError.
        """

    def names(self, folder: str) -> list[str]:
        """Names of files and folders right in a folder; none where it is not there."""

    def remove(self, path: str) -> None:
        """Delete a file, or a folder with the files in it; what is gone already is done."""


# --------------------------------------------------------------------------- data plane


class SqlSession(Protocol):
    """Runs SQL on the data plane (Spark, or a SQL warehouse)."""

    def execute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Run one statement; its rows, if it has any. Raises BackendError."""


class TableReader(Protocol):
    """Reads what Delta tables look like now, without touching their data."""

    def describe(self, tables: Iterable[TableName]) -> Mapping[TableName, TableState]:
        """What stands at each name: a `LiveTable`, None where a table may be created, or
        `Unreadable` (its schema is missing, it is no Delta table, a type is unknown), which
        concerns that table alone. Raises BackendError when nothing can be read at all.
        """


class FileLister(Protocol):
    """Finds files and reads their bytes, wherever they lie."""

    def list_files(self, source: FileSource) -> list[FoundFile]:
        """Every file that the source names. Raises NotFoundError, BackendError."""

    def stat(self, paths: Iterable[str]) -> Mapping[str, FoundFile]:
        """Files as they are now; those that are gone are left out."""

    def digest(self, files: Sequence[FoundFile]) -> Digests:
        """SHA-256 of each file's bytes, read as a stream."""


class BatchLoader(Protocol):
    """Appends one batch of files to one Delta table, exactly once."""

    def committed_version(self, table: TableName, app_id: str) -> int | None:
        """The highest transaction version that ``table`` holds for ``app_id``, None if none."""

    def recount(self, batch: Batch) -> BatchCounts | None:
        """What the commit of this very batch holds; None when there is no such commit.

        Raises BackendError where that can no longer be told.
        """

    def load(self, batch: Batch) -> BatchCounts:
        """Append the batch as one transaction, or find that it was committed before.

        Raises BadFilesError (nothing was written; the files that are to blame), FencedOutError
        (the target holds a later version of the lane: this one can never be committed),
        BackendError.
        """

    def probe(self, batch: Batch) -> Mapping[str, str]:
        """Read every file of the batch without writing; why each bad one cannot be loaded."""
