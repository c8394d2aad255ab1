"""A folder of metadata files on this machine's file system, FUSE mounts of volumes included."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from lakeflow_meta.control.watched_files import WatchedFile
from lakeflow_meta.errors import BackendError, NotFoundError


class LocalFolder:
    """A `ports.WatchedFolder`. Content is read at each look: times of local files can be set."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def list_files(self) -> list[WatchedFile]:
        """Every file below the folder, without hidden ones. Raises NotFoundError, BackendError."""
        if not self._path.is_dir():
            raise NotFoundError(f"there is no folder {self._path}", code="FileNotFoundError")
        return sorted(self._walk(), key=lambda file: file.name)

    def read_file(self, name: str) -> bytes:
        """The bytes of one file. Raises NotFoundError, BackendError."""
        try:
            return (self._path / name).read_bytes()
        except OSError as error:
            raise _refused(error) from error

    def _walk(self) -> Iterator[WatchedFile]:
        for folder, folders, names in os.walk(self._path, onerror=_fail):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                found = None if name.startswith(".") else self._stat(Path(folder, name))
                if found:
                    yield found

    def _stat(self, path: Path) -> WatchedFile | None:
        """The file; None where it went since the folder was read."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _refused(error) from error
        name = path.relative_to(self._path).as_posix()
        return WatchedFile(name, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _fail(error: OSError) -> None:
    """A folder below that cannot be listed must not look empty."""
    raise _refused(error)


def _refused(error: OSError) -> BackendError:
    kind = NotFoundError if isinstance(error, FileNotFoundError) else BackendError
    return kind(f"{error.filename}: {error.strerror}", code=type(error).__name__, transient=True)
