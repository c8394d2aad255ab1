"""This package on a workspace: where its wheel and settings lie, and what runs it. Pure.

Everything that runs our own commands in a job is told here: the deployment's own jobs, and the
tasks ``ingest``, ``extract``, ``tables`` and ``ddl`` of modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from lakeflow_meta.jobs.job_context import PACKAGE_KEY, JobContext, JsonDict

STATE_KEY = "deploy/package"
"""Key of its row in ``etl_control_state``."""

NOT_DEPLOYED = "this package is not on the workspace yet"


@dataclass(frozen=True, slots=True)
class DeployedPackage:
    """One deployed version, with the compute that its tasks get.

    ``existing_cluster_id`` and ``job_cluster`` (``new_cluster`` of the Jobs API) win over
    serverless compute of ``environment_version``.
    """

    wheel: str
    """Absolute path of the wheel on the workspace."""
    settings: str
    """Absolute path of the folder that holds ``<target>.yml``."""
    target: str
    requirements: tuple[str, ...] = ()
    """What pip installs besides the wheel's own dependencies."""
    environment_version: str = ""
    existing_cluster_id: str | None = None
    job_cluster: Mapping[str, Any] | None = None

    def in_context(self, context: JobContext) -> JobContext:
        """The context of job settings, with this package in it."""
        return replace(
            context,
            package_task=self._task_fields(),
            package_libraries=tuple(self._libraries()),
            package_compute=self._job_fields(),
            package_options=("--conf", self.settings, "--target", self.target),
            package_missing="",
        )

    def _task_fields(self) -> JsonDict:
        """https://docs.databricks.com/api/workspace/jobs/create (tasks)"""
        if self.existing_cluster_id is not None:
            cluster: JsonDict = {"existing_cluster_id": self.existing_cluster_id}
        elif self.job_cluster is not None:
            cluster = {"job_cluster_key": PACKAGE_KEY}
        else:
            return {"environment_key": PACKAGE_KEY}
        return {**cluster, "libraries": self._libraries()}

    def _libraries(self) -> list[JsonDict]:
        extra = [{"pypi": {"package": requirement}} for requirement in self.requirements]
        return [{"whl": self.wheel}, *extra]

    def _job_fields(self) -> JsonDict:
        """What a job with such tasks declares: an entry of one of its lists."""
        if self.existing_cluster_id is not None:
            return {}
        if self.job_cluster is not None:
            cluster = {"job_cluster_key": PACKAGE_KEY, "new_cluster": dict(self.job_cluster)}
            return {"job_clusters": cluster}
        spec = {
            "environment_version": self.environment_version,
            "dependencies": [self.wheel, *self.requirements],
        }
        return {"environments": {"environment_key": PACKAGE_KEY, "spec": spec}}

    def to_dict(self) -> dict[str, Any]:
        """As JSON; `read_package` reads it back."""
        values = {**asdict(self), "requirements": list(self.requirements)}
        return {name: value for name, value in values.items() if value not in (None, "")}


def read_package(value: Any) -> DeployedPackage:
    """From what `DeployedPackage.to_dict` gave. Raises ValueError for anything else."""
    try:
        requirements = tuple(map(str, value.get("requirements", ())))
        found = DeployedPackage(**{**value, "requirements": requirements})
    except (AttributeError, TypeError) as error:
        raise ValueError(f"it describes no package: {error}") from error
    texts = (found.wheel, found.settings, found.target, found.environment_version)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("it describes no package")
    return found


def without_package(context: JobContext) -> JobContext:
    """The context on a platform that has to have this package, and has not."""
    return replace(context, package_missing=NOT_DEPLOYED)
