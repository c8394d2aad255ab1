"""Files as they were found, and where `/Volumes/…` lies. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath

VOLUMES = "/Volumes"


@dataclass(frozen=True, slots=True, order=True)
class FoundFile:
    """One file of a listing. ``path`` is what the ledger knows it by: absolute, or a volume path.

    ``modified_at`` is exact to the microsecond, which is what a Delta timestamp holds.
    """

    path: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A file and the SHA-256 (hex) of its bytes."""

    file: FoundFile
    file_hash: str

    @property
    def path(self) -> str:
        """What the ledger knows the file by."""
        return self.file.path


@dataclass(frozen=True, slots=True)
class Digests:
    """What hashing came to. A file that changed or went meanwhile is in neither."""

    hashed: tuple[HashedFile, ...]
    unreadable: dict[FoundFile, str]
    """Files that exist but could not be read, with the reason."""


@dataclass(frozen=True, slots=True)
class PathMap:
    """Between the paths that people write and the paths that can be opened.

    ``root``: what relative paths start from. ``volumes``: the directory that ``/Volumes`` stands
    for; None where ``/Volumes`` is a real directory (on Databricks).
    """

    root: str
    volumes: str | None = None

    def known_as(self, written: str) -> str:
        """The one name of a path: absolute, volume paths kept."""
        text = written if written.startswith("/") else str(PurePath(self.root) / written)
        return str(PurePath(text)) if text != "/" else text

    def physical(self, path: str) -> str:
        """Where the file with this name lies."""
        if self.volumes is not None and _inside(path, VOLUMES):
            return self.volumes + path[len(VOLUMES) :]
        return path


def _inside(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory + "/")


def is_hidden(name: str) -> bool:
    """Whether Spark reads a file or directory of this name as empty.

    Spark ignores ``_x`` (but not ``_x=1``, a partition), ``.x`` and ``x._COPYING_``, without a
    word even when it is named explicitly (``HadoopFSUtils.shouldFilterOutPathName``).
    """
    underscore = name.startswith("_") and "=" not in name
    return underscore or name.startswith(".") or name.endswith("._COPYING_")
