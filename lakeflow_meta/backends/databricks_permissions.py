"""Permissions of jobs of a Databricks workspace.

https://docs.databricks.com/api/workspace/permissions

Proven by the real SDK over HTTP against `tests/contract/jobs_stand_in.py`; not run against a real
workspace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lakeflow_meta.backends.workspace_calls import WorkspaceCalls

PRINCIPALS = ("user_name", "group_name", "service_principal_name")


class DatabricksPermissions:
    """A `ports.PermissionsApi`. Safe to call from several threads."""

    def __init__(self, calls: WorkspaceCalls) -> None:
        self._calls = calls

    def get(self, job_id: int) -> list[dict[str, str]]:
        """See `PermissionsApi.get`."""
        answer = self._calls.read(_address(job_id))
        return [
            {kind: entry[kind], "permission_level": level}
            for entry in answer.get("access_control_list") or ()
            for kind in PRINCIPALS
            if entry.get(kind)
            for level in _own_levels(entry)
        ]

    def update(self, job_id: int, permissions: Sequence[Mapping[str, str]]) -> None:
        """See `PermissionsApi.update`. PATCH: whom it does not name it leaves alone."""
        self._calls.change("PATCH", _address(job_id), _body(permissions))

    def replace(self, job_id: int, permissions: Sequence[Mapping[str, str]]) -> None:
        """See `PermissionsApi.replace`. PUT: whom it does not name loses what was given here."""
        self._calls.change("PUT", _address(job_id), _body(permissions))


def _address(job_id: int) -> str:
    return f"/api/2.0/permissions/jobs/{job_id}"


def _body(permissions: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    return {"access_control_list": [dict(entry) for entry in permissions]}


def _own_levels(entry: Mapping[str, Any]) -> list[str]:
    """Levels given on the job itself; JSON of the API may leave out what is false."""
    levels = entry.get("all_permissions") or ()
    return [level["permission_level"] for level in levels if not level.get("inherited")]
