"""Bytes on their way into the file of an extract: encoded, compressed, hashed, written in order.

A file is written once, from its begin to its end, and never read or sought in, so that it may lie
on a mounted volume: https://docs.databricks.com/volumes/volume-files (no random writes there).
"""

from __future__ import annotations

import codecs
import hashlib
import os
import queue
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from zipfile import ZIP_DEFLATED, ZipFile

from lakeflow_meta.extract.words import CompressionType

_GZIP_HEADER = 31
"""``wbits``: the largest window, with a gzip header: https://zlib.net/manual.html"""
_AHEAD = 4
"""Pieces that wait to be written; more would only take memory."""
_READABLE = 0o644
"""Permissions of files in a zip."""


class ByteSink(Protocol):
    """Takes bytes in order."""

    def write(self, data: Any, /) -> int:
        """Take all of it."""

    def close(self) -> None:
        """Nothing more comes."""


class HashedFile:
    """A new file that knows its size and its SHA-256. What `close` returned from is on disk."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb", buffering=0)
        self._digest = hashlib.sha256()
        self.size_bytes = 0
        self.closed = False

    def write(self, data: Any, /) -> int:
        """Take all of it; a short write of the system goes on."""
        if self.closed:
            return len(data)  # abandoned: a zip that is let go of still writes its end
        left = memoryview(data).cast("B")
        self._digest.update(left)
        total = len(left)
        while left:
            left = left[self._file.write(left) or 0 :]
        self.size_bytes += total
        return total

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Write through to the disk."""
        if not self.closed:
            self.closed = True
            os.fsync(self._file.fileno())
            self._file.close()

    def abandon(self) -> None:
        """Close a file that nobody will want; what is still written to it goes nowhere."""
        self.closed = True
        self._file.close()

    @property
    def sha256(self) -> str:
        """Of what was written so far, in hex."""
        return self._digest.hexdigest()


class Compressed:
    """Compresses on the way into another sink, which stays open."""

    def __init__(self, sink: ByteSink, compressor: Any) -> None:
        self._sink = sink
        self._compressor = compressor

    def write(self, data: Any, /) -> int:
        """Take all of it."""
        if packed := self._compressor.compress(data):
            self._sink.write(packed)
        return len(data)

    def close(self) -> None:
        """Write what the compressor still holds."""
        self._sink.write(self._compressor.flush())


class Encoded:
    """UTF-8 on the way into another sink, in another encoding. Raises UnicodeEncodeError."""

    def __init__(self, sink: ByteSink, encoding: str) -> None:
        self._sink = sink
        self._encoder = codecs.getincrementalencoder(encoding)()
        self.size_bytes = 0

    def write(self, data: Any, /) -> int:
        """Take all of it; never half a character."""
        encoded = self._encoder.encode(str(data, "utf-8"))
        self.size_bytes += len(encoded)
        self._sink.write(encoded)
        return len(data)

    def close(self) -> None:
        """Write what the encoder still holds. The sink stays open."""
        encoded = self._encoder.encode("", final=True)
        self.size_bytes += len(encoded)
        self._sink.write(encoded)


class _NoSeeking:
    """What `ZipFile` needs of a file that only grows."""

    def __init__(self, sink: ByteSink) -> None:
        self._sink = sink

    def write(self, data: Any, /) -> int:
        return self._sink.write(data)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Not here."""


class Archive:
    """A zip whose files are written one after another."""

    def __init__(self, sink: HashedFile, level: int | None) -> None:
        self._zip = ZipFile(_NoSeeking(sink), "w", ZIP_DEFLATED, compresslevel=level)
        self._entry: Any = None

    def entry(self, name: str) -> ByteSink:
        """The next file; the one before it is closed. All have the same time, 1980: the same rows
        make the same bytes.
        """
        self._entry = self._zip.open(name, "w", force_zip64=True)
        return self._entry  # type: ignore[no-any-return]  # it writes and closes

    def close(self) -> None:
        """Write the list of files. The file below stays open."""
        if self._entry is not None:
            self._entry.close()
        for held in self._zip.infolist():
            held.external_attr = _READABLE << 16
        self._zip.close()


def compressed(sink: ByteSink, kind: CompressionType | None, level: int | None) -> ByteSink:
    """The way into a file of text; a zip is an `Archive`."""
    if kind is CompressionType.GZIP:
        return Compressed(sink, _gzip(zlib.Z_DEFAULT_COMPRESSION if level is None else level))
    if kind is CompressionType.ZSTD:
        import zstandard

        return Compressed(sink, zstandard.ZstdCompressor(level=level or 3).compressobj())
    return sink


def _gzip(level: int) -> Any:
    """By zlib-ng, which makes the same of it in less than half the time; by zlib where this
    machine has no wheel of the former.
    """
    try:
        from zlib_ng import zlib_ng
    except ImportError:
        return zlib.compressobj(level, zlib.DEFLATED, _GZIP_HEADER)
    return zlib_ng.compressobj(level, zlib.DEFLATED, _GZIP_HEADER)


class InBackground:
    """Does pieces of work in order, in a thread of its own: compressing lets others run.

    An error of the work is raised by the next call. After `abandon` nothing more is done.
    """

    def __init__(self, work: Callable[[Any], object], name: str, ahead: int = _AHEAD) -> None:
        self._work = work
        self._pieces: queue.Queue[Any] = queue.Queue(ahead)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, piece: Any) -> None:
        """Hand over a piece; waits while too many wait."""
        self._raise()
        self._pieces.put(piece)

    def finish(self) -> None:
        """Wait until all is done."""
        self._pieces.put(_END)
        self._thread.join()
        self._raise()

    def abandon(self) -> None:
        """Give up what waits."""
        self._error = self._error or BrokenPipeError("abandoned")
        self._pieces.put(_END)
        self._thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (piece := self._pieces.get()) is not _END:
            if self._error is None:
                try:
                    self._work(piece)
                except BaseException as error:  # noqa: BLE001 (it is raised where the work is given)
                    self._error = error


_END = object()
