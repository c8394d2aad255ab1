"""What an ingestor promises, shown on files, a store and a target in memory."""

from __future__ import annotations

from typing import Any

import pytest
from ingest_world import source

from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.ingest.batch import BatchLimits
from lakeflow_meta.ingest.source import FileSource
from lakeflow_meta.progress import StepState


def test_every_file_is_loaded_once_and_recorded(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n2\n")
    world.files.put("/in/b.csv", "3\n")
    result = world.ingest()
    assert world.target.rows == ["1", "2", "3"]
    assert (result.processed, result.skipped, result.failed, result.rows) == (2, 0, 0, 3)
    assert world.ledger("status", "record_count") == {
        "/in/a.csv": ("success", 2),
        "/in/b.csv": ("success", 1),
    }


def test_a_run_with_nothing_new_makes_no_loader_no_hash_and_no_commit(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.ingest()
    before, hashed = world.versions(), list(world.files.hashed)
    process = world.process()
    result = process.ingest(source())
    assert (result.processed, result.skipped) == (0, 1)
    assert world.versions() == before
    assert world.files.hashed == hashed
    assert process.steps == ["files.list_files", "store.read"]
    assert world.events[-1].state is StepState.UNCHANGED


def test_equal_bytes_under_another_path_are_linked_not_loaded(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.ingest()
    world.files.put("/in/copy.csv", "1\n")
    process = world.process()
    result = process.ingest(source())
    assert world.target.rows == ["1"]
    assert (result.processed, result.skipped, result.duplicates) == (0, 2, 1)
    assert world.ledger("status", "record_count", "duplicate_of")["/in/copy.csv"] == (
        "success",
        0,
        "/in/a.csv",
    )
    assert not process.loader.calls


def test_equal_bytes_found_at_once_are_loaded_once(world: Any) -> None:
    world.files.put("/in/b.csv", "1\n")
    world.files.put("/in/a.csv", "1\n")
    result = world.ingest()
    assert world.target.rows == ["1"]
    assert (result.processed, result.duplicates) == (1, 1)
    assert world.ledger("duplicate_of") == {"/in/b.csv": None, "/in/a.csv": "/in/b.csv"}


def test_new_content_of_a_known_file_is_ingested_as_well(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.ingest()
    world.files.put("/in/a.csv", "1\n2\n")
    result = world.ingest()
    assert result.processed == 1
    assert world.target.rows == ["1", "1", "2"]
    assert sum(row["record_count"] for row in world.ledger_rows()) == len(world.target.rows)


def test_content_that_was_replaced_is_still_known(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.ingest()
    world.files.put("/in/a.csv", "2\n")
    world.ingest()
    world.files.put("/in/b.csv", "1\n")
    result = world.ingest()
    assert (result.processed, result.duplicates) == (0, 1)
    assert world.target.rows == ["1", "2"]


def test_a_touched_file_is_hashed_once_more_and_then_known(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.ingest()
    world.files.touch("/in/a.csv")
    assert world.ingest().processed == 0
    hashed = len(world.files.hashed)
    before = world.versions()
    assert world.ingest().skipped == 1
    assert len(world.files.hashed) == hashed
    assert world.versions() == before


def test_a_bad_file_fails_alone_and_is_tried_again(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.files.put("/in/bad.csv", "BAD\n")
    world.files.put("/in/c.csv", "3\n")
    result = world.ingest()
    assert world.target.rows == ["1", "3"]
    assert [failure.path for failure in result.failures] == ["/in/bad.csv"]
    assert world.ledger("status", "error_message")["/in/bad.csv"] == ("failed", "it holds BAD")
    assert world.events[-1].state is StepState.FAILED
    again = world.ingest()
    assert (again.processed, again.skipped, again.failed) == (0, 2, 1)
    assert world.ledger("attempt")["/in/bad.csv"] == 2


def test_a_bad_file_that_was_corrected_is_ingested_and_no_longer_failed(world: Any) -> None:
    world.files.put("/in/a.csv", "BAD\n")
    world.ingest()
    world.files.put("/in/a.csv", "1\n")
    result = world.ingest()
    assert (result.processed, result.failed) == (1, 0)
    assert [row["status"] for row in world.ledger_rows()] == ["success"]


def test_many_bad_files_are_found_by_one_probe(world: Any) -> None:
    for number in range(40):
        world.files.put(f"/in/{number:02}.csv", f"{'BAD' if number % 2 else 'ok'} {number}\n")
    process = world.process()
    result = process.ingest(source())
    assert (result.processed, result.failed) == (20, 20)
    assert process.loader.calls["load"] == 4
    assert process.loader.calls["probe"] == 1


def test_a_copy_of_a_bad_file_shares_its_fate(world: Any) -> None:
    world.files.put("/in/a.csv", "BAD\n")
    world.files.put("/in/b.csv", "BAD\n")
    result = world.ingest()
    assert result.failed == 2
    assert world.ledger("status") == {"/in/a.csv": "failed", "/in/b.csv": "failed"}


def test_a_file_that_cannot_be_read_fails_alone(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.files.put("/in/locked.csv", "2\n")
    world.files.unreadable.add("/in/locked.csv")
    result = world.ingest()
    assert (result.processed, result.failed) == (1, 1)
    assert world.ledger("status")["/in/locked.csv"] == "failed"
    world.files.unreadable.clear()
    result = world.ingest()
    assert (result.processed, result.failed) == (1, 0)
    assert world.target.rows == ["1", "2"]
    assert {row["status"] for row in world.ledger_rows()} == {"success"}


def test_batches_keep_their_limits_and_rise_in_version(world: Any) -> None:
    for number in range(5):
        world.files.put(f"/in/{number}.csv", f"{number}\n")
    result = world.ingest(limits=BatchLimits(max_files=2))
    assert result.batches == 3
    assert [len(commit.lines) for commit in world.target.commits] == [2, 2, 1]
    assert [commit.batch_id.version for commit in world.target.commits] == [1, 2, 3]
    assert len({commit.batch_id.app_id for commit in world.target.commits}) == 1


def test_runs_one_after_another_use_one_lane(world: Any) -> None:
    for number in range(4):
        world.files.put(f"/in/{number}.csv", f"{number}\n")
        world.ingest()
    assert len({commit.batch_id.app_id for commit in world.target.commits}) == 1


def test_progress_tells_files_done_of_all_files(world: Any) -> None:
    for number in range(4):
        world.files.put(f"/in/{number}.csv", f"{number}\n")
    world.ingest(limits=BatchLimits(max_files=2))
    told = [(event.state, event.done, event.total) for event in world.events]
    assert told == [
        (StepState.STARTED, 0, 4),
        (StepState.RUNNING, 2, 4),
        (StepState.RUNNING, 4, 4),
        (StepState.DONE, 4, 4),
    ]


def test_young_files_wait(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    age = (world.clock() - world.files.stat(["/in/a.csv"])["/in/a.csv"].modified_at).total_seconds()
    waiting = world.process().ingest(source(min_age_seconds=age + 1))
    assert (waiting.processed, waiting.waiting) == (0, 1)
    assert world.process().ingest(source(min_age_seconds=age)).processed == 1


def test_a_missing_directory_is_an_error(world: Any) -> None:
    with pytest.raises(NotFoundError):
        world.ingest()


def test_two_targets_do_not_share_what_was_ingested(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.ingest()
    other = FileSource.parse("m/o", {"path": "/in", "format": "csv"}, {"table": "main.raw.other"})
    assert world.process().ingest(other).processed == 1


def test_a_row_set_to_pending_by_hand_is_ingested_again(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.ingest()
    from lakeflow_meta.control.tables import FILES, ControlTables

    row = world.ledger_rows()[0]
    table = ControlTables.named("main.lakeflow.etl_control").of(FILES)
    world.store.merge(table, [{**row, "status": "pending"}], keys=FILES.keys)
    assert world.ingest().processed == 1
    assert world.target.rows == ["1", "1"]
