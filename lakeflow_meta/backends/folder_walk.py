"""Walks folders of this machine for the files that a source names.

What cannot be read is an error, in whichever folder: files that nobody could see must not look like
files that are not there. What goes away while it is looked at is gone.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from lakeflow_meta.ingest.files import is_hidden
from lakeflow_meta.ingest.listing import ListingBuilder
from lakeflow_meta.ingest.source import SourceConfig
from lakeflow_meta.paths import PathMap

_Above = frozenset[tuple[int, int]]
"""Devices and inodes of the folders that a walk came through: one that links to one of them is
not entered again."""


class FolderWalk:
    """Collects files in ``found``; hidden ones, and those in the archive, are left out.

    Every method raises OSError.
    """

    def __init__(self, paths: PathMap, config: SourceConfig, archive: str | None) -> None:
        self._paths = paths
        self._recursive = config.recursive
        self._pattern = config.glob
        self._archive = archive
        self.found = ListingBuilder()

    def file(self, path: str, stat: os.stat_result) -> None:
        """One file, if it is wanted."""
        if self._archive is not None and path.startswith(f"{self._archive}/"):
            return
        name = path.rpartition("/")[2]
        if self._pattern is None or fnmatchcase(name, self._pattern):
            self.found.add(path, stat.st_size, stat.st_mtime_ns // 1000)

    def folder(self, directory: str, above: _Above = frozenset()) -> None:
        """Files of a folder, and of those below it where the source is recursive."""
        for path, entry in self._entries(directory):
            with suppress(FileNotFoundError):
                if entry.is_file():
                    self.file(path, entry.stat())
                elif self._recursive:
                    self._enter(path, entry, above)

    def _enter(self, path: str, entry: os.DirEntry[str], above: _Above) -> None:
        inside = _inside(entry, above)
        if inside is not None:
            self.folder(path, inside)

    def matches(self, directory: str, parts: Sequence[str], above: _Above = frozenset()) -> None:
        """What matches a pattern below a folder, part by part; ``**`` is any number of folders."""
        first, rest = parts[0], parts[1:]
        if first == "**":
            self._any_depth(directory, rest, above)
        elif glob.has_magic(first):
            for path, entry in self._entries(directory):
                if fnmatchcase(entry.name, first):
                    self._matched(path, rest)
        elif not is_hidden(first):
            self._matched(f"{directory.rstrip('/')}/{first}", rest)

    def _any_depth(self, directory: str, rest: Sequence[str], above: _Above) -> None:
        if rest:
            self.matches(directory, rest)
        for path, entry in self._entries(directory):
            with suppress(FileNotFoundError):
                inside = _inside(entry, above)
                if inside is not None:
                    self._any_depth(path, rest, inside)
                elif not rest and entry.is_file():
                    self.file(path, entry.stat())

    def _matched(self, path: str, rest: Sequence[str]) -> None:
        """A name that the pattern takes: go on below it, or take what it is."""
        place = Path(self._paths.physical(path))
        with suppress(FileNotFoundError, NotADirectoryError):
            if rest:
                if place.is_dir():
                    self.matches(path, rest)
            elif place.is_dir():
                self.folder(path)
            else:
                self.file(path, place.stat())

    def _entries(self, directory: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """What a folder holds, by the names that the ledger knows."""
        if directory.rstrip("/") == self._archive:
            return
        with os.scandir(self._paths.physical(directory)) as entries:
            for entry in entries:
                if not is_hidden(entry.name):
                    yield f"{directory.rstrip('/')}/{entry.name}", entry


def _inside(entry: os.DirEntry[str], above: _Above) -> _Above | None:
    """The folders that a walk came through when it enters this one; None where it must not."""
    if not entry.is_dir():
        return None
    stat = entry.stat()
    identity = (stat.st_dev, stat.st_ino)
    return None if identity in above else above | {identity}
