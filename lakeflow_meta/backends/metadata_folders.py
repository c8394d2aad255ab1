"""Which folder a path of metadata means: this machine's files, a mounted volume, the Files API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lakeflow_meta.backends.local_folder import LocalFolder
from lakeflow_meta.paths import VOLUMES, PathMap

if TYPE_CHECKING:
    from lakeflow_meta.ports import MetadataFolder

_MOUNT_AT_ONCE = 16
"""Files read at the same time from a mounted volume, where each one is a call over the network."""


def open_folder(
    path: str, paths: PathMap, by_api: Callable[[str], MetadataFolder] | None = None
) -> MetadataFolder:
    """The folder, or single file, at a path as people wrote it. Nothing is read yet.

    ``by_api`` opens paths of volumes that are not on this machine; None where they are, in the
    home of an embedded workspace (``paths`` says where) or mounted in a Databricks runtime.
    Raises ConfigError for a path that is of no volume, or leaves it.
    """
    if not is_volume_path(path):
        return LocalFolder(Path(path))
    known = paths.known_as(path)
    if by_api is None:
        at_once = _MOUNT_AT_ONCE if paths.volumes is None else 1
        return LocalFolder(Path(paths.physical(known)), at_once=at_once)
    return by_api(known)


def is_volume_path(path: str) -> bool:
    """Whether a path as people wrote it is of a volume: ``/Volumes/…`` or ``dbfs:/Volumes/…``."""
    return Path(path.removeprefix("dbfs:")).parts[:2] == ("/", VOLUMES[1:])
