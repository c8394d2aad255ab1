"""What is exported loads back as exactly the rows that were recorded."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.control.export import export_yaml
from lakeflow_meta.control.yaml_nodes import read_document

texts = st.text(
    alphabet=st.characters(exclude_categories=("Cs", "Cn")), max_size=40
) | st.sampled_from(["${var.x}", "$${var.x}", "a\nb\n", "a \nb", "'", "\x85", "\u2028", "\ufeff"])
objects = st.dictionaries(
    texts, st.recursive(texts | st.integers() | st.booleans() | st.none(), st.lists), max_size=4
)


def row(**changes: Any) -> dict[str, Any]:
    base = {
        "module_name": "m",
        "source_id": "s",
        "source_type": "file",
        "execution_order": 1,
        "source_config": "{}",
        "target_config": "{}",
        "transformation_config": "{}",
        "is_active": True,
        "description": None,
    }
    return {**base, **changes}


def exported(*sources: dict[str, Any]) -> str:
    return export_yaml(sources=sources, modules=[], tables=[], scripts=[])


@given(objects.filter(bool))
def test_any_json_value_comes_back(value: dict[str, Any]) -> None:
    text = exported(row(source_config=json.dumps(value)))
    found = read_document("f", text, {})
    assert found.problems == ()
    assert found.value["modules"][0]["sources"][0]["source_config"] == value


def test_rows_in_any_order_give_the_same_bytes() -> None:
    rows = [row(source_id="b", execution_order=2), row(source_id="a", execution_order=2), row()]
    assert exported(*rows) == exported(*reversed(rows))


def test_a_soft_delete_is_written_and_active_is_not() -> None:
    assert "is_active: false" in exported(row(is_active=False))
    assert "is_active" not in exported(row(is_active=None), row(source_id="t"))
