"""The columns that files tell."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.backends.spark_ingest.file_columns import ColumnsUnreadableError, read_columns
from lakeflow_meta.ingest.batch import BatchId, BatchLimits, packed
from lakeflow_meta.ingest.formats import FileFormat

HEADER = {"header": "true"}


def names(path: Path, **options: str) -> list[str] | None:
    found = read_columns(path, FileFormat.CSV, {**HEADER, **options})
    return None if found is None else [name for name, _ in found]


@pytest.mark.parametrize(
    ("data", "options", "expected"),
    [
        (b"a,b\n1,2\n", {}, ["a", "b"]),
        (b"\xef\xbb\xbfa;b\r\n", {"sep": ";"}, ["a", "b"]),
        (b"\n\n# note\na\tb\n", {"delimiter": "\\t", "comment": "#"}, ["a", "b"]),
        (b'"a, b","c ""d""",e\n', {}, ["a, b", 'c "d"', "e"]),
        ("é,ü\n".encode("latin-1"), {"encoding": "latin-1"}, ["é", "ü"]),
        (b"", {}, None),
        (b"\n  \n", {}, None),
    ],
)
def test_a_header_is_read_as_the_options_say(
    tmp_path: Path, data: bytes, options: dict[str, str], expected: list[str] | None
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    assert names(path, **options) == expected


def test_a_compressed_header_is_read_and_a_torn_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 10)
    path.write_bytes(whole)
    assert names(path) == ["a", "b"]
    path.write_bytes(whole[:12])
    with pytest.raises(ColumnsUnreadableError):
        names(path)
    path.write_bytes(b"a,b\n")
    with pytest.raises(ColumnsUnreadableError):
        names(path)


def test_a_name_given_twice_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b,A\n")
    with pytest.raises(ColumnsUnreadableError, match="'A' twice"):
        names(path)


def test_a_file_without_a_header_tells_how_many_columns_it_has(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1,2\n")
    assert read_columns(path, FileFormat.CSV, {"header": "false"}) == (("", ""), ("", ""))


def test_a_parquet_footer_tells_names_and_types(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": pa.array([1], pa.int32())}), path)
    assert read_columns(path, FileFormat.PARQUET, {}) == (("id", "int32"),)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ColumnsUnreadableError):
        read_columns(path, FileFormat.PARQUET, {})


@given(
    st.lists(
        st.text(
            st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\\\ufeff"),
            min_size=1,
            max_size=8,
        ).filter(str.strip),
        min_size=1,
        max_size=6,
        unique_by=str.lower,
    )
)
def test_any_header_that_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, written: list[str]
) -> None:
    path = tmp_path_factory.mktemp("headers") / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerow(written)
    assert names(path) == written


@given(st.lists(st.integers(0, 100)), st.integers(1, 5), st.integers(1, 150))
def test_packing_keeps_order_and_limits_and_loses_nothing(
    sizes: list[int], max_files: int, max_bytes: int
) -> None:
    items = list(range(len(sizes)))
    batches = list(packed(items, sizes, BatchLimits(max_files, max_bytes)))
    assert [item for batch in batches for item in batch] == items
    for batch in batches:
        assert 1 <= len(batch) <= max_files
        assert len(batch) == 1 or sum(sizes[item] for item in batch) <= max_bytes


@given(st.text(min_size=1), st.integers(0, 2**62))
def test_a_batch_id_reads_back(app_id: str, version: int) -> None:
    assert BatchId.parse(str(BatchId(app_id, version))) == BatchId(app_id, version)
