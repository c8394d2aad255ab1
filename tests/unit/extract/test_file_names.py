"""Names of files and folders, and names that become one."""

import re
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.extract.file_names import (
    FileName,
    check_file_name,
    check_folder,
    clashes,
    container_of,
    folder_of,
)
from lakeflow_meta.extract.timestamps import TimestampPattern
from lakeflow_meta.extract.words import RefusedError

MOMENT = datetime(2025, 1, 27, tzinfo=UTC)


def named(
    name: str, pattern: str = "", suffix: str = ".csv", *, parts: bool = False, first: bool = False
) -> FileName:
    timestamp = TimestampPattern.parse(pattern) if pattern else None
    return FileName(name, suffix, timestamp, timestamp_first=first, parts=parts)


@pytest.mark.parametrize(
    ("name", "part", "written"),
    [
        (named("customers", "yyyyMMdd"), None, "customers_20250127.csv"),
        (named("customers"), None, "customers.csv"),
        (named("t", "yyyyMMdd", ".tsv.gz", parts=True), 3, "t_20250127_part0003.tsv.gz"),
        (named("t", parts=True), 12345, "t_part12345.csv"),
        (named("t", "yyyyMMdd", first=True), None, "20250127_t.csv"),
    ],
)
def test_a_name_is_put_together(name: FileName, part: int | None, written: str) -> None:
    assert name.write(MOMENT, part) == written


@pytest.mark.parametrize(
    "name",
    ["", " a", "a ", "a.", ".a", "_a", "a/b", "a\\b", "a:b", "a*", "a\0", "{run_date}", "x" * 256],
)
def test_names_that_not_every_system_takes_are_refused(name: str) -> None:
    with pytest.raises(RefusedError) as told:
        check_file_name(name)
    assert told.value.hint


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "a//b", "a/./b", "../a", "a/..", "a\\b", "~/a", " a", "a/b ", "a\nb"),
        *("s3://bucket/a", "abfss://c@a.dfs/x", "dbfs:/Volumes/a/b/c", "C:/a", "/Volumes/a/b"),
    ],
)
def test_folders_that_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(RefusedError) as told:
        check_folder(path)
    assert told.value.hint


@pytest.mark.parametrize(
    ("path", "container", "directory"),
    [
        ("/Volumes/main/lake/out/daily/customers", "/Volumes/main/lake/out", "daily/customers"),
        ("/Volumes/main/lake/out", "/Volumes/main/lake/out", None),
        ("extracts/snapshot/orders", "extracts", "snapshot/orders"),
        ("extracts/", "extracts", None),
        ("/data/out/x", "/data", "out/x"),
    ],
)
def test_a_folder_is_a_container_and_what_is_below(
    path: str, container: str, directory: str | None
) -> None:
    assert container_of(check_folder(path)) == (container, directory)
    assert folder_of(container, directory) == check_folder(path)


def told(*names: FileName) -> list[tuple[int, int]]:
    return sorted(clashes([("out", name.masked) for name in names]))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (named("a"), named("A")),
        (named("a", "yyyyMMdd"), named("a", "yyyyddMM")),
        (named("a", "yyyy"), named("a_2025")),
        (named("a_20250127"), named("a", "yyyyMMdd")),
        (named("a_part0001"), named("a", parts=True)),
        (named("2025", "MMdd", first=True), named("0127", "yyyy")),
    ],
)
def test_names_that_may_become_one_are_told(first: FileName, second: FileName) -> None:
    assert told(first, second) == [(1, 0)]
    assert told(second, first) == [(1, 0)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (named("a"), named("b")),
        (named("a_1"), named("a_2")),
        (named("a", "yyyy"), named("a_25")),
        (named("a_1", "yyyy"), named("a_2", "yyyy")),
        (named("a"), named("a", suffix=".tsv")),
        (named("a"), named("a", "yyyyMMdd")),
    ],
)
def test_names_that_stay_apart_are_not_told(first: FileName, second: FileName) -> None:
    assert told(first, second) == []


def test_one_name_in_two_folders_is_two_files() -> None:
    name = named("a").masked
    assert list(clashes([("x", name), ("y", name)])) == []


@given(
    st.lists(
        st.builds(named, st.sampled_from(["a", "a_1", "a_11"]), st.sampled_from(["", "yy", "MM"])),
        max_size=6,
    )
)
def test_every_name_that_may_be_another_one_s_is_told(names: list[FileName]) -> None:
    def may_be(one: FileName, other: FileName) -> bool:
        sign = {(m, n) for m, n in zip(one.masked, other.masked, strict=False)}
        digits = re.compile("[0-9\0]")
        return len(one.masked) == len(other.masked) and all(
            m == n or ("\0" in (m, n) and digits.match(m) and digits.match(n)) for m, n in sign
        )

    later = {at for at, name in enumerate(names) if any(may_be(name, n) for n in names[:at])}
    assert {at for at, _ in told(*names)} == later


def test_thousands_of_names_are_compared_in_a_moment() -> None:
    names = [named(f"t_{i:05}", pattern) for i in range(5000) for pattern in ("", "yyyyMMdd")]
    started = time.monotonic()
    assert told(*names) == []
    assert time.monotonic() - started < 5
