"""Commands on extracts. They are declared and recorded; running them is not built yet.

The task of a job calls ``extract run``, so the refusal stands here: a job that names extracts fails
with the reason, on a workspace as on the embedded one.
"""

from __future__ import annotations

from typing import Annotated

import typer

from lakeflow_meta.errors import ConfigError


def register(cli: typer.Typer) -> None:
    """Add this group's commands; hidden, as long as they only refuse."""
    extract = typer.Typer(no_args_is_help=True, help="Write extracts to files.")
    extract.callback()(_group)
    extract.command("run")(extract_run)
    cli.add_typer(extract, name="extract", hidden=True)


def _group() -> None:
    """Keep ``run`` a word of its own: a group of one command would swallow it."""


def extract_run(
    names: Annotated[list[str] | None, typer.Argument(help="Names of extracts.")] = None,
    group: Annotated[str | None, typer.Option(help="All extracts of this group.")] = None,
) -> None:
    """Refuse: this version records extracts and does not run them."""
    what = f"group {group}" if group is not None else ", ".join(names or ()) or "all of them"
    raise ConfigError(
        f"this version records extracts and does not run them: {what};"
        " until it does, switch the task off with disabled: true"
    )
