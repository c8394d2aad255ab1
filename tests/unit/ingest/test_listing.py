"""Listings as columns."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.ingest.files import FoundFile
from lakeflow_meta.ingest.listing import FileListing, ListingBuilder

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

FILES = st.builds(
    FoundFile,
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    st.integers(0, 3),
    st.integers(-5, 5).map(lambda us: EPOCH + timedelta(microseconds=us)),
)


@given(st.lists(FILES, max_size=8))
def test_what_goes_in_comes_out(files: list[FoundFile]) -> None:
    listing = FileListing.of(files)
    assert [*listing] == files
    assert [*listing.paths()] == [file.path for file in files]
    assert len(listing) == len(files)
    assert listing.size_bytes == sum(file.size_bytes for file in files)


@given(st.lists(FILES, max_size=8), st.lists(FILES, max_size=8))
def test_unlike_is_all_but_what_is_known_by_path_size_and_time(
    found: list[FoundFile], known: list[FoundFile]
) -> None:
    listing = FileListing.of(found).unlike(FileListing.of(known).columns)
    assert [*listing] == [file for file in found if file not in known]


@given(st.lists(FILES, max_size=8), st.lists(FILES, max_size=8))
def test_without_and_has_any_and_count_go_by_path(
    found: list[FoundFile], others: list[FoundFile]
) -> None:
    paths = {file.path for file in others}
    listing = FileListing.of(found)
    kept = [file for file in found if file.path not in paths]
    assert [*listing.without(FileListing.of(others))] == kept
    assert listing.has_any(paths) == (len(kept) < len(found))
    assert listing.count(paths) == len(found) - len(kept)


def test_files_are_told_by_age() -> None:
    files = [FoundFile(str(n), 0, EPOCH + timedelta(microseconds=n)) for n in range(5)]
    moment = EPOCH + timedelta(microseconds=2)
    assert [*FileListing.of(files).modified_until(moment)] == files[:3]


def test_names_and_patterns_choose_and_a_name_is_no_pattern() -> None:
    names = ("/in/a[1].csv", "/in/a1.csv", "/in/b.csv")
    listing = FileListing.of(FoundFile(name, 0, EPOCH) for name in names)
    chosen, used = listing.matching({"/in/a[1].csv"})
    assert ([*chosen.paths()], used) == (["/in/a[1].csv"], {"/in/a[1].csv"})
    chosen, used = listing.matching({"/in/a*", "/in/none*", "/in/b.csv"})
    assert [*chosen.paths()] == [*names]
    assert used == {"/in/a*", "/in/b.csv"}


def test_a_name_that_is_no_text_is_refused_and_the_others_are_listed() -> None:
    builder = ListingBuilder()
    builder.add("/in/ok.csv", 1, 0)
    builder.add("/in/\udcff.csv", 1, 0)
    listing = builder.listing()
    assert [*listing.paths()] == ["/in/ok.csv"]
    assert list(listing.refused) == ["/in/\\udcff.csv"]


def test_nothing_slow_is_imported_to_find_that_nothing_is_new() -> None:
    code = """
import sys
from datetime import UTC, datetime
from lakeflow_meta.ingest.files import FoundFile
from lakeflow_meta.ingest.listing import FileListing
from lakeflow_meta.ingest.snapshot import Snapshot
listing = FileListing.of([FoundFile("/a", 1, datetime.now(UTC))])
assert len(Snapshot.empty().glance.new(listing)) == 1
assert len(listing.unlike(listing.columns)) == 0
assert len(listing.modified_until(datetime.now(UTC))) == 1
print({"pandas", "pyarrow.dataset", "pyarrow.acero", "pyspark"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
