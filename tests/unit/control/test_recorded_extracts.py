"""Extracts in the control tables: loaded, kept, pruned, exported, restored."""

from collections.abc import Sequence
from typing import Any

import pytest
import yaml
from extract_samples import declared

from lakeflow_meta.control.declared import Declared, read_declared
from lakeflow_meta.control.manager import MetadataManager
from lakeflow_meta.control.restore import MetadataRestore
from lakeflow_meta.control.tables import (
    EVENTS,
    EXTRACT_DETAILS,
    EXTRACTS,
    LAYOUTS,
    SOURCES,
    ControlTables,
    TableLayout,
)
from lakeflow_meta.errors import SpecError
from lakeflow_meta.jobs.job_settings import JobContext
from lakeflow_meta.testing import Crash, CrashPoint, FakeStore, FixedClock

NAMES = ControlTables.named("main.lakeflow.etl_control")
BOTH = (EXTRACT_DETAILS, EXTRACTS)


class World:
    def __init__(self) -> None:
        self.clock = FixedClock(step_seconds=1)
        self.store = FakeStore(self.clock)

    def manager(self, crash: CrashPoint | None = None, actor: str = "ann") -> MetadataManager:
        store = crash.wrap(self.store) if crash else self.store
        return MetadataManager(
            str(NAMES.sources), store=store, actor=lambda: actor, clock=self.clock
        )

    def load(self, *given: dict[str, Any], prune: bool = False, **options: Any) -> dict[str, Any]:
        return self.manager(**options).load(read(given), prune=prune).to_dict()

    def rows(self, layout: TableLayout, *, stamps: bool = False) -> list[dict[str, Any]]:
        found = self.store.read(NAMES.of(layout)).to_pylist()
        hidden = () if stamps else layout.stamps.names
        rows = [{k: v for k, v in row.items() if k not in hidden} for row in found]
        return sorted(rows, key=lambda row: row["extract_name"])

    def set(self, layout: TableLayout, name: str, **values: Any) -> None:
        row = {"extract_name": name, **values}
        self.store.merge(NAMES.of(layout), [row], keys=layout.keys)

    def versions(self) -> list[int | None]:
        return [self.store.version(NAMES.of(layout)) for layout in LAYOUTS]


@pytest.fixture
def world() -> World:
    return World()


def read(given: Sequence[dict[str, Any]]) -> Declared:
    return read_text(yaml.safe_dump({"extracts": list(given)}, allow_unicode=True))


def read_text(text: str) -> Declared:
    context = JobContext(control_table=str(NAMES.sources))
    return read_declared({"a.yml": text}, {}, variables={}, context=context)


def test_an_extract_is_recorded_once(world: World) -> None:
    assert world.load(declared())["added"] == 2
    before = world.versions()
    again = world.load(declared())
    assert (again["added"], again["changed"], again["unchanged"]) == (0, 0, 2)
    assert world.versions() == before
    found = world.manager().recorded_extracts()
    assert [e.document() for e in found.active] == [declared()]


def test_what_is_no_longer_written_is_emptied(world: World) -> None:
    world.load(declared(trigger={}, compression={"type": "gzip", "level": 9}))
    world.set(EXTRACT_DETAILS, "customers", fabric_lakehouse_path="Files/x")
    assert world.load(declared())["changed"] == 1
    plain = World()
    plain.load(declared())
    assert world.rows(EXTRACT_DETAILS) == plain.rows(EXTRACT_DETAILS)


def test_a_row_says_when_and_by_whom_it_was_made_and_changed(world: World) -> None:
    world.load(declared(), actor="ann")
    (made,) = world.rows(EXTRACTS, stamps=True)
    world.load(declared(group="g"), actor="bob")
    (changed,) = world.rows(EXTRACTS, stamps=True)
    for name in ("creation_time", "created_timestamp", "created_by"):
        assert changed[name] == made[name]
    assert made["created_by"] == made["modified_by"] == "ann"
    assert changed["modified_by"] == "bob"
    assert changed["modified_timestamp"] > made["modified_timestamp"] == made["creation_time"]
    (details,) = world.rows(EXTRACT_DETAILS, stamps=True)
    assert details["modified_by"] == "ann"


@pytest.mark.parametrize("layout", BOTH)
def test_a_soft_delete_by_sql_survives_a_load(world: World, layout: TableLayout) -> None:
    world.load(declared())
    world.set(layout, "customers", is_active=False)
    assert world.load(declared())["changed"] == 0
    assert world.manager().recorded_extracts().active == ()
    world.load(declared(is_active=True))
    assert len(world.manager().recorded_extracts().active) == 1


def test_what_is_not_declared_stays_unless_pruned(world: World) -> None:
    world.load(declared(), declared(extract_name="other"))
    kept = world.load(declared())
    assert (kept["removed"], kept["not_declared"]) == (0, 2)
    assert world.load(declared(), prune=True)["removed"] == 2
    assert [len(world.rows(layout)) for layout in BOTH] == [1, 1]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("prune", [False, True])
def test_a_load_that_dies_is_completed_by_the_next(*, after: bool, prune: bool) -> None:
    first = (declared(), declared(extract_name="gone"))
    second = (declared(group="g", trigger={}), declared(extract_name="new"))
    calm, crash = World(), CrashPoint()
    calm.load(*first)
    calm.load(*second, prune=prune, crash=crash)
    assert len(crash.calls) > 8
    for at in range(1, len(crash.calls) + 1):
        world = World()
        world.load(*first)
        with pytest.raises(Crash):
            world.load(*second, prune=prune, crash=CrashPoint(at, after=after))
        world.load(*second, prune=prune)
        for layout in BOTH:
            assert world.rows(layout) == calm.rows(layout)


def test_a_load_that_died_between_the_tables_leaves_no_extract_with_old_files(
    world: World,
) -> None:
    """Details come first: a new extract is not seen before it is whole."""
    crash = CrashPoint()
    world.load(declared(), crash=crash)
    last = max(at for at, call in enumerate(crash.calls, 1) if call == "merge")
    dead = World()
    with pytest.raises(Crash):
        dead.load(declared(), crash=CrashPoint(last))
    found = dead.manager().recorded_extracts()
    assert found.active == ()
    assert "no row of it in …_extracts" in found.problems[0].message


# --------------------------------------------------------------------------- export


def test_a_soft_delete_is_exported(world: World) -> None:
    world.load(declared(), declared(extract_name="b"))
    world.set(EXTRACTS, "b", is_active=False)
    assert [e.get("is_active") for e in yaml.safe_load(world.manager().export())["extracts"]] == [
        False,
        None,
    ]


def test_rows_that_yaml_cannot_say_are_not_left_out_of_an_export(world: World) -> None:
    world.load(declared())
    world.set(EXTRACT_DETAILS, "customers", output_format="xml")
    with pytest.raises(SpecError, match="output_format: 'xml' is not a known word"):
        world.manager().export()


# --------------------------------------------------------------------------- restore


def test_a_restore_of_everything_brings_extracts_back(world: World) -> None:
    for layout in (SOURCES, EVENTS):
        world.store.ensure(NAMES.of(layout), layout)
    world.load(declared(trigger={}))
    then, before = world.clock(), [world.rows(layout) for layout in BOTH]
    world.load(declared(extract_name="other"), prune=True)
    restore = MetadataRestore(world.store, NAMES, actor=lambda: "eve", clock=world.clock)
    report = restore.restore(to=then).to_dict()
    assert (report["added"], report["removed"]) == (2, 2)
    assert [world.rows(layout) for layout in BOTH] == before
    assert world.rows(EXTRACTS, stamps=True)[0]["modified_by"] == "eve"


def test_a_restore_of_a_module_leaves_extracts_alone(world: World) -> None:
    source = {"module_name": "m", "source_id": "s"}
    world.store.ensure(NAMES.of(SOURCES), SOURCES)
    world.store.merge(NAMES.of(SOURCES), [source], keys=SOURCES.keys)
    then = world.clock()
    world.load(declared())
    restore = MetadataRestore(world.store, NAMES, clock=world.clock)
    assert not restore.restore(["m"], to=then)
    assert len(world.rows(EXTRACTS)) == 1


# --------------------------------------------------------------------------- SQL


def test_an_extract_can_be_written_in_sql_alone(world: World) -> None:
    world.manager().sql(
        "INSERT INTO etl_control_extract_details (extract_name, extract_container)"
        " VALUES ('orders', 'out');"
        " INSERT INTO etl_control_extracts (extract_name, source_query)"
        " VALUES ('orders', 'SELECT 1')"
    )
    (row,) = world.rows(EXTRACTS, stamps=True)
    assert (row["is_active"], row["is_full_load"], row["created_by"]) == (True, True, "ann")
    assert row["creation_time"] == row["modified_timestamp"] is not None
    text = world.manager().export()
    assert yaml.safe_load(text) == {
        "extracts": [
            {
                "extract_name": "orders",
                "source": {"query": "SELECT 1"},
                "target": {"path": "out"},
            }
        ]
    }
    found = world.manager().load(read_text(text)).to_dict()
    assert found["tables"]["etl_control_extracts"]["unchanged"] == 1


def test_an_update_by_sql_says_when_and_leaves_nobody_else_s_name(world: World) -> None:
    world.load(declared())
    (before,) = world.rows(EXTRACTS, stamps=True)
    world.manager().sql("UPDATE etl_control_extracts SET execution_group = 'g'")
    (after,) = world.rows(EXTRACTS, stamps=True)
    assert after["modified_timestamp"] > before["modified_timestamp"]
    assert (after["created_by"], after["modified_by"]) == ("ann", None)


def test_json_that_is_none_is_refused_before_it_is_written(world: World) -> None:
    world.load(declared())
    for assignment in ("source_parameters = '[]'", "source_columns = '{}'"):
        with pytest.raises(SpecError, match="is not JSON, or not"):
            world.manager().sql(f"UPDATE etl_control_extracts SET {assignment}")
