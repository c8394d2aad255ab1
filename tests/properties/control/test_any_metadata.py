"""Whatever YAML there is, it becomes rows that can be recorded, or problems; nothing in between."""

import copy
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.control.test_declared import loaded, messages

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
    "extracts": [
        {
            "extract_name": "daily",
            "group": "g",
            "execution_order": 1,
            "source": {
                "datastore": "warehouse",
                "query": "SELECT :a",
                "parameters": {"a": 1},
                "columns": ["a"],
                "where": "a = 1",
            },
            "load": {"mode": "incremental", "watermark_column": "w", "initial_watermark": "0"},
            "target": {"path": "/Volumes/main/s/v/out"},
            "file_name": {
                "name": "n",
                "timestamp_format": "yyyyMMdd",
                "time_zone": "UTC",
                "period_end_day": 31,
            },
            "file": {
                "format": "csv",
                "delimiter": ";",
                "footer": "{rows}",
                "encoding": "utf-8",
                "max_rows_per_file": 10,
                "decimal_separator": ",",
            },
            "compression": {"type": "zip", "level": 1, "archive": {"name": "a"}},
            "trigger": {"extension": "done"},
            "validation": {"query": "SELECT 1", "min_rows": 1},
        }
    ],
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


def dumped(tree: Any) -> str:
    return str(yaml.dump(tree, Dumper=yaml.CSafeDumper, allow_unicode=True))


def test_the_sound_tree_is_sound() -> None:
    assert messages(loaded({"f.yml": dumped(SOUND)})) == []


@settings(max_examples=300)
@given(edits)
def test_metadata_that_is_nearly_right_is_rows_or_problems(
    edits: list[tuple[tuple[Any, ...], str, Any]],
) -> None:
    tree = copy.deepcopy(SOUND)
    for path, how, value in edits:
        changed(tree, path, how, copy.deepcopy(value))
    found = loaded({"f.yml": dumped(tree)})
    assert all(problem.file and problem.message for problem in found.problems)
    assert all(problem.line > 0 for problem in found.problems)


def lists_and_mappings(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=20), inner, max_size=6)


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from(sorted(SOUND)),
        st.recursive(odd, lists_and_mappings, max_leaves=20),
    )
)
def test_metadata_of_any_shape_is_rows_or_problems(tree: dict[str, Any]) -> None:
    loaded({"f.yml": dumped(tree)})


@given(st.text(max_size=100))
def test_any_text_is_problems(text: str) -> None:
    loaded({"f.yml": f"modules:\n  - module_name: {text}\n", "g.yml": text})
