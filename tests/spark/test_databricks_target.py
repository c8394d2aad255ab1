"""The command line on a Databricks target, from a laptop: files, SQL and jobs of one workspace.

The workspace is the stand-ins of its APIs behind one address, with Spark for the SQL; the client is
the real one, found by the environment.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from contract.files_stand_in import VOLUME, FilesService
from contract.http_stand_in import TOKEN, WAREHOUSE, StandIn
from contract.jobs_stand_in import Workspace
from contract.stand_in_server import Answer, HttpError, Request, Server
from pyspark.sql import SparkSession
from spark.statements_on_spark import run_on

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.backends.local.spark.session import EmbeddedSpark
from lakeflow_meta.cli.main import run
from lakeflow_meta.cli.output import Output, Session
from lakeflow_meta.control.tables import EVENTS, ControlTables

SALES = """
modules:
- module_name: sales
  job_config: {schedule: {quartz_cron_expression: "0 0 2 * * ?", timezone_id: UTC}}
  sources:
  - source_id: orders
    execution_order: 1
    transformation_config: {task_type: notebook, notebook_path: /Workspace/etl/orders}
  - source_id: totals
    execution_order: 2
    transformation_config: {task_type: sql_query, sql_task: {sql_query: "SELECT 1"}}
"""


class WholeWorkspace:
    """One address for all APIs, as a workspace has."""

    def __init__(self, spark: SparkSession) -> None:
        self.sql = StandIn(lambda text, given: run_on(spark, text, given))
        self.jobs = Workspace()
        self.files = FilesService()

    def answer(self, request: Request) -> Answer:
        """See `Service.answer`."""
        match request.path:
            case path if path.startswith("/api/2.0/sql/statements"):
                return self.sql.answer(request)
            case path if path.startswith("/api/2.0/fs/"):
                return self.files.answer(request)
            case "/api/2.0/preview/scim/v2/Me":
                return Answer.of_json({"userName": "ann@example.test"})
            case path if path.startswith("/api/2."):
                return self.jobs.answer(request)
            case _:
                raise HttpError(404, "ENDPOINT_NOT_FOUND", f"no API at {request.path}")


@dataclass
class Laptop:
    """A project directory on a machine without Spark, and the workspace that it targets."""

    workspace: WholeWorkspace
    control_table: str

    def run(self, *arguments: str, code: int = 0) -> Any:
        out, err = io.StringIO(), io.StringIO()
        given = ["--target", "dev", "--control-table", self.control_table, "--json", *arguments]
        ended = run(given, Session(Output(as_json=True, out=out, err=err)))
        assert ended == code, out.getvalue() + err.getvalue()
        return json.loads(out.getvalue())


@pytest.fixture
def laptop(
    interpreted: SparkSession, schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Laptop]:
    workspace = WholeWorkspace(interpreted)
    with Server(workspace).running() as server:
        (tmp_path / "conf").mkdir()
        (tmp_path / "conf" / "dev.yml").write_text(
            f"backend: databricks\nhost: {server.host}\nwarehouse_id: {WAREHOUSE}\n"
            "external_links: false\n"
        )
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
        yield Laptop(workspace, f"{schema}.etl_control")


def test_yaml_on_a_volume_becomes_a_job_and_stays_as_it_is(
    laptop: Laptop, embedded: EmbeddedSpark
) -> None:
    jobs = laptop.workspace.jobs
    laptop.workspace.files.put("sales.yml", SALES)
    assert laptop.run("sync", VOLUME)["added"] == 3
    (action,) = laptop.run("plan")["actions"]
    assert (action["name"], action["action"]) == ("sales", "create")
    assert jobs.jobs == {}
    (made,) = laptop.run("apply")
    assert (made["module"], made["action"], made["error"]) == ("sales", "created", None)
    settings = jobs.jobs[made["job_id"]].settings
    assert [task["task_key"] for task in settings["tasks"]] == ["orders", "totals"]

    update = "UPDATE etl_control SET execution_order = 0 WHERE source_id = 'totals'"
    assert laptop.run("sql", update) == {"rows_affected": 1}
    (changed,) = laptop.run("apply")
    assert (changed["action"], changed["job_id"]) == ("updated", made["job_id"])
    writes = len(jobs.writes)
    assert laptop.run("apply")[0]["action"] == "unchanged"
    assert len(jobs.writes) == writes
    store = DeltaRsStore(embedded.warehouse)
    events = store.read(ControlTables.named(laptop.control_table).of(EVENTS)).to_pylist()
    assert {event["actor"] for event in events} == {"ann@example.test"}
