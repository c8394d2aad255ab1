"""Permissions of jobs of a Databricks workspace.

https://docs.databricks.com/api/workspace/permissions

Proven by the real SDK over HTTP against `tests/contract/jobs_stand_in.py`; not run against a real
workspace.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lakeflow_meta.backends.request_gate import Monotonic
from lakeflow_meta.backends.workspace_calls import WorkspaceCalls
from lakeflow_meta.ports import Sleep

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

PRINCIPALS = ("user_name", "group_name", "service_principal_name")


class DatabricksPermissions:
    """A `ports.PermissionsApi`. Safe to call from several threads.

    Rates are for all threads together, ``patience_seconds`` is how long one call is repeated.
    """

    def __init__(
        self,
        client: WorkspaceClient,
        *,
        reads_per_second: float = 50.0,
        writes_per_second: float = 20.0,
        patience_seconds: float = 300.0,
        sleep: Sleep = time.sleep,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._calls = WorkspaceCalls(
            client,
            reads_per_second=reads_per_second,
            writes_per_second=writes_per_second,
            patience_seconds=patience_seconds,
            sleep=sleep,
            monotonic=monotonic,
        )

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
