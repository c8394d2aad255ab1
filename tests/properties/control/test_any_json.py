"""Any JSON value is read back from YAML as it was: as text, and in what is exported."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.control.test_export import exported, row

from lakeflow_meta.control import yaml_text as module
from lakeflow_meta.control.yaml_nodes import read_document
from lakeflow_meta.control.yaml_text import yaml_text

ODD = ["", " ", "a b", " a", "a ", "a\n", "\na", "a\n\n", "a\n b", " a\nb", "a \nb", "\t", "a\tb"]
ODD += [
    "'",
    '"',
    "# a",
    "a: b",
    "a #b",
    "- a",
    "?",
    "@a",
    "%a",
    "---",
    "...",
    "--- a",
    "|",
    "{",
    "*a",
]
ODD += ["no", "null", "~", "1", "1.0", "0x1", "1:30", "2024-01-01", "<<", "=", ".inf", "1e3"]
ODD += [
    "\0",
    "\x1b",
    "\x7f",
    "\x85",
    "\xa0",
    "\u2028",
    "\ufeff",
    "\ufffe",
    "é",
    "😀",
    "a\r\nb",
    "x " * 99,
]
texts = st.sampled_from(ODD) | st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
texts |= st.lists(st.sampled_from(ODD), max_size=4).map("".join)
values = st.recursive(
    texts
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("dumper", [yaml.CSafeDumper, yaml.SafeDumper])
@settings(max_examples=300)
@given(value=st.dictionaries(texts, values, min_size=1, max_size=3))
def test_any_json_value_is_read_back_as_it_was(dumper: Any, value: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_Dumper", dumper)
        text = yaml_text(value)
        assert yaml_text(value) == text
    assert yaml.safe_load(text) == value
    if "${" not in text:
        found = read_document("f", text, {})
        assert (found.value, found.problems) == (value, ())


exported_texts = st.text(
    alphabet=st.characters(exclude_categories=("Cs", "Cn")), max_size=40
) | st.sampled_from(["${var.x}", "$${var.x}", "a\nb\n", "a \nb", "'", "\x85", "\u2028", "\ufeff"])
objects = st.dictionaries(
    exported_texts,
    st.recursive(exported_texts | st.integers() | st.booleans() | st.none(), st.lists),
    max_size=4,
)


@given(objects.filter(bool))
def test_any_json_value_comes_back(value: dict[str, Any]) -> None:
    text = exported(row(source_config=json.dumps(value)))
    found = read_document("f", text, {})
    assert found.problems == ()
    assert found.value["modules"][0]["sources"][0]["source_config"] == value
