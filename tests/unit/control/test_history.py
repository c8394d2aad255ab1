"""Who changed what and when."""

from datetime import timedelta
from typing import Any

import pytest

from lakeflow_meta.control.history import MetadataHistory
from lakeflow_meta.control.row_changes import compare_rows
from lakeflow_meta.control.tables import EVENTS, LAYOUTS, MODULES, SOURCES, TABLES, ControlTables
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.testing import FakeStore, FixedClock

NAMES = ControlTables.named("main.lakeflow.etl_control")


class World:
    def __init__(self) -> None:
        self.clock = FixedClock(step_seconds=1)
        self.store = FakeStore(self.clock)
        for layout in LAYOUTS:
            self.store.ensure(NAMES.of(layout), layout)
        self.history = MetadataHistory(self.store, NAMES)

    def source(self, module: str, text: str, actor: str = "ann", verb: str = "sync") -> int:
        row = {"module_name": module, "source_id": "a", "source_config": text}
        note = {"actor": actor, "verb": verb}
        return self.store.merge(NAMES.sources, [row], keys=SOURCES.keys, note=note).version

    def event(self, name: str, action: str, **more: Any) -> None:
        row = {"at": self.clock(), "actor": "bob", "verb": "apply", "object": name}
        self.store.append(NAMES.of(EVENTS), [{**row, "action": action, **more}])


@pytest.fixture
def world() -> World:
    return World()


def test_each_change_of_a_row_is_shown_newest_first_with_who_and_both_sides(world: World) -> None:
    world.source("sales", "1")
    world.source("other", "9")
    version = world.source("sales", "2", actor="bob", verb="sql")
    new, old = world.history.entries("sales")
    assert (new.actor, new.verb, new.action, new.version) == ("bob", "sql", "changed", version)
    assert (new.before, new.after) == ({"source_config": "1"}, {"source_config": "2"})
    assert (old.action, old.object, old.actor) == ("added", "sales/a", "ann")
    assert old.after["source_config"] == "1"
    assert old.at < new.at


def test_what_goes_and_comes_back_is_three_entries(world: World) -> None:
    world.source("sales", "1")
    scope = {"module_name": "sales"}
    world.store.merge(NAMES.sources, [], keys=SOURCES.keys, scope=scope)
    world.source("sales", "1")
    assert [e.action for e in world.history.entries("sales")] == ["added", "removed", "added"]


def test_settings_tables_sources_and_jobs_are_one_story_in_order_of_time(world: World) -> None:
    world.store.merge(
        NAMES.of(MODULES), [{"module_name": "m", "job_config": "{}"}], keys=MODULES.keys
    )
    world.store.merge(
        NAMES.of(TABLES), [{"table_name": "c.s.t", "module_name": "m"}], keys=TABLES.keys
    )
    world.source("m", "1")
    world.event("m", "created", after='{"job_id":1}')
    entries = world.history.entries("m")
    assert [e.table for e in entries] == [
        "etl_control_events",
        "etl_control",
        "etl_control_tables",
        "etl_control_modules",
    ]
    assert entries[0].version is None
    assert entries[0].after == {"value": '{"job_id":1}'}


def test_a_failed_event_carries_its_error(world: World) -> None:
    world.event("m", "updated", outcome="failed", error="refused")
    (entry,) = world.history.entries("m")
    assert (entry.outcome, entry.error) == ("failed", "refused")
    assert entry.to_dict()["error"] == "refused"


def test_a_limit_and_a_time_cut_the_older_part_off(world: World) -> None:
    for number in range(10):
        world.source("m", str(number))
    newest = world.history.entries("m", limit=3)
    assert [e.after["source_config"] for e in newest] == ["9", "8", "7"]
    assert len(world.history.entries("m", since=newest[-1].at)) == 3
    assert world.history.entries("m", since=newest[0].at + timedelta(seconds=1)) == []


def test_without_a_module_all_are_shown(world: World) -> None:
    world.source("a", "1")
    world.source("b", "1")
    world.event("c", "created")
    assert [e.object for e in world.history.entries()] == ["c", "b/a", "a/a"]


def test_a_row_written_again_as_it_was_is_no_entry(world: World) -> None:
    world.source("m", "1")
    row = {"module_name": "m", "source_id": "a", "updated_timestamp": world.clock()}
    assert world.store.merge(NAMES.sources, [row], keys=SOURCES.keys).changed
    assert len(world.history.entries("m")) == 1
    assert len(world.history.entries()) == 1


@pytest.mark.parametrize("module", ["m", None])
def test_where_older_versions_are_gone_the_newer_ones_are_still_shown(
    world: World, module: str | None
) -> None:
    for number in range(4):
        world.source("m", str(number))
    method, nth = ("read", 5) if module else ("changed_rows", 3)
    world.store.fail_on(method, nth, error=NotFoundError("vacuumed", code="VERSION_GONE"))
    shown = [e.after["source_config"] for e in world.history.entries(module)]
    assert shown == ["3", "2"]


def test_tables_that_do_not_exist_have_no_history() -> None:
    assert MetadataHistory(FakeStore(), NAMES).entries("m") == []


def row(key: Any, value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([row(1, "a")], [row(1, "a")], {}),
        ([row(1, None)], [row(1, "")], {1: "changed"}),
        ([row(None, 1)], [row(None, 2)], {None: "changed"}),
        ([row(None, None)], [], {None: "removed"}),
        ([], [row(1, "a")], {1: "added"}),
        ([row(1, "a"), row(1, "b")], [row(1, "b"), row(1, "a")], {}),
        ([row(1, "a"), row(1, "b")], [row(1, "a")], {1: "changed"}),
        ([row(1, "a")], [row(1, "a"), row(1, "b")], {1: "changed"}),
    ],
)
def test_rows_are_compared_by_key_with_nulls_and_with_several_rows_of_a_key(
    before: Any, after: Any, expected: Any
) -> None:
    changes = compare_rows(before, after, ["key"])
    assert {c.key[0]: c.action for c in changes} == expected


def test_a_column_that_only_the_newer_rows_have_is_null_in_the_older() -> None:
    (change,) = compare_rows([{"k": 1}], [{"k": 1, "v": 2}], ["k"])
    assert (change.before, change.columns) == ({"k": 1, "v": None}, ["v"])
    assert compare_rows([{"k": 1}], [{"k": 1, "v": None}], ["k"]) == []
