"""Metadata files of a watched folder: which ones count, and whether one is written whole. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

from lakeflow_meta.control.declared import SCRIPT_FOLDER

_YAML = frozenset({".yml", ".yaml"})
_SETTINGS = "conf"

MAX_BYTES = 64 * 2**20
"""A larger file is not metadata, and is not read."""


@dataclass(frozen=True, slots=True)
class WatchedFile:
    """A file as a folder lists it. ``name`` is its path below the folder, with slashes.

    ``etag`` is for folders whose platform changes it at each write (its users cannot): the file
    is read again only when it has changed. None: the content is read at each look.
    """

    name: str
    size_bytes: int
    modified_at: datetime
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """A file's content as it was at one moment."""

    size_bytes: int
    digest: str
    modified_at: datetime


@dataclass(slots=True)
class FolderState:
    """What a look at the folder found, against what was taken before."""

    changed: dict[str, bytes] = field(default_factory=dict)
    """New or edited, and written whole."""
    digests: dict[str, str] = field(default_factory=dict)
    """Content of every file that could be read, by name."""
    deleted: frozenset[str] = frozenset()
    unsettled: dict[str, bytes] = field(default_factory=dict)
    """Still being written; the next look decides."""
    errors: dict[str, str] = field(default_factory=dict)
    """Files that cannot be read, and why."""


def is_yaml(name: str) -> bool:
    """Whether a file is metadata; settings and scripts live beside it and are not."""
    path = PurePosixPath(name)
    return (
        path.suffix.lower() in _YAML
        and not _is_hidden(path)
        and path.parts[0] not in {_SETTINGS, SCRIPT_FOLDER}
    )


def is_script(name: str) -> bool:
    """Whether a file is a DDL script."""
    path = PurePosixPath(name)
    return path.parts[0] == SCRIPT_FOLDER and len(path.parts) > 1 and not _is_hidden(path)


def is_metadata(name: str) -> bool:
    """Whether a file is watched at all."""
    return is_yaml(name) or is_script(name)


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") for part in path.parts)


def is_settled(look: Look, earlier: Look | None, now: datetime, settle_seconds: float) -> bool:
    """Whether a file is written whole: old enough, or the same at two looks."""
    if earlier is not None and (earlier.size_bytes, earlier.digest) == (
        look.size_bytes,
        look.digest,
    ):
        return True
    return (now - look.modified_at).total_seconds() >= settle_seconds


def texts_of(contents: Mapping[str, bytes], errors: dict[str, str]) -> dict[str, str]:
    """Contents as text; what is not UTF-8 goes to ``errors``."""
    texts = {}
    for name, data in sorted(contents.items()):
        try:
            texts[name] = data.decode("utf-8")
        except UnicodeDecodeError:
            errors[name] = "the file is not UTF-8 text"
    return texts
