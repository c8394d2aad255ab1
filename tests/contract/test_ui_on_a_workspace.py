"""The pages of a Databricks workspace: its jobs and runs by the real SDK over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.jobs_stand_in import Workspace
from contract.stand_in_server import TOKEN
from databricks.sdk import WorkspaceClient
from html_checker import Document

from lakeflow_meta.app import App
from lakeflow_meta.testing import FakeStore, FixedClock
from lakeflow_meta.ui.blocks import place
from lakeflow_meta.ui.one_file import report
from lakeflow_meta.ui.server import Website
from lakeflow_meta.ui.site import MENU, address_of

YAML = """
modules:
- module_name: sales
  sources:
  - source_id: orders
    execution_order: 1
    transformation_config: {task_type: run_job, job_id: 1}
  - source_id: totals
    execution_order: 2
    transformation_config: {task_type: run_job, job_id: 1}
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "prod.yml").write_text("backend: databricks\n")
    with Workspace().running() as workspace:
        yield App.from_environment(
            overrides={"target": "prod"},
            store=FakeStore(FixedClock()),
            workspace_client=WorkspaceClient(host=workspace.host, token=TOKEN),
        )


def test_the_pages_of_a_workspace_show_its_runs_and_change_nothing(app: App) -> None:
    app.manager.load(app.declared_in({"m.yml": YAML}, {}, {}))
    app.orchestrator.apply()
    run = app.orchestrator.run("sales")
    versions = {table: app.store.version(table) for table in app.tables.all()}
    website = Website(app)
    single = [f"/run?id={run.run_id}", f"/task?run={run.run_id}&key=orders", "/module?name=sales"]
    said = ""
    for address in [*(address_of(place(kind)) for _, kind in MENU), *single, "/plan?again=1"]:
        path, _, query = address.partition("?")
        answer = website.answer(path, query)
        assert answer.status in (200, 303), address
        if answer.status == 200:
            document = Document(b"".join(answer.pieces).decode())
            assert document.faults == [], address
            said += document.text
    assert f"Run {run.run_id} of sales" in said
    assert "orders: success" in said
    assert "reading logs of tasks" in said
    document = Document(report(app))
    assert document.faults == []
    assert "orders: success" in document.text
    assert {table: app.store.version(table) for table in app.tables.all()} == versions
