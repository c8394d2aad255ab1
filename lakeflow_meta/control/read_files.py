"""Finds and reads metadata files and DDL script files. Acts on the file system, reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lakeflow_meta.control.declared import SCRIPT_FOLDER
from lakeflow_meta.errors import Problem, SpecError

_YAML = {".yml", ".yaml"}


@dataclass(slots=True)
class MetadataTexts:
    """Texts as they were read: YAML by file name, scripts by ``target/release/file``."""

    yaml: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)


def read_metadata(paths: Sequence[Path]) -> MetadataTexts:
    """Read YAML files, or all of a folder, and the ``ddl_scripts`` folder beside them.

    Hidden files and folders are left out. Raises SpecError that names every path that is missing,
    is not YAML, cannot be read, or is not UTF-8.
    """
    texts = MetadataTexts()
    problems: list[Problem] = []
    folders = []
    for path in paths:
        found, folder, problem = _yaml_files(path)
        folders.append(folder)
        if problem:
            problems.append(problem)
        for file in found:
            _read(file, str(file), texts.yaml, problems)
    for folder in dict.fromkeys(folders):
        for file in _script_files(folder / SCRIPT_FOLDER):
            name = file.relative_to(folder / SCRIPT_FOLDER).as_posix()
            _read(file, name, texts.scripts, problems)
    if problems:
        raise SpecError(problems)
    return texts


def _yaml_files(path: Path) -> tuple[list[Path], Path, Problem | None]:
    if path.is_dir():
        files = [f for f in _files(path) if f.suffix.lower() in _YAML and _is_metadata(f, path)]
        hint = "name a file, or put a metadata file in it"
        problem = None if files else _problem(path, "the folder holds no .yml or .yaml file", hint)
        return files, path, problem
    if not path.exists():
        return [], path.parent, _problem(path, "there is no such file or folder")
    if path.suffix.lower() not in _YAML:
        return [], path.parent, _problem(path, "this is not a .yml or .yaml file")
    return [path], path.parent, None


def _is_metadata(file: Path, folder: Path) -> bool:
    """Settings (``conf/``) and scripts live beside metadata and are not metadata."""
    return file.relative_to(folder).parts[0] not in {"conf", SCRIPT_FOLDER}


def _script_files(folder: Path) -> Iterable[Path]:
    return _files(folder) if folder.is_dir() else ()


def _files(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def _read(file: Path, name: str, into: dict[str, str], problems: list[Problem]) -> None:
    try:
        into[name] = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        problems.append(_problem(file, "the file is not UTF-8 text"))
    except OSError as error:
        problems.append(_problem(file, f"the file cannot be read: {error.strerror}"))


def _problem(path: Path, message: str, hint: str = "") -> Problem:
    return Problem(str(path), 0, 0, "", message, hint)
