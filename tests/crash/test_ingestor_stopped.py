"""The ingestor stopped at every step that touches the outside: killed, paused, given up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from ingest_world import source

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.errors import ConflictError
from lakeflow_meta.ingest.batch import BatchLimits
from lakeflow_meta.ingest.lanes import LeaseTerms
from lakeflow_meta.ingest.selection import Selection
from lakeflow_meta.ingest.source import FileSource

SOURCE = FileSource.parse("m/s", {"path": "/in", "format": "csv"}, {"table": "main.raw.people"})
LIMITS = BatchLimits(max_files=3)
EXPIRED = LeaseTerms().seconds + 1
DAY = 24 * 60 * 60.0


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


# --------------------------------------------------------------------------- every way to ingest


@dataclass(frozen=True)
class Way:
    """One way to ingest: the source, and what its folder holds."""

    source: FileSource
    fill: Callable[[Any], None]
    selection: Selection = field(default_factory=Selection)


def several(world: Any) -> None:
    for number in range(4):
        world.files.put(f"/in/{number}.csv", f"{number} a\n{number + 10} b\n")
    world.files.put("/in/copy.csv", "1 a\n11 b\n")


def old_and_new(world: Any) -> None:
    several(world)
    world.process("first").ingest(source(), LIMITS)
    world.files.put("/in/1.csv", "1 changed\n")
    world.files.touch("/in/2.csv")
    world.files.put("/in/new.csv", "5 c\n")
    world.files.put("/in/new2.csv", "5 d\n6 e\n")


def ingested(world: Any) -> None:
    several(world)
    world.process("first").ingest(source(), LIMITS)


ARCHIVE = {"after_success": "archive", "archive_path": "/done"}
WAYS = {
    "directory": Way(source(), fill),
    "one file": Way(source("/in/0.csv"), several),
    "overwrite": Way(source(target={"write_mode": "overwrite"}), several),
    "merge": Way(source(target={"write_mode": "merge", "keys": ["id"]}), old_and_new),
    "a change is skipped": Way(source(on_change="skip"), old_and_new),
    "a change is a failure": Way(source(on_change="fail"), old_and_new),
    "archive": Way(source(**ARCHIVE), old_and_new),
    "archive a folder with bad files": Way(source(**ARCHIVE), fill),
    "delete": Way(source(after_success="delete"), old_and_new),
    "archive what was ingested before": Way(source(**ARCHIVE), ingested),
    "force": Way(source(), ingested, Selection(force=True)),
    "force some, and archive": Way(
        source(**ARCHIVE), ingested, Selection(frozenset({"/in/1.csv", "/in/copy.csv"}), force=True)
    ),
}


def whole_outcome(world: Any) -> Any:
    names = ("file_path", "file_hash", "status", "record_count", "duplicate_of", "error_message")
    rows = {tuple(row[name] for name in names) for row in world.ledger_rows()}
    return world.target.rows, rows, {path: world.files.text(path) for path in world.files.paths}


@pytest.mark.parametrize("name", WAYS)
def test_killed_at_any_step_the_next_run_ends_as_if_nothing_had_happened(
    name: str, world_factory: Callable[[], Any], killed: type[BaseException]
) -> None:
    """Force is an exception: died before it was written down, it did not happen."""
    way = WAYS[name]
    world, process = run_of(way, world_factory)
    expected = [whole_outcome(world)]
    if way.selection.force:
        unforced, _ = run_of(replace(way, selection=Selection()), world_factory)
        expected.append(whole_outcome(unforced))
    for number, when in stops(process.calls):
        world = world_factory()
        way.fill(world)
        with pytest.raises(killed):
            world.process("p1", stop_at=number, when=when).ingest(way.source, LIMITS, way.selection)
        world.process("p2").ingest(way.source, LIMITS)
        where = (number, when, process.steps[number - 1])
        assert whole_outcome(world) in expected, where
        if "loader.load" in process.steps[:number]:
            assert whole_outcome(world) == expected[0], where


def run_of(way: Way, world_factory: Callable[[], Any]) -> tuple[Any, Any]:
    world = world_factory()
    way.fill(world)
    process = world.process("p1")
    process.ingest(way.source, LIMITS, way.selection)
    assert process.calls > 1
    world.process("again").ingest(way.source, LIMITS)
    return world, process


@pytest.mark.parametrize("jump", [DAY, -DAY])
@pytest.mark.parametrize("one_machine", [True, False])
def test_killed_and_then_the_clock_jumps(
    world_factory: Callable[[], Any], killed: type[BaseException], jump: float, one_machine: bool
) -> None:
    """That the process is gone is seen on its machine; on another one its lease has to end."""
    way = WAYS["directory"]
    expected, process = run_of(way, world_factory)
    for number, when in stops(process.calls):
        world = world_factory()
        way.fill(world)
        with pytest.raises(killed):
            world.process("p1", stop_at=number, when=when).ingest(way.source, LIMITS)
        world.clock.advance(jump)
        if not one_machine:
            world.dead.clear()
            world.one_machine = False
        world.process("p2").ingest(way.source, LIMITS)
        if not one_machine:
            world.clock.advance(DAY + EXPIRED)
            world.process("p3").ingest(way.source, LIMITS)
        where = (number, when, process.steps[number - 1])
        assert whole_outcome(world) == whole_outcome(expected), where


@pytest.mark.parametrize("name", WAYS)
def test_paused_at_any_step_while_another_works_every_way_keeps_its_rows(
    name: str, world_factory: Callable[[], Any]
) -> None:
    """Of two runs that overwrite, the files of the later one are what is left. What the other one
    put away before cannot be forced."""
    way = WAYS[name]
    expected, process = run_of(way, world_factory)
    unforced, _ = run_of(replace(way, selection=Selection()), world_factory)
    rows = [expected.target.rows]
    rows += [unforced.target.rows] if way.selection.force and way.source.puts_away else []
    for number, when in stops(process.calls):
        world = world_factory()
        way.fill(world)

        def others_turn(world: Any = world) -> None:
            world.process("p2").ingest(way.source, LIMITS)

        slow = world.process("p1", stop_at=number, when=when, stop=others_turn)
        slow.ingest(way.source, LIMITS, way.selection)
        world.process("p3").ingest(way.source, LIMITS)
        where = (number, when, process.steps[number - 1])
        if name != "overwrite":
            assert world.target.rows in rows, where
        assert world.files.paths == expected.files.paths, where
        assert "processing" not in {row["status"] for row in world.ledger_rows()}, where


# --------------------------------------------------------------------------- killed twice, paused


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

        world.one_machine = pause < EXPIRED

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

        world.one_machine = pause < EXPIRED

        def others_turn(world: Any = world) -> None:
            world.clock.advance(pause)
            world.process("p2").ingest(other)

        world.process("p1", stop_at=number, when=when, stop=others_turn).ingest(SOURCE)
        for each in (SOURCE, other):
            world.process("p3").ingest(each)
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


@pytest.mark.parametrize("ingestors", [2, 4])
def test_several_at_once_on_real_control_tables_ingest_every_file_once(
    tmp_path: Path, world_factory: Callable[[], Any], ingestors: int
) -> None:
    world = world_factory()
    world.store = DeltaRsStore(tmp_path)
    for number in range(30):
        world.files.put(f"/in/{number:02}.csv", f"{number:02}\n")
    with ThreadPoolExecutor(ingestors) as pool:
        runs = [
            pool.submit(world.process(f"p{number}").ingest, SOURCE, LIMITS)
            for number in range(ingestors)
        ]
    assert sum(run.result().processed for run in runs) == 30
    assert world.target.rows == [f"{number:02}" for number in range(30)]
    assert set(world.ledger("status").values()) == {"success"}
