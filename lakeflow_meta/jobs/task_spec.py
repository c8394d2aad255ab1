"""What every kind of task has. Pure.

https://docs.databricks.com/api/workspace/jobs/create#tasks
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from lakeflow_meta.jobs.specs import (
    MAX_INT32,
    EmailNotifications,
    Health,
    Identifier,
    JsonDict,
    JsonList,
    Key,
    NaturalNumber,
    NotificationSettings,
    Spec,
    WebhookNotifications,
    number_as_text,
)

MAX_DESCRIPTION = 1000
"""Characters of a task's description."""


class TaskDependency(Spec):
    """A task that must end first; ``outcome`` picks a branch of a condition task."""

    task_key: Identifier
    outcome: Annotated[Literal["true", "false"] | None, BeforeValidator(number_as_text)] = None


def _named_task(value: Any) -> Any:
    return {"task_key": value} if isinstance(value, str | int) else value


Dependency = Annotated[TaskDependency, BeforeValidator(_named_task)]
"""``a_task``, or ``{task_key: a_task, outcome: "true"}``."""


class TaskSpec(Spec):
    """What every task type has."""

    task_type: str | None = None
    depends_on: list[Dependency] | None = None
    run_if: (
        Literal[
            "ALL_SUCCESS",
            "ALL_DONE",
            "NONE_FAILED",
            "AT_LEAST_ONE_SUCCESS",
            "ALL_FAILED",
            "AT_LEAST_ONE_FAILED",
        ]
        | None
    ) = None
    description: Annotated[str, Field(max_length=MAX_DESCRIPTION)] | None = None
    disabled: bool | None = None
    timeout_seconds: NaturalNumber | None = None
    max_retries: Annotated[int, Field(ge=-1, le=MAX_INT32)] | None = None
    min_retry_interval_millis: NaturalNumber | None = None
    retry_on_timeout: bool | None = None
    disable_auto_optimization: bool | None = None
    job_cluster_key: Key | None = None
    existing_cluster_id: Identifier | None = None
    new_cluster: JsonDict | None = None
    environment_key: Key | None = None
    libraries: JsonList | None = None
    notification_settings: NotificationSettings | None = None
    email_notifications: EmailNotifications | None = None
    webhook_notifications: WebhookNotifications | None = None
    health: Health | None = None
    extra: JsonDict = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_compute(self) -> TaskSpec:
        named = written(self, "job_cluster_key", "existing_cluster_id", "new_cluster")
        if len(named) > 1:
            raise ValueError(f"{' and '.join(named)} exclude each other; name one cluster")
        if self.email_notifications is not None and _nested_emails(self.notification_settings):
            raise ValueError("email_notifications is written twice")
        return self


def _nested_emails(settings: NotificationSettings | None) -> bool:
    return settings is not None and settings.email_notifications is not None


def written(spec: BaseModel, *names: str) -> list[str]:
    return [name for name in names if getattr(spec, name) is not None]


def exactly_one(spec: BaseModel, *names: str) -> None:
    """Raises ValueError unless exactly one of the fields is written."""
    given = written(spec, *names)
    if not given:
        raise ValueError(f"{' or '.join(names)} is missing")
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} exclude each other; keep one")


def at_most_one(spec: BaseModel, *names: str) -> None:
    if len(given := written(spec, *names)) > 1:
        raise ValueError(f"{' and '.join(given)} exclude each other; keep one")
