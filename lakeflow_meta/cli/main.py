"""The entry point: global options, errors to exit codes, groups of commands."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from lakeflow_meta.cli import (
    control,
    ddl,
    deploy,
    extracts,
    ingest,
    jobs,
    migrate,
    monitor,
    project,
    tables,
)
from lakeflow_meta.cli.output import Output, Session
from lakeflow_meta.errors import BackendError, LakeflowMetaError, SpecError

if TYPE_CHECKING:
    from lakeflow_meta.app import App

cli = typer.Typer(
    name="lakeflow-meta",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    help="Keep the lakehouse as its control tables say: YAML and SQL in, jobs, tables and data out."
    "\n\nExamples:\n\n  lakeflow-meta validate metadata/\n\n  lakeflow-meta sync metadata/"
    "\n\n  lakeflow-meta plan\n\n  lakeflow-meta apply --run",
)
for group in (control, jobs, tables, ddl, ingest, extracts, monitor, project, deploy, migrate):
    group.register(cli)


@cli.callback()
def options(
    context: typer.Context,
    target: Annotated[
        str | None, typer.Option(help="Settings to use: conf/TARGET.yml.", show_default="local")
    ] = None,
    home: Annotated[
        Path | None,
        typer.Option(help="Directory of the embedded workspace.", show_default=".lakeflow"),
    ] = None,
    conf: Annotated[
        Path | None, typer.Option(help="Directory of the settings files.", show_default="conf")
    ] = None,
    control_table: Annotated[
        str | None, typer.Option(help="Full name of the control table.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what happens.")] = False,
) -> None:
    """Remember the global options; nothing is opened yet."""
    session: Session = context.obj
    if session.shared is not None:
        session.check_same(control_table)
        return
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.ERROR,
        format="%(levelname)s %(name)s: %(message)s",
    )
    session.output.as_json = as_json
    given = {"target": target, "home": home, "control_table": control_table}
    session.overrides = {k: v for k, v in given.items() if v is not None}
    session.conf = conf


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a failure exits with its code.

    Success returns: a ``python_wheel_task`` calls this, and takes any SystemExit for a failure.
    """
    code = run(list(arguments) if arguments is not None else sys.argv[1:])
    if code:
        sys.exit(code)


def run(arguments: list[str], session: Session | None = None) -> int:
    """Run one command; its exit code. Errors of this package are printed, bugs are not hidden."""
    arguments = flags_first(arguments)
    session = session or Session(Output(as_json="--json" in arguments))
    output = session.output
    try:
        result: Any = cli(arguments, standalone_mode=False, obj=session)
    except LakeflowMetaError as error:
        report_error(output, error)
        return error.exit_code
    except typer.Exit as stop:
        return stop.exit_code
    except typer.Abort:
        return 130
    except KeyboardInterrupt:
        output.message("stopped")
        return 130
    except typer.TyperException as error:
        output.message(f"error: {error.format_message()}\nTry 'lakeflow-meta --help'.")
        return 2
    return result if isinstance(result, int) else 0


def flags_first(arguments: Sequence[str]) -> list[str]:
    """``--json`` and ``--verbose`` may stand anywhere, up to a ``--``."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    flags = [word for word in arguments[:end] if word in ("--json", "--verbose")]
    rest = [word for word in arguments[:end] if word not in flags]
    return [*dict.fromkeys(flags), *rest, *arguments[end:]]


def report_error(output: Output, error: LakeflowMetaError) -> None:
    """Print an error for people, or with ``--json`` as the result."""
    if not output.as_json or output.has_result:
        output.message(f"error: {error}")
        return
    value: dict[str, Any] = {"error": {"type": type(error).__name__, "message": str(error)}}
    if isinstance(error, SpecError):
        value["problems"] = [problem_dict(p) for p in error.problems]
    output.result(value)


def problem_dict(problem: Any) -> dict[str, Any]:
    """A problem as JSON."""
    names = ("file", "line", "column", "path", "message", "hint")
    return {name: getattr(problem, name) for name in names}


def run_inside(app: App, parameters: list[str], output: TextIO) -> None:
    """Run a command as a task of a job: with the parts that this process has, into ``output``.

    Raises what the command raises, and BackendError when it ends with another exit code than 0.
    """
    session = Session(Output(out=output, err=output), shared=app)
    code: Any = cli(parameters, standalone_mode=False, obj=session)
    if isinstance(code, int) and code:
        raise BackendError(f"lakeflow-meta {shlex.join(parameters)} ended with exit code {code}")
