"""Control tables of lakeflow-jobs-meta taken over: rows, job ids, nothing twice, nothing lost."""

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.control.arrow import arrow_schema
from lakeflow_meta.control.declared import read_declared
from lakeflow_meta.control.layouts import Layout, OlderTables, layout_of, translate
from lakeflow_meta.control.migrate import MigrationReport, Migrator
from lakeflow_meta.control.tables import (
    EVENTS,
    JOBS,
    MODULES,
    SOURCES,
    ControlTables,
    LayoutColumn,
    TableLayout,
)
from lakeflow_meta.errors import BackendError, ConfigError, NotFoundError, SpecError
from lakeflow_meta.jobs.job_settings import JobContext
from lakeflow_meta.jobs.orchestrator import JobOrchestrator
from lakeflow_meta.names import TableName
from lakeflow_meta.ports import ControlStore, MergeResult
from lakeflow_meta.testing import FakeJobs, FixedClock
from lakeflow_meta.testing.crash import Crash, CrashPoint
from lakeflow_meta.testing.fake_queries import FakeQueries
from lakeflow_meta.testing.fake_store import FakeStore

OLD = TableName.parse("main.meta.job_metadata")
OLD_JOBS = OLD.sibling("job_metadata_jobs")
TABLES = ControlTables.named("main.lakeflow.etl_control")
CONTEXT = JobContext(str(TABLES.sources))
EARLY = datetime(2025, 11, 1, tzinfo=UTC)
LATE = EARLY + timedelta(days=3)

TYPES = {
    "disabled": "BOOLEAN",
    "is_active": "BOOLEAN",
    "execution_order": "INT",
    "job_id": "BIGINT",
}
AUDIT = "created_by created_timestamp updated_by updated_timestamp"
COLUMNS = {
    Layout.SOURCES: (
        "source_id module_name source_type execution_order source_config target_config"
        " transformation_config is_active created_timestamp updated_timestamp"
    ),
    Layout.INTERIM: (
        f"job_name task_key depends_on task_type parameters task_config disabled {AUDIT}"
    ),
    Layout.TASKS_0_1: (
        f"job_name task_key depends_on task_type job_config task_config disabled {AUDIT}"
    ),
    Layout.TASKS_0_2: (
        "resource_id job_name task_key depends_on task_type job_config task_config disabled"
        f" {AUDIT}"
    ),
}
JOB_COLUMNS = {
    Layout.SOURCES: "module_name job_id job_name created_timestamp updated_timestamp",
    Layout.INTERIM: f"job_id job_name {AUDIT}",
    Layout.TASKS_0_1: f"job_id job_name {AUDIT}",
    Layout.TASKS_0_2: f"resource_id job_id job_name {AUDIT}",
}


def table_layout(columns: str) -> TableLayout:
    kinds = {
        n: "TIMESTAMP" if n.endswith("timestamp") else TYPES.get(n, "STRING")
        for n in columns.split()
    }
    return TableLayout("", "", tuple(LayoutColumn(n, k, "") for n, k in kinds.items()), (), 0)


def put(
    store: ControlStore, table: TableName, columns: str, rows: Sequence[dict[str, Any]]
) -> None:
    store.ensure(table, table_layout(columns))
    times = {"created_timestamp": EARLY, "updated_timestamp": LATE}
    store.append(table, [{**times, **row} for row in rows])


def older(
    store: ControlStore,
    layout: Layout,
    rows: Sequence[dict[str, Any]],
    jobs: Sequence[dict[str, Any]],
) -> None:
    put(store, OLD, COLUMNS[layout], rows)
    put(store, OLD_JOBS, JOB_COLUMNS[layout], jobs)


def migrator(store: ControlStore, **options: Any) -> Migrator:
    return Migrator(
        store, TABLES, context=CONTEXT, actor=lambda: "tester", clock=FixedClock(), **options
    )


def rows_of(store: ControlStore, layout: TableLayout) -> list[dict[str, Any]]:
    rows = store.read(TABLES.of(layout)).to_pylist()
    return sorted(rows, key=lambda row: [str(row[key]) for key in layout.keys])


def versions(store: ControlStore) -> dict[str, int | None]:
    return {str(table): store.version(table) for table in [*TABLES.all(), OLD, OLD_JOBS]}


CONFIG_0_2 = {
    "_job_environments": [{"environment_key": "e", "spec": {"client": "1"}}],
    "schedule": {"quartz_cron_expression": "0 0 2 * * ?", "timezone_id": "UTC"},
    "notification_settings": {
        "email_notifications": {"on_failure": ["a@b.c"]},
        "alert_on_last_attempt": True,
    },
}
ROWS_0_2 = [
    {
        "resource_id": "etl",
        "job_name": "ETL prod",
        "task_key": "a",
        "depends_on": "[]",
        "task_type": "notebook",
        "job_config": json.dumps(CONFIG_0_2),
        "task_config": json.dumps({"file_path": "/n", "parameters": {"k": "v"}}),
        "disabled": False,
        "created_by": "somebody",
    },
    {
        "resource_id": "etl",
        "job_name": "ETL prod",
        "task_key": "b",
        "depends_on": '["a"]',
        "task_type": "sql_query",
        "job_config": json.dumps(CONFIG_0_2, indent=1),
        "task_config": json.dumps({"sql_query": "SELECT 1", "warehouse_id": "w"}),
        "disabled": True,
        "created_timestamp": EARLY - timedelta(days=1),
        "updated_timestamp": None,
    },
    {
        "resource_id": "new",
        "job_name": "new",
        "task_key": "only",
        "task_type": "pipeline",
        "job_config": None,
        "task_config": '{"pipeline_id": "p"}',
    },
]
JOBS_0_2 = [{"resource_id": "etl", "job_id": 11, "job_name": "ETL prod"}]


def test_a_table_of_0_2_becomes_modules_sources_and_job_ids() -> None:
    store = FakeStore()
    older(store, Layout.TASKS_0_2, ROWS_0_2, JOBS_0_2)
    report = migrator(store).migrate(OLD)
    assert report.layout is Layout.TASKS_0_2
    assert report.to_dict()["added"] == {
        "etl_control_jobs": ["etl"],
        "etl_control_modules": ["etl", "new"],
        "etl_control": ["etl/a", "etl/b", "new/only"],
    }
    assert report.to_dict()["columns_not_taken"] == ["created_by", "updated_by"]
    a, b, only = rows_of(store, SOURCES)
    assert (a["source_type"], a["execution_order"], a["is_active"]) == ("notebook", None, True)
    assert (a["created_timestamp"], a["updated_timestamp"]) == (EARLY, LATE)
    alert = {"notification_settings": {"alert_on_last_attempt": True}}
    assert json.loads(a["transformation_config"]) == {
        "task_type": "notebook",
        "file_path": "/n",
        "parameters": {"k": "v"},
        **alert,
    }
    assert json.loads(b["transformation_config"]) == {
        "task_type": "sql_query",
        "sql_query": "SELECT 1",
        "warehouse_id": "w",
        "depends_on": ["a"],
        "disabled": True,
        **alert,
    }
    assert b["updated_timestamp"] == FixedClock()()
    assert json.loads(only["transformation_config"]) == {
        "task_type": "pipeline",
        "pipeline_id": "p",
    }
    etl, new = rows_of(store, MODULES)
    assert json.loads(etl["job_config"]) == {
        "name": "[Lakeflow Jobs Meta] ETL prod",
        "environments": CONFIG_0_2["_job_environments"],
        "schedule": CONFIG_0_2["schedule"],
        "notification_settings": {"email_notifications": {"on_failure": ["a@b.c"]}},
    }
    assert (etl["created_timestamp"], etl["updated_timestamp"]) == (EARLY - timedelta(days=1), LATE)
    assert new["job_config"] == "{}"
    (job,) = rows_of(store, JOBS)
    assert (job["job_id"], job["job_name"]) == (11, "[Lakeflow Jobs Meta] ETL prod")
    assert job["settings_fingerprint"] is None
    assert {(e["verb"], e["actor"]) for e in store.read(TABLES.of(EVENTS)).to_pylist()} == {
        ("migrate", "tester")
    }


def test_a_table_of_0_1_has_its_jobs_by_name() -> None:
    store = FakeStore()
    rows = [{k: v for k, v in row.items() if k != "resource_id"} for row in ROWS_0_2[:2]]
    older(store, Layout.TASKS_0_1, rows, [{"job_id": 4, "job_name": "ETL prod"}])
    assert migrator(store).migrate(OLD).layout is Layout.TASKS_0_1
    assert [row["module_name"] for row in rows_of(store, SOURCES)] == ["ETL prod", "ETL prod"]
    assert [(r["module_name"], r["job_id"]) for r in rows_of(store, JOBS)] == [("ETL prod", 4)]
    (module,) = rows_of(store, MODULES)
    assert json.loads(module["job_config"])["name"] == "[Lakeflow Jobs Meta] ETL prod"


def test_the_interim_layout_keeps_parameters_and_settings_elsewhere() -> None:
    store = FakeStore()
    task = {"file_path": "/n", "_job_config": {"timeout_seconds": 9}}
    row = {"job_name": "j", "task_key": "a", "task_type": "notebook", "depends_on": "[]"}
    row |= {"parameters": '{"k": 1}', "task_config": json.dumps(task)}
    older(store, Layout.INTERIM, [row], [{"job_id": 4, "job_name": "j"}])
    assert migrator(store).migrate(OLD).layout is Layout.INTERIM
    (source,) = rows_of(store, SOURCES)
    assert json.loads(source["transformation_config"]) == {
        "task_type": "notebook",
        "file_path": "/n",
        "parameters": {"k": 1},
    }
    assert json.loads(rows_of(store, MODULES)[0]["job_config"]) == {"timeout_seconds": 9}


FIRST_ROW = {
    "source_id": "s1",
    "module_name": "sales",
    "source_type": "sql",
    "execution_order": 1,
    "source_config": '{"a": 1, "_job_config": {"max_concurrent_runs": 2}}',
    "target_config": '{"table": "t"}',
    "transformation_config": '{"sql_task": {"sql_query": "SELECT 1", "warehouse_id": "w"}}',
    "is_active": None,
}
SECOND_ROW = {**FIRST_ROW, "source_id": "s2", "source_config": "", "is_active": False}
JOB_ROW = {"module_name": "sales", "job_id": 3, "job_name": "Metadata_Driven_ETL_sales"}


def test_the_first_form_is_nearly_ours() -> None:
    store = FakeStore()
    older(store, Layout.SOURCES, [FIRST_ROW, SECOND_ROW], [JOB_ROW])
    migrator(store).migrate(OLD)
    first, second = rows_of(store, SOURCES)
    assert (first["is_active"], second["is_active"]) == (True, False)
    assert (first["source_config"], second["source_config"]) == ('{"a":1}', "{}")
    assert json.loads(first["transformation_config"]) == json.loads(
        str(FIRST_ROW["transformation_config"])
    )
    assert json.loads(rows_of(store, MODULES)[0]["job_config"]) == {
        "name": "Metadata_Driven_ETL_sales",
        "max_concurrent_runs": 2,
    }
    assert rows_of(store, JOBS)[0]["job_name"] == "Metadata_Driven_ETL_sales"


def test_a_dry_run_writes_nothing_and_says_the_same() -> None:
    store = FakeStore()
    older(store, Layout.TASKS_0_2, ROWS_0_2, JOBS_0_2)
    before = versions(store)
    planned = migrator(store).migrate(OLD, dry_run=True)
    assert versions(store) == before
    done = migrator(store).migrate(OLD)
    assert {**planned.to_dict(), "dry_run": False} == done.to_dict()
    assert list(planned.lines())[-1] == "would be: added 6, unchanged 0, kept 0"


def test_a_second_run_makes_no_version_and_the_older_tables_stay_as_they_are() -> None:
    store = FakeStore()
    older(store, Layout.TASKS_0_2, ROWS_0_2, JOBS_0_2)
    untouched = (store.version(OLD), store.version(OLD_JOBS))
    migrator(store).migrate(OLD)
    before = versions(store)
    again = migrator(store).migrate(OLD)
    assert not again
    assert versions(store) == before
    assert (store.version(OLD), store.version(OLD_JOBS)) == untouched


def test_what_people_changed_since_is_kept_and_named() -> None:
    store = FakeStore()
    older(store, Layout.TASKS_0_2, ROWS_0_2, JOBS_0_2)
    migrator(store).migrate(OLD)
    source = {"module_name": "etl", "source_id": "a", "is_active": False}
    store.merge(TABLES.sources, [source], keys=SOURCES.keys)
    applied = {"module_name": "etl", "job_name": "other", "settings_fingerprint": "1:x"}
    store.merge(TABLES.of(JOBS), [applied], keys=JOBS.keys)
    again = migrator(store).migrate(OLD)
    assert again.to_dict()["kept"] == {"etl_control": ["etl/a"]}
    assert rows_of(store, SOURCES)[0]["is_active"] is False
    assert rows_of(store, JOBS)[0]["settings_fingerprint"] == "1:x"


class BusyStore(FakeStore):
    """Somebody else records the same job just before the first merge."""

    def merge(self, table: TableName, *arguments: Any, **options: Any) -> MergeResult:
        if not self.calls["merge"]:
            super().merge(table, [{"module_name": "etl", "job_id": 77}], keys=JOBS.keys)
        return super().merge(table, *arguments, **options)


def test_what_somebody_records_in_between_is_kept() -> None:
    store = BusyStore()
    older(store, Layout.TASKS_0_2, ROWS_0_2, JOBS_0_2)
    migrator(store).migrate(OLD)
    assert [row["job_id"] for row in rows_of(store, JOBS)] == [77]


def test_a_record_of_another_job_is_kept_and_named() -> None:
    store = FakeStore()
    older(store, Layout.TASKS_0_2, ROWS_0_2, JOBS_0_2)
    store.ensure(TABLES.of(JOBS), JOBS)
    store.append(TABLES.of(JOBS), [{"module_name": "etl", "job_id": 99}])
    assert migrator(store).migrate(OLD).to_dict()["kept"] == {"etl_control_jobs": ["etl"]}
    assert [row["job_id"] for row in rows_of(store, JOBS)] == [99]


BAD = [
    ({"task_config": "{"}, "etl/a: task_config is not JSON"),
    ({"task_config": "[]"}, "etl/a: task_config is JSON, but not an object"),
    ({"depends_on": '{"a": 1}'}, "etl/a: depends_on is JSON, but not a list of task keys"),
    ({"job_config": '{"tags": {}}'}, "etl/b: job_config differs from that of row etl/a"),
    ({"task_key": "b"}, "etl/b: two rows have this job and task"),
    ({"task_key": None}, "etl: the row names no job, or no task_key"),
]


@pytest.mark.parametrize(("change", "expected"), BAD, ids=[e for _, e in BAD])
def test_rows_that_cannot_be_read_are_named_and_nothing_is_written(
    change: dict[str, Any], expected: str
) -> None:
    store = FakeStore()
    other = {**ROWS_0_2[2], "task_config": "nonsense"}
    older(store, Layout.TASKS_0_2, [{**ROWS_0_2[0], **change}, ROWS_0_2[1], other], JOBS_0_2)
    before = versions(store)
    with pytest.raises(SpecError) as caught:
        migrator(store).migrate(OLD)
    found = [f"{p.path}: {p.message}" for p in caught.value.problems]
    assert any(line.startswith(expected) for line in found)
    assert any(line.startswith("new/only: task_config is not JSON") for line in found)
    assert versions(store) == before


def test_different_names_of_one_job_are_refused_unless_it_lives() -> None:
    rows = [{**ROWS_0_2[0], "job_name": "other"}, ROWS_0_2[1]]
    found = translate(OlderTables(Layout.TASKS_0_2, "t", rows))
    assert [p.message for p in found.problems] == [
        "rows of the job have different names: 'ETL prod' (row etl/b) and 'other' (row etl/a)"
    ]
    lives = translate(OlderTables(Layout.TASKS_0_2, "t", rows, JOBS_0_2))
    assert lives.problems == []


def test_without_a_jobs_table_people_are_told() -> None:
    store = FakeStore()
    put(store, OLD, COLUMNS[Layout.TASKS_0_2], ROWS_0_2)
    notes = migrator(store).migrate(OLD, dry_run=True).notes
    assert [(n.file, n.message) for n in notes] == [
        (str(OLD_JOBS), "there is no jobs table, so no job ids; `apply` would create new jobs")
    ]
    put(store, OLD.sibling("ids"), JOB_COLUMNS[Layout.TASKS_0_2], JOBS_0_2)
    report = migrator(store).migrate(OLD, jobs_table=OLD.sibling("ids"))
    assert report.notes == ()
    assert [row["job_id"] for row in rows_of(store, JOBS)] == [11]


def test_what_the_job_builder_refuses_is_taken_over_and_noted() -> None:
    store = FakeStore()
    config = json.dumps({"schedule": {"quartz_cron_expression": "0 0 2 * * ?"}})
    older(store, Layout.TASKS_0_2, [{**ROWS_0_2[2], "job_config": config}], [])
    report = migrator(store).migrate(OLD)
    assert [f"{note.path}: {note.message}" for note in report.notes] == [
        "new: job_config.schedule: timezone_id is missing"
    ]
    assert len(rows_of(store, SOURCES)) == 1


def test_jobs_without_tasks_are_left_and_jobs_without_active_ones_are_noted() -> None:
    store = FakeStore()
    gone = {**JOB_ROW, "module_name": "gone", "job_id": 8}
    older(store, Layout.SOURCES, [SECOND_ROW], [JOB_ROW, gone])
    report = migrator(store).migrate(OLD)
    assert [n.message for n in report.notes] == [
        "job 8 has no tasks here; it is not taken over",
        "no source is active, so `apply` would retire job 3",
    ]
    assert [row["module_name"] for row in rows_of(store, JOBS)] == ["sales"]


# --------------------------------------------------------------------------- in place


def test_the_first_form_is_brought_up_to_date_under_its_own_name() -> None:
    store = FakeStore()
    put(store, TABLES.sources, COLUMNS[Layout.SOURCES], [FIRST_ROW])
    put(store, TABLES.of(JOBS), JOB_COLUMNS[Layout.SOURCES], [JOB_ROW])
    report = migrator(store).migrate(TABLES.sources, dry_run=True)
    assert report.columns["etl_control"] == ("description",)
    assert "settings_fingerprint" in report.columns["etl_control_jobs"]
    assert "etl_control_modules" in report.created
    migrator(store).migrate()
    (source,) = rows_of(store, SOURCES)
    assert source["source_config"] == FIRST_ROW["source_config"]
    assert json.loads(rows_of(store, MODULES)[0]["job_config"])["name"] == JOB_ROW["job_name"]
    before = versions(store)
    again = migrator(store).migrate()
    assert (bool(again), again.layout) == (False, Layout.OWN)
    assert versions(store) == before


@pytest.mark.parametrize("layout", [Layout.TASKS_0_1, Layout.TASKS_0_2, Layout.INTERIM])
def test_other_columns_under_the_same_name_are_refused_with_the_way_out(layout: Layout) -> None:
    store = FakeStore()
    put(store, TABLES.sources, COLUMNS[layout], [])
    with pytest.raises(ConfigError, match="under another name"):
        migrator(store).migrate()
    assert store.version(TABLES.of(MODULES)) is None


def test_audit_columns_between_the_contract_s_are_refused_in_place_only() -> None:
    columns = COLUMNS[Layout.SOURCES].replace("created_timestamp", "created_by created_timestamp")
    store = FakeStore()
    put(store, TABLES.sources, columns, [])
    with pytest.raises(ConfigError, match="under another name"):
        migrator(store).migrate()
    put(store, OLD, columns, [FIRST_ROW])
    assert migrator(store).migrate(OLD).to_dict()["columns_not_taken"] == ["created_by"]


def test_tables_that_would_overlap_are_refused() -> None:
    store = FakeStore()
    put(store, TABLES.of(MODULES), COLUMNS[Layout.TASKS_0_2], [])
    with pytest.raises(ConfigError, match="etl_control_modules is an older table"):
        migrator(store).migrate(TABLES.of(MODULES))


def test_a_table_of_ours_under_another_name_is_no_older_one() -> None:
    store = FakeStore()
    store.ensure(OLD, SOURCES)
    with pytest.raises(ConfigError, match="already"):
        migrator(store).migrate(OLD)


def test_a_table_that_is_no_control_table_is_refused_with_its_columns() -> None:
    store = FakeStore()
    put(store, OLD, "resource_id job_name task_key depends_on task_type task_config x", [])
    with pytest.raises(ConfigError, match=r"columns are resource_id, .* also has disabled"):
        migrator(store).migrate(OLD)


def test_what_does_not_exist_cannot_be_migrated() -> None:
    with pytest.raises(NotFoundError):
        migrator(FakeStore()).migrate(OLD)


@pytest.mark.parametrize("layout", COLUMNS)
def test_every_layout_is_told_by_its_columns_in_any_case(layout: Layout) -> None:
    assert layout_of(COLUMNS[layout].upper().split(), "t") is layout


# --------------------------------------------------------------------------- with the other parts


def test_the_live_job_keeps_its_id_and_name() -> None:
    store, jobs = FakeStore(), FakeJobs()
    live = {"name": "[Lakeflow Jobs Meta] ETL prod", "timeout_seconds": 7200}
    job_id = jobs.create_job(
        {**live, "tasks": [{"task_key": "gone", "run_job_task": {"job_id": 1}}]}
    )
    older(store, Layout.TASKS_0_2, ROWS_0_2[:2], [{**JOBS_0_2[0], "job_id": job_id}])
    migrator(store).migrate(OLD)
    orchestrator = JobOrchestrator(
        store,
        jobs,
        FakeQueries(),
        tables=TABLES,
        context=CONTEXT,
        permissions=jobs.permissions,
        actor=lambda: "tester",
    )
    (outcome,) = orchestrator.apply(None)
    assert (outcome.action, outcome.job_id) == ("updated", job_id)
    (job,) = jobs.list_jobs()
    assert job.settings["name"] == live["name"]
    assert [task["task_key"] for task in job.settings["tasks"]] == ["a", "b"]
    assert not migrator(store).migrate(OLD)


def test_the_same_job_from_yaml_gives_the_same_sources() -> None:
    text = """
jobs:
  etl:
    name: ETL prod
    notification_settings: {alert_on_last_attempt: true}
    tasks:
      - {task_key: a, task_type: notebook, file_path: /n, parameters: {k: v}}
      - {task_key: b, task_type: sql_query, depends_on: [a], sql_query: SELECT 1,
         warehouse_id: w, disabled: true}
"""
    declared = read_declared({"a": text}, {}, variables={}, context=CONTEXT)
    found = translate(OlderTables(Layout.TASKS_0_2, "t", ROWS_0_2[:2]))
    times = ("created_timestamp", "updated_timestamp")
    recorded = [{k: v for k, v in row.items() if k not in times} for row in found.sources]
    assert recorded == [{**row, "is_active": True} for row in declared.sources]


def test_a_process_that_dies_anywhere_is_completed_by_the_next() -> None:
    whole = FakeStore()
    older(whole, Layout.TASKS_0_2, ROWS_0_2, JOBS_0_2)
    counter = CrashPoint()
    migrator(counter.wrap(whole)).migrate(OLD)
    for at in range(1, len(counter.calls) + 1):
        for after in (False, True):
            store = FakeStore()
            older(store, Layout.TASKS_0_2, ROWS_0_2, JOBS_0_2)
            crash = CrashPoint(at, after=after)
            with suppress(Crash):  # a call that is refused anyway does not die after it
                migrator(crash.wrap(store)).migrate(OLD)
            has_module = TABLES.of(MODULES).key in store._tables and rows_of(store, MODULES)
            assert not has_module or rows_of(store, JOBS), "a module without its job's record"
            migrator(store).migrate(OLD)
            for layout in (JOBS, MODULES, SOURCES):
                assert rows_of(store, layout) == rows_of(whole, layout)


def with_column_defaults(root: Path, table: TableName) -> None:
    """Mark a table as Spark does when a column has a DEFAULT."""
    log = root / Path(*table.key.split(".")) / "_delta_log"
    last = max(int(file.stem) for file in log.glob("*.json"))
    features = ["appendOnly", "invariants", "allowColumnDefaults"]
    protocol = {"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": features}
    (log / f"{last + 1:020}.json").write_text(json.dumps({"protocol": protocol}) + "\n")


def delta(root: Path, table: TableName, columns: str, rows: Sequence[dict[str, Any]]) -> None:
    schema = arrow_schema(table_layout(columns))
    data = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    write_deltalake(root / Path(*table.key.split(".")), data)
    with_column_defaults(root, table)


def test_delta_tables_with_column_defaults_are_read_and_taken_over(tmp_path: Path) -> None:
    delta(tmp_path, OLD, COLUMNS[Layout.TASKS_0_2], ROWS_0_2)
    delta(tmp_path, OLD_JOBS, JOB_COLUMNS[Layout.TASKS_0_2], JOBS_0_2)
    store = DeltaRsStore(tmp_path)
    migrator(store).migrate(OLD)
    assert [row["source_id"] for row in rows_of(store, SOURCES)] == ["a", "b", "only"]
    before = versions(store)
    again = migrator(store).migrate(OLD)
    assert (bool(again), again.to_dict()["kept"]) == (False, {})
    assert versions(store) == before


def test_a_table_that_this_store_cannot_write_says_the_way_out(tmp_path: Path) -> None:
    delta(tmp_path, TABLES.sources, COLUMNS[Layout.SOURCES], [FIRST_ROW])
    with pytest.raises(ConfigError, match=r"cannot be brought up to date in place.*another name"):
        migrator(DeltaRsStore(tmp_path)).migrate()


def test_a_fault_that_passes_is_no_reason_for_another_name() -> None:
    store = FakeStore()
    put(store, TABLES.sources, COLUMNS[Layout.SOURCES], [FIRST_ROW])
    store.fail_on("ensure")
    with pytest.raises(BackendError):
        migrator(store).migrate()


def test_the_older_tables_may_be_in_another_store() -> None:
    theirs, ours = FakeStore(), FakeStore()
    put(theirs, TABLES.sources, COLUMNS[Layout.TASKS_0_2], ROWS_0_2)
    put(theirs, TABLES.of(JOBS), JOB_COLUMNS[Layout.TASKS_0_2], JOBS_0_2)
    report: MigrationReport = migrator(ours, source=theirs).migrate(TABLES.sources)
    assert len(rows_of(ours, SOURCES)) == 3
    assert report.layout is Layout.TASKS_0_2


cells = st.none() | st.sampled_from(
    ["", "{}", "[]", "1", "null", '"a"', "{", '{"a": 1}', "x", "['a']"]
)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(COLUMNS[Layout.TASKS_0_2].split()[:7]), cells), max_size=4
    )
)
def test_any_row_is_translated_or_reported(rows: list[dict[str, Any]]) -> None:
    found = translate(OlderTables(Layout.TASKS_0_2, "t", rows))
    if not found.problems:
        keys = {(r.get("resource_id") or r.get("job_name"), r["task_key"]) for r in rows}
        assert {(r["module_name"], r["source_id"]) for r in found.sources} == keys
