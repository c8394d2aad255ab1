"""Commands on jobs: plan, apply, run, runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakeflow_meta.cli import completion
from lakeflow_meta.cli.job_progress import condensed
from lakeflow_meta.cli.live import watching
from lakeflow_meta.cli.output import Session, pairs
from lakeflow_meta.cli.remedies import modules_are_no_files
from lakeflow_meta.cli.run_output import (
    attempt_dict,
    run_dict,
    seconds_of,
    show_attempts,
    show_runs,
)

if TYPE_CHECKING:
    from lakeflow_meta.jobs.outcomes import Outcome
    from lakeflow_meta.ports import JobRun

Modules = Annotated[
    list[str] | None,
    typer.Argument(
        help="Names of modules; all if left out.",
        autocompletion=completion.modules,
        callback=modules_are_no_files,
    ),
]
Param = Annotated[
    list[str] | None, typer.Option("--param", help="Job parameter: name=value. Repeatable.")
]
OnDrift = Annotated[
    str | None,
    typer.Option(
        help="Jobs that others changed since the last apply: restore, or report and leave them.",
        show_default="restore",
        autocompletion=completion.one_of("restore", "report"),
    ),
]
Prune = Annotated[
    str | None,
    typer.Option(
        help="Jobs whose module is gone or inactive: pause, delete or keep.",
        show_default="pause",
        autocompletion=completion.one_of("pause", "delete", "keep"),
    ),
]


def register(cli: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (plan, apply, run, runs):
        cli.command()(command)


def plan(
    context: typer.Context,
    modules: Modules = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 when anything would change.")
    ] = False,
    prune: Prune = None,
    on_drift: OnDrift = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Keep it in this file, for `apply --plan FILE`."),
    ] = None,
) -> None:
    """Show what `apply` would do: recorded against live jobs and tables, field by field.

    Example: lakeflow-meta plan nyc_flights --check
    """
    from lakeflow_meta import plan_operations

    session: Session = context.obj
    with watching(session.progress, session.output.err), condensed(session.progress):
        found = plan_operations.plan(
            session.app,
            modules or None,
            prune or "pause",
            on_drift or "restore",
            keep=output is not None,
        )
    if output is not None:
        plan_operations.save_plan(session.app, found, output)
    session.output.result(found.to_dict(), found.lines())
    if found.failed or (check and found.pending):
        raise typer.Exit(1)


def apply(
    context: typer.Context,
    modules: Modules = None,
    start: Annotated[bool, typer.Option("--run", help="Run the modules' jobs afterwards.")] = False,
    prune: Prune = None,
    on_drift: OnDrift = None,
    plan_file: Annotated[
        Path | None,
        typer.Option(
            "--plan", help="Do exactly what this file of `plan -o` says, or nothing at all."
        ),
    ] = None,
) -> None:
    """Create and update jobs in place. A second apply does nothing.

    Example: lakeflow-meta apply --run
    """
    from lakeflow_meta import plan_operations
    from lakeflow_meta.jobs.outcomes import ApplyStopped

    session: Session = context.obj
    with watching(session.progress, session.output.err), condensed(session.progress):
        planned = None if plan_file is None else plan_operations.load_plan(session.app, plan_file)
        try:
            outcomes = plan_operations.apply(
                session.app, modules or None, prune, on_drift, plan=planned
            )
        except ApplyStopped as stop:
            _show_stopped(session, stop.outcomes, str(stop))
            raise typer.Exit(130) from None
        wanted = [o.module for o in outcomes if start and o.wanted and not o.failed]
        ended = {name: session.app.orchestrator.run(name) for name in wanted}
    results = [
        {**o.to_dict(), **({"run": run_dict(ended[o.module])} if o.module in ended else {})}
        for o in outcomes
    ]
    session.output.result(results, _outcome_lines(results))
    show_runs(session, ended.values())
    if any(outcome.failed for outcome in outcomes) or _unsuccessful(ended.values()):
        raise typer.Exit(1)


def run(
    context: typer.Context,
    modules: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names of modules, run one after another.",
            autocompletion=completion.modules,
            callback=modules_are_no_files,
        ),
    ] = None,
    param: Param = None,
    repair: Annotated[
        int | None,
        typer.Option(
            metavar="RUN_ID",
            help="Run again what failed in this run, and what depends on it.",
            autocompletion=completion.run_ids,
        ),
    ] = None,
    cancel: Annotated[
        int | None,
        typer.Option(
            metavar="RUN_ID",
            help="Stop this run, whoever started it.",
            autocompletion=completion.run_ids,
        ),
    ] = None,
) -> None:
    """Run jobs and follow them; stops at the first one that fails.

    Examples: lakeflow-meta run nyc_reference nyc_flights; lakeflow-meta run --repair 1042
    """
    session: Session = context.obj
    one_run = _one_of(repair, cancel, modules, param)
    with watching(session.progress, session.output.err):
        ended = (
            [_repaired_or_cancelled(session, repair, cancel)]
            if one_run
            else _run_modules(session, modules or [], param)
        )
    values = [run_dict(one) for one in ended]
    if session.output.as_json:
        session.output.result(values[0] if one_run or len(modules or ()) == 1 else values)
    else:
        show_runs(session, ended)
    stopped = cancel is not None and str(ended[0].state) == "cancelled"
    if _unsuccessful(ended) and not stopped:
        raise typer.Exit(1)


def _one_of(
    repair: int | None, cancel: int | None, modules: list[str] | None, param: list[str] | None
) -> bool:
    """Whether the command is about one run that there is. Raises BadParameter for a mixture."""
    given = [name for name, value in (("--repair", repair), ("--cancel", cancel)) if value]
    if len(given) > 1 or (given and (modules or param)):
        raise typer.BadParameter(f"{given[0]} takes a run id and nothing else")
    if not given and not modules:
        raise typer.BadParameter("name a module, or give --repair or --cancel with a run id")
    return bool(given)


def _run_modules(session: Session, modules: list[str], param: list[str] | None) -> list[JobRun]:
    ended: list[JobRun] = []
    for name in modules:
        ended.append(session.app.orchestrator.run(name, pairs(param, "--param")))
        if _unsuccessful(ended):
            break
    return ended


def _repaired_or_cancelled(session: Session, repair: int | None, cancel: int | None) -> JobRun:
    jobs = session.app.jobs
    if repair is not None:
        jobs.repair_run(repair)
        return jobs.follow_run(repair)
    if cancel is None:
        raise AssertionError("one of the two is given")
    if (run := jobs.get_run(cancel)).state.ended:
        session.output.message(f"run {cancel} had already ended")
        return run
    jobs.cancel_run(cancel)
    return jobs.follow_run(cancel)


def runs(
    context: typer.Context,
    run_id: Annotated[
        int | None,
        typer.Argument(help="One run, with its tasks.", autocompletion=completion.run_ids),
    ] = None,
    logs: Annotated[
        str | None,
        typer.Option(
            help="Print the log of this task; TASK[3] is an iteration of a for_each.",
            autocompletion=completion.task_keys,
        ),
    ] = None,
    attempt: Annotated[
        int | None, typer.Option(min=0, help="With --logs: which attempt, counted from 0.")
    ] = None,
) -> None:
    """Show what ran last, or one run with its tasks and their logs.

    Example: lakeflow-meta runs 1042 --logs silver_flights
    """
    session: Session = context.obj
    if run_id is None and logs is not None:
        raise typer.BadParameter("--logs is of one run: name the run first")
    if attempt is not None and logs is None:
        raise typer.BadParameter("--attempt goes with --logs TASK")
    if run_id is None:
        _show_latest(session)
        return
    if logs is not None:
        _show_log(session, run_id, logs, attempt)
        return
    found = session.app.jobs.get_run(run_id)
    attempts = session.app.target.attempts(run_id)
    if session.output.as_json:
        tasks = [attempt_dict(one) for one in attempts]
        session.output.result({**run_dict(found), "attempts": tasks})
        return
    show_runs(session, [found])
    show_attempts(session, found, attempts)


def _show_log(session: Session, run_id: int, task: str, attempt: int | None) -> None:
    log = session.app.target.task_log(run_id, task, attempt)
    if session.output.as_json:
        session.output.result({"run_id": run_id, "task": task, "log": log})
    else:
        session.output.out.write(log)


def _show_latest(session: Session) -> None:
    latest = session.app.jobs.list_runs()
    if session.output.as_json:
        session.output.result([run_dict(one) for one in latest])
        return
    if not latest:
        session.output.message("no run yet: lakeflow-meta run MODULE")
        return
    rows = [
        (one.run_id, one.job_name, one.state, one.trigger.kind, one.started_at, seconds_of(one))
        for one in latest
    ]
    session.output.table(("run", "job", "state", "trigger", "started", "seconds"), rows)


def _show_stopped(session: Session, outcomes: Sequence[Outcome], summary: str) -> None:
    results = [outcome.to_dict() for outcome in outcomes]
    session.output.result(results, _outcome_lines(results))
    session.output.message(summary)


def _outcome_lines(results: list[dict[str, Any]]) -> list[str]:
    lines = [line for result in results for line in _lines_of(result)]
    return lines or ["nothing is recorded; load metadata with `lakeflow-meta sync PATH`"]


def _lines_of(result: dict[str, Any]) -> list[str]:
    sign = _SIGNS.get(result["action"], "~")
    job = f" (job {result['job_id']})" if result["job_id"] else ""
    said = result["error"] or result.get("note")
    title = f"{sign} {result['action']} {result['module']}{job}" + (f": {said}" if said else "")
    return [title, *(f"    {_drift_line(change)}" for change in result.get("drift", ()))]


def _drift_line(change: dict[str, Any]) -> str:
    from lakeflow_meta.jobs.plan import change_line
    from lakeflow_meta.jobs.settings_diff import Change

    return change_line(Change(**change))


_SIGNS = {
    "created": "+",
    "unchanged": "=",
    "deleted": "-",
    "paused": "-",
    "skipped": "·",
    "failed": "✗",
}


def _unsuccessful(ended: Iterable[JobRun]) -> bool:
    return any(str(run.state) != "success" for run in ended)
