"""Parts that jobs and tasks share, as people write them. Pure.

Sizes and words are those of the reference of the Jobs API:
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
JsonDict = dict[str, Any]
JsonList = list[JsonDict]

MAX_INT32, MAX_INT64 = 2**31 - 1, 2**63 - 1
NaturalNumber = Annotated[int, Field(ge=0, le=MAX_INT32)]
"""Seconds, milliseconds and counts: an int32 of the API that is never negative."""

FileSource = Literal["WORKSPACE", "GIT"]

Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
"""Key of a task, a job cluster or an environment: ``[ 1 .. 100 ] characters ^[\\w\\-\\_]+$``."""

MAX_DESTINATIONS = 3
"""Notification destinations of one event (jobs/create, webhook_notifications)."""


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


def _nobody(value: Any) -> Any:
    """Who tells nobody says nothing: the platform does not keep empty lists."""
    return None if value == [] else value


Addresses = Annotated[list[Annotated[str, Field(min_length=1)]] | None, BeforeValidator(_nobody)]


class EmailNotifications(Spec):
    """Who is told by e-mail, and when."""

    on_start: Addresses = None
    on_success: Addresses = None
    on_failure: Addresses = None
    on_duration_warning_threshold_exceeded: Addresses = None
    on_streaming_backlog_exceeded: Addresses = None
    no_alert_for_skipped_runs: bool | None = None


class WebhookTarget(Spec):
    """A notification destination of the workspace."""

    id: Identifier


Destinations = Annotated[
    Annotated[list[WebhookTarget], Field(max_length=MAX_DESTINATIONS)] | None,
    BeforeValidator(_nobody),
]


class WebhookNotifications(Spec):
    """Which notification destinations are called, and when."""

    on_start: Destinations = None
    on_success: Destinations = None
    on_failure: Destinations = None
    on_duration_warning_threshold_exceeded: Destinations = None
    on_streaming_backlog_exceeded: Destinations = None


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
    value: Annotated[int, Field(ge=0, le=MAX_INT64)]


class Health(Spec):
    """Thresholds that mark a run as unhealthy."""

    rules: list[HealthRule]
