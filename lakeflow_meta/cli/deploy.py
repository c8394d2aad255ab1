"""Command that puts this package on a workspace: deploy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakeflow_meta.cli.live import watching
from lakeflow_meta.cli.output import Session
from lakeflow_meta.errors import ConfigError

if TYPE_CHECKING:
    from lakeflow_meta.jobs.deployment_plan import DeployedJob, DeployReport

_SETTING = "from the settings"


def register(cli: typer.Typer) -> None:
    """Add this group's commands."""
    cli.command()(deploy)


def deploy(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be done.")
    ] = False,
    grant: Annotated[
        bool, typer.Option("--grant", help="Run the GRANT statements instead of printing them.")
    ] = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove older packages that no job names any more.")
    ] = False,
    package_folder: Annotated[
        str | None,
        typer.Option(help="/Volumes/… or /Workspace/…: where to upload.", show_default=_SETTING),
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="Quartz cron of the orchestrator.", show_default=_SETTING)
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="Zone of the schedule.", show_default=_SETTING)
    ] = None,
    volume: Annotated[
        str | None,
        typer.Option(help="Folder of metadata files to watch.", show_default=_SETTING),
    ] = None,
    interval: Annotated[
        float | None,
        typer.Option(help="Seconds between two looks of the monitor.", show_default=_SETTING),
    ] = None,
    no_monitor: Annotated[
        bool, typer.Option("--no-monitor", help="Only the scheduled orchestrator.")
    ] = False,
    environment_version: Annotated[
        str | None, typer.Option(help="Of serverless compute.", show_default=_SETTING)
    ] = None,
    cluster_id: Annotated[
        str | None, typer.Option(help="Run on this cluster instead.", show_default=_SETTING)
    ] = None,
) -> None:
    """Put this package, its settings and its two own jobs on a Databricks workspace.

    A second deploy of the same changes nothing. Example: lakeflow-meta --target prod deploy
    """
    session: Session = context.obj
    given: dict[str, Any] = {
        "package_folder": package_folder,
        "schedule": schedule,
        "timezone_id": timezone,
        "metadata_volume": volume,
        "monitor_interval_seconds": interval,
        "environment_version": environment_version,
        "existing_cluster_id": cluster_id,
    }
    options = {name: value for name, value in given.items() if value is not None}
    if cluster_id is not None:
        options["job_cluster"] = None
    if no_monitor and interval is not None:
        raise ConfigError("--interval and --no-monitor exclude each other")
    if no_monitor:
        options["monitor_interval_seconds"] = None
    app = session.app
    wanted = app.deployment(options)
    if dry_run:
        report = app.deployer.plan(wanted)
    else:
        with watching(session.progress, session.output.err):
            sql = app.sql_session() if grant else None
            report = app.deployer.deploy(wanted, clean=clean, sql=sql)
    session.output.result(report.to_dict(), _lines(report))
    if report.failed:
        raise typer.Exit(1)


def _lines(report: DeployReport) -> Iterator[str]:
    yield f"{_sign(report.package, report)} {report.package}"
    yield f"{_sign(report.settings, report)} {report.settings}"
    for job in report.jobs:
        yield from _job_lines(job)
    if report.grants:
        yield "granted:" if report.granted else "to be granted (or deploy with --grant):"
        yield from (f"  {statement};" for statement in report.grants)
    yield from (f"- {path}" for path in report.removed)
    if report.dry_run:
        yield "nothing was changed (dry run)"


def _sign(path: str, report: DeployReport) -> str:
    return "+" if any(uploaded.startswith(path) for uploaded in report.uploaded) else "="


_SIGNS = {"created": "+", "recreated": "+", "create": "+", "recreate": "+", "unchanged": "="}


def _job_lines(job: DeployedJob) -> Iterator[str]:
    from lakeflow_meta.jobs.plan import change_line

    sign = "✗" if job.error else _SIGNS.get(job.action, "~")
    said = ": ".join(filter(None, (job.url, job.error or job.note)))
    yield f"{sign} {job.action} {job.kind}" + (f"  {said}" if said else "")
    yield from (f"    {change_line(change)}" for change in job.changes)
    for entry in job.permissions:
        level, who = entry["permission_level"], [v for k, v in entry.items() if "_name" in k]
        yield f"    {level} for {who[0]}"
    if job.restarted:
        yield "    its run is stopped, and the platform starts a new one"
