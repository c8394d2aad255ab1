"""Many files in, one set of rows and all problems out."""

import copy
import json
from typing import Any

import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeflow_meta.control.arrow import arrow_schema
from lakeflow_meta.control.declared import Declared, read_declared
from lakeflow_meta.control.manager import MetadataManager
from lakeflow_meta.control.tables import DDL_SCRIPTS, MODULES, SOURCES, TABLES
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


# --------------------------------------------------------------------------- anything at all


SOUND: dict[str, Any] = {
    "variables": {"catalog": "main"},
    "modules": [
        {
            "module_name": "sales",
            "description": "x",
            "job_config": {
                "schedule": {"quartz_cron_expression": "0 0 5 * * ?", "timezone_id": "UTC"},
                "tags": {"a": "b"},
                "parameters": [{"name": "p", "default": "1"}],
            },
            "ddl_targets": ["t"],
            "sources": [
                {
                    "source_id": "a",
                    "source_type": "file",
                    "execution_order": 1,
                    "source_config": {"path": "/in", "format": "csv", "options": {"header": True}},
                    "target_config": {"table": "${var.catalog}.b.c"},
                },
                {
                    "source_id": "b",
                    "transformation_config": {
                        "task_type": "sql_query",
                        "sql_task": {"sql_query": "SELECT 1", "parameters": {"p": 1}},
                        "depends_on": ["a"],
                        "max_retries": 1,
                    },
                },
                {
                    "source_id": "c",
                    "transformation_config": {
                        "task_type": "for_each",
                        "inputs": [1, 2],
                        "task": {"task_type": "notebook", "file_path": "n.py"},
                    },
                },
            ],
        }
    ],
    "tables": [
        {
            "table": "main.b.c",
            "module": "sales",
            "columns": [{"name": "id", "type": "decimal(10,2)", "nullable": False}],
            "primary_key": ["id"],
        }
    ],
    "ddl_scripts": [{"target": "t", "release": "001_r", "file": "001_a.sql", "body": "SELECT 1"}],
    "jobs": {
        "j": {
            "name": "J",
            "tasks": [
                {"task_key": "k", "task_type": "sql_query", "sql_query": "SELECT 1"},
                {"task_key": "l", "notebook_task": {"notebook_path": "n"}, "depends_on": ["k"]},
            ],
        }
    },
    "resources": {"jobs": {"r": {"tasks": [{"task_key": "k", "run_job_task": {"job_id": 1}}]}}},
}

TEXTS = ("", "a", "b", "k", "sales", "true", "2024-01-01", "\0", "\u2028", "é😀", "x" * 300)
WORDS = ("../..", "`a`.b.c", "decimal(99,1)", "array<", "notebook", "file")
VARIABLES = ("${var.catalog}", "${var.none}", "${bundle.target}", "$${var.x}")
NUMBERS = (None, True, -1, 0, 2**31, 2**70, 1.5)
HELD = (
    *([], {}, [[]], {"": 0}, ["a", 1, None], {"a": {"b": [1]}}),
    *({"task_key": "k"}, {"task_type": "notebook"}, {"name": "x", "type": "int"}),
)
odd = st.sampled_from([*TEXTS, *WORDS, *VARIABLES, *NUMBERS, *HELD])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a tree, the root left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found: list[tuple[Any, ...]] = []
    for key, inner in items:
        found += [
            (*path, key),
            *(places(inner, (*path, key)) if isinstance(inner, dict | list) else []),
        ]
    return found


def changed(tree: Any, path: tuple[Any, ...], how: str, value: Any) -> None:
    """Change one place, if the tree still has it."""
    for part in path[:-1]:
        try:
            tree = tree[part]
        except (KeyError, IndexError, TypeError):
            return
    last = path[-1]
    if isinstance(tree, dict) and last in tree:
        held = tree.pop(last)
        if how != "drop":
            tree[last if how == "set" else str(value)] = value if how == "set" else held
    elif isinstance(tree, list) and isinstance(last, int) and last < len(tree):
        tree[last : last + 1] = {"drop": [], "set": [value], "rename": [tree[last], value]}[how]


edits = st.lists(
    st.tuples(
        st.sampled_from(places(SOUND)), st.sampled_from(["set", "set", "drop", "rename"]), odd
    ),
    max_size=4,
)


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
    for layout, offered in (*rows.items(), (DDL_SCRIPTS, found.ddl_scripts)):
        pa.Table.from_pylist(list(offered), arrow_schema(layout))
        json.dumps(offered).encode()
    return found


def test_the_sound_tree_is_sound() -> None:
    assert messages(loaded({"f.yml": yaml.safe_dump(SOUND)})) == []


@settings(max_examples=300)
@given(edits)
def test_metadata_that_is_nearly_right_is_rows_or_problems(
    edits: list[tuple[tuple[Any, ...], str, Any]],
) -> None:
    tree = copy.deepcopy(SOUND)
    for path, how, value in edits:
        changed(tree, path, how, copy.deepcopy(value))
    found = loaded({"f.yml": yaml.safe_dump(tree, allow_unicode=True)})
    assert all(problem.file and problem.message for problem in found.problems)
    assert all(problem.line > 0 for problem in found.problems)


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from(sorted(SOUND)),
        st.recursive(odd, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
    )
)
def test_metadata_of_any_shape_is_rows_or_problems(tree: dict[str, Any]) -> None:
    loaded({"f.yml": yaml.safe_dump(tree, allow_unicode=True)})


@given(st.text(max_size=100))
def test_any_text_is_problems(text: str) -> None:
    loaded({"f.yml": f"modules:\n  - module_name: {text}\n", "g.yml": text})
