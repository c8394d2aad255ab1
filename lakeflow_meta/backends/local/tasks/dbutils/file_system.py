"""``dbutils.fs``: files of volumes, of the project and of this machine.

Everything can be read that this user can read. Written and removed is only inside volumes, the
project and the temporary directory, never these themselves and nothing else of the workspace's
home. https://docs.databricks.com/dev-tools/databricks-utils#file-system-utility-dbutilsfs
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from lakeflow_meta.backends.local.tasks.dbutils.utility import Utility
from lakeflow_meta.backends.local.tasks.task_attempt import TaskFailedError
from lakeflow_meta.paths import PathMap, is_in_volumes

_VOLUME_DEPTH = 3  # catalog, schema, volume


class FileInfo(NamedTuple):
    """One file or directory. ``size`` in bytes, ``modificationTime`` in ms since 1970, UTC."""

    path: str
    name: str
    size: int
    modificationTime: int  # noqa: N815 - the platform's name

    def isDir(self) -> bool:  # noqa: N802 - the platform's name
        """Whether it is a directory; its name then ends in a slash."""
        return self.name.endswith("/")

    def isFile(self) -> bool:  # noqa: N802 - the platform's name
        """Whether it is a file."""
        return not self.isDir()


class FileSystem(Utility):
    """Files of volumes, of the project and of this machine."""

    TITLE = "dbutils.fs"

    def __init__(self, paths: PathMap) -> None:
        self._paths = paths

    def ls(self, path: str) -> list[FileInfo]:
        """What a directory holds, or one file."""
        place = self._existing(path)
        found = sorted(place.iterdir()) if place.is_dir() else [place]
        return [self._info(each) for each in found]

    def head(self, file: str, maxBytes: int = 65536) -> str:  # noqa: N803 - the platform's name
        """The first bytes of a file as UTF-8 text."""
        place = self._existing(file)
        if place.is_dir():
            raise TaskFailedError(f"{file} is a directory")
        with place.open("rb") as stream:
            start = stream.read(maxBytes + 1)
        if len(start) > maxBytes:
            print(f"[Truncated to first {maxBytes} bytes]")  # noqa: T201 - as on the platform
        return start[:maxBytes].decode("utf-8", errors="replace")

    def put(self, file: str, contents: str, overwrite: bool = False) -> bool:
        """Write a text to a file."""
        place = self._writable(file)
        place.parent.mkdir(parents=True, exist_ok=True)
        data = contents.encode()
        try:
            with _whole(place, overwrite=overwrite) as partial:
                partial.write_bytes(data)
        except FileExistsError as error:
            raise TaskFailedError(f"{file} exists already; overwrite=True replaces it") from error
        except IsADirectoryError as error:
            raise TaskFailedError(f"{file} is a directory") from error
        print(f"Wrote {len(data)} bytes.")  # noqa: T201 - as on the platform
        return True

    def mkdirs(self, path: str) -> bool:
        """Make a directory, and those above it."""
        place = self._writable(path, itself=True)
        try:
            place.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise TaskFailedError(f"{path}: a file is in the way") from error
        return True

    def cp(self, from_: str, to: str, recurse: bool = False) -> bool:
        """Copy a file, or a directory with recurse=True."""
        source, target = self._pair(from_, to, recurse=recurse)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True, copy_function=_copy_whole)
        else:
            _copy_whole(source, target)
        return True

    def mv(self, from_: str, to: str, recurse: bool = False) -> bool:
        """Move a file, or a directory with recurse=True."""
        source, target = self._pair(from_, to, recurse=recurse)
        shutil.move(self._inside(from_, source), target)
        return True

    def rm(self, path: str, recurse: bool = False) -> bool:
        """Remove a file, or a directory with recurse=True; False where nothing was."""
        place = self._writable(path)
        if not place.exists() and not place.is_symlink():
            return False
        if not place.is_dir() or place.is_symlink():
            place.unlink()
        elif recurse:
            shutil.rmtree(place)
        else:
            try:
                place.rmdir()
            except OSError as error:
                raise TaskFailedError(f"{path} is not empty; recurse=True removes it") from error
        return True

    # ----------------------------------------------------------------- places

    def _existing(self, path: str) -> Path:
        place = self._paths.local(path)
        if not place.exists():
            raise TaskFailedError(f"there is no file or directory {path} ({place})")
        return place

    def _pair(self, from_: str, to: str, *, recurse: bool) -> tuple[Path, Path]:
        """Where from and where to; a file goes into a directory that is there."""
        source, target = self._existing(from_), self._writable(to, itself=True)
        if source.is_dir() and not recurse:
            raise TaskFailedError(f"{from_} is a directory; recurse=True takes it whole")
        if target.is_relative_to(source):
            raise TaskFailedError(f"{to} is inside {from_}")
        if target.is_dir() and source.is_file():
            target = self._inside(to, target / source.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        return source, target

    def _writable(self, path: str, *, itself: bool = False) -> Path:
        """``itself``: the place itself may be a volume or the project. Raises TaskFailedError."""
        place = self._paths.local(path)
        if itself and self._is_root(place.resolve()):
            return place.resolve()
        return self._inside(path, place)

    def _inside(self, path: str, place: Path) -> Path:
        """Without links and ``..``, except that a link itself may be removed."""
        real = place.parent.resolve() / place.name
        if ".." in place.parts:
            real = place.resolve()
        if self._is_root(real) or not self._is_inside(real):
            raise TaskFailedError(
                f"{path} is not inside a volume, the project or the temporary directory;"
                " nothing is written or removed there"
            )
        return real

    def _is_root(self, real: Path) -> bool:
        volumes = self._volumes()
        of_volume = volumes is not None and real.is_relative_to(volumes)
        if of_volume and volumes is not None:
            return len(real.relative_to(volumes).parts) == _VOLUME_DEPTH
        return real in {self._paths.project_root.resolve(), Path(tempfile.gettempdir()).resolve()}

    def _is_inside(self, real: Path) -> bool:
        volumes = self._volumes()
        if volumes is not None:
            if real.is_relative_to(volumes):
                return len(real.relative_to(volumes).parts) > _VOLUME_DEPTH
            home = volumes.parent
            if real.is_relative_to(home) or home.is_relative_to(real):
                return False
        project = self._paths.project_root.resolve()
        return any(
            real.is_relative_to(root) and real != root
            for root in (project, Path(tempfile.gettempdir()).resolve())
        )

    def _volumes(self) -> Path | None:
        return None if self._paths.volumes is None else self._paths.volumes.resolve()

    def _info(self, place: Path) -> FileInfo:
        found = place.stat() if place.exists() else place.lstat()
        is_directory = place.is_dir()
        known = self._paths.known_as(str(place))
        scheme = "dbfs:" if is_in_volumes(known) else "file:"
        slash = "/" if is_directory else ""
        size = 0 if is_directory else found.st_size
        return FileInfo(
            f"{scheme}{known}{slash}", f"{place.name}{slash}", size, found.st_mtime_ns // 1_000_000
        )


@contextmanager
def _whole(place: Path, *, overwrite: bool) -> Iterator[Path]:
    """A file to write to that becomes ``place``, whole, at the end: who looks sees no half of it.

    Its name is one that readers leave out. Raises FileExistsError, IsADirectoryError.
    """
    partial = place.with_name(f".{place.name}.{uuid4().hex}.part")
    try:
        yield partial
        if overwrite or not _linked(partial, place):
            partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)


def _linked(partial: Path, place: Path) -> bool:
    """Whether the name could be given to nobody else's file; False: no links on this disk."""
    try:
        os.link(partial, place)
    except FileExistsError:
        raise
    except OSError:
        if place.exists():
            raise FileExistsError(errno.EEXIST, "there is such a file", str(place)) from None
        return False
    return True


def _copy_whole(source: str | Path, target: str | Path) -> None:
    with _whole(Path(target), overwrite=True) as partial:
        shutil.copy2(source, partial)
