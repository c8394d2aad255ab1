"""What a deployment puts on a workspace: this package, its settings, and two jobs. Pure.

The *orchestrator* runs at times and makes the jobs of all modules as recorded. The *monitor* runs
without end, and does the same as soon as something changes. Both run this package's own commands
with the settings that the deployment was made with.

Wheel and settings have names that carry a digest of their content. So nothing that a running job
reads is ever overwritten, and a deployment that dies half-way leaves the jobs as they were.

https://docs.databricks.com/jobs/continuous
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lakeflow_meta.control.export import escaped
from lakeflow_meta.control.yaml_text import yaml_text
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.findings import path_text
from lakeflow_meta.fingerprint import content_hash
from lakeflow_meta.jobs.deploy_grants import grant_statements, principal
from lakeflow_meta.jobs.deployed_package import DeployedPackage
from lakeflow_meta.jobs.job_config import JobConfig
from lakeflow_meta.jobs.job_context import JobContext, JsonDict, package_task
from lakeflow_meta.jobs.job_settings import JobDefinition
from lakeflow_meta.jobs.ownership import deployment_tags
from lakeflow_meta.jobs.specs import body, spec_findings
from lakeflow_meta.names import TableName
from lakeflow_meta.paths import PathMap, is_in_volumes

if TYPE_CHECKING:
    from lakeflow_meta.settings import DeploySettings, Settings

_OURS = re.compile(r"lakeflow_meta-[^/]+\.whl|conf-[0-9a-f]{8}")
_HEADER = "# Written by `lakeflow-meta deploy`. A change of settings needs a new deploy.\n"


class DeploymentKind(StrEnum):
    """What a job of a deployment is for; the value is its tag."""

    ORCHESTRATOR = "orchestrator"
    MONITOR = "monitor"


@dataclass(frozen=True, slots=True)
class BuiltPackage:
    """A wheel, and what the platform has to install besides the wheel's own needs."""

    file_name: str
    content: bytes
    requirements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deployment:
    """Everything that is wanted on the workspace."""

    folder: str
    package: DeployedPackage
    files: Mapping[str, bytes]
    """Content by absolute path."""
    jobs: Mapping[DeploymentKind, JobDefinition]
    """A kind that is left out is not wanted: its job is paused."""
    grants: tuple[str, ...] = ()

    def is_ours(self, name: str) -> bool:
        """Whether something in the folder was put there by a deployment."""
        return _OURS.fullmatch(name) is not None


def wanted_deployment(
    settings: Settings, deploy: DeploySettings, built: BuiltPackage, context: JobContext
) -> Deployment:
    """What the settings ask for. Raises ConfigError with everything that is wrong with them."""
    folder = _folder("package_folder", deploy.package_folder)
    volume = None
    if deploy.metadata_volume is not None:
        volume = _folder("metadata_volume", deploy.metadata_volume)
    text = (_HEADER + yaml_text(escaped(settings.portable()))).encode()
    conf = f"{folder}/conf-{content_hash(text)[:8]}"
    package = DeployedPackage(
        wheel=f"{folder}/{built.file_name}",
        settings=conf,
        target=settings.target,
        requirements=built.requirements,
        environment_version=deploy.environment_version,
        existing_cluster_id=deploy.existing_cluster_id,
        job_cluster=deploy.job_cluster,
    )
    jobs = _jobs(deploy, volume, package.in_context(context))
    return Deployment(
        folder,
        package,
        {package.wheel: built.content, f"{conf}/{settings.target}.yml": text},
        jobs,
        grant_statements(
            TableName.parse(context.control_table),
            run_as=None if deploy.run_as is None else principal(deploy.run_as),
            permissions=deploy.permissions,
            paths=[folder, *([] if volume is None else [volume])],
        ),
    )


def _folder(name: str, written: str | None) -> str:
    """An absolute path that jobs and the upload APIs know by the same name."""
    hint = "write /Volumes/<catalog>/<schema>/<volume>/… or /Workspace/…"
    if not written:
        raise ConfigError(f"deploy.{name} is not set; {hint}")
    known = PathMap(Path("/")).known_as(written)
    parts = PurePosixPath(known).parts
    if not is_in_volumes(known) and (parts[:2] != ("/", "Workspace") or len(parts) < 3):
        raise ConfigError(f"deploy.{name} {written!r} is no folder of a workspace; {hint}")
    if ".." in parts:
        raise ConfigError(f"deploy.{name} {written!r}: write it without ..")
    return known


# --------------------------------------------------------------------------- jobs


def _jobs(
    deploy: DeploySettings, volume: str | None, context: JobContext
) -> dict[DeploymentKind, JobDefinition]:
    schedule = {"quartz_cron_expression": deploy.schedule, "timezone_id": deploy.timezone_id}
    watches = deploy.monitor_interval_seconds is not None
    tasks = _orchestrator_tasks(None if watches else volume, context)
    kind = DeploymentKind.ORCHESTRATOR
    jobs = {kind: _job(kind, deploy, context, {"schedule": schedule}, tasks)}
    if watches:
        kind = DeploymentKind.MONITOR
        arguments = ["monitor", *([] if volume is None else [volume])]
        arguments += ["--interval", f"{deploy.monitor_interval_seconds:g}"]
        task = {"task_key": "monitor", **package_task(context, arguments)}
        jobs[kind] = _job(kind, deploy, context, {"continuous": {}, "timeout_seconds": 0}, [task])
    return jobs


def _orchestrator_tasks(volume: str | None, context: JobContext) -> list[JsonDict]:
    """Files are read here where no monitor reads them: of two readers, one would be late."""
    apply = {"task_key": "apply", **package_task(context, ["apply"])}
    if volume is None:
        return [apply]
    sync = {"task_key": "sync", **package_task(context, ["sync", volume])}
    return [sync, {**apply, "depends_on": [{"task_key": "sync"}]}]


_SAID = {
    DeploymentKind.ORCHESTRATOR: "Makes the jobs of all modules as {table} says.",
    DeploymentKind.MONITOR: "Watches {table} and its metadata files, and keeps the jobs so.",
}


def _job(
    kind: DeploymentKind,
    deploy: DeploySettings,
    context: JobContext,
    starts: Mapping[str, Any],
    tasks: list[JsonDict],
) -> JobDefinition:
    """Raises ConfigError."""
    table = context.control_table
    written = {
        **starts,
        "max_concurrent_runs": 1,
        "queue": {"enabled": True},
        "run_as": deploy.run_as,
        "permissions": [dict(entry) for entry in deploy.permissions],
    }
    fields = body(config := _checked(written))
    for name in ("permissions", "extra"):
        fields.pop(name, None)
    settings = {
        "name": f"lakeflow-meta {kind} {table}",
        "description": _SAID[kind].format(table=table),
        "tags": deployment_tags(table, kind),
        **fields,
        **{keyed: [dict(entry)] for keyed, entry in context.package_compute.items()},
        "tasks": tasks,
    }
    permissions = tuple(body(permission) for permission in config.permissions or ())
    return JobDefinition(kind.value, settings, permissions)


def _checked(written: Mapping[str, Any]) -> JobConfig:
    try:
        config = JobConfig.model_validate(written)
    except ValidationError as error:
        lines = [
            f"deploy: {path_text(f.path)}: {f.message}" + (f" ({f.hint})" if f.hint else "")
            for f in spec_findings(error, JobConfig)
        ]
        raise ConfigError("\n".join(lines)) from error
    if any(entry.permission_level == "IS_OWNER" for entry in config.permissions or ()):
        raise ConfigError("deploy: permissions: who deploys owns the jobs; write CAN_MANAGE")
    return config
