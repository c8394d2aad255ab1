"""New content under the path of an ingested file; and files that change at the wrong moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ingest_world import source


def changed_file(world: Any, **config: Any) -> Any:
    world.files.put("/in/a.csv", "1\n")
    world.process().ingest(source(**config))
    world.files.put("/in/a.csv", "2\n")
    return world.process().ingest(source(**config))


def rows_of(world: Any) -> list[tuple[Any, ...]]:
    names = ("status", "record_count", "attempt")
    return sorted(tuple(row[name] for name in names) for row in world.ledger_rows())


def test_new_content_is_ingested_beside_the_old_unless_told_otherwise(world: Any) -> None:
    assert changed_file(world).processed == 1
    assert world.target.rows == ["1", "2"]
    assert rows_of(world) == [("success", 1, 1), ("success", 1, 1)]


def test_skipped_content_is_settled_and_not_looked_at_again(world: Any) -> None:
    result = changed_file(world, on_change="skip")
    assert (result.processed, result.skipped, result.failed) == (0, 1, 0)
    assert world.target.rows == ["1"]
    assert rows_of(world) == [("success", 0, 0), ("success", 1, 1)]
    hashed, versions = list(world.files.hashed), world.versions()
    assert world.process().ingest(source(on_change="skip")).skipped == 1
    assert (world.files.hashed, world.versions()) == (hashed, versions)


def test_skipped_content_is_no_reason_to_skip_it_elsewhere(world: Any) -> None:
    changed_file(world, on_change="skip")
    world.files.put("/in/b.csv", "2\n")
    assert world.process().ingest(source(on_change="skip")).processed == 1
    assert world.target.rows == ["1", "2"]


def test_changed_content_can_be_a_failure_which_is_told_each_time_and_written_once(
    world: Any,
) -> None:
    result = changed_file(world, on_change="fail")
    assert [failure.path for failure in result.failures] == ["/in/a.csv"]
    assert "on_change: fail" in result.failures[0].reason
    assert world.target.rows == ["1"]
    versions = world.versions()
    assert world.process().ingest(source(on_change="fail")).failed == 1
    assert world.versions() == versions
    world.files.put("/in/a.csv", "3\n")
    assert world.process().ingest(source(on_change="fail")).failed == 1
    assert rows_of(world) == [("failed", None, 0), ("success", 1, 1)]


def test_a_change_that_failed_is_ingested_when_the_source_allows_it(world: Any) -> None:
    changed_file(world, on_change="fail")
    assert world.process().ingest(source()).processed == 1
    assert world.target.rows == ["1", "2"]


@pytest.mark.parametrize("on_change", ["skip", "fail"])
def test_content_that_changes_back_is_known(world: Any, on_change: str) -> None:
    changed_file(world, on_change=on_change)
    world.files.put("/in/a.csv", "1\n")
    result = world.process().ingest(source(on_change=on_change))
    assert (result.processed, result.skipped, result.failed) == (0, 1, 0)


def at_the_load(world: Any, when: str, act: Callable[[], None], **config: Any) -> Any:
    """Let something happen right before or after the loader reads the files."""
    probe = type(world)()
    for path in world.files.paths:
        probe.files.put(path, world.files.text(path))
    first = probe.process("p1")
    first.ingest(source(**config))
    step = first.steps.index("loader.load") + 1
    return world.process("p1", stop_at=step, when=when, stop=act).ingest(source(**config))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_file_that_changes_while_it_is_read_is_never_taken_for_what_it_was(
    world: Any, when: str
) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.files.put("/in/sure.csv", "9\n")
    result = at_the_load(world, when, lambda: world.files.put("/in/a.csv", "1\n2\n"))
    assert result.processed == 2
    assert any("/in/a.csv: it changed while it was read" in text for text in result.warnings)
    (row,) = [row for row in world.ledger_rows() if row["file_path"] == "/in/a.csv"]
    assert (row["status"], row["record_count"]) == ("success", 2 if when == "before" else 1)
    again = world.process().ingest(source())
    assert again.processed == 1, "its new content is new"
    world.files.put("/in/copy.csv", "1\n")
    assert world.process().ingest(source()).processed == 1, "the old bytes are not held"


def test_a_file_that_was_only_touched_while_it_was_read_is_sure_again(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    at_the_load(world, "before", lambda: world.files.touch("/in/a.csv"))
    assert world.process().ingest(source()).processed == 0
    assert world.ledger("status", "error_message") == {"/in/a.csv": ("success", None)}
    world.files.put("/in/copy.csv", "1\n")
    assert world.process().ingest(source()).duplicates == 1


def test_a_copy_of_a_file_that_changed_while_it_was_read_is_loaded_by_itself(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.files.put("/in/copy.csv", "1\n")
    result = at_the_load(world, "before", lambda: world.files.put("/in/a.csv", "x\n"))
    assert (result.processed, result.duplicates, result.waiting) == (1, 0, 1)
    world.process().ingest(source())
    assert world.target.rows == ["1", "x", "x"], "the new content was read, and is new"


def test_a_file_that_goes_once_it_was_read_is_ingested(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    result = at_the_load(world, "after", lambda: world.files.remove("/in/a.csv"))
    assert (result.processed, result.warnings) == (1, ())
    assert world.target.rows == ["1"]
