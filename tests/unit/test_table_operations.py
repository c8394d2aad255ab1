"""`tables plan` and `tables sync` over recorded rows, some of them bad: no Spark, Delta tables."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lakeflow_meta import operations
from lakeflow_meta.app import App
from lakeflow_meta.cli.main import run
from lakeflow_meta.cli.output import Output, Session
from lakeflow_meta.control.tables import TABLES
from lakeflow_meta.errors import ConfigError, SpecError, SyncFailedError
from lakeflow_meta.testing import FakeStore, FixedClock

ID = {"columns": [{"name": "id", "type": "bigint"}]}
CHILD = {
    "columns": [{"name": "id", "type": "bigint"}, {"name": "shop_id", "type": "bigint"}],
    "foreign_keys": [
        {"columns": ["shop_id"], "references": "s.b.shops", "referenced_columns": ["id"]}
    ],
}


class Lake:
    """Control tables in memory, and Delta tables below a home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.app = App.from_environment(overrides={"home": home}, store=FakeStore(FixedClock()))
        self.app.store.ensure(self.app.tables.of(TABLES), TABLES)

    def declare(
        self, name: str | None, definition: Any = ID, *, module: str = "m", is_active: bool = True
    ) -> None:
        """What SQL may leave behind, so without any check."""
        row = {
            "table_name": name,
            "module_name": module,
            "definition": definition if isinstance(definition, str) else json.dumps(definition),
            "is_active": is_active,
        }
        self.app.store.append(self.app.tables.of(TABLES), [row])

    def make(self, name: str, *columns: str) -> None:
        data = pa.table({column: pa.array([], pa.int64()) for column in columns})
        write_deltalake(str(self.home / "warehouse" / name.replace(".", "/")), data)

    def planned(self, names: list[str] | None = None, module: str | None = None) -> list[str]:
        plan = operations.plan_tables(self.app, names, module).plan
        return [f"{table.name} {table.outlook}" for table in plan.tables]

    def run(self, *arguments: str, code: int) -> tuple[str, str]:
        out, err = io.StringIO(), io.StringIO()
        output = Output(as_json="--json" in arguments, out=out, err=err)
        ended = run(list(arguments), Session(output, shared=self.app))
        assert ended == code, out.getvalue() + err.getvalue()
        return out.getvalue(), err.getvalue()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    (tmp_path / "warehouse" / "s" / "b").mkdir(parents=True)
    return Lake(tmp_path)


# --- names


@pytest.mark.parametrize("name", ["s.b.orders", "S.b.ORDERS", "`S`.b.orders"])
def test_names_are_compared_without_case(lake: Lake, name: str) -> None:
    lake.declare("s.b.Orders")
    lake.declare("s.b.items")
    assert lake.planned([name]) == ["s.b.Orders create"]
    assert list(operations.declared_tables(lake.app, [name])) == ["s.b.Orders"]


def test_an_unknown_name_is_told_with_the_nearest_one(lake: Lake) -> None:
    lake.declare("s.b.orders")
    lake.declare("s.b.gone", is_active=False)
    lake.declare(None)
    for name in ("s.b.ordres", "S.B.ORDRES"):
        with pytest.raises(ConfigError, match=r"did you mean s\.b\.orders"):
            lake.planned([name])
    with pytest.raises(ConfigError, match="no table 'nonsense' is declared"):
        lake.planned(["nonsense"])
    with pytest.raises(ConfigError, match=r"no table 's\.b\.gone'"):
        lake.planned(["s.b.gone"])
    with pytest.raises(ConfigError, match=r"no table 's\.b\.orders'"):
        lake.planned(["s.b.orders"], module="other")


def test_a_module_has_its_own_tables_only(lake: Lake) -> None:
    lake.declare("s.b.orders")
    lake.declare("s.b.items", module="other")
    lake.declare("s.b.bad", "{", module="third")
    assert lake.planned(module="other") == ["s.b.items create"]
    assert operations.plan_tables(lake.app, None, "other").problems == []


def test_one_name_twice_in_two_cases_is_a_problem_wherever_it_is_asked_for(lake: Lake) -> None:
    lake.declare("s.b.orders")
    lake.declare("S.b.orders", module="other")
    lake.declare("s.b.items")
    for module in (None, "m"):
        found = operations.plan_tables(lake.app, None, module)
        assert [str(table.name) for table in found.plan.tables] == ["s.b.items"]
        assert len(found.problems) == 2
    with pytest.raises(SpecError, match=r"declared 2 times: S\.b\.orders, s\.b\.orders"):
        lake.planned(["s.b.orders"])
    assert lake.planned(["s.b.items"]) == ["s.b.items create"]


# --- bad rows


def test_a_bad_row_does_not_stop_the_plan_of_the_others(lake: Lake) -> None:
    lake.declare("s.b.bad", "{")
    lake.declare("s.b.worse", {"columns": [{"name": "id", "type": "bignit"}]})
    lake.declare("s.b.orders")
    text, _ = lake.run("tables", "plan", "--json", code=1)
    result = json.loads(text)
    assert [table["name"] for table in result["tables"]] == ["s.b.orders"]
    assert [problem["path"].split(":")[0] for problem in result["problems"]] == [
        "s.b.bad",
        "s.b.worse",
    ]
    text, _ = lake.run("tables", "plan", code=1)
    assert "s.b.orders: create" in text
    assert text.count("✗ main.lakeflow.etl_control_tables: s.b.") == 2


def test_a_bad_row_does_not_stop_the_sync_of_the_others(lake: Lake) -> None:
    lake.declare("s.b.bad", "{")
    lake.declare("s.b.orders")
    lake.make("s.b.orders", "id")
    text, told = lake.run("tables", "sync", "--json", code=1)
    result = json.loads(text)
    assert [(table["name"], table["status"]) for table in result["tables"]] == [
        ("s.b.orders", "unchanged")
    ]
    assert [problem["path"] for problem in result["problems"]] == ["s.b.bad"]
    assert "s.b.bad: definition is no JSON" in told
    with pytest.raises(SyncFailedError) as failed:
        operations.sync_tables(lake.app, None, None).raise_failures()
    assert isinstance(failed.value.report, operations.TablesSync)


def test_a_sync_of_sound_tables_has_no_problems(lake: Lake) -> None:
    lake.declare("s.b.orders")
    lake.make("s.b.orders", "id")
    text, _ = lake.run("tables", "sync", "--json", code=0)
    assert json.loads(text)["problems"] == []
    lake.run("tables", "plan", "--check", code=0)


def test_named_tables_stop_at_their_own_bad_rows_only(lake: Lake) -> None:
    lake.declare("s.b.bad", "{")
    lake.declare("s.b.orders")
    lake.make("s.b.orders", "id")
    lake.run("tables", "sync", "S.b.orders", code=0)
    for command in ("plan", "sync", "show"):
        _, told = lake.run("tables", command, "s.b.orders", "s.b.BAD", code=2)
        assert "s.b.bad: definition is no JSON" in told


def test_a_parent_with_a_bad_row_is_looked_up_where_it_lives(lake: Lake) -> None:
    lake.declare("s.b.shops", "{")
    lake.declare("s.b.orders", CHILD)
    found = operations.plan_tables(lake.app, None, None)
    [orders] = found.plan.tables
    assert "s.b.shops does not exist" in str(orders.rejections[0])
    lake.make("s.b.shops", "id")
    [orders] = operations.plan_tables(lake.app, None, None).plan.tables
    assert not [r for r in orders.rejections if "s.b.shops" in str(r)]
