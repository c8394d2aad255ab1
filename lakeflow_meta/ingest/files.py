"""Files as they were found. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


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


def version_path(table: str, version: int) -> str:
    """What the ledger knows a version of a Delta table by; Spark reads it by this name, too."""
    return f"{table}@v{version}"


def table_version(path: str) -> tuple[str, int] | None:
    """The table and the version that `version_path` put together; None for any other path."""
    table, _, version = path.rpartition("@v")
    return (table, int(version)) if table and version.isdecimal() else None


def is_hidden(name: str) -> bool:
    """Whether Spark reads a file or directory of this name as empty.

    Spark ignores ``_x`` (but not ``_x=1``, a partition), ``.x`` and ``x._COPYING_``, without a
    word even when it is named explicitly (``HadoopFSUtils.shouldFilterOutPathName``).
    """
    underscore = name.startswith("_") and "=" not in name
    return underscore or name.startswith(".") or name.endswith("._COPYING_")
