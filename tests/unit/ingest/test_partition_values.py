"""Values in the names of folders."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.ingest.partition_values import folders, partition_faults, spellings

NAMES = st.text(string.ascii_letters + "_", min_size=1, max_size=6)
VALUES = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), max_size=8)


def test_the_name_of_the_file_itself_is_no_folder() -> None:
    assert folders("/in/year=2024/m=1/day=3.csv") == [("year", "2024"), ("m", "1")]
    assert folders("/in/=x/plain/a=b=c/f") == [("a", "b=c")]


def test_paths_without_a_column_or_with_two_of_it_are_told() -> None:
    paths = ["/in/Year=1/City=a/f", "/in/year=1/f", "/in/year=1/YEAR=2/city=a/f"]
    assert partition_faults(paths, ["year", "city"]) == {
        paths[1]: "its path has no folder city=… (partition_columns)",
        paths[2]: "its path has several folders year=…",
    }
    assert spellings(paths[:2], ["year", "city"]) == {"year": ["Year", "year"], "city": ["City"]}


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5))
def test_folders_are_read_back_as_they_were_written(pairs: list[tuple[str, str]]) -> None:
    path = "/".join(["/landing", *(f"{name}={value}" for name, value in pairs), "file=1.csv"])
    assert folders(path) == pairs


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5), NAMES)
def test_a_path_is_good_exactly_when_one_folder_names_the_column(
    pairs: list[tuple[str, str]], column: str
) -> None:
    path = "/".join(["/landing", *(f"{name}={value}" for name, value in pairs), "f"])
    named = [name for name, _ in pairs if name.lower() == column.lower()]
    assert (path in partition_faults([path], [column])) == (len(named) != 1)
