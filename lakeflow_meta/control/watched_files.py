"""Metadata files of a watched folder: which ones count, and whether one is written whole. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

from lakeflow_meta.control.declared_scripts import SCRIPT_FOLDER
from lakeflow_meta.errors import BackendError

_YAML = (".yml", ".yaml")
_SETTINGS = "conf"

MAX_BYTES = 64 * 2**20
"""A larger file is not metadata, and is not read."""

NOT_TEXT = "the file is not UTF-8 text"


@dataclass(frozen=True, slots=True)
class WatchedFile:
    """A file as a folder lists it. ``name`` is its path below the folder, with slashes.

    ``etag`` is for folders whose platform changes it at each write (its users cannot): the file
    is read again only when it has changed. What is read while a file has an etag is the content
    of that etag, or of a later one. None: the content is read at each look.
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

    @property
    def content(self) -> tuple[int, str]:
        """Equal for equal contents."""
        return self.size_bytes, self.digest


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


def has_yaml_suffix(name: str) -> bool:
    """Whether a file is YAML by its name."""
    return PurePosixPath(name).suffix.lower() in _YAML


def check_size(size_bytes: int) -> None:
    """Refuse what is too large for metadata before it is read. Raises BackendError."""
    if size_bytes > MAX_BYTES:
        raise BackendError(
            f"the file has {size_bytes:,} bytes; metadata has less", code="FILE_TOO_LARGE"
        )


def is_yaml(name: str) -> bool:
    """Whether a file is metadata; settings and scripts live beside it and are not."""
    return (
        name.lower().endswith(_YAML)
        and not _is_hidden(name)
        and name.partition("/")[0] not in (_SETTINGS, SCRIPT_FOLDER)
    )


def is_script(name: str) -> bool:
    """Whether a file is a DDL script."""
    return name.startswith(f"{SCRIPT_FOLDER}/") and not _is_hidden(name)


def is_metadata(name: str) -> bool:
    """Whether a file is watched at all."""
    return is_yaml(name) or is_script(name)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or "/." in name


def is_settled(look: Look, earlier: Look | None, now: datetime, settle_seconds: float) -> bool:
    """Whether a file is written whole: old enough, or the same at two looks."""
    if earlier is not None and earlier.content == look.content:
        return True
    return (now - look.modified_at).total_seconds() >= settle_seconds


def text_of(data: bytes) -> str:
    """A file's text; however it was saved, a line ends in LF. Raises UnicodeDecodeError."""
    return data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def texts_of(contents: Mapping[str, bytes], errors: dict[str, str]) -> dict[str, str]:
    """Contents as text; what is not UTF-8 goes to ``errors``."""
    texts = {}
    for name, data in sorted(contents.items()):
        try:
            texts[name] = text_of(data)
        except UnicodeDecodeError:
            errors[name] = NOT_TEXT
    return texts
