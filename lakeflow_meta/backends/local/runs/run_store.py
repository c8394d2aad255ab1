"""Runs of the embedded workspace, kept in ``workspace.db`` as they happen.

A run belongs to the process that runs it. Only that process writes it; another one may ask for its
cancellation, may end it once its owner is certainly gone, and may repair it once it has ended.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from lakeflow_meta.backends.local.jobs.workspace_db import WorkspaceDb
from lakeflow_meta.backends.local.runs.run_rows import (
    last_attempts,
    run_of,
    task_of,
    text_of,
    values_of,
)
from lakeflow_meta.backends.local.runs.run_statements import (
    ATTEMPTS,
    INSERT_RUN,
    PUT_TASK,
    QUEUE_AGAIN,
    TAKE_TURN,
)
from lakeflow_meta.backends.local.runs.task_graph import Ended, nodes_of, run_outcome
from lakeflow_meta.backends.processes import has_ended, process_name
from lakeflow_meta.errors import ConflictError, NotFoundError
from lakeflow_meta.ports import BY_HAND, Clock, JobRun, LiveJob, RunState, TaskRun, Trigger, utc_now

OWNER_GONE = "the process that ran it has ended"

QUEUE_HOURS = 48
"""How long a run may wait: https://docs.databricks.com/jobs/advanced#enable-queueing-of-job-runs"""

_IsGone = Callable[[str, datetime, datetime], bool]


@dataclass(frozen=True, slots=True)
class Parent:
    """The attempt of a run_job task that starts a run; ``task`` is its label.

    ``path`` is what goes before it where people are told of tasks: runs lie in each other.
    """

    run_id: int
    task: str
    attempt: int
    path: str = ""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run of a job that somebody wants. Of two with one ``token``, the second is the first."""

    parameters: Mapping[str, str]
    trigger: Trigger = BY_HAND
    token: str | None = None
    parent: Parent | None = None


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run that is recorded: by this call, unless ``is_new`` is false; perhaps still queued."""

    run_id: int
    started_at: datetime
    queued: bool = False
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class EndedRun:
    """All that a repair needs of a run that has ended."""

    run: JobRun
    settings: Mapping[str, Any]
    attempts: tuple[TaskRun, ...]


class RunStore:
    """The history of runs, and what is under way."""

    def __init__(
        self, database: WorkspaceDb, clock: Clock = utc_now, is_gone: _IsGone = has_ended
    ) -> None:
        self._database = database
        self._clock = clock
        self._is_gone = is_gone

    # ----------------------------------------------------------------- starting

    def start(self, job: LiveJob, request: RunRequest) -> StartedRun:
        """Record a run and all its tasks, owned by this process.

        With a token it is on the disk at the end, as what its caller remembers of it is. Where
        ``max_concurrent_runs`` of the job are under way it is queued, if the job's ``queue`` is
        enabled. Raises ConflictError where it is not.
        """
        now = self._clock()
        with self._database.transaction(durable=request.token is not None) as connection:
            if earlier := _with_token(connection, job, request.token):
                return earlier
            queued = _must_wait(connection, job, may_queue=_may_queue(job))
            cursor = connection.execute(INSERT_RUN, _run_values(job, request, now, queued=queued))
            run_id = int(cursor.lastrowid or 0)
            connection.executemany(
                "INSERT INTO task_runs (run_id, task_key, attempt, position, state)"
                " VALUES (?, ?, 0, ?, ?)",
                [
                    (run_id, task["task_key"], position, RunState.QUEUED)
                    for position, task in enumerate(job.settings.get("tasks", ()))
                ],
            )
        return StartedRun(run_id, now, queued)

    def take_turn(self, run_id: int) -> datetime | None:
        """Start a queued run if it is its turn: the oldest of its job, and few enough others run.

        When it started; None while it has to wait, and when it has ended meanwhile.
        """
        now = self._clock()
        with self._database.transaction() as connection:
            rows = connection.execute(
                TAKE_TURN,
                (
                    RunState.RUNNING,
                    text_of(now),
                    text_of(now),
                    run_id,
                    RunState.QUEUED,
                    RunState.QUEUED,
                    RunState.QUEUED,
                ),
            ).fetchall()
        return now if rows else None

    def has_waited_too_long(self, run_id: int) -> bool:
        """Whether a queued run is to be given up."""
        query = "SELECT queued_at FROM runs WHERE run_id = ? AND state = ?"
        rows = self._database.rows(query, (run_id, RunState.QUEUED))
        limit = self._clock() - timedelta(hours=QUEUE_HOURS)
        return any(datetime.fromisoformat(row["queued_at"]) < limit for row in rows)

    def start_repair(self, run_id: int, again: Collection[str], earlier_repairs: int) -> datetime:
        """Open a run that has ended once more, for the tasks ``again``; when that was.

        Raises ConflictError when somebody else did so first, or other runs of its job are in the
        way; nothing has changed then.
        """
        now = self._clock()
        with self._database.transaction() as connection:
            job = _job_of(connection, run_id)
            _must_wait(connection, job, may_queue=False)
            changed = connection.execute(
                "UPDATE runs SET state = ?, error = '', ended_at = NULL, cancel_requested = 0,"
                " owner = ?, heartbeat_at = ?, repaired_at = ?, repair_count = repair_count + 1"
                " WHERE run_id = ? AND ended_at IS NOT NULL AND repair_count = ?",
                (
                    RunState.RUNNING,
                    process_name(),
                    text_of(now),
                    text_of(now),
                    run_id,
                    earlier_repairs,
                ),
            )
            if not changed.rowcount:
                raise ConflictError(f"run {run_id} is being repaired by somebody else")
            connection.executemany(QUEUE_AGAIN, [_again(run_id, key) for key in again])
        return now

    # ----------------------------------------------------------------- writing

    def put_tasks(
        self, run_id: int, tasks: Iterable[TaskRun], outputs: Mapping[str, str] | None = None
    ) -> None:
        """Record how far attempts are, and what tasks gave back, all at once."""
        with self._database.transaction() as connection:
            connection.executemany(PUT_TASK, [values_of(run_id, task) for task in tasks])
            if outputs:
                connection.executemany(
                    "INSERT OR REPLACE INTO task_outputs (run_id, task_key, output)"
                    " VALUES (?, ?, ?)",
                    [(run_id, key, output) for key, output in outputs.items()],
                )

    def end(self, run_id: int, state: RunState, error: str = "") -> None:
        """Record how a run ended; a run that has ended stays as it is."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE runs SET state = ?, error = ?, ended_at = ?"
                " WHERE run_id = ? AND ended_at IS NULL",
                (state, error, text_of(self._clock()), run_id),
            )

    def beat(self, run_id: int) -> bool:
        """Say that the owner is alive; whether somebody asked for the run to be cancelled."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "UPDATE runs SET heartbeat_at = ? WHERE run_id = ? RETURNING cancel_requested",
                (text_of(self._clock()), run_id),
            ).fetchall()
        return any(row["cancel_requested"] for row in rows)

    def ask_to_cancel(self, run_id: int) -> None:
        """Leave a note for the process that runs it. Raises NotFoundError."""
        self.state(run_id)
        with self._database.transaction() as connection:
            connection.execute("UPDATE runs SET cancel_requested = 1 WHERE run_id = ?", (run_id,))

    def end_abandoned(self) -> list[int]:
        """End every run whose process has ended; their ids.

        As failed, unless all its tasks had ended: then only that was left to be written.
        """
        query = "SELECT run_id, owner, heartbeat_at FROM runs WHERE ended_at IS NULL"
        now = self._clock()
        gone = [
            row["run_id"]
            for row in self._database.rows(query)
            if self._is_gone(row["owner"], datetime.fromisoformat(row["heartbeat_at"]), now)
        ]
        for run_id in gone:
            outcome = self._outcome_of_ended_tasks(run_id)
            if outcome is None:
                self.break_off(run_id, OWNER_GONE)
            else:
                self.end(run_id, outcome)
        return gone

    def _outcome_of_ended_tasks(self, run_id: int) -> RunState | None:
        """How a run ends by its tasks; None while one of them has not ended."""
        rows = self._database.rows("SELECT settings FROM runs WHERE run_id = ?", (run_id,))
        nodes = nodes_of(json.loads(rows[0]["settings"]).get("tasks", ()))
        tasks = last_attempts(self.attempts(run_id))
        if not all(task.state.ended for task in tasks):
            return None
        return run_outcome(nodes, {t.task_key: Ended(t.state, t.outcome) for t in tasks})

    def break_off(self, run_id: int, error: str, state: RunState = RunState.FAILED) -> None:
        """End a run, and whatever of it has not ended, for a reason of its own."""
        now = text_of(self._clock())
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE runs SET state = ?, error = ?, ended_at = ?"
                " WHERE run_id = ? AND ended_at IS NULL",
                (state, error, now, run_id),
            )
            connection.execute(
                "UPDATE task_runs SET error = ?, state = ?, ended_at = ?"
                " WHERE run_id = ? AND state = ?",
                (error, RunState.FAILED, now, run_id, RunState.RUNNING),
            )
            connection.execute(
                "UPDATE task_runs SET error = ?, state = ? WHERE run_id = ? AND state IN (?, ?)",
                (error, RunState.SKIPPED, run_id, RunState.QUEUED, RunState.WAITING_FOR_RETRY),
            )

    # ----------------------------------------------------------------- reading

    def get(self, run_id: int) -> JobRun:
        """A run with its tasks, each by its last attempt. Raises NotFoundError."""
        rows = self._database.rows("SELECT * FROM runs WHERE run_id = ?", (run_id,))
        if not rows:
            raise _missing(run_id)
        return replace(run_of(rows[0]), tasks=last_attempts(self.attempts(run_id)))

    def state(self, run_id: int) -> RunState:
        """How far a run is. Raises NotFoundError."""
        rows = self._database.rows("SELECT state FROM runs WHERE run_id = ?", (run_id,))
        if not rows:
            raise _missing(run_id)
        return RunState(rows[0]["state"])

    def ended(self, run_id: int) -> EndedRun:
        """A run as a repair starts from it. Raises NotFoundError, ConflictError if it goes on."""
        run = self.get(run_id)
        if not run.state.ended:
            raise ConflictError(f"run {run_id} is under way; wait for its end, or cancel it")
        rows = self._database.rows("SELECT settings FROM runs WHERE run_id = ?", (run_id,))
        return EndedRun(run, json.loads(rows[0]["settings"]), tuple(self.attempts(run_id)))

    def attempts(self, run_id: int) -> list[TaskRun]:
        """Every attempt of every task, in the order of the job's tasks, oldest first.

        Those of a for_each task's iterations follow the task's own.
        """
        return [task_of(row) for row in self._database.rows(ATTEMPTS, (run_id,))]

    def newest(self, job_id: int | None, limit: int) -> list[JobRun]:
        """The newest runs first, without their tasks."""
        query = "SELECT * FROM runs WHERE ? IS NULL OR job_id = ? ORDER BY run_id DESC LIMIT ?"
        return [run_of(row) for row in self._database.rows(query, (job_id, job_id, limit))]


def _run_values(
    job: LiveJob, request: RunRequest, now: datetime, *, queued: bool
) -> tuple[object, ...]:
    settings, trigger, parent = job.settings, request.trigger, request.parent
    return (
        job.job_id,
        settings.get("name", "Untitled"),
        json.dumps(settings),
        json.dumps(dict(request.parameters)),
        RunState.QUEUED if queued else RunState.RUNNING,
        text_of(now),
        process_name(),
        text_of(now),
        trigger.kind,
        text_of(trigger.at),
        json.dumps(dict(trigger.details)),
        request.token,
        text_of(now) if queued else None,
        parent.run_id if parent else None,
        parent.task if parent else "",
        parent.attempt if parent else 0,
    )


def _again(run_id: int, task_key: str) -> dict[str, object]:
    return {"run_id": run_id, "task_key": task_key, "state": RunState.QUEUED}


def _with_token(
    connection: sqlite3.Connection, job: LiveJob, token: str | None
) -> StartedRun | None:
    query = "SELECT run_id, started_at FROM runs WHERE job_id = ? AND token = ?"
    for row in connection.execute(query, (job.job_id, token)):
        started = datetime.fromisoformat(row["started_at"])
        return StartedRun(row["run_id"], started, is_new=False)
    return None


def _job_of(connection: sqlite3.Connection, run_id: int) -> LiveJob:
    query = "SELECT job_id, settings FROM runs WHERE run_id = ?"
    for row in connection.execute(query, (run_id,)):
        return LiveJob(row["job_id"], json.loads(row["settings"]))
    raise _missing(run_id)


def _may_queue(job: LiveJob) -> bool:
    queue = job.settings.get("queue") or {}
    return bool(queue.get("enabled")) and int(job.settings.get("max_concurrent_runs", 1)) > 0


def _must_wait(connection: sqlite3.Connection, job: LiveJob, *, may_queue: bool) -> bool:
    """Whether a run of the job has to wait. Raises ConflictError when it has to, but may not."""
    allowed = int(job.settings.get("max_concurrent_runs", 1))
    query = "SELECT run_id FROM runs WHERE job_id = ? AND ended_at IS NULL ORDER BY run_id"
    active = [row["run_id"] for row in connection.execute(query, (job.job_id,))]
    if len(active) < allowed:
        return False
    if may_queue:
        return True
    name = job.settings.get("name", job.job_id)
    running = f"run {active[0]} is under way" if active else "it allows none"
    raise ConflictError(
        f"job {name!r} may have {allowed} run(s) at once and {running};"
        " wait for it, or raise max_concurrent_runs"
    )


def _missing(run_id: int) -> NotFoundError:
    return NotFoundError(
        f"run {run_id} does not exist; `lakeflow-meta runs` lists them",
        code="RESOURCE_DOES_NOT_EXIST",
    )
