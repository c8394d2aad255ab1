"""Finds notebooks by the paths that people write, and looks through all that they run."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lakeflow_meta.backends.local.tasks.notebook_cells import (
    HEADER,
    Cell,
    Language,
    UnreadableNotebookError,
    read_cells,
)
from lakeflow_meta.backends.local.tasks.notebook_magics import read_pip, read_run
from lakeflow_meta.backends.local.tasks.task_attempt import TaskFailedError
from lakeflow_meta.errors import ConfigError
from lakeflow_meta.paths import NOTEBOOK_ENDINGS, PathMap

_PACKAGE = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*(?:==\s*([^\s,;]+))?")


@dataclass(frozen=True, slots=True)
class NotebookFile:
    """A notebook that has been read. ``is_notebook``: not a plain Python or SQL file."""

    path: Path
    cells: tuple[Cell, ...]
    is_notebook: bool


@dataclass(frozen=True, slots=True)
class NotebookFiles:
    """The notebooks of one project."""

    paths: PathMap

    def read(self, written: str, beside: Path | None = None) -> NotebookFile:
        """The notebook at a path; a relative one starts at ``beside``, else at the project.

        Raises TaskFailedError: there is none, or it cannot be read.
        """
        path = self._find(written, beside)
        try:
            text = read_text(path)
            is_notebook = path.suffix == ".ipynb" or text[:100].partition("\n")[0].endswith(HEADER)
            return NotebookFile(path, read_cells(path.name, text), is_notebook)
        except UnreadableNotebookError as error:
            raise TaskFailedError(f"notebook {written}: {error}") from error

    def run_by(self, written: str, beside: Path) -> NotebookFile:
        """A notebook that ``%run`` names. Raises TaskFailedError, also for a plain file.

        https://docs.databricks.com/notebooks/notebook-workflows: %run takes no Python file.
        """
        found = self.read(written, beside)
        if not found.is_notebook:
            raise TaskFailedError(
                f"%run {written}: {found.path.name} is a plain file and no notebook; import it"
            )
        return found

    def problems(self, written: str) -> Iterator[str]:
        """What would stop a notebook, and those that it runs by ``%run``, from starting."""
        try:
            file = self.read(written)
        except (TaskFailedError, ConfigError) as error:
            yield str(error)
            return
        yield from self._problems(file, (file.path,))

    def _problems(self, file: NotebookFile, above: tuple[Path, ...]) -> Iterator[str]:
        for cell in file.cells:
            place = f"{file.path.name}, cell {cell.number}"
            match cell.language:
                case Language.PIP:
                    for requirement in read_pip(cell.source):
                        yield from missing_package(requirement, place)
                case Language.RUN:
                    yield from self._problems_of_run(cell, place, above)
                case _:
                    pass

    def _problems_of_run(self, cell: Cell, place: str, above: tuple[Path, ...]) -> Iterator[str]:
        try:
            called = self.run_by(read_run(cell.source).path, above[-1].parent)
            refuse_cycle(called.path, above)
        except (TaskFailedError, ConfigError) as error:
            yield f"{place}: {error}"
            return
        yield from self._problems(called, (*above, called.path))

    def _find(self, written: str, beside: Path | None) -> Path:
        relative = beside is not None and not PurePosixPath(written).is_absolute()
        local = self.paths.local(str(beside / written) if relative and beside else written)
        candidates = [local, *(local.with_name(local.name + suffix) for suffix in NOTEBOOK_ENDINGS)]
        found = next((candidate for candidate in candidates if candidate.is_file()), None)
        if found is None:
            raise TaskFailedError(f"there is no file {written} ({local})")
        return found.resolve()


def refuse_cycle(path: Path, above: tuple[Path, ...]) -> None:
    """Raise TaskFailedError where a notebook is run while it runs itself."""
    if path in above:
        chain = " > ".join(each.name for each in (*above[above.index(path) :], path))
        raise TaskFailedError(f"%run goes round in a circle: {chain}")


def read_text(path: Path) -> str:
    """A file of the user's. Raises TaskFailedError: it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TaskFailedError(f"{path} is not UTF-8: {error}") from error


def installed(requirement: str) -> str:
    """``name version`` of what satisfies a requirement's name, empty where nothing does."""
    found = _PACKAGE.match(requirement)
    if found is None:
        return ""
    try:
        return f"{found[1]} {importlib.metadata.version(found[1])}"
    except importlib.metadata.PackageNotFoundError:
        module = found[1].replace("-", "_").split(".")[0]
        return found[1] if importlib.util.find_spec(module) is not None else ""


def missing_package(requirement: str, place: str = "") -> Iterator[str]:
    """What is wrong with a package that is asked for: it is not there, or of another version."""
    prefix = f"{place}: " if place else ""
    there = installed(requirement)
    if not there:
        yield f"{prefix}package {requirement} is not installed in {sys.executable}"
        return
    found = _PACKAGE.match(requirement)
    version = there.partition(" ")[2]
    pinned = found[2] if found else None
    if pinned and version and pinned.rstrip("*.") not in {version, version[: len(pinned) - 2]}:
        yield f"{prefix}package {requirement} is asked for, and {version} is installed"
