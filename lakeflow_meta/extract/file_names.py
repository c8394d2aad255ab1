"""Names and folders of the files that extracts write: checked, put together, compared. Pure.

A name is ``<name>_<timestamp>_part0001.<extension>``. What differs from run to run is digits, so
two extracts that may write one file are told before either has run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations_with_replacement
from pathlib import PurePosixPath

from lakeflow_meta.extract.timestamps import TimestampPattern
from lakeflow_meta.extract.words import RefusedError
from lakeflow_meta.paths import VOLUMES

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f/\\<>:\"|?*]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_PART_DIGITS = 4
_PART = "part"
LONGEST = 255
"""Bytes of a file name that file systems and object stores take."""

MARK = "\0"
"""Stands for a digit that depends on the run; no name holds it."""

_VOLUME_DEPTH = 5
"""``/``, ``Volumes``, catalog, schema, volume."""


def check_file_name(name: str) -> str:
    """The name, if every file system, cloud and reader takes it. Raises RefusedError."""
    if not name or name != name.strip() or name.endswith("."):
        raise RefusedError(f"{name!r} is no file name", "write letters and digits")
    if found := _FORBIDDEN.search(name):
        hint = "folders belong to target.path" if found[0] in "/\\" else "write _ or - for it"
        raise RefusedError(f"{name!r} is no file name: it holds {found[0]!r}", hint)
    if "{" in name or "}" in name:
        hint = "the date goes into timestamp_format, and parts are numbered"
        raise RefusedError(f"{name!r} holds a placeholder; names have none", hint)
    if name[0] in "._":
        hint = "readers take files that begin with . or _ as hidden"
        raise RefusedError(f"{name!r} is no file name: it begins with {name[0]!r}", hint)
    if len(name.encode(errors="replace")) > LONGEST:
        raise RefusedError(f"the file name has more than {LONGEST} bytes", "shorten it")
    return name


def check_folder(path: str) -> str:
    """The path without a slash at its end: in the project, absolute, or of a volume.

    Raises RefusedError.
    """
    if match := _SCHEME.match(path):
        hint = "write to a volume: /Volumes/<catalog>/<schema>/<volume>/…"
        raise RefusedError(f"path {path!r} is a URL ({match[0]})", hint)
    parts = path.removeprefix("/").removesuffix("/").split("/")
    for part in parts:
        if part in ("", ".", "..", "~") or part != part.strip() or _FORBIDDEN.search(part):
            hint = "write folders with / between them, none of them '..'"
            raise RefusedError(f"path {path!r} cannot be used: {part!r} is no folder", hint)
    if path.startswith(VOLUMES) and parts[0] == "Volumes" and len(parts) < _VOLUME_DEPTH - 1:
        hint = "write /Volumes/<catalog>/<schema>/<volume>/…"
        raise RefusedError(f"path {path!r} names no volume", hint)
    return ("/" if path.startswith("/") else "") + "/".join(parts)


def container_of(folder: str) -> tuple[str, str | None]:
    """A folder as its container (the volume, else the first folder) and the rest."""
    parts = PurePosixPath(folder).parts
    count = _VOLUME_DEPTH if folder.startswith(f"{VOLUMES}/") else 1 + folder.startswith("/")
    rest = "/".join(parts[count:])
    return str(PurePosixPath(*parts[:count])), rest or None


def folder_of(container: str | None, directory: str | None) -> str:
    """The folder that a container and a directory are together; "" where there is none."""
    parts = [(container or "").rstrip("/"), (directory or "").strip("/")]
    return "/".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class FileName:
    """How the names of one kind of file are made. ``suffix`` begins with its dot."""

    name: str
    suffix: str
    timestamp: TimestampPattern | None = None
    timestamp_first: bool = False
    parts: bool = False

    def write(self, moment: datetime | None = None, part: int | None = None) -> str:
        """One file's name; ``part`` counts from 1.

        ``moment`` is in the zone of the name, or is the end of the period.
        """
        timestamp = self.timestamp.write(moment) if self.timestamp and moment else None
        number = f"{part:0{_PART_DIGITS}}" if part is not None else None
        return self._joined(timestamp, number)

    @property
    def masked(self) -> str:
        """The name with a mark for every digit that depends on the run."""
        timestamp = self.timestamp.masked(MARK) if self.timestamp else None
        return self._joined(timestamp, MARK * _PART_DIGITS if self.parts else None)

    def _joined(self, timestamp: str | None, number: str | None) -> str:
        named = [self.name, timestamp]
        if self.timestamp_first:
            named.reverse()
        part = f"{_PART}{number}" if number is not None else None
        return "_".join(text for text in (*named, part) if text is not None) + self.suffix


def clashes(names: Sequence[tuple[str, str]]) -> Iterator[tuple[int, int]]:
    """Pairs of positions whose (folder, masked name) may become one file; the later one first.

    Names that differ only in case are one on some systems. No position is the later one twice.
    """
    by_shape: dict[tuple[str, str], list[int]] = {}
    for position, (folder, masked) in enumerate(names):
        shape = re.sub(r"[0-9]", MARK, masked.casefold())
        by_shape.setdefault((folder.casefold(), shape), []).append(position)
    for positions in by_shape.values():
        if len(positions) > 1:
            found = dict(_clashes({at: names[at][1].casefold() for at in positions}))
            yield from found.items()


def _clashes(names: Mapping[int, str]) -> Iterator[tuple[int, int]]:
    """Names of one shape clash where they agree in all digits that neither of them varies."""
    by_mask: dict[frozenset[int], dict[int, str]] = {}
    for position, name in names.items():
        mask = frozenset(at for at, letter in enumerate(name) if letter == MARK)
        by_mask.setdefault(mask, {})[position] = name
    for first, second in combinations_with_replacement(by_mask, 2):
        varied = first | second
        earlier: dict[str, int] = {}
        for position, name in by_mask[first].items():
            same = earlier.setdefault(_masked(name, varied), position)
            if first == second and same != position:
                yield position, same
        if first != second:
            for position, name in by_mask[second].items():
                other = earlier.get(_masked(name, varied))
                if other is not None:
                    yield max(position, other), min(position, other)


def _masked(name: str, at: Iterable[int]) -> str:
    letters = list(name)
    for position in at:
        letters[position] = MARK
    return "".join(letters)
