"""What stands behind a cell's magic command: ``%run``, ``%fs``, ``%sh``, ``%pip``. Pure.

https://docs.databricks.com/notebooks/notebooks-code#mix-languages
https://docs.databricks.com/notebooks/notebook-workflows (``%run``)
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

Parameters = Mapping[str, str]

FILE_COMMANDS: Mapping[str, tuple[int, int]] = {
    "ls": (1, 1),
    "head": (1, 2),
    "cp": (2, 2),
    "mv": (2, 2),
    "rm": (1, 1),
    "mkdirs": (1, 1),
    "put": (2, 2),
    "help": (0, 1),
}
"""How many arguments each command of ``%fs`` takes: at least, at most."""

_RECURSIVE = frozenset({"cp", "mv", "rm"})
_ARGUMENT = re.compile(r'\s*\$(?P<name>\w+)\s*=\s*(?P<value>"(?:[^"\\]|\\.)*"|\'[^\']*\'|\S+)')


class UnreadableMagicError(ValueError):
    """What follows the magic cannot be read, or does not run here; the message says which."""


@dataclass(frozen=True, slots=True)
class RunCall:
    """``%run path $name="value"``: another notebook, in this one's namespace."""

    path: str
    arguments: Parameters


@dataclass(frozen=True, slots=True)
class FileCall:
    """``%fs command …``: a method of ``dbutils.fs`` and its arguments."""

    command: str
    arguments: tuple[str, ...]
    recurse: bool = False


@dataclass(frozen=True, slots=True)
class ShellCall:
    """``%sh``: a script. Only with ``-e`` does its exit code matter."""

    script: str
    checked: bool


def read_run(source: str) -> RunCall:
    """The notebook to run and its widgets' values. Raises UnreadableMagicError."""
    lines = [line for line in source.splitlines() if line.strip()]
    if len(lines) > 1:
        raise UnreadableMagicError("%run stands alone in its cell, with one path")
    text = lines[0].strip() if lines else ""
    found = re.match(r'"(?P<quoted>[^"]+)"|\'(?P<single>[^\']+)\'|(?P<plain>[^\s$]\S*)', text)
    if found is None:
        raise UnreadableMagicError("%run needs the path of a notebook")
    return RunCall(found[1] or found[2] or found[3], _arguments(text, found.end()))


def _arguments(text: str, position: int) -> Parameters:
    given: dict[str, str] = {}
    while text[position:].strip():
        found = _ARGUMENT.match(text, position)
        if found is None:
            rest = text[position:].strip()
            raise UnreadableMagicError(f'%run: write parameters as $name="value", not {rest}')
        given[found["name"]] = _value(found["value"])
        position = found.end()
    return given


def _value(written: str) -> str:
    if written[0] == '"' and len(written) > 1:
        return re.sub(r"\\(.)", r"\1", written[1:-1])
    return written[1:-1] if written[0] == "'" and len(written) > 1 else written


def read_files(source: str) -> FileCall:
    """One command of ``dbutils.fs``. Raises UnreadableMagicError."""
    try:
        command, *words = shlex.split(source)
    except ValueError as error:
        raise UnreadableMagicError(f"%fs needs a command: {', '.join(FILE_COMMANDS)}") from error
    if command not in FILE_COMMANDS:
        raise UnreadableMagicError(f"%fs {command} does not work on the embedded workspace")
    recurse = command in _RECURSIVE and bool({"-r", "--recurse"} & set(words))
    arguments = tuple(word for word in words if word not in {"-r", "--recurse"} or not recurse)
    least, most = FILE_COMMANDS[command]
    if not least <= len(arguments) <= most:
        asked = f"{least} to {most}" if most > least else str(least)
        raise UnreadableMagicError(f"%fs {command} takes {asked} arguments, not {len(arguments)}")
    if command == "head" and not all(word.isdecimal() for word in arguments[1:]):
        raise UnreadableMagicError(f"%fs head takes a number of bytes, not {arguments[1]}")
    return FileCall(command, arguments, recurse)


def read_shell(source: str) -> ShellCall:
    """A script for the shell. Raises UnreadableMagicError."""
    body = source.lstrip()
    checked = re.match(r"-e(\s|$)", body) is not None
    script = body[2:].lstrip() if checked else body
    if not script.strip():
        raise UnreadableMagicError("%sh needs a script")
    return ShellCall(script, checked)


def read_pip(source: str) -> tuple[str, ...]:
    """What ``%pip install`` asks for. Raises UnreadableMagicError.

    A cell may hold several such lines, and comments; nothing else.
    """
    asked: list[str] = []
    first, *rest = source.strip().splitlines() or [""]
    for line in (f"%pip {first}", *rest):
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words.pop(0) != "%pip" or not words:
            raise UnreadableMagicError("what is no %pip line belongs into a cell of its own")
        if words[0] != "install":
            raise UnreadableMagicError(f"%pip {words[0]} does not work on the embedded workspace")
        asked += _requirements(words[1:])
    return tuple(asked)


_QUIET = frozenset({"-q", "--quiet", "-U", "--upgrade", "--no-cache-dir"})


def _requirements(words: list[str]) -> list[str]:
    """Raises UnreadableMagicError for options that name something else than packages."""
    options = [word for word in words if word.startswith("-") and word not in _QUIET]
    if options:
        raise UnreadableMagicError(
            f"%pip install {options[0]} does not work on the embedded workspace"
        )
    return [word for word in words if not word.startswith("-")]
