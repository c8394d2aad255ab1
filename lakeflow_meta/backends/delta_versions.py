"""Delta tables as sources: a version of the whole table is what is ingested, under ``path@v12``.

A version never changes, so what it is is told by the table's id and its number, and no byte of it
is read to know it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from lakeflow_meta.errors import BackendError, NotFoundError
from lakeflow_meta.ingest.files import FoundFile, table_version, version_path


def newest_version(folder: Path, known: str) -> FoundFile:
    """The table's newest version; ``known`` is what the ledger calls the folder.

    Raises NotFoundError, BackendError.
    """
    handle = _open(folder, known, None)
    return _found(folder, handle, version_path(known, handle.version()))


def same_version(folder: Path, known: str) -> FoundFile | None:
    """The version that ``known`` names, None where it is not there (any more)."""
    split = table_version(known)
    if split is None:
        return None
    try:
        return _found(folder, _open(folder, known, split[1]), known)
    except NotFoundError:
        return None


def version_hash(folder: Path, known: str) -> str:
    """What stands for the bytes of a version. Raises NotFoundError, BackendError."""
    split = table_version(known)
    handle = _open(folder, known, None if split is None else split[1])
    return f"delta:{handle.metadata().id}@v{handle.version()}"


def _open(folder: Path, known: str, version: int | None) -> DeltaTable:
    try:
        return DeltaTable(folder, version=version)
    except TableNotFoundError as error:
        raise NotFoundError(f"there is no Delta table {known}", code="TABLE_NOT_FOUND") from error
    except DeltaError as error:
        if version is not None:
            raise NotFoundError(f"{known} is no longer there", code="VERSION_NOT_FOUND") from error
        raise BackendError(f"{known}: {error}", code=type(error).__name__) from error


def _found(folder: Path, handle: DeltaTable, known: str) -> FoundFile:
    actions = pa.table(handle.get_add_actions(flatten=True))
    size = pc.sum(actions["size_bytes"]).as_py() if actions.num_rows else 0
    return FoundFile(known, int(size or 0), _made_at(folder, handle.version(), known))


def _made_at(folder: Path, version: int, known: str) -> datetime:
    """When a version was committed. Only a handle on the newest one numbers its history rightly."""
    newest = _open(folder, known, None)
    for entry in newest.history(newest.version() - version + 1):
        if entry["version"] == version:
            return datetime.fromtimestamp(entry["timestamp"] / 1000, UTC)
    raise NotFoundError(f"the history of {known} is no longer there", code="VERSION_NOT_FOUND")
