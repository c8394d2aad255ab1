"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

PruneMetadata = Annotated[
    bool, typer.Option("--prune", help="Remove what is recorded and not declared any more.")
]
Settle = Annotated[
    float, typer.Option(min=0, help="Seconds for which a new metadata file must stand still.")
]
Variables = Annotated[
    list[str] | None,
    typer.Option("--var", help="Value of a variable: name=value. Repeatable."),
]
