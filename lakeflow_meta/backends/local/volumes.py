"""Paths of the platform as paths of this machine, and back. Pure.

``/Volumes/<catalog>/<schema>/<volume>/<rest>`` is ``<home>/volumes/<catalog>/<schema>/<volume>/
<rest>``; a relative path starts at the project; an absolute one is itself.

https://docs.databricks.com/volumes/paths
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lakeflow_meta.errors import ConfigError

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):/")
_DEPTH = 3  # catalog, schema, volume


@dataclass(frozen=True, slots=True)
class VolumePaths:
    """The mapping of one workspace. Both directories are absolute."""

    home: Path
    project_root: Path

    @property
    def root(self) -> Path:
        """The folder that stands for ``/Volumes``."""
        return self.home / "volumes"

    def local(self, path: str) -> Path:
        """Where ``path`` is on this machine.

        Raises ConfigError for a path that leaves its volume by ``..``, that names no volume, or
        that is of cloud storage.
        """
        text = path.removeprefix("dbfs:") if path.startswith("dbfs:/Volumes") else path
        text = text.removeprefix("file:")
        scheme = _SCHEME.match(text)
        if scheme:
            raise ConfigError(f"{path}: {scheme[1]} storage is not on this machine")
        if not text:
            raise ConfigError("a path has at least one character")
        parts = PurePosixPath(text).parts
        if parts[:2] == ("/", "Volumes"):
            return self.root.joinpath(*_inside_volume(path, parts[2:]))
        return self.project_root / text

    def platform(self, path: Path) -> str | None:
        """``/Volumes/…`` for a path inside a volume of this workspace, None for any other."""
        try:
            rest = path.relative_to(self.root)
        except ValueError:
            return None
        inside = len(rest.parts) >= _DEPTH and ".." not in rest.parts
        return str(PurePosixPath("/Volumes", *rest.parts)) if inside else None


def _inside_volume(path: str, parts: tuple[str, ...]) -> list[str]:
    volume = parts[:_DEPTH]
    if len(volume) < _DEPTH or ".." in volume:
        raise ConfigError(f"{path}: write /Volumes/<catalog>/<schema>/<volume>/…")
    rest: list[str] = []
    for part in parts[_DEPTH:]:
        if part != "..":
            rest.append(part)
        elif not rest:
            raise ConfigError(f"{path} leaves its volume")
        else:
            rest.pop()
    return [*volume, *rest]
