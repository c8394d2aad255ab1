"""Into how many tasks a batch goes, and whose file an error names."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakeflow_meta.backends.spark_ingest.links import LinkFolders
from lakeflow_meta.backends.spark_ingest.packing import tasks
from lakeflow_meta.backends.spark_ingest.source_paths import named_files
from lakeflow_meta.paths import PathMap

KB, MB, GB = 2**10, 2**20, 2**30


@pytest.mark.parametrize(
    ("size_bytes", "files", "parallelism", "expected"),
    [
        (40 * KB, 10, 8, 1),
        (40 * MB, 10_000, 2, 2),
        (40 * MB, 10_000, 64, 64),
        (5 * MB, 1, 8, 2),
        (GB, 1, 2, 8),
        (GB, 1, 64, 64),
        (0, 0, 8, 1),
    ],
)
def test_there_are_as_many_tasks_as_there_is_work_for(
    size_bytes: int, files: int, parallelism: int, expected: int
) -> None:
    assert tasks(size_bytes, files, parallelism) == expected


def test_a_file_is_found_by_its_known_path_its_place_or_a_link(tmp_path: Path) -> None:
    paths = PathMap(tmp_path, tmp_path / "volumes")
    known = ["/Volumes/c/s/v/a%20b.csv", "/Volumes/c/s/v/a b.csv", "/data/c.csv"]
    file = Path(paths.physical(known[1]))
    file.parent.mkdir(parents=True)
    file.touch()
    links = LinkFolders(tmp_path / "links")
    folder = links.folder([paths.physical(known[0]), str(file)])
    assert folder is not None
    link = f"{folder.path}/0000001.csv"
    assert named_files([known[0]], known, paths) == [known[0]]
    assert named_files([f"{tmp_path}/volumes/c/s/v/a b.csv"], known, paths) == [known[1]]
    assert named_files([link], known, paths, links) == [known[1]]
    unknown = ["/data/other.csv", "", "x\0", f"{link}/0000001.csv", link.replace("1.csv", "2.csv")]
    assert named_files(unknown, known, paths, links) == []
