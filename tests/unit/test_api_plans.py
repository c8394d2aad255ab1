"""Plans in Python, kept and applied, on the embedded workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakeflow_meta import ConfigError, ConflictError, JobOrchestrator, MetadataManager

CONTROL = "main.lakeflow.etl_control"
YAML = """
modules:
- module_name: sales
  sources:
  - {source_id: a, transformation_config: {task_type: run_job, job_id: 1}}
- module_name: stock
  sources:
  - {source_id: a, transformation_config: {task_type: run_job, job_id: 2}}
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("TARGET", "HOME", "CONF", "CONTROL_TABLE"):
        monkeypatch.delenv(f"LAKEFLOW_META_{name}", raising=False)
    (tmp_path / "metadata.yml").write_text(YAML)
    MetadataManager(CONTROL).load_yaml("metadata.yml")
    return tmp_path


def test_a_plan_is_applied_from_memory_or_from_a_file_once() -> None:
    orchestrator = JobOrchestrator(CONTROL)
    orchestrator.plan(["sales"], path="plan.json")
    everything = orchestrator.plan()
    made = orchestrator.apply(plan="plan.json")
    assert [(entry["module"], entry["action"]) for entry in made] == [("sales", "created")]
    for old in (everything, Path("plan.json")):
        with pytest.raises(ConflictError, match="sales: its rows in the control tables"):
            orchestrator.apply(plan=old)
    made = orchestrator.apply(plan=orchestrator.plan())
    assert [(entry["module"], entry["action"]) for entry in made] == [
        ("sales", "unchanged"),
        ("stock", "created"),
    ]


def test_without_a_plan_the_modules_and_choices_count() -> None:
    orchestrator = JobOrchestrator(CONTROL)
    assert [entry["module"] for entry in orchestrator.apply(["stock"])] == ["stock"]
    with pytest.raises(ConfigError, match="write restore or report"):
        orchestrator.apply(on_drift="keep")
    with pytest.raises(ConfigError, match="leave that out"):
        orchestrator.apply(["stock"], plan=orchestrator.plan())
    with pytest.raises(ConfigError, match="cannot be read"):
        orchestrator.apply(plan="none.json")
