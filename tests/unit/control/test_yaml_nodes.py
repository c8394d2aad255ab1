"""YAML text becomes a value, or problems that name the line."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.control.yaml_nodes import declared_variables, read_document
from lakeflow_meta.findings import Finding


def read(text: str, **variables: Any) -> Any:
    return read_document("f.yml", text, variables)


def problems(text: str, **variables: Any) -> list[str]:
    return [str(p) for p in read(text, **variables).problems]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1\nb: 2\n", "f.yml:2:2: this is not YAML: did not find expected ',' or ']'"),
        ("a: 1\nb: 2\na: 3\n", "f.yml:3:1: a: key 'a' is given twice (keep one)"),
        (
            "a:\n  - b: 2024-01-01\n",
            "f.yml:2:8: a[0].b: unquoted date 2024-01-01 (write '2024-01-01' in quotes)",
        ),
        ("a: .nan\n", "f.yml:1:4: a: .nan has no JSON form (put it in quotes)"),
        ("a: !!python/object:os.system x\n", None),
        ("a: !secret x\n", "f.yml:1:4: a: tag !secret is not used here (write plain YAML)"),
        ("? [1, 2]\n: x\n", "f.yml:1:3: a key must be plain text"),
        ("\tx: 1\n", None),
        ("a: \x00\n", None),
    ],
)
def test_every_problem_names_file_line_column_and_remedy(text: str, problem: str | None) -> None:
    found = problems(text)
    assert len(found) == 1
    if problem is not None:
        assert found == [problem]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "\n\n"])
def test_an_empty_file_has_no_value_and_no_problem(text: str) -> None:
    assert (read(text).value, read(text).problems) == (None, ())


def test_several_problems_are_found_at_once() -> None:
    assert len(problems("a: 2024-01-01\nb: .inf\nb: 1\nc: ${var.x}\n")) == 4


def test_plain_yaml_means_what_it_means_everywhere() -> None:
    text = "i: 3\nf: 1.5\nb: true\nn: null\ns: 'x'\no: 0o7\nl: [1, two]\nm: {k: v}\nh: 0x1f\n"
    assert read(text).value == yaml.safe_load(text)


def test_anchors_and_merge_keys_work_and_own_keys_win() -> None:
    text = "base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\nmany: {<<: [{x: 9}, *b]}\n"
    assert read(text).value == yaml.safe_load(text)


def test_aliases_that_explode_are_a_problem() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    assert "nested too deeply" in problems("\n".join(lines))[0]


def test_deep_nesting_is_a_problem() -> None:
    assert len(problems("[" * 5000 + "]" * 5000)) == 1


def test_a_whole_scalar_reference_keeps_the_type() -> None:
    text = "a: ${var.n}\nb: '${var.flag}'\nc: ${var.list}\nd: x${var.n}y${var.flag}\n"
    found = read(text, n=3, flag=True, list=[1, 2])
    assert found.problems == ()
    assert found.value == {"a": 3, "b": True, "c": [1, 2], "d": "x3ytrue"}


def test_a_value_can_never_change_the_structure() -> None:
    nasty = 'x", "warehouse_id": "evil\n- a: {b'
    assert read("q: 'say ${var.v}'\n", v=nasty).value == {"q": f"say {nasty}"}


def test_defaults_escapes_and_missing_variables() -> None:
    text = "a: ${var.x:-fallback}\nb: ${var.x:-}\nc: $${var.x}\nd: $$ and ${not.ours}\n"
    found = read(text)
    assert found.problems == ()
    assert found.value == {
        "a": "fallback",
        "b": "",
        "c": "${var.x}",
        "d": "$$ and ${not.ours}",
    }
    assert problems("a: ${var.catalgo}\n", catalog="c") == [
        "f.yml:1:4: a: variable catalgo has no value (did you mean catalog?)"
    ]


def test_variables_also_work_in_keys() -> None:
    assert read("${var.env}_job: 1\n", env="dev").value == {"dev_job": 1}


def test_a_list_inside_text_is_a_problem() -> None:
    assert "is not a single value" in problems("a: x${var.l}\n", l=[1])[0]


def test_declared_variables_are_read_without_complaint() -> None:
    text = "variables:\n  a: 1\n  b: ${var.zzz}\nother: ${var.a}\n"
    assert declared_variables("f", text) == {"a": 1, "b": ""}
    assert declared_variables("f", "variables: [") == {}


def test_findings_get_the_line_of_the_nearest_part() -> None:
    document = read("modules:\n  - name: x\n    sources:\n      - {id: 1}\n")
    found = document.problem(Finding(("modules", 0, "sources", 0, "id"), "bad"))
    assert (found.line, found.column, found.path) == (4, 10, "modules[0].sources[0].id")
    assert document.problem(Finding(("modules", 0, "missing"), "bad")).line == 2
    assert document.problem(Finding(("modules", 7), "bad")).line == 1


@given(st.text(max_size=200))
def test_no_text_makes_it_crash(text: str) -> None:
    read(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(min_size=1, max_size=8), json_values, min_size=1, max_size=4))
def test_values_of_all_shapes_are_read_as_yaml_reads_them(value: dict[str, Any]) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    if "${" not in text:
        assert read(text).value == yaml.safe_load(text)
