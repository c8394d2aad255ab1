"""Files that are archived or deleted, and only once the ledger says that their rows are there."""

from __future__ import annotations

from typing import Any

from ingest_world import source

ARCHIVE = {"after_success": "archive", "archive_path": "/in/done", "recursive": True}
DELETE = {"after_success": "delete"}


def test_ingested_files_and_their_copies_are_archived_and_bad_ones_stay(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.files.put("/in/copy.csv", "1\n")
    world.files.put("/in/deep/b.csv", "2\n")
    world.files.put("/in/bad.csv", "BAD\n")
    result = world.process().ingest(source(**ARCHIVE))
    assert world.files.paths == [
        "/in/bad.csv",
        "/in/done/a.csv",
        "/in/done/copy.csv",
        "/in/done/deep/b.csv",
    ]
    assert (result.processed, result.put_away, result.failed) == (2, 3, 1)
    again = world.process().ingest(source(**ARCHIVE))
    assert (again.processed, again.put_away, again.skipped) == (0, 0, 0)


def test_files_that_were_ingested_before_the_source_asked_are_put_away_without_spark(
    world: Any,
) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.files.put("/in/copy.csv", "1\n")
    world.ingest()
    process = world.process()
    result = process.ingest(source(**DELETE))
    assert world.files.paths == []
    assert (result.put_away, result.skipped) == (2, 2)
    assert not process.loader.calls


def test_a_touched_file_is_put_away(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.ingest()
    world.files.touch("/in/a.csv")
    assert world.process().ingest(source(**DELETE)).put_away == 1
    assert world.files.paths == []


def test_content_that_was_passed_over_is_not_in_the_table_and_stays(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.ingest()
    world.files.put("/in/a.csv", "2\n")
    for _ in range(2):
        result = world.process().ingest(source(on_change="skip", **DELETE))
        assert (result.put_away, result.skipped) == (0, 1)
    assert world.files.paths == ["/in/a.csv"]


def test_a_file_that_changed_while_it_was_read_stays(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    probe = type(world)()
    probe.files.put("/in/a.csv", "1\n")
    first = probe.process("p1")
    first.ingest(source(**DELETE))
    step = first.steps.index("loader.load") + 1
    growing = world.process(
        "p1", stop_at=step, when="after", stop=lambda: world.files.put("/in/a.csv", "1\n2\n")
    )
    assert growing.ingest(source(**DELETE)).put_away == 0
    assert world.files.paths == ["/in/a.csv"]
    assert world.process().ingest(source(**DELETE)).put_away == 1
    assert world.target.rows == ["1", "1", "2"]


def test_a_file_that_cannot_be_moved_is_told_and_tried_again(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.files.immovable.add("/in/a.csv")
    result = world.process().ingest(source(**ARCHIVE))
    assert (result.processed, result.failed, result.put_away) == (1, 0, 0)
    assert [failure.path for failure in result.not_put_away] == ["/in/a.csv"]
    world.files.immovable.clear()
    result = world.process().ingest(source(**ARCHIVE))
    assert (result.processed, result.put_away, result.not_put_away) == (0, 1, ())


def test_the_archive_keeps_what_it_has(world: Any) -> None:
    for text in ("1\n", "2\n"):
        world.files.put("/in/a.csv", text)
        world.process().ingest(source(**ARCHIVE))
    kept = {world.files.text(path) for path in world.files.paths}
    assert kept == {"1\n", "2\n"}
