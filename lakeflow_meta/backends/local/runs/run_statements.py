"""The longer statements on runs in ``workspace.db``: constant text, values are bound."""

from __future__ import annotations

TAKE_TURN = (
    "UPDATE runs SET state = ?, started_at = ?, heartbeat_at = ? WHERE run_id = ?"
    " AND state = ? AND NOT EXISTS (SELECT 1 FROM runs AS before"
    " WHERE before.job_id = runs.job_id AND before.state = ?"
    " AND before.ended_at IS NULL AND before.run_id < runs.run_id)"
    " AND (SELECT count(*) FROM runs AS other WHERE other.job_id = runs.job_id"
    " AND other.ended_at IS NULL AND other.state <> ?)"
    " < coalesce(json_extract(settings, '$.max_concurrent_runs'), 1)"
    " RETURNING run_id"
)
"""For a queued run: the oldest of its job, with fewer runs under way than the job allows."""

INSERT_RUN = (
    "INSERT INTO runs (job_id, job_name, settings, parameters, state, started_at, owner,"
    " heartbeat_at, trigger_kind, trigger_at, trigger_details, token, queued_at, parent_run_id,"
    " parent_task, parent_attempt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
PUT_TASK = (
    "INSERT INTO task_runs (run_id, task_key, iteration, attempt, position, state, started_at,"
    " ended_at, error, log, outcome, input)"
    " SELECT :run_id, :task_key, :iteration, :attempt, position, :state, :started_at, :ended_at,"
    " :error, :log, :outcome, :input FROM task_runs"
    " WHERE run_id = :run_id AND task_key = :task_key AND iteration = -1 AND attempt = 0"
    " ON CONFLICT (run_id, task_key, iteration, attempt) DO UPDATE SET state = excluded.state,"
    " started_at = excluded.started_at, ended_at = excluded.ended_at, error = excluded.error,"
    " log = excluded.log, outcome = excluded.outcome, input = excluded.input"
)
# A task that had not started keeps its attempt; one that had gets another.
QUEUE_AGAIN = (
    "INSERT INTO task_runs (run_id, task_key, attempt, position, state)"
    " SELECT run_id, task_key, attempt + (started_at IS NOT NULL), position, :state FROM task_runs"
    " WHERE run_id = :run_id AND task_key = :task_key AND iteration = -1"
    " ORDER BY attempt DESC LIMIT 1"
    " ON CONFLICT (run_id, task_key, iteration, attempt) DO UPDATE SET state = excluded.state,"
    " ended_at = NULL, error = '', outcome = ''"
)
ATTEMPTS = (
    "SELECT task_runs.*, (SELECT max(child.run_id) FROM runs AS child"
    " WHERE child.parent_run_id = task_runs.run_id AND child.parent_attempt = attempt"
    " AND child.parent_task = task_key || CASE WHEN iteration < 0 THEN ''"
    " ELSE '[' || iteration || ']' END) AS child_run_id"
    " FROM task_runs WHERE run_id = ? ORDER BY position, iteration, attempt"
)
