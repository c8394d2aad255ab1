"""`tables plan` and `tables sync` over recorded rows, some of them bad: no Spark, Delta tables."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lakeflow_meta import table_operations
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

    def __init__(self, home: Path, **settings: Any) -> None:
        self.home = home
        overrides = {"home": home, **settings}
        self.app = App.from_environment(overrides=overrides, store=FakeStore(FixedClock()))
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
        plan = table_operations.plan_tables(self.app, names, module).plan
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
    assert list(table_operations.declared_tables(lake.app, [name])) == ["s.b.Orders"]


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
    assert table_operations.plan_tables(lake.app, None, "other").problems == []


def test_one_name_twice_in_two_cases_is_a_problem_wherever_it_is_asked_for(lake: Lake) -> None:
    lake.declare("s.b.orders")
    lake.declare("S.b.orders", module="other")
    lake.declare("s.b.items")
    for module in (None, "m"):
        found = table_operations.plan_tables(lake.app, None, module)
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
        table_operations.sync_tables(lake.app, None, None).raise_failures()
    assert isinstance(failed.value.report, table_operations.TablesSync)


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
    found = table_operations.plan_tables(lake.app, None, None)
    [orders] = found.plan.tables
    assert "s.b.shops does not exist" in str(orders.rejections[0])
    lake.make("s.b.shops", "id")
    [orders] = table_operations.plan_tables(lake.app, None, None).plan.tables
    assert not [r for r in orders.rejections if "s.b.shops" in str(r)]


def test_a_name_against_the_settings_is_a_problem_of_its_table_alone(tmp_path: Path) -> None:
    lake = Lake(tmp_path, naming={"namespaces": ["s.*"], "columns": "[a-z]+"})
    lake.declare("s.b.fine")
    lake.declare("s.b.odd", {"columns": {"Id": "int"}})
    lake.declare("t.b.elsewhere")
    found = table_operations.plan_tables(lake.app, None, None)
    assert [str(table.name) for table in found.plan.tables] == ["s.b.fine"]
    assert [problem.message for problem in found.problems] == [
        "name 'Id' does not match [a-z]+",
        "the table is outside of s.*",
    ]
    assert found.has_rejections


def test_a_foreign_key_finds_the_primary_key_of_a_declared_parent_that_was_not_chosen(
    lake: Lake,
) -> None:
    shops = {"columns": {"id": {"type": "bigint", "nullable": False}}, "primary_key": "id"}
    keyed = {**CHILD, "foreign_keys": [{"columns": ["shop_id"], "references": "s.b.shops"}]}
    lake.declare("s.b.shops", shops)
    lake.declare("s.b.orders", keyed)
    lake.make("s.b.shops", "id")
    assert lake.planned(["s.b.orders"]) == ["s.b.orders create"]


# --- the commands


def test_the_statements_of_a_plan_are_a_script(lake: Lake) -> None:
    lake.declare("s.b.new")
    lake.declare("s.b.bad", {"columns": [{"name": "id", "type": "string"}]})
    lake.make("s.b.bad", "id")
    out, _ = lake.run("tables", "plan", "s.b.new", "--sql", code=0)
    assert out == "-- s.b.new\nCREATE TABLE `s`.`b`.`new` (\n  `id` bigint\n)\nUSING delta;\n"


def test_a_name_is_not_declared_where_nothing_is(lake: Lake) -> None:
    _, err = lake.run("tables", "plan", "s.b.orders", code=2)
    assert err.startswith("error: no table 's.b.orders' is declared; there are none yet; load")


def test_check_tells_by_the_exit_code_that_something_would_change(lake: Lake) -> None:
    lake.declare("s.b.there")
    lake.make("s.b.there", "id")
    lake.run("tables", "plan", "--check", code=0)
    lake.declare("s.b.new")
    lake.run("tables", "plan", code=0)
    out, _ = lake.run("tables", "plan", "--check", code=1)
    assert "s.b.new: create" in out


def test_tables_that_exist_are_imported_and_plan_no_change(lake: Lake) -> None:
    lake.make("s.b.orders", "id", "shop_id")
    lake.make("s.b.shops", "id")
    out, err = lake.run("tables", "import", "s.b", code=0)
    assert "table: s.b.orders" in out
    assert err == ""
    declared = lake.home / "imported.yml"
    lake.run("tables", "import", "s.b", "-o", str(declared), code=0)
    lake.run("sync", str(declared), code=0)
    assert lake.planned() == ["s.b.orders unchanged", "s.b.shops unchanged"]
    module, _ = lake.run("tables", "import", "s.b.shops", "--format", "python", code=0)
    names: dict[str, Any] = {}
    exec(module, names)  # noqa: S102 - what the command wrote
    assert [str(table.full_name) for table in names["registry"]] == ["s.b.shops"]


def test_what_cannot_be_imported_is_told_and_the_rest_is_written(lake: Lake) -> None:
    lake.make("s.b.orders", "id")
    out, err = lake.run("tables", "import", "s.b.orders", "s.b.nothing", code=1)
    assert "table: s.b.orders" in out
    assert "warning: s.b.nothing: not imported: there is no such table or view" in err
    _, err = lake.run("tables", "import", "s.none", code=1)
    assert "schema s.none does not exist" in err
    _, err = lake.run("tables", "import", "orders", code=2)
    assert "catalog.schema" in err


def test_a_clean_table_is_remembered_beside_its_declaration_and_nothing_else_is_written(
    lake: Lake,
) -> None:
    lake.declare("s.b.orders")
    lake.make("s.b.orders", "id")
    table = lake.app.tables.of(TABLES)
    lake.run("tables", "sync", code=0)
    [row] = lake.app.store.read(table).to_pylist()
    assert row["applied_fingerprint"]
    assert row["applied_version"] > 0
    version = lake.app.store.version(table)
    lake.run("tables", "sync", code=0)
    assert lake.app.store.version(table) == version
    lake.make("s.b.shops", "id")
    lake.run("tables", "plan", code=0)
    assert lake.app.store.version(table) == version


def test_a_kept_plan_is_worked_off_exactly_or_not_at_all(lake: Lake) -> None:
    lake.declare("s.b.new")
    file = str(lake.home / "plan.json")
    lake.run("tables", "plan", "-o", file, code=0)
    lake.declare("s.b.later")
    lake.make("s.b.new", "id", "more")
    _, err = lake.run("tables", "sync", "--plan", file, code=1)
    assert "nothing was done" in err
    assert "s.b.new" in err
    assert "s.b.later" not in err
    lake.run("tables", "plan", "s.b.new", "-o", file, code=0)
    lake.run("tables", "sync", "--plan", file, code=0)


def test_a_plan_file_of_elsewhere_or_of_something_else_is_refused(lake: Lake) -> None:
    lake.declare("s.b.new")
    file = lake.home / "plan.json"
    lake.run("tables", "plan", "-o", str(file), code=0)
    file.write_text(file.read_text().replace('"target": "local"', '"target": "prod"'))
    assert "not for this one" in lake.run("tables", "sync", "--plan", str(file), code=2)[1]
    file.write_text("{}")
    assert "is no plan of tables" in lake.run("tables", "sync", "--plan", str(file), code=2)[1]
    missing = str(lake.home / "nothing.json")
    assert "cannot be read" in lake.run("tables", "sync", "--plan", missing, code=2)[1]
    both = ("tables", "sync", "s.b.new", "--plan", str(file))
    assert "leave out names" in lake.run(*both, code=2)[1]


def test_a_plan_with_a_refused_table_is_not_kept(lake: Lake) -> None:
    lake.declare("s.b.orders", {"columns": {"id": {"type": "bigint", "nullable": False}}})
    lake.declare("s.c.orders")
    _, err = lake.run("tables", "plan", "s.c.orders", "-o", str(lake.home / "p.json"), code=2)
    assert "a plan with refused tables is not kept: s.c.orders" in err


def test_tables_that_nobody_declared_are_shown_and_never_touched(lake: Lake) -> None:
    lake.declare("s.b.orders")
    lake.declare("s.missing.orders")
    lake.make("s.b.Orders".lower(), "id")
    lake.make("s.b.stray", "id")
    lake.declare("s.b.wrong", "{")
    lake.make("s.b.wrong", "id")
    lake.make("s.c.elsewhere", "id")
    out, _ = lake.run("tables", "show", "--undeclared", code=0)
    assert out == "s.b.stray\n"
