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
    serve,
    tables,
    ui,
)
from lakeflow_meta.cli.completion import let_name_shell, settings_targets
from lakeflow_meta.cli.help_text import Group, dress
from lakeflow_meta.cli.output import Output, Session
from lakeflow_meta.cli.remedies import globals_first, of_the_machine, project_above, remedies, usage
from lakeflow_meta.cli.signals import sigterm_like_ctrl_c
from lakeflow_meta.errors import BackendError, ConfigError, LakeflowMetaError, SpecError

if TYPE_CHECKING:
    from lakeflow_meta.app import App

PROGRAM = "lakeflow-meta"

cli = typer.Typer(
    name=PROGRAM,
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    help="Keep the lakehouse as its control tables say: YAML and SQL in, jobs, tables and data out."
    "\n\nExamples: lakeflow-meta init my_project; lakeflow-meta sync metadata;"
    " lakeflow-meta apply --run; lakeflow-meta status",
)


def _command_names(context: typer.Context, incomplete: str) -> list[str]:
    root: Any = context.find_root().command
    return [name for name in root.list_commands(context) if name.startswith(incomplete)]


for group in (
    control,
    jobs,
    tables,
    ddl,
    ingest,
    extracts,
    monitor,
    serve,
    project,
    deploy,
    migrate,
    ui,
):
    group.register(cli)


@cli.command("help")
def help_(
    context: typer.Context,
    command: Annotated[
        list[str] | None,
        typer.Argument(help="A command, e.g. tables sync.", autocompletion=_command_names),
    ] = None,
) -> None:
    """Show how a command is used.

    Examples: lakeflow-meta help plan; lakeflow-meta help tables sync
    """
    cli([*(command or []), "--help"], standalone_mode=False, prog_name=PROGRAM, obj=context.obj)


dress(cli)


def _show_version(context: typer.Context, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from lakeflow_meta import __version__

        output: Output = context.obj.output
        output.result({"version": __version__}, [f"{PROGRAM} {__version__}"])
        raise typer.Exit


@cli.callback()
def options(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Option(
            help="Settings to use: conf/TARGET.yml.",
            show_default="local",
            autocompletion=settings_targets,
        ),
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
    version: Annotated[  # noqa: ARG001 (its callback answers)
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Remember the global options; nothing is opened yet."""
    session: Session = context.obj
    if session.shared is not None:
        session.check_same(control_table)
        return
    console = logging.StreamHandler(sys.stderr)
    console.setLevel(logging.INFO if verbose else logging.ERROR)
    logging.basicConfig(
        handlers=[console],
        level=logging.INFO if verbose else logging.WARNING,  # logs of tasks show warnings
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
    with sigterm_like_ctrl_c():
        code = run(list(arguments) if arguments is not None else sys.argv[1:])
    if code:
        sys.exit(code)


def run(arguments: list[str], session: Session | None = None) -> int:
    """Run one command; its exit code. Errors of this package are printed, bugs are not hidden."""
    arguments = globals_first(arguments)
    let_name_shell(arguments)
    session = session or Session(Output(as_json="--json" in arguments))
    output = session.output
    above = project_above(Path.cwd())  # before the command makes a home here
    try:
        result: Any = cli(arguments, standalone_mode=False, prog_name=PROGRAM, obj=session)
    except LakeflowMetaError as error:
        report_error(
            output, error, remedies(error, project=None if session.names_project else above)
        )
        return error.exit_code
    except typer.Exit as stop:
        return stop.exit_code
    except typer.Abort:
        return STOPPED
    except KeyboardInterrupt:
        output.message("stopped")
        return STOPPED
    except typer.TyperException as error:
        report_error(output, ConfigError(usage(error, PROGRAM)))
        return ConfigError.exit_code
    except OSError as error:
        report_error(output, of_the_machine(error))
        return BackendError.exit_code
    return result if isinstance(result, int) else 0


STOPPED = 130
"""What a shell has for a program that Ctrl-C ended."""


def report_error(output: Output, error: LakeflowMetaError, remedies: Sequence[str] = ()) -> None:
    """Print an error for people, or with ``--json`` as the result."""
    if not output.as_json or output.has_result:
        for line in (f"error: {error}", *remedies):
            output.message(line)
        return
    said = {"type": type(error).__name__, "message": str(error)}
    value: dict[str, Any] = {"error": {**said, **({"remedies": remedies} if remedies else {})}}
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
    code: Any = cli(parameters, standalone_mode=False, prog_name=PROGRAM, obj=session)
    if isinstance(code, int) and code:
        raise BackendError(f"lakeflow-meta {shlex.join(parameters)} ended with exit code {code}")
