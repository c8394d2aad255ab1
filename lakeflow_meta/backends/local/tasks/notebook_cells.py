"""Notebooks as lists of cells: the source form of ``.py`` and ``.sql``, and ``.ipynb``. Pure.

https://docs.databricks.com/notebooks/notebook-export-import (source format)
https://nbformat.readthedocs.io (ipynb)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import PurePath
from typing import Any

from lakeflow_meta.backends.local.tasks.notebook_magics import (
    read_files,
    read_pip,
    read_run,
    read_shell,
)
from lakeflow_meta.paths import NOTEBOOK_ENDINGS


class Language(StrEnum):
    """What a cell is written in; text cells run nothing."""

    PYTHON = "python"
    SQL = "sql"
    TEXT = "md"
    RUN = "run"
    FILES = "fs"
    SHELL = "sh"
    PIP = "pip"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. ``line`` is where its source starts in the file, from 1; 0 in an ipynb.

    Of ``%run``, ``%fs``, ``%sh`` and ``%pip``, ``source`` is what follows the magic.
    """

    language: Language
    source: str
    number: int
    line: int = 0


class UnreadableNotebookError(ValueError):
    """The file is no notebook, or a cell uses what cannot run here; the message says which."""


HEADER = "Databricks notebook source"
_COMMENTS = {".py": "#", ".sql": "--"}
_LANGUAGES = {".py": Language.PYTHON, ".sql": Language.SQL}
_MAGIC = re.compile(r"%{1,2}(\w+)[ \t]*")
_TEXT_MAGICS = frozenset({"md", "md-sandbox"})


def read_cells(name: str, text: str) -> tuple[Cell, ...]:
    """The cells of the file called ``name``. Raises UnreadableNotebookError."""
    suffix = PurePath(name).suffix
    if suffix == ".ipynb":
        return tuple(_ipynb_cells(text))
    if suffix not in _COMMENTS:
        raise UnreadableNotebookError(f"a notebook ends in {', '.join(NOTEBOOK_ENDINGS)}")
    return tuple(_source_cells(text, _COMMENTS[suffix], _LANGUAGES[suffix]))


# --------------------------------------------------------------------------- source form


def _source_cells(text: str, comment: str, language: Language) -> Iterator[Cell]:
    lines = text.splitlines()
    if not lines or lines[0].strip() != f"{comment} {HEADER}":
        yield Cell(language, text, 1, 1)
        return
    divider = f"{comment} COMMAND ----------"
    edges = [0, *(i for i, line in enumerate(lines) if line.strip() == divider), len(lines)]
    for number, (before, after) in enumerate(pairwise(edges), start=1):
        yield _source_cell(lines[before + 1 : after], comment, language, number, before + 2)


def _source_cell(
    lines: list[str], comment: str, language: Language, number: int, line: int
) -> Cell:
    magic, title = f"{comment} MAGIC", f"{comment} DBTITLE"
    written = [text for text in lines if text.strip() and not text.startswith(title)]
    if not any(text.startswith(magic) for text in written):
        return Cell(language, "\n".join(lines), number, line)
    if not all(text.startswith(magic) for text in written):
        raise UnreadableNotebookError(f"cell {number} mixes MAGIC lines with others")
    plain = ["" if text.startswith(title) else _without(magic, text) for text in lines]
    return _by_magic("\n".join(plain), language, number, line)


def _without(magic: str, text: str) -> str:
    return text.removeprefix(magic).removeprefix(" ")


def _by_magic(source: str, language: Language, number: int, line: int) -> Cell:
    """A cell whose first word may name its language. Line breaks stay, so that lines agree."""
    body = source.lstrip()
    magic = _MAGIC.match(body)
    if magic is None:
        return Cell(language, source, number, line)
    name = magic[1]
    if name in _TEXT_MAGICS:
        return Cell(Language.TEXT, body[magic.end() :], number, line)
    if name not in set(Language):
        raise UnreadableNotebookError(
            f"cell {number}: %{name} does not run on the embedded workspace"
        )
    above = source[: len(source) - len(body)]
    cell = Cell(Language(name), above + body[magic.end() :], number, line)
    _check_magic(cell)
    return cell


def _check_magic(cell: Cell) -> None:
    """Raises UnreadableNotebookError where what follows the magic cannot be read."""
    read = _MAGIC_READERS.get(cell.language)
    try:
        if read is not None:
            read(cell.source)
    except ValueError as error:
        raise UnreadableNotebookError(f"cell {cell.number}: {error}") from error


_MAGIC_READERS: Mapping[Language, Callable[[str], object]] = {
    Language.RUN: read_run,
    Language.FILES: read_files,
    Language.SHELL: read_shell,
    Language.PIP: read_pip,
}


# --------------------------------------------------------------------------- ipynb


def _ipynb_cells(text: str) -> Iterator[Cell]:
    try:
        document = json.loads(text)
        cells = list(document["cells"])
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableNotebookError(f"it is no .ipynb: {error!r}") from error
    language = _ipynb_language(document.get("metadata", {}))
    for number, cell in enumerate(cells, start=1):
        source = cell.get("source", "")
        joined = source if isinstance(source, str) else "".join(source)
        if cell.get("cell_type") == "code":
            yield _by_magic(joined, language, number, 0)
        else:
            yield Cell(Language.TEXT, joined, number)


def _ipynb_language(metadata: dict[str, Any]) -> Language:
    databricks = metadata.get("application/vnd.databricks.v1+notebook", {}).get("language")
    jupyter = metadata.get("language_info", {}).get("name")
    name = databricks or jupyter or Language.PYTHON
    if name not in {Language.PYTHON, Language.SQL}:
        raise UnreadableNotebookError(f"its language is {name}; here run Python and SQL")
    return Language(name)
