"""Folders of extracts on this machine, and on volumes that are mounted or mapped into it.

A run writes into ``<folder>/.extracts/<owner>/<run id>``: on the same file system, so that a rename
publishes a file whole; and hidden, so that readers of the folder do not see it.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lakeflow_meta.errors import BackendError, ConfigError
from lakeflow_meta.extract.publication import WrittenFile
from lakeflow_meta.paths import PathMap
from lakeflow_meta.ports import Staging

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeflow_meta.extract.file_plan import FilePlan

_STAGING = ".extracts"
_NOTE = "decided.json"
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF})


class LocalExtractFolders:
    """`ports.ExtractFolders` over paths that this process can open.

    ``has_project``: whether a relative path leads anywhere.
    """

    def __init__(self, paths: PathMap, *, has_project: bool = True) -> None:
        self._paths = paths
        self._has_project = has_project

    def staged(self, folder: str, owner: str) -> list[Staging]:
        """What runs of this owner left behind."""
        place = self._folder(folder) / _STAGING / owner
        with _refusals(place):
            found = sorted(entry.name for entry in place.iterdir()) if place.is_dir() else []
        return [Staging(folder, owner, run_id) for run_id in found]

    def write(
        self,
        staging: Staging,
        plan: FilePlan,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
    ) -> list[WrittenFile]:
        """Write all rows to staged files."""
        from lakeflow_meta.backends.extracts.writing import write_files

        place = self._place(staging)
        with _refusals(place):
            place.mkdir(parents=True, exist_ok=True)
        return write_files(place, plan, schema, batches)

    def put(self, staging: Staging, name: str, text: str) -> None:
        """Write a small staged file."""
        self._write(self._place(staging) / name, text)

    def decide(self, staging: Staging, note: str) -> None:
        """Keep the note: a rename makes it stand or not."""
        place = self._place(staging)
        partial = place / f"{_NOTE}.partial"
        self._write(partial, note)
        with _refusals(place):
            _sync_folder(place)
            partial.rename(place / _NOTE)
            _sync_folder(place)

    def note(self, staging: Staging) -> str | None:
        """The note, None where the run was not decided."""
        path = self._place(staging) / _NOTE
        with _refusals(path):
            try:
                return path.read_text(encoding="utf-8")
            except (FileNotFoundError, NotADirectoryError):
                return None

    def names(self, folder: str) -> list[str]:
        """Files right in the folder."""
        place = self._folder(folder)
        with _refusals(place):
            if not place.is_dir():
                return []
            return sorted(entry.name for entry in place.iterdir() if not entry.is_dir())

    def remove(self, folder: str, name: str) -> None:
        """Delete a file; one that is gone is done."""
        path = self._folder(folder) / name
        with _refusals(path):
            path.unlink(missing_ok=True)

    def publish(self, staging: Staging, staged: str, name: str) -> None:
        """Give a staged file its name."""
        source = self._place(staging) / staged
        path = self._folder(staging.folder) / name
        with _refusals(path):
            try:
                source.replace(path)
            except FileNotFoundError:
                return
            _sync_folder(path.parent)

    def discard(self, staging: Staging) -> None:
        """Delete the staging folder: its note first, so that half a folder decides nothing."""
        place = self._place(staging)
        with _refusals(place):
            (place / _NOTE).unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                shutil.rmtree(place)
        for parent in (place.parent, place.parent.parent):
            with suppress(OSError):  # another run, or another extract, has its own there
                parent.rmdir()

    def _folder(self, folder: str) -> Path:
        if not self._has_project and not folder.startswith("/"):
            hint = "write /Volumes/<catalog>/<schema>/<volume>/…"
            raise ConfigError(f"there is no project here that {folder} could be in; {hint}")
        return self._paths.local(folder)

    def _place(self, staging: Staging) -> Path:
        return self._folder(staging.folder) / _STAGING / staging.owner / staging.run_id

    def _write(self, path: Path, text: str) -> None:
        with _refusals(path), path.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise BackendError(f"{where}: {error.strerror}", code=type(error).__name__) from error


def _sync_folder(path: Path) -> None:
    """Names survive a power cut. Mounted storage may not know of it; there they do anyway."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)
