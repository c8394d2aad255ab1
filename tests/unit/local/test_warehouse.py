import os
from pathlib import Path

import pytest

from lakeflow_meta.backends.local.spark.warehouse import (
    SchemaName,
    Warehouse,
    checked_table,
    table_or_none,
)
from lakeflow_meta.errors import ConfigError

SILVER = SchemaName("main", "silver")


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    found = Warehouse(tmp_path / "warehouse")
    found.create_schema(SILVER)
    return found


def make_table(warehouse: Warehouse, name: str) -> Path:
    log = warehouse.table_path(SILVER.table(name)) / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("{}")
    return log


def test_the_directory_is_the_catalog(warehouse: Warehouse) -> None:
    make_table(warehouse, "orders")
    warehouse.write_note(SILVER.table("v"), {"view": ["CREATE VIEW v AS SELECT 1"]})
    warehouse.write_note(SILVER.table("outside"), {"location": "/data/x"})
    warehouse.schema_path(SILVER).joinpath("no_table").mkdir()

    assert warehouse.catalogs() == ["main"]
    assert warehouse.schemas("main") == ["silver"]
    assert warehouse.tables(SILVER) == ["orders", "outside"]
    assert warehouse.views(SILVER) == ["v"]
    assert warehouse.relations(SILVER) == ["orders", "outside", "v"]
    assert warehouse.is_view(SILVER.table("v"))
    assert not warehouse.is_view(SILVER.table("orders"))


def test_a_table_lies_in_the_warehouse_or_where_its_note_says(warehouse: Warehouse) -> None:
    make_table(warehouse, "orders")
    warehouse.write_note(SILVER.table("v"), {"view": ["CREATE VIEW v AS SELECT 1"]})
    warehouse.write_note(SILVER.table("outside"), {"location": "file:/data/a b"})
    warehouse.write_note(SILVER.table("far"), {"location": "s3a://bucket/x"})

    names = ("orders", "outside", "far", "v", "none")
    assert [warehouse.location(SILVER.table(name)) for name in names] == [
        warehouse.table_path(SILVER.table("orders")),
        Path("/data/a b"),
        None,
        None,
        None,
    ]


def test_an_empty_place_has_nothing(tmp_path: Path) -> None:
    nowhere = Warehouse(tmp_path / "nowhere")
    assert nowhere.catalogs() == []
    assert nowhere.tables(SILVER) == []
    assert not nowhere.has_schema(SILVER)
    assert nowhere.identity(SILVER.table("t")) is None


def test_a_dropped_table_leaves_nothing_behind(warehouse: Warehouse) -> None:
    make_table(warehouse, "orders")
    warehouse.drop_table(SILVER.table("orders"))
    assert list(warehouse.schema_path(SILVER).iterdir()) == []
    assert warehouse.catalogs() == ["main"]
    assert [p.name for p in warehouse.root.iterdir()] == ["main"]


def test_dropping_what_is_not_there_does_nothing(warehouse: Warehouse) -> None:
    warehouse.drop_table(SILVER.table("orders"))
    warehouse.drop_schema(SchemaName("main", "gold"))


def test_a_table_made_anew_has_another_identity(warehouse: Warehouse) -> None:
    make_table(warehouse, "orders")
    first = warehouse.identity(SILVER.table("orders"))
    make_table(warehouse, "other")  # so that the file system does not give the same number again
    warehouse.drop_table(SILVER.table("orders"))
    make_table(warehouse, "another")
    make_table(warehouse, "orders")
    assert first is not None
    assert warehouse.identity(SILVER.table("orders")) != first


def test_a_changed_view_has_another_identity(warehouse: Warehouse) -> None:
    view = SILVER.table("v")
    warehouse.write_note(view, {"view": ["a"]})
    first = warehouse.identity(view)
    warehouse.write_note(view, {"view": ["a"]})
    assert warehouse.identity(view) != first


def test_a_rename_moves_the_directory_and_never_over_another(warehouse: Warehouse) -> None:
    make_table(warehouse, "orders")
    make_table(warehouse, "sales")
    with pytest.raises(ConfigError, match=r"main\.silver\.sales exists already"):
        warehouse.rename_table(SILVER.table("orders"), SILVER.table("sales"))
    warehouse.rename_table(SILVER.table("orders"), SILVER.table("bookings"))
    assert warehouse.tables(SILVER) == ["bookings", "sales"]


@pytest.mark.parametrize("nested", ["", "_staged_commits"])
def test_a_log_without_a_file_is_no_table_and_its_place_can_be_cleared(
    warehouse: Warehouse, nested: str
) -> None:
    table = SILVER.table("refused")
    (warehouse.table_path(table) / "_delta_log" / nested).mkdir(parents=True)
    assert not warehouse.is_delta(table)
    assert warehouse.identity(table) is None
    assert warehouse.location(table) is None
    assert warehouse.relations(SILVER) == []
    warehouse.write_note(table, {"view": ["CREATE VIEW refused AS SELECT 1"]})
    assert warehouse.is_view(table)
    warehouse.clear_vacant(table)
    assert not warehouse.table_path(table).exists()
    warehouse.clear_vacant(table)


@pytest.mark.parametrize("left", ["data.parquet", "_delta_log/0.json", "_delta_log/x/y.json"])
def test_a_log_beside_any_file_is_a_table_that_can_be_dropped(
    warehouse: Warehouse, left: str
) -> None:
    table = SILVER.table("half")
    file = warehouse.table_path(table) / left
    file.parent.mkdir(parents=True)
    (warehouse.table_path(table) / "_delta_log").mkdir(exist_ok=True)
    file.write_text("x")
    assert warehouse.is_delta(table)
    warehouse.clear_vacant(table)
    assert file.exists()
    warehouse.drop_table(table)
    assert warehouse.tables(SILVER) == []


def test_a_table_takes_the_name_of_one_that_was_never_made(warehouse: Warehouse) -> None:
    make_table(warehouse, "orders")
    (warehouse.table_path(SILVER.table("refused")) / "_delta_log").mkdir(parents=True)
    warehouse.rename_table(SILVER.table("orders"), SILVER.table("refused"))
    assert warehouse.tables(SILVER) == ["refused"]


@pytest.mark.parametrize("bad", ["..", "a/b", "", ".", "a.b", "a\n", "x" * 256])
def test_a_name_cannot_lead_out_of_the_warehouse(bad: str) -> None:
    for parts in ((bad, "s", "t"), ("c", bad, "t"), ("c", "s", bad)):
        with pytest.raises(ConfigError):
            checked_table(*parts)
        assert table_or_none(*parts) is None


def test_names_are_kept_in_lower_case() -> None:
    assert str(checked_table("Main", "SILVER", "Orders")) == "main.silver.orders"


def test_the_own_folder_is_no_table(warehouse: Warehouse) -> None:
    with pytest.raises(ConfigError, match="_lakeflow"):
        checked_table("main", "silver", "_lakeflow")


def test_drafts_of_a_create_that_was_killed_are_no_table_and_are_cleared(
    warehouse: Warehouse,
) -> None:
    table = SILVER.table("half")
    log = warehouse.table_path(table) / "_delta_log"
    (log / "_staged_commits").mkdir(parents=True)
    (log / ".00000000000000000000.json.4bc8df7e.tmp").write_text("x")
    (log / "..00000000000000000000.json.4bc8df7e.tmp.crc").write_text("x")
    assert not warehouse.is_delta(table)
    warehouse.clear_vacant(table)
    assert warehouse.table_path(table).exists()  # somebody may be about to commit them
    for draft in log.glob(".*"):
        os.utime(draft, (0, 0))
    warehouse.clear_vacant(table)
    assert not warehouse.table_path(table).exists()


def test_a_commit_beside_drafts_survives(warehouse: Warehouse) -> None:
    table = SILVER.table("whole")
    log = warehouse.table_path(table) / "_delta_log"
    log.mkdir(parents=True)
    (log / ".00000000000000000001.json.4bc8df7e.tmp").write_text("x")
    (log / "00000000000000000000.json").write_text("x")
    assert warehouse.is_delta(table)
    warehouse.clear_vacant(table)
    assert (log / "00000000000000000000.json").exists()
