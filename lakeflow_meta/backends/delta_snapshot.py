"""What the newest version of a Delta log says of its table. No Spark, no data files.

Spark writes metadata, protocol and domains into a checksum file beside each commit, so one small
file is the usual case. Where the newest commits have none, or a torn one, they are replayed back to
the nearest checksum, or else checkpoint. A log may be written and cleaned while it is listed: what
does not fit together counts as damaged only when the list stays as it was.
https://github.com/delta-io/delta/blob/master/PROTOCOL.md

deltalake is not used here: it cannot open tables with type widening, and it does not show the
clustering columns.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

CLUSTERING_DOMAIN = "delta.clustering"

_DIGITS = 20
_ATTEMPTS = 10
_COMMIT = ".json"
_CHECKSUM = ".crc"
_CHECKPOINT = re.compile(
    r"\.checkpoint(?:\.(?P<part>\d{10})\.(?P<parts>\d{10})|\.[0-9a-f-]{36})?\.(?:parquet|json)"
)
_KEPT_BY_A_CATALOG = frozenset({"catalogManaged", "catalogOwned-preview"})


class DamagedLogError(ValueError):
    """The log does not say what its table is."""


@dataclass(slots=True)
class Snapshot:
    """What the newest actions say; each kind is kept when it is met first, newest first."""

    version: int
    metadata: Mapping[str, Any] = field(default_factory=dict)
    protocol: Mapping[str, Any] = field(default_factory=dict)
    domains: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _all_domains: bool = False

    def take(self, action: Mapping[str, Any]) -> None:
        """One action of a commit or a checkpoint; those of newer versions come first."""
        self.metadata = self.metadata or _part(action, "metaData")
        self.protocol = self.protocol or _part(action, "protocol")
        if domain := _part(action, "domainMetadata"):
            self.domains.setdefault(domain["domain"], domain)

    def take_checksum(self, checksum: Mapping[str, Any]) -> None:
        """The state after a commit; the list of domains may be left out by its writer."""
        self.take({"metaData": checksum["metadata"], "protocol": checksum["protocol"]})
        domains = checksum.get("domainMetadata")
        self._all_domains = domains is not None
        for domain in domains or ():
            self.take({"domainMetadata": domain})

    @property
    def features(self) -> frozenset[str]:
        """The protocol's table features, of readers and of writers."""
        named = (self.protocol.get(kind) or () for kind in ("readerFeatures", "writerFeatures"))
        return frozenset(name for names in named for name in names)

    @property
    def complete(self) -> bool:
        """Whether older actions can add nothing."""
        if not (self.metadata and self.protocol):
            return False
        known = self._all_domains or CLUSTERING_DOMAIN in self.domains
        return known or "clustering" not in self.features


def _part(action: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    found = action.get(kind) or {}
    if not isinstance(found, dict):
        raise DamagedLogError(f"{kind} is {found!r}")
    return found


def newest_snapshot(log: str) -> Snapshot | None:
    """The newest state; None where no commit and no checkpoint is in the directory, if it is there.

    Raises DamagedLogError, or OSError where a file cannot be read.
    """
    names = _names(log)
    for _ in range(_ATTEMPTS):
        try:
            return _replayed(log, names)
        except (OSError, ValueError) as error:
            before, names = names, _names(log)
            if names == before:
                raise
            logger.debug("%s has changed and is read again: %s", log, error)
    return _replayed(log, names)


def newest_file(log: str) -> tuple[int, str] | None:
    """The newest version, and a file that came with it and is never written again. As above."""
    for version, files in _versions(_names(log)):
        if files.holds_state:
            return version, f"{log}/{files.commit or files.checkpoints[0][0]}"
    return None


# --------------------------------------------------------------------------- files by version


class _Files:
    """The files of one version."""

    __slots__ = ("checksum", "commit", "others")

    def __init__(self, names: Sequence[str]) -> None:
        self.commit = self.checksum = ""
        self.others: list[str] = []
        for name in names:
            suffix = name[_DIGITS:]
            if suffix == _COMMIT:
                self.commit = name
            elif suffix == _CHECKSUM:
                self.checksum = name
            else:
                self.others.append(name)

    @property
    def holds_state(self) -> bool:
        """Whether the version is there; a checksum alone is of a commit that is not seen yet."""
        return bool(self.commit or (self.others and self.checkpoints))

    @property
    def checkpoints(self) -> list[list[str]]:
        """Every whole checkpoint as its files; those of one file come first."""
        by_count: dict[int, list[str]] = {}
        for name in sorted(self.others):
            if match := _CHECKPOINT.fullmatch(name, _DIGITS):
                by_count.setdefault(int(match["parts"] or 0), []).append(name)
        single = [[name] for name in by_count.pop(0, [])]
        return single + [names for count, names in by_count.items() if len(names) == count]


def _names(log: str) -> list[str]:
    """Newest first: names start with equally long numbers. Empty where there is no directory."""
    try:
        return sorted(os.listdir(log), reverse=True)  # noqa: PTH208 - half the time of iterdir
    except (FileNotFoundError, NotADirectoryError):
        return []


def _versions(names: Sequence[str]) -> Iterator[tuple[int, _Files]]:
    for digits, group in groupby(names, lambda name: name[:_DIGITS]):
        if len(digits) == _DIGITS and digits.isdecimal():
            yield int(digits), _Files(list(group))


# --------------------------------------------------------------------------- their actions


def _replayed(log: str, names: Sequence[str]) -> Snapshot | None:
    snapshot: Snapshot | None = None
    wanted = -1
    for version, files in _versions(names):
        if snapshot is None:
            if not files.holds_state:
                continue
            snapshot = Snapshot(version)
        elif version != wanted:
            break
        if _is_enough(snapshot, log, files):
            return _checked(snapshot)
        if not files.commit:
            raise DamagedLogError(f"commit {version} is missing")
        wanted = version - 1
    if snapshot is not None and wanted >= 0:
        raise DamagedLogError(f"commit {wanted} is missing")
    return _checked(snapshot) if snapshot else None


def _is_enough(snapshot: Snapshot, log: str, files: _Files) -> bool:
    """Take what the files of a version say; whether older versions can add nothing."""
    if files.checksum and _took_checksum(snapshot, f"{log}/{files.checksum}"):
        return True
    if files.commit:
        for action in _actions(f"{log}/{files.commit}"):
            snapshot.take(action)
    return snapshot.complete or _took_checkpoint(snapshot, log, files)


def _checked(snapshot: Snapshot) -> Snapshot:
    if not (snapshot.metadata and snapshot.protocol):
        raise DamagedLogError("the log has no metadata or no protocol")
    if kept := snapshot.features & _KEPT_BY_A_CATALOG:
        raise DamagedLogError(f"a catalog keeps the newest commits ({', '.join(kept)})")
    return snapshot


# The last and by far the longest part of Spark's checksums: data files with their statistics, of
# tables with up to 50 of them. In text that stands in quotes, these quotes would be escaped.
_DATA_FILES = b',"allFiles":['


def _took_checksum(snapshot: Snapshot, path: str) -> bool:
    """A checksum only spares work, so one that is torn or gone is as good as none."""
    try:
        content = Path(path).read_bytes()
        head, cut, _ = content.partition(_DATA_FILES)
        snapshot.take_checksum(json.loads(head + b"}" if cut else content))
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.debug("%s is passed over: %s", path, error)
        return False
    return snapshot.complete


# Lines of these are many and tell nothing of the table; anything else is read, however it is laid
# out.
_PASSED_OVER = (
    b'{"add":',
    b'{"remove":',
    b'{"cdc":',
    b'{"txn":',
    b'{"commitInfo":',
    b'{"sidecar":',
)


def _actions(commit: str) -> Iterator[Mapping[str, Any]]:
    with Path(commit).open("rb") as lines:
        for line in lines:
            if not line.startswith(_PASSED_OVER) and not line.isspace():
                action = json.loads(line)
                if not isinstance(action, dict):
                    raise DamagedLogError(f"{commit} holds {action!r}, which is no action")
                yield action


def _took_checkpoint(snapshot: Snapshot, log: str, files: _Files) -> bool:
    """Of several checkpoints any one will do; one that cannot be read leaves older commits."""
    for parts in files.checkpoints if files.others else ():
        try:
            actions = [action for part in parts for action in _checkpointed(f"{log}/{part}")]
        except (OSError, ValueError) as error:
            logger.warning("checkpoint %s/%s cannot be read: %s", log, parts[0], error)
            continue
        for action in actions:
            snapshot.take(action)
        return True
    return False


def _checkpointed(path: str) -> Iterator[Mapping[str, Any]]:
    """Actions of a checkpoint's file, without those of data files, which may be in sidecars."""
    return _actions(path) if path.endswith(".json") else _parquet_actions(path)


def _parquet_actions(path: str) -> Iterator[Mapping[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            known = set(file.schema_arrow.names)
            for name in ("metaData", "protocol", "domainMetadata"):
                if name in known:
                    values = file.read(columns=[name]).column(name).drop_null()
                    yield from ({name: value} for value in values.to_pylist())
    except pa.ArrowException as error:
        raise DamagedLogError(str(error)) from error
