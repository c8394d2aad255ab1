"""A folder of metadata files on this machine's file system, FUSE mounts of volumes included."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from lakeflow_meta.control.declared_scripts import SCRIPT_FOLDER
from lakeflow_meta.control.watched_files import WatchedFile, check_size
from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.ports import PathKind

WALKS = 3
"""How often a folder is walked when folders below it go while it is."""

_LASTING = (PermissionError, FileNotFoundError, NotADirectoryError, IsADirectoryError)


class LocalFolder:
    """A `ports.MetadataFolder`. Content is read at each look: times of local files can be set.

    Links to folders are not followed, but for the folder itself and ``ddl_scripts`` in it.
    """

    def __init__(self, path: Path, *, at_once: int = 1) -> None:
        self.at_once = at_once
        self._path = path

    def kind(self) -> PathKind:
        """See `MetadataFolder.kind`."""
        try:
            mode = self._path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return PathKind.MISSING
        except (OSError, ValueError) as error:
            raise _refused(error) from error
        return PathKind.FOLDER if stat.S_ISDIR(mode) else PathKind.FILE

    def list_files(self) -> list[WatchedFile]:
        """Every file below the folder, without hidden ones, as it is now.

        Whole or an error: where a folder below goes meanwhile, all are listed anew. Raises
        NotFoundError, BackendError.
        """
        for _ in range(WALKS):
            if not self._path.is_dir():
                raise NotFoundError(f"there is no folder {self._path}", code="FileNotFoundError")
            try:
                return sorted(_walk(str(self._path), ""), key=lambda file: file.name)
            except FileNotFoundError:
                continue
            except OSError as error:
                message = f"{error.filename}: {error.strerror}"
                raise _refused(error, message) from error
        raise BackendError(
            f"folders below {self._path} come and go", code="FOLDER_CHANGES", transient=True
        )

    def read_file(self, name: str) -> bytes:
        """The bytes of one file. Raises NotFoundError, BackendError."""
        try:
            with FileIO(f"{self._path}/{name}") as file:
                check_size(os.fstat(file.fileno()).st_size)
                return file.readall()
        except (OSError, ValueError) as error:
            raise _refused(error) from error


def _walk(folder: str, above: str) -> Iterator[WatchedFile]:
    """Files below, with ``above`` before their names. Raises OSError."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=not above and name == SCRIPT_FOLDER):
                yield from _walk(entry.path, f"{above}{name}/")
            elif found := _file(entry, above + name):
                yield found


def _file(entry: os.DirEntry[str], name: str) -> WatchedFile | None:
    """The file; None where it went since the folder was read, or is none (a pipe, a link to
    nothing or to a folder).
    """
    try:
        status = entry.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return WatchedFile(name, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _refused(error: OSError | ValueError, message: str = "") -> BackendError:
    """Also of names that no file can have (ValueError)."""
    text = message or (isinstance(error, OSError) and error.strerror) or str(error)
    kind = NotFoundError if isinstance(error, FileNotFoundError) else BackendError
    passing = isinstance(error, OSError) and not isinstance(error, _LASTING)
    return kind(text, code=type(error).__name__, transient=passing)
