"""The pages as one file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from html_checker import Document

from lakeflow_meta.app import App
from lakeflow_meta.cli.main import run
from lakeflow_meta.cli.output import Output, Session
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.ui.one_file import Bounds, report


def test_it_is_one_sound_document_that_loads_nothing(shop: App) -> None:
    document = Document(report(shop))
    assert document.faults == []
    assert document.loaded == []
    assert all(link.startswith("#") for link in document.links)
    assert {link[1:] for link in document.links} <= set(document.ids)
    assert "form" not in document.tags
    for said in ("daily_orders", "Timeline", "There are changes to apply", "decimal(10,2)"):
        assert said in document.text
    assert "hunter2" not in document.text
    assert len(document.html) < 400_000


def test_logs_of_failed_tasks_are_in_it_and_no_others(shop: App) -> None:
    text = Document(report(shop)).text
    assert "Log of check_stock, attempt 2" in text
    assert "12 pieces are missing" in text
    assert "rows written" not in text


def test_one_run_comes_with_its_logs_and_its_module(shop: App) -> None:
    run_id = next(r.run_id for r in shop.jobs.list_runs() if r.job_name == "stock_levels")
    document = Document(report(shop, run_id=run_id))
    assert document.faults == []
    assert f"Run {run_id} of stock_levels" in document.text
    assert "12 pieces are missing" in document.text
    assert "daily_orders" not in document.text


def test_a_run_that_is_not_there_is_told(shop: App) -> None:
    with pytest.raises(NotFoundError, match="run 5 "):
        report(shop, run_id=5)


def test_its_size_is_bounded_and_what_is_left_out_is_said(shop: App) -> None:
    document = Document(report(shop, bounds=Bounds(runs=1, modules=1, tables=0)))
    assert document.faults == []
    count = len(shop.jobs.list_runs(limit=100))
    assert f"Of {count} runs it shows 1 in full" in document.text
    assert "Of 3 modules it shows 1 in full" in document.text
    assert document.text.count("Timeline") == 1


def test_the_command_writes_it_whole_and_tells_where(shop: App, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("older")
    output = Output(as_json=True, out=io.StringIO(), err=io.StringIO())
    assert run(["report", "-o", str(file)], Session(output, shared=shop)) == 0
    assert isinstance(output.out, io.StringIO)
    told = json.loads(output.out.getvalue())
    assert told == {"path": str(file), "bytes": file.stat().st_size}
    assert Document(file.read_text()).faults == []
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_place_that_cannot_be_written_is_told(shop: App, tmp_path: Path) -> None:
    output = Output(out=io.StringIO(), err=io.StringIO())
    command = ["report", "-o", str(tmp_path / "missing" / "report.html")]
    assert run(command, Session(output, shared=shop)) == 2


@pytest.mark.parametrize("host", ["10.1.2.3", "::", "lake.example"])
def test_other_machines_are_let_in_by_an_explicit_word_alone(shop: App, host: str) -> None:
    output = Output(out=io.StringIO(), err=io.StringIO())
    assert run(["ui", "--host", host, "--port", "0"], Session(output, shared=shop)) == 2
    assert isinstance(output.err, io.StringIO)
    assert "--allow-remote" in output.err.getvalue()


def test_a_job_of_very_many_tasks_leaves_room_for_others(shop: App) -> None:
    task = {"spark_python_task": {"python_file": "none.py"}, "disabled": True}
    tasks = [{"task_key": f"t{n}", **task} for n in range(400)]
    job_id = shop.jobs.create_job({"name": "wide", "tasks": tasks})
    run_id = shop.jobs.follow_run(shop.jobs.run_job(job_id, {})).run_id
    document = Document(report(shop, run_id=run_id))
    assert document.faults == []
    assert "The graph of 400 tasks is not in this file" in document.text
    assert "the first 100 of 400 rows" in document.text
    assert len(document.html) < 150_000
    shop.jobs.delete_job(job_id)
