"""An extract stopped at every step that touches the outside: killed, given up, lost its lease."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from extract_samples import declared
from extract_world import World

from lakeflow_meta.extract.extractor import Choice
from lakeflow_meta.extract.report import ExtractsReport
from lakeflow_meta.testing.crash import Crash, CrashPoint

INCREMENTAL = declared(
    load={"mode": "incremental", "watermark_column": "id"},
    file_name={"timestamp_format": "yyyyMMdd_HHmmss"},
    file={"max_rows_per_file": 2},
    trigger={},
    manifest=True,
)
FULL = declared(file={"max_rows_per_file": 2}, trigger={}, manifest=True)
ARCHIVE = declared(
    file={"max_rows_per_file": 2}, compression={"type": "zip", "archive": {}}, trigger={}
)
Fill = Callable[[World], None]


def rows(*ids: int) -> pa.Table:
    return pa.table({"id": list(ids), "name": [f"name {number}" for number in ids]})


def first_run(world: World, extract: dict[str, Any]) -> None:
    """A run that went well, with more files than the next one."""
    world.record(extract)
    world.rows.tables["customers"] = rows(1, 2, 3, 4, 5)
    assert not world.extractor().run(Choice(), run_id="first").has_failures
    world.clock.advance(60)


def disturbed_run(world: World, crash: CrashPoint) -> ExtractsReport:
    world.rows.tables["customers"] = rows(1, 2, 3, 4, 5, 6, 7, 8)
    world.rows.tables["customers"] = world.rows.tables["customers"].slice(3)
    return world.extractor("p1", crash).run(Choice(), run_id="disturbed")


def last_run(world: World) -> ExtractsReport:
    world.dead.add("p1")
    world.clock.advance(60)
    return world.extractor("p2").run(Choice(), run_id="last")


def outcome(world: World) -> Any:
    return world.files(), world.watermark(), world.hidden()


def stops(calls: int) -> Iterator[tuple[int, bool]]:
    for number in range(1, calls + 1):
        yield number, False
        yield number, True


def check_what_readers_see(world: World) -> None:
    """A trigger means: everything that the manifest lists is there, and is what it says."""
    files = world.files()
    for name in (name for name in files if name.endswith(".done")):
        manifest = files.get(name.replace(".done", ".manifest.json"))
        if manifest is None:
            continue
        for entry in json.loads(manifest)["files"]:
            assert hashlib.sha256(files[entry["name"]]).hexdigest() == entry["sha256"]
    assert all(name.partition(".")[2] in ("csv", "zip", "done", "manifest.json") for name in files)


def check_history(world: World) -> None:
    """Every run has one first row and one last row."""
    by_run: dict[str, list[str]] = {}
    for run_id, status in world.history("run_id", "run_status"):
        by_run.setdefault(run_id, []).append(status)
    for run_id, found in by_run.items():
        assert sorted(found)[1:] == ["IN_PROGRESS"] or sorted(found) == [
            "IN_PROGRESS",
            "SUCCESS",
        ], (
            run_id,
            found,
        )
        assert len(found) == 2


@pytest.mark.parametrize("extract", [FULL, ARCHIVE], ids=["parts", "archive"])
def test_killed_at_any_step_the_next_run_ends_as_if_nothing_had_happened(
    extract: dict[str, Any], tmp_path: Path
) -> None:
    undisturbed, crash = World(tmp_path / "undisturbed"), CrashPoint()
    first_run(undisturbed, extract)
    disturbed_run(undisturbed, crash)
    last_run(undisturbed)
    expected = outcome(undisturbed)
    assert len(crash.calls) > 20
    for number, after in stops(len(crash.calls)):
        world = World(tmp_path / f"{number}{after}")
        first_run(world, extract)
        with pytest.raises(Crash):
            disturbed_run(world, CrashPoint(number, after=after))
        check_what_readers_see(world)
        assert not last_run(world).has_failures
        step = (number, after, crash.calls[number - 1])
        assert outcome(world) == expected, step
        check_history(world)


def test_killed_at_any_step_every_row_is_published_once(tmp_path: Path) -> None:
    """The run is whole, or it never was; then the next one takes its rows."""
    undisturbed, crash = World(tmp_path / "undisturbed"), CrashPoint()
    first_run(undisturbed, INCREMENTAL)
    disturbed_run(undisturbed, crash)
    last_run(undisturbed)
    with_run = outcome(undisturbed)
    without = World(tmp_path / "without")
    first_run(without, INCREMENTAL)
    without.rows.tables["customers"] = undisturbed.rows.tables["customers"]
    last_run(without)
    without_run = outcome(without)
    decided, discarded = (crash.calls.index(step) + 1 for step in ("decide", "discard"))
    for number, after in stops(len(crash.calls)):
        world = World(tmp_path / f"{number}{after}")
        first_run(world, INCREMENTAL)
        with pytest.raises(Crash):
            disturbed_run(world, CrashPoint(number, after=after))
        check_what_readers_see(world)
        at_most = world.watermark()
        report = last_run(world)
        step = (number, after, crash.calls[number - 1])
        was_decided = (number, after) >= (decided, True)
        assert outcome(world) == (with_run if was_decided else without_run), step
        assert published(world) == [str(number) for number in range(1, 9)], step
        assert at_most in ("5", "8"), step
        check_history(world)
        left_over = was_decided and (number, after) < (discarded, True)
        assert report.outcomes[0].completed == (("disturbed",) if left_over else ()), step


def published(world: World) -> list[str]:
    found: list[str] = []
    for name, data in world.files().items():
        if name.endswith(".csv"):
            found += [row["id"] for row in csv.DictReader(data.decode().splitlines())]
    return sorted(found, key=int)


def test_killed_twice_the_third_run_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    probe, crash = World(tmp_path / "probe"), CrashPoint()
    first_run(probe, INCREMENTAL)
    disturbed_run(probe, crash)
    decide = crash.calls.index("decide")
    for number in range(decide, len(crash.calls)):
        for second in range(5, 16, 2):
            world = World(tmp_path / f"{number} {second}")
            first_run(world, INCREMENTAL)
            with pytest.raises(Crash):
                disturbed_run(world, CrashPoint(number))
            world.dead.add("p1")
            world.clock.advance(60)
            with pytest.raises(Crash):
                world.extractor("p3", CrashPoint(second)).run(Choice(), run_id="second")
            world.dead.add("p3")
            assert not last_run(world).has_failures
            assert published(world) == [str(each) for each in range(1, 9)], (number, second)
            assert world.hidden() == []
            check_history(world)


def test_another_runner_is_told_and_touches_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.record(FULL)
    world.rows.tables["customers"] = rows(1, 2, 3)
    with pytest.raises(Crash):
        world.extractor("p1", CrashPoint(at=13)).run(Choice(), run_id="first")
    before = world.history(), world.hidden()
    (told,) = world.run(process="p2").outcomes
    assert "another runner holds it: p1" in told.error
    assert (world.history(), world.hidden()) == before
    world.dead.add("p1")
    assert not world.run(process="p2").has_failures


def test_a_runner_that_was_taken_for_dead_cannot_publish_any_more(tmp_path: Path) -> None:
    """It goes on while its successor has cleared away what it wrote."""
    world = World(tmp_path)
    world.record(FULL)
    world.rows.tables["customers"] = rows(1, 2, 3)
    results = []

    class Slow(CrashPoint):
        def call(self, name: str, act: Callable[[], Any]) -> Any:
            if name == "decide":
                world.dead.add("p1")
                world.rows.tables["customers"] = rows(7)
                results.append(world.run(process="p2"))
            return super().call(name, act)

    (slow,) = world.extractor("p1", Slow()).run(Choice()).outcomes
    assert slow.status == "failed"
    assert not results[0].has_failures
    assert published(world) == ["7"]
    assert world.hidden() == []
