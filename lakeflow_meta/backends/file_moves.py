"""Files of this machine that are archived or deleted once they are ingested.

Nothing is overwritten and nothing is lost, whenever the process dies: a file has its old name or
its new one, and for a moment both. A name that the archive has for other bytes is left to them;
the file gets a part of its hash into its name.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path, PurePosixPath
from uuid import uuid4

_HASH_CHARACTERS = 12
_NO_LINKS = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
)
"""A file system without hard links, or one that allows them to owners only."""


def archive_file(file: Path, file_hash: str, place: Path) -> Path:
    """Move a file to ``place``, or beside it where other bytes have that name; where it is now.

    Raises OSError.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    for candidate in (place, _with_hash(place, file_hash)):
        if _has_place(file, file_hash, candidate):
            file.unlink()
            return candidate
    raise FileExistsError(errno.EEXIST, "the archive has other bytes under this name", str(place))


def _with_hash(place: Path, file_hash: str) -> Path:
    """``a.csv.gz`` becomes ``a-0123456789ab.csv.gz``."""
    suffixes = "".join(PurePosixPath(place.name).suffixes)
    stem = place.name.removesuffix(suffixes)
    return place.with_name(f"{stem}-{file_hash[:_HASH_CHARACTERS]}{suffixes}")


def _has_place(file: Path, file_hash: str, place: Path) -> bool:
    """Give the file its second name; False where other bytes have it."""
    try:
        _link_or_copy(file, place)
    except FileExistsError:
        return _holds(place, file_hash)
    return True


def _link_or_copy(file: Path, place: Path) -> None:
    """Raises FileExistsError where the name is taken, OSError."""
    if file.is_symlink():
        _copy(file, place)
        return
    try:
        os.link(file, place)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno != errno.EXDEV and error.errno not in _NO_LINKS:
            raise
        _copy(file, place)


def _copy(file: Path, place: Path) -> None:
    """Through a name of its own, so that half a file is never taken for a whole one."""
    partial = place.with_name(f".{place.name[:100]}.{uuid4().hex}.partial")
    try:
        with file.open("rb") as source, partial.open("xb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
        shutil.copystat(file, partial)
        _name_once(partial, place)
    finally:
        partial.unlink(missing_ok=True)


def _name_once(partial: Path, place: Path) -> None:
    """Raises FileExistsError; without hard links two at once are told apart by a look before."""
    try:
        os.link(partial, place)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(place):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place)) from error
        partial.rename(place)


def _holds(place: Path, file_hash: str) -> bool:
    try:
        with place.open("rb", buffering=0) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file_hash
    except IsADirectoryError:
        return False
