"""The reference says what ``--json`` prints: the keys that it names are there."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lakeflow_meta.cli.main import run
from lakeflow_meta.cli.output import Output, Session

DOCS = Path(__file__).parents[3] / "docs"
METADATA = """
modules:
  - module_name: orders
    sources:
      - {source_id: load, transformation_config: {task_type: spark_python, python_file: load.py}}
      - {source_id: files, source_type: csv, source_config: {path: landing},
         target_config: {table: main.default.orders}}
tables:
  - {table: main.default.orders, module: orders, columns: {id: bigint}}
ddl_scripts:
  - {target: shop, release: 001_a, file: 001_a.sql, body: SELECT 1}
extracts:
  - {extract_name: all, source: {table: main.default.orders}, target: {path: out}}
"""
CALLS = [
    "init .",
    "validate m.yml",
    "sync m.yml",
    "changes",
    "plan",
    "apply",
    "sql SELECT * FROM etl_control",
    "export -o x.yml",
    "history",
    "restore --to 1 --dry-run",
    "status",
    "config",
    "doctor",
    "tables plan",
    "ddl run --dry-run",
    "tables show",
    "ingest",
    "extract run --dry-run",
    "migrate --dry-run",
    "runs",
    "report -o r.html",
]


@pytest.fixture(scope="module")
def results() -> dict[str, str]:
    sys.path.insert(0, str(DOCS))
    try:
        from making.command_pages import RESULTS
    finally:
        sys.path.remove(str(DOCS))
    return dict(RESULTS)


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def test_the_keys_that_the_reference_names_are_printed(
    results: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.yml").write_text(METADATA)
    Path("load.py").write_text("print(1)\n")
    Path("landing").mkdir()
    for call in CALLS:
        printed = call_json(call)
        told = results[command_of(call, results)]
        if isinstance(printed, list) and not printed:
            continue
        named = set(re.findall(r'"([\w ]+)"', told)) - OFTEN_EMPTY
        assert named <= {*keys(printed)}, f"{call}: {sorted(named - {*keys(printed)})}"


OFTEN_EMPTY = {
    *("file", "line", "column", "path", "message", "hint"),  # of problems
    *("before", "after", "rows_affected", "run", "failed_tasks"),
    *("run_id", "job_name", "state", "started_at"),  # of runs
    "bytes",  # of a dry run
}
"""Keys inside of lists that have nothing in this small project, or only with an option."""


def call_json(call: str) -> Any:
    words = call.split(" ", 1) if call.startswith("sql") else call.split()
    out, err = io.StringIO(), io.StringIO()
    run(["--json", *words], Session(Output(as_json=True, out=out, err=err)))
    assert out.getvalue(), f"{call}: {err.getvalue()}"
    return json.loads(out.getvalue())


def command_of(call: str, results: dict[str, str]) -> str:
    words = call.split()
    return " ".join(words[:2]) if " ".join(words[:2]) in results else words[0]
