"""The Python interface, used as people use it in a notebook: on the embedded workspace."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import lakeflow_meta
from lakeflow_meta import (
    ConfigError,
    JobOrchestrator,
    MetadataManager,
    MetadataMonitor,
    RunFailedError,
    SpecError,
)
from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.testing import FixedClock
from lakeflow_meta.testing.fake_store import FakeStore

CONTROL = "main.lakeflow.etl_control"
SALES = """
variables: {limit: 1}
modules:
- module_name: sales
  sources:
  - source_id: orders
    source_type: sql
    execution_order: 1
    transformation_config:
      task_type: sql_query
      sql_task: {sql_query: "SELECT ${var.limit} AS one"}
"""
STOCK = """
modules:
- module_name: stock
  sources:
  - source_id: items
    transformation_config: {task_type: sql_query, sql_task: {sql_query: "SELECT 2"}}
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory, and no settings from this machine."""
    monkeypatch.chdir(tmp_path)
    for name in ("TARGET", "HOME", "CONF", "CONTROL_TABLE"):
        monkeypatch.delenv(f"LAKEFLOW_META_{name}", raising=False)
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "sales.yml").write_text(SALES)
    return tmp_path


def test_a_load_says_how_much_and_what_and_a_second_one_writes_nothing() -> None:
    manager = MetadataManager(CONTROL)
    count, modules = loaded = manager.load_yaml("metadata/sales.yml")
    assert (count, modules, int(loaded)) == (1, ["sales"], 1)
    assert loaded.report.to_dict()["added"] == 2
    again = MetadataManager(CONTROL).load_from_folder("metadata")
    assert (again.report.to_dict()["unchanged"], bool(again.report)) == (2, False)


def test_a_dry_run_leaves_no_trace(project: Path) -> None:
    report = MetadataManager(CONTROL).load_yaml("metadata", dry_run=True).report
    assert report.to_dict()["added"] == 2
    assert not (project / ".lakeflow").exists()


def test_variables_are_given_and_files_of_tasks_need_not_be_there(project: Path) -> None:
    task = 'sql_query: "SELECT ${var.limit} AS one"'
    text = SALES.replace(task, "sql_file_path: nowhere.sql, parameters: {n: '${var.limit}'}")
    (project / "file.yml").write_text(text.replace("task_type: sql_query", "task_type: sql_file"))
    manager = MetadataManager(CONTROL)
    with pytest.raises(SpecError, match=r"there is no file nowhere\.sql"):
        manager.load_yaml("file.yml")
    manager.load_yaml("file.yml", validate_file_exists=False, var={"limit": 7})
    assert '"n":7' in manager.get_module_sources("sales")[0]["transformation_config"]


def test_a_volume_is_read_where_it_is_mapped(project: Path) -> None:
    volume = project / ".lakeflow" / "volumes" / "main" / "lakeflow" / "metadata"
    volume.mkdir(parents=True)
    (volume / "stock.yml").write_text(STOCK)
    assert MetadataManager(CONTROL).sync_from_volume("/Volumes/main/lakeflow/metadata")[1] == [
        "stock"
    ]


def test_changes_by_sql_are_detected_in_both_spellings_and_rolled_back() -> None:
    manager = MetadataManager(CONTROL)
    manager.load_yaml("metadata")
    JobOrchestrator(CONTROL).create_or_update_jobs()
    version = manager.app.store.version(manager.app.tables.sources)
    manager.sql("UPDATE etl_control SET execution_order = 9 WHERE source_id = 'orders'")
    changes = manager.detect_changes()
    assert changes["updated_modules"] == changes["updated_jobs"] == ["sales"]
    assert changes["changed_tasks"] == [
        {"task_key": "orders", "job_name": "sales", "action": "updated"}
    ]
    assert manager.history("sales", limit=1)[0].after["execution_order"] == 9
    assert manager.restore(["sales"], to=str(version))["changed"] == 1
    assert manager.detect_changes()["updated_modules"] == []


def test_the_export_loads_into_an_empty_store_as_the_same_rows(project: Path) -> None:
    manager = MetadataManager(CONTROL)
    manager.load_yaml("metadata")
    text = manager.export_yaml(project / "out.yml")
    assert (project / "out.yml").read_text() == text
    other = MetadataManager(CONTROL, home=project / "other")
    other.load_yaml(project / "out.yml")
    assert other.export_yaml() == text


def test_jobs_of_one_yaml_are_made_and_the_others_left_alone(project: Path) -> None:
    (project / "stock.yml").write_text(STOCK)
    MetadataManager(CONTROL).load_yaml("metadata")
    orchestrator = JobOrchestrator(CONTROL)
    made = orchestrator.create_or_update_jobs(yaml_path="stock.yml")
    assert [(m["module"], m["action"], m["error"]) for m in made] == [("stock", "created", None)]
    everything = {m["module"]: m for m in orchestrator.create_or_update_jobs()}
    assert {name: m["action"] for name, m in everything.items()} == {
        "sales": "created",
        "stock": "unchanged",
    }
    assert orchestrator.create_or_update_job("stock") == made[0]["job_id"]
    assert not orchestrator.plan().pending


def test_bad_yaml_is_an_error_and_never_no_jobs(project: Path) -> None:
    (project / "bad.yml").write_text("modules: [{module_nam: a}]")
    orchestrator = JobOrchestrator(CONTROL)
    with pytest.raises(SpecError, match="did you mean module_name"):
        orchestrator.create_or_update_jobs(yaml_path="bad.yml")
    with pytest.raises(SpecError, match=r"missing\.yml: there is no such file"):
        orchestrator.run_all_modules(yaml_path="missing.yml", sync_yaml=True)


def test_all_modules_are_made_without_a_run_where_none_is_asked_for() -> None:
    entries = JobOrchestrator(CONTROL).run_all_modules(
        auto_run=False, yaml_path="metadata", sync_yaml=True
    )
    assert [(e["module"], e["action"]) for e in entries] == [("sales", "created")]
    assert "run_id" not in entries[0]


def test_a_module_that_fails_carries_the_others_outcomes(project: Path) -> None:
    (project / "metadata" / "stock.yml").write_text(STOCK)
    manager = MetadataManager(CONTROL)
    manager.load_yaml("metadata")
    manager.sql(
        'UPDATE etl_control SET transformation_config = \'{"task_type": "nothing"}\''
        " WHERE module_name = 'sales'"
    )
    with pytest.raises(RunFailedError, match="1 of 2 modules failed") as caught:
        JobOrchestrator(CONTROL).run_all_modules(auto_run=False)
    assert [(e["module"], e["action"]) for e in caught.value.report] == [
        ("sales", "failed"),
        ("stock", "created"),
    ]


def test_the_monitor_takes_a_file_and_makes_its_job() -> None:
    clock = FixedClock(datetime(2030, 1, 1, tzinfo=UTC))
    monitor = MetadataMonitor(
        control_table=CONTROL, volume_path="metadata", check_interval_seconds=0, clock=clock
    )
    result = monitor.check_and_update()
    assert [(u["module"], u["action"]) for u in result["jobs_updated"]] == [("sales", "created")]
    seen: list[dict[str, Any]] = []
    assert monitor.run_continuous(max_iterations=2, on_result=seen.append) == 2
    assert [r["changes_detected"] for r in seen] == [False, False]


def test_a_monitor_that_only_reports_leaves_the_jobs_alone() -> None:
    clock = FixedClock(datetime(2030, 1, 1, tzinfo=UTC))
    monitor = MetadataMonitor(CONTROL, 0, "metadata", auto_update_jobs=False, clock=clock)
    assert monitor.check_and_update()["changes"]["new_modules"] == ["sales"]
    assert JobOrchestrator(CONTROL).plan().pending


def test_an_explicit_store_wins(project: Path) -> None:
    store = FakeStore()
    MetadataManager(CONTROL, store=store).load_yaml("metadata")
    assert MetadataManager(CONTROL, store=store).get_all_modules() == ["sales"]
    assert not (project / ".lakeflow").exists()


@pytest.mark.parametrize("name", ["etl_control", "a..b", "x; DROP TABLE y", ""])
def test_a_bad_table_name_is_refused_at_once(name: str) -> None:
    with pytest.raises(ConfigError, match=r"catalog\.schema\.table"):
        MetadataManager(name)


def test_inside_the_databricks_runtime_that_is_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    settings = MetadataManager(CONTROL).app.settings
    assert (settings.target, settings.backend) == ("databricks", "databricks")


def test_a_laptop_needs_a_warehouse_or_a_session(project: Path) -> None:
    (project / "conf").mkdir()
    (project / "conf" / "dev.yml").write_text("backend: databricks\nhost: https://example.test\n")
    with pytest.raises(ConfigError, match=r"set warehouse_id in conf/dev\.yml"):
        MetadataManager(CONTROL, target="dev").get_all_modules()


def test_importing_the_interface_imports_no_platform() -> None:
    code = (
        "import sys, lakeflow_meta; lakeflow_meta.MetadataManager;"
        "print([m for m in ('pyspark', 'databricks.sdk', 'deltalake') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_listed_and_there() -> None:
    for name in lakeflow_meta.__all__:
        assert getattr(lakeflow_meta, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = lakeflow_meta.Nothing


def test_history_is_kept_for_as_long_as_the_settings_say(project: Path) -> None:
    (project / "conf").mkdir()
    (project / "conf" / "default.yml").write_text("history_days: 7\n")
    manager = MetadataManager(CONTROL)
    manager.ensure_exists()
    log = project / ".lakeflow/warehouse/main/lakeflow/etl_control/_delta_log"
    assert "interval 168 hours" in (log / "00000000000000000000.json").read_text()


def test_upkeep_keeps_the_version_that_the_change_detector_compares_with() -> None:
    manager = MetadataManager(CONTROL)
    manager.load_yaml("metadata")
    JobOrchestrator(CONTROL).create_or_update_jobs()
    app = manager.app
    version = app.store.version(app.tables.sources)
    store = app.target.store
    assert isinstance(store, DeltaRsStore)
    assert list(store.upkeep.pinned(app.tables.sources)) == [version]
