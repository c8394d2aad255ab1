"""Commands that show: ui, a web page; report, the same as one file."""

from __future__ import annotations

import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from lakeflow_meta.cli.output import Session
from lakeflow_meta.cli.signals import asked_by_signals

DEFAULT_PORT = 8765


def register(cli: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (ui, report):
        cli.command()(command)


def ui(
    context: typer.Context,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any that is free.")
    ] = DEFAULT_PORT,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than loopback with --allow-remote.")
    ] = "127.0.0.1",
    allow_remote: Annotated[
        bool,
        typer.Option("--allow-remote", help="Let other machines read everything; no password."),
    ] = False,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="Another host name that people open it by. Repeatable."),
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open it in the browser of this machine.")
    ] = False,
) -> None:
    """Show modules, plan, runs, files and tables as a web page. It only reads. Ctrl-C ends it.

    Example: lakeflow-meta ui --port 0 --open
    """
    from lakeflow_meta.ui.server import Server, Website

    session: Session = context.obj
    _check_host(session, host, allow_remote=allow_remote)
    website = Website(session.app)
    with Server(website, host, port, name or ()) as server:
        website.warm_up()
        # shutdown waits for the loop that a signal interrupts
        with asked_by_signals(lambda: threading.Thread(target=server.shutdown).start()):
            result = {"url": server.address, "port": server.port}
            session.output.result(result, [f"{server.address} (Ctrl-C ends it)"])
            if open_browser:
                threading.Thread(
                    target=webbrowser.open, args=(server.address,), daemon=True
                ).start()
            server.serve_forever(poll_interval=0.2)
    session.output.message("ended")


def report(
    context: typer.Context,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="The file to write; one that is there is replaced."),
    ] = Path("report.html"),
    run: Annotated[int | None, typer.Option("--run", help="Only this run.")] = None,
    runs: Annotated[
        int, typer.Option(min=0, max=500, help="How many of the last runs it shows in full.")
    ] = 20,
) -> None:
    """Write the pages of `ui` as one file, for a mail or as an artefact of CI.

    Example: lakeflow-meta report -o report.html
    """
    from lakeflow_meta.operations import write_text
    from lakeflow_meta.ui.one_file import Bounds
    from lakeflow_meta.ui.one_file import report as made_report

    session: Session = context.obj
    text = made_report(session.app, run_id=run, bounds=Bounds(runs=runs))
    write_text(output, text)
    size = len(text.encode())
    result = {"path": str(output), "bytes": size}
    session.output.result(result, [f"{output} ({size:,} bytes)"])


def _check_host(session: Session, host: str, *, allow_remote: bool) -> None:
    """Other machines are let in by an explicit word alone. Raises ConfigError."""
    from lakeflow_meta.errors import ConfigError
    from lakeflow_meta.ui.server import is_loopback

    if is_loopback(host):
        return
    if not allow_remote:
        raise ConfigError(
            f"--host {host} lets other machines read names, errors and logs without a password;"
            " say so with --allow-remote, or forward the port by ssh instead"
        )
    session.output.message(
        "warning: whoever reaches this address reads names, errors and logs: there is no password"
    )
