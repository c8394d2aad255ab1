"""Commands on jobs: plan, apply, run, runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakeflow_meta.cli.job_progress import condensed
from lakeflow_meta.cli.live import watching
from lakeflow_meta.cli.output import Session, pairs

if TYPE_CHECKING:
    from lakeflow_meta.jobs.outcomes import Outcome
    from lakeflow_meta.ports import JobRun

Modules = Annotated[list[str] | None, typer.Argument(help="Names of modules; all if left out.")]
Param = Annotated[
    list[str] | None, typer.Option("--param", help="Job parameter: name=value. Repeatable.")
]
OnDrift = Annotated[
    str | None,
    typer.Option(
        help="Jobs that others changed since the last apply: restore, or report and leave them.",
        show_default="restore",
    ),
]
Prune = Annotated[
    str | None,
    typer.Option(
        help="Jobs whose module is gone or inactive: pause, delete or keep.", show_default="pause"
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
    _show_runs(session, ended.values())
    if any(outcome.failed for outcome in outcomes) or _unsuccessful(ended.values()):
        raise typer.Exit(1)


def run(
    context: typer.Context,
    modules: Annotated[list[str], typer.Argument(help="Names of modules, run one after another.")],
    param: Param = None,
) -> None:
    """Run jobs and follow them; stops at the first one that fails.

    Example: lakeflow-meta run nyc_reference nyc_flights
    """
    session: Session = context.obj
    ended: list[JobRun] = []
    with watching(session.progress, session.output.err):
        for name in modules:
            ended.append(session.app.orchestrator.run(name, pairs(param, "--param")))
            if _unsuccessful(ended):
                break
    values = [run_dict(one) for one in ended]
    if session.output.as_json:
        session.output.result(values[0] if len(modules) == 1 else values)
    else:
        _show_runs(session, ended)
    if _unsuccessful(ended):
        raise typer.Exit(1)


def runs(
    context: typer.Context,
    run_id: Annotated[int | None, typer.Argument(help="One run, with its tasks.")] = None,
    logs: Annotated[str | None, typer.Option(help="Print the log of this task.")] = None,
) -> None:
    """Show what ran last, or one run with its tasks and their logs.

    Example: lakeflow-meta runs 1042 --logs silver_flights
    """
    session: Session = context.obj
    if run_id is None:
        latest = session.app.jobs.list_runs()
        if session.output.as_json:
            session.output.result([run_dict(one) for one in latest])
            return
        rows = [
            (one.run_id, one.job_name, one.state, one.started_at, _seconds(one)) for one in latest
        ]
        session.output.table(("run", "job", "state", "started", "seconds"), rows)
        return
    found = session.app.jobs.get_run(run_id)
    if logs is not None:
        session.output.out.write(session.app.target.task_log(run_id, logs))
        return
    if session.output.as_json:
        session.output.result(run_dict(found))
        return
    _show_runs(session, [found])


def run_dict(run: JobRun) -> dict[str, Any]:
    """The JSON result of a run."""
    return {
        "run_id": run.run_id,
        "job_id": run.job_id,
        "job_name": run.job_name,
        "state": str(run.state),
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "tasks": [
            {
                "task_key": task.task_key,
                "state": str(task.state),
                "seconds": round(task.seconds, 3),
                "error": task.error,
                "log": task.log_path,
            }
            for task in run.tasks
        ],
    }


def _show_runs(session: Session, ended: Iterable[JobRun]) -> None:
    if session.output.as_json:
        return
    for one in ended:
        session.output.line(
            f"\n{one.job_name}: {one.state} in {_seconds(one):.1f} s (run {one.run_id})"
        )
        rows = [(t.task_key, t.state, t.seconds, t.error) for t in one.tasks]
        session.output.table(("task", "state", "seconds", "error"), rows)
        for task in one.tasks:
            if task.error and task.log_path:
                session.output.line(f"log of {task.task_key}: {task.log_path}")


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


def _seconds(run: JobRun) -> float:
    return (run.ended_at - run.started_at).total_seconds() if run.ended_at else 0.0


def _unsuccessful(ended: Iterable[JobRun]) -> bool:
    return any(str(run.state) != "success" for run in ended)
