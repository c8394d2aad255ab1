"""JSON values as YAML text, read back as they were; with libyaml and without it."""

import pytest

from lakeflow_meta.control.yaml_text import yaml_text


def test_text_is_written_for_people() -> None:
    value = {"sql": "SELECT 1\nFROM t\n", "ids": ["1", 2, None, True, 1.5], "none": {}, "é": []}
    assert yaml_text(value) == (
        "sql: |\n  SELECT 1\n  FROM t\nids:\n- '1'\n- 2\n- null\n- true\n- 1.5\nnone: {}\né: []\n"
    )


def test_what_json_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="set is no JSON value"):
        yaml_text({"a": {1}})
