"""Notebooks: how they are read into cells, and how the cells run."""

from __future__ import annotations

import io
import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from lakeflow_meta.backends.local.jobs.notebook_cells import (
    Cell,
    Language,
    UnreadableNotebookError,
    read_cells,
)
from lakeflow_meta.backends.local.jobs.notebook_runner import run_notebook
from lakeflow_meta.backends.local.jobs.task_attempt import (
    StopSignal,
    TaskFailedError,
    TaskStoppedError,
)

SOURCE = """\
# Databricks notebook source
# MAGIC %md
# MAGIC # Title
# MAGIC text

# COMMAND ----------

x = 1
y = 2

# COMMAND ----------

# DBTITLE 1,Count
# MAGIC %sql
# MAGIC SELECT 1;
# MAGIC
# MAGIC SELECT ':x'

# COMMAND ----------

# MAGIC %python z = 3
"""


def kinds(cells: tuple[Cell, ...]) -> list[tuple[str, str]]:
    return [(cell.language, cell.source.strip()) for cell in cells]


def test_a_python_source_notebook_is_read_cell_by_cell() -> None:
    assert kinds(read_cells("n.py", SOURCE)) == [
        ("md", "# Title\ntext"),
        ("python", "x = 1\ny = 2"),
        ("sql", "SELECT 1;\n\nSELECT ':x'"),
        ("python", "z = 3"),
    ]


def test_a_cell_knows_its_line_in_the_file() -> None:
    lines = SOURCE.splitlines()
    code = read_cells("n.py", SOURCE)[1]
    first = code.source.splitlines().index("x = 1")
    assert lines[code.line + first - 1] == "x = 1"


def test_a_python_file_without_the_header_is_one_cell() -> None:
    text = "a = 1\n# COMMAND ----------\n"
    assert read_cells("n.py", text) == (Cell(Language.PYTHON, text, 1, 1),)


def test_a_sql_source_notebook_is_read_cell_by_cell() -> None:
    text = """\
    -- Databricks notebook source
    SELECT 1
    -- COMMAND ----------
    -- MAGIC %python
    -- MAGIC print(1)
    """
    assert kinds(read_cells("n.sql", textwrap.dedent(text))) == [
        ("sql", "SELECT 1"),
        ("python", "print(1)"),
    ]


def ipynb(*cells: dict[str, Any], **metadata: Any) -> str:
    return json.dumps({"cells": list(cells), "metadata": metadata, "nbformat": 4})


def code(source: str | list[str]) -> dict[str, Any]:
    return {"cell_type": "code", "source": source}


def test_an_ipynb_is_read_cell_by_cell() -> None:
    text = ipynb(
        {"cell_type": "markdown", "source": ["# T"]},
        code(["a = 1\n", "b = 2"]),
        code("%sql\nSELECT 1"),
        code("%%sql SELECT 2"),
        language_info={"name": "python"},
    )
    assert kinds(read_cells("n.ipynb", text)) == [
        ("md", "# T"),
        ("python", "a = 1\nb = 2"),
        ("sql", "SELECT 1"),
        ("sql", "SELECT 2"),
    ]


def test_the_language_of_an_ipynb_may_be_sql() -> None:
    metadata = {"application/vnd.databricks.v1+notebook": {"language": "sql"}}
    assert kinds(read_cells("n.ipynb", ipynb(code("SELECT 1"), **metadata))) == [
        ("sql", "SELECT 1")
    ]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("n.py", "# Databricks notebook source\n# MAGIC %sh ls", "cell 1: %sh"),
        ("n.py", "# Databricks notebook source\n# MAGIC %run ./x", "%run"),
        ("n.py", "# Databricks notebook source\nx=1\n# MAGIC %md t", "mixes"),
        ("n.ipynb", "{", "no .ipynb"),
        ("n.ipynb", "[]", "no .ipynb"),
        ("n.ipynb", ipynb(language_info={"name": "scala"}), "scala"),
        ("n.scala", "", ".ipynb"),
    ],
)
def test_what_cannot_run_here_is_told_by_name(name: str, text: str, told: str) -> None:
    with pytest.raises(UnreadableNotebookError, match=told):
        read_cells(name, text)


# --------------------------------------------------------------------------- running


class Frame:
    """The little of a DataFrame that the runner touches."""

    def __init__(self, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
        self.columns = columns
        self.schema = columns
        self._rows = rows

    def take(self, count: int) -> list[tuple[Any, ...]]:
        return self._rows[:count]


class Session:
    """Answers every statement with a table of its own text; remembers what was bound."""

    def __init__(self) -> None:
        self.statements: list[tuple[str, dict[str, str]]] = []

    def sql(self, statement: str, args: dict[str, str] | None = None) -> Frame:
        self.statements.append((statement, args or {}))
        queries = statement.startswith("SELECT")
        return Frame(["said"], [(statement,)] * 30) if queries else Frame([], [])


class Outcome:
    def __init__(self, tmp_path: Path, text: str, name: str = "n.py", **parameters: str) -> None:
        self.session: Any = Session()
        self.output = io.StringIO()
        path = tmp_path / name
        path.write_text(text)
        stop = StopSignal()
        cells = read_cells(name, text)
        run_notebook(path, cells, parameters, self.session, self.output, stop)

    @property
    def log(self) -> str:
        return self.output.getvalue()


def notebook(*cells: str) -> str:
    return "\n# COMMAND ----------\n".join(
        ["# Databricks notebook source\n" + cells[0], *cells[1:]]
    )


def test_cells_share_one_namespace_with_spark_and_the_parameters(tmp_path: Path) -> None:
    outcome = Outcome(
        tmp_path,
        notebook(
            "dbutils.widgets.text('area', 'north')\ndbutils.widgets.text('day', 'sunday')",
            "day = dbutils.widgets.get('day')",
            "display(spark.sql(f'SELECT {day}'))\ndisplay(dbutils.widgets.getAll())",
        ),
        day="monday",
    )
    assert outcome.session.statements == [("SELECT monday", {})]
    assert "said\n-------------\nSELECT monday\n" in outcome.log
    assert "(the first 20 rows)" in outcome.log
    assert "{'area': 'north', 'day': 'monday'}" in outcome.log


def test_a_sql_cell_runs_each_statement_with_the_parameters_it_names(tmp_path: Path) -> None:
    text = notebook(
        "dbutils.widgets.dropdown('b', '2', ['1', '2'])",
        "# MAGIC %sql\n# MAGIC CREATE TABLE a;\n# MAGIC SELECT :a, ':b', x:b, :`c`; SELECT :b",
    )
    outcome = Outcome(tmp_path, text, a="1", c="3")
    assert outcome.session.statements == [
        ("CREATE TABLE a", {}),
        ("SELECT :a, ':b', x:b, :`c`", {"a": "1"}),
        ("SELECT :b", {"b": "2"}),
    ]
    assert "-- [1/3] CREATE TABLE a\n" in outcome.log
    assert outcome.log.count("said") == 1


def test_exit_ends_the_notebook_with_success(tmp_path: Path) -> None:
    text = notebook(
        "try:\n    dbutils.notebook.exit('done')\nexcept Exception:\n    raise ValueError", "1 / 0"
    )
    assert Outcome(tmp_path, text).log.endswith("--- notebook exited: done\n")


def test_a_traceback_shows_the_line_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        Outcome(tmp_path, notebook("x = 1", "\n\n1 / 0"))
    last = raised.traceback[-1]
    assert (str(last.path), last.lineno + 1) == (str(tmp_path / "n.py"), 6)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("dbutils.widgets.get('nope')", "'nope'"),
        ("dbutils.fs.ls('/')", "dbutils.fs"),
        ("dbutils.notebook.run('x', 60)", "dbutils.notebook.run"),
        ("dbutils.widgets.dropdown('a', 'x', ['y'])", "'x' is none of its choices"),
    ],
)
def test_what_dbutils_cannot_do_here_fails_by_name(
    tmp_path: Path, statement: str, told: str
) -> None:
    with pytest.raises(TaskFailedError, match=told):
        Outcome(tmp_path, statement)


def test_a_module_beside_the_notebook_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "beside_this_notebook.py").write_text("VALUE = 7\n")
    outcome = Outcome(tmp_path, "from beside_this_notebook import VALUE\ndisplay(VALUE)")
    assert outcome.log.endswith("7\n")


def test_a_stopped_notebook_runs_no_further_cell(tmp_path: Path) -> None:
    stop = StopSignal()
    stop.request()
    session: Any = Session()
    with pytest.raises(TaskStoppedError):
        run_notebook(tmp_path, read_cells("n.py", "1"), {}, session, io.StringIO(), stop)
