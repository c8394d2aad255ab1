"""The manager: loads, soft deletes, SQL, changes. On the in-memory store."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from lakeflow_meta.control.declared import Declared, read_declared
from lakeflow_meta.control.manager import MetadataManager
from lakeflow_meta.control.tables import JOBS, SOURCES, STATE, ControlTables
from lakeflow_meta.errors import ConfigError, ConflictError, SpecError
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.jobs.job_settings import JobContext
from lakeflow_meta.testing import FakeStore, FixedClock

CONTROL = "main.lakeflow.etl_control"
TABLES = ControlTables.named(CONTROL)

YAML = """
modules:
  - module_name: sales
    job_config: {max_concurrent_runs: 1}
    sources:
      - source_id: a
        source_type: sql
        execution_order: 1
        transformation_config: {task_type: sql_query, sql_task: {sql_query: "SELECT 1"}}
      - source_id: b
        source_type: sql
        execution_order: 2
        transformation_config: {task_type: sql_query, sql_task: {sql_query: "SELECT 2"}}
"""


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def store(clock: FixedClock) -> FakeStore:
    return FakeStore(clock)


@pytest.fixture
def manager(store: FakeStore, clock: FixedClock) -> MetadataManager:
    return MetadataManager(CONTROL, store=store, actor=lambda: "tester", clock=clock)


def declared(text: str = YAML, **variables: Any) -> Declared:
    return read_declared(
        {"f.yml": text}, {}, variables=variables, context=JobContext(control_table=CONTROL)
    )


def counts(report: Any) -> tuple[int, int, int, int]:
    value = report.to_dict()
    return value["added"], value["changed"], value["unchanged"], value["removed"]


def test_a_load_records_and_the_same_load_again_writes_nothing(
    manager: MetadataManager, store: FakeStore
) -> None:
    assert counts(manager.load(declared())) == (3, 0, 0, 0)
    before = {table: store.version(table) for table in TABLES.all()}
    assert counts(manager.load(declared())) == (0, 0, 3, 0)
    assert {table: store.version(table) for table in TABLES.all()} == before


def test_one_changed_source_touches_one_row(manager: MetadataManager, clock: FixedClock) -> None:
    manager.load(declared())
    clock.advance(3600)
    assert counts(manager.load(declared(YAML.replace("SELECT 2", "SELECT 3")))) == (0, 1, 2, 0)
    a, b = manager.get_module_sources("sales")
    assert b["updated_timestamp"] - a["updated_timestamp"] == timedelta(hours=1)
    assert a["created_timestamp"] == b["created_timestamp"]


def test_a_dry_run_says_the_same_and_writes_nothing(
    manager: MetadataManager, store: FakeStore
) -> None:
    assert counts(manager.plan_load(declared())) == (3, 0, 0, 0)
    assert store.version(TABLES.sources) is None


def test_what_is_not_declared_stays_until_pruned(manager: MetadataManager) -> None:
    manager.load(declared())
    shorter = declared(YAML[: YAML.index("      - source_id: b")])
    report = manager.load(shorter)
    assert counts(report) == (0, 0, 2, 0)
    assert report.to_dict()["not_declared"] == 1
    assert counts(manager.load(shorter, prune=True)) == (0, 0, 2, 1)
    assert [s["source_id"] for s in manager.get_module_sources("sales")] == ["a"]


def test_bad_metadata_is_refused_whole(manager: MetadataManager, store: FakeStore) -> None:
    with pytest.raises(SpecError) as caught:
        manager.load(declared(YAML + "  - module_nam: x\n"))
    assert "did you mean module_name?" in str(caught.value)
    assert store.version(TABLES.sources) is None


def test_a_soft_delete_by_sql_survives_a_load_unless_the_yaml_names_the_flag(
    manager: MetadataManager,
) -> None:
    manager.load(declared())
    manager._store.merge(
        TABLES.sources,
        [{"module_name": "sales", "source_id": "a", "is_active": False}],
        keys=SOURCES.keys,
    )
    assert counts(manager.load(declared())) == (0, 0, 3, 0)
    assert [s["source_id"] for s in manager.get_module_sources("sales")] == ["b"]
    named = YAML.replace("- source_id: a\n", "- source_id: a\n        is_active: true\n")
    assert counts(manager.load(declared(named))) == (0, 1, 2, 0)


def test_export_loads_back_as_the_same_rows(manager: MetadataManager, clock: FixedClock) -> None:
    manager.load(declared())
    text = manager.export()
    again = MetadataManager(CONTROL, store=FakeStore(), clock=clock)
    again.load(declared(text))
    assert again.export() == text
    assert again.get_module_sources("sales") == manager.get_module_sources("sales")


def test_an_insert_by_sql_is_filled_and_recorded(
    manager: MetadataManager, clock: FixedClock
) -> None:
    (result,) = manager.sql("INSERT INTO etl_control VALUES ('s','m','sql',1,'{}','{}','{}',true)")
    assert result.rows_affected == 1
    (row,) = manager.get_module_sources("m")
    assert row["created_timestamp"] == row["updated_timestamp"] == clock()
    assert manager.get_all_modules() == ["m"]


def test_an_insert_of_bad_json_or_a_known_key_is_refused(manager: MetadataManager) -> None:
    insert = (
        "INSERT INTO etl_control (source_id, module_name, source_config) VALUES ('s', 'm', '{}')"
    )
    manager.sql(insert)
    with pytest.raises(ConflictError, match="m/s; use UPDATE"):
        manager.sql(insert)
    with pytest.raises(SpecError, match="is not JSON"):
        manager.sql(insert.replace("'{}'", "'{'").replace("'s'", "'t'"))
    assert len(manager.get_module_sources("m")) == 1


def test_a_bad_statement_keeps_the_good_ones_from_running(manager: MetadataManager) -> None:
    with pytest.raises(SpecError):
        manager.sql(
            "INSERT INTO etl_control (source_id, module_name) VALUES ('s','m'); DROP TABLE x"
        )
    assert manager.get_all_modules() == []


def test_everything_is_new_until_it_is_applied(manager: MetadataManager, store: FakeStore) -> None:
    manager.load(declared())
    found = manager.detect_changes()
    assert found["new_modules"] == found["new_jobs"] == ["sales"]
    assert [(c["source_id"], c["action"]) for c in found["changed_sources"]] == [
        ("a", "new"),
        ("b", "new"),
    ]
    apply(manager, store)
    assert not any(manager.detect_changes().values())


def apply(manager: MetadataManager, store: FakeStore) -> None:
    """Record what the orchestrator would after applying."""
    from lakeflow_meta.control.changes import active_states

    states = active_states(manager.recorded().modules)
    rows = [
        {"module_name": name, "job_id": 1, "applied_state": canonical_json(state.to_dict())}
        for name, state in states.items()
    ]
    store.merge(TABLES.of(JOBS), rows, keys=JOBS.keys)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"execution_order": 9}, {"updated_modules": ["sales"]}),
        ({"is_active": False}, {"updated_modules": ["sales"]}),
        ({"updated_timestamp": None}, {}),
    ],
)
def test_changes_are_seen_by_content_not_by_timestamps(
    manager: MetadataManager, store: FakeStore, change: dict[str, Any], expected: dict[str, Any]
) -> None:
    manager.load(declared())
    apply(manager, store)
    store.merge(
        TABLES.sources,
        [{"module_name": "sales", "source_id": "b", **change}],
        keys=SOURCES.keys,
    )
    found = manager.detect_changes()
    names = ("new_modules", "updated_modules", "deactivated_modules")
    assert {n: found[n] for n in names if found[n]} == expected


def test_a_module_whose_sources_all_went_is_deactivated(
    manager: MetadataManager, store: FakeStore
) -> None:
    manager.load(declared())
    apply(manager, store)
    store.merge(TABLES.sources, [], keys=SOURCES.keys, scope={"module_name": "sales"})
    found = manager.detect_changes()
    assert found["deactivated_modules"] == found["disabled_jobs"] == ["sales"]


@pytest.mark.parametrize(("hours", "changed"), [(0, ["b"]), (1, []), (2, [])])
def test_changes_since_a_time_compare_with_the_table_of_that_time(
    manager: MetadataManager, clock: FixedClock, hours: int, changed: list[str]
) -> None:
    manager.load(declared())
    since = clock() + timedelta(hours=hours)
    clock.advance(3600)
    manager.load(declared(YAML.replace("SELECT 2", "SELECT 3")))
    found = manager.detect_changes(since.isoformat())
    assert found["changed_sources"] == [
        {"source_id": name, "module_name": "sales", "action": "updated"} for name in changed
    ]


def test_at_a_time_before_the_control_tables_nothing_was_there(manager: MetadataManager) -> None:
    manager.load(declared())
    found = manager.detect_changes("1999-01-01T00:00:00+00:00")
    assert (found["new_modules"], found["updated_modules"]) == (["sales"], [])
    assert found["warnings"] == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("2025-01-01T00:00:00", "has no zone; write 2025-01-01T00:00:00\\+00:00 for UTC"),
        (datetime(2025, 1, 1), "has no zone"),  # noqa: DTZ001  # what is refused
        ("yesterday", "is not a time; write 2025"),
        ("5", "is not a time; write 2025"),
        ("", "is not a time"),
        (date(2025, 1, 1), "is not a time"),
        ("0001-01-01T00:00:00+14:00", "is not a time"),
    ],
)
def test_a_time_without_zone_or_that_cannot_be_read_is_refused(
    manager: MetadataManager, given: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        manager.detect_changes(given)


def test_an_answer_that_is_remembered_is_given_without_reading_the_rows(
    manager: MetadataManager, store: FakeStore
) -> None:
    manager.load(declared())
    apply(manager, store)
    manager.remember_answer()
    before = store.calls["read"]
    assert not manager.changes()
    assert store.calls["read"] - before == 1  # the memory itself
    state = TABLES.of(STATE)
    version = store.version(state)
    manager.remember_answer()
    assert store.version(state) == version


def test_after_a_remembered_answer_every_kind_of_change_is_still_seen(
    manager: MetadataManager, store: FakeStore
) -> None:
    manager.load(declared())
    apply(manager, store)
    manager.remember_answer()
    manager.load(declared(YAML.replace("SELECT 2", "SELECT 3")))
    assert manager.detect_changes()["updated_modules"] == ["sales"]
    manager.remember_answer()
    assert manager.detect_changes()["updated_modules"] == ["sales"]
    store.merge(TABLES.sources, [], keys=SOURCES.keys, scope={})
    assert manager.detect_changes()["deactivated_modules"] == ["sales"]


def test_what_cannot_be_read_stays_a_problem_until_it_can_be(
    manager: MetadataManager, store: FakeStore
) -> None:
    manager.load(declared())
    apply(manager, store)
    set_config(store, "{oops")
    for _ in range(2):
        manager.remember_answer()
        assert [p.path for p in manager.changes().problems] == ["sales/b"]
    set_config(store, "{}")
    assert not any(manager.detect_changes().values())


def test_rows_that_cannot_be_read_are_named_never_nothing_to_do(
    manager: MetadataManager, store: FakeStore
) -> None:
    manager.load(declared())
    set_config(store, "{oops")
    assert [p.path for p in manager.recorded().problems] == ["sales/b"]
    found = manager.detect_changes()
    assert found.pop("problems") == [
        {
            "file": "main.lakeflow.etl_control",
            "line": 0,
            "column": 0,
            "path": "sales/b",
            "message": "source_config is not JSON: Expecting property name enclosed in double"
            " quotes at character 1",
            "hint": "correct the row with `lakeflow-meta sql`",
        }
    ]
    assert not any(found.values())


def set_config(store: FakeStore, text: str) -> None:
    row = {"module_name": "sales", "source_id": "b", "source_config": text}
    store.merge(TABLES.sources, [row], keys=SOURCES.keys)
