"""Declared tables and views as a metadata file: the same bytes each time. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from lakeflow_meta.control.export import escaped
from lakeflow_meta.control.yaml_text import yaml_text
from lakeflow_meta.schema.table import Declared
from lakeflow_meta.schema.table_spec import definition

_HEADER = "# Imported from live tables. Load it with `lakeflow-meta sync FILE`.\n"


def tables_yaml(tables: Iterable[Declared]) -> str:
    """The declarations under ``tables:``, by name."""
    found = sorted(tables, key=lambda table: table.full_name.key)
    documents = [{"table": str(table.full_name), **definition(table)} for table in found]
    return _HEADER + yaml_text({"tables": escaped(documents)})
