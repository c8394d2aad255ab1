"""What is exported loads back as exactly the rows that were recorded."""

from typing import Any

from lakeflow_meta.control.export import export_yaml


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


def test_rows_in_any_order_give_the_same_bytes() -> None:
    rows = [row(source_id="b", execution_order=2), row(source_id="a", execution_order=2), row()]
    assert exported(*rows) == exported(*reversed(rows))


def test_a_soft_delete_is_written_and_active_is_not() -> None:
    assert "is_active: false" in exported(row(is_active=False))
    assert "is_active" not in exported(row(is_active=None), row(source_id="t"))
