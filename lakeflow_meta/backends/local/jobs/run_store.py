"""Runs of the embedded workspace, kept in ``workspace.db`` as they happen.

A run belongs to the process that runs it. Only that process writes it; another one may ask for its
cancellation, and may end it once its owner is certainly gone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from lakeflow_meta.backends.local.jobs.workspace_db import WorkspaceDb
from lakeflow_meta.backends.processes import has_ended, process_name
from lakeflow_meta.errors import ConflictError, NotFoundError
from lakeflow_meta.ports import Clock, JobRun, LiveJob, RunState, TaskRun, utc_now

OWNER_GONE = "the process that ran it has ended"

_IsGone = Callable[[str, datetime, datetime], bool]


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run that has just been recorded."""

    run_id: int
    started_at: datetime


class RunStore:
    """The history of runs, and what is under way."""

    def __init__(
        self, database: WorkspaceDb, clock: Clock = utc_now, is_gone: _IsGone = has_ended
    ) -> None:
        self._database = database
        self._clock = clock
        self._is_gone = is_gone

    # ----------------------------------------------------------------- writing

    def start(self, job: LiveJob, parameters: Mapping[str, str]) -> StartedRun:
        """Record a run of ``job`` and all its tasks, owned by this process.

        Raises ConflictError when ``max_concurrent_runs`` runs of it are under way.
        """
        now = self._clock()
        settings = job.settings
        with self._database.transaction() as connection:
            self._refuse_one_too_many(connection, job)
            cursor = connection.execute(
                "INSERT INTO runs (job_id, job_name, settings, parameters, state, started_at,"
                " owner, heartbeat_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    job.job_id,
                    settings.get("name", "Untitled"),
                    json.dumps(settings),
                    json.dumps(dict(parameters)),
                    RunState.RUNNING,
                    now.isoformat(),
                    process_name(),
                    now.isoformat(),
                ),
            )
            run_id = int(cursor.lastrowid or 0)
            connection.executemany(
                "INSERT INTO task_runs (run_id, task_key, attempt, position, state)"
                " VALUES (?, ?, 0, ?, ?)",
                [
                    (run_id, task["task_key"], position, RunState.QUEUED)
                    for position, task in enumerate(settings.get("tasks", ()))
                ],
            )
        return StartedRun(run_id, now)

    def put_task(self, run_id: int, task: TaskRun) -> None:
        """Record how far one attempt of a task is."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO task_runs (run_id, task_key, attempt, position, state, started_at,"
                " ended_at, error, log)"
                " SELECT run_id, task_key, ?, position, ?, ?, ?, ?, ? FROM task_runs"
                " WHERE run_id = ? AND task_key = ? AND attempt = 0"
                " ON CONFLICT (run_id, task_key, attempt) DO UPDATE SET state = excluded.state,"
                " started_at = excluded.started_at, ended_at = excluded.ended_at,"
                " error = excluded.error, log = excluded.log",
                (
                    task.attempt,
                    task.state,
                    _text(task.started_at),
                    _text(task.ended_at),
                    task.error,
                    str(task.log_path) if task.log_path else None,
                    run_id,
                    task.task_key,
                ),
            )

    def end(self, run_id: int, state: RunState, error: str = "") -> None:
        """Record how a run ended; a run that has ended stays as it is."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE runs SET state = ?, error = ?, ended_at = ?"
                " WHERE run_id = ? AND ended_at IS NULL",
                (state, error, self._clock().isoformat(), run_id),
            )

    def beat(self, run_id: int) -> bool:
        """Say that the owner is alive; whether somebody asked for the run to be cancelled."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "UPDATE runs SET heartbeat_at = ? WHERE run_id = ? RETURNING cancel_requested",
                (self._clock().isoformat(), run_id),
            ).fetchall()
        return any(row["cancel_requested"] for row in rows)

    def ask_to_cancel(self, run_id: int) -> None:
        """Leave a note for the process that runs it. Raises NotFoundError."""
        with self._database.transaction() as connection:
            query = "UPDATE runs SET cancel_requested = 1 WHERE run_id = ?"
            if not connection.execute(query, (run_id,)).rowcount:
                raise _missing(run_id)

    def end_abandoned(self) -> list[int]:
        """Mark as failed every run whose process has ended; their ids."""
        query = "SELECT run_id, owner, heartbeat_at FROM runs WHERE ended_at IS NULL"
        now = self._clock()
        gone = [
            row["run_id"]
            for row in self._database.rows(query)
            if self._is_gone(row["owner"], datetime.fromisoformat(row["heartbeat_at"]), now)
        ]
        for run_id in gone:
            with self._database.transaction() as connection:
                _break_off(connection, run_id, now, OWNER_GONE)
        return gone

    def break_off(self, run_id: int, error: str) -> None:
        """End a run, and whatever of it has not ended, as failed for a reason of its own."""
        with self._database.transaction() as connection:
            _break_off(connection, run_id, self._clock(), error)

    # ----------------------------------------------------------------- reading

    def get(self, run_id: int) -> JobRun:
        """A run with its tasks, each by its last attempt. Raises NotFoundError."""
        rows = self._database.rows("SELECT * FROM runs WHERE run_id = ?", (run_id,))
        if not rows:
            raise _missing(run_id)
        last = {task.task_key: task for task in self.attempts(run_id)}
        return replace(_run(rows[0]), tasks=tuple(last.values()))

    def attempts(self, run_id: int) -> list[TaskRun]:
        """Every attempt of every task, in the order of the job's tasks, oldest first."""
        query = "SELECT * FROM task_runs WHERE run_id = ? ORDER BY position, attempt"
        return [_task(row) for row in self._database.rows(query, (run_id,))]

    def newest(self, job_id: int | None, limit: int) -> list[JobRun]:
        """The newest runs first, without their tasks."""
        query = "SELECT * FROM runs WHERE ? IS NULL OR job_id = ? ORDER BY run_id DESC LIMIT ?"
        return [_run(row) for row in self._database.rows(query, (job_id, job_id, limit))]

    def _refuse_one_too_many(self, connection: sqlite3.Connection, job: LiveJob) -> None:
        allowed = int(job.settings.get("max_concurrent_runs", 1))
        query = "SELECT run_id FROM runs WHERE job_id = ? AND ended_at IS NULL ORDER BY run_id"
        active = [row["run_id"] for row in connection.execute(query, (job.job_id,))]
        if len(active) >= allowed:
            name = job.settings.get("name", job.job_id)
            running = f"run {active[0]} is under way" if active else "it allows none"
            raise ConflictError(
                f"job {name!r} may have {allowed} run(s) at once and {running};"
                " wait for it, or raise max_concurrent_runs"
            )


def _break_off(connection: sqlite3.Connection, run_id: int, now: datetime, error: str) -> None:
    connection.execute(
        "UPDATE runs SET state = ?, error = ?, ended_at = ? WHERE run_id = ? AND ended_at IS NULL",
        (RunState.FAILED, error, now.isoformat(), run_id),
    )
    connection.execute(
        "UPDATE task_runs SET error = ?, ended_at = CASE state WHEN ? THEN ? END,"
        " state = CASE state WHEN ? THEN ? ELSE ? END"
        " WHERE run_id = ? AND state IN (?, ?, ?)",
        (
            error,
            RunState.RUNNING,
            now.isoformat(),
            RunState.RUNNING,
            RunState.FAILED,
            RunState.SKIPPED,
            run_id,
            RunState.QUEUED,
            RunState.RUNNING,
            RunState.WAITING_FOR_RETRY,
        ),
    )


def _run(row: sqlite3.Row) -> JobRun:
    return JobRun(
        run_id=row["run_id"],
        job_id=row["job_id"],
        job_name=row["job_name"],
        state=RunState(row["state"]),
        started_at=datetime.fromisoformat(row["started_at"]),
        ended_at=_moment(row["ended_at"]),
        error=row["error"],
    )


def _task(row: sqlite3.Row) -> TaskRun:
    return TaskRun(
        task_key=row["task_key"],
        state=RunState(row["state"]),
        started_at=_moment(row["started_at"]),
        ended_at=_moment(row["ended_at"]),
        attempt=row["attempt"],
        error=row["error"],
        log_path=Path(row["log"]) if row["log"] else None,
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _missing(run_id: int) -> NotFoundError:
    return NotFoundError(f"run {run_id} does not exist", code="RESOURCE_DOES_NOT_EXIST")
