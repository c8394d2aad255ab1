"""Parts that jobs and tasks share, as people write them. Pure.

https://docs.databricks.com/api/workspace/jobs/create
"""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from lakeflow_meta.findings import Finding, validation_findings


class Spec(BaseModel):
    """Strict and frozen: a typo or a wrong type is found, never guessed away."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def number_as_text(value: Any) -> Any:
    """YAML reads an all-digit id or an unquoted ``true`` as a number or boolean."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _parameter_text(value: Any) -> str:
    """The text of a parameter: as it is, or as JSON (``true``, ``1.5``, ``{"a":1}``)."""
    if isinstance(value, str):
        return value
    if value is None:
        raise ValueError("a parameter has a value; write '' for an empty text")
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"a parameter is text or JSON ({error}); put it in quotes") from error


Identifier = Annotated[str, BeforeValidator(number_as_text), Field(min_length=1)]
"""An id, or any short text, that YAML may have read as a number."""

ParameterText = Annotated[str, BeforeValidator(_parameter_text)]
"""A parameter's value. Numbers, booleans, lists and mappings are sent as JSON text."""

Parameters = dict[str, ParameterText]
JsonList = list[dict[str, Any]]
NaturalNumber = Annotated[int, Field(ge=0)]
FileSource = Literal["WORKSPACE", "GIT"]


def body(spec: BaseModel | None) -> dict[str, Any]:
    """A part as the API takes it: what was not written is not sent."""
    if spec is None:
        return {}
    return spec.model_dump(by_alias=True, exclude_none=True)


def spec_findings(error: ValidationError, model: type[BaseModel]) -> list[Finding]:
    """What pydantic found, in our words; a wrong word with the nearest right one."""
    details = error.errors(include_url=False)
    findings = validation_findings(error, model)
    return [_word_finding(d) or f for d, f in zip(details, findings, strict=True)]


def _word_finding(detail: Any) -> Finding | None:
    if detail["type"] != "literal_error":
        return None
    words = re.findall(r"'([^']+)'", detail["ctx"]["expected"])
    given = detail["input"]
    near = get_close_matches(str(given).upper(), words, n=1) or get_close_matches(
        str(given).lower(), words, n=1
    )
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(words)}"
    return Finding(tuple(detail["loc"]), f"{given!r} is not a known word here", hint)


class EmailNotifications(Spec):
    """Who is told by e-mail, and when."""

    on_start: list[str] | None = None
    on_success: list[str] | None = None
    on_failure: list[str] | None = None
    on_duration_warning_threshold_exceeded: list[str] | None = None
    on_streaming_backlog_exceeded: list[str] | None = None
    no_alert_for_skipped_runs: bool | None = None


class WebhookTarget(Spec):
    """A notification destination of the workspace."""

    id: Identifier


class WebhookNotifications(Spec):
    """Which notification destinations are called, and when."""

    on_start: list[WebhookTarget] | None = None
    on_success: list[WebhookTarget] | None = None
    on_failure: list[WebhookTarget] | None = None
    on_duration_warning_threshold_exceeded: list[WebhookTarget] | None = None
    on_streaming_backlog_exceeded: list[WebhookTarget] | None = None


class NotificationSettings(Spec):
    """When to keep silent. ``email_notifications`` may stand here; it is sent where it belongs."""

    no_alert_for_skipped_runs: bool | None = None
    no_alert_for_canceled_runs: bool | None = None
    alert_on_last_attempt: bool | None = None
    email_notifications: EmailNotifications | None = None


class HealthRule(Spec):
    """One threshold, e.g. ``RUN_DURATION_SECONDS GREATER_THAN 3600``."""

    metric: Literal[
        "RUN_DURATION_SECONDS",
        "STREAMING_BACKLOG_BYTES",
        "STREAMING_BACKLOG_RECORDS",
        "STREAMING_BACKLOG_SECONDS",
        "STREAMING_BACKLOG_FILES",
    ]
    op: Literal["GREATER_THAN"]
    value: int


class Health(Spec):
    """Thresholds that mark a run as unhealthy."""

    rules: list[HealthRule]
