"""The way back: recorded rows as they were."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeflow_meta.control.moment import read_point
from lakeflow_meta.control.restore import MetadataRestore
from lakeflow_meta.control.tables import (
    DDL_SCRIPTS,
    EVENTS,
    LAYOUTS,
    MODULES,
    SOURCES,
    TABLES,
    ControlTables,
    TableLayout,
)
from lakeflow_meta.errors import ConfigError, ConflictError, NotFoundError
from lakeflow_meta.testing import Crash, CrashPoint, FakeStore, FixedClock

NAMES = ControlTables.named("main.lakeflow.etl_control")
VALUES = {
    SOURCES: "source_config",
    MODULES: "job_config",
    TABLES: "definition",
    DDL_SCRIPTS: "body",
}


class World:
    def __init__(self) -> None:
        self.clock = FixedClock(step_seconds=1)
        self.store = FakeStore(self.clock)
        for layout in LAYOUTS:
            self.store.ensure(NAMES.of(layout), layout)

    def put(self, layout: TableLayout, rows: Sequence[Mapping[str, Any]]) -> None:
        now = self.clock()
        times = {"created_timestamp": now, "updated_timestamp": now}
        self.store.merge(
            NAMES.of(layout),
            [{**row, **times} for row in rows],
            keys=layout.keys,
            insert_only=("created_timestamp",),
            touch=("updated_timestamp",),
        )

    def source(self, module: str, text: str, source_id: str = "a") -> None:
        row = {"module_name": module, "source_id": source_id, "source_config": text}
        self.put(SOURCES, [{**row, "is_active": True}])

    def remove(self, module: str, layout: TableLayout = SOURCES) -> None:
        scope = {"module_name": module}
        self.store.merge(NAMES.of(layout), [], keys=layout.keys, scope=scope)

    def version(self) -> int:
        return self.store.version(NAMES.sources) or 0

    def versions(self) -> list[int | None]:
        return [self.store.version(NAMES.of(layout)) for layout in LAYOUTS]

    def rows(self, layout: TableLayout = SOURCES) -> dict[Any, Any]:
        rows = self.store.read(NAMES.of(layout)).to_pylist()
        return {tuple(row[k] for k in layout.keys): row[VALUES[layout]] for row in rows}

    def restore(self, *modules: str, crash: CrashPoint | None = None, **options: Any) -> Any:
        store = crash.wrap(self.store) if crash else self.store
        verb = MetadataRestore(store, NAMES, actor=lambda: "ann", clock=self.clock)
        return verb.restore(modules or None, **options)


@pytest.fixture
def world() -> World:
    return World()


def test_rows_of_a_module_are_what_they_were_and_other_modules_stay(world: World) -> None:
    world.source("sales", "1")
    world.source("other", "1")
    then = world.version()
    world.source("sales", "2")
    world.source("sales", "new", "b")
    world.source("other", "2")
    report = world.restore("sales", to=then).to_dict()
    assert (report["added"], report["changed"], report["removed"]) == (0, 1, 1)
    assert report["tables"]["etl_control"]["removed"] == ["sales/b"]
    assert world.rows() == {("sales", "a"): "1", ("other", "a"): "2"}


def test_a_restore_is_one_commit_of_each_table_that_differs_and_keeps_the_history(
    world: World,
) -> None:
    world.source("sales", "1")
    then = world.version()
    world.source("sales", "2")
    before = world.version()
    world.restore("sales", to=str(then))
    last = world.store.history(NAMES.sources)[-1]
    assert last.version == before + 1
    assert last.metadata == {"actor": "ann", "verb": "restore", "to": str(then)}
    assert world.store.version(NAMES.of(MODULES)) == 0
    world.restore("sales", to=before)
    assert world.rows() == {("sales", "a"): "2"}


def test_a_removed_module_comes_back_with_its_settings_tables_and_first_date(world: World) -> None:
    world.put(MODULES, [{"module_name": "m", "job_config": '{"a":1}', "is_active": True}])
    world.put(TABLES, [{"table_name": "c.s.t", "module_name": "m", "definition": "d"}])
    world.source("m", "1")
    created = world.store.read(NAMES.sources).to_pylist()[0]["created_timestamp"]
    then = world.version()
    for layout in (MODULES, TABLES, SOURCES):
        world.remove("m", layout)
    report = world.restore("m", to=then)
    assert report.to_dict()["added"] == 3
    assert world.rows(MODULES) == {("m",): '{"a":1}'}
    assert world.rows(TABLES) == {("c.s.t",): "d"}
    (row,) = world.store.read(NAMES.sources).to_pylist()
    assert row["created_timestamp"] == created
    assert row["updated_timestamp"] > created


def test_a_dry_run_says_the_same_and_writes_nothing(world: World) -> None:
    world.source("m", "1")
    then = world.version()
    world.source("m", "2")
    before = world.versions()
    dry = world.restore("m", to=then, dry_run=True).to_dict()
    assert world.versions() == before
    wet = world.restore("m", to=then).to_dict()
    assert dry == {**wet, "dry_run": True}


def test_the_same_restore_again_writes_nothing(world: World) -> None:
    world.source("m", "1")
    then = world.version()
    world.source("m", "2")
    world.restore("m", to=then)
    before = world.versions()
    assert not world.restore("m", to=then)
    assert world.versions() == before


def test_a_time_is_the_state_of_every_table_at_that_time(world: World) -> None:
    world.source("m", "1")
    world.put(MODULES, [{"module_name": "m", "job_config": "1"}])
    then = world.clock()
    world.source("m", "2")
    world.put(MODULES, [{"module_name": "m", "job_config": "2"}])
    world.restore("m", to=then.isoformat())
    assert world.rows() == {("m", "a"): "1"}
    assert world.rows(MODULES) == {("m",): "1"}


def test_what_was_applied_to_a_table_is_not_turned_back(world: World) -> None:
    row = {"table_name": "c.s.t", "module_name": "m", "definition": "1", "applied_version": 1}
    world.put(TABLES, [row])
    world.source("m", "1")
    then = world.version()
    world.put(TABLES, [{**row, "definition": "2", "applied_version": 5}])
    world.restore("m", to=then)
    (found,) = world.store.read(NAMES.of(TABLES)).to_pylist()
    assert (found["definition"], found["applied_version"]) == ("1", 5)


def test_a_table_that_moved_to_another_module_goes_back_to_the_first(world: World) -> None:
    world.put(TABLES, [{"table_name": "c.s.t", "module_name": "b", "definition": "1"}])
    world.source("a", "1")
    then = world.version()
    world.put(TABLES, [{"table_name": "c.s.t", "module_name": "a", "definition": "2"}])
    world.restore("a", to=then)
    (found,) = world.store.read(NAMES.of(TABLES)).to_pylist()
    assert (found["module_name"], found["definition"]) == ("b", "1")


def _script(target: str, body: str) -> dict[str, Any]:
    return {"script_id": f"{target}/1_a/1_b.sql", "target": target, "body": body}


def test_scripts_of_a_target_go_with_the_only_module_that_uses_it(world: World) -> None:
    def use(module: str, *targets: str) -> dict[str, Any]:
        return {"module_name": module, "ddl_targets": json.dumps(targets)}

    world.put(MODULES, [use("m", "own", "shared"), use("n", "shared")])
    world.put(DDL_SCRIPTS, [_script(t, "1") for t in ("own", "shared", "loose")])
    world.source("m", "1")
    then = world.version()
    world.put(DDL_SCRIPTS, [_script(t, "2") for t in ("own", "shared", "loose")])
    report = world.restore("m", to=then)
    changed = {key[0].split("/")[0]: body for key, body in world.rows(DDL_SCRIPTS).items()}
    assert changed == {"own": "1", "shared": "2", "loose": "2"}
    assert report.notes == ("DDL scripts of shared stay: n uses them too",)
    world.restore(to=then)
    assert set(world.rows(DDL_SCRIPTS).values()) == {"1"}


def test_events_tell_who_restored_what_with_both_sides(world: World) -> None:
    world.source("m", "1")
    then = world.version()
    world.source("m", "2")
    world.restore("m", to=then)
    (event,) = world.store.read(NAMES.of(EVENTS)).to_pylist()
    assert (event["actor"], event["verb"], event["object"], event["action"]) == (
        "ann",
        "restore",
        "etl_control: m/a",
        "changed",
    )
    assert json.loads(event["before"])["source_config"] == "2"
    assert json.loads(event["after"])["source_config"] == "1"


# --- refusals


def test_an_unknown_module_is_refused_with_the_nearest_name(world: World) -> None:
    world.source("sales", "1")
    with pytest.raises(ConfigError, match="did you mean sales"):
        world.restore("salse", to=world.version())


def test_a_version_that_is_not_there_is_refused(world: World) -> None:
    world.source("m", "1")
    with pytest.raises(ConfigError, match="no version 99"):
        world.restore("m", to=99)


def test_a_time_before_the_table_is_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="did not exist"):
        world.restore(to="2001-01-01T00:00:00+00:00")


def test_history_whose_log_was_cleaned_is_refused(world: World) -> None:
    for text in "123":
        world.source("m", text)
    table = world.store._tables[NAMES.sources.key]
    del table.commits[:2]
    with pytest.raises(ConfigError, match="no version 1 in its history; it has 2 to 3"):
        world.restore("m", to=1)
    with pytest.raises(ConfigError, match="begins at version 2"):
        world.restore("m", to="2001-01-01T00:00:00+00:00")


def test_history_whose_data_was_vacuumed_is_refused_and_nothing_is_written(world: World) -> None:
    world.source("m", "1")
    then = world.version()
    world.source("m", "2")
    before = world.versions()
    gone = NotFoundError("gone", code="VERSION_GONE")
    world.store.fail_on("read", nth=8, error=gone)  # the four tables now, then the fourth then
    with pytest.raises(ConfigError, match="vacuumed"):
        world.restore("m", to=then)
    assert world.versions() == before


def test_several_rows_with_one_key_are_refused(world: World) -> None:
    world.source("m", "1")
    then = world.version()
    world.store.append(NAMES.sources, [{"module_name": "m", "source_id": "a"}])
    with pytest.raises(ConflictError, match="m/a"):
        world.restore("m", to=then)


@pytest.mark.parametrize("text", ["yesterday", "2025-01-31", "-1", "", "1.5"])
def test_a_point_that_is_neither_version_nor_time_with_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_point(text)


# --- killed anywhere, and any history


def _prepared() -> tuple[World, int]:
    world = World()
    world.put(MODULES, [{"module_name": "m", "job_config": "1"}])
    world.source("m", "1")
    then = world.version()
    world.put(MODULES, [{"module_name": "m", "job_config": "2"}])
    world.source("m", "2")
    world.source("m", "3", "b")
    return world, then


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_call_the_same_restore_again_completes_it(after: bool) -> None:
    calm, then = _prepared()
    crash = CrashPoint()
    calm.restore("m", to=then, crash=crash)
    for at in range(1, len(crash.calls) + 1):
        world, then = _prepared()
        with pytest.raises(Crash):
            world.restore("m", to=then, crash=CrashPoint(at, after=after))
        world.restore("m", to=then)
        assert world.rows() == calm.rows(), f"killed at call {at}"
        assert world.rows(MODULES) == calm.rows(MODULES)


_STEPS = st.tuples(
    st.sampled_from(["a", "b"]), st.sampled_from(["s1", "s2"]), st.sampled_from(["1", "2", None])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_STEPS, min_size=1, max_size=12), st.data())
def test_any_module_can_be_set_to_any_version_of_any_history(
    steps: list[tuple[str, str, str | None]], data: st.DataObject
) -> None:
    world = World()
    states = {0: world.rows()}
    for module, source_id, text in steps:
        if text is None:
            world.remove(module)
        else:
            world.source(module, text, source_id)
        states[world.version()] = world.rows()
    now = world.rows()
    to = data.draw(st.sampled_from(sorted(states)))
    known = {key[0] for key in (*now, *states[to])}
    if not known:
        return
    chosen = data.draw(st.sets(st.sampled_from(sorted(known)), min_size=1))
    world.restore(*sorted(chosen), to=to)
    expected = {k: v for k, v in now.items() if k[0] not in chosen}
    expected |= {k: v for k, v in states[to].items() if k[0] in chosen}
    assert world.rows() == expected
