"""Compressed files of text: opened here to read what they begin with, and checked where Spark's
reader does not.

Spark takes the compression from the suffix of the name. Its readers of ``.snappy`` and ``.lz4``
(Hadoop's block format) read a torn file as a shorter one, and those and ``.bz2`` read a file of
another format as one of no rows; so both are found out here.
"""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO

import pyarrow as pa

_BZ2_BEGIN, _BZ2_END = b"BZh", 0x177245385090
_BZ2_TAIL = 11  # 48 bits of mark, 32 of checksum, up to 7 to fill the last byte
HADOOP_CODECS = {".snappy": "snappy", ".lz4": "lz4_raw"}
"""Suffixes of Hadoop's block format, and pyarrow's name for what is in the blocks."""
_UNREADABLE = (".zip", ".7z", ".xz", ".lzma", ".lzo", ".br", ".z", ".rar", ".tar", ".tgz", ".tbz2")
"""Suffixes of compressions that Spark reads as if they were text."""

_MOST_IN_BLOCK = 2**30


class CompressionError(ValueError):
    """A compressed file is torn, or is not what its suffix says."""


def open_text(stream: BinaryIO, suffix: str, encoding: str) -> IO[str]:
    """The text of a file that is open; ``suffix`` of its name tells how it is compressed.

    Reading raises CompressionError, OSError, UnicodeError, LookupError, zlib.error, EOFError.
    """
    opener = _OPENERS.get(suffix.lower())
    binary = stream if opener is None else opener(stream)
    return io.TextIOWrapper(binary, encoding=encoding, newline="")


def check_suffix(suffix: str) -> None:
    """Raises CompressionError for a compression that Spark would read as if it were text."""
    if suffix.lower() in _UNREADABLE:
        raise CompressionError(f"Spark does not read {suffix}; unpack it, or pack it as .gz")


def check_compression(path: Path) -> None:
    """Raises CompressionError for a file that Spark would read wrongly; OSError."""
    suffix = path.suffix.lower()
    check_suffix(suffix)
    if suffix in HADOOP_CODECS:
        with path.open("rb") as stream:
            for _ in _chunks(stream, HADOOP_CODECS[suffix]):
                pass
    elif suffix == ".bz2":
        _check_bz2(path)


def _check_bz2(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(_BZ2_BEGIN)) != _BZ2_BEGIN:
            raise CompressionError("it is no bzip2 file")
        file.seek(-min(_BZ2_TAIL, path.stat().st_size), io.SEEK_END)
        tail = int.from_bytes(file.read(), "big")
    if not any((tail >> (32 + fill)) & (2**48 - 1) == _BZ2_END for fill in range(8)):
        raise CompressionError("it is torn: the end of a bzip2 file is missing")


# --------------------------------------------------------------------------- Hadoop's blocks


def _chunks(file: BinaryIO, codec: str) -> Iterator[tuple[bytes, int]]:
    """The compressed chunks of a file with the bytes that they unpack to. Raises CompressionError.

    A block is its unpacked length and then chunks, each with its packed length before it, until
    that many bytes have come: Hadoop's ``BlockCompressorStream``.
    """
    while head := file.read(4):
        left = _number(head)
        while left:
            packed = _exactly(file, _number(file.read(4)))
            size = _unpacked_size(packed, codec, left)
            yield packed, size
            left -= size


def _number(head: bytes) -> int:
    value = int.from_bytes(head, "big")
    if len(head) < 4:
        raise CompressionError("it is torn")
    if value > _MOST_IN_BLOCK:
        raise CompressionError(
            "it is not in Hadoop's block format, the only one that Spark reads; pack it as .gz"
        )
    return value


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size or not size:
        raise CompressionError("it is torn")
    return data


def _unpacked_size(packed: bytes, codec: str, most: int) -> int:
    size = _snappy_size(packed) if codec == "snappy" else _lz4_size(packed, most)
    if not 0 < size <= most:
        raise CompressionError("it is damaged: the lengths of its blocks do not fit")
    return size


def _snappy_size(packed: bytes) -> int:
    """Snappy's data begins with its unpacked length, seven bits a byte, lowest first."""
    size = 0
    for place, byte in enumerate(packed[:5]):
        size |= (byte & 127) << (7 * place)
        if byte < 128:
            return size
    return 0


def _lz4_size(packed: bytes, most: int) -> int:
    """LZ4's data does not tell: it is the least room that it fits into."""
    if not _fits(packed, most):
        return 0
    low, high = 0, most
    if not _fits(packed, most - 1):
        return most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _fits(packed, middle) else (middle, high)
    return high


def _fits(packed: bytes, room: int) -> bool:
    try:
        pa.Codec("lz4_raw").decompress(packed, room)
    except (OSError, ValueError):
        return False
    return True


class _Stream(io.RawIOBase):
    """The bytes of an iterator of pieces, as a file that is read from front to back."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the next piece goes; 0 at the end."""
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def _hadoop(codec: str) -> Callable[[BinaryIO], BinaryIO]:
    def unpacked(stream: BinaryIO) -> BinaryIO:
        unpack = pa.Codec(codec).decompress
        pieces = (unpack(packed, size, asbytes=True) for packed, size in _chunks(stream, codec))
        return io.BufferedReader(_Stream(pieces))

    return unpacked


def _deflate(stream: BinaryIO) -> BinaryIO:
    unpacker = zlib.decompressobj()
    pieces = (unpacker.decompress(data) for data in iter(lambda: stream.read(2**16), b""))
    return io.BufferedReader(_Stream(piece for piece in pieces if piece))


def _gzip(stream: BinaryIO) -> gzip.GzipFile:
    return gzip.GzipFile(fileobj=stream)


def _zstd(stream: BinaryIO) -> IO[bytes]:
    unpacked: IO[bytes] = pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd")
    return unpacked


_OPENERS: Mapping[str, Callable[[BinaryIO], Any]] = {
    ".gz": _gzip,
    ".bz2": bz2.BZ2File,
    ".deflate": _deflate,
    ".zst": _zstd,
    **{suffix: _hadoop(codec) for suffix, codec in HADOOP_CODECS.items()},
}
