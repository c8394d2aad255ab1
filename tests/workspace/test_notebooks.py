"""Notebooks: how they are read into cells, and how the cells run."""

from __future__ import annotations

import io
import json
import re
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

from lakeflow_meta.backends.local.tasks.dbutils.secrets import SecretStore
from lakeflow_meta.backends.local.tasks.notebook_cells import (
    Cell,
    Language,
    UnreadableNotebookError,
    read_cells,
)
from lakeflow_meta.backends.local.tasks.notebook_files import NotebookFiles
from lakeflow_meta.backends.local.tasks.notebook_runner import Room, run_notebook
from lakeflow_meta.backends.local.tasks.redacted_output import RedactedOutput
from lakeflow_meta.backends.local.tasks.task_attempt import (
    StopSignal,
    TaskFailedError,
    TaskStoppedError,
)
from lakeflow_meta.backends.local.tasks.task_output import captured
from lakeflow_meta.backends.local.tasks.task_session import task_session
from lakeflow_meta.errors import NotFoundError
from lakeflow_meta.paths import PathMap

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
        ("n.py", "# Databricks notebook source\n# MAGIC %scala 1", "cell 1: %scala"),
        (
            "n.py",
            "# Databricks notebook source\n1\n# COMMAND ----------\n# MAGIC %r 1",
            "cell 2: %r",
        ),
        ("n.py", "# Databricks notebook source\n# MAGIC %run", "needs the path"),
        ("n.py", "# Databricks notebook source\n# MAGIC %run ./x y", r"\$name"),
        ("n.py", "# Databricks notebook source\n# MAGIC %run ./x\n# MAGIC y", "stands alone"),
        ("n.py", "# Databricks notebook source\n# MAGIC %fs mount a b", "%fs mount"),
        ("n.py", "# Databricks notebook source\n# MAGIC %fs cp a", "takes 2 arguments"),
        (
            "n.py",
            "# Databricks notebook source\n# MAGIC %fs head a ten",
            "number of bytes, not ten",
        ),
        ("n.py", "# Databricks notebook source\n# MAGIC %sh", "needs a script"),
        ("n.py", "# Databricks notebook source\n# MAGIC %pip freeze", "%pip freeze"),
        ("n.ipynb", ipynb(code("%pip install x\nimport x")), "cell of its own"),
        ("n.ipynb", ipynb(code("%pip install -r list.txt")), "install -r"),
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


class Context:
    """The little of a SparkContext that a task's session touches."""

    def addJobTag(self, _tag: str) -> None: ...  # noqa: N802 - pyspark's name
    def removeJobTag(self, _tag: str) -> None: ...  # noqa: N802 - pyspark's name


class Session:
    """Answers every statement with a table of its own text; remembers what was bound."""

    sparkContext = Context()  # noqa: N815 - pyspark's name

    def __init__(self) -> None:
        self.statements: list[tuple[str, dict[str, str]]] = []

    def sql(self, statement: str, args: dict[str, str] | None = None) -> Frame:
        self.statements.append((statement, args or {}))
        queries = statement.startswith("SELECT")
        return Frame(["said"], [(statement,)] * 30) if queries else Frame([], [])


class Values:
    """Task values in memory, of a task called ``me``."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Any] = {("before", "n"): 3}

    def put(self, key: str, value: Any) -> None:
        self.kept["me", key] = value

    def get(self, task_key: str, key: str) -> Any:
        if (task_key, key) not in self.kept:
            raise NotFoundError(f"no value {key}", code="NO_VALUE")
        return self.kept[task_key, key]


class Outcome:
    """A notebook that has run: its log, the value of its exit, what it asked Spark."""

    def __init__(self, tmp_path: Path, text: str, name: str = "n.py", **parameters: str) -> None:
        self.started = False
        self.session: Any = Session()
        self.values = Values()
        self.output = io.StringIO()
        (tmp_path / name).write_text(text)
        files = NotebookFiles(PathMap.of_home(tmp_path / ".lakeflow", tmp_path))
        stop = StopSignal()
        secrets = SecretStore(None, lambda: {"LAKEFLOW_META_SECRET_DB_PASSWORD": "hunter2"})
        log: Any = RedactedOutput(self.output, secrets.redacted)
        with captured(log), task_session(self._start, "tag", stop) as session:
            room = Room(files, session, log, self.values, secrets, self._shell)
            self.value = run_notebook(room, files.read(name), parameters, stop)

    def _start(self) -> Any:
        self.started = True
        return self.session

    def _shell(self, script: str, _stop: StopSignal) -> int:
        done = subprocess.run(
            ["/bin/bash", "-c", script], capture_output=True, text=True, check=False
        )
        self.output.write(done.stdout)
        return done.returncode

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
    outcome = Outcome(tmp_path, text)
    assert outcome.log.endswith("--- notebook exited: done\n")
    assert outcome.value == "done"
    assert Outcome(tmp_path, "1").value is None


def test_a_failing_cell_is_told_by_cell_line_and_cause_and_shows_only_the_users_frames(
    tmp_path: Path,
) -> None:
    (tmp_path / "divides.py").write_text("def by(n):\n    return 1 / n\n")
    with pytest.raises(TaskFailedError) as raised:
        Outcome(tmp_path, notebook("import divides", "\n\ndivides.by(0)"))
    assert str(raised.value) == "ZeroDivisionError at cell 2, n.py:6: division by zero"
    path = tmp_path / "n.py"
    assert raised.value.report == (
        "error: cell 2, n.py:6: ZeroDivisionError\n"
        "division by zero\n\n"
        "  4 | \n"
        "  5 | \n"
        "  6 | divides.by(0)\n"
        "    | ^^^^^^^^^^^^^\n\n"
        "Traceback (most recent call last):\n"
        f'  File "{path}", line 6, in <module>\n    divides.by(0)\n'
        f'  File "{tmp_path / "divides.py"}", line 2, in by\n    return 1 / n\n           ~~^~~\n'
    )


def test_what_an_error_was_raised_from_is_shown_below_it(tmp_path: Path) -> None:
    cell = "try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('no a') from e"
    with pytest.raises(TaskFailedError) as raised:
        Outcome(tmp_path, cell)
    assert str(raised.value) == "ValueError at cell 1, n.py:4: no a"
    assert "\ncaused by: KeyError: 'a'\n" in raised.value.report


def test_the_errors_of_a_group_are_shown_below_it(tmp_path: Path) -> None:
    with pytest.raises(TaskFailedError) as raised:
        Outcome(tmp_path, "raise ExceptionGroup('two', [ValueError('a'), KeyError('b')])")
    assert "\nin it: ValueError: a\n\nin it: KeyError: 'b'\n" in raised.value.report


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (
            "n.py",
            notebook("x = 1", "y = (\n"),
            "SyntaxError at cell 2, n.py:4: '(' was never closed",
        ),
        ("n.ipynb", ipynb(code("x = 1"), code("\n1 / 0")), "at cell 2, line 2: division"),
        ("n.py", "import sys\nsys.exit('no')", "SystemExit at cell 1, n.py:2: no"),
        ("n.py", "raise KeyboardInterrupt", "KeyboardInterrupt at cell 1, n.py:1"),
        ("n.py", "\nassert 1 > 2", "AssertionError at cell 1, n.py:2: assert 1 > 2"),
    ],
)
def test_the_place_of_an_error_is_told_in_every_form(
    tmp_path: Path, name: str, text: str, told: str
) -> None:
    with pytest.raises(TaskFailedError) as raised:
        Outcome(tmp_path, text, name)
    assert told in str(raised.value)


def test_a_notebook_that_asks_for_no_spark_starts_none(tmp_path: Path) -> None:
    outcome = Outcome(tmp_path, "x = 'spark' in globals()\ndisplay(x)")
    assert outcome.log.endswith("True\n")
    assert not outcome.started
    assert Outcome(tmp_path, "def f():\n    return spark\nf()").started


def test_the_last_line_of_a_cell_shows_its_value_unless_silenced(tmp_path: Path) -> None:
    outcome = Outcome(tmp_path, notebook("'a'\n'b'", "'c';", "d = 'e'", "None", "(7,\n 8)"))
    shown = [line for line in outcome.log.splitlines() if not line.startswith("---")]
    assert shown == ["'b'", "(7, 8)"]


# --------------------------------------------------------------------------- %run


def test_run_includes_another_notebook_with_values_for_its_widgets(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "names.py").write_text(
        notebook(
            "dbutils.widgets.text('who', 'nobody')",
            "def greet():\n    return f'hello {seen} {caller}'\nseen = dbutils.widgets.get('who')",
            "# MAGIC %run ./deeper",
        )
    )
    (tmp_path / "shared" / "deeper.sql").write_text(
        "-- Databricks notebook source\nSELECT :who, :day"
    )
    text = notebook(
        "caller = 'me'",
        '# MAGIC %run ./shared/names $who="x \\"y\\"" $other=1',
        "print(greet(), dbutils.widgets.get('who'))",
    )
    outcome = Outcome(tmp_path, text, who="given", day="mon")
    assert 'hello x "y" me given\n' in outcome.log
    assert outcome.session.statements == [("SELECT :who, :day", {"who": 'x "y"', "day": "mon"})]
    assert "--- names.py, cell 2 (python)\n" in outcome.log


def test_an_error_in_an_included_notebook_is_told_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(notebook("x = 1", "1 / 0"))
    with pytest.raises(TaskFailedError) as raised:
        Outcome(tmp_path, notebook("x = 2", "# MAGIC %run ./bad"))
    assert str(raised.value) == "ZeroDivisionError at cell 2, bad.py:4: division by zero"


def test_exit_in_an_included_notebook_ends_the_whole(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text(notebook("dbutils.notebook.exit('early')"))
    assert Outcome(tmp_path, notebook("# MAGIC %run ./ends", "1 / 0")).value == "early"


def test_what_is_wrong_with_what_a_notebook_runs_is_told_before_it_runs(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        notebook("# MAGIC %run ./b", "# MAGIC %pip install pytest no-such-package pytest==0.1")
    )
    (tmp_path / "b.py").write_text(notebook("1", "# MAGIC %run ./a", "# MAGIC %run ./plain"))
    (tmp_path / "plain.py").write_text("x = 1")
    files = NotebookFiles(PathMap.of_home(tmp_path / ".lakeflow", tmp_path))
    told = list(files.problems("a"))
    assert told[0] == "b.py, cell 2: %run goes round in a circle: a.py > b.py > a.py"
    assert "b.py, cell 3: %run ./plain: plain.py is a plain file" in told[1]
    assert "a.py, cell 2: package no-such-package is not installed" in told[2]
    assert told[3] == (
        f"a.py, cell 2: package pytest==0.1 is asked for, and {pytest.__version__} is installed"
    )
    assert len(told) == 4
    assert list(files.problems("nope")) == [f"there is no file nope ({tmp_path / 'nope'})"]


# --------------------------------------------------------------------------- other magics


def test_fs_sh_and_pip_cells_do_what_they_do_on_the_platform(tmp_path: Path) -> None:
    outcome = Outcome(
        tmp_path,
        notebook(
            "# MAGIC %fs mkdirs data",
            "# MAGIC %fs put data/a.txt 'some text'",
            "# MAGIC %fs head data/a.txt 4",
            "# MAGIC %fs ls data",
            "# MAGIC %fs rm -r data",
            "# MAGIC %sh\n# MAGIC echo one\n# MAGIC false\n# MAGIC echo two; exit 3",
            "# MAGIC %pip install pytest\n# MAGIC %pip install -q hypothesis # why",
            "dbutils.library.restartPython()",
        ),
    )
    assert "\n[Truncated to first 4 bytes]\nsome\n" in outcome.log
    assert "path " in outcome.log
    assert f"file:{tmp_path}/data/a.txt | a.txt | 9    | " in outcome.log
    assert "one\ntwo\n(exit code 3; %sh -e would fail)\n" in outcome.log
    assert "hypothesis" in outcome.log
    assert "(asked for: hypothesis)\n" in outcome.log
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("# MAGIC %sh -e\n# MAGIC false\n# MAGIC echo on", "cell 1, n.py:2: the shell ended with"),
        ("# MAGIC %fs ls nope", "cell 1, n.py:2: there is no file or directory nope"),
        ("# MAGIC %pip install no-such-package", "%pip installs nothing here"),
    ],
)
def test_a_magic_that_fails_ends_the_notebook(tmp_path: Path, cell: str, told: str) -> None:
    with pytest.raises(TaskFailedError, match=re.escape(told)):
        Outcome(tmp_path, notebook(cell))


# --------------------------------------------------------------------------- dbutils.notebook.run


def test_a_notebook_runs_another_with_variables_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "child.ipynb").write_text(
        ipynb(code("mine = dbutils.widgets.get('n')"), code("dbutils.notebook.exit(mine * 2)"))
    )
    outcome = Outcome(
        tmp_path,
        "mine = 'kept'\nback = dbutils.notebook.run('child', 60, {'n': 21})\nprint(mine, back)",
    )
    assert "--- notebook child.ipynb\n" in outcome.log
    assert outcome.log.endswith("kept 2121\n")


def test_a_notebook_may_handle_the_failure_of_another_and_else_shows_it(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(notebook("pass", "1 / 0"))
    call = "dbutils.notebook.run('./child', 60)"
    handled = Outcome(tmp_path, f"try:\n    {call}\nexcept Exception as e:\n    print('got', e)")
    assert "got ZeroDivisionError at cell 2, child.py:4: division by zero\n" in handled.log
    with pytest.raises(TaskFailedError) as raised:
        Outcome(tmp_path, call)
    assert str(raised.value).startswith("cell 1, n.py:1: ZeroDivisionError at cell 2, child.py:4")
    assert 'child.py", line 4, in <module>' in raised.value.report


def test_a_notebook_that_takes_too_long_is_stopped_and_its_caller_goes_on(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text("import time\nwhile True:\n    time.sleep(0.01)")
    text = "try:\n    dbutils.notebook.run('child', 0.2)\nexcept Exception as e:\n    print(e)"
    assert "notebook child.py timed out after 0.2 s\n" in Outcome(tmp_path, text).log


# --------------------------------------------------------------------------- the rest of dbutils


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("dbutils.widgets.get('nope')", "'nope'"),
        ("dbutils.fs.mount('a', '/b')", "dbutils.fs.mount does not work"),
        ("dbutils.credentials.help()", "dbutils.credentials does not work"),
        ("dbutils.widgets.dropdown('a', 'x', ['y'])", "'x' is none of its choices"),
        ("dbutils.secrets.get('db', 'nope')", "no secret 'nope' in scope 'db'"),
        ("dbutils.jobs.taskValues.get('before', 'm')", "no value m"),
    ],
)
def test_what_dbutils_cannot_do_here_fails_by_name(
    tmp_path: Path, statement: str, told: str
) -> None:
    with pytest.raises(TaskFailedError, match=told):
        Outcome(tmp_path, statement)


def test_task_values_go_from_task_to_task(tmp_path: Path) -> None:
    outcome = Outcome(
        tmp_path,
        "values = dbutils.jobs.taskValues\n"
        "values.set('m', {'a': [1]})\n"
        "print(values.get('before', 'n'), values.get(taskKey='x', key='y', default=None))",
    )
    assert outcome.log.endswith("3 None\n")
    assert outcome.values.kept["me", "m"] == {"a": [1]}


def test_a_secret_that_was_read_is_shown_nowhere(tmp_path: Path) -> None:
    read = "p = dbutils.secrets.get('db', 'password')\n"
    outcome = Outcome(tmp_path, read + "print('it is', p)\ndisplay([p])\ndbutils.notebook.exit(1)")
    assert "hunter2" not in outcome.log
    assert "it is [REDACTED]\n['[REDACTED]']\n" in outcome.log
    with pytest.raises(TaskFailedError) as raised:
        Outcome(tmp_path, read + "raise ValueError(f'cannot use {p}')")
    assert "hunter2" not in str(raised.value) + raised.value.report
    assert "cannot use [REDACTED]" in str(raised.value)
    with pytest.raises(TaskFailedError, match="REDACTED") as raised:
        Outcome(tmp_path, notebook(read, "dbutils.fs.ls(p)"))
    assert str(raised.value).startswith("cell 2, n.py:5: there is no file or directory [REDACTED]")


def test_help_names_what_there_is(tmp_path: Path) -> None:
    log = Outcome(tmp_path, "dbutils.help()\ndbutils.fs.help()\ndbutils.fs.help('cp')").log
    assert "fs -> Files of volumes, of the project and of this machine.\n" in log
    assert "rm(path, recurse=False) -> Remove a file" in log
    assert "dbutils.fs.cp(from_, to, recurse=False)\n\nCopy a file" in log


# --------------------------------------------------------------------------- modules and threads


def test_a_module_that_a_notebook_imports_is_read_again_after_it_was_changed(
    tmp_path: Path,
) -> None:
    module = tmp_path / "beside_this_notebook.py"
    module.write_text("VALUE = 7\n")
    text = "from beside_this_notebook import VALUE\ndisplay(VALUE)"
    assert Outcome(tmp_path, text).log.endswith("7\n")
    module.write_text("VALUE = 'changed'\n")
    assert Outcome(tmp_path, text).log.endswith("changed\n")


def test_modules_of_the_project_get_the_names_of_whichever_notebook_runs(tmp_path: Path) -> None:
    (tmp_path / "uses_the_runtime.py").write_text(
        "from databricks.sdk.runtime import dbutils, spark, sql\n"
        "from pyspark.dbutils import DBUtils\n"
        "def who():\n"
        "    sql('SELECT 1')\n"
        "    return dbutils.widgets.get('a') + DBUtils(spark).widgets.get('a')\n"
    )
    text = "import uses_the_runtime\nprint(uses_the_runtime.who())"
    for value in ("x", "y"):
        outcome = Outcome(tmp_path, text, a=value)
        assert outcome.log.endswith(f"{value}{value}\n")
        assert outcome.session.statements == [("SELECT 1", {})]


def test_threads_that_a_notebook_starts_print_to_its_log(tmp_path: Path) -> None:
    text = (
        "import threading\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "one = threading.Thread(target=print, args=('from a thread',))\n"
        "one.start(); one.join()\n"
        "with ThreadPoolExecutor(2) as pool:\n"
        "    list(pool.map(print, ['from a pool', 'from a pool']))\n"
    )
    log = Outcome(tmp_path, text).log
    assert log.count("from a thread\n") == 1
    assert log.count("from a pool\n") == 2


def test_a_stopped_notebook_runs_no_further_cell(tmp_path: Path) -> None:
    stop = StopSignal()
    stop.request()
    (tmp_path / "n.py").write_text("print('ran')")
    files = NotebookFiles(PathMap(tmp_path))
    unused: Any = None
    output = io.StringIO()
    room = Room(files, unused, output, Values(), SecretStore(None), unused)
    with pytest.raises(TaskStoppedError):
        run_notebook(room, files.read("n"), {}, stop)
    assert output.getvalue() == ""
