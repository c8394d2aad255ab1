"""The ingestor stopped at every step that touches the outside: killed, paused, given up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.errors import ConflictError
from lakeflow_meta.ingest.batch import BatchLimits
from lakeflow_meta.ingest.lanes import LeaseTerms
from lakeflow_meta.ingest.source import FileSource

SOURCE = FileSource.parse("m/s", {"path": "/in", "format": "csv"}, {"table": "main.raw.people"})
LIMITS = BatchLimits(max_files=3)
EXPIRED = LeaseTerms().seconds + 1


def fill(world: Any) -> None:
    """Two runs' worth of files: known ones, a failed one, new ones, a copy, a bad one."""
    for number in range(2):
        world.files.put(f"/in/old{number}.csv", f"old {number}\n")
    world.files.put("/in/sick.csv", "BAD sick\n")
    world.process("first").ingest(SOURCE, LIMITS)
    for number in range(5):
        world.files.put(f"/in/new{number}.csv", f"new {number}\nmore {number}\n")
    world.files.put("/in/copy.csv", "new 1\nmore 1\n")
    world.files.put("/in/bad.csv", "BAD\n")
    world.files.put("/in/late.csv", "late\n")


def outcome(world: Any) -> tuple[Any, Any]:
    """What has to be the same whatever happened: rows, and what the ledger says of each file."""
    ledger = world.ledger("status", "record_count", "duplicate_of")
    loaded = {path for path, (status, _, _) in ledger.items() if status == "success"}
    counts = sum(row["record_count"] or 0 for row in world.ledger_rows())
    return world.target.rows, (ledger, loaded, counts)


@pytest.fixture
def undisturbed(world_factory: Callable[[], Any]) -> Any:
    world = world_factory()
    fill(world)
    process = world.process("p1")
    process.ingest(SOURCE, LIMITS)
    return world, process


def stops(calls: int) -> Iterator[tuple[int, str]]:
    for number in range(1, calls + 1):
        yield number, "before"
        yield number, "after"


def test_killed_at_any_step_the_next_run_ends_as_if_nothing_had_happened(
    undisturbed: Any, world_factory: Callable[[], Any], killed: type[BaseException]
) -> None:
    expected, process = outcome(undisturbed[0]), undisturbed[1]
    assert process.calls > 25
    for number, when in stops(process.calls):
        world = world_factory()
        fill(world)
        with pytest.raises(killed):
            world.process("p1", stop_at=number, when=when).ingest(SOURCE, LIMITS)
        world.process("p2").ingest(SOURCE, LIMITS)
        assert outcome(world) == expected, (number, when, process.steps[number - 1])


def test_killed_twice_in_a_row_the_third_run_ends_as_if_nothing_had_happened(
    undisturbed: Any, world_factory: Callable[[], Any], killed: type[BaseException]
) -> None:
    expected, process = outcome(undisturbed[0]), undisturbed[1]
    for number, when in list(stops(process.calls))[::3]:
        for second in range(1, 30, 5):
            world = world_factory()
            fill(world)
            with pytest.raises(killed):
                world.process("p1", stop_at=number, when=when).ingest(SOURCE, LIMITS)
            try:
                world.process("p2", stop_at=second, when=when).ingest(SOURCE, LIMITS)
            except killed:
                world.process("p3").ingest(SOURCE, LIMITS)
            assert outcome(world) == expected, (number, when, second, process.steps[number - 1])


@pytest.mark.parametrize("pause", [1.0, EXPIRED])
def test_paused_at_any_step_while_another_works_no_row_is_twice_and_none_is_lost(
    undisturbed: Any, world_factory: Callable[[], Any], pause: float
) -> None:
    """The other one finds a living owner, or (after a long pause) a lease that ran out."""
    rows, process = undisturbed[0].target.rows, undisturbed[1]
    for number, when in stops(process.calls):
        world = world_factory()
        fill(world)

        def others_turn(world: Any = world) -> None:
            world.clock.advance(pause)
            world.process("p2").ingest(SOURCE, LIMITS)

        slow = world.process("p1", stop_at=number, when=when, stop=others_turn)
        try:
            slow.ingest(SOURCE, LIMITS)
        except ConflictError:
            assert pause == EXPIRED
        world.process("p3").ingest(SOURCE, LIMITS)
        assert world.target.rows == rows, (number, when, process.steps[number - 1])
        known = world.process("p4").ingest(SOURCE, LIMITS)
        assert (known.processed, known.waiting, known.failed) == (0, 0, 2)


@pytest.mark.parametrize("pause", [1.0, EXPIRED])
def test_equal_bytes_in_two_folders_are_loaded_once_whatever_two_ingestors_do(
    world_factory: Callable[[], Any], pause: float
) -> None:
    def filled() -> Any:
        world = world_factory()
        world.files.put("/in/b.csv", "same\n")
        world.files.put("/other/a.csv", "same\n")
        return world

    other = FileSource.parse(
        "m/o", {"path": "/other", "format": "csv"}, {"table": "main.raw.people"}
    )
    first = filled().process("p1")
    first.ingest(SOURCE)
    for number, when in stops(first.calls):
        world = filled()

        def others_turn(world: Any = world) -> None:
            world.clock.advance(pause)
            world.process("p2").ingest(other)

        world.process("p1", stop_at=number, when=when, stop=others_turn).ingest(SOURCE)
        for source in (SOURCE, other):
            world.process("p3").ingest(source)
        assert world.target.rows == ["same"], (number, when)
        assert set(world.ledger("status").values()) == {"success"}, (number, when)


def test_two_at_once_share_the_files(world_factory: Callable[[], Any]) -> None:
    world = world_factory()
    for number in range(6):
        world.files.put(f"/in/{number}.csv", f"{number}\n")
    results = []
    first = world.process("p1", stop=lambda: None)
    first.ingest(SOURCE, BatchLimits(max_files=2))
    load = first.steps.index("loader.load") + 1

    world = world_factory()
    for number in range(6):
        world.files.put(f"/in/{number}.csv", f"{number}\n")

    def others_turn() -> None:
        results.append(world.process("p2").ingest(SOURCE, BatchLimits(max_files=2)))

    slow = world.process("p1", stop_at=load, stop=others_turn)
    results.append(slow.ingest(SOURCE, BatchLimits(max_files=2)))
    assert [result.processed for result in results] == [4, 2]
    assert world.target.rows == [str(number) for number in range(6)]
    assert len({commit.batch_id.app_id for commit in world.target.commits}) == 2


def test_an_unfinished_batch_of_a_living_process_is_left_alone(
    world_factory: Callable[[], Any],
) -> None:
    world = world_factory()
    world.files.put("/in/a.csv", "1\n")
    seen = []

    def others_turn() -> None:
        seen.append(world.process("p2").ingest(SOURCE))

    probe = world_factory()
    probe.files.put("/in/a.csv", "1\n")
    first = probe.process("p1")
    first.ingest(SOURCE)
    load = first.steps.index("loader.load") + 1
    world.process("p1", stop_at=load, stop=others_turn).ingest(SOURCE)
    assert (seen[0].processed, seen[0].waiting) == (0, 1)
    assert world.target.rows == ["1"]


def test_a_file_that_went_before_its_batch_was_replayed_fails_alone(
    world_factory: Callable[[], Any], killed: type[BaseException]
) -> None:
    probe = world_factory()
    probe.files.put("/in/a.csv", "1\n")
    probe.files.put("/in/b.csv", "2\n")
    first = probe.process("p1")
    first.ingest(SOURCE)
    load = first.steps.index("loader.load") + 1

    world = world_factory()
    world.files.put("/in/a.csv", "1\n")
    world.files.put("/in/b.csv", "2\n")
    with pytest.raises(killed):
        world.process("p1", stop_at=load).ingest(SOURCE)
    world.files.remove("/in/a.csv")
    result = world.process("p2").ingest(SOURCE)
    assert world.target.rows == ["2"]
    assert [failure.path for failure in result.failures] == ["/in/a.csv"]
    assert world.ledger("status") == {"/in/a.csv": "failed", "/in/b.csv": "success"}


def test_a_file_that_went_after_its_batch_was_committed_is_a_success(
    world_factory: Callable[[], Any], killed: type[BaseException]
) -> None:
    probe = world_factory()
    probe.files.put("/in/a.csv", "1\n")
    probe.files.put("/in/b.csv", "2\n")
    first = probe.process("p1")
    first.ingest(SOURCE)
    load = first.steps.index("loader.load") + 1

    world = world_factory()
    world.files.put("/in/a.csv", "1\n")
    world.files.put("/in/b.csv", "2\n")
    with pytest.raises(killed):
        world.process("p1", stop_at=load, when="after").ingest(SOURCE)
    world.files.remove("/in/a.csv")
    result = world.process("p2").ingest(SOURCE)
    assert world.target.rows == ["1", "2"]
    assert (result.processed, result.rows, result.failed) == (2, 2, 0)


def test_two_threads_on_real_control_tables_ingest_every_file_once(
    tmp_path: Path, world_factory: Callable[[], Any]
) -> None:
    world = world_factory()
    world.store = DeltaRsStore(tmp_path)
    for number in range(30):
        world.files.put(f"/in/{number:02}.csv", f"{number:02}\n")
    with ThreadPoolExecutor(3) as pool:
        runs = [
            pool.submit(world.process(f"p{number}").ingest, SOURCE, LIMITS) for number in range(3)
        ]
    assert sum(run.result().processed for run in runs) == 30
    assert world.target.rows == [f"{number:02}" for number in range(30)]
    assert set(world.ledger("status").values()) == {"success"}
