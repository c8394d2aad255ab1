"""Tags that say which control table and module a job belongs to, or which deployment. Pure.

The same for saved queries, by their names.

They are how a job is found again when its record is lost. Tags reach the clusters of a job, so
their values keep to what every cloud accepts; the strictest is a label of Google Cloud: 63 lower
case letters, digits, ``_`` and ``-``.
https://cloud.google.com/resource-manager/docs/labels-overview#requirements
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

TABLE_TAG = "lakeflow_meta_control_table"
MODULE_TAG = "lakeflow_meta_module"
DEPLOYMENT_TAG = "lakeflow_meta_deployment"
"""On the jobs of a deployment: what the job is for. These are of no module."""
RESERVED_PREFIX = "lakeflow_meta_"
MAX_TAGS = 25
"""A job takes at most 25 tags: https://docs.databricks.com/api/workspace/jobs/create"""

_PLAIN = re.compile(r"[a-z0-9_-]{1,63}")
_HASHED = re.compile(r".*-[0-9a-f]{16}")


def tag_value(name: str) -> str:
    """The name as a tag value: itself, or a readable form with a digest where that is not allowed.

    Different names never share a value: what looks like a digest is digested as well.
    """
    if _PLAIN.fullmatch(name) and not _HASHED.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    readable = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")[:46]
    return f"{readable}-{digest}"


def ownership_tags(control_table: str, module_name: str) -> dict[str, str]:
    """The tags of one module's job. Table names are compared without regard to case."""
    return {
        TABLE_TAG: tag_value(control_table.lower()),
        MODULE_TAG: tag_value(module_name),
    }


def query_name(control_table: str, module_name: str, task_key: str) -> str:
    """The display name under which the SQL of a task is saved.

    Different tasks never share a name: no part of it holds a space.
    """
    return f"lakeflow_meta {control_table} {tag_value(module_name)} {task_key}"


def owner(settings: Mapping[str, Any]) -> tuple[str, str] | None:
    """Tag values of the control table and the module that a job says it belongs to."""
    tags = settings.get("tags") or {}
    if TABLE_TAG not in tags or MODULE_TAG not in tags:
        return None
    return tags[TABLE_TAG], tags[MODULE_TAG]


def is_owned(settings: Mapping[str, Any], control_table: str, module_name: str) -> bool:
    """Whether the job carries exactly this module's tags."""
    tags = ownership_tags(control_table, module_name)
    return owner(settings) == (tags[TABLE_TAG], tags[MODULE_TAG])


def deployment_tags(control_table: str, kind: str) -> dict[str, str]:
    """The tags of a job that keeps the control table itself at work."""
    return {TABLE_TAG: tag_value(control_table.lower()), DEPLOYMENT_TAG: kind}


def is_deployment(settings: Mapping[str, Any], control_table: str, kind: str) -> bool:
    """Whether the job carries exactly these tags, and is of no module."""
    tags = settings.get("tags") or {}
    wanted = deployment_tags(control_table, kind)
    return MODULE_TAG not in tags and {name: tags.get(name) for name in wanted} == wanted


def is_marked(settings: Mapping[str, Any]) -> bool:
    """Whether the job carries tags that say whose it is."""
    tags = settings.get("tags") or {}
    return any(name in tags for name in (TABLE_TAG, MODULE_TAG, DEPLOYMENT_TAG))
