"""Compressed files: opened, and checked where Spark's reader does not look."""

from __future__ import annotations

import bz2
import gzip
import zlib
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeflow_meta.backends.spark_ingest.compressed_files import (
    CompressionError,
    check_compression,
    open_text,
)


def in_blocks(data: bytes, codec: str, block: int = 700, chunk: int = 300) -> bytes:
    """As Hadoop writes them: blocks of chunks, each with its length in front."""
    made = b""
    for start in range(0, len(data), block):
        whole = data[start : start + block]
        made += len(whole).to_bytes(4, "big")
        for at in range(0, len(whole), chunk):
            packed = pa.Codec(codec).compress(whole[at : at + chunk], asbytes=True)
            made += len(packed).to_bytes(4, "big") + packed
    return made


def packed(data: bytes, suffix: str) -> bytes:
    match suffix:
        case ".gz":
            return gzip.compress(data)
        case ".bz2":
            return bz2.compress(data)
        case ".deflate":
            return zlib.compress(data)
        case ".zst":
            return bytes(pa.compress(data, "zstd", asbytes=True))
        case ".snappy":
            return in_blocks(data, "snappy")
        case ".lz4":
            return in_blocks(data, "lz4_raw")
    return data


SUFFIXES = [".gz", ".bz2", ".deflate", ".zst", ".snappy", ".lz4", ""]
CHECKED = [".bz2", ".snappy", ".lz4"]
"""What Spark takes for a shorter file when it is torn. (Torn between two blocks it is one.)"""


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=2000))
@settings(max_examples=30)
def test_any_text_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, text: str
) -> None:
    path = tmp_path_factory.mktemp("packed") / f"a.csv{suffix}"
    path.write_bytes(packed(text.encode(), suffix))
    if text:
        check_compression(path)
    with path.open("rb") as stream, open_text(stream, suffix, "utf-8") as file:
        assert file.read() == text


@pytest.mark.parametrize("suffix", CHECKED)
@given(cut=st.integers(1, 9), lines=st.integers(60, 120))
@settings(max_examples=30)
def test_a_file_that_is_torn_is_refused(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, cut: int, lines: int
) -> None:
    path = tmp_path_factory.mktemp("torn") / f"a.csv{suffix}"
    data = packed(b"".join(b"%d,name\n" % (n * 7919 % 9973) for n in range(lines)), suffix)
    path.write_bytes(data[:-cut])
    with pytest.raises(CompressionError):
        check_compression(path)


@pytest.mark.parametrize("suffix", CHECKED)
def test_a_file_of_another_format_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.csv{suffix}"
    path.write_bytes(b"id,name\n1,a\n")
    with pytest.raises(CompressionError):
        check_compression(path)


@pytest.mark.parametrize("suffix", [".zip", ".xz", ".7z", ".tar"])
def test_a_compression_that_spark_takes_for_text_is_refused_by_name(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"a.csv{suffix}"
    path.write_bytes(b"")
    with pytest.raises(CompressionError, match=f"Spark does not read {suffix}"):
        check_compression(path)
