"""Paths of the platform as paths of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.backends.local.volumes import VolumePaths
from lakeflow_meta.errors import ConfigError

PATHS = VolumePaths(Path("/home/.lakeflow"), Path("/project"))
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
        ("file:/data/x", "/data/x"),
        ("/data/x", "/data/x"),
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
        "",
    ],
)
def test_a_path_that_leaves_its_volume_or_this_machine_is_refused(path: str) -> None:
    with pytest.raises(ConfigError):
        PATHS.local(path)


@pytest.mark.parametrize(
    "path", ["/data/x", f"{ROOT}/main/raw", f"{ROOT}/main/raw/landing/../x", "/home/.lakeflow/runs"]
)
def test_what_is_in_no_volume_has_no_platform_path(path: str) -> None:
    assert PATHS.platform(Path(path)) is None


_PARTS = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=8).filter(
    lambda part: part not in {".", ".."}
)


@given(st.lists(_PARTS, min_size=3, max_size=7))
def test_a_path_in_a_volume_goes_there_and_back(parts: list[str]) -> None:
    path = "/Volumes/" + "/".join(parts)
    local = PATHS.local(path)
    assert local.is_relative_to(ROOT)
    assert PATHS.platform(local) == path


@given(st.lists(st.one_of(_PARTS, st.just(".."), st.just(".")), max_size=9))
def test_no_path_below_volumes_leads_out_of_its_volume(parts: list[str]) -> None:
    path = "/Volumes/c/s/v/" + "/".join(parts)
    try:
        local = PATHS.local(path)
    except ConfigError:
        return
    assert ".." not in local.parts
    assert local.is_relative_to(f"{ROOT}/c/s/v")
