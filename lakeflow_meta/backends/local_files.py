"""Files of this machine, and of volumes that are mounted or mapped into it."""

from __future__ import annotations

import glob
import hashlib
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from io import FileIO
from pathlib import Path

from lakeflow_meta.backends.delta_versions import newest_version, same_version, version_hash
from lakeflow_meta.backends.file_moves import archive_file
from lakeflow_meta.backends.folder_walk import FolderWalk
from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.ingest.files import Digests, FoundFile, HashedFile, is_hidden, table_version
from lakeflow_meta.ingest.formats import FileFormat
from lakeflow_meta.ingest.listing import FileListing, found_file
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.paths import PathMap

logger = logging.getLogger(__name__)

_SMALL_BYTES = 2**16


class LocalFiles:
    """A `ports.FileLister` over paths that this process can open."""

    def __init__(self, paths: PathMap) -> None:
        self._paths = paths

    def known_as(self, path: str) -> str:
        """The one name of a path. Raises ConfigError as `PathMap.known_as` does."""
        return self._paths.known_as(path)

    def is_folder(self, path: str) -> bool:
        """Whether a path is a folder. Raises ConfigError as `PathMap.known_as` does."""
        return self._paths.local(path).is_dir()

    def list_files(self, source: FileSource) -> FileListing:
        """Every file that the source names, hidden ones left out as Spark leaves them out.

        A path that exists is itself, whatever characters it has; else it is taken as a glob.
        Raises ConfigError (see `PathMap.known_as`), NotFoundError (no such file or directory),
        BackendError (may not be read, be it one folder of many).
        """
        path = self.known_as(source.source_config.path)
        if source.file_format is FileFormat.DELTA:
            return FileListing.of([newest_version(Path(self._paths.physical(path)), path)])
        walk = FolderWalk(self._paths, source.source_config, self._archive(source))
        try:
            self._find(path, source, walk)
        except OSError as error:
            raise BackendError(
                f"{source.name}: {error.filename or path} cannot be listed: {error.strerror}",
                code=type(error).__name__,
            ) from error
        return walk.found.listing()

    def _find(self, path: str, source: FileSource, walk: FolderWalk) -> None:
        physical = self._paths.physical(path)
        if Path(physical).is_dir():
            walk.folder(path)
        elif Path(physical).exists():
            if is_hidden(_name(path)):
                raise BackendError(
                    f"{source.name}: Spark reads {path} as empty because of its name; rename it",
                    code="HIDDEN_FILE",
                )
            walk.file(path, Path(physical).stat())
        elif glob.has_magic(path):
            fixed = _fixed_part(path)
            if not Path(self._paths.physical(fixed)).exists():
                raise _missing(source, fixed)
            walk.matches(fixed, path[len(fixed) :].strip("/").split("/"))
        else:
            raise _missing(source, path)

    def _archive(self, source: FileSource) -> str | None:
        written = source.source_config.archive_path
        return None if written is None else self.known_as(written)

    # --- after success

    def put_away(self, source: FileSource, files: Sequence[HashedFile]) -> Mapping[str, str]:
        """Archive or delete files; why the others stay where they are, by path."""
        failures = {}
        archive = self._archive(source)
        below = self._root(source)
        for item in files:
            try:
                self._put_away(item, archive, below)
            except FileNotFoundError:
                continue  # somebody moved it; or it was this file under another name
            except OSError as error:
                action = "deleted" if archive is None else f"moved to {archive}"
                failures[item.path] = f"it cannot be {action}: {error.strerror or error}"
        return failures

    def _put_away(self, item: HashedFile, archive: str | None, below: str) -> None:
        """Raises OSError. A file that changed meanwhile has something new to tell: it stays."""
        file = Path(self._paths.physical(item.path))
        if _found_file(item.path, file.stat()) != item.file:
            logger.info("%s changed after it was ingested; it stays", item.path)
        elif archive is None:
            file.unlink()
        else:
            inside = item.path.removeprefix(below).lstrip("/")
            place = Path(self._paths.physical(archive)) / inside
            logger.debug("%s is now %s", file, archive_file(file, item.file_hash, place))

    def _root(self, source: FileSource) -> str:
        """The folder that the files of a source are below."""
        path = self.known_as(source.source_config.path)
        physical = Path(self._paths.physical(path))
        if physical.is_dir():
            return path
        return _fixed_part(path) if glob.has_magic(path) else path.rpartition("/")[0]

    # --- files

    def stat(self, paths: Iterable[str]) -> Mapping[str, FoundFile]:
        """Files as they are now; those that are gone are left out."""
        found = {}
        for path in paths:
            try:
                place = self._paths.physical(path)
                found[path] = _found_file(path, os.stat(place))  # noqa: PTH116 - twice as fast
            except (FileNotFoundError, NotADirectoryError):
                if (version := self._version(path)) is not None:
                    found[path] = version
            except OSError as error:
                raise BackendError(
                    f"{path}: {error.strerror}", code=type(error).__name__
                ) from error
        return found

    def _version(self, path: str) -> FoundFile | None:
        """The version of a Delta table that a path names."""
        split = table_version(path)
        return None if split is None else same_version(Path(self._paths.physical(split[0])), path)

    def digest(self, files: Sequence[FoundFile]) -> Digests:
        """SHA-256 of each file's bytes, in constant memory.

        A file whose size or time is no longer the listed one is still being written: left out.
        """
        hashed: list[HashedFile] = []
        unreadable: dict[FoundFile, str] = {}
        for file in files:
            try:
                digest = self._digest(file)
            except (FileNotFoundError, NotADirectoryError, NotFoundError):
                continue
            except OSError as error:
                unreadable[file] = f"it cannot be read: {error.strerror}"
                continue
            if digest is not None:
                hashed.append(HashedFile(file, digest))
        return Digests(tuple(hashed), unreadable)

    def _digest(self, file: FoundFile) -> str | None:
        split = table_version(file.path)
        if split is not None and Path(self._paths.physical(split[0]), "_delta_log").is_dir():
            return version_hash(Path(self._paths.physical(split[0])), file.path)
        place = self._paths.physical(file.path)
        with open(place, "rb", buffering=0) as stream:  # noqa: PTH123 - for thousands of files
            digest = _sha256(stream, file.size_bytes)
            now = _found_file(file.path, os.fstat(stream.fileno()))
        return digest if now == file else None


def _found_file(path: str, stat: os.stat_result) -> FoundFile:
    return found_file(path, stat.st_size, stat.st_mtime_ns // 1000)


def _sha256(stream: FileIO, size_bytes: int) -> str:
    """In constant memory. For a small file that takes longer to set up than to do."""
    if size_bytes <= _SMALL_BYTES:
        data = stream.read(size_bytes + 1)
        if len(data) == size_bytes:
            return hashlib.sha256(data).hexdigest()
        stream.seek(0)
    return hashlib.file_digest(stream, "sha256").hexdigest()


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _fixed_part(pattern: str) -> str:
    """The directory in front of the first part that holds a wildcard."""
    parts = pattern.split("/")
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return "/".join(parts[:first]) or "/"


def _missing(source: FileSource, path: str) -> NotFoundError:
    return NotFoundError(f"{source.name}: there is no {path}", code="PATH_NOT_FOUND")
