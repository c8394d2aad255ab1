"""What `serve` needs of the embedded workspace: runs by token, changed jobs, files, tables."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lakeflow_meta.backends.delta_snapshot import newest_file
from lakeflow_meta.backends.local.spark.warehouse import LOG, Warehouse, checked_table
from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.ingest.files import is_hidden
from lakeflow_meta.names import TableName
from lakeflow_meta.paths import PathMap
from lakeflow_meta.ports import JobRun, LiveJob, Trigger
from lakeflow_meta.serve.due import FileStamps

if TYPE_CHECKING:
    from lakeflow_meta.backends.local.jobs.workspace import LocalWorkspace

_DIGITS = 20
_NO_TABLE = -1


class WorkspaceRuns:
    """A `ports.FiredRuns` of the embedded workspace."""

    def __init__(self, workspace: LocalWorkspace) -> None:
        self._workspace = workspace

    def start(self, job_id: int, trigger: Trigger, token: str) -> int:
        """See `FiredRuns.start`."""
        return self._workspace.run_job(job_id, {}, trigger=trigger, token=token)

    def get(self, run_id: int) -> JobRun:
        """See `FiredRuns.get`."""
        return self._workspace.get_run(run_id)

    def newest(self, job_id: int, limit: int) -> list[JobRun]:
        """See `FiredRuns.newest`."""
        return self._workspace.list_runs(job_id, limit)

    def cancel(self, run_id: int) -> None:
        """See `FiredRuns.cancel`; a run that is gone is not there to be stopped."""
        with suppress(NotFoundError):
            self._workspace.cancel_run(run_id)


class ChangedJobs:
    """The jobs of a workspace, read again only when its file has changed."""

    def __init__(self, home: Path, workspace: LocalWorkspace) -> None:
        self._files = [home / "workspace.db", home / "workspace.db-wal"]
        self._workspace = workspace
        self._stamp: object = None

    def __call__(self) -> Sequence[LiveJob] | None:
        """Every job, None where nothing was written since the last call."""
        stamp = [_stamp_of(file) for file in self._files]
        if stamp == self._stamp:
            return None
        jobs = list(self._workspace.list_jobs(with_tasks=False))
        self._stamp = stamp
        return jobs


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


class LocalSightings:
    """A `ports.Sightings` of folders and Delta tables of this machine."""

    def __init__(self, paths: PathMap, warehouse: Path) -> None:
        self._paths = paths
        self._warehouse = Warehouse(warehouse)

    # ----------------------------------------------------------------- files

    def files(self, url: str) -> FileStamps:
        """See `Sightings.files`. Hidden files are none: Spark reads them as empty, and people
        write to them what is not finished.
        """
        folder = self._paths.local(url)
        try:
            return dict(_files_below(str(folder), ""))
        except OSError as error:
            raise BackendError(
                f"{url} cannot be listed: {error.strerror or error}", code=type(error).__name__
            ) from error

    # ----------------------------------------------------------------- tables

    def data_version(self, table: str, known: int) -> tuple[int, bool]:
        """See `Sightings.data_version`. A version that only moves data about, or changes the
        table's definition, is no update. Raises BackendError for a view.
        """
        parsed = TableName.parse(table)
        name = checked_table(parsed.catalog, parsed.schema, parsed.name)
        if self._warehouse.is_view(name):
            raise BackendError(f"{table} is a view; here changes of Delta tables are seen")
        location = self._warehouse.location(name)
        if location is None:
            return _NO_TABLE, False
        try:
            return _data_version(str(location / LOG), known)
        except (OSError, ValueError) as error:
            raise BackendError(f"{table}: its Delta log cannot be read: {error}") from error


def _files_below(folder: str, below: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Files by their path below the folder; what goes away meanwhile is gone."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if is_hidden(entry.name):
            continue
        name = f"{below}{entry.name}"
        with suppress(FileNotFoundError):
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(entry.path, f"{name}/")
            elif entry.is_file():
                stat = entry.stat()
                yield name, (stat.st_size, stat.st_mtime_ns)


def _data_version(log: str, known: int) -> tuple[int, bool]:
    """The newest version, and whether one since ``known`` has changed data.

    A version below ``known`` is that of a table that was made anew.
    """
    newest = newest_file(log)
    if newest is None:
        return _NO_TABLE, False
    version = newest[0]
    first = known + 1 if version >= known else 0
    return version, any(_changes_data(log, number) for number in range(first, version + 1))


def _changes_data(log: str, version: int) -> bool:
    """Whether a commit adds or removes rows. One that was cleaned up meanwhile may have.

    https://github.com/delta-io/delta/blob/master/PROTOCOL.md#add-file-and-remove-file (dataChange)
    """
    try:
        with Path(log, f"{version:0{_DIGITS}}.json").open(encoding="utf-8") as lines:
            return any(_is_data_change(line) for line in lines)
    except FileNotFoundError:
        return True


def _is_data_change(line: str) -> bool:
    if "dataChange" not in line:
        return False
    action = json.loads(line)
    parts = [action.get(kind) for kind in ("add", "remove", "cdc")]
    return any(isinstance(part, dict) and part.get("dataChange") is True for part in parts)
