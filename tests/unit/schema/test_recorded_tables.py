"""Rows of declared tables, some of them damaged by SQL."""

import json

from lakeflow_meta.schema.recorded_tables import read_tables

GOOD = json.dumps({"columns": [{"name": "id", "type": "bigint"}]})
CONTROL = "main.lakeflow.etl_control_tables"


def test_a_bad_row_is_a_problem_with_its_name_and_the_others_are_read() -> None:
    rows = [
        {"table_name": "a.b.good", "definition": GOOD},
        {"table_name": "a.b.text", "definition": "{not json"},
        {"table_name": "a.b.list", "definition": "[]"},
        {"table_name": "a.b.none", "definition": None},
        {"table_name": "A.b.typo", "definition": GOOD.replace('"type"', '"tpye"')},
        {"table_name": "no name", "definition": GOOD},
        {"table_name": None, "definition": GOOD},
        {"table_name": "a.b.last", "definition": GOOD},
    ]
    tables, problems = read_tables(rows, CONTROL)
    assert [str(table.name) for table in tables] == ["good", "last"]
    assert problems.keys() == {"a.b.text", "a.b.list", "a.b.none", "a.b.typo", "no name", ""}
    told = {
        key: {problem.path.split(":")[0] for problem in found} for key, found in problems.items()
    }
    assert told["a.b.typo"] == {"A.b.typo"}
    assert told[""] == {"NULL"}
    flat = [problem for found in problems.values() for problem in found]
    assert all(problem.file == CONTROL for problem in flat)
    assert all(problem.hint for problem in flat)


def test_names_that_differ_in_case_only_are_one_table_declared_twice() -> None:
    rows = [
        {"table_name": "shop.bronze.orders", "definition": GOOD},
        {"table_name": "shop.bronze.items", "definition": GOOD},
        {"table_name": "Shop.bronze.Orders", "definition": GOOD},
    ]
    tables, problems = read_tables(rows, CONTROL)
    assert [str(table.name) for table in tables] == ["items"]
    assert {problem.path for problem in problems["shop.bronze.orders"]} == {
        "shop.bronze.orders",
        "Shop.bronze.Orders",
    }
    assert "declared 2 times: Shop.bronze.Orders, shop.bronze.orders" in str(
        problems["shop.bronze.orders"][0]
    )
