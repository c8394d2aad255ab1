"""What goes together into one transaction; tables that each batch replaces; dry runs."""

from __future__ import annotations

from typing import Any

import pytest
from ingest_world import source

from lakeflow_meta.ingest.selection import Selection

OVERWRITE = {"write_mode": "overwrite"}


def sizes(world: Any) -> list[int]:
    return [len(commit.lines) for commit in world.target.commits]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, [5]),
        ({"max_files": 2}, [2, 2, 1]),
        ({"max_bytes": 5}, [2, 2, 1]),
        ({"max_bytes": 1}, [1, 1, 1, 1, 1]),
        ({"max_files": 3, "max_bytes": "4B"}, [2, 2, 1]),
    ],
)
def test_a_source_limits_its_batches(
    world: Any, config: dict[str, Any], expected: list[int]
) -> None:
    for number in range(5):
        world.files.put(f"/in/{number}.csv", f"{number}\n")
    world.process().ingest(source(**config))
    assert sizes(world) == expected


def test_a_transform_for_each_file_keeps_batches_small(world: Any) -> None:
    for number in range(450):
        world.files.put(f"/in/{number:03}.csv", f"{number}\n")
    world.process().ingest(source(transform="rows.py:clean"))
    assert sizes(world) == [200, 200, 50]


def test_row_wise_transforms_go_together(world: Any) -> None:
    for number in range(250):
        world.files.put(f"/in/{number:03}.csv", f"{number}\n")
    world.process().ingest(source(transform="rows.py:clean", row_wise=True))
    assert sizes(world) == [250]


def test_files_that_overwrite_a_table_go_together_whatever_the_limits(world: Any) -> None:
    for number in range(5):
        world.files.put(f"/in/{number}.csv", f"{number}\n")
    world.process().ingest(source(max_files=2, target=OVERWRITE))
    assert sizes(world) == [5]
    world.files.put("/in/new.csv", "new\n")
    world.process().ingest(source(target=OVERWRITE))
    assert world.target.rows == ["new"]


def test_one_bad_file_keeps_a_table_from_being_overwritten_and_all_are_tried_again(
    world: Any,
) -> None:
    world.files.put("/in/old.csv", "old\n")
    world.process().ingest(source(target=OVERWRITE))
    world.files.put("/in/a.csv", "1\n")
    world.files.put("/in/bad1.csv", "BAD\n")
    world.files.put("/in/bad2.csv", "BAD 2\n")
    result = world.process().ingest(source(target=OVERWRITE))
    reasons = {failure.path: failure.reason for failure in result.failures}
    assert world.target.rows == ["old"]
    assert reasons["/in/bad1.csv"] == reasons["/in/bad2.csv"] == "it holds BAD"
    assert "left out because /in/bad1.csv is bad" in reasons["/in/a.csv"]
    world.files.put("/in/bad1.csv", "2\n")
    world.files.put("/in/bad2.csv", "3\n")
    assert world.process().ingest(source(target=OVERWRITE)).processed == 3
    assert world.target.rows == ["1", "2", "3"]


def test_bytes_that_were_overwritten_since_are_new_when_they_are_delivered_again(
    world: Any,
) -> None:
    """A file with the whole state of something may come back to an earlier one."""
    for text, rows in (("1\n", ["1"]), ("2\n", ["2"]), ("1\n", ["1"])):
        world.files.put("/in/state.csv", text)
        assert world.process().ingest(source(target=OVERWRITE)).processed == 1
        assert world.target.rows == rows
    world.files.put("/in/other.csv", "2\n")
    assert world.process().ingest(source(target=OVERWRITE)).processed == 1
    assert world.target.rows == ["2"]
    assert world.process().ingest(source(target=OVERWRITE)).processed == 0
    world.files.put("/in/copy.csv", "2\n")
    assert world.process().ingest(source(target=OVERWRITE)).duplicates == 1
    world.files.touch("/in/other.csv")
    assert world.process().ingest(source(target=OVERWRITE)).processed == 0


def test_a_dry_run_tells_what_a_run_does_and_writes_nothing(world: Any) -> None:
    world.files.put("/in/old.csv", "old\n")
    world.files.put("/in/bad.csv", "BAD\n")
    world.process().ingest(source())
    for number in range(3):
        world.files.put(f"/in/{number}.csv", f"{number}\n")
    world.files.put("/in/copy.csv", "old\n")
    world.files.put("/in/locked.csv", "?\n")
    world.files.unreadable.add("/in/locked.csv")
    process, versions = world.process(), world.versions()
    plan = process.ingestor().plan(source(max_files=2))
    assert [batch.paths for batch in plan.batches] == [
        ("/in/0.csv", "/in/1.csv"),
        ("/in/2.csv",),
        ("/in/bad.csv",),
    ]
    assert (plan.files, plan.size_bytes, plan.skipped) == (4, 10, 2)
    assert [failure.path for failure in plan.failures] == ["/in/locked.csv"]
    assert world.versions() == versions
    assert not process.loader.calls
    text = "\n".join(plan.lines())
    assert "+ /in/2.csv" in text
    assert "✗ /in/locked.csv" in text


def test_a_dry_run_makes_no_ledger(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    plan = world.process().ingestor().plan(source())
    assert plan.files == 1
    assert world.versions() == (None, None)


def test_a_dry_run_of_force_shows_what_would_be_loaded_again(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.files.put("/in/copy.csv", "1\n")
    world.ingest()
    plan = world.process().ingestor().plan(source(), Selection(force=True))
    assert [batch.paths for batch in plan.batches] == [("/in/a.csv",)]
    assert plan.skipped == 1
