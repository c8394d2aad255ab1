"""Many files in, one set of rows and all problems out."""

import json

import pyarrow as pa
import pytest

from lakeflow_meta.control.arrow import arrow_schema
from lakeflow_meta.control.declared import Declared, read_declared
from lakeflow_meta.control.declared_files import missing_files
from lakeflow_meta.control.manager import MetadataManager
from lakeflow_meta.control.rows import Source
from lakeflow_meta.control.tables import (
    DDL_SCRIPTS,
    EXTRACT_DETAILS,
    EXTRACTS,
    MODULES,
    SOURCES,
    TABLES,
)
from lakeflow_meta.errors import ConfigError, SpecError
from lakeflow_meta.jobs.job_settings import JobContext
from lakeflow_meta.testing import FakeStore

MODULE = "modules:\n  - module_name: {name}\n"


def read(scripts: dict[str, str] | None = None, /, **files: str) -> Declared:
    texts = {f"{name}.yml": text for name, text in files.items()}
    context = JobContext(control_table="main.lakeflow.etl_control")
    return read_declared(
        texts, scripts or {}, variables={}, context=context, file_exists=lambda p: p != "gone.py"
    )


def messages(declared: Declared) -> list[str]:
    return [f"{p.file}:{p.line}: {p.message}" for p in declared.problems]


def loaded(texts: dict[str, str]) -> Declared:
    """Read, and offered to a manager: written whole, or refused and nothing written."""
    context = JobContext(control_table="main.lakeflow.etl_control")
    found = read_declared(texts, {}, variables={}, context=context)
    store = FakeStore()
    manager = MetadataManager("main.lakeflow.etl_control", store=store)
    try:
        manager.load(found)
    except SpecError:
        assert found.problems
        assert not store.calls["merge"] + store.calls["append"] + store.calls["ensure"]
        return found
    assert not found.problems
    rows = {SOURCES: found.sources, MODULES: found.modules, TABLES: found.tables}
    rows |= {EXTRACTS: found.extracts, EXTRACT_DETAILS: found.extract_details}
    for layout, offered in (*rows.items(), (DDL_SCRIPTS, found.ddl_scripts)):
        pa.Table.from_pylist(list(offered), arrow_schema(layout))
        json.dumps(offered).encode()
    return found


def test_several_files_are_one_declaration() -> None:
    found = read(a=MODULE.format(name="x"), b=MODULE.format(name="y"))
    assert [row["module_name"] for row in found.modules] == ["x", "y"]
    assert found.problems == ()


def test_a_module_in_two_files_names_both() -> None:
    found = read(a=MODULE.format(name="x"), b="\n" + MODULE.format(name="X"))
    assert messages(found) == ["b.yml:3: module 'X' is already declared at a.yml:2"]


def test_variables_of_one_file_serve_all() -> None:
    found = read(a="variables: {name: x}\n", b=MODULE.format(name="${var.name}"))
    assert found.modules[0]["module_name"] == "x"


def test_the_caller_s_variables_win() -> None:
    texts = {"a": "variables: {name: x}\n" + MODULE.format(name="${var.name}")}
    context = JobContext(control_table="a.b.c")
    found = read_declared(texts, {}, variables={"name": "y"}, context=context)
    assert found.modules[0]["module_name"] == "y"


EXTRACT = """
  - extract_name: {name}
    source: {{table: main.gold.customers}}
    target: {{path: out}}
"""


def test_extracts_become_rows_of_two_tables() -> None:
    found = read(a="extracts:" + EXTRACT.format(name="customers"))
    assert found.problems == ()
    assert [row["extract_name"] for row in found.extracts] == ["customers"]
    assert [row["extract_container"] for row in found.extract_details] == ["out"]
    assert found.extracts[0]["is_active"] is None


def test_what_is_wrong_with_an_extract_is_told_at_its_line() -> None:
    text = "extracts:" + EXTRACT.format(name="a")
    wrong = text.replace("table: main", "tabel: main") + "    file: {format: csw}\n"
    assert messages(read(a=wrong)) == [
        "a.yml:3: unknown key 'tabel'",
        "a.yml:5: 'csw' is not a known word here",
    ]
    late = text + "    file: {delimiter: ';', quote: ';'}\n"
    assert messages(read(a=late)) == [
        "a.yml:5: quote and delimiter are the same character ';'",
    ]


def test_an_extract_in_two_files_names_both() -> None:
    one, two = ("extracts:" + EXTRACT.format(name=name) for name in ("x", "X"))
    assert messages(read(a=one, b=two)) == [
        "b.yml:2: extract 'X' is already declared at a.yml:2",
    ]


def test_two_extracts_that_would_write_one_file_are_a_problem() -> None:
    name = "    file_name: {name: c}\n"
    text = "extracts:" + EXTRACT.format(name="x") + name + EXTRACT.format(name="y") + name
    assert messages(read(a=text)) == ["a.yml:10: writes the same files as extract 'x': c.csv"]


def test_the_template_of_an_extract_must_be_there() -> None:
    text = "extracts:" + EXTRACT.format(name="x").replace(
        "table: main.gold.customers", "template: gone.sql.jinja"
    )
    context = JobContext(control_table="a.b.c")
    found = read_declared(
        {"a": text}, {}, variables={}, context=context, file_exists=lambda _path: False
    )
    assert messages(found) == ["a:3: there is no file gone.sql.jinja"]


TASK = """
modules:
  - module_name: m
    sources:
      - {{source_id: s, transformation_config: {{task_type: extract, {more}}}}}
"""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("extracts: [customers, customer]", "no extract 'customer' is declared"),
        ("group: dayly", "no group of extracts 'dayly' is declared"),
        ("", "no extract 's' is declared"),
    ],
)
def test_extracts_that_a_task_names_must_be_declared(more: str, message: str) -> None:
    extract = EXTRACT.format(name="customers") + "    group: daily\n"
    found = read(a="extracts:" + extract + TASK.format(more=more))
    assert [p.message for p in found.problems] == [message]
    assert found.problems[0].hint in ("did you mean customers?", "did you mean daily?", KNOWN)
    alone = read(a=TASK.format(more=more))
    assert {p.hint for p in alone.problems} == {"declare it under extracts:"}


KNOWN = "known: customers"


@pytest.mark.parametrize(
    "more",
    [
        "extracts: [customers]",
        "group: daily",
        "extracts: ['{{input}}']",
    ],
)
def test_extracts_of_any_file_are_known_to_tasks(more: str) -> None:
    extract = EXTRACT.format(name="customers") + "    group: daily\n"
    assert messages(read(a=TASK.format(more=more), b="extracts:" + extract)) == []


def test_the_task_of_a_loop_names_extracts_too() -> None:
    loop = "{task_type: for_each, inputs: [1], task: {task_type: extract, extracts: [x]}}"
    text = "modules:\n  - module_name: m\n    sources:\n      - source_id: s\n        {}\n"
    found = read(a=text.format(f"transformation_config: {loop}"))
    assert [p.path for p in found.problems] == [
        "modules[0].sources[0].transformation_config.task.extracts[0]"
    ]


def test_a_task_may_name_an_extract_that_cannot_be_read() -> None:
    broken = EXTRACT.format(name="customers") + "    group: daily\n    fil: {}\n"
    text = "extracts:" + broken + TASK.format(more="extracts: [customers]")
    assert messages(read(a=text)) == ["a.yml:6: unknown key 'fil'"]


def test_a_table_of_an_undeclared_module_is_a_problem() -> None:
    found = read(a="tables:\n  - {table: a.b.c, module: nope, columns: {x: int}}\n")
    assert messages(found) == ["a.yml:2: module 'nope' is not declared"]


def test_a_table_of_a_module_that_cannot_be_read_is_not_a_second_problem() -> None:
    text = "tables:\n  - {table: a.b.c, module: m, columns: {x: int}}\n"
    found = read(a=text + "modules:\n  - {module_name: m, sorces: []}\n")
    assert messages(found) == ["a.yml:4: unknown key 'sorces'"]


def test_tables_that_do_not_fit_together_are_problems_at_their_lines() -> None:
    found = loaded(
        {
            "a.yml": """
tables:
  - table: c.s.parent
    columns: {id: string}
    primary_key: id
  - table: c.s.child
    columns: {id: bigint}
    foreign_keys:
      - {columns: id, references: c.s.PARENT}
""",
            "b.yml": """
tables:
  - {table: c.s.v, view: SELECT * FROM c.s.w}
  - {table: c.s.w, view: SELECT * FROM c.s.v}
""",
        }
    )
    assert [(p.file, p.line, p.message) for p in found.problems] == [
        ("a.yml", 9, "types differ: id is bigint, c.s.parent.id is string"),
        ("b.yml", 3, "views go round: c.s.v → c.s.w → c.s.v"),
    ]


def test_files_that_tasks_name_must_be_there() -> None:
    text = MODULE.format(name="x") + (
        "    sources:\n"
        "      - {source_id: a, transformation_config: {notebook_path: gone.py}}\n"
        "      - {source_id: b, transformation_config: {notebook_path: here.py}}\n"
    )
    assert messages(read(a=text)) == ["a.yml:4: there is no file gone.py"]


def test_a_notebook_may_be_named_without_its_ending() -> None:
    def missing(key: str, path: str) -> list[str]:
        source = Source(module_name="m", source_id="s", transformation_config={key: path})
        found = missing_files(source, lambda each: each in {"a.ipynb", "b.py"})
        return [finding.message for finding in found]

    assert missing("notebook_path", "a") == missing("notebook_path", "b.py") == []
    assert missing("notebook_path", "c") == ["there is no file c"]
    assert missing("python_file", "b") == ["there is no file b"]


SCRIPT = "ddl_scripts:\n  - {{target: t, release: 001_r, file: {file}, body: SELECT 1}}\n"


def test_scripts_of_yaml_and_of_files_are_checked_together() -> None:
    files = {"t/001_r/001_a.sql": "SELECT 1", "t/001_r/b.sql": "SELECT 1"}
    found = read(files, a=SCRIPT.format(file="001_c.sql"))
    assert messages(found) == [
        "a.yml:2: scripts 't/001_r/001_a.sql' and 't/001_r/001_c.sql' have the same number",
        "ddl_scripts/t/001_r/b.sql:1: script 'b.sql' is not named <number>_<name>.sql or .py",
    ]
    twice = read({"t/001_r/001_a.sql": "SELECT 1"}, a=SCRIPT.format(file="001_a.sql"))
    assert messages(twice) == ["a.yml:2: script 't/001_r/001_a.sql' is also a file of ddl_scripts/"]


def test_a_module_without_its_scripts_is_a_problem_with_a_hint() -> None:
    files = {"nyc/001_r/001_a.sql": "SELECT 1"}
    found = read(files, a="modules:\n  - {module_name: m, ddl_targets: [nyx]}\n")
    assert [p.hint for p in found.problems] == ["did you mean nyc?"]


def test_all_problems_of_a_file_are_found_at_once() -> None:
    text = """
modules:
  - module_name: m
    sources:
      - {source_id: a, execution_order: first}
      - {source_id: b, source_typ: file}
      - source_id: c
        source_type: file
        source_config: {format: csw, path: x}
        target_config: {table: a.b}
"""
    more = "  - module_name: n\n    job_config: {max_concurent_runs: 2}\ntables: [{table: x}]\n"
    assert sorted({p.line for p in read(a=text + more).problems}) == [5, 6, 9, 10, 12, 13]


def test_a_path_that_cannot_be_looked_at_is_a_problem_at_its_line() -> None:
    def file_exists(path: str) -> bool:
        if path.startswith("/Volumes"):
            raise ConfigError(f"{path} names no volume")
        raise OSError(36, "File name too long")

    text = MODULE.format(name="x") + (
        "    sources:\n"
        "      - {source_id: a, transformation_config: {notebook_path: /Volumes/x}}\n"
        "      - {source_id: b, transformation_config: {notebook_path: long}}\n"
    )
    context = JobContext(control_table="a.b.c")
    found = read_declared({"a": text}, {}, variables={}, context=context, file_exists=file_exists)
    assert messages(found) == [
        "a:4: /Volumes/x names no volume",
        "a:5: long cannot be looked at: File name too long",
    ]


def test_a_file_that_many_tasks_name_is_looked_for_once() -> None:
    asked: list[str] = []
    tasks = "".join(
        f"{{source_id: s{i}, transformation_config: {{notebook_path: n}}}}, " for i in "123"
    )
    text = MODULE.format(name="x") + f"    sources: [{tasks}]\n"
    context = JobContext(control_table="a.b.c")
    read_declared(
        {"a": text},
        {},
        variables={},
        context=context,
        file_exists=lambda path: asked.append(path) is None,
    )
    assert asked == ["n"]


@pytest.mark.parametrize("order", ["2147483648", "-2147483649", "'1'", "1.0", "true"])
def test_an_order_that_the_column_cannot_hold_is_a_problem(order: str) -> None:
    text = f"    sources: [{{source_id: a, execution_order: {order}}}]\n"
    found = read(a=MODULE.format(name="x") + text)
    assert [p.path for p in found.problems] == ["modules[0].sources[0].execution_order"]
