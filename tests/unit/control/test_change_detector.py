"""The change detector: what is seen, rows that cannot be read, and times without a history."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.control.change_detector import ChangeDetector
from lakeflow_meta.control.changes import Changes, active_states
from lakeflow_meta.control.tables import (
    JOBS,
    MODULES,
    SOURCES,
    STATE,
    TABLES,
    ControlTables,
    TableLayout,
)
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.ports import Commit, ControlStore
from lakeflow_meta.testing import FakeStore, FixedClock

NAMES = ControlTables.named("main.lakeflow.etl_control")
FOREVER_AGO = datetime(2020, 1, 1, tzinfo=UTC)
STARTED = datetime(2025, 10, 1, tzinfo=UTC)


class World:
    """Control tables that people write with SQL, and a detector of a new process each time."""

    def __init__(self, store: ControlStore | None = None) -> None:
        self.clock = FixedClock(STARTED, step_seconds=1)
        self.store = store or FakeStore(self.clock)
        for layout in (SOURCES, MODULES, TABLES, JOBS, STATE):
            self.store.ensure(NAMES.of(layout), layout)

    @property
    def detector(self) -> ChangeDetector:
        return ChangeDetector(self.store, NAMES)

    def put(self, layout: TableLayout, **row: Any) -> None:
        self.store.merge(NAMES.of(layout), [row], keys=layout.keys)

    def add(self, layout: TableLayout, **row: Any) -> None:
        self.store.append(NAMES.of(layout), [row])

    def source(self, module: str, source_id: str = "a", **more: Any) -> None:
        self.put(SOURCES, module_name=module, source_id=source_id, **more)

    def delete(self, layout: TableLayout, **scope: Any) -> None:
        self.store.merge(NAMES.of(layout), [], keys=layout.keys, scope=scope)

    def apply(self) -> None:
        """Record what the orchestrator would, and remember the answer."""
        recorded = self.detector.recorded()
        for name, state in active_states(recorded.modules).items():
            if name not in recorded.unreadable:
                text = canonical_json(state.to_dict())
                self.put(JOBS, module_name=name, job_id=1, applied_state=text, is_active=True)
        self.detector.remember_answer()


@pytest.fixture
def world() -> World:
    return World()


def seen(found: Changes) -> dict[str, Any]:
    """What an answer says, without what it does not."""
    value = found.to_dict()
    names = ("new_modules", "updated_modules", "deactivated_modules", "changed_sources")
    told = {name.split("_")[0]: value[name] for name in names if value[name]}
    if "changed" in told:
        told["changed"] = [f"{c['action']} {c['source_id']}" for c in told["changed"]]
    return told | ({"problems": [p["path"] for p in value["problems"]]} if found.problems else {})


# --- what is seen


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda w: w.source("sales", "b"), {"updated": ["sales"], "changed": ["new b"]}),
        (lambda w: w.source("Sales"), {"new": ["Sales"], "changed": ["new a"]}),
        (
            lambda w: w.source("sales", source_config='{"x":1}'),
            {"updated": ["sales"], "changed": ["updated a"]},
        ),
        (
            lambda w: w.source("sales", is_active=False),
            {"deactivated": ["sales"], "changed": ["deleted a"]},
        ),
        (
            lambda w: w.put(MODULES, module_name="sales", is_active=False),
            {"deactivated": ["sales"], "changed": ["deleted a"]},
        ),
        (lambda w: w.delete(SOURCES, module_name="sales"), {"deactivated": ["sales"]}),
        (
            lambda w: w.put(MODULES, module_name="sales", job_config='{"x":1}'),
            {"updated": ["sales"]},
        ),
        (
            lambda w: w.put(MODULES, module_name="sales", ddl_targets='["l"]'),
            {"updated": ["sales"]},
        ),
        (lambda w: w.put(MODULES, module_name="idle", job_config="{}"), {}),
        (lambda w: w.put(MODULES, module_name="lake", ddl_targets='["l"]'), {"new": ["lake"]}),
        (lambda w: w.put(TABLES, table_name="c.s.t", module_name="sales"), {"updated": ["sales"]}),
        (lambda w: w.put(TABLES, table_name="c.s.t", module_name="lake"), {"new": ["lake"]}),
        (lambda w: w.put(TABLES, table_name="c.s.t"), {}),
        (lambda w: w.source("sales", updated_timestamp=FOREVER_AGO), {}),
        (lambda w: w.source("sales", created_timestamp=None, updated_timestamp=w.clock()), {}),
        (lambda w: w.source("sales", source_config="{ }"), {}),
    ],
)
@pytest.mark.parametrize("since", ["applied", "a time"])
def test_what_people_do_is_seen_by_content(
    world: World, change: Callable[[World], None], expected: dict[str, Any], since: str
) -> None:
    world.source("sales", execution_order=1)
    world.apply()
    moment = world.clock()
    change(world)
    found = world.detector.changes(None if since == "applied" else moment)
    if "deactivated" in expected:
        expected = {**expected, "changed": ["deleted a"]}
    assert seen(found) == expected


def test_a_declared_table_that_changes_or_moves_is_a_change_of_its_modules(world: World) -> None:
    world.source("sales")
    world.source("hr")
    world.put(TABLES, table_name="c.s.t", module_name="sales", definition='{"a":1}')
    world.apply()
    moment = world.clock()
    world.put(TABLES, table_name="c.s.t", applied_version=7, applied_fingerprint="x")
    assert not world.detector.changes()
    world.put(TABLES, table_name="c.s.t", definition='{"a":2}')
    assert seen(world.detector.changes()) == {"updated": ["sales"]}
    world.put(TABLES, table_name="c.s.t", module_name="hr")
    for since in (None, moment):
        assert seen(world.detector.changes(since)) == {"updated": ["hr", "sales"]}


def test_a_module_that_comes_back_is_new_and_its_deactivation_is_reported_until_applied(
    world: World,
) -> None:
    world.source("sales")
    world.apply()
    world.source("sales", is_active=False)
    for _ in range(2):
        assert world.detector.changes().deactivated_modules == ("sales",)
        world.detector.remember_answer()
    world.put(JOBS, module_name="sales", is_active=False)  # what pausing records
    world.detector.remember_answer()
    assert not world.detector.changes()
    world.source("sales", is_active=True)
    assert seen(world.detector.changes()) == {"new": ["sales"], "changed": ["new a"]}


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize("as_text", [True, False])
def test_a_time_is_the_same_in_every_zone_also_in_the_hour_that_is_there_twice(
    zone: str, as_text: bool
) -> None:
    world = World()
    for hour in range(4):
        world.clock.set(datetime(2025, 10, 25, 23, 30, tzinfo=UTC) + timedelta(hours=hour))
        world.source("sales", f"s{hour}")
    for hour in range(4):
        moment = datetime(2025, 10, 25, 23, 45, tzinfo=UTC) + timedelta(hours=hour)
        local = moment.astimezone(ZoneInfo(zone))
        found = world.detector.changes(local.isoformat() if as_text else local)
        assert [c.source_id for c in found.changed_sources] == [f"s{n}" for n in range(hour + 1, 4)]


def test_since_a_time_only_modules_that_changed_are_read(world: World) -> None:
    for number in range(20):
        world.source(f"m{number:02d}")
    moment = world.clock()
    world.source("m07", source_config='{"x":1}')
    asked: list[Any] = []
    read = world.store.read

    def spy(*arguments: Any, **options: Any) -> Any:
        asked.append(options.get("where") or options.get("columns"))
        return read(*arguments, **options)

    world.store.read = spy  # type: ignore[method-assign]
    found = world.detector.changes(moment)
    assert seen(found) == {"updated": ["m07"], "changed": ["updated a"]}
    assert {str(a) for a in asked if isinstance(a, dict)} == {"{'module_name': ['m07']}"}


# --- rows that cannot be read


@pytest.mark.parametrize(
    "text",
    [
        "{oops",
        "[1]",
        '"text"',
        "NaN",
        '{"a":NaN}',
        '{"a":1e999}',
        '{"a":"\\ud800"}',
        '{"a":' + "9" * 5000 + "}",
        '{"a":' * 150 + "1" + "}" * 150,
        "[" * 100_000,
    ],
)
@pytest.mark.parametrize(
    ("layout", "column", "path"),
    [
        (SOURCES, "source_config", "sales/a"),
        (SOURCES, "target_config", "sales/a"),
        (SOURCES, "transformation_config", "sales/a"),
        (MODULES, "job_config", "sales"),
        (MODULES, "ddl_targets", "sales"),
        (TABLES, "definition", "c.s.t"),
        (JOBS, "applied_state", "sales"),
        (JOBS, "managed_fields", "sales"),
    ],
)
def test_a_json_column_that_is_not_json_is_reported_and_its_module_left_out(
    world: World, layout: TableLayout, column: str, path: str, text: str
) -> None:
    if (column, text) == ("ddl_targets", "[1]"):
        text = "{}"
    for name in ("sales", "hr"):
        world.source(name)
    world.put(TABLES, table_name="c.s.t", module_name="sales")
    world.apply()
    world.source("sales", "new")
    world.source("hr", "new")
    key = {"module_name": "sales"}
    key |= {"source_id": "a"} if layout is SOURCES else {}
    key |= {"table_name": "c.s.t"} if layout is TABLES else {}
    world.put(layout, **key, **{column: text})
    for _ in range(2):
        found = world.detector.changes()
        assert seen(found) == {"updated": ["hr"], "changed": ["new new"], "problems": [path]}
        assert found.problems[0].file == str(NAMES.of(layout))
        assert column in found.problems[0].message
        world.detector.remember_answer()


@pytest.mark.parametrize(
    "state", ['{"sources":5}', '{"sources":{"a":1}}', '{"module":[]}', '{"queries":{"a":null}}']
)
def test_an_applied_state_that_no_apply_has_written_is_reported(world: World, state: str) -> None:
    world.source("sales")
    world.apply()
    world.put(JOBS, module_name="sales", applied_state=state)
    assert seen(world.detector.changes()) == {"problems": ["sales"]}


def test_an_applied_state_that_nobody_has_written_is_a_difference(world: World) -> None:
    world.source("sales")
    world.add(JOBS, module_name="sales", job_id=1)
    assert seen(world.detector.changes()) == {"updated": ["sales"], "changed": ["new a"]}


@pytest.mark.parametrize("name", [None, ""])
@pytest.mark.parametrize("layout", [SOURCES, MODULES, JOBS])
def test_a_row_of_no_module_is_reported_at_every_look_and_stops_no_module(
    world: World, layout: TableLayout, name: str | None
) -> None:
    world.source("sales")
    world.apply()
    world.add(layout, module_name=name, **({"source_id": "a"} if layout is SOURCES else {}))
    world.source("hr")
    path = ("NULL" if name is None else "''" if layout is not JOBS else "") + (
        "/a" if layout is SOURCES else ""
    )
    for _ in range(2):
        found = seen(world.detector.changes())
        assert found == {"new": ["hr"], "changed": ["new a"], "problems": [path]}
        world.detector.remember_answer()
    world.delete(layout, module_name=name)
    assert seen(world.detector.changes()) == {"new": ["hr"], "changed": ["new a"]}


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("layout", [SOURCES, MODULES, TABLES, JOBS])
def test_two_rows_with_one_key_are_reported_and_nothing_is_guessed(
    world: World, layout: TableLayout, same: bool
) -> None:
    world.source("sales")
    world.put(MODULES, module_name="sales", job_config="{}")
    world.put(TABLES, table_name="c.s.t", module_name="sales")
    world.apply()
    moment = world.clock()
    (row,) = world.store.read(NAMES.of(layout)).to_pylist()
    world.add(layout, **row | ({} if same else {"is_active": False}))
    found = world.detector.changes()
    assert len(seen(found)["problems"]) == 1
    assert "2 rows have this" in found.problems[0].message
    assert not found
    if layout is not JOBS:
        assert seen(world.detector.changes(moment)) == seen(found)


def test_a_table_that_two_modules_declare_concerns_both_whichever_has_changed(
    world: World,
) -> None:
    for name in ("hr", "sales"):
        world.source(name)
        world.add(TABLES, table_name="c.s.t", module_name=name)
    moment = world.clock()
    world.source("sales", "b")
    assert seen(world.detector.changes(moment)) == {"problems": ["c.s.t"]}
    assert seen(world.detector.changes()) == {"problems": ["c.s.t"]}


def test_each_module_that_declared_a_table_with_others_is_told_when_it_lost_it(
    world: World,
) -> None:
    for name in ("hr", "sales", "lake"):
        world.source(name)
    for name in ("hr", "sales"):
        world.add(TABLES, table_name="c.s.t", module_name=name)
    moment = world.clock()
    world.delete(TABLES, table_name="c.s.t")
    world.add(TABLES, table_name="c.s.t", module_name="lake")
    assert seen(world.detector.changes(moment)) == {"updated": ["hr", "lake", "sales"]}


def test_what_is_inactive_need_not_be_readable(world: World) -> None:
    world.source("sales")
    world.source("sales", "b", source_config="{oops", is_active=False)
    world.add(SOURCES, module_name=None, is_active=False)
    world.put(MODULES, module_name="old", job_config="{oops", is_active=False)
    assert seen(world.detector.changes()) == {"new": ["sales"], "changed": ["new a"]}
    world.source("sales", "b", is_active=True)
    assert seen(world.detector.changes()) == {"problems": ["sales/b"]}


def test_since_a_time_a_row_that_was_bad_and_is_good_is_an_update(world: World) -> None:
    world.source("sales", source_config="{oops")
    moment = world.clock()
    world.source("sales", source_config="{}")
    assert seen(world.detector.changes(moment)) == {"updated": ["sales"], "changed": ["updated a"]}


def test_slashes_in_names_do_not_mix_modules_up(world: World) -> None:
    world.source("a", "b/c", source_config="{oops")
    world.source("a/b", "c")
    assert seen(world.detector.changes()) == {
        "new": ["a/b"],
        "changed": ["new c"],
        "problems": ["a/b/c"],
    }


# --- the memory


def test_an_answer_is_not_remembered_for_versions_that_have_passed_meanwhile(world: World) -> None:
    """Kept for the older versions, a row that goes back to what it was would be no change."""
    world.source("sales")
    world.apply()
    world.source("sales", source_config="{oops")
    memory = world.detector.memory
    versions = memory.versions()
    world.source("sales", source_config="{}")
    assert not memory.remember(versions, world.detector.changes().pending)
    world.source("sales", source_config="{oops")
    assert seen(world.detector.changes()) == {"problems": ["sales/a"]}


def test_what_is_remembered_of_older_versions_is_replaced_by_a_full_comparison(
    world: World,
) -> None:
    world.source("sales")
    world.apply()
    world.store.fail_on("changed_rows", error=NotFoundError("gone", code="VERSION_GONE"))  # type: ignore[attr-defined]
    world.source("sales", source_config='{"x":1}')
    assert seen(world.detector.changes()) == {"updated": ["sales"], "changed": ["updated a"]}


# --- times without a history


class ShortHistory(FakeStore):
    """Forgets all versions but the last ``kept``: their data, or the log too."""

    kept = 0
    log_too = False

    def history(self, table: Any) -> list[Commit]:
        commits = super().history(table)
        return commits[-self.kept :] if self.kept and self.log_too else commits

    def read(self, table: Any, **options: Any) -> Any:
        version = options.get("version")
        if self.kept and version is not None and version <= self.version(table) - self.kept:
            raise NotFoundError("gone", code="VERSION_GONE")
        return super().read(table, **options)


@pytest.fixture(params=["data", "log"])
def short(request: pytest.FixtureRequest) -> World:
    """Two modules from long ago, and only today's version of each table."""
    clock = FixedClock(STARTED, step_seconds=1)
    store = ShortHistory(clock)
    store.log_too = request.param == "log"
    world = World(store)
    world.clock = clock
    old = {"created_timestamp": FOREVER_AGO, "updated_timestamp": FOREVER_AGO}
    for name in ("sales", "hr"):
        world.source(name, **old)
        world.source(name, "b", **old)
        world.put(MODULES, module_name=name, job_config="{}", **old)
    store.kept = 1
    return world


def test_where_no_version_is_left_timestamp_columns_decide_and_the_answer_says_so(
    short: World, caplog: pytest.LogCaptureFixture
) -> None:
    moment = short.clock()
    now = short.clock()
    short.source("sales", source_config='{"x":1}', updated_timestamp=now)
    short.source("fresh", created_timestamp=now, updated_timestamp=now)
    short.source("hr", "b", is_active=False, updated_timestamp=now)
    found = short.detector.changes(moment)
    assert seen(found) == {
        "new": ["fresh"],
        "updated": ["hr", "sales"],
        "changed": ["new a", "deleted b", "updated a"],
    }
    assert any(f"{NAMES.sources} is not known any more" in text for text in found.warnings)
    assert "rows that were deleted" in found.to_dict()["warnings"][0]
    assert "timestamp columns" in caplog.text


def test_without_a_history_a_deactivated_module_is_seen_by_its_flag(short: World) -> None:
    moment = short.clock()
    short.put(MODULES, module_name="hr", is_active=False, updated_timestamp=short.clock())
    short.put(MODULES, module_name="sales", job_config='{"x":1}', updated_timestamp=short.clock())
    found = short.detector.changes(moment)
    assert (found.deactivated_modules, found.updated_modules) == (("hr",), ("sales",))


def test_without_a_history_what_names_no_time_is_rather_reported_than_lost(short: World) -> None:
    moment = short.clock()
    short.source("sales", created_timestamp=None, updated_timestamp=None)
    assert seen(short.detector.changes(moment)) == {"updated": ["sales"], "changed": ["updated a"]}


def test_without_a_history_bad_rows_are_reported_all_the_same(short: World) -> None:
    moment = short.clock()
    short.source("sales", source_config="{oops", updated_timestamp=short.clock())
    short.source("hr", source_config='{"x":1}', updated_timestamp=short.clock())
    assert seen(short.detector.changes(moment)) == {
        "updated": ["hr"],
        "changed": ["updated a"],
        "problems": ["sales/a"],
    }


def test_without_a_history_a_thousand_changed_modules_are_told_all_the_same(short: World) -> None:
    moment = short.clock()
    now = short.clock()
    rows = [
        {"module_name": f"m{n:04d}", "source_id": "a", "created_timestamp": now}
        for n in range(1500)
    ]
    short.store.append(NAMES.sources, rows)
    short.store.append(NAMES.of(MODULES), [{"module_name": row["module_name"]} for row in rows])
    found = short.detector.changes(moment)
    assert len(found.new_modules) == 1500
    assert (found.updated_modules, len(found.warnings)) == ((), 2)


def test_a_table_without_old_versions_does_not_blur_the_others(tmp_path: Path) -> None:
    """Data files of old versions of one real table are deleted, as a vacuum would."""
    world = World(DeltaRsStore(tmp_path))
    world.source("sales", updated_timestamp=FOREVER_AGO, created_timestamp=FOREVER_AGO)
    world.put(MODULES, module_name="sales", job_config="{}")
    moment = world.store.history(NAMES.of(MODULES))[-1].at
    world.source("sales", source_config='{"x":1}')  # forgets the timestamp
    folder = tmp_path / "main" / "lakeflow" / "etl_control"
    files = sorted(folder.glob("*.parquet"), key=lambda file: file.stat().st_mtime)
    assert seen(world.detector.changes(moment)) == {
        "updated": ["sales"],
        "changed": ["updated a"],
    }
    files[0].unlink()
    found = world.detector.changes(moment)
    assert seen(found) == {}
    (warning,) = found.warnings
    assert warning.startswith("main.lakeflow.etl_control is not known any more")


def test_no_control_tables_is_no_change() -> None:
    detector = ChangeDetector(FakeStore(), NAMES)
    assert detector.changes() == detector.changes(FOREVER_AGO) == Changes()


def test_the_answer_has_both_spellings_and_the_problems_in_the_shape_of_validate(
    world: World,
) -> None:
    world.source("sales")
    world.source("hr", source_config="{oops")
    value = world.detector.changes().to_dict()
    assert json.loads(json.dumps(value)) == value
    assert value["new_jobs"] == ["sales"]
    assert value["changed_tasks"] == [{"task_key": "a", "job_name": "sales", "action": "new"}]
    assert set(value["problems"][0]) == {"file", "line", "column", "path", "message", "hint"}
    assert replace(world.detector.changes(), bad_rows=()).pending == {"sales"}
    assert world.detector.changes().pending == {"sales", "hr"}
