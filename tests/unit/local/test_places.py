import pytest

from lakeflow_meta.paths import path_of_location, place_of


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("/data/x", "/data/x"),
        ("file:/data/x", "/data/x"),
        ("file:///data/x", "/data/x"),
        ("//data//x/", "/data/x"),
        ("/data/./y/../x", "/data/x"),
        ("file:/a b%20c", "/a b%20c"),
        ("/", "/"),
        ("s3://Bucket/Key/", "s3://bucket/Key"),
        ("S3://bucket", "s3://bucket"),
        ("abfss://c@a.dfs.core.windows.net//x", "abfss://c@a.dfs.core.windows.net/x"),
        ("dbfs:/x/", "dbfs:/x"),
        ("dbfs:///x", "dbfs:/x"),
        ("relative/x", "relative/x"),
    ],
)
def test_one_place_has_one_text_however_it_is_written(written: str, place: str) -> None:
    assert place_of(written) == place
    assert place_of(place) == place


@pytest.mark.parametrize("location", ["s3://b/x", "dbfs:/x", "x", ""])
def test_what_is_elsewhere_has_no_path_here(location: str) -> None:
    assert path_of_location(location) is None
