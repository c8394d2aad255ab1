"""Writes the control tables' DDL beside this file, and their columns into the docs: `make ddl`."""

from pathlib import Path

from lakeflow_meta.control.ddl import ddl_files, with_columns
from lakeflow_meta.control.tables import ControlTables

TABLES = ControlTables.named("main.lakeflow.etl_control")
PAGE = Path(__file__).parents[1] / "docs" / "control-tables.md"

if __name__ == "__main__":
    for name, text in ddl_files(TABLES).items():
        (Path(__file__).parent / name).write_text(text, encoding="utf-8")
    PAGE.write_text(with_columns(PAGE.read_text(encoding="utf-8"), TABLES), encoding="utf-8")
