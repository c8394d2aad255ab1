"""What was deployed, in ``etl_control_state``: the package, and the two jobs.

Rows are written by whoever holds the right to create jobs. Each carries a fence, so that one that
lost this right meanwhile does not write over the other's.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from lakeflow_meta.arrow_values import rows_of
from lakeflow_meta.control.tables import STATE, ControlTables
from lakeflow_meta.errors import ConflictError, NotFoundError
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.jobs.deployed_package import (
    STATE_KEY,
    DeployedPackage,
    read_package,
    without_package,
)
from lakeflow_meta.jobs.deployment import DeploymentKind
from lakeflow_meta.jobs.deployment_plan import DeploymentRecord, read_deployment_record
from lakeflow_meta.jobs.job_context import JobContext
from lakeflow_meta.ports import Actor, ControlStore, nobody

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the rows say; a row that somebody damaged is none."""

    package: DeployedPackage | None = None
    jobs: Mapping[DeploymentKind, DeploymentRecord] = field(default_factory=dict)


class DeployMemory:
    """The rows of one control table."""

    def __init__(
        self, store: ControlStore, tables: ControlTables, *, actor: Actor = nobody
    ) -> None:
        self._store = store
        self._table = tables.of(STATE)
        self._actor = actor

    def read(self) -> Remembered:
        """What is remembered now."""
        keys = [STATE_KEY, *map(job_key, DeploymentKind)]
        try:
            rows = rows_of(self._store.read(self._table, where={"key": keys}))
        except NotFoundError:
            return Remembered()
        values = {row["key"]: row["value"] for row in rows}
        jobs = {kind: _job(kind, values.get(job_key(kind))) for kind in DeploymentKind}
        known = {kind: record for kind, record in jobs.items() if record is not None}
        return Remembered(_package(values.get(STATE_KEY)), known)

    def in_context(self, context: JobContext) -> JobContext:
        """The context of job settings on a platform that has to have this package."""
        package = self.read().package
        return without_package(context) if package is None else package.in_context(context)

    def remember_package(self, package: DeployedPackage) -> None:
        """Raises ConflictError, BackendError."""
        self._write(STATE_KEY, canonical_json(package.to_dict()))

    def remember_job(self, kind: DeploymentKind, record: DeploymentRecord) -> None:
        """Raises ConflictError, BackendError."""
        self._write(job_key(kind), record.to_json())

    def _write(self, key: str, value: str) -> None:
        rows = rows_of(self._store.read(self._table, where={"key": key}))
        if rows and rows[0]["value"] == value:
            return
        fence = (rows[0]["fence"] or 0) + 1 if rows else 1
        row = {"key": key, "value": value, "fence": fence}
        note = {"verb": "deploy", "actor": self._actor()}
        result = self._store.merge(self._table, [row], keys=STATE.keys, fence="fence", note=note)
        if not result.changed:
            raise ConflictError(f"another deployment has written {key} of {self._table}")


def job_key(kind: DeploymentKind) -> str:
    """Key of the row of one job."""
    return f"deploy/{kind.value}"


def _package(value: str | None) -> DeployedPackage | None:
    if value is None:
        return None
    try:
        return read_package(json.loads(value))
    except ValueError as error:
        logger.warning("row %s of the state table cannot be read: %s", STATE_KEY, error)
        return None


def _job(kind: DeploymentKind, value: str | None) -> DeploymentRecord | None:
    """Where it cannot be read, the job is found again by its tags."""
    if value is None:
        return None
    try:
        return read_deployment_record(kind, value)
    except ValueError as error:
        logger.warning("row %s of the state table cannot be read: %s", job_key(kind), error)
        return None
