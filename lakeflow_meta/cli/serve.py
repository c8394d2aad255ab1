"""The command that lets jobs start by themselves: serve."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakeflow_meta.cli.options import PruneMetadata, Settle, Variables
from lakeflow_meta.cli.output import Session, pairs
from lakeflow_meta.cli.signals import asked_by_signals

if TYPE_CHECKING:
    from lakeflow_meta.serve.happenings import Happening
    from lakeflow_meta.serve.server import StopSignal
    from lakeflow_meta.serve_operations import ServeOptions, Upcoming


def register(cli: typer.Typer) -> None:
    """Add this group's commands."""
    cli.command()(serve)


def serve(
    context: typer.Context,
    show_list: Annotated[
        bool, typer.Option("--list", help="Only show what starts each job next.")
    ] = False,
    once: Annotated[
        bool,
        typer.Option("--once", help="Look once, run what came due since the last look, and end."),
    ] = False,
    module: Annotated[
        list[str] | None,
        typer.Option(help="Start the jobs of this module only. Repeatable.", show_default="all"),
    ] = None,
    volume: Annotated[
        str | None,
        typer.Option(
            help="Folder of metadata that the monitor watches.",
            show_default="deploy.metadata_volume, else only the control tables",
        ),
    ] = None,
    interval: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Seconds from one look of the monitor to the next.",
            show_default="deploy.monitor_interval_seconds, 60",
        ),
    ] = None,
    no_monitor: Annotated[
        bool, typer.Option("--no-monitor", help="Start jobs, and leave them as they are.")
    ] = False,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="Apply everything recorded at these times too: a Quartz cron expression. Without"
            " a monitor the folder of metadata is read first.",
            show_default="never",
        ),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(help="Zone of --schedule.", show_default="deploy.timezone_id, UTC"),
    ] = None,
    prune: PruneMetadata = False,
    settle: Settle = 2.0,
    var: Variables = None,
    poll: Annotated[
        float, typer.Option(min=0.1, help="Seconds between two looks at files and tables.")
    ] = 2.0,
    drain_seconds: Annotated[
        float,
        typer.Option(min=0, help="How long SIGTERM and Ctrl-C let runs go on; then cancel them."),
    ] = 60.0,
) -> None:
    """Start jobs by themselves, by schedules, files, tables, or always; SIGTERM ends it.

    The monitor runs beside it, so what is changed in metadata or by SQL becomes jobs meanwhile.

    Example: lakeflow-meta serve --volume metadata/ --interval 10
    """
    from lakeflow_meta.serve.server import StopSignal
    from lakeflow_meta.serve_operations import ServeOptions, served_by, upcoming

    session: Session = context.obj
    if show_list:
        _show_list(session, upcoming(session.app), served_by(session.app))
        return
    options = ServeOptions(
        names=module or (),
        volume=volume,
        watches=not no_monitor,
        interval_seconds=interval,
        schedule=schedule,
        timezone_id=timezone,
        prune=prune,
        settle_seconds=settle,
        variables=pairs(var, "--var"),
        poll_seconds=poll,
        drain_seconds=drain_seconds,
    )
    stop = StopSignal()
    with asked_by_signals(stop.ask, patience=2):  # to let runs end, then to cancel them
        _serve(session, options, stop, once=once)


def _serve(session: Session, options: ServeOptions, stop: StopSignal, *, once: bool) -> None:
    from lakeflow_meta import serve_operations

    one_line_at_a_time = threading.Lock()

    def tell(happening: Happening) -> None:
        as_json = session.output.as_json
        text = _json(happening.to_dict()) if as_json else happening.line()
        with one_line_at_a_time:
            session.output.line(text)

    def on_start(jobs: Sequence[Upcoming]) -> None:
        with one_line_at_a_time:
            _show_start(session, jobs)

    if not once:
        serve_operations.serve(session.app, options, tell=tell, stop=stop, on_start=on_start)
    elif not serve_operations.serve_once(session.app, options, tell=tell, stop=stop):
        raise typer.Exit(1)


# --------------------------------------------------------------------------- text


def _show_start(session: Session, jobs: Sequence[Upcoming]) -> None:
    app = session.app
    if session.output.as_json:
        start = {"at": app.clock(), "what": "serve", "home": str(app.home)}
        session.output.line(_json({**start, "jobs": [job.to_dict() for job in jobs]}))
        return
    count = sum(not job.paused for job in jobs)
    session.output.line(
        f"serving {app.home}: {count} job(s) start by themselves; Ctrl-C or SIGTERM ends it"
    )
    _table(session, jobs)


def _show_list(session: Session, jobs: Sequence[Upcoming], server: str | None) -> None:
    if session.output.as_json:
        session.output.result([job.to_dict() for job in jobs])
        return
    _table(session, jobs)
    if not jobs:
        session.output.line("no job has a schedule, a trigger or is continuous")
    elif session.app.target.runs_here:
        nobody = "nobody serves this home: nothing starts before `lakeflow-meta serve`"
        session.output.line(nobody if server is None else f"{server} serves this home")


def _table(session: Session, jobs: Sequence[Upcoming]) -> None:
    rows = [
        (job.job_name, job.module, job.trigger, "paused" if job.paused else job.next_at)
        for job in jobs
    ]
    if rows:
        session.output.table(("job", "module", "starts by", "next"), rows)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=lambda moment: moment.isoformat())
