"""What every ControlStore promises, shown on each of them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.control.tables import EVENTS, LAYOUTS, SOURCES, STATE, ControlTables
from lakeflow_meta.errors import LakeflowMetaError, NotFoundError
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import ControlStore
from lakeflow_meta.testing.fake_store import FakeStore

TABLES = ControlTables.named("main.lakeflow.etl_control")
SOURCE_TABLE = TABLES.of(SOURCES)
STATE_TABLE = TABLES.of(STATE)
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
KEYS = SOURCES.keys

NASTY = [
    "it's",
    'a "quoted" one',
    "back\\slash",
    "${env:HOME}",
    "line\nbreak",
    "`tick`",
    "'; DROP TABLE etl_control; --",
    "ünïcödé 漢字",
    "",
    " ",
    "x" * 100_000,
]

Make = Callable[[], ControlStore]


@pytest.fixture(params=["deltars", "deltars at a URI", "fake"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes stores that share their tables."""
    if request.param == "deltars":
        return lambda: DeltaRsStore(tmp_path)
    if request.param == "deltars at a URI":
        return lambda: DeltaRsStore(tmp_path.as_uri())
    fake = FakeStore()
    return lambda: fake


@pytest.fixture
def store(make: Make) -> ControlStore:
    store = make()
    for table, layout in TABLES.all().items():
        store.ensure(table, layout)
    return store


def source(source_id: str = "s1", module: str = "m", **changes: Any) -> dict[str, Any]:
    row = {
        "source_id": source_id,
        "module_name": module,
        "source_type": None,
        "source_config": "{}",
        "is_active": True,
        "created_timestamp": NOON,
        "updated_timestamp": NOON,
    }
    return {**row, **changes}


def save(store: ControlStore, *rows: dict[str, Any], **options: Any) -> Any:
    return store.merge(
        SOURCE_TABLE,
        rows,
        keys=KEYS,
        insert_only=("created_timestamp",),
        touch=("updated_timestamp",),
        **options,
    )


def rows(store: ControlStore, **options: Any) -> list[dict[str, Any]]:
    found = store.read(SOURCE_TABLE, **options).to_pylist()
    return sorted(found, key=lambda row: (row["module_name"], row["source_id"]))


def test_a_table_that_does_not_exist_has_no_version_and_cannot_be_read(make: Make) -> None:
    store = make()
    absent = TableName.parse("main.lakeflow.absent")
    assert store.version(absent) is None
    with pytest.raises(NotFoundError):
        store.read(absent)


def test_ensuring_twice_creates_once(make: Make) -> None:
    store = make()
    assert [store.ensure(TABLES.of(layout), layout) for layout in LAYOUTS] == [True] * len(LAYOUTS)
    assert not any(store.ensure(TABLES.of(layout), layout) for layout in LAYOUTS)
    assert store.version(SOURCE_TABLE) == 0


def test_columns_have_the_order_of_the_contract(store: ControlStore) -> None:
    for table, layout in TABLES.all().items():
        assert tuple(store.read(table).schema.names) == layout.names


def test_merging_inserts_then_updates_only_what_differs(store: ControlStore) -> None:
    assert save(store, source("a"), source("b")).inserted == 2
    later = NOON + timedelta(hours=1)
    result = save(
        store,
        source("a", updated_timestamp=later, created_timestamp=later),
        source("b", source_config='{"x":1}', updated_timestamp=later, created_timestamp=later),
    )
    assert (result.inserted, result.updated, result.removed) == (0, 1, 0)
    a, b = rows(store)
    assert (a["updated_timestamp"], a["created_timestamp"]) == (NOON, NOON)
    assert (b["updated_timestamp"], b["created_timestamp"]) == (later, NOON)
    assert b["source_config"] == '{"x":1}'


def test_merging_the_same_rows_again_makes_no_version(store: ControlStore) -> None:
    first = save(store, source("a"), source("b", source_type=None))
    again = save(store, source("a"), source("b", source_type=None), scope={"module_name": ["m"]})
    assert not again.changed
    assert store.version(SOURCE_TABLE) == first.version == again.version


def test_null_and_value_are_told_apart_both_ways(store: ControlStore) -> None:
    save(store, source("a", source_type=None))
    assert save(store, source("a", source_type="")).updated == 1
    assert save(store, source("a", source_type=None)).updated == 1
    assert rows(store)[0]["source_type"] is None


def test_a_scope_removes_what_is_not_offered_and_nothing_else(store: ControlStore) -> None:
    save(store, source("a"), source("b"), source("a", "other"))
    result = save(store, source("a"), source("c"), scope={"module_name": ["m"]})
    assert (result.inserted, result.updated, result.removed) == (1, 0, 1)
    assert [(r["module_name"], r["source_id"]) for r in rows(store)] == [
        ("m", "a"),
        ("m", "c"),
        ("other", "a"),
    ]


def test_an_empty_offer_empties_its_scope(store: ControlStore) -> None:
    save(store, source("a"), source("a", "other"))
    assert save(store, scope={"module_name": "m"}).removed == 1
    assert save(store, scope={"module_name": []}).removed == 0
    assert [r["module_name"] for r in rows(store)] == ["other"]
    assert save(store, scope={}).removed == 1


def test_a_merge_of_nothing_without_scope_does_nothing(store: ControlStore) -> None:
    before = store.version(SOURCE_TABLE)
    assert not save(store).changed
    assert store.version(SOURCE_TABLE) == before


def test_of_two_writers_with_one_fence_the_first_wins(store: ControlStore) -> None:
    def claim(owner: str, fence: int) -> int:
        row = {"key": "lock", "value": owner, "fence": fence}
        return store.merge(STATE_TABLE, [row], keys=["key"], fence="fence").version

    claim("first", 1)
    claim("late", 1)
    assert store.read(STATE_TABLE).to_pylist() == [{"key": "lock", "value": "first", "fence": 1}]
    claim("second", 2)
    claim("also second", 2)
    assert store.read(STATE_TABLE).to_pylist() == [{"key": "lock", "value": "second", "fence": 2}]


def test_a_merge_without_inserts_changes_only_what_is_there(store: ControlStore) -> None:
    store.merge(SOURCE_TABLE, [source("a")], keys=KEYS)
    offered = [source("a", execution_order=9), source("b", execution_order=1)]
    merged = store.merge(SOURCE_TABLE, offered, keys=KEYS, insert=False)
    assert (merged.inserted, merged.updated) == (0, 1)
    rows = store.read(SOURCE_TABLE).to_pylist()
    assert [(row["source_id"], row["execution_order"]) for row in rows] == [("a", 9)]
    version = store.version(SOURCE_TABLE)
    store.merge(SOURCE_TABLE, offered, keys=KEYS, insert=False)
    assert store.version(SOURCE_TABLE) == version


def test_text_comes_back_as_it_went_in_and_can_be_asked_for(store: ControlStore) -> None:
    save(store, *(source("a", module=text, source_config=text) for text in NASTY))
    for text in NASTY:
        assert [r["source_config"] for r in rows(store, where={"module_name": text})] == [text]
    found = rows(store, where={"module_name": [*NASTY, "zzz"]})
    assert [r["module_name"] for r in found] == sorted(NASTY)
    assert save(store, scope={"module_name": NASTY[:5]}).removed == 5
    assert {r["module_name"] for r in rows(store)} == set(NASTY[5:])


def test_times_of_any_zone_come_back_in_utc_to_the_microsecond(store: ControlStore) -> None:
    there = datetime(2025, 3, 30, 2, 30, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    save(store, source("a", created_timestamp=there))
    found = rows(store)[0]["created_timestamp"]
    assert found == there
    assert found.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_refused(store: ControlStore) -> None:
    with pytest.raises(ValueError, match="zone"):
        save(store, source("a", created_timestamp=datetime(2025, 1, 1)))  # noqa: DTZ001 (the point)


def test_reading_takes_columns_conditions_and_versions(store: ControlStore) -> None:
    first = save(store, source("a"), source("b", is_active=False)).version
    save(store, source("a", is_active=False))
    assert store.read(SOURCE_TABLE, columns=["source_id"]).schema.names == ["source_id"]
    assert [r["source_id"] for r in rows(store, where={"is_active": False})] == ["a", "b"]
    then = rows(store, where={"is_active": False}, version=first)
    assert [r["source_id"] for r in then] == ["b"]
    assert rows(store, where={"source_type": None, "module_name": "m"})[0]["source_id"] == "a"
    assert rows(store, where={"source_id": []}) == []


def test_appending_fills_missing_columns_with_null(store: ControlStore) -> None:
    events = TABLES.of(EVENTS)
    store.append(events, [{"at": NOON, "verb": "sync"}, {"at": NOON, "actor": "me"}])
    found = store.read(events).to_pylist()
    assert {(r["verb"], r["actor"], r["error"]) for r in found} == {
        ("sync", None, None),
        (None, "me", None),
    }


def test_appending_an_unknown_column_is_refused(store: ControlStore) -> None:
    with pytest.raises(ValueError, match="oops"):
        store.append(TABLES.of(EVENTS), [{"oops": 1}])


def test_rows_of_different_columns_are_refused(store: ControlStore) -> None:
    with pytest.raises(ValueError, match="same columns"):
        store.merge(STATE_TABLE, [{"key": "a"}, {"key": "b", "value": "1"}], keys=["key"])


def test_two_rows_with_one_key_are_refused_and_leave_everything(store: ControlStore) -> None:
    save(store, source("a"))
    before = store.version(SOURCE_TABLE)
    with pytest.raises(LakeflowMetaError):
        save(store, source("a", source_config="1"), source("a", source_config="2"))
    with pytest.raises(LakeflowMetaError):
        save(store, source("new", source_config="1"), source("new", source_config="2"))
    assert store.version(SOURCE_TABLE) == before


def test_history_names_versions_in_order_with_the_writers_note(store: ControlStore) -> None:
    save(store, source("a"), note={"actor": "me", "verb": "sync"})
    history = store.history(SOURCE_TABLE)
    assert [commit.version for commit in history] == [0, 1]
    assert history[1].metadata["actor"] == "me"
    assert history[0].at <= history[1].at


@pytest.fixture
def crowd() -> tuple[int, int]:
    """How many writers at once, and how many merges each."""
    return 6, 5


def test_many_writers_at_once_lose_nothing(make: Make, crowd: tuple[int, int]) -> None:
    make().ensure(SOURCE_TABLE, SOURCES)
    writers, merges = crowd

    def write(writer: int) -> list[int]:
        mine = make()
        return [save(mine, source(f"s{n}", f"m{writer}")).version for n in range(merges)]

    with ThreadPoolExecutor(writers) as pool:
        versions = [version for own in pool.map(write, range(writers)) for version in own]
    assert len(rows(make())) == writers * merges
    assert sorted(versions) == list(range(1, writers * merges + 1)), "each tells its own version"
