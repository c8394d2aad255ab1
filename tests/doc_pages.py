"""The pages that people read, cut into blocks, and the one rule for them: what is shown is true.

How a block is proven, by what it is:

- *commands*: it has lines that begin with ``$ ``. They are run in order, in one project for the
  page, and print what the page shows; ``…`` stands for any text. ``$ cat FILE`` of a file that is
  not there yet writes it.
- *usage*: every line is a ``lakeflow-meta`` command line; each is held against the real parser.
- ``yaml`` is valid metadata, ``yml`` are valid settings, ``python`` runs.
- ``text`` shows something and is no command; ``json`` is JSON.
- Anything else is *marked* in the line before: ``<!-- run by tests/…/test_x.py -->``, or
  ``<!-- not run: REASON -->``.

``<!-- before: COMMAND -->`` runs unseen.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ROOT = Path(__file__).parents[1]


def pages() -> list[Path]:
    """Every page for people: of the project, of docs/, of the examples."""
    of_examples = sorted((ROOT / "examples").glob("*/README.md"))
    of_project = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
    return [*of_project, *sorted((ROOT / "docs").rglob("*.md")), *of_examples]


class Kind(StrEnum):
    """How a block is proven."""

    UNSEEN = "before"
    COMMANDS = "commands"
    USAGE = "usage"
    METADATA = "yaml"
    SETTINGS = "yml"
    PYTHON = "python"
    JSON = "json"
    TEXT = "text"
    MARKED = "marked"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Block:
    """One block; ``line`` counts from 1. ``mark`` is what the comment before it says."""

    line: int
    language: str
    text: str
    mark: str = ""

    @property
    def kind(self) -> Kind:
        if self.language == "before":
            return Kind.UNSEEN
        if self.mark:
            return Kind.MARKED
        has_commands = re.search(r"^\$ ", self.text, re.MULTILINE)
        if not self.language:
            if has_commands:
                return Kind.COMMANDS
            return Kind.USAGE if _is_usage(self.text) else Kind.UNKNOWN
        if self.language == "text" and has_commands:
            return Kind.UNKNOWN
        return Kind(self.language) if self.language in _LANGUAGES else Kind.UNKNOWN


_LANGUAGES = {"yaml", "yml", "python", "json", "text"}
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>(?:not run: |run by ).*?) -->\n+)?"
    r"^(?P<ticks>```+)(?P<language>\w*)\n(?P<text>.*?)^(?P=ticks)$"
    r"|^<!-- before: (?P<unseen>.*?) -->",
    re.MULTILINE | re.DOTALL,
)


def blocks(page: str) -> Iterator[Block]:
    """Every block of a page, and every unseen command, in order."""
    for found in _BLOCK.finditer(page):
        line = page.count("\n", 0, found.start()) + 1
        if found["unseen"]:
            yield Block(line, "before", found["unseen"])
        else:
            yield Block(line, found["language"], found["text"], found["mark"] or "")


def usage_lines(text: str) -> list[str]:
    """The command lines of a usage block; an indented line goes on with the one before."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith(" ") and lines:
            lines[-1] += f" {line.strip()}"
        elif line.strip():
            lines.append(re.sub(r"\s{2,}# .*", "", line).strip())
    return lines


def _is_usage(text: str) -> bool:
    return all(re.match(r"lakeflow-meta |\w+\(", line) for line in usage_lines(text))


def commands(block: Block) -> Iterator[tuple[str, str | None]]:
    """Every command of a block with the output that it shows, None where nobody sees it."""
    if block.kind is Kind.UNSEEN:
        yield block.text, None
        return
    command, output = "", list[str]()
    for line in block.text.splitlines():
        if command and not _whole(command):
            command += f"\n{line}"
        elif line.startswith("$ "):
            if command:
                yield command, "\n".join(output)
            command, output = line[2:], []
        elif command:
            output.append(line)
    if command:
        yield command, "\n".join(output)


def _whole(command: str) -> bool:
    """Whether all of its quotes are closed."""
    try:
        shlex.split(command)
    except ValueError:
        return False
    return True


_VARYING = [
    (re.compile(r"https://dbc-1234\.cloud\.databricks\.com"), r"https?://[\w.:]+"),
    (re.compile(r"\+g[0-9a-f]{8}\b"), r"\+g[0-9a-f]+"),
    (re.compile(r"\d{12,}"), r"\d{12,}"),
    (
        re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\+00:00)?"),
        r"\d{4}-\d\d-\d\d[ T].{8,21}",
    ),
]


def pattern(output: str) -> re.Pattern[str]:
    """What is printed must match: ids and times may differ, ``…`` is any text."""
    lines = [
        re.sub(r"(?<=\S)\s{2,}# .*", "", line).rstrip() for line in output.strip().splitlines()
    ]
    text = "\n".join(lines)
    marks: list[str] = []

    def mark(regex: str) -> str:
        marks.append(regex)
        return f"\x00{len(marks) - 1}\x00"

    for varying, regex in _VARYING:
        text = varying.sub(lambda _match, regex=regex: mark(regex), text)
    text = re.escape(text.replace("…", mark(".*?")))
    return re.compile(re.sub(r"\x00(\d+)\x00", lambda m: marks[int(m[1])], text), re.DOTALL)
