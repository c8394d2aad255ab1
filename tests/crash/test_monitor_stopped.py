"""A monitor that is killed, whose files change in any order, or that looks for days."""

import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monitor_world import TABLES, World, module

from lakeflow_meta.control.tables import STATE
from lakeflow_meta.testing import Crash, CrashPoint


def _run_until_done(world: World, crash: CrashPoint) -> None:
    try:
        world.monitor(crash).check_and_update()
    except Crash:
        world.clock.advance(120)  # leases of the dead process run out
        world.monitor().check_and_update()


def _outcome(world: World) -> Any:
    jobs = {str(job.settings["name"]): job.settings for job in world.jobs.list_jobs()}
    rows = [
        {k: v for k, v in row.items() if not k.endswith("_timestamp")}
        for row in world.store.read(TABLES.sources).to_pylist()
    ]
    state = {
        row["key"]: row["value"]
        for row in world.store.read(TABLES.of(STATE)).to_pylist()
        if row["key"].startswith("monitor/")
    }
    return len(list(world.jobs.list_jobs())), jobs, rows, state


def _prepared() -> World:
    world = World()
    world.folder.put("a.yml", module("a"))
    world.folder.put("b.yml", module("b"))
    world.monitor().check_and_update()
    world.folder.put("b.yml", module("b", "SELECT 2", "SELECT 3"))
    world.folder.put("c.yml", module("c"))
    return world


def _calls() -> int:
    crash = CrashPoint()
    _prepared().monitor(crash).check_and_update()
    return len(crash.calls)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_call_the_next_monitor_ends_as_if_nothing_had_been(after: bool) -> None:
    calm = _prepared()
    calm.monitor().check_and_update()
    for at in range(1, _calls() + 1):
        world = _prepared()
        _run_until_done(world, CrashPoint(at, after=after))
        assert _outcome(world) == _outcome(calm), f"killed at call {at}"


@pytest.fixture
def world() -> World:
    return World()


def test_two_thousand_idle_looks_keep_memory_flat_and_write_nothing(world: World) -> None:
    for number in range(5):
        world.folder.put(f"f{number}.yml", module(f"m{number}"))
    monitor = world.monitor(heartbeat=lambda _status: None)
    monitor.run_continuous(200)
    before = world.versions()
    tracemalloc.start()
    monitor.run_continuous(100)
    first, _ = tracemalloc.get_traced_memory()
    monitor.run_continuous(1900)
    last, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert last - first < 20_000
    assert world.versions() == before


_NAMES = st.sampled_from(["a.yml", "b.yml", "sub/c.yml"])
_TEXTS = st.sampled_from(["SELECT 1", "SELECT 2", "bad", "gone"])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.tuples(_NAMES, _TEXTS), min_size=1, max_size=3), max_size=4))
def test_after_any_edits_recorded_rows_are_those_of_each_files_last_good_text(
    looks: list[list[tuple[str, str]]],
) -> None:
    world = World()
    monitor = world.monitor()
    good: dict[str, str] = {}
    for edits in looks:
        for name, text in edits:
            if text == "gone":
                world.folder.files.pop(name, None)
            else:
                name_of_module = Path(name).stem
                world.folder.put(name, "[" if text == "bad" else module(name_of_module, text))
        for name, (data, _) in world.folder.files.items():
            if data != b"[":
                good[name] = data.decode()
        monitor.check_and_update()
    recorded = {name: world.statement(name) for name in world.manager.get_all_modules()}
    expected = {
        Path(n).stem: "SELECT 1" if "SELECT 1" in t else "SELECT 2" for n, t in good.items()
    }
    assert recorded == expected
