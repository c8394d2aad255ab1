"""JSON values as YAML text, read back as they were; with libyaml and without it."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_text_is_written_for_people() -> None:
    value = {"sql": "SELECT 1\nFROM t\n", "ids": ["1", 2, None, True, 1.5], "none": {}, "é": []}
    assert yaml_text(value) == (
        "sql: |\n  SELECT 1\n  FROM t\nids:\n- '1'\n- 2\n- null\n- true\n- 1.5\nnone: {}\né: []\n"
    )


def test_what_json_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="set is no JSON value"):
        yaml_text({"a": {1}})
