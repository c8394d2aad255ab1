"""Files and a target table in memory: what the ingestor acts on, without Spark or a disk.

The fake target keeps the promises of Delta that exactly once rests on: it takes a version of an
application once, and none below one that it has. A line of a fake file is a row, and what stands in
front of its first space is its key; a file that holds ``BAD`` cannot be loaded.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.ingest.batch import BadFilesError, Batch, BatchCounts, BatchId, FencedOutError
from lakeflow_meta.ingest.files import Digests, FoundFile, HashedFile
from lakeflow_meta.ingest.listing import FileListing
from lakeflow_meta.ingest.source import FileSource, WriteMode
from lakeflow_meta.ingest.target_state import TargetState
from lakeflow_meta.names import TableName

_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)


class FakeFiles:
    """A directory tree in memory."""

    def __init__(self) -> None:
        self._content: dict[str, bytes] = {}
        self._changes: dict[str, int] = {}
        self._clock = 0
        self.hashed: list[str] = []
        self.unreadable: set[str] = set()
        self.immovable: set[str] = set()
        self._ever: set[str] = set()

    def put(self, path: str, text: str) -> None:
        """Write a file; its modification time rises with every write."""
        self._clock += 1
        self._ever.add(path)
        self._content[path] = text.encode()
        self._changes[path] = self._clock

    def touch(self, path: str) -> None:
        """Give a file a new modification time."""
        self._clock += 1
        self._changes[path] = self._clock

    def remove(self, path: str) -> None:
        """Delete a file."""
        del self._content[path]

    @property
    def paths(self) -> list[str]:
        """Every file, sorted."""
        return sorted(self._content)

    def text(self, path: str) -> str:
        """What a file holds. Raises KeyError."""
        return self._content[path].decode()

    def known_as(self, path: str) -> str:
        """Every path is known as it is written."""
        return path

    def is_folder(self, path: str) -> bool:
        """Whether files lie below a path."""
        return any(known.startswith(f"{path.rstrip('/')}/") for known in self._ever)

    def list_files(self, source: FileSource) -> FileListing:
        """The file of the source's path, or the files below it.

        Raises NotFoundError when there never was one.
        """
        path = source.source_config.path.rstrip("/")
        if path in self._content:
            return FileListing.of([self._file(path)])
        if not any(known.startswith(f"{path}/") for known in self._ever):
            raise NotFoundError(f"there is no {path}", code="PATH_NOT_FOUND")
        below = [known for known in sorted(self._content) if known.startswith(f"{path}/")]
        archive = f"{source.source_config.archive_path}/"
        return FileListing.of(self._file(known) for known in below if not known.startswith(archive))

    def stat(self, paths: Iterable[str]) -> Mapping[str, FoundFile]:
        """Files as they are now."""
        return {path: self._file(path) for path in paths if path in self._content}

    def digest(self, files: Sequence[FoundFile]) -> Digests:
        """SHA-256 of files; what was hashed is kept in ``hashed``."""
        self.hashed += [file.path for file in files]
        unreadable = {f: "it cannot be read" for f in files if f.path in self.unreadable}
        hashed = tuple(
            HashedFile(file, hashlib.sha256(self._content[file.path]).hexdigest())
            for file in files
            if file not in unreadable and self._content.get(file.path) is not None
        )
        return Digests(hashed, unreadable)

    def put_away(self, source: FileSource, files: Sequence[HashedFile]) -> Mapping[str, str]:
        """Archive or delete files; one that is in ``immovable`` stays."""
        failures = {}
        for item in files:
            if item.path in self.immovable:
                failures[item.path] = "it cannot be moved"
            elif item.path in self._content and self._file(item.path) == item.file:
                self._move(source, item.path)
        return failures

    def _move(self, source: FileSource, path: str) -> None:
        content = self._content.pop(path)
        archive = source.source_config.archive_path
        if archive is not None:
            inside = path.removeprefix(source.source_config.path).lstrip("/")
            place = f"{archive}/{inside}"
            while self._content.get(place, content) != content:
                place += "-other"
            self._content[place] = content
            self._changes[place] = self._changes[path]

    def _file(self, path: str) -> FoundFile:
        changed = _EPOCH + timedelta(seconds=self._changes[path])
        return FoundFile(path, len(self._content[path]), changed)


@dataclass(frozen=True, slots=True)
class FakeCommit:
    """One transaction of the target: the lines of each file that it holds, and how they went in."""

    batch_id: BatchId
    lines: Mapping[str, tuple[str, ...]]
    mode: WriteMode = WriteMode.APPEND


@dataclass(slots=True)
class FakeTarget:
    """One table. Shared by the loaders of several "processes"."""

    commits: list[FakeCommit] = field(default_factory=list)
    exists: bool = True

    @property
    def rows(self) -> list[str]:
        """Every row, sorted."""
        rows: list[str] = []
        for commit in self.commits:
            brought = [line for lines in commit.lines.values() for line in lines]
            match commit.mode:
                case WriteMode.APPEND:
                    rows += brought
                case WriteMode.OVERWRITE:
                    rows = brought
                case WriteMode.MERGE:
                    rows = [*{_key(line): line for line in (*rows, *brought)}.values()]
        return sorted(rows)

    def version(self, app_id: str) -> int | None:
        """The highest version of an application."""
        ids = [commit.batch_id for commit in self.commits if commit.batch_id.app_id == app_id]
        return max((found.version for found in ids), default=None)


def _key(line: str) -> str:
    return line.partition(" ")[0]


class FakeLoader:
    """A `ports.BatchLoader` over `FakeFiles` and a `FakeTarget`."""

    def __init__(self, files: FakeFiles, target: FakeTarget) -> None:
        self._files = files
        self._target = target
        self.calls: Counter[str] = Counter()

    def committed_version(
        self,
        table: TableName,  # noqa: ARG002 - the fake target is one table
        app_id: str,
    ) -> int | None:
        """The highest version that the target holds."""
        self.calls["committed_version"] += 1
        return self._target.version(app_id)

    def target_state(
        self,
        table: TableName,  # noqa: ARG002 - the fake target is one table
        app_ids: Collection[str],
    ) -> TargetState:
        """Whether the target is there, and the highest version of each application."""
        self.calls["target_state"] += 1
        asked = {app_id: self._target.version(app_id) for app_id in app_ids}
        versions = {app_id: version for app_id, version in asked.items() if version is not None}
        return TargetState(self._target.exists, versions)

    def fence(self, batch: Batch) -> BatchCounts | None:
        """Commit nothing in the batch's name, unless it was committed."""
        self.calls["fence"] += 1
        last = self._target.version(batch.id.app_id)
        if last is None or last < batch.id.version:
            self._target.commits.append(FakeCommit(batch.id, {}))
            return None
        return self._found(batch)

    def recount(self, batch: Batch) -> BatchCounts | None:
        """What the batch's commit holds."""
        self.calls["recount"] += 1
        return self._found(batch)

    def load(self, batch: Batch) -> BatchCounts:
        """Append once; fences out versions below the last one."""
        self.calls["load"] += 1
        last = self._target.version(batch.id.app_id)
        if last is None or last < batch.id.version:
            return self._append(batch)
        if (found := self._found(batch)) is not None:
            return found
        raise FencedOutError(f"batch {batch.id} comes after version {last} of its lane")

    def probe(self, batch: Batch) -> Mapping[str, str]:
        """Why each bad file is bad."""
        self.calls["probe"] += 1
        return {path: why for path in batch.paths if (why := self._fault(path))}

    def _append(self, batch: Batch) -> BatchCounts:
        for path in batch.paths:
            if why := self._fault(path):
                raise BadFilesError({path: why})
        lines = {path: tuple(self._files.text(path).splitlines()) for path in batch.paths}
        mode = batch.source.target_config.write_mode
        self._target.commits.append(FakeCommit(batch.id, lines, mode))
        return BatchCounts({path: len(rows) for path, rows in lines.items()})

    def _found(self, batch: Batch) -> BatchCounts | None:
        for commit in self._target.commits:
            if commit.batch_id == batch.id:
                return BatchCounts({path: len(rows) for path, rows in commit.lines.items()})
        return None

    def _fault(self, path: str) -> str:
        try:
            return "it holds BAD" if "BAD" in self._files.text(path) else ""
        except KeyError:
            return "it is gone"
