"""What each key of metadata means, in a line: for editors and for the reference. Pure.

Keys are ``folder.Class`` of the models; what a model says itself (``Field(description=…)``, or text
below a field) is not repeated here. A test holds that no key is without a description.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from lakeflow_meta.jobs.descriptions import JOBS, TASKS

_Texts = Mapping[str, str]

_COLUMN = {
    "nullable": "false: NOT NULL; left out, as the primary key wants it",
    "comment": "what the column holds",
    "identity": "numbers that the table gives; true for all defaults",
    "tags": "of Unity Catalog",
}

_NAME_PATTERN = {
    "name": "the first part of the name; left out, the extract's name",
    "timestamp_first": "<timestamp>_<name> instead",
}

_METADATA: Mapping[str, _Texts] = {
    "control.MetadataFile": {
        "metadata_version": "for people; not read",
        "description": "for people",
        "variables": "values for `${var.name}`; those of settings and of --var win",
        "modules": "jobs and their sources",
        "tables": "Delta tables and views, and how they look",
        "ddl_scripts": "scripts that run once; or files of ddl_scripts/ beside the YAML",
        "extracts": "files to write out of tables, views, procedures and queries",
    },
    "control.ModuleSpec": {
        "module_name": "identity; the job's name, unless job_config.name says otherwise",
        "metadata_version": "for people; not read",
        "description": "recorded, and sent as the job's description",
        "job_config": "what belongs to the job as a whole",
        "ddl_targets": "targets of run-once scripts that the job runs before everything else",
        "sources": "its tasks",
        "is_active": "false pauses the job; left out, what is recorded stays",
    },
    "control.SourceSpec": {
        "source_id": "identity inside the module; the task's key",
        "description": "recorded, and sent as the task's description",
        "source_type": "file, or a format's name, is ingested; other words are for people",
        "execution_order": "equal numbers run in parallel, after all those of the next lower one",
        "source_config": "of files: where they lie and how they are read; else free",
        "target_config": "of files: where the rows go; else free",
        "transformation_config": "the task",
        "is_active": "false takes the task out of the job; left out, what is recorded stays",
    },
    "control.DdlScriptSpec": {
        "target": "what the script belongs to: a lakehouse, a schema, a team",
        "body": "the SQL or Python",
        "is_active": "false: it does not run",
    },
    "schema.IdentitySpec": {"start": "the first number", "step": "from one number to the next"},
    "schema.ColumnBody": _COLUMN,
    "schema.ColumnSpec": {**_COLUMN, "name": "the column's name"},
    "schema.ForeignKeySpec": {
        "columns": "columns of this table",
        "referenced_columns": "left out: the other table's primary key",
        "name": "of the constraint; left out, made of the names that it joins",
    },
    "schema.TableSpec": {
        "table": "catalog.schema.table",
        "catalog": "instead of table, with schema and name",
        "schema_name": "instead of table, with catalog and name",
        "name": "instead of table, with catalog and schema",
        "module": "whose job keeps it so",
        "columns": "a list, or name: type, or name: {type: …}",
        "comment": "what the table holds",
        "primary_key": "informational; its columns are NOT NULL",
        "foreign_keys": "informational",
        "cluster_by": "up to four columns of liquid clustering",
        "partition_by": "columns of partitions; only of a new table",
        "checks": "name: SQL condition",
        "tags": "of Unity Catalog",
        "drop": "true: the table must not be there",
        "is_active": "false: nobody keeps it so",
    },
    "extract.Source": {
        "datastore": "where the rows are",
        "view": "as table",
        "query": "one SELECT",
        "columns": "of a table or view; left out, all",
    },
    "extract.Load": {
        "mode": "all rows, those after the last watermark, or those of a period",
        "watermark_column": "of mode incremental: a column that rises",
        "period_column": "of mode period: the date that period_query limits",
    },
    "extract.Target": {"path": "the folder; made where it is missing"},
    "extract.NamePattern": _NAME_PATTERN,
    "extract.FileNaming": {
        **_NAME_PATTERN,
        "extension": "left out, that of the format",
        "time_zone": "of timestamp_format; left out, UTC",
    },
    "extract.FileLayout": {
        "format": "what the files are",
        "delimiter": "left out: , of csv, tab of tsv, | of dat",
        "quote": 'left out: "',
        "escape": "left out: the quote, doubled",
        "header": "whether the first line has the names",
        "null_value": "left out: nothing",
        "encoding": "left out: utf-8",
        "line_ending": "left out: lf",
        "date_format": "pattern of dates, e.g. dd.MM.yyyy",
        "timestamp_format": "pattern of timestamps",
        "time_zone": "of timestamps; left out, UTC",
        "decimal_separator": "left out: a point",
        "decimal_places": "digits behind it; rounds half away from zero",
        "max_rows_per_file": "begin another file after so many rows",
        "max_bytes_per_file": "begin another file before so many bytes",
    },
    "extract.Compression": {
        "type": "the algorithm",
        "level": "minimum, normal, maximum or the algorithm's number",
        "extension": "left out, that of the algorithm",
    },
    "extract.Trigger": {"extension": "of the empty file"},
    "extract.Validation": {
        "min_rows": "fewer rows fail the run",
        "max_rows": "more rows fail the run",
    },
    "extract.Extract": {
        "extract_name": "identity; also the name of the files",
        "description": "for people",
        "group": "extracts that run together",
        "execution_order": "equal numbers run in parallel, after all lower ones",
        "is_active": "false: it does not run",
        "source": "where the rows are",
        "load": "which rows a run takes",
        "target": "where the files go",
        "file_name": "how the files are called",
        "file": "what is in a file",
        "compression": "left out: none",
        "trigger": "an empty file, written last",
        "validation": "what must hold before anything is published",
    },
    "ingest.SourceConfig": {
        "schema_evolution": "what becomes of columns and values that do not fit the table",
        "recursive": "folders below as well",
        "on_change": "what becomes of new content under a known path",
        "after_success": "what becomes of a file whose rows are in the table",
    },
    "ingest.TargetConfig": {
        "catalog": "beside schema, where table is only the last part",
        "schema_name": "beside catalog, where table is only the last part",
        "write_mode": "how the rows of a batch go into the table",
        "partition_by": "of a table that the ingestor creates",
        "expectations": "what rows have to be",
    },
    "ingest.Expectation": {
        "name": "how it is called in the ledger and in reports",
        "condition": "SQL on the columns that are written",
        "on_violation": "what becomes of a row that does not meet it",
    },
}

_TEXTS: Mapping[str, _Texts] = {**_METADATA, **JOBS, **TASKS}


def described(model: type[BaseModel]) -> dict[str, str]:
    """What the fields of a model mean, inherited ones too; only those that have a text here."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        folder = each.__module__.removeprefix("lakeflow_meta.").split(".")[0]
        found |= _TEXTS.get(f"{folder}.{each.__name__}", {})
    return found


def models_with_texts() -> Mapping[str, _Texts]:
    """Every text by ``folder.Class``: a test holds that no key of them is gone."""
    return _TEXTS


def describe_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON Schema of `MetadataFile`, with what each key means."""
    parts = {"MetadataFile": schema, **schema.get("$defs", {})}
    for name, part in parts.items():
        for texts in (_TEXTS.get(f"{folder}.{name}", {}) for folder in _FOLDERS):
            for field, text in texts.items():
                key = field.removesuffix("_name") if field == "schema_name" else field
                part.get("properties", {}).get(key, {}).setdefault("description", text)
    return schema


_FOLDERS = ("control", "schema", "extract")
"""Where the models of metadata files are."""
