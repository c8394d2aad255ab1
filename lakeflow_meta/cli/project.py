"""Commands on the project: init, status, doctor, config."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from lakeflow_meta.cli.live import watching
from lakeflow_meta.cli.output import Session


def register(cli: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (init, status, doctor, config):
        cli.command()(command)


def init(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="Where to put the project.")] = Path(),
) -> None:
    """Start a project that runs at once: settings, commented metadata, a little data, a README.

    Files that are there already are left alone. Example: lakeflow-meta init my_lakehouse
    """
    from lakeflow_meta.cli.templates import write_project

    session: Session = context.obj
    written, kept = write_project(directory)
    result = {"written": [str(p) for p in written], "kept": [str(p) for p in kept]}
    session.output.result(result, list(_init_lines(directory, written, kept)))


def _init_lines(directory: Path, written: list[Path], kept: list[Path]) -> Iterator[str]:
    yield from (f"+ {path}" for path in written)
    yield from (f"= {path} (there already, left as it is)" for path in kept)
    yield "next:"
    if directory != Path():
        yield f"  cd {shlex.quote(str(directory))}"
    yield "  lakeflow-meta sync metadata    # record what the YAML declares"
    yield "  lakeflow-meta apply --run      # make the job and run it, on this machine"
    yield "  lakeflow-meta status           # what ran, and what is next"


def status(context: typer.Context) -> None:
    """Say whether everything is as declared, what ran last, what failed, and what is next.

    Examples: lakeflow-meta status; lakeflow-meta status --json
    """
    from lakeflow_meta.status import status as read_status

    session: Session = context.obj
    found = read_status(session.app)
    session.output.result(found.to_dict(), session.output.fitted(found.lines()))


def doctor(
    context: typer.Context,
    fix: Annotated[
        bool, typer.Option("--fix", help="Fetch what is missing (Delta's jars, class archive).")
    ] = False,
) -> None:
    """Check what this machine needs: Python, Java, Spark, Delta's jars, a home to write to.

    Example: lakeflow-meta doctor --fix
    """
    from lakeflow_meta import operations

    session: Session = context.obj
    with watching(session.progress, session.output.err):
        checks = operations.doctor(session.app, fix=fix)
    result = [{"name": c.name, "ok": c.ok, "detail": c.detail, "remedy": c.remedy} for c in checks]
    lines = []
    for check in checks:
        lines.append(f"{'ok   ' if check.ok else 'FAIL '} {check.name}: {check.detail}")
        if not check.ok:
            lines.append(f"      {check.remedy}")
    session.output.result(result, lines)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def config(context: typer.Context) -> None:
    """Print every effective setting and where it comes from.

    Example: lakeflow-meta config
    """
    session: Session = context.obj
    resolved = session.app.resolved
    values = resolved.settings.model_dump(mode="json")
    result = {
        name: {"value": value, "origin": resolved.origins[name]} for name, value in values.items()
    }
    if session.output.as_json:
        session.output.result(result)
        return
    rows = [(name, item["value"], item["origin"]) for name, item in result.items()]
    session.output.table(("setting", "value", "from"), rows)
