"""Whatever text there is, it is a value, the one that YAML says, or problems."""

import json
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeflow_meta.control.yaml_nodes import declared_variables, read_document
from lakeflow_meta.findings import Finding


def read(text: str, **variables: Any) -> Any:
    return read_document("f.yml", text, variables)


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


ODD = r"""
    a 1 -0 1.5 0x1F 0o7 1_0 yes ~ .inf 2024-01-01 12:30 1e999 !!int !secret = << *a *b
    ${var.v} x${var.l} '${var.l}' $${v} "\0" "\ud800" é😀 '' 0xffffffffffffffffffffffffffffffffff
"""
scalars = st.sampled_from(ODD.split()) | st.text(max_size=6).map(json.dumps)
keys = st.sampled_from(["a", "b", "1", "<<", "*a", "? [x]", "'<<'", "${var.v}", "&k k", "é"])


def flow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    lists = st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
    pairs = st.lists(st.tuples(keys, inner), max_size=3)
    mappings = pairs.map(lambda held: "{" + ", ".join(f"{k} : {v}" for k, v in held) + "}")
    prefix = st.sampled_from(["", "&a ", "&b ", "!!map ", "!!seq ", "!!set ", "!mine "])
    return st.tuples(prefix, lists | mappings).map("".join)


@settings(max_examples=500)
@given(st.lists(st.recursive(scalars, flow, max_leaves=12), min_size=1, max_size=4))
def test_yaml_of_any_shape_is_a_value_or_problems(parts: list[str]) -> None:
    text = "".join(f"k{i}: {part}\n" for i, part in enumerate(parts))
    found = read(text, v="w", l=[1])
    declared_variables("f", text.replace("k0:", "variables:"))
    if found.value is not None:
        found.problem(Finding(("k0", 0, "a", 1), "anything"))
        json.dumps(found.value)


@st.composite
def sound_yaml(draw: st.DrawFn) -> str:
    """YAML in which every alias is known, every key is there once, and every value is JSON's."""
    anchors: dict[str, bool] = {}  # name, and whether it is a mapping

    def node(depth: int) -> str:
        kinds = ["scalar", "list", "mapping", "mapping"] if depth else ["scalar"]
        kind = draw(st.sampled_from([*kinds, "alias"] if anchors else kinds))
        if kind == "alias":
            return f"*{draw(st.sampled_from(sorted(anchors)))}"
        name = f"n{draw(st.integers(0, 10**9))}" if draw(st.booleans()) else ""
        text = {"scalar": scalar, "list": sequence, "mapping": mapping}[kind](depth)
        if name and name not in anchors:
            anchors[name] = kind == "mapping"
            return f"&{name} {text}"
        return text

    def scalar(_depth: int) -> str:
        words = st.sampled_from(["x", "1", "-7", "1.5", "0x1F", "yes", "~", "''", "!!str 1", "é"])
        return draw(words | st.text("ab:#'\\n", max_size=4).map(json.dumps))

    def sequence(depth: int) -> str:
        return f"[{', '.join(node(depth - 1) for _ in range(draw(st.integers(0, 3))))}]"

    def mapping(depth: int) -> str:
        mappings = sorted(name for name, is_mapping in anchors.items() if is_mapping)
        own = draw(st.lists(st.sampled_from("abc"), max_size=3, unique=True))
        members = [f"{key} : {node(depth - 1)}" for key in own]
        if mappings and draw(st.booleans()):
            merged = draw(st.lists(st.sampled_from(mappings), min_size=1, max_size=2))
            at = draw(st.integers(0, len(members)))
            members.insert(at, f"<< : [{', '.join(f'*{name}' for name in merged)}]")
        return "{" + ", ".join(members) + "}"

    return "\n".join(f"k{i}: {node(3)}" for i in range(draw(st.integers(1, 4))))


@settings(max_examples=300)
@given(sound_yaml())
def test_sound_yaml_means_what_it_means_everywhere(text: str) -> None:
    found = read(text)
    assert found.problems == ()
    assert found.value == yaml.safe_load(text)
