"""What each key of job_config and of a task means, in a line. Pure.

Keys are ``folder.Class`` of the models; see `control.descriptions`.
"""

from __future__ import annotations

from collections.abc import Mapping

_Texts = Mapping[str, str]

_NOTIFICATIONS = {
    "on_start": "when a run starts",
    "on_success": "when a run succeeds",
    "on_failure": "when a run fails",
    "on_duration_warning_threshold_exceeded": "when the health rule on duration is broken",
    "on_streaming_backlog_exceeded": "when a health rule on a backlog is broken",
}

_PAUSES = {
    "min_time_between_triggers_seconds": "at least so long between two starts",
    "wait_after_last_change_seconds": "until nothing has changed for so long",
}

JOBS: Mapping[str, _Texts] = {
    "jobs.JobConfig": {
        "name": "display name; left out, job_name_template of the settings",
        "description": "left out, that of the module",
        "tags": "name: value; two more say whose the job is",
        "parameters": "name: default, or the list of the API",
        "timeout_seconds": "of a run",
        "max_concurrent_runs": "runs at once",
        "queue": "whether more runs wait",
        "schedule": "starts by the clock",
        "trigger": "starts when something happens",
        "continuous": "always one run",
        "job_clusters": "clusters that tasks share by a key",
        "environments": "serverless environments that tasks share by a key",
        "email_notifications": "who is told by e-mail, and when",
        "webhook_notifications": "which destinations are called, and when",
        "notification_settings": "when to keep silent",
        "health": "thresholds that mark a run as unhealthy",
        "git_source": "the repository of tasks with source GIT",
        "run_as": "who the job runs as",
        "edit_mode": "whether people may edit it in the UI",
        "performance_target": "of serverless compute",
        "budget_policy_id": "who pays for serverless compute",
        "permissions": "who may do what; others keep what they have",
        "extra": "any other field of the API, as it is",
    },
    "jobs.Schedule": {
        "quartz_cron_expression": "six or seven fields, the first is seconds",
        "timezone_id": "e.g. Europe/Berlin",
        "pause_status": "left out, what people set stays",
    },
    "jobs.Periodic": {"interval": "so many units", "unit": "of the interval"},
    "jobs.FileArrival": {"url": "folder of a volume or storage location", **_PAUSES},
    "jobs.TableUpdate": {
        "table_names": "catalog.schema.table",
        "condition": "one of them, or all of them",
        **_PAUSES,
    },
    "jobs.Trigger": {
        "pause_status": "left out, what people set stays",
        "periodic": "every so often",
        "file_arrival": "when files arrive",
        "table_update": "when tables change",
        "model": "as the API has it",
    },
    "jobs.Continuous": {
        "pause_status": "left out, what people set stays",
        "task_retry_mode": "whether failed tasks are tried again",
    },
    "jobs.Queue": {"enabled": "runs beyond max_concurrent_runs wait"},
    "jobs.JobCluster": {
        "job_cluster_key": "how tasks name it",
        "new_cluster": "as the Clusters API has it",
    },
    "jobs.Environment": {
        "environment_key": "how tasks name it",
        "spec": "environment_version, dependencies",
    },
    "jobs.JobParameter": {"name": "letters, digits, _ . -", "default": "text; others become JSON"},
    "jobs.GitSource": {
        "git_url": "https",
        "git_provider": "who serves it",
        "git_branch": "this one, git_tag or git_commit",
        "git_tag": "this one, git_branch or git_commit",
        "git_commit": "this one, git_branch or git_tag",
    },
    "jobs.RunAs": {
        "user_name": "one of the three",
        "service_principal_name": "its application id",
        "group_name": "one of the three",
    },
    "jobs.Permission": {
        "permission_level": "what they may do",
        "user_name": "who",
        "group_name": "who",
        "service_principal_name": "who: its application id",
    },
    "jobs.EmailNotifications": {
        **_NOTIFICATIONS,
        "no_alert_for_skipped_runs": "not for runs that were skipped",
    },
    "jobs.WebhookNotifications": _NOTIFICATIONS,
    "jobs.WebhookTarget": {"id": "of the notification destination"},
    "jobs.NotificationSettings": {
        "no_alert_for_skipped_runs": "of a run that was skipped",
        "no_alert_for_canceled_runs": "of a run that was cancelled",
        "alert_on_last_attempt": "of a task: not before its last retry",
        "email_notifications": "may stand here; sent where it belongs",
    },
    "jobs.HealthRule": {
        "metric": "what is measured",
        "op": "how it is compared",
        "value": "seconds, bytes, records or files",
    },
    "jobs.Health": {"rules": "any of them"},
}

_WAREHOUSE = "the SQL warehouse; left out, warehouse_id of the settings"
_FROM = "WORKSPACE, or GIT: the job's git_source"

TASKS: Mapping[str, _Texts] = {
    "jobs.TaskDependency": {
        "task_key": "a source of the module",
        "outcome": "of a condition",
    },
    "jobs.TaskSpec": {
        "task_type": "what kind of task",
        "depends_on": "sources that end first; wins over execution_order",
        "run_if": "how those must have ended; left out, all with success",
        "description": "left out, that of the source",
        "disabled": "stays in the job, and is not run",
        "timeout_seconds": "of one attempt",
        "max_retries": "-1: for ever",
        "min_retry_interval_millis": "from a failure to the next attempt",
        "retry_on_timeout": "also after a time-out",
        "disable_auto_optimization": "of serverless compute",
        "job_cluster_key": "a cluster of job_config",
        "existing_cluster_id": "a cluster that runs",
        "new_cluster": "a cluster of its own",
        "environment_key": "an environment of job_config",
        "libraries": "to install on the cluster",
        "notification_settings": "when to keep silent",
        "email_notifications": "who is told by e-mail, and when",
        "webhook_notifications": "which destinations are called, and when",
        "health": "thresholds that mark it as unhealthy",
        "extra": "any other field of the API's task, as it is",
    },
    "jobs.NotebookSpec": {
        "notebook_path": "the notebook; gets source_id and control_table as parameters too",
        "file_path": "the notebook, with no parameters but those written here",
        "source": _FROM,
        "warehouse_id": "runs SQL notebooks",
        "parameters": "name: value, for its widgets",
        "base_parameters": "the same",
    },
    "jobs.SqlTaskSpec": {
        "warehouse_id": _WAREHOUSE,
        "sql_query": "the statements",
        "query_id": "a saved query instead",
        "sql_file_path": "a .sql file",
        "file_source": _FROM,
        "parameters": "name: value",
    },
    "jobs.SqlQuerySpec": {
        "sql_task": "all of the following, nested",
        "warehouse_id": _WAREHOUSE,
        "sql_query": "the statements",
        "query_id": "a saved query instead",
        "parameters": "name: value",
    },
    "jobs.SqlFileSpec": {
        "sql_task": "all of the following, nested",
        "warehouse_id": _WAREHOUSE,
        "file_path": "a .sql file",
        "sql_file_path": "the same",
        "file_source": _FROM,
        "source": "the same",
        "parameters": "name: value",
    },
    "jobs.PythonWheelSpec": {
        "package_name": "the distribution",
        "entry_point": "of its scripts, or a function",
        "parameters": "a list; a mapping is sent by name",
        "named_parameters": "name: value",
    },
    "jobs.SparkJarSpec": {"main_class_name": "of a JAR of libraries", "parameters": "a list"},
    "jobs.SparkPythonSpec": {
        "python_file": "the file",
        "file_path": "the same",
        "source": _FROM,
        "parameters": "a list",
    },
    "jobs.PipelineSpec": {
        "pipeline_id": "the pipeline",
        "full_refresh": "all tables from the beginning",
        "full_refresh_selection": "these tables from the beginning",
        "refresh_selection": "only these tables",
    },
    "jobs.DbtSpec": {
        "commands": "up to 10, each begins with dbt",
        "project_directory": "where the project lies",
        "profiles_directory": "where profiles.yml lies",
        "catalog": "to write to",
        "schema_": "to write to",
        "warehouse_id": "runs the SQL",
        "source": _FROM,
    },
    "jobs.RunJobSpec": {"job_id": "the other job", "job_parameters": "name: value"},
    "jobs.ForEachSpec": {
        "inputs": "a list, or a reference to one",
        "concurrency": "so many at once",
        "task": "a task as any other; {{input}} is the element",
    },
    "jobs.ConditionSpec": {
        "op": "the comparison",
        "left": "text, or a reference",
        "right": "text, or a reference",
    },
    "jobs.ExtractSpec": {
        "extracts": "names; left out with group, the source's own id",
        "group": "all extracts of the group",
    },
    "jobs.DdlSpec": {"targets": "left out, the source's own id"},
    "jobs.TablesSpec": {"tables": "full names; left out, all tables of the module"},
}
