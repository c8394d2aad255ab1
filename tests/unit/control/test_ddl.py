"""The files under ddl/ say what the layouts say."""

from pathlib import Path

from lakeflow_meta.control.ddl import ddl_files, with_columns
from lakeflow_meta.control.tables import LAYOUTS, ControlTables

FOLDER = Path(__file__).parents[3] / "ddl"


def test_every_file_is_what_the_layouts_generate() -> None:
    wanted = ddl_files(ControlTables.named("main.lakeflow.etl_control"))
    assert len(wanted) == len(LAYOUTS)
    assert {p.name: p.read_text(encoding="utf-8") for p in FOLDER.glob("*.sql")} == wanted


def test_the_page_on_control_tables_lists_the_columns_that_the_layouts_have() -> None:
    page = (FOLDER.parent / "docs" / "control-tables.md").read_text(encoding="utf-8")
    assert with_columns(page, ControlTables.named("main.lakeflow.etl_control")) == page


def test_the_eight_contract_columns_come_first() -> None:
    text = ddl_files(ControlTables.named("a.b.c"))["c.sql"]
    order = [line.split("`")[1] for line in text.splitlines() if line.startswith("  `")]
    assert order[:8] == [
        "source_id",
        "module_name",
        "source_type",
        "execution_order",
        "source_config",
        "target_config",
        "transformation_config",
        "is_active",
    ]
