"""Many files in, one set of rows and all problems out."""

import pytest

from lakeflow_meta.control.declared import Declared, read_declared
from lakeflow_meta.jobs.job_settings import JobContext

MODULE = "modules:\n  - module_name: {name}\n"


def read(scripts: dict[str, str] | None = None, /, **files: str) -> Declared:
    texts = {f"{name}.yml": text for name, text in files.items()}
    context = JobContext(control_table="main.lakeflow.etl_control")
    return read_declared(
        texts, scripts or {}, variables={}, context=context, file_exists=lambda p: p != "gone.py"
    )


def messages(declared: Declared) -> list[str]:
    return [f"{p.file}:{p.line}: {p.message}" for p in declared.problems]


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


@pytest.mark.parametrize("key", ["extracts"])
def test_what_this_version_cannot_read_is_refused_by_name(key: str) -> None:
    found = read(a=f"{key}: []\n" + MODULE.format(name="x"))
    assert messages(found) == [f"a.yml:1: {key}: is not read by this version"]


def test_a_table_of_an_undeclared_module_is_a_problem() -> None:
    found = read(a="tables:\n  - {table: a.b.c, module: nope, columns: {x: int}}\n")
    assert messages(found) == ["a.yml:2: module 'nope' is not declared"]


def test_a_table_of_a_module_that_cannot_be_read_is_not_a_second_problem() -> None:
    text = "tables:\n  - {table: a.b.c, module: m, columns: {x: int}}\n"
    found = read(a=text + "modules:\n  - {module_name: m, sorces: []}\n")
    assert messages(found) == ["a.yml:4: unknown key 'sorces'"]


def test_files_that_tasks_name_must_be_there() -> None:
    text = MODULE.format(name="x") + (
        "    sources:\n"
        "      - {source_id: a, transformation_config: {notebook_path: gone.py}}\n"
        "      - {source_id: b, transformation_config: {notebook_path: here.py}}\n"
    )
    assert messages(read(a=text)) == ["a.yml:4: there is no file gone.py"]


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
