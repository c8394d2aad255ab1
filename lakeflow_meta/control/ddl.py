"""The control tables as SQL, for people who create them by hand or read what they hold. Pure."""

from __future__ import annotations

from lakeflow_meta.control.tables import LAYOUT_VERSION, ControlTables, TableLayout
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.table import Column, DeltaTable
from lakeflow_meta.schema.type_text import parse_type
from lakeflow_meta.sql import create_table

PROPERTIES = {
    "delta.enableDeletionVectors": "false",
    "delta.enableRowTracking": "false",
    "lakeflow_meta.layout": str(LAYOUT_VERSION),
}
"""Features that some writers of Delta cannot write are off: one table, any engine."""


def control_table(name: TableName, layout: TableLayout) -> DeltaTable:
    """A control table as a declared table."""
    return DeltaTable(
        name.catalog,
        name.schema,
        name.name,
        columns=[
            Column(column.name, parse_type(column.type), column.nullable, column.comment)
            for column in layout.columns
        ],
        comment=layout.comment,
        properties=PROPERTIES,
    )


def ddl_files(tables: ControlTables) -> dict[str, str]:
    """File name to text: one CREATE TABLE a file."""
    header = "-- Generated from lakeflow_meta/control/tables.py by `make ddl`. Do not edit.\n"
    files = {}
    for name, layout in tables.all().items():
        create = create_table(control_table(name, layout), if_absent=True)
        files[f"{name.name}.sql"] = f"{header}{create};\n"
    return files
