"""Saved queries, which is how inline SQL of a task is kept."""

from __future__ import annotations

from typing import Any

import pytest

from lakeflow_meta.errors import NotFoundError

Bench = Any  # the class of conftest.py, which tests cannot import


def test_a_query_is_saved_changed_and_trashed(bench: Bench) -> None:
    workspace = bench.workspace
    one = workspace.create_query("one", "SELECT 1", "w1")
    two = workspace.create_query("two", "SELECT 2")
    workspace.update_query(one, query_text="SELECT 'ü;'")
    workspace.update_query(two, display_name="a")
    found = [
        (q.query_id, q.display_name, q.query_text, q.warehouse_id) for q in workspace.list_queries()
    ]
    assert found == [(two, "a", "SELECT 2", ""), (one, "one", "SELECT 'ü;'", "w1")]
    workspace.trash_query(one)
    assert [query.query_id for query in workspace.list_queries()] == [two]
    for call in (
        lambda: workspace.get_query(one),
        lambda: workspace.update_query(one, query_text="x"),
        lambda: workspace.trash_query(one),
    ):
        with pytest.raises(NotFoundError):
            call()
