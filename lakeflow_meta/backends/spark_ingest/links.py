"""Links to the files of one read, in a folder of our own, under names that Spark can open.

Spark plans one folder in a tenth of the time that it takes for a list of its files, and a number
has no character in it that Hadoop cannot open (``:``). For files and a Spark of this machine.
In place of links to many small files there is their bundle, where that can be (see `bundles`).

Links are hard where they can be: then a file that is replaced or removed while it is read is still
the one that was linked, and ten thousand take 0.15 s, where symbolic ones are inodes that a file
system has to find room for. Files of another file system or another owner, and those that are
links themselves, get symbolic ones.

A folder belongs to a process. It is removed after use; what a killed process left there is removed
by the next one. Only links and bundles are removed, never what they were made of.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from lakeflow_meta.backends.processes import is_running, process_name
from lakeflow_meta.backends.spark_ingest.bundles import MOST_BYTES, Numbering
from lakeflow_meta.ports import Clock, utc_now

logger = logging.getLogger(__name__)

DIGITS = 7
"""Of the number that a link's name starts with: the position of its file."""

_BUNDLE = "bundle"
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,12}")
_COLON = "~"
"""Stands for ``:`` in the name of a process's folder: Hadoop opens no such name."""

_UNKNOWN_KEPT = timedelta(days=1)
"""A folder of a process that cannot be seen from here (another machine) is kept for so long."""


@dataclass(frozen=True, slots=True)
class LinkFolder:
    """What Spark reads. ``links``: the file behind each link, by name.

    ``numbers``: the column of a bundle's rows that holds the number of their file; None where all
    files have links.
    """

    path: Path
    links: Mapping[str, str]
    numbers: str | None = None

    def broken(self) -> list[str]:
        """The files whose links lead nowhere."""
        return [
            file
            for name, file in self.links.items()
            if not os.path.exists(f"{self.path}/{name}")  # noqa: PTH110 - for thousands
        ]


class LinkFolders:
    """Makes folders of links below ``root``, one for each set of files; `clear` removes them."""

    def __init__(self, root: Path, clock: Clock = utc_now) -> None:
        self._root = root
        self._clock = clock
        self._own = root / process_name().replace(":", _COLON) / uuid4().hex[:8]
        self._made: dict[tuple[bool, tuple[str, ...]], LinkFolder] = {}
        self._bundles = True

    def folder(self, files: Sequence[str], numbering: Numbering | None = None) -> LinkFolder | None:
        """A folder with a link to each file, named by its position and its suffix.

        ``numbering``: small files may be bundled so. None where no links can be made (a file system
        without them, a full one).
        """
        numbering = numbering if self._bundles and len(files) > 1 else None
        key = (numbering is not None, tuple(files))
        if key not in self._made:
            path = self._own / str(len(self._made))
            try:
                self._made[key] = self._make(path, files, numbering)
            except OSError as error:
                logger.info("files are read without links: %s", error)
                shutil.rmtree(path, ignore_errors=True)
                return None
        return self._made[key]

    def _make(self, path: Path, files: Sequence[str], numbering: Numbering | None) -> LinkFolder:
        if not self._made:
            remove_leftovers(self._root, self._clock())
        path.mkdir(parents=True)
        bundled = set() if numbering is None else _bundle(files, numbering, path / _BUNDLE)
        links = {
            _name(number, file): file for number, file in enumerate(files) if number not in bundled
        }
        for name, file in links.items():
            _link(file, f"{path}/{name}")
        return LinkFolder(path, links, numbering.field if numbering and bundled else None)

    def without_bundles(self) -> None:
        """Until `clear`, link every file, so that errors name the one that they are about."""
        self._bundles = False

    def behind(self, link: str) -> str:
        """The file that a link leads to; empty for any other path."""
        path, _, name = link.rpartition("/")
        made = (folder for folder in self._made.values() if str(folder.path) == path)
        return next((folder.links.get(name, "") for folder in made), "")

    def clear(self) -> None:
        """Remove all folders that were made here."""
        self._made.clear()
        self._bundles = True
        shutil.rmtree(self._own, ignore_errors=True)
        try:
            self._own.parent.rmdir()
        except OSError:  # other threads of this process read, too; or it was never made
            return


def _name(number: int, file: str) -> str:
    """The name of the link to a file; its suffix tells Spark how the file is compressed."""
    suffix = os.path.splitext(file)[1]  # noqa: PTH122 - for thousands of files
    return f"{number:0{DIGITS}d}{suffix if _SUFFIX.fullmatch(suffix) else ''}"


def _bundle(files: Sequence[str], numbering: Numbering, place: Path) -> set[int]:
    """Copy what can be bundled; the numbers of those files: none where the disk is full."""
    bundled = set()
    try:
        place.touch(0o600)  # not for everybody, whoever may read the files
        with place.open("wb") as bundle:
            for number, file in enumerate(files):
                data = _small(file)
                lines = None if data is None else numbering.numbered(data, number)
                if lines is not None:
                    bundle.write(lines)
                    bundled.add(number)
                elif numbering.alone:
                    bundled.clear()
                    break
    except OSError as error:
        logger.info("files are read one by one: %s", error)
        bundled.clear()
    if not bundled:
        place.unlink(missing_ok=True)
    return bundled


def _small(file: str) -> bytes | None:
    """The bytes of a small file; None for others, and for those that cannot be read."""
    try:
        with open(file, "rb", buffering=0) as stream:  # noqa: PTH123 - for thousands of files
            size = os.fstat(stream.fileno()).st_size
            return stream.read() if size <= MOST_BYTES else None
    except OSError:  # Spark says why
        return None


def _link(file: str, place: str) -> None:
    """Raises OSError. A hard link to a link would be that link, and lead elsewhere from here."""
    with suppress(OSError):  # of another file system, or not ours; or gone, which is found out
        if not os.path.islink(file):  # noqa: PTH114 - for thousands of files
            os.link(file, place)
            return
    os.symlink(file, place)  # noqa: PTH211 - for thousands of files


def remove_leftovers(root: Path, now: datetime) -> None:
    """Remove folders of processes that have ended."""
    for folder in root.glob("*"):
        if _is_left_over(folder, now):
            logger.info("%s was left behind by a process that ended; removing it", folder)
            shutil.rmtree(folder, ignore_errors=True)


def _is_left_over(folder: Path, now: datetime) -> bool:
    running = is_running(folder.name.replace(_COLON, ":"))
    if running is not None:
        return not running
    try:
        changed_at = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    except OSError:  # another process removed it
        return False
    return now - changed_at > _UNKNOWN_KEPT
