"""Files that are ingested again on purpose."""

from __future__ import annotations

import json
from typing import Any

from ingest_world import TABLES, source

from lakeflow_meta.control.tables import EVENTS
from lakeflow_meta.ingest.selection import Selection

FORCE = Selection(force=True)


def forced(world: Any, *paths: str, **config: Any) -> Any:
    wanted = frozenset(paths) if paths else None
    return world.process().ingest(source(**config), selection=Selection(wanted, force=True))


def test_every_file_is_loaded_again_and_that_is_recorded(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.files.put("/in/b.csv", "2\n")
    world.ingest()
    assert forced(world).processed == 2
    assert world.target.rows == ["1", "1", "2", "2"]
    assert world.ledger("status", "attempt", "record_count", "error_message") == {
        "/in/a.csv": ("success", 2, 1, None),
        "/in/b.csv": ("success", 2, 1, None),
    }
    (event,) = world.store.read(TABLES.of(EVENTS)).to_pylist()
    assert (event["actor"], event["verb"], event["action"]) == ("ann", "ingest", "forced")
    told = {"source": "m/s", "files": 2, "paths": ["/in/a.csv", "/in/b.csv"]}
    assert json.loads(event["after"]) == told


def test_only_the_named_files_are_loaded_again(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.files.put("/in/b.csv", "2\n")
    world.ingest()
    assert forced(world, "/in/b.csv").processed == 1
    assert forced(world, "/in/a*").processed == 1
    assert world.target.rows == ["1", "1", "2", "2"]


def test_without_force_a_selection_is_about_its_files_only(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.files.put("/in/b.csv", "2\n")
    chosen = Selection(frozenset({"/in/b*", "/in/none"}))
    assert world.process().ingest(source(), selection=chosen).processed == 1
    assert world.target.rows == ["2"]
    assert chosen.matched == {"/in/b*"}


def test_of_equal_files_one_is_loaded_again(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.files.put("/in/copy.csv", "1\n")
    world.ingest()
    assert forced(world).processed == 1
    assert world.target.rows == ["1", "1"]
    assert world.ledger("duplicate_of") == {"/in/a.csv": None, "/in/copy.csv": "/in/a.csv"}


def test_a_duplicate_that_is_named_is_loaded(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.files.put("/in/copy.csv", "1\n")
    world.ingest()
    assert forced(world, "/in/copy.csv").processed == 1
    assert world.target.rows == ["1", "1"]
    assert world.ledger("duplicate_of") == {"/in/a.csv": None, "/in/copy.csv": None}


def test_a_change_that_the_source_refuses_is_loaded_by_force(world: Any) -> None:
    for on_change in ("fail", "skip"):
        path = f"/in/{on_change}.csv"
        config = {"on_change": on_change, "path": "/in"}
        world.files.put(path, f"old {on_change}\n")
        world.process().ingest(source(**config))
        world.files.put(path, f"new {on_change}\n")
        world.process().ingest(source(**config))
        assert f"new {on_change}" not in world.target.rows
        assert forced(world, path, **config).processed == 1
        assert f"new {on_change}" in world.target.rows
        assert world.process().ingest(source(**config)).processed == 0


def test_new_files_are_loaded_by_force_as_without(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    assert forced(world).processed == 1
    assert world.ingest().processed == 0
    assert world.target.rows == ["1"]


def test_a_forced_file_that_fails_is_failed_and_tried_again(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    world.ingest()
    world.files.put("/in/b.csv", "BAD\n")
    assert forced(world, "/in/b.csv").failed == 1
    assert world.ledger("status")["/in/b.csv"] == "failed"
    assert world.ingest().failed == 1


def test_a_file_that_another_ingestor_is_busy_with_is_left_to_it(world: Any) -> None:
    world.files.put("/in/a.csv", "1\n")
    seen = []
    probe = type(world)()
    probe.files.put("/in/a.csv", "1\n")
    first = probe.process("p1")
    first.ingest(source())
    load = first.steps.index("loader.load") + 1

    def others_turn() -> None:
        seen.append(world.process("p2").ingest(source(), selection=FORCE))

    world.process("p1", stop_at=load, stop=others_turn).ingest(source())
    assert (seen[0].processed, seen[0].waiting) == (0, 1)
    assert world.target.rows == ["1"]
