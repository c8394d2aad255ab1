"""Rows of declared tables, some of them damaged by SQL."""

import json

from lakeflow_meta.schema.recorded_tables import read_tables

GOOD = json.dumps({"columns": [{"name": "id", "type": "bigint"}]})


def test_a_bad_row_is_a_problem_with_its_name_and_the_others_are_read() -> None:
    rows = [
        {"table_name": "a.b.good", "definition": GOOD},
        {"table_name": "a.b.text", "definition": "{not json"},
        {"table_name": "a.b.list", "definition": "[]"},
        {"table_name": "a.b.none", "definition": None},
        {"table_name": "a.b.typo", "definition": GOOD.replace('"type"', '"tpye"')},
        {"table_name": "a.b.last", "definition": GOOD},
    ]
    tables, problems = read_tables(rows, "main.lakeflow.etl_control_tables")
    assert [str(table.name) for table in tables] == ["good", "last"]
    told = {problem.path.split(":")[0] for problem in problems}
    assert told == {"a.b.text", "a.b.list", "a.b.none", "a.b.typo"}
    assert all(problem.file == "main.lakeflow.etl_control_tables" for problem in problems)
    assert all(problem.hint for problem in problems)
