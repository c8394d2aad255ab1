"""Where the parts of a run go: each into a file of its own, or all into one zip.

The files have staging names; `WrittenFile` says which is which.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from lakeflow_meta.backends.extracts.streams import Archive, ByteSink, HashedFile, compressed
from lakeflow_meta.extract.file_plan import FilePlan
from lakeflow_meta.extract.publication import WrittenFile
from lakeflow_meta.extract.words import CompressionType


class Store(Protocol):
    """Where the parts of a run go: each into a file of its own, or all into one zip."""

    def open(self, part: int) -> ByteSink:
        """Begin a part."""

    def close(self, part: int, rows: int, content_bytes: int) -> None:
        """End it."""

    def finish(self) -> list[WrittenFile]:
        """All files."""

    def abandon(self) -> None:
        """Close what is open."""


class SeparateFiles:
    """A file for each part; a zip of its own where files are zipped."""

    def __init__(self, folder: Path, plan: FilePlan) -> None:
        self._folder = folder
        self._plan = plan
        self._file: HashedFile | None = None
        self._sink: ByteSink | None = None
        self._zip: Archive | None = None
        self._written: list[WrittenFile] = []

    def open(self, part: int) -> ByteSink:
        plan = self._plan
        self._file = HashedFile(self._folder / staged_name(part))
        if plan.compression is CompressionType.ZIP:
            self._zip = Archive(self._file, plan.level)
            self._sink = self._zip.entry(plan.names.inner(part))
        else:
            self._sink = compressed(self._file, plan.compression, plan.level)
        return self._sink

    def close(self, part: int, rows: int, content_bytes: int) -> None:
        if self._file is None or self._sink is None:
            return
        self._sink.close()
        if self._zip is not None:
            self._zip.close()
        self._file.close()
        name, file = self._plan.names.data(part), self._file
        self._written.append(
            WrittenFile(name, staged_name(part), rows, file.size_bytes, content_bytes, file.sha256)
        )

    def finish(self) -> list[WrittenFile]:
        return self._written

    def abandon(self) -> None:
        if self._file is not None and not self._file.closed:
            self._file.abandon()
            if self._zip is not None:
                self._zip.close()


class OneArchive:
    """One zip for all parts."""

    def __init__(self, folder: Path, plan: FilePlan) -> None:
        self._plan = plan
        self._file = HashedFile(folder / staged_name(1))
        self._zip = Archive(self._file, plan.level)
        self._sink: ByteSink | None = None
        self._entries: list[dict[str, Any]] = []

    def open(self, part: int) -> ByteSink:
        self._sink = self._zip.entry(self._plan.names.data(part))
        return self._sink

    def close(self, part: int, rows: int, content_bytes: int) -> None:
        if self._sink is not None:
            self._sink.close()
        name = self._plan.names.data(part)
        self._entries.append({"name": name, "rows": rows, "bytes": content_bytes})

    def finish(self) -> list[WrittenFile]:
        self._zip.close()
        self._file.close()
        return [
            WrittenFile(
                name=self._plan.names.archive or "",
                staged=staged_name(1),
                rows=sum(entry["rows"] for entry in self._entries),
                size_bytes=self._file.size_bytes,
                content_bytes=sum(entry["bytes"] for entry in self._entries),
                sha256=self._file.sha256,
                entries=tuple(self._entries),
            )
        ]

    def abandon(self) -> None:
        if not self._file.closed:
            self._file.abandon()
            self._zip.close()


def staged_name(part: int) -> str:
    """What the file of a part is called before it is published."""
    return f"{part:06}.partial"
