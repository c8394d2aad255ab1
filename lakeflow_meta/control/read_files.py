"""Reads metadata files and DDL script files, wherever they lie: the file system or a volume.

One walk and one rule of what counts (`watched_files`) for a load and for the monitor. Reads only.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lakeflow_meta.control.declared_scripts import SCRIPT_FOLDER
from lakeflow_meta.control.watched_files import (
    NOT_TEXT,
    has_yaml_suffix,
    is_script,
    is_yaml,
    text_of,
)
from lakeflow_meta.errors import BackendError, NotFoundError, Problem, SpecError
from lakeflow_meta.ports import MetadataFolder, PathKind, WatchedFolder
from lakeflow_meta.progress import Event, Progress, StepState, silent

OpenFolder = Callable[[str], MetadataFolder]
"""The folder at a path as people wrote it. Raises ConfigError."""

Outcome = bytes | BackendError
"""A file's content, or why it cannot be read."""

_NOT_HERE = "go to the folder of the project first, or start one with `lakeflow-meta init`"
_QUIET_SECONDS, _BETWEEN_EVENTS_SECONDS = 1.0, 0.5


@dataclass(slots=True)
class MetadataTexts:
    """Texts as they were read: YAML by file name, scripts by ``target/release/file``."""

    yaml: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)


def read_metadata(
    paths: Sequence[Path], open_folder: OpenFolder, *, progress: Progress = silent
) -> MetadataTexts:
    """Read YAML files, or all of a folder, and the ``ddl_scripts`` folder beside them.

    Hidden files and folders are left out. Names are the paths as given, with what lies below.
    Raises SpecError that names every path that is missing, is not YAML, cannot be read, or is not
    UTF-8; BackendError where the platform does not answer, and ConfigError of ``open_folder``.
    """
    reading = _Reading(open_folder, progress)
    for path in paths:
        reading.read(path)
    if reading.problems:
        raise SpecError(reading.problems)
    return reading.texts


def read_each(
    folder: WatchedFolder, names: Sequence[str], at_once: int, *, progress: Progress = silent
) -> Iterator[tuple[str, Outcome]]:
    """Read files, up to ``at_once`` at a time; names come back in their order."""
    pace = _Pace(progress, len(names))
    for number, (name, outcome) in enumerate(_outcomes(folder, names, at_once), start=1):
        pace.step(number)
        yield name, outcome
    pace.end()


def _outcomes(
    folder: WatchedFolder, names: Iterable[str], at_once: int
) -> Iterator[tuple[str, Outcome]]:
    if at_once == 1:
        for name in names:
            yield name, _outcome(folder, name)
        return
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="read-metadata")
    ahead: deque[tuple[str, Future[Outcome]]] = deque()
    try:
        for name in names:
            ahead.append((name, pool.submit(_outcome, folder, name)))
            if len(ahead) == 2 * at_once:
                first, future = ahead.popleft()
                yield first, future.result()
        for first, future in ahead:
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _outcome(folder: WatchedFolder, name: str) -> Outcome:
    try:
        return folder.read_file(name)
    except BackendError as error:
        return error


class _Pace:
    """Tells of a long read, not of every file; a short one is silent."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._told = False
        self._next = time.monotonic() + _QUIET_SECONDS

    def step(self, done: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _BETWEEN_EVENTS_SECONDS
            self._told = True
            self._tell(StepState.RUNNING, done)

    def end(self) -> None:
        if self._told:
            self._tell(StepState.DONE, self._total)

    def _tell(self, state: StepState, done: int) -> None:
        self._progress(Event("read", "metadata files", state, done, self._total, unit="files"))


class _Reading:
    """One call of `read_metadata`: what was found so far, and what is wrong."""

    def __init__(self, open_folder: OpenFolder, progress: Progress) -> None:
        self.texts = MetadataTexts()
        self.problems: list[Problem] = []
        self._open = open_folder
        self._progress = progress
        self._with_scripts: set[Path] = set()

    def read(self, path: Path) -> None:
        """One path that people named."""
        folder = self._open(str(path))
        try:
            match folder.kind():
                case PathKind.FOLDER:
                    self._read_folder(path, folder)
                case PathKind.FILE if has_yaml_suffix(path.name):
                    self._read_file(path)
                case PathKind.FILE:
                    self._wrong(path, "this is not a .yml or .yaml file")
                case PathKind.MISSING:
                    self._wrong(path, "there is no such file or folder", _NOT_HERE)
        except BackendError as error:
            if error.transient:
                raise
            self._wrong(path, f"this cannot be read: {error}")

    def _read_folder(self, path: Path, folder: MetadataFolder) -> None:
        names = sorted((file.name for file in folder.list_files()), key=lambda n: n.split("/"))
        yaml = [name for name in names if is_yaml(name)]
        if not yaml:
            hint = "name a file, or put a metadata file in it"
            self._wrong(path, "the folder holds no .yml or .yaml file", hint)
        scripts = [name for name in names if is_script(name)]
        if path in self._with_scripts:
            scripts = []
        self._with_scripts.add(path)
        self._take(path, folder, yaml + scripts)

    def _read_file(self, path: Path) -> None:
        self._take(path.parent, self._open(str(path.parent)), [path.name])
        if path.parent in self._with_scripts:
            return
        self._with_scripts.add(path.parent)
        scripts = self._open(str(path.parent / SCRIPT_FOLDER))
        try:
            names = [file.name for file in scripts.list_files()]
        except NotFoundError:
            return
        self._take(path.parent / SCRIPT_FOLDER, scripts, names, prefix=f"{SCRIPT_FOLDER}/")

    def _take(
        self, path: Path, folder: MetadataFolder, names: Sequence[str], prefix: str = ""
    ) -> None:
        """Read files below ``path``; ``prefix`` leads from where its metadata is to there."""
        above = str(path / "x")[:-1]
        for name, outcome in read_each(folder, names, folder.at_once, progress=self._progress):
            if isinstance(outcome, bytes):
                self._keep(above + name, prefix + name, outcome)
            elif outcome.transient:
                raise outcome
            else:
                self._wrong(above + name, f"the file cannot be read: {outcome}")

    def _keep(self, file: str, name: str, data: bytes) -> None:
        try:
            text = text_of(data)
        except UnicodeDecodeError:
            self._wrong(file, NOT_TEXT)
            return
        if not is_script(name):
            self.texts.yaml[file] = text
            return
        script = name.removeprefix(f"{SCRIPT_FOLDER}/")
        if self.texts.scripts.setdefault(script, text) != text:
            self._wrong(file, "another folder holds a script of this name with another text")

    def _wrong(self, path: Path | str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(str(path), 0, 0, "", message, hint))
