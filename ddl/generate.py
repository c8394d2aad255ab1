"""Writes the control tables' DDL beside this file. Run by `make ddl`."""

from pathlib import Path

from lakeflow_meta.control.ddl import ddl_files
from lakeflow_meta.control.tables import ControlTables

if __name__ == "__main__":
    for name, text in ddl_files(ControlTables.named("main.lakeflow.etl_control")).items():
        (Path(__file__).parent / name).write_text(text, encoding="utf-8")
