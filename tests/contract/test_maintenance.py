"""Old versions and upkeep of control tables: what every store tells, and what delta-rs keeps."""

import json
import os
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.backends.deltars_maintenance import Maintenance, maintain_quietly
from lakeflow_meta.control.change_detector import ChangeDetector
from lakeflow_meta.control.change_memory import ChangeMemory, modules_changed
from lakeflow_meta.control.row_changes import compare_rows
from lakeflow_meta.control.rows import NO_MODULE
from lakeflow_meta.control.tables import EVENTS, JOBS, LAYOUTS, SOURCES, STATE, ControlTables
from lakeflow_meta.errors import ConflictError, NotFoundError
from lakeflow_meta.ports import ControlStore
from lakeflow_meta.testing import FakeStore

TABLES = ControlTables.named("main.lakeflow.etl_control")
SOURCE_TABLE, STATE_TABLE = TABLES.sources, TABLES.of(STATE)
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
NO_HISTORY = timedelta(0)

Make = Callable[[], ControlStore]


@pytest.fixture(params=["deltars", "fake"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ControlStore:
    store: ControlStore = DeltaRsStore(tmp_path) if request.param == "deltars" else FakeStore()
    for layout in LAYOUTS:
        store.ensure(TABLES.of(layout), layout)
    return store


def source(module: str = "m", source_id: str = "a", **changes: Any) -> dict[str, Any]:
    row = {
        "module_name": module,
        "source_id": source_id,
        "source_config": "{}",
        "execution_order": 1,
        "is_active": True,
        "created_timestamp": NOON,
        "updated_timestamp": NOON,
    }
    return {**row, **changes}


def save(store: ControlStore, *rows: dict[str, Any], **options: Any) -> int:
    return store.merge(SOURCE_TABLE, rows, keys=SOURCES.keys, **options).version


# --- rows that differ between two versions


def test_added_changed_and_removed_rows_are_told_with_both_sides(store: ControlStore) -> None:
    since = save(store, source("m", "a"), source("m", "b"), source("m", "c"))
    rows = [source("m", "a", source_config="2"), source("m", "b"), source("m", "d")]
    save(store, *rows, scope={})
    a, c, d = store.changed_rows(SOURCE_TABLE, since, keys=SOURCES.keys)
    assert [(x.key, x.action) for x in (a, c, d)] == [
        (("m", "a"), "changed"),
        (("m", "c"), "removed"),
        (("m", "d"), "added"),
    ]
    assert (a.columns, a.before["source_config"], a.after["source_config"]) == (
        ["source_config"],
        "{}",
        "2",
    )
    assert c.before["created_timestamp"] == NOON
    assert (c.after, d.before) == (None, None)


def test_ignored_columns_are_no_difference_and_not_in_the_rows(store: ControlStore) -> None:
    since = save(store, source())
    save(store, source(updated_timestamp=NOON + timedelta(1)))
    assert store.changed_rows(SOURCE_TABLE, since, keys=SOURCES.keys)
    options = {"keys": SOURCES.keys, "ignore": ["updated_timestamp"]}
    assert store.changed_rows(SOURCE_TABLE, since, **options) == []
    save(store, source(source_config="2"))
    (change,) = store.changed_rows(SOURCE_TABLE, since, **options)
    assert "updated_timestamp" not in change.after


def test_two_old_versions_and_some_rows_of_them_can_be_compared(store: ControlStore) -> None:
    first = save(store, source("m"), source("it's"))
    second = save(store, source("m", source_config="2"), source("it's", source_config="2"))
    save(store, source("m", source_config="3"))
    found = store.changed_rows(
        SOURCE_TABLE, first, until=second, keys=SOURCES.keys, where={"module_name": ["it's"]}
    )
    assert [(c.key[0], c.after["source_config"]) for c in found] == [("it's", "2")]


def test_a_version_that_never_was_is_not_found(store: ControlStore) -> None:
    with pytest.raises(NotFoundError):
        store.changed_rows(SOURCE_TABLE, 99, keys=SOURCES.keys)


_CELLS = st.sampled_from([None, "", "x", "y"])
_ROWS = st.lists(
    st.fixed_dictionaries({"key": st.sampled_from([None, "1", "2", "3"]), "value": _CELLS}),
    max_size=6,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_ROWS, _ROWS)
def test_every_store_finds_the_changes_that_a_plain_comparison_finds(
    store: ControlStore, before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    store.merge(STATE_TABLE, [], keys=STATE.keys, scope={})
    store.append(STATE_TABLE, before)
    since = store.version(STATE_TABLE)
    assert since is not None
    store.merge(STATE_TABLE, [], keys=STATE.keys, scope={})
    store.append(STATE_TABLE, after)
    found = store.changed_rows(STATE_TABLE, since, keys=STATE.keys, ignore=["fence"])
    expected = compare_rows(before, after, STATE.keys)
    assert [c.key for c in found] == [c.key for c in expected]
    single = {k for k in ("1", None) if max(_count(before, k), _count(after, k)) <= 1}
    assert [c for c in found if c.key[0] in single] == [c for c in expected if c.key[0] in single]


def _count(rows: list[dict[str, Any]], key: str | None) -> int:
    return sum(row["key"] == key for row in rows)


# --- what the change detector remembers


def memory(store: ControlStore) -> ChangeMemory:
    return ChangeMemory(store, TABLES)


def test_nothing_remembered_means_compare_everything(store: ControlStore) -> None:
    assert memory(store).suspects() is None


def test_at_unchanged_versions_only_pending_modules_are_suspect(store: ControlStore) -> None:
    save(store, source("a"), source("b"))
    assert memory(store).remember(memory(store).versions(), ["b"])
    assert memory(store).suspects() == {"b"}


def test_a_changed_row_makes_its_old_and_new_module_suspect(store: ControlStore) -> None:
    save(store, source("a"), source("b"), source("c"))
    memory(store).remember(memory(store).versions(), [])
    save(store, source("a", source_config="2"))
    save(store, source("b", updated_timestamp=NOON + timedelta(1)))
    assert memory(store).suspects() == {"a"}
    job = {"module_name": "c", "job_id": 1, "applied_state": "{}"}
    store.merge(TABLES.of(JOBS), [job], keys=JOBS.keys)
    assert memory(store).suspects() == {"a", "c"}


def test_a_module_changed_there_and_back_is_not_suspect_but_pending_ones_stay(
    store: ControlStore,
) -> None:
    save(store, source("a"), source("b"))
    memory(store).remember(memory(store).versions(), ["b"])
    save(store, source("a", source_config="2"))
    save(store, source("a"))
    assert memory(store).suspects() == {"b"}


def test_a_row_without_a_module_is_a_suspect_of_its_own(store: ControlStore) -> None:
    memory(store).remember(memory(store).versions(), [])
    store.append(SOURCE_TABLE, [{"source_id": "lost"}])
    assert memory(store).suspects() == {NO_MODULE}
    found = ChangeDetector(store, TABLES).changes()
    assert [bad.module_name for bad in found.bad_rows] == [NO_MODULE]


def test_the_same_answer_again_is_not_written_again(store: ControlStore) -> None:
    versions = memory(store).versions()
    memory(store).remember(versions, ["a"])
    before = store.version(STATE_TABLE)
    assert memory(store).remember(versions, ["a"])
    assert store.version(STATE_TABLE) == before
    memory(store).remember(versions, [])
    assert memory(store).suspects() == frozenset()


def test_what_cannot_be_read_is_compared_in_full_and_written_anew(store: ControlStore) -> None:
    memory(store).remember(memory(store).versions(), [])
    row = {"key": "changes/answered", "value": "[1", "fence": 5}
    store.merge(STATE_TABLE, [row], keys=STATE.keys)
    assert memory(store).suspects() is None
    assert memory(store).remember(memory(store).versions(), [])
    assert memory(store).suspects() == frozenset()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["1", "2", None])), max_size=6),
    st.integers(0, 6),
)
def test_a_module_that_is_not_suspect_is_as_it_was(
    store: ControlStore, steps: list[tuple[str, str | None]], cut: int
) -> None:
    def step(module: str, text: str | None) -> None:
        rows = [] if text is None else [source(module, source_config=text)]
        save(store, *rows, scope={"module_name": module})

    def state() -> dict[str, str]:
        return {r["module_name"]: r["source_config"] for r in store.read(SOURCE_TABLE).to_pylist()}

    for module, text in steps[:cut]:
        step(module, text)
    then, versions = state(), memory(store).versions()
    for module, text in steps[cut:]:
        step(module, text)
    now = state()
    differing = {m for m in "abc" if then.get(m) != now.get(m)}
    assert modules_changed(store, TABLES, versions) == differing


# --- upkeep of delta-rs tables


def healthy(root: Path, **options: Any) -> DeltaRsStore:
    store = DeltaRsStore(root, maintenance=Maintenance(**options))
    for layout in LAYOUTS:
        store.ensure(TABLES.of(layout), layout)
    return store


def folder(root: Path, name: str = "etl_control") -> Path:
    return root / "main" / "lakeflow" / name


def active_files(root: Path, name: str = "etl_control") -> int:
    return len(DeltaTable(folder(root, name)).file_uris())


def operations(root: Path, name: str = "etl_control") -> list[str]:
    return [entry["operation"] for entry in DeltaTable(folder(root, name)).history()]


def test_many_small_commits_leave_few_files_and_lose_nothing(tmp_path: Path) -> None:
    store = healthy(tmp_path, every_commits=20)
    for number in range(90):
        store.append(TABLES.of(EVENTS), [{"at": NOON, "object": str(number)}])
    assert active_files(tmp_path, "etl_control_events") <= 20
    rows = store.read(TABLES.of(EVENTS)).to_pylist()
    assert sorted(int(row["object"]) for row in rows) == list(range(90))
    assert list((folder(tmp_path, "etl_control_events") / "_delta_log").glob("*.checkpoint*"))


def test_upkeep_can_be_switched_off(tmp_path: Path) -> None:
    store = healthy(tmp_path, every_commits=0)
    for number in range(45):
        store.append(TABLES.of(EVENTS), [{"object": str(number)}])
    assert active_files(tmp_path, "etl_control_events") == 45


def test_upkeep_is_no_change(tmp_path: Path) -> None:
    store = healthy(tmp_path, every_commits=0)
    for number in range(15):
        save(store, source(f"m{number}"))
    before = memory(store).versions()
    memory(store).remember(before, [])
    rows = sorted(map(str, store.read(SOURCE_TABLE).to_pylist()))
    store.maintain(SOURCE_TABLE)
    assert memory(store).versions() != before
    assert memory(store).suspects() == frozenset()
    assert sorted(map(str, store.read(SOURCE_TABLE).to_pylist())) == rows
    assert store.changed_rows(SOURCE_TABLE, before[SOURCES], keys=SOURCES.keys) == []


def test_upkeep_of_a_healthy_table_makes_no_version(tmp_path: Path) -> None:
    store = healthy(tmp_path, every_commits=0)
    save(store, source())
    store.maintain(SOURCE_TABLE)
    before = store.version(SOURCE_TABLE)
    store.maintain(SOURCE_TABLE)
    assert store.version(SOURCE_TABLE) == before


def _age(root: Path, hours: int, until: int) -> None:
    """Make commits up to a version, and the data files so far, older."""
    shift = hours * 3600
    log = folder(root) / "_delta_log"
    for version in range(until + 1):
        entry = log / f"{version:020d}.json"
        lines = [json.loads(line) for line in entry.read_text().splitlines()]
        for line in lines:
            if "commitInfo" in line:
                line["commitInfo"]["timestamp"] -= shift * 1000
            if "remove" in line:
                line["remove"]["deletionTimestamp"] -= shift * 1000
        entry.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for file in folder(root).glob("*.parquet"):
        status = file.stat()
        os.utime(file, (status.st_atime - shift, status.st_mtime - shift))


def test_versions_older_than_the_retention_go_and_pinned_ones_stay(tmp_path: Path) -> None:
    store = healthy(tmp_path, every_commits=0)
    versions = [save(store, source(source_config=str(number))) for number in range(6)]
    _age(tmp_path, hours=100, until=versions[-1])
    last = save(store, source(source_config="now"))
    pinned = versions[2]
    careful = DeltaRsStore(
        tmp_path,
        maintenance=Maintenance(retention=timedelta(hours=50), pinned=lambda _: [pinned, 999]),
    )
    careful.maintain(SOURCE_TABLE)
    assert store.read(SOURCE_TABLE, version=pinned).to_pylist()[0]["source_config"] == "2"
    assert store.read(SOURCE_TABLE, version=last).to_pylist()[0]["source_config"] == "now"
    with pytest.raises(NotFoundError) as gone:
        store.read(SOURCE_TABLE, version=versions[0])
    assert gone.value.code == "VERSION_GONE"
    with pytest.raises(NotFoundError):
        store.changed_rows(SOURCE_TABLE, versions[0], keys=SOURCES.keys)


def test_versions_inside_the_retention_can_all_be_read(tmp_path: Path) -> None:
    store = healthy(tmp_path, every_commits=4, retention=timedelta(days=1))
    versions = [save(store, source(source_config=str(number))) for number in range(20)]
    found = [store.read(SOURCE_TABLE, version=v).to_pylist()[0]["source_config"] for v in versions]
    assert found == [str(number) for number in range(20)]


def test_the_memory_of_the_change_detector_names_the_versions_to_keep(tmp_path: Path) -> None:
    store = healthy(tmp_path)
    version = save(store, source())
    memory(store).remember(memory(store).versions(), [])
    assert memory(store).pinned(SOURCE_TABLE) == [version]
    assert memory(store).pinned(STATE_TABLE) == []


def test_a_table_with_another_retention_gets_the_stores_own_once(tmp_path: Path) -> None:
    healthy(tmp_path, retention=timedelta(days=2))
    store = healthy(tmp_path, retention=timedelta(days=9))
    store.maintain(SOURCE_TABLE)
    configuration = DeltaTable(folder(tmp_path)).metadata().configuration
    assert configuration["delta.logRetentionDuration"] == "interval 216 hours"
    assert configuration["delta.deletedFileRetentionDuration"] == "interval 216 hours"
    store.maintain(SOURCE_TABLE)
    assert operations(tmp_path).count("SET TBLPROPERTIES") == 1


def test_upkeep_of_many_at_once_never_doubles_a_row(tmp_path: Path) -> None:
    """As ``optimize.compact`` of delta-rs does, which therefore is not used."""
    healthy(tmp_path, every_commits=0)
    for number in range(12):
        save(DeltaRsStore(tmp_path), source(source_id=str(number)))
    handles = [DeltaTable(folder(tmp_path)) for _ in range(3)]
    for stale in handles:
        quiet = Maintenance(every_commits=0)
        maintain_quietly(SOURCE_TABLE, _first(stale, lambda: DeltaTable(folder(tmp_path))), quiet)
    assert DeltaRsStore(tmp_path).read(SOURCE_TABLE).num_rows == 12
    assert active_files(tmp_path) == 1
    assert operations(tmp_path).count("UPDATE") == 1


def _first(stale: DeltaTable, fresh: Callable[[], DeltaTable]) -> Callable[[Any], DeltaTable]:
    """Opens a stale handle, as a process that was paused has one, and fresh ones afterwards."""
    handles = [stale]
    return lambda _version: handles.pop() if handles else fresh()


def test_writers_and_upkeep_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    healthy(tmp_path, every_commits=0)

    def write(writer: int) -> None:
        mine = DeltaRsStore(tmp_path, maintenance=Maintenance(every_commits=5))
        for number in range(12):
            save(mine, source(f"m{writer}", f"s{number}"))
            save(mine, source(f"m{writer}", "changing", source_config=str(number)))

    def keep() -> None:
        mine = DeltaRsStore(tmp_path, maintenance=Maintenance(every_commits=0))
        for _ in range(10):
            with suppress(ConflictError):
                mine.maintain(SOURCE_TABLE)

    with ThreadPoolExecutor(6) as pool:
        work = [pool.submit(write, n) for n in range(4)] + [pool.submit(keep) for _ in range(2)]
    for done in work:
        done.result()
    rows = DeltaRsStore(tmp_path).read(SOURCE_TABLE).to_pylist()
    assert len({(r["module_name"], r["source_id"]) for r in rows}) == len(rows) == 52
    assert {r["source_config"] for r in rows if r["source_id"] == "changing"} == {"11"}


def test_a_write_stands_when_the_upkeep_after_it_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_table: Any) -> list[int]:
        raise NotFoundError("no cursor can be read")

    healthy(tmp_path, every_commits=0)
    store = DeltaRsStore(tmp_path, maintenance=Maintenance(every_commits=1, pinned=refuse))
    version = save(store, source())
    assert store.read(SOURCE_TABLE).num_rows == 1
    assert version == 1
    assert "no cursor can be read" in caplog.text


# --- a year of small commits, as log files of the form that delta-rs writes


def write_commits(table: Path, count: int, *, appends: bool, days: float) -> None:
    """Add commits to a table of one data file: overwrites of it, or appends of it."""
    log = table / "_delta_log"
    last = max(int(file.stem) for file in log.glob("*.json"))
    entries = [json.loads(line) for line in (log / f"{last:020d}.json").read_text().splitlines()]
    add = next(entry["add"] for entry in entries if "add" in entry)
    info = next(entry["commitInfo"] for entry in entries if "commitInfo" in entry)
    step = int(days * 86_400_000 / count)
    path = add["path"]
    for number in range(1, count + 1):
        at = info["timestamp"] - step * (count - number)
        name = f"part-{number:05d}-{uuid.uuid4()}.parquet"
        (table / name).hardlink_to(table / add["path"])
        lines: list[dict[str, Any]] = [{"commitInfo": {**info, "timestamp": at}}]
        if not appends:
            remove = {
                "path": path,
                "dataChange": True,
                "deletionTimestamp": at,
                "size": add["size"],
            }
            lines.append(
                {"remove": {**remove, "partitionValues": {}, "extendedFileMetadata": True}}
            )
        lines.append({"add": {**add, "path": name, "modificationTime": at}})
        path = name
        file = log / f"{last + number:020d}.json"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("appends", [False, True], ids=["updates", "appends"])
def test_one_round_of_upkeep_cures_a_long_neglected_table(tmp_path: Path, appends: bool) -> None:
    store = healthy(tmp_path, every_commits=0)
    save(store, source())
    write_commits(folder(tmp_path), 400, appends=appends, days=10)
    rows = store.read(SOURCE_TABLE).num_rows
    assert rows == (401 if appends else 1)
    store.maintain(SOURCE_TABLE)
    assert active_files(tmp_path) == 1
    assert store.read(SOURCE_TABLE).num_rows == rows
    assert save(store, source("n")) == store.version(SOURCE_TABLE)
