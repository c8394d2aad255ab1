"""Every file that a source names, as columns. Pure.

A folder may hold a hundred thousand files of which one is new: a listing is a few megabytes of
Arrow, and files become objects only where something is to be done with them.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakeflow_meta.ingest.files import FoundFile

IDENTITY = ("file_path", "size_bytes", "modified_at")
"""Columns that tell one state of a file from another without reading it."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCHEMA = pa.schema(
    [
        ("file_path", pa.string()),
        ("size_bytes", pa.int64()),
        ("modified_at", pa.timestamp("us", "UTC")),
    ]
)
_ROWS_AT_ONCE = 8192


class FileListing:
    """Files by path, size and modification time. Never changes.

    ``refused``: files that are there but can never be ingested under their name, with the reason.
    """

    def __init__(self, columns: pa.Table, refused: Mapping[str, str] | None = None) -> None:
        self.columns = columns
        self.refused = dict(refused or {})

    @classmethod
    def of(cls, files: Iterable[FoundFile]) -> FileListing:
        """The listing of these files."""
        builder = ListingBuilder()
        for file in files:
            builder.add(file.path, file.size_bytes, _microseconds(file.modified_at))
        return builder.listing()

    def __len__(self) -> int:
        return int(self.columns.num_rows)

    def __iter__(self) -> Iterator[FoundFile]:
        for batch in self.columns.to_batches(max_chunksize=_ROWS_AT_ONCE):
            paths, sizes, times = (batch.column(name) for name in IDENTITY)
            rows = zip(
                paths.to_pylist(),
                sizes.to_pylist(),
                times.cast(pa.int64()).to_pylist(),
                strict=True,
            )
            for path, size, microseconds in rows:
                yield found_file(path, size, microseconds)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return int(pc.sum(self.columns["size_bytes"]).as_py() or 0)

    def modified_until(self, moment: datetime) -> FileListing:
        """Files that are at least so old."""
        buffers = [None, pa.py_buffer(array("q", [_microseconds(moment)]))]
        newest = pa.Array.from_buffers(self.columns["modified_at"].type, 1, buffers)[0]
        return self._where(pc.less_equal(self.columns["modified_at"], newest))

    def unlike(self, states: pa.Table) -> FileListing:
        """Files that are not in ``states`` (columns `IDENTITY`) as they are now."""
        if not self or not states.num_rows:
            return self
        rest = self._where(self._unlike_the_first(states))
        if not rest:
            return rest
        paths = rest.columns["file_path"].combine_chunks()
        known = _keys(states.filter(pc.is_in(states["file_path"], value_set=paths)))
        there = pc.is_in(_keys(rest.columns), value_set=known.combine_chunks())
        return FileListing(rest.columns.filter(pc.invert(there)), self.refused)

    def _unlike_the_first(self, states: pa.Table) -> pa.ChunkedArray:
        """Whether each file is not as the first state of its path says; few are not.

        A table of paths alone takes a third of the memory of one of whole states.
        """
        first = pc.index_in(self.columns["file_path"], value_set=states["file_path"])
        other = [
            pc.not_equal(self.columns[name], states[name].take(first)) for name in IDENTITY[1:]
        ]
        return pc.or_kleene(pc.is_null(first), pc.or_(*other))

    def without(self, other: FileListing) -> FileListing:
        """Files that the other listing does not have."""
        return self._where(pc.invert(self._has(other.columns["file_path"].combine_chunks())))

    def has_any(self, paths: Collection[str]) -> bool:
        """Whether one of the paths is listed."""
        return bool(pc.any(self._has(texts(sorted(paths)))).as_py())

    def count(self, paths: Collection[str]) -> int:
        """How many of the paths are listed."""
        return len(self._where(self._has(texts(sorted(paths))))) if paths else 0

    def matching(self, wanted: Collection[str]) -> tuple[FileListing, set[str]]:
        """Files of these names or patterns; and which of them matched something."""
        literal = set(self._where(self._has(texts(sorted(wanted)))).paths())
        patterns = set(wanted) - literal
        chosen, used = set(literal), set(literal)
        for path in self.paths() if patterns else ():
            matched = {pattern for pattern in patterns if fnmatchcase(path, pattern)}
            if matched:
                chosen.add(path)
                used |= matched
        return self._where(self._has(texts(sorted(chosen)))), used

    def paths(self) -> Iterator[str]:
        """Paths of all files."""
        for batch in self.columns.to_batches(max_chunksize=_ROWS_AT_ONCE):
            yield from batch.column("file_path").to_pylist()

    def _has(self, paths: pa.Array) -> pa.ChunkedArray:
        return pc.is_in(self.columns["file_path"], value_set=paths)

    def _where(self, mask: Any) -> FileListing:
        return FileListing(self.columns.filter(mask), self.refused)


class ListingBuilder:
    """Takes files one by one, and keeps them as columns.

    The columns are filled byte by byte: `pyarrow.array` of a list imports pandas, which costs more
    than to list ten thousand files.
    """

    def __init__(self) -> None:
        self._batches: list[pa.RecordBatch] = []
        self._refused: dict[str, str] = {}
        self._start()

    def _start(self) -> None:
        self._paths = bytearray()
        self._ends = array("i", [0])
        self._sizes = array("q")
        self._times = array("q")

    def add(self, path: str, size_bytes: int, modified_us: int) -> None:
        """One file; ``modified_us``: microseconds since 1970."""
        try:
            self._paths += path.encode()
        except UnicodeEncodeError:  # names of files may be any bytes; the ledger holds text
            self.refuse(path, "its name is no text in UTF-8; rename it")
            return
        self._ends.append(len(self._paths))
        self._sizes.append(size_bytes)
        self._times.append(modified_us)
        if len(self._sizes) >= _ROWS_AT_ONCE:
            self._pack()

    def refuse(self, path: str, reason: str) -> None:
        """One file that can never be ingested under its name."""
        self._refused[path.encode(errors="backslashreplace").decode()] = reason

    def _pack(self) -> None:
        count = len(self._sizes)
        paths = [None, pa.py_buffer(self._ends), pa.py_buffer(self._paths)]
        columns = [pa.Array.from_buffers(pa.string(), count, paths)]
        for field, values in zip(list(_SCHEMA)[1:], (self._sizes, self._times), strict=True):
            buffers = [None, pa.py_buffer(values)]
            columns.append(pa.Array.from_buffers(field.type, count, buffers))
        self._batches.append(pa.RecordBatch.from_arrays(columns, schema=_SCHEMA))
        self._start()

    def listing(self) -> FileListing:
        """Everything that was added."""
        if self._sizes:
            self._pack()
        return FileListing(pa.Table.from_batches(self._batches, _SCHEMA), self._refused)


def texts(values: Iterable[str]) -> pa.Array:
    """Strings as Arrow, without pandas; see `ListingBuilder`."""
    data, ends = bytearray(), array("i", [0])
    for value in values:
        data += value.encode()
        ends.append(len(data))
    return pa.Array.from_buffers(
        pa.string(), len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(data)]
    )


def found_file(path: str, size_bytes: int, modified_us: int) -> FoundFile:
    """A file from its row."""
    return FoundFile(path, size_bytes, EPOCH + timedelta(microseconds=modified_us))


def _keys(rows: pa.Table | pa.RecordBatch) -> pa.ChunkedArray | pa.Array:
    """One text for each state of a file; no path holds a NUL."""
    size = rows["size_bytes"].cast(pa.string())
    modified = rows["modified_at"].cast(pa.int64()).cast(pa.string())
    return pc.binary_join_element_wise(rows["file_path"], size, modified, texts(["\0"])[0])


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)
