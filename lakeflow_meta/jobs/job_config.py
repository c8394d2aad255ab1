"""What people may write about a whole job, in ``job_config``. Pure.

The keys are those of the Jobs API's ``JobSettings``; a field that has no key here goes under
``extra``. https://docs.databricks.com/api/workspace/jobs/create
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.jobs.cron import cron_problem, time_zone_problem
from lakeflow_meta.jobs.specs import (
    MAX_INT32,
    EmailNotifications,
    Health,
    Identifier,
    JsonDict,
    Key,
    NaturalNumber,
    NotificationSettings,
    ParameterText,
    Spec,
    WebhookNotifications,
    number_as_text,
)
from lakeflow_meta.jobs.task_spec import at_most_one, exactly_one, written
from lakeflow_meta.names import TableName

PauseStatus = Literal["PAUSED", "UNPAUSED"]
STARTERS = ("schedule", "trigger", "continuous")
"""The fields that start a job by themselves; a job has one of them at most."""

MAX_NAME_BYTES, MAX_DESCRIPTION_BYTES = 4096, 27_700
MAX_CLUSTERS, MAX_ENVIRONMENTS = 100, 10
MAX_RUNS = 1000

TriggerPause = Annotated[int, Field(ge=60, le=MAX_INT32)]
"""Seconds: the minimum allowed value is 60 (jobs/create, trigger)."""


class Schedule(Spec):
    """At times, by a Quartz cron expression."""

    quartz_cron_expression: str
    timezone_id: str
    pause_status: PauseStatus | None = None

    @field_validator("quartz_cron_expression")
    @classmethod
    def _well_formed(cls, expression: str) -> str:
        problem = cron_problem(expression)
        if problem is not None:
            raise ValueError(problem)
        return expression

    @field_validator("timezone_id")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        problem = time_zone_problem(zone)
        if problem is not None:
            raise ValueError(problem)
        return zone


class Periodic(Spec):
    """Every so often."""

    interval: Annotated[int, Field(ge=1, le=MAX_INT32)]
    unit: Literal["MINUTES", "HOURS", "DAYS", "WEEKS"]


class FileArrival(Spec):
    """When files arrive in a storage location or volume."""

    url: Annotated[str, Field(min_length=1)]
    min_time_between_triggers_seconds: TriggerPause | None = None
    wait_after_last_change_seconds: TriggerPause | None = None


class TableUpdate(Spec):
    """When tables change."""

    table_names: Annotated[list[str], Field(min_length=1)]
    condition: Literal["ANY_UPDATED", "ALL_UPDATED"] | None = None
    min_time_between_triggers_seconds: TriggerPause | None = None
    wait_after_last_change_seconds: TriggerPause | None = None

    @field_validator("table_names")
    @classmethod
    def _whole_names(cls, names: list[str]) -> list[str]:
        for name in names:
            try:
                TableName.parse(name)
            except ConfigError as error:
                raise ValueError(str(error)) from error
        return names


class Trigger(Spec):
    """When something happens: one of four kinds. ``model`` is sent as it is written."""

    pause_status: PauseStatus | None = None
    periodic: Periodic | None = None
    file_arrival: FileArrival | None = None
    table_update: TableUpdate | None = None
    model: JsonDict | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Trigger:
        exactly_one(self, "periodic", "file_arrival", "table_update", "model")
        return self


class Continuous(Spec):
    """Always one run."""

    pause_status: PauseStatus | None = None
    task_retry_mode: Literal["NEVER", "ON_FAILURE"] | None = None


class Queue(Spec):
    """Whether runs beyond ``max_concurrent_runs`` wait."""

    enabled: bool


class JobCluster(Spec):
    """A cluster that tasks share by its key."""

    job_cluster_key: Key
    new_cluster: JsonDict


class Environment(Spec):
    """A serverless environment that tasks share by its key."""

    environment_key: Key
    spec: JsonDict | None = None


class JobParameter(Spec):
    """A parameter of the job with its default."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    default: ParameterText


GitProvider = Literal[
    "awsCodeCommit",
    "azureDevOpsServices",
    "bitbucketCloud",
    "bitbucketServer",
    "gitHub",
    "gitHubEnterprise",
    "gitLab",
    "gitLabEnterpriseEdition",
]
_PROVIDERS = {name.lower(): name for name in get_args(GitProvider)}


def _provider(value: Any) -> Any:
    """The API reads it without regard to case; here it has one spelling, so that it compares."""
    return _PROVIDERS.get(value.lower(), value) if isinstance(value, str) else value


class GitSource(Spec):
    """The repository that tasks with ``source: GIT`` read."""

    git_url: Annotated[str, Field(min_length=1, max_length=300)]
    git_provider: Annotated[GitProvider, BeforeValidator(_provider)]
    git_branch: Annotated[Identifier, Field(max_length=255)] | None = None
    git_tag: Annotated[Identifier, Field(max_length=255)] | None = None
    git_commit: Annotated[Identifier, Field(max_length=64)] | None = None

    @model_validator(mode="after")
    def _one_reference(self) -> GitSource:
        at_most_one(self, "git_branch", "git_tag", "git_commit")
        return self


class RunAs(Spec):
    """Who the job runs as."""

    user_name: str | None = None
    service_principal_name: Identifier | None = None
    group_name: str | None = None

    @model_validator(mode="after")
    def _one_identity(self) -> RunAs:
        exactly_one(self, "user_name", "service_principal_name", "group_name")
        return self


class Permission(Spec):
    """Who may do what with the job.

    A group cannot own a job:
    https://registry.terraform.io/providers/databricks/databricks/latest/docs/resources/permissions#job-usage
    """

    permission_level: Literal["CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", "IS_OWNER"]
    user_name: str | None = None
    group_name: str | None = None
    service_principal_name: Identifier | None = None

    @model_validator(mode="after")
    def _one_identity(self) -> Permission:
        exactly_one(self, "user_name", "group_name", "service_principal_name")
        if self.permission_level == "IS_OWNER" and self.group_name is not None:
            raise ValueError("a group cannot own a job; name a user or a service principal")
        return self

    @property
    def who(self) -> tuple[str | None, ...]:
        """The user, group or service principal."""
        return self.user_name, self.group_name, self.service_principal_name


def _named_parameters(value: Any) -> Any:
    """``{name: default}`` as the list that the API takes."""
    if isinstance(value, dict):
        return [{"name": name, "default": default} for name, default in value.items()]
    return value


def _tag_text(value: Any) -> Any:
    """A tag without a value is a label."""
    return "" if value is None else number_as_text(value)


TagText = Annotated[str, BeforeValidator(_tag_text)]


class JobConfig(Spec):
    """Every job-level key."""

    name: Annotated[str, Field(min_length=1)] | None = None
    description: str | None = None
    tags: dict[str, TagText] | None = None
    parameters: Annotated[list[JobParameter], BeforeValidator(_named_parameters)] | None = None
    timeout_seconds: NaturalNumber | None = None
    max_concurrent_runs: Annotated[int, Field(ge=0, le=MAX_RUNS)] | None = None
    queue: Queue | None = None
    schedule: Schedule | None = None
    trigger: Trigger | None = None
    continuous: Continuous | None = None
    job_clusters: Annotated[list[JobCluster], Field(max_length=MAX_CLUSTERS)] | None = None
    environments: Annotated[list[Environment], Field(max_length=MAX_ENVIRONMENTS)] | None = None
    email_notifications: EmailNotifications | None = None
    webhook_notifications: WebhookNotifications | None = None
    notification_settings: NotificationSettings | None = None
    health: Health | None = None
    git_source: GitSource | None = None
    run_as: RunAs | None = None
    edit_mode: Literal["UI_LOCKED", "EDITABLE"] | None = None
    performance_target: Literal["PERFORMANCE_OPTIMIZED", "STANDARD"] | None = None
    budget_policy_id: Identifier | None = None
    permissions: list[Permission] | None = None
    extra: JsonDict = Field(default_factory=dict)

    @field_validator("permissions")
    @classmethod
    def _one_level_each(cls, permissions: list[Permission] | None) -> list[Permission] | None:
        for who, count in Counter(entry.who for entry in permissions or ()).items():
            if count > 1:
                raise ValueError(f"{next(filter(None, who))} is written {count} times; keep one")
        owners = [p for p in permissions or () if p.permission_level == "IS_OWNER"]
        if len(owners) > 1:
            raise ValueError(f"{len(owners)} owners; a job has exactly one")
        return permissions

    @model_validator(mode="after")
    def _no_contradiction(self) -> JobConfig:
        if len(starters := written(self, *STARTERS)) > 1:
            raise ValueError(f"{' and '.join(starters)} exclude each other; a job has one of them")
        settings = self.notification_settings
        if settings is not None:
            if settings.alert_on_last_attempt is not None:
                raise ValueError("alert_on_last_attempt belongs to a task, not to the job")
            if settings.email_notifications is not None and self.email_notifications is not None:
                raise ValueError("email_notifications is written twice")
        return self
