"""Links to the files of one read, in a folder of our own, under names that Spark can open.

Spark plans one folder in a tenth of the time that it takes for a list of its files, and a number
has no character in it that Hadoop cannot open (``:``). For files and a Spark of this machine.

Links are hard where they can be: then a file that is replaced or removed while it is read is still
the one that was linked, and ten thousand take 0.15 s, where symbolic ones are inodes that a file
system has to find room for. Files of another file system or another owner, and those that are
links themselves, get symbolic ones.

A folder belongs to a process. It is removed after use; what a killed process left there is removed
by the next one. Only links are removed, never what they lead to.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from lakeflow_meta.backends.processes import is_running, process_name
from lakeflow_meta.ports import Clock, utc_now

logger = logging.getLogger(__name__)

DIGITS = 7
"""Of the number that a link's name starts with: the position of its file."""

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,12}")
_COLON = "~"
"""Stands for ``:`` in the name of a process's folder: Hadoop opens no such name."""

_UNKNOWN_KEPT = timedelta(days=1)
"""A folder of a process that cannot be seen from here (another machine) is kept for so long."""


class LinkFolders:
    """Makes folders of links below ``root``, one for each set of files; `clear` removes them."""

    def __init__(self, root: Path, clock: Clock = utc_now) -> None:
        self._root = root
        self._clock = clock
        self._own = root / process_name().replace(":", _COLON) / uuid4().hex[:8]
        self._made: dict[tuple[str, ...], Path] = {}

    def folder(self, files: Sequence[str]) -> Path | None:
        """A folder with a link to each file, named by its position and its suffix.

        None where no links can be made (a file system without them, a full one).
        """
        found = self._made.get(tuple(files))
        if found is None:
            found = self._own / str(len(self._made))
            try:
                self._make(found, files)
            except OSError as error:
                logger.info("files are read without links: %s", error)
                shutil.rmtree(found, ignore_errors=True)
                return None
            self._made[tuple(files)] = found
        return found

    def _make(self, folder: Path, files: Sequence[str]) -> None:
        if not self._made:
            remove_leftovers(self._root, self._clock())
        folder.mkdir(parents=True)
        for number, file in enumerate(files):
            _link(file, _place(folder, number, file))

    def broken(self, files: Sequence[str]) -> list[str]:
        """Of files that `folder` linked, those whose links lead nowhere."""
        folder = self._made[tuple(files)]
        return [
            file
            for number, file in enumerate(files)
            if not os.path.exists(_place(folder, number, file))  # noqa: PTH110 - for thousands
        ]

    def behind(self, link: str) -> str:
        """The file that a link leads to; empty for any other path."""
        folder, _, name = link.rpartition("/")
        number = name[:DIGITS]
        for files, place in self._made.items():
            if str(place) == folder and number.isdecimal() and int(number) < len(files):
                return files[int(number)]
        return ""

    def clear(self) -> None:
        """Remove all folders that were made here."""
        self._made.clear()
        shutil.rmtree(self._own, ignore_errors=True)
        try:
            self._own.parent.rmdir()
        except OSError:  # other threads of this process read, too; or it was never made
            return


def _place(folder: Path, number: int, file: str) -> str:
    """Where the link to a file is; its suffix tells Spark how the file is compressed."""
    suffix = os.path.splitext(file)[1]  # noqa: PTH122 - for thousands of files
    return f"{folder}/{number:0{DIGITS}d}{suffix if _SUFFIX.fullmatch(suffix) else ''}"


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
