"""Jobs, their permissions, and saved queries of the embedded workspace, in ``workspace.db``."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lakeflow_meta.backends.local.jobs.api_permissions import (
    Entries,
    owned_by,
    replaced,
    updated,
)
from lakeflow_meta.backends.local.jobs.api_settings import changed_settings, new_settings
from lakeflow_meta.backends.local.jobs.workspace_db import WorkspaceDb
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.ports import Clock, LiveJob, SavedQuery, utc_now

# The codes of the REST API: https://docs.databricks.com/api/workspace (Error codes).
MISSING = "RESOURCE_DOES_NOT_EXIST"


class JobStore:
    """The Jobs API's create, get, list, update and delete. Every call is one transaction."""

    def __init__(self, database: WorkspaceDb, clock: Clock = utc_now, user: str = "") -> None:
        self._database = database
        self._clock = clock
        self._user = user

    def list_jobs(self, *, with_tasks: bool = True) -> Iterator[LiveJob]:
        """Every job, oldest first, as of the call."""
        query = "SELECT job_id, settings FROM jobs ORDER BY job_id"
        if not with_tasks:
            query = (
                "SELECT job_id, json_remove(settings, '$.tasks', '$.job_clusters') AS settings"
                " FROM jobs ORDER BY job_id"
            )
        return (_job(row) for row in self._database.rows(query))

    def get_job(self, job_id: int) -> LiveJob:
        """One job. Raises NotFoundError."""
        query = "SELECT job_id, settings FROM jobs WHERE job_id = ?"
        return _job(_only(self._database.rows(query, (job_id,)), f"job {job_id}"))

    def create_job(self, settings: Mapping[str, Any]) -> int:
        """Create a job; its id, which no job had before. Raises BackendError if refused."""
        document = json.dumps(new_settings(settings))
        now = self._clock().isoformat()
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO jobs (settings, created_at, updated_at, permissions)"
                " VALUES (?, ?, ?, ?)",
                (document, now, now, json.dumps(owned_by(self._user))),
            )
            job_id = cursor.lastrowid
        if job_id is None:
            raise AssertionError("SQLite gives every inserted row an id")
        return job_id

    def update_job(
        self, job_id: int, settings: Mapping[str, Any], fields_to_remove: Sequence[str] = ()
    ) -> None:
        """See `JobsApi.update_job`. Reads and writes in one transaction: no update is lost."""
        with self._database.transaction() as connection:
            query = "SELECT settings FROM jobs WHERE job_id = ?"
            row = _only(connection.execute(query, (job_id,)).fetchall(), f"job {job_id}")
            changed = changed_settings(json.loads(row["settings"]), settings, fields_to_remove)
            connection.execute(
                "UPDATE jobs SET settings = ?, updated_at = ? WHERE job_id = ?",
                (json.dumps(changed), self._clock().isoformat(), job_id),
            )

    def delete_job(self, job_id: int) -> None:
        """Delete a job; its runs stay in the history. Raises NotFoundError."""
        with self._database.transaction() as connection:
            if not connection.execute("DELETE FROM jobs WHERE job_id = ?", (job_id,)).rowcount:
                raise _missing(f"job {job_id}")


class PermissionStore:
    """Who may do what with a job, kept and not enforced: a `ports.PermissionsApi`.

    ``user`` owns what older versions have made.
    """

    def __init__(self, database: WorkspaceDb, user: str) -> None:
        self._database = database
        self._user = user

    def get(self, job_id: int) -> list[dict[str, str]]:
        """See `PermissionsApi.get`."""
        query = "SELECT permissions FROM jobs WHERE job_id = ?"
        row = _only(self._database.rows(query, (job_id,)), f"job {job_id}")
        return self._entries(row)

    def update(self, job_id: int, permissions: Sequence[Mapping[str, str]]) -> None:
        """See `PermissionsApi.update`. Raises BackendError where it is refused."""
        self._change(job_id, lambda current: updated(current, permissions))

    def replace(self, job_id: int, permissions: Sequence[Mapping[str, str]]) -> None:
        """See `PermissionsApi.replace`. Raises BackendError where it is refused."""
        self._change(job_id, lambda _: replaced(permissions))

    def _change(self, job_id: int, change: Callable[[Entries], Entries]) -> None:
        with self._database.transaction() as connection:
            query = "SELECT permissions FROM jobs WHERE job_id = ?"
            row = _only(connection.execute(query, (job_id,)).fetchall(), f"job {job_id}")
            connection.execute(
                "UPDATE jobs SET permissions = ? WHERE job_id = ?",
                (json.dumps(change(self._entries(row))), job_id),
            )

    def _entries(self, row: sqlite3.Row) -> Entries:
        kept = row["permissions"]
        entries: Entries = owned_by(self._user) if kept is None else json.loads(kept)
        return entries


class QueryStore:
    """Saved queries: https://docs.databricks.com/api/workspace/queries."""

    def __init__(self, database: WorkspaceDb, clock: Clock = utc_now) -> None:
        self._database = database
        self._clock = clock

    def create_query(self, display_name: str, query_text: str, warehouse_id: str = "") -> str:
        """Save a query; its new id."""
        query_id = str(uuid.uuid4())
        now = self._clock().isoformat()
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO queries (query_id, display_name, query_text, warehouse_id,"
                " created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)",
                (query_id, display_name, query_text, warehouse_id, now, now),
            )
        return query_id

    def get_query(self, query_id: str) -> SavedQuery:
        """One query that is not in the trash. Raises NotFoundError."""
        rows = self._database.rows(
            "SELECT query_id, display_name, query_text, warehouse_id FROM queries"
            " WHERE query_id = ? AND trashed_at IS NULL",
            (query_id,),
        )
        return SavedQuery(*_only(rows, f"query {query_id}"))

    def list_queries(self) -> list[SavedQuery]:
        """Every query that is not in the trash, by name."""
        rows = self._database.rows(
            "SELECT query_id, display_name, query_text, warehouse_id FROM queries"
            " WHERE trashed_at IS NULL ORDER BY display_name, query_id"
        )
        return [SavedQuery(*row) for row in rows]

    def update_query(
        self, query_id: str, *, display_name: str | None = None, query_text: str | None = None
    ) -> None:
        """Change the given fields. Raises NotFoundError."""
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "UPDATE queries SET display_name = coalesce(?, display_name),"
                " query_text = coalesce(?, query_text), updated_at = ?"
                " WHERE query_id = ? AND trashed_at IS NULL",
                (display_name, query_text, self._clock().isoformat(), query_id),
            )
            if not cursor.rowcount:
                raise _missing(f"query {query_id}")

    def trash_query(self, query_id: str) -> None:
        """Move a query to the trash: no longer found or run. Raises NotFoundError."""
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "UPDATE queries SET trashed_at = ? WHERE query_id = ? AND trashed_at IS NULL",
                (self._clock().isoformat(), query_id),
            )
            if not cursor.rowcount:
                raise _missing(f"query {query_id}")


def _job(row: sqlite3.Row) -> LiveJob:
    return LiveJob(job_id=row["job_id"], settings=json.loads(row["settings"]))


def _only(rows: Sequence[sqlite3.Row], what: str) -> sqlite3.Row:
    if not rows:
        raise _missing(what)
    return rows[0]


def _missing(what: str) -> NotFoundError:
    return NotFoundError(f"{what} does not exist", code=MISSING)
