"""The files themselves: parts, compression, encodings, archives, and a disk that is full."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from extract_samples import declared
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeflow_meta.backends.extracts import streams as extract_streams
from lakeflow_meta.backends.extracts.writing import write_files
from lakeflow_meta.errors import BackendError
from lakeflow_meta.extract.config import Extract
from lakeflow_meta.extract.file_plan import FilePlan
from lakeflow_meta.extract.publication import WrittenFile
from lakeflow_meta.extract.run_files import RunFiles

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def table(rows: int) -> pa.Table:
    return pa.table({"id": range(rows), "name": [f"näme {number}" for number in range(rows)]})


def write(
    folder: Path, rows: pa.Table, batch_rows: int = 7, **changes: Any
) -> list[tuple[WrittenFile, bytes]]:
    extract = Extract.model_validate(declared(**changes))
    plan = FilePlan(extract, RunFiles(extract, MOMENT))
    folder.mkdir(exist_ok=True)
    batches = rows.to_batches(max_chunksize=batch_rows)
    files = write_files(folder, plan, rows.schema, batches)
    found = [(file, (folder / file.staged).read_bytes()) for file in files]
    for file, data in found:
        assert (file.size_bytes, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert sum(file.rows for file in files) == rows.num_rows
    return found


def ids(data: bytes, encoding: str = "utf-8") -> list[int]:
    return [int(row["id"]) for row in csv.DictReader(io.StringIO(data.decode(encoding)))]


def test_rows_are_split_into_parts_and_none_is_lost_or_twice(tmp_path: Path) -> None:
    found = write(tmp_path, table(2500), 999, file={"max_rows_per_file": 1000})
    names = [f"customers_part{number:04}.csv" for number in (1, 2, 3)]
    assert [(file.name, file.rows) for file, _ in found] == list(
        zip(names, (1000, 1000, 500), strict=True)
    )
    assert [number for _, data in found for number in ids(data)] == list(range(2500))
    assert [file.content_bytes for file, _ in found] == [len(data) for _, data in found]


def test_no_rows_make_one_file_with_a_header(tmp_path: Path) -> None:
    ((file, data),) = write(tmp_path, table(0), file={"max_rows_per_file": 10})
    assert (file.name, file.rows, data) == ("customers_part0001.csv", 0, b"id,name\n")
    ((_, data),) = write(tmp_path / "json", table(0), file={"format": "json"})
    assert json.loads(data) == []
    ((file, _),) = write(tmp_path / "pq", table(0), file={"format": "parquet"})
    assert pq.read_table(tmp_path / "pq" / file.staged).num_rows == 0


@settings(max_examples=40)
@given(
    st.integers(0, 60),
    st.integers(1, 20),
    st.integers(20, 200),
    st.sampled_from(["csv", "jsonl", "json"]),
    st.sampled_from([None, "cp1252", "utf-16"]),
)
def test_no_file_has_more_bytes_than_it_may(
    tmp_path_factory: Any, rows: int, batch_rows: int, limit: int, form: str, encoding: str | None
) -> None:
    file: dict[str, Any] = {"format": form, "max_bytes_per_file": limit}
    if form == "csv":
        file |= {"footer": "rows {rows}"} | ({"encoding": encoding} if encoding else {})
    found = write(tmp_path_factory.mktemp("x"), table(rows), batch_rows, file=file)
    for written, data in found:
        assert len(data) <= limit or written.rows <= 1
        assert written.content_bytes == len(data)
    if form == "csv":
        lines = [
            line for _, data in found for line in data.decode(encoding or "utf-8").splitlines()
        ]
        values = [line.split(",")[0] for line in lines]
        assert [value for value in values if value.isdigit()] == [str(n) for n in range(rows)]


def test_each_part_of_json_is_a_document_of_its_own(tmp_path: Path) -> None:
    found = write(tmp_path, table(5), 2, file={"format": "json", "max_rows_per_file": 2})
    read = [json.loads(data) for _, data in found]
    assert [len(each) for each in read] == [2, 2, 1]
    assert [row["id"] for each in read for row in each] == list(range(5))


@pytest.mark.parametrize("level", [None, 1, 9, "maximum"])
def test_gzip_holds_the_same(tmp_path: Path, level: Any) -> None:
    compression = {"type": "gzip"} | ({} if level is None else {"level": level})
    ((file, data),) = write(tmp_path, table(1000), compression=compression)
    assert file.name == "customers.csv.gz"
    assert ids(gzip.decompress(data)) == list(range(1000))
    assert file.content_bytes == len(gzip.decompress(data)) > file.size_bytes


def test_zlib_makes_gzip_where_there_is_no_wheel_of_zlib_ng(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "zlib_ng", None)
    ((_, data),) = write(tmp_path, table(100), compression={"type": "gzip"})
    assert ids(gzip.decompress(data)) == list(range(100))


def test_zstd_is_one_frame_of_the_level_that_was_asked_for(tmp_path: Path) -> None:
    found = {}
    for level in (1, 19):
        compression = {"type": "zstd", "level": level}
        ((file, data),) = write(tmp_path / str(level), table(5000), compression=compression)
        assert file.name == "customers.csv.zst"
        with zstandard.ZstdDecompressor().stream_reader(data) as reader:
            assert ids(reader.read()) == list(range(5000))
        found[level] = len(data)
    assert found[19] != found[1]


def test_a_zip_holds_the_file_under_its_plain_name(tmp_path: Path) -> None:
    found = write(
        tmp_path, table(30), file={"max_rows_per_file": 20}, compression={"type": "zip", "level": 0}
    )
    assert [file.name for file, _ in found] == [
        "customers_part0001.csv.zip",
        "customers_part0002.csv.zip",
    ]
    inside = [zipfile.ZipFile(io.BytesIO(data)) for _, data in found]
    assert [each.namelist() for each in inside] == [
        ["customers_part0001.csv"],
        ["customers_part0002.csv"],
    ]
    assert all(each.testzip() is None for each in inside)
    assert ids(inside[1].read("customers_part0002.csv")) == list(range(20, 30))


def test_an_archive_holds_all_files_of_a_run(tmp_path: Path) -> None:
    ((file, data),) = write(
        tmp_path,
        table(30),
        file={"max_rows_per_file": 20},
        compression={"type": "zip", "archive": {"name": "all", "timestamp_format": "yyyyMMdd"}},
    )
    with zipfile.ZipFile(io.BytesIO(data)) as inside:
        assert inside.namelist() == ["customers_part0001.csv", "customers_part0002.csv"]
        assert ids(inside.read("customers_part0002.csv")) == list(range(20, 30))
        sizes = [info.file_size for info in inside.infolist()]
    assert file.name == "all_20260101.zip"
    assert [(entry["rows"], entry["bytes"]) for entry in file.entries] == list(
        zip((20, 10), sizes, strict=True)
    )


@pytest.mark.parametrize("kind", [None, "gzip", "zstd", "snappy", "lz4", "brotli"])
def test_parquet_is_compressed_inside(tmp_path: Path, kind: str | None) -> None:
    changes = {} if kind is None else {"compression": {"type": kind}}
    found = write(
        tmp_path, table(50), file={"format": "parquet", "max_rows_per_file": 20}, **changes
    )
    assert [file.name for file, _ in found] == [f"customers_part000{n}.parquet" for n in (1, 2, 3)]
    read = [pq.ParquetFile(tmp_path / file.staged) for file, _ in found]
    columns = [each.metadata.row_group(0).column(0).compression for each in read]
    assert set(columns) == {(kind or "uncompressed").upper()}
    assert pa.concat_tables(each.read() for each in read).equals(table(50))


def test_parquet_ends_a_file_with_the_row_group_that_fills_it(tmp_path: Path) -> None:
    rows = pa.table({"x": pa.array(range(400_000))})
    found = write(
        tmp_path, rows, 50_000, file={"format": "parquet", "max_bytes_per_file": 1_000_000}
    )
    assert len(found) > 1
    assert all(file.size_bytes < 3_000_000 for file, _ in found)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig"])
def test_text_is_in_its_encoding_with_one_mark_at_its_begin(tmp_path: Path, encoding: str) -> None:
    ((_, data),) = write(tmp_path, table(100), file={"encoding": encoding})
    expected = "id,name\n" + "".join(f"{n},näme {n}\n" for n in range(100))
    assert data == expected.encode(encoding)


def test_a_letter_that_the_encoding_has_not_is_told(tmp_path: Path) -> None:
    rows = pa.table({"a": ["ok", "č"]})
    with pytest.raises(BackendError, match="'č' cannot be written in cp1252"):
        write(tmp_path, rows, file={"encoding": "cp1252"})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"compression": {"type": "gzip"}},
        {"compression": {"type": "zip"}},
        {"compression": {"type": "zip", "archive": {}}},
        {"file": {"format": "parquet"}},
    ],
    ids=["plain", "gzip", "zip", "archive", "parquet"],
)
def test_a_full_disk_is_told_and_nothing_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    left = [5_000]
    real = extract_streams.HashedFile.write

    def write_until_full(self: Any, data: Any) -> int:
        if not self.closed:
            left[0] -= len(memoryview(data).cast("B"))
        if left[0] < 0 and not self.closed:
            raise OSError(28, "No space left on device")
        return real(self, data)

    monkeypatch.setattr(extract_streams.HashedFile, "write", write_until_full)
    rows = pa.table({"id": range(200_000)})
    with pytest.raises(BackendError, match="No space left on device"):
        write(tmp_path, rows, 1000, **changes)


def test_names_follow_the_date_and_the_end_of_the_period() -> None:
    def name(moment: datetime, **naming: Any) -> str:
        extract = Extract.model_validate(
            declared(file_name={"timestamp_format": "yyyyMMdd", **naming})
        )
        return RunFiles(extract, moment).data(1)

    march = datetime(2025, 3, 5, 23, 30, tzinfo=UTC)
    assert name(march) == "customers_20250305.csv"
    assert name(march, time_zone="Europe/Berlin") == "customers_20250306.csv"
    assert name(march, period_end_day=31) == "customers_20250228.csv"
    assert name(march, period_end_day=4, timestamp_first=True) == "20250304_customers.csv"


def test_parts_of_a_former_run_of_the_same_moment_are_replaced() -> None:
    extract = Extract.model_validate(declared(file={"max_rows_per_file": 1}))
    names = RunFiles(extract, MOMENT)
    present = [names.data(part) for part in (1, 2, 3, 10_000)] + ["other_part0009.csv", "x.csv"]
    assert names.replaced(present, 2) == [names.data(3), names.data(10_000)]
