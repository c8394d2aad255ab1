"""YAML text becomes a value, or problems that name the line."""

import tracemalloc
from typing import Any

import pytest
import yaml

from lakeflow_meta.control import yaml_builder, yaml_scalars
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


def exploding(first: str, again: str, levels: int = 40) -> str:
    """Each level repeats the one before ten times: 10 to the 40th values in a few lines."""
    lines = [f"a0: &a0 {first}"]
    for level in range(1, levels):
        items = [again.format(i=i, alias=f"*a{level - 1}") for i in range(10)]
        opening, closing = ("{", "}") if ":" in again else ("[", "]")
        lines.append(f"a{level}: &a{level} {opening}{', '.join(items)}{closing}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        exploding("[x, x, x]", "{alias}"),
        exploding("[]", "{alias}"),
        exploding("{k: v}", "k{i}: {alias}"),
        exploding("{k: v}", "<<: {alias}"),
        f"a: &a '{'x' * 2_000_000}'\nb: [{', '.join(['*a'] * 100_000)}]\n",
        "# padding\n" * 200_000 + exploding("[x, x, x]", "{alias}"),
    ],
    ids=["lists", "empty lists", "mappings", "merge keys", "one long text", "in a large file"],
)
def test_aliases_that_explode_are_refused_before_they_take_memory(text: str) -> None:
    tracemalloc.start()
    try:
        found = read(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [p.message for p in found.problems] == ["aliases and variables repeat too much"]
    assert found.value is None
    assert peak < 50_000_000


def test_a_variable_is_not_repeated_without_end_either() -> None:
    text = f"b: [{', '.join(['${var.a}'] * 100_000)}]\n".replace("${var.a}", "'${var.a}'")
    for value in (["x" * 100] * 1000, {"k": "x" * 100_000}, "x" * 100_000):
        assert [p.message for p in read(text, a=value).problems] == [
            "aliases and variables repeat too much"
        ]


def test_what_ordinary_files_repeat_is_read() -> None:
    modules = "".join(f"m{i}: {{use: *base, more: [*base]}}\n" for i in range(5000))
    found = read(f"base: &base {{cluster: {{nodes: 2, conf: [a, b, c]}}}}\n{modules}")
    assert found.problems == ()
    assert found.value["m4999"]["more"] == [found.value["base"]]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
@pytest.mark.parametrize("levels", [101, 10_000, 1_000_000])
def test_deep_nesting_is_a_problem_with_its_place(opening: str, levels: int) -> None:
    (problem,) = read(opening * levels).problems
    assert (problem.line, problem.column) == (1, 100 * len(opening) + 1)
    assert problem.message == "the file is nested more than 100 levels deep here"
    assert declared_variables("f", f"variables: {opening * levels}") == {}


def test_nesting_by_aliases_is_nesting() -> None:
    lines = ["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 99))]
    assert read("\n".join(lines)).problems == ()
    (problem,) = read("\n".join([*lines, "deeper: [*a98]"])).problems
    assert (problem.line, problem.column) == (100, 10)


def test_a_hundred_levels_are_read_and_found_again() -> None:
    found = read("[" * 100 + "]" * 100)
    assert found.problems == ()
    assert found.problem(Finding((0,) * 99, "bad")).column == 100


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: *b\n", "f.yml:1:4: a: alias *b stands for nothing that was written before it"),
        ("a: &a [*a]\n", "f.yml:1:8: a[0]: alias *a stands for nothing that was written before it"),
        ("a: &x 1\nb: &x 2\n", "f.yml:2:4: b: anchor &x is given twice (rename one)"),
        ("{[1]: x, b: 2024-01-01}", "f.yml:1:2: a key must be plain text"),
        ("a: !!set {x}\n", "f.yml:1:4: a: tag tag:yaml.org,2002:set is not used here"),
        ("a: !!bool perhaps\n", "f.yml:1:4: a: 'perhaps' cannot be read (put it in quotes)"),
        ("a: !!int ''\n", "f.yml:1:4: a: '' cannot be read (put it in quotes)"),
        ("a: " + "9" * 5000, "f.yml:1:4: a: '9999"),
        ("a: 0x" + "f" * 5000, "f.yml:1:4: a: 0xffff"),
        ("a: 12:30\n", "f.yml:1:4: a: unquoted time 12:30 would be the number 750"),
        ("<<: [1]\n", "f.yml:1:5: << takes a mapping or a list of mappings"),
        ("a: 1\n--- \nb: 2\n", "f.yml:2:1: this is not YAML: expected a single document"),
        ("a: '\ud800'\n", "f.yml:1:1: this is not YAML: 'utf-8' codec can't encode"),
    ],
)
def test_strange_yaml_is_a_problem_never_a_crash(text: str, problem: str) -> None:
    assert problems(text)[0].startswith(problem)


def test_what_came_before_broken_yaml_is_told_as_well() -> None:
    assert len(problems("a: 1\na: 2\nb: [\n")) == 2


def test_reading_keeps_nothing_of_a_file() -> None:
    read("a: 1\nb: true\nc: 1.5\nd: !!int x\n")
    assert not yaml_scalars._constructor.constructed_objects
    assert not yaml_scalars._constructor.recursive_objects


def test_aliases_serve_as_keys_and_as_values() -> None:
    text = "{&k a: &n 1, b: *k, *n : *n, c: &d {x: 1}, d: {<<: *d, y: 2}}"
    found = read(text)
    assert found.problems == ()
    assert found.value == {"a": 1, "b": "a", "1": 1, "c": {"x": 1}, "d": {"x": 1, "y": 2}}


def test_a_reader_without_libyaml_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: &b {x: [1, 2024-01-01]}\nc: {<<: *b, y: !x 1}\nd: ${var.no}\nd: 1\n"
    by_libyaml = read(text)
    monkeypatch.setattr(yaml_builder, "Loader", yaml.SafeLoader)
    assert read(text) == by_libyaml
    assert len(by_libyaml.problems) == 4
    assert len(problems("[" * 10_000)) == 1


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
    assert declared_variables("f", "variables") == {}


def test_declared_variables_may_stand_after_anchors_and_before_what_is_broken() -> None:
    text = "common: &c {x: 1}\nvariables: {<<: *c, y: 2}\nmodules: [\n"
    assert declared_variables("f", text) == {"x": 1, "y": 2}


def test_findings_get_the_line_of_the_nearest_part() -> None:
    document = read("modules:\n  - name: x\n    sources:\n      - {id: 1}\n")
    found = document.problem(Finding(("modules", 0, "sources", 0, "id"), "bad"))
    assert (found.line, found.column, found.path) == (4, 10, "modules[0].sources[0].id")
    assert document.problem(Finding(("modules", 0, "missing"), "bad")).line == 2
    assert document.problem(Finding(("modules", 7), "bad")).line == 1
