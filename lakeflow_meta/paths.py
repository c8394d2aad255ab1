"""Paths as people write them, the one name that each has, and where it lies on this machine. Pure.

``/Volumes/<catalog>/<schema>/<volume>/<rest>`` is a volume's, and never leads out of it. A relative
path starts at the project; an absolute one is itself. What a file is called is left as it is.

https://docs.databricks.com/volumes/paths
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lakeflow_meta.errors import ConfigError

VOLUMES = "/Volumes"

NOTEBOOK_ENDINGS = (".py", ".ipynb", ".sql")
"""The platform knows a notebook without its ending; on this machine its file has one."""

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):/")
_STORAGE = re.compile(
    r"(?P<scheme>[a-zA-Z][\w+.-]*):(?://(?P<host>[^/]*))?(?P<path>/.*|)", re.DOTALL
)
_DEPTH = 3  # catalog, schema, volume


@dataclass(frozen=True, slots=True)
class PathMap:
    """The paths of one workspace. Both directories are absolute.

    ``volumes``: the directory that ``/Volumes`` stands for; None where ``/Volumes`` is a real
    directory (on Databricks).
    """

    project_root: Path
    volumes: Path | None = None
    volumes_mounted: bool = True
    """Whether this process can open files of volumes; else only Spark can."""

    @classmethod
    def of_home(cls, home: Path, project_root: Path) -> PathMap:
        """Of an embedded workspace, whose volumes lie in its home."""
        return cls(project_root.absolute(), home.absolute() / "volumes")

    def known_as(self, written: str) -> str:
        """The one name of a path: absolute; ``/Volumes/…`` for all that is in a volume.

        Raises ConfigError for a path that leaves its volume by ``..``, that names no volume, or
        that is of cloud storage.
        """
        text = _without_scheme(written)
        parts = PurePosixPath(text).parts
        if parts[:2] == ("/", "Volumes"):
            return "/".join((VOLUMES, *_inside_volume(written, parts[2:])))
        path = PurePosixPath(self.project_root, text)
        return self._volume_path(path) or str(path)

    def physical(self, known: str) -> str:
        """Where the file of this name lies; ``known`` is what `known_as` gave, or a path below."""
        if self.volumes is not None and is_in_volumes(known):
            return f"{self.volumes}{known[len(VOLUMES) :]}"
        return known

    def is_here(self, known: str) -> bool:
        """Whether this process can open a file; else it is asked for through Spark."""
        return not is_uri(known) and (self.volumes_mounted or not is_in_volumes(known))

    def local(self, written: str) -> Path:
        """Where a path is on this machine. Raises ConfigError as `known_as` does."""
        return Path(self.physical(self.known_as(written)))

    def _volume_path(self, path: PurePosixPath) -> str | None:
        """``/Volumes/…`` for a place inside a volume, None for any other."""
        if self.volumes is None or not path.is_relative_to(self.volumes):
            return None
        parts = path.relative_to(self.volumes).parts
        inside = len(parts) >= _DEPTH and ".." not in parts
        return "/".join((VOLUMES, *parts)) if inside else None


def is_in_volumes(known: str) -> bool:
    """Whether a name that `PathMap.known_as` gave is of a volume."""
    return known.startswith(VOLUMES + "/")


_URI = re.compile(r"(?P<scheme>[a-zA-Z][\w+.-]+):(?://(?P<host>[^/]*))?/", re.DOTALL)


def is_uri(written: str) -> bool:
    """Whether a path is of storage that only Spark reaches: it has a scheme, and another than
    that of this machine and of volumes."""
    found = _URI.match(written)
    return found is not None and not _is_plain(written)


def _is_plain(written: str) -> bool:
    return written.startswith(("file:/", f"dbfs:{VOLUMES}/"))


def known_uri(written: str) -> str:
    """The one name of a file that Spark reaches: scheme, host, and a path without ``..``.

    Hadoop escapes nothing in a path, and so nothing is unescaped here. What is of this machine or
    of a volume is known without its scheme. Raises ConfigError: it is no absolute path.
    """
    if _is_plain(written):
        written = written.partition(":")[2]
    found = _URI.match(written)
    path = posixpath.normpath("/" + written[found.end() if found else 0 :].lstrip("/"))
    if found is None:
        if not written.startswith("/"):
            raise ConfigError(f"{written} is no absolute path or URI")
        return path
    host = f"//{found['host']}" if found["host"] is not None else ""
    return f"{found['scheme'].lower()}:{host}{path}"


def place_of(location: str) -> str:
    """The one text for where a table lies: two locations are one place if these are equal.

    ``/data/x``, ``file:/data/x`` and ``file:///data/x/`` are ``/data/x``; of other storage the
    scheme and the host are in lower case, without a slash at the end. Hadoop escapes nothing in a
    path, so nothing is unescaped: ``file:/a b``.
    """
    text = location.strip().removeprefix("file:")
    if text.startswith("/"):
        return posixpath.normpath("/" + text.lstrip("/"))
    if found := _STORAGE.fullmatch(text):
        host = f"//{found['host']}" if found["host"] else ""
        path = posixpath.normpath("/" + found["path"].lstrip("/")).rstrip("/")
        return f"{found['scheme']}:{host}".lower() + path
    return text


def path_of_location(location: str) -> Path | None:
    """Where a table lies, from Spark's word for it; None where that is not on this machine."""
    place = place_of(location)
    return Path(place) if place.startswith("/") else None


def _without_scheme(written: str) -> str:
    """``dbfs:/Volumes/…`` and ``file:/…`` name the same as without; several slashes are one."""
    text = written.removeprefix("dbfs:") if written.startswith(f"dbfs:{VOLUMES}/") else written
    text = text.removeprefix("file:") if text.startswith("file:/") else text
    if scheme := _SCHEME.match(text):
        raise ConfigError(f"{written}: {scheme[1]} storage is not on this machine")
    if not text:
        raise ConfigError("a path has at least one character")
    return "/" + text.lstrip("/") if text.startswith("/") else text


def _inside_volume(written: str, parts: tuple[str, ...]) -> list[str]:
    volume = parts[:_DEPTH]
    if len(volume) < _DEPTH or ".." in volume:
        raise ConfigError(f"{written}: write /Volumes/<catalog>/<schema>/<volume>/…")
    rest: list[str] = []
    for part in parts[_DEPTH:]:
        if part != "..":
            rest.append(part)
        elif not rest:
            raise ConfigError(f"{written} leaves its volume")
        else:
            rest.pop()
    return [*volume, *rest]
