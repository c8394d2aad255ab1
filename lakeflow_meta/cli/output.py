"""What commands print: results to one stream, progress and errors to another."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from lakeflow_meta.cli.live import Relay

if TYPE_CHECKING:
    from rich.console import Console

    from lakeflow_meta.app import App


@dataclass(slots=True)
class Output:
    """Where results and messages go. ``as_json`` prints results as one JSON document."""

    as_json: bool = False
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)
    has_result: bool = False
    """Whether a result was printed; an error after it is no result of its own."""

    def result(self, value: Any, lines: Iterable[str] = ()) -> None:
        """Print the result: ``value`` with ``--json``, else ``lines``."""
        self.has_result = True
        if self.as_json:
            self.line(json.dumps(value, default=_json_value, ensure_ascii=False, indent=2))
            return
        for line in lines:
            self.line(line)

    def fitted(self, lines: Iterable[str]) -> Iterator[str]:
        """Lines cut to the terminal; whole where the result goes elsewhere."""
        if not self.out.isatty():
            yield from lines
            return
        width = shutil.get_terminal_size().columns
        for line in lines:
            yield line if len(line) <= width else f"{line[: width - 1]}…"

    def line(self, text: str = "") -> None:
        """One line of a result."""
        self.out.write(f"{text}\n")
        self.out.flush()

    def message(self, text: str) -> None:
        """One line for people, never part of a result."""
        self.err.write(f"{text}\n")
        self.err.flush()

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """A table of results for people."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*[_cell(value) for value in row])
        self.console().print(table)

    def console(self) -> Console:
        """A rich console on the result stream; plain text when that is no terminal."""
        from rich.console import Console

        width = None if self.out.isatty() else 120
        return Console(file=self.out, width=width, markup=False, highlight=False, soft_wrap=False)


@dataclass(slots=True)
class Session:
    """What the global options said, and the parts that commands share."""

    output: Output
    overrides: Mapping[str, Any] = field(default_factory=dict)
    conf: Path | None = None
    progress: Relay = field(default_factory=Relay)
    shared: App | None = None
    """Parts that the caller already has: the command is a task of a job in this process."""
    _app: App | None = None

    @property
    def app(self) -> App:
        """The parts, wired on first use."""
        if self.shared is not None:
            return self.shared
        if self._app is None:
            from lakeflow_meta.app import App

            self._app = App.from_environment(
                overrides=self.overrides, conf=self.conf, progress=self.progress
            )
        return self._app

    @property
    def names_project(self) -> bool:
        """Whether more than the folder that the command was typed in says which one is meant."""
        named = "home" in self.overrides or self.conf is not None or self.shared is not None
        return named or any(name.startswith("LAKEFLOW_META_") for name in os.environ)

    def check_same(self, control_table: str | None) -> None:
        """Refuse a task of another control table. Raises ConfigError."""
        from lakeflow_meta.errors import ConfigError

        mine = self.app.settings.control_table
        if control_table not in (None, mine):
            raise ConfigError(f"this process works on {mine}, not on {control_table}")


def _json_value(value: Any) -> Any:
    match value:
        case datetime() | date():
            return value.isoformat()
        case Decimal() | Path():
            return str(value)
        case bytes():
            return value.hex()
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:,.2f}"
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds")
        case _:
            return str(value)


def pairs(given: Sequence[str] | None, option: str) -> dict[str, str]:
    """``name=value`` texts of a repeatable option. Raises ConfigError."""
    from lakeflow_meta.errors import ConfigError

    found = {}
    for item in given or ():
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise ConfigError(f"{option} {item!r} is not name=value")
        found[name] = value
    return found
