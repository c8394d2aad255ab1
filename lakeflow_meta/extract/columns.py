"""Which column holds which value of an extract, and how the value is written there. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

from lakeflow_meta.control.rows import RowError
from lakeflow_meta.extract.words import LineEnding
from lakeflow_meta.findings import Path
from lakeflow_meta.fingerprint import canonical_json

OF_EXTRACTS: Mapping[str, Path] = {
    "extract_name": ("extract_name",),
    "description": ("description",),
    "execution_group": ("group",),
    "execution_order": ("execution_order",),
    "source_query": ("source", "query"),
    "source_template": ("source", "template"),
    "source_parameters": ("source", "parameters"),
    "source_columns": ("source", "columns"),
    "source_filter": ("source", "where"),
    "watermark_column": ("load", "watermark_column"),
    "initial_watermark": ("load", "initial_watermark"),
    "period_column": ("load", "period_column"),
    "period_query": ("load", "period_query"),
    "validation_query": ("validation", "query"),
    "validation_max_failed_rows": ("validation", "max_failed_rows"),
    "validation_min_rows": ("validation", "min_rows"),
    "validation_max_rows": ("validation", "max_rows"),
}
OF_DETAILS: Mapping[str, Path] = {
    "source_datastore_type": ("source", "datastore"),
    "extract_file_name": ("file_name", "name"),
    "extract_file_name_timestamp_format": ("file_name", "timestamp_format"),
    "extract_file_name_period_end_day": ("file_name", "period_end_day"),
    "extract_file_name_extension": ("file_name", "extension"),
    "extract_file_name_ordering": ("file_name", "timestamp_first"),
    "extract_file_name_time_zone": ("file_name", "time_zone"),
    "output_format": ("file", "format"),
    "file_generation_group": ("file", "group"),
    "file_properties_column_delimiter": ("file", "delimiter"),
    "file_properties_row_delimiter": ("file", "line_ending"),
    "file_properties_encoding": ("file", "encoding"),
    "file_properties_quote_character": ("file", "quote"),
    "file_properties_escape_character": ("file", "escape"),
    "file_properties_header": ("file", "header"),
    "file_properties_footer": ("file", "footer"),
    "file_properties_null_value": ("file", "null_value"),
    "file_properties_max_rows_per_file": ("file", "max_rows_per_file"),
    "file_properties_max_bytes_per_file": ("file", "max_bytes_per_file"),
    "file_properties_date_format": ("file", "date_format"),
    "file_properties_timestamp_format": ("file", "timestamp_format"),
    "file_properties_time_zone": ("file", "time_zone"),
    "file_properties_decimal_separator": ("file", "decimal_separator"),
    "file_properties_decimal_places": ("file", "decimal_places"),
    "trigger_file_extension": ("trigger", "extension"),
    "compressed_type": ("compression", "type"),
    "compressed_level": ("compression", "level"),
    "compressed_extension": ("compression", "extension"),
    "compressed_file_name": ("compression", "archive", "name"),
    "compressed_timestamp_format": ("compression", "archive", "timestamp_format"),
    "compressed_period_end_day": ("compression", "archive", "period_end_day"),
    "compressed_name_ordering": ("compression", "archive", "timestamp_first"),
    "is_manifest_file": ("manifest",),
}
NAMED = {
    "table": ("extract_table_schema", "extract_table_name"),
    "view": ("extract_view_schema", "extract_view_name"),
    "procedure": ("extract_sp_schema", "extract_sp_name"),
}
VALIDATES = ("validation_table_sp_schema", "validation_table_sp_name")
CONTAINER = ("extract_container", "extract_directory")

COLUMN_OF: Mapping[Path, str] = {
    **{path: column for column, path in chain(OF_EXTRACTS.items(), OF_DETAILS.items())},
    **{("source", word): columns[1] for word, columns in NAMED.items()},
    ("source",): "extract_table_name",
    ("validation", "procedure"): VALIDATES[1],
    ("validation",): "is_validation_table",
    ("load",): "is_full_load",
    ("target", "path"): CONTAINER[0],
    ("file",): "output_format",
    ("file_name",): "extract_file_name",
    ("compression", "archive"): "compressed_is_compress_multiple_files",
    ("compression",): "is_compressed",
    ("trigger",): "is_trigger_file",
}

_SECRETS = "a control table holds no secrets, and files are encrypted where they are stored"
_LOCATION = "where things are is said by the target, source_datastore_type and extract_container"
_JOBS = "a job runs extracts: a source with task_type extract"
_ARCHIVE = "files are compressed as they are written: set {} instead"
REFUSED: Mapping[str, str] = {
    "trigger_name": _JOBS,
    "extract_pipeline_name": _JOBS,
    **dict.fromkeys(("workspace_id", "lakehouse_id", "warehouse_id"), _LOCATION),
    "kv_azure_data_lake_url": _LOCATION,
    "kv_azure_data_lake_secret_name": _SECRETS,
    "compressed_is_trigger_file": _ARCHIVE.format("is_trigger_file"),
    "compressed_trigger_file_extension": _ARCHIVE.format("trigger_file_extension"),
    "compressed_extract_container": _ARCHIVE.format("extract_container"),
    "compressed_extract_directory": _ARCHIVE.format("extract_directory"),
    "is_encrypt_api": _SECRETS,
    "encrypt_api_is_encrypt": _SECRETS,
    "encrypt_api_is_create_trigger_file": _SECRETS,
    "encrypt_api_trigger_file_extension": _SECRETS,
    "encrypt_api_kv_token_authorisation": _SECRETS,
    "encrypt_api_kv_azure_data_lake_connection_string": _SECRETS,
    "encrypt_api_kv_azure_data_lake_account_name": _SECRETS,
    "is_validation_table_external_data_source": "write validation_query",
    "is_validation_table_external_file_format": "write validation_query",
    "source_workspace_id": _LOCATION,
    "source_datastore_id": _LOCATION,
    "source_schema_name": "write the schema beside the name: extract_table_schema",
    "target_workspace_id": _LOCATION,
    "target_datastore_id": _LOCATION,
    "target_datastore_type": _LOCATION,
    "target_file_root_path": _LOCATION,
    "fabric_lakehouse_path": _LOCATION,
}
"""Columns of the contract that must be empty or false, and what to do instead."""


# --------------------------------------------------------------------------- values of columns


_ESCAPES = {"\n": "\\n", "\r\n": "\\r\\n", "\r": "\\r", "\t": "\\t"}
"""What cannot be seen is written as in a program; it may stand for itself as well."""
_UNESCAPES = {text: sign for sign, text in _ESCAPES.items()}
_ORDERINGS = {1: False, 2: True}
_ENDINGS = {ending.text: ending.value for ending in LineEnding}


def _character(text: str) -> str:
    return _UNESCAPES.get(text, text)


def _line_ending(text: str) -> str:
    found = _ENDINGS.get(_character(text))
    if found is None:
        raise RowError(
            f"file_properties_row_delimiter {text!r} ends no line", "write \\n or \\r\\n"
        )
    return found


def _level(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def _read_ordering(number: int) -> bool:
    if number not in _ORDERINGS:
        hint = "write 1 (name, then timestamp) or 2 (timestamp first)"
        raise RowError(f"{number} is no ordering of a file name", hint)
    return _ORDERINGS[number]


def _names(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RowError("source_columns is not JSON", 'write a list: ["a", "b"]') from error
    if not isinstance(value, list):
        raise RowError("source_columns is JSON, but not a list", 'write ["a", "b"]')
    return value


READ: Mapping[str, Callable[[Any], Any]] = {
    "source_columns": _names,
    "file_properties_column_delimiter": _character,
    "file_properties_row_delimiter": _line_ending,
    "extract_file_name_ordering": _read_ordering,
    "compressed_name_ordering": _read_ordering,
    "compressed_level": _level,
}
WRITE: Mapping[str, Callable[[Any], Any]] = {
    "description": lambda text: text or None,
    "source_parameters": lambda value: canonical_json(value) if value else None,
    "source_columns": lambda value: canonical_json(value) if value else None,
    "file_properties_column_delimiter": lambda text: _ESCAPES.get(text, text),
    "file_properties_row_delimiter": lambda word: _ESCAPES[LineEnding(word).text],
    "extract_file_name_ordering": lambda first: 2 if first else None,
    "compressed_name_ordering": lambda first: 2 if first else None,
    "compressed_type": str.upper,
    "compressed_level": lambda level: str(level).upper(),
}
