"""Files of this machine, and of volumes that are mounted or mapped into it."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.ingest.files import Digests, FoundFile, HashedFile, is_hidden
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.paths import PathMap

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LocalFiles:
    """A `ports.FileLister` over paths that this process can open."""

    def __init__(self, paths: PathMap) -> None:
        self._paths = paths

    def list_files(self, source: FileSource) -> list[FoundFile]:
        """Every file that the source names, hidden ones left out as Spark leaves them out.

        A path that exists is itself, whatever characters it has; else it is taken as a glob.
        Raises ConfigError (see `PathMap.known_as`), NotFoundError (no such file or directory),
        BackendError (may not be read).
        """
        path = self._paths.known_as(source.source_config.path)
        try:
            found = self._found(path, source)
        except OSError as error:
            raise BackendError(
                f"{source.name}: {error.filename or path} cannot be listed: {error.strerror}",
                code=type(error).__name__,
            ) from error
        pattern = source.source_config.glob
        return [f for f in found if pattern is None or fnmatchcase(_name(f.path), pattern)]

    def _found(self, path: str, source: FileSource) -> list[FoundFile]:
        physical = self._paths.physical(path)
        recursive = source.source_config.recursive
        if Path(physical).is_dir():
            return list(self._walk(path, recursive, set()))
        if Path(physical).exists():
            if is_hidden(_name(path)):
                raise BackendError(
                    f"{source.name}: Spark reads {path} as empty because of its name; rename it",
                    code="HIDDEN_FILE",
                )
            return [_found_file(path, Path(physical).stat())]
        if glob.has_magic(path):
            return list(self._matches(path, source))
        raise _missing(source, path)

    def _walk(
        self, directory: str, recursive: bool, visited: set[tuple[int, int]]
    ) -> Iterator[FoundFile]:
        """Files below a directory; a directory that links back to itself is walked once."""
        with os.scandir(self._paths.physical(directory)) as entries:
            for entry in entries:
                if is_hidden(entry.name):
                    continue
                path = f"{directory.rstrip('/')}/{entry.name}"
                if entry.is_file():
                    yield _found_file(path, entry.stat())
                elif recursive and entry.is_dir():
                    identity = _identity(entry.stat())
                    if identity not in visited:
                        yield from self._walk(path, recursive, visited | {identity})

    def _matches(self, pattern: str, source: FileSource) -> Iterator[FoundFile]:
        fixed = _fixed_part(pattern)
        physical = self._paths.physical(fixed)
        if not Path(physical).exists():
            raise _missing(source, fixed)
        rest = pattern[len(fixed) :].lstrip("/")
        for found in sorted(Path(physical).glob(rest)):
            match = found.relative_to(physical).as_posix()
            if any(is_hidden(part) for part in match.split("/")):
                continue
            path = f"{fixed.rstrip('/')}/{match}"
            if Path(self._paths.physical(path)).is_dir():
                yield from self._walk(path, source.source_config.recursive, set())
            else:
                yield _found_file(path, Path(self._paths.physical(path)).stat())

    def stat(self, paths: Iterable[str]) -> Mapping[str, FoundFile]:
        """Files as they are now; those that are gone are left out."""
        found = {}
        for path in paths:
            try:
                found[path] = _found_file(path, Path(self._paths.physical(path)).stat())
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise BackendError(
                    f"{path}: {error.strerror}", code=type(error).__name__
                ) from error
        return found

    def digest(self, files: Sequence[FoundFile]) -> Digests:
        """SHA-256 of each file's bytes, in constant memory.

        A file whose size or time is no longer the listed one is still being written: left out.
        """
        hashed: list[HashedFile] = []
        unreadable: dict[FoundFile, str] = {}
        for file in files:
            try:
                digest = self._digest(file)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                unreadable[file] = f"it cannot be read: {error.strerror}"
                continue
            if digest is not None:
                hashed.append(HashedFile(file, digest))
        return Digests(tuple(hashed), unreadable)

    def _digest(self, file: FoundFile) -> str | None:
        with Path(self._paths.physical(file.path)).open("rb", buffering=0) as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            now = _found_file(file.path, os.fstat(stream.fileno()))
        return digest if now == file else None


def _found_file(path: str, stat: os.stat_result) -> FoundFile:
    modified_at = _EPOCH + timedelta(microseconds=stat.st_mtime_ns // 1000)
    return FoundFile(path, stat.st_size, modified_at)


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return (stat.st_dev, stat.st_ino)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _fixed_part(pattern: str) -> str:
    """The directory in front of the first part that holds a wildcard."""
    parts = pattern.split("/")
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return "/".join(parts[:first]) or "/"


def _missing(source: FileSource, path: str) -> NotFoundError:
    return NotFoundError(f"{source.name}: there is no {path}", code="PATH_NOT_FOUND")
