"""The examples of docs/sql.md are run, and give what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path

from lakeflow_meta.control.manager import MetadataManager
from lakeflow_meta.control.sql import functions as functions
from lakeflow_meta.testing.fake_store import FakeStore

PAGE = (Path(__file__).parents[3] / "docs" / "sql.md").read_text()
EXAMPLE = re.compile(r"^\| `(?P<text>[^`]+)` \| (?:`(?P<rows>.+)`|(?P<count>\d+) rows?) \|$", re.M)


def test_every_example_gives_what_the_page_says() -> None:
    manager = MetadataManager("main.lakeflow.etl_control", store=FakeStore())
    setup = re.search(r"```sql\n(.+?)```", PAGE, re.S)
    assert setup is not None
    manager.sql(setup[1])
    examples = list(EXAMPLE.finditer(PAGE))
    assert len(examples) == 14
    for example in examples:
        (result,) = manager.sql(example["text"])
        if example["count"]:
            assert result.rows_affected == int(example["count"]), example["text"]
        else:
            assert result.rows is not None
            found = [list(row.values()) for row in result.rows]
            assert found == json.loads(example["rows"]), example["text"]


def test_the_page_names_every_function() -> None:
    words = set(re.findall(r"\w+", PAGE))
    assert set(functions.FUNCTIONS) <= words
