"""Paths as people write them, their one name, and where they lie on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.paths import PathMap, path_of_location

PATHS = PathMap.of_home(Path("/home/.lakeflow"), Path("/project"))
ON_THE_PLATFORM = PathMap(Path("/project"))
ROOT = "/home/.lakeflow/volumes"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/Volumes/main/raw/landing/a/b.csv", f"{ROOT}/main/raw/landing/a/b.csv"),
        ("/Volumes/main/raw/landing", f"{ROOT}/main/raw/landing"),
        ("/Volumes/main/raw/landing/", f"{ROOT}/main/raw/landing"),
        ("/Volumes/main/raw/landing/a/../b.csv", f"{ROOT}/main/raw/landing/b.csv"),
        ("/Volumes/main/raw/landing/*.json", f"{ROOT}/main/raw/landing/*.json"),
        ("dbfs:/Volumes/main/raw/landing/x", f"{ROOT}/main/raw/landing/x"),
        ("//Volumes/main/raw/landing/x", f"{ROOT}/main/raw/landing/x"),
        ("file:/Volumes/main/raw/landing/x", f"{ROOT}/main/raw/landing/x"),
        (
            "/Volumes/main/raw/landing/a:b [1] %20+#?.csv",
            f"{ROOT}/main/raw/landing/a:b [1] %20+#?.csv",
        ),
        ("file:/data/x", "/data/x"),
        ("file:///data/x", "/data/x"),
        ("/data/x", "/data/x"),
        ("//data//x/", "/data/x"),
        ("/data/../x", "/data/../x"),
        ("file:x.csv", "/project/file:x.csv"),
        ("dbfs:x.csv", "/project/dbfs:x.csv"),
        (" x ", "/project/ x "),
        ("sql/x.sql", "/project/sql/x.sql"),
        ("./sql/x.sql", "/project/sql/x.sql"),
        ("Volumes/a/b/c", "/project/Volumes/a/b/c"),
        ("/VolumesX/a/b/c", "/VolumesX/a/b/c"),
    ],
)
def test_a_path_is_found_on_this_machine(path: str, expected: str) -> None:
    assert PATHS.local(path) == Path(expected)


@pytest.mark.parametrize(
    "path",
    [
        "/Volumes/main/raw/landing/..",
        "/Volumes/main/raw/landing/../other/x",
        "/Volumes/main/raw/landing/a/../../x",
        "/Volumes/main/raw/../landing/x",
        "/Volumes/../../etc/passwd",
        "/Volumes/main/raw",
        "/Volumes",
        "s3://bucket/x",
        "abfss://c@a.dfs.core.windows.net/x",
        "dbfs:/tmp/x",
        "dbfs:/VolumesX/main/raw/landing",
        "dbfs:/Volumes",
        "",
    ],
)
def test_a_path_that_leaves_its_volume_or_this_machine_is_refused(path: str) -> None:
    for paths in (PATHS, ON_THE_PLATFORM):
        with pytest.raises(ConfigError):
            paths.local(path)
        with pytest.raises(ConfigError):
            paths.known_as(path)


@pytest.mark.parametrize(
    "path", ["/data/x", f"{ROOT}/main/raw", f"{ROOT}/main/raw/landing/../x", "/home/.lakeflow/runs"]
)
def test_what_is_in_no_volume_is_known_by_its_own_path(path: str) -> None:
    assert PATHS.known_as(path) == path
    assert PATHS.local(path) == Path(path)


@pytest.mark.parametrize(
    "path",
    [
        "/Volumes/main/raw/landing/a/b.csv",
        "/Volumes/main/raw/landing/a/./b.csv/",
        "/Volumes/main/raw/landing/x/../a/b.csv",
        "dbfs:/Volumes/main/raw/landing/a/b.csv",
        f"{ROOT}/main/raw/landing/a/b.csv",
        f"file:{ROOT}/main/raw/landing/a/b.csv",
    ],
)
def test_a_file_in_a_volume_has_one_name(path: str) -> None:
    assert PATHS.known_as(path) == "/Volumes/main/raw/landing/a/b.csv"


def test_a_volume_in_the_project_has_one_name_for_relative_paths_too() -> None:
    paths = PathMap.of_home(Path("/project/.lakeflow"), Path("/project"))
    assert paths.known_as(".lakeflow/volumes/a/b/c/x.csv") == "/Volumes/a/b/c/x.csv"
    assert paths.known_as(".lakeflow/volumes/a/b") == "/project/.lakeflow/volumes/a/b"


@pytest.mark.parametrize("path", ["/Volumes/a/b/c/x.csv", "/data/x.csv"])
def test_where_volumes_are_real_a_path_is_itself(path: str) -> None:
    assert ON_THE_PLATFORM.local(path) == Path(path)
    assert ON_THE_PLATFORM.known_as(path) == ON_THE_PLATFORM.physical(path) == path


_PARTS = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=8).filter(
    lambda part: part not in {".", ".."}
)


@given(st.lists(_PARTS, min_size=3, max_size=7))
def test_a_path_in_a_volume_goes_there_and_back(parts: list[str]) -> None:
    path = "/Volumes/" + "/".join(parts)
    local = PATHS.local(path)
    assert local.is_relative_to(ROOT)
    assert PATHS.known_as(path) == path
    assert PATHS.known_as(str(local)) == path
    assert PATHS.physical(path) == str(local)


@given(st.lists(st.one_of(_PARTS, st.just(".."), st.just(".")), max_size=9))
def test_no_path_below_volumes_leads_out_of_its_volume(parts: list[str]) -> None:
    path = "/Volumes/c/s/v/" + "/".join(parts)
    try:
        local = PATHS.local(path)
    except ConfigError:
        return
    assert ".." not in local.parts
    assert local.is_relative_to(f"{ROOT}/c/s/v")
    assert str(local) == PATHS.physical(PATHS.known_as(path))


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/data/a b%20c?#", Path("/data/a b%20c?#")),
        ("file:/data/a b%20c", Path("/data/a b%20c")),
        ("file:///data/x", Path("/data/x")),
        ("s3a://bucket/x", None),
        ("dbfs:/x", None),
        ("x", None),
    ],
)
def test_where_a_table_lies_is_a_path_if_it_is_of_this_machine(
    location: str, expected: Path | None
) -> None:
    assert path_of_location(location) == expected
