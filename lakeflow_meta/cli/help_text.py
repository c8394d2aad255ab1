"""How help is laid out: commands in sections, examples on lines of their own that can be copied.

The text is the docstring of each command; ``Example: …`` or ``Examples: …; …`` ends it.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_EXAMPLES = re.compile(r"\s*\bExamples?:\s+(lakeflow-meta\b.*)\Z", re.DOTALL)
_NEXT_EXAMPLE = re.compile(r";\s+(?=lakeflow-meta\b)")

SECTIONS = {
    "Start": ("init", "status", "doctor", "config", "help"),
    "Metadata": ("validate", "sync", "changes", "sql", "export", "history", "restore", "schema"),
    "Jobs": ("plan", "apply", "run", "runs"),
    "Data": ("tables", "ddl", "ingest", "extract"),
    "Always on": ("serve", "monitor", "ui", "report"),
    "Databricks and older tables": ("deploy", "migrate"),
}
_OTHERS = "More"


def split_help(text: str) -> tuple[str, list[str]]:
    """A command's help without its examples, and the examples, each a whole command line."""
    text = inspect.cleandoc(text)
    found = _EXAMPLES.search(text)
    if found is None:
        return text, []
    examples = _NEXT_EXAMPLE.split(" ".join(found[1].split()))
    return text[: found.start()], [example.rstrip(";. ") for example in examples]


def _write_help(text: str, formatter: Any) -> None:
    prose, examples = split_help(text)
    if prose:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(prose)
    if examples:
        with formatter.section("Examples" if len(examples) > 1 else "Example"):
            for example in examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")


class Command(TyperCommand):
    """A command whose examples stand on lines of their own."""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 (typer's own)
        """The prose, then the examples, which are never wrapped."""
        _write_help(self.help or "", formatter)


class Group(TyperGroup):
    """Commands in sections, each with its whole first sentence."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Show the help where nothing was typed: that is a question, not an error of its own."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            typer.echo(ctx.get_help())
            raise typer.Exit(2)
        return super().parse_args(ctx, args)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 (typer's own)
        """As of a command."""
        _write_help(self.help or "", formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the sections; what no section names comes last."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        shown = {name: _title(command) for name, command in commands.items() if command}
        for section, names in _in_sections(list(shown), is_root=ctx.parent is None):
            with formatter.section(section):
                width = max(map(len, shown))
                formatter.write_dl([(f"{name:<{width}}", shown[name]) for name in names])


def _in_sections(names: list[str], *, is_root: bool) -> list[tuple[str, list[str]]]:
    if not is_root:
        return [("Commands", names)]
    sections = [(title, [n for n in members if n in names]) for title, members in SECTIONS.items()]
    placed = {name for _, members in sections for name in members}
    others = [name for name in names if name not in placed]
    return [(title, members) for title, members in [*sections, (_OTHERS, others)] if members]


def _title(command: Any) -> str:
    prose, _ = split_help(command.help or "")
    paragraph = " ".join(prose.partition("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s", paragraph, maxsplit=1)[0].rstrip(".")


def dress(app: typer.Typer) -> None:
    """Lay out the help of every command of ``app`` and of its groups this way."""
    for command in app.registered_commands:
        command.cls = Command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            dress(group.typer_instance)
