"""Extracts as rows, and rows that people wrote in SQL as extracts."""

import json
from typing import Any

import pyarrow as pa
import pytest
from extract_samples import declared, extracts
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeflow_meta.control.arrow import arrow_schema
from lakeflow_meta.control.rows import Row, RowError
from lakeflow_meta.control.tables import EXTRACT_DETAILS, EXTRACT_RUNS, EXTRACTS, TableLayout
from lakeflow_meta.extract.columns import REFUSED
from lakeflow_meta.extract.config import Extract
from lakeflow_meta.extract.recorded import read_extracts
from lakeflow_meta.extract.rows import from_rows, to_rows

CONTROL = "main.lakeflow.etl_control"


def rows(**changes: Any) -> tuple[Row, Row]:
    return to_rows(Extract.model_validate(declared(**changes)))


def read(row: Row, details: Row) -> dict[str, Any]:
    return from_rows(row, details).document()


@settings(max_examples=300, deadline=None)
@given(extracts())
def test_every_extract_comes_back_from_its_rows(extract: Extract) -> None:
    written = to_rows(extract)
    found = from_rows(*written)
    assert found.document() == extract.document()
    assert to_rows(found) == written


@settings(deadline=None)
@given(extracts())
def test_rows_hold_what_the_tables_hold_and_every_column_of_people(extract: Extract) -> None:
    for row, layout in zip(to_rows(extract), (EXTRACTS, EXTRACT_DETAILS), strict=True):
        assert {*row, *layout.stamps.names} == {*layout.names}
        pa.Table.from_pylist([row], arrow_schema(layout))


@given(extracts())
def test_what_yaml_would_say_of_an_extract_is_the_extract(extract: Extract) -> None:
    text = json.dumps(extract.document())
    assert to_rows(Extract.model_validate(json.loads(text))) == to_rows(extract)


# --------------------------------------------------------------------------- the contract


def contract(layout: TableLayout) -> str:
    return " ".join(layout.names[: layout.contract])


def test_the_columns_of_extracts_are_the_contract_s_in_its_order() -> None:
    assert contract(EXTRACTS) == (
        "creation_time is_active trigger_name extract_name extract_pipeline_name extract_sp_name"
        " extract_sp_schema extract_table_name extract_table_schema extract_view_name"
        " extract_view_schema validation_table_sp_name validation_table_sp_schema is_full_load"
        " workspace_id lakehouse_id warehouse_id execution_group created_by created_timestamp"
        " modified_by modified_timestamp"
    )


def test_the_columns_of_details_are_the_contract_s_in_its_order() -> None:
    assert contract(EXTRACT_DETAILS) == (
        "creation_time is_active extract_name file_generation_group kv_azure_data_lake_url"
        " kv_azure_data_lake_secret_name extract_container extract_directory extract_file_name"
        " extract_file_name_timestamp_format extract_file_name_period_end_day"
        " extract_file_name_extension extract_file_name_ordering file_properties_column_delimiter"
        " file_properties_row_delimiter file_properties_encoding file_properties_quote_character"
        " file_properties_escape_character file_properties_header file_properties_null_value"
        " file_properties_max_rows_per_file output_format is_trigger_file trigger_file_extension"
        " is_compressed compressed_type compressed_level compressed_is_compress_multiple_files"
        " compressed_is_delete_old_files compressed_file_name compressed_timestamp_format"
        " compressed_period_end_day compressed_extension compressed_name_ordering"
        " compressed_is_trigger_file compressed_trigger_file_extension"
        " compressed_extract_container compressed_extract_directory is_encrypt_api"
        " encrypt_api_is_encrypt encrypt_api_is_create_trigger_file"
        " encrypt_api_trigger_file_extension encrypt_api_kv_token_authorisation"
        " encrypt_api_kv_azure_data_lake_connection_string"
        " encrypt_api_kv_azure_data_lake_account_name is_validation_table"
        " is_validation_table_external_data_source is_validation_table_external_file_format"
        " source_workspace_id source_datastore_id source_datastore_type source_schema_name"
        " target_workspace_id target_datastore_id target_datastore_type target_file_root_path"
        " fabric_lakehouse_path created_by created_timestamp modified_by modified_timestamp"
    )


def test_the_columns_of_runs_are_the_contract_s_in_its_order() -> None:
    assert contract(EXTRACT_RUNS) == (
        "log_id extract_name execution_group run_id run_timestamp run_status run_type source_type"
        " source_object source_schema output_format output_file_path output_file_name"
        " output_file_size_bytes rows_extracted rows_written files_generated is_compressed"
        " compressed_file_path compressed_file_name compressed_file_size_bytes compression_type"
        " trigger_file_created trigger_file_path start_time end_time duration_seconds"
        " throughput_rows_per_second memory_usage_mb_before memory_usage_mb_after error_message"
        " error_details workspace_id lakehouse_id warehouse_id notebook_run_id created_by"
        " created_timestamp"
    )


def test_own_columns_may_be_empty() -> None:
    for layout in (EXTRACTS, EXTRACT_DETAILS, EXTRACT_RUNS):
        own = layout.columns[layout.contract :]
        assert own
        assert all(column.nullable for column in own)


# --------------------------------------------------------------------------- rows by hand


def by_hand(row: Row, details: Row) -> dict[str, Any]:
    """Two rows of which somebody wrote only these columns."""
    name = {"extract_name": "e", "is_active": True}
    return read(
        {**dict.fromkeys(EXTRACTS.names), **name, **row},
        {**dict.fromkeys(EXTRACT_DETAILS.names), **name, **details},
    )


def test_what_a_row_leaves_empty_has_its_default() -> None:
    found = by_hand(
        {
            "extract_table_schema": "dbo",
            "extract_table_name": "customers",
            "execution_group": "DAILY_EXTRACTS",
        },
        {
            "source_datastore_type": "warehouse",
            "extract_container": "extracts",
            "extract_directory": "customers",
            "extract_file_name": "customers",
            "extract_file_name_timestamp_format": "yyyyMMdd_HHmmss",
            "file_properties_row_delimiter": "\\n",
            "file_properties_column_delimiter": "\\t",
            "output_format": "dat",
        },
    )
    assert found == {
        "extract_name": "e",
        "group": "DAILY_EXTRACTS",
        "source": {"datastore": "warehouse", "table": "dbo.customers"},
        "target": {"path": "extracts/customers"},
        "file_name": {"name": "customers", "timestamp_format": "yyyyMMdd_HHmmss"},
        "file": {"format": "dat", "delimiter": "\t", "line_ending": "lf"},
    }


QUERY = {"source_query": "SELECT 1"}
FOLDER = {"extract_container": "out"}


def test_an_archive_that_has_a_name_is_one() -> None:
    zipped = {
        "is_compressed": True,
        "compressed_type": "ZIP",
        "compressed_level": "NORMAL",
        "compressed_file_name": "sales_archive",
        "compressed_extension": ".zip",
    }
    compression = by_hand(QUERY, {**FOLDER, **zipped})["compression"]
    assert compression["archive"] == {"name": "sales_archive"}
    assert compression["level"] == "normal"
    apart = {"compressed_is_compress_multiple_files": False, "is_compressed": None}
    assert by_hand(QUERY, {**FOLDER, **zipped, **apart})["compression"] == compression
    split = {"file_properties_max_rows_per_file": 10}
    with pytest.raises(RowError, match="compressed_file_name is set, and several files"):
        by_hand(QUERY, {**FOLDER, **zipped, **apart, **split})


@pytest.mark.parametrize(
    ("row", "details", "message"),
    [
        ({"source_query": None}, {}, "extract_table_name: names no rows to take"),
        (
            {"extract_table_name": "t", "extract_view_name": "v", "source_query": None},
            {},
            "extract_table_name: table and view exclude each other",
        ),
        ({"extract_table_schema": "s"}, {}, "extract_table_schema is set, but extract_table_name"),
        ({"source_catalog": "c"}, {}, "source_catalog is set, but no table or view is"),
        ({"source_parameters": "{"}, {}, "source_parameters is not JSON"),
        ({"source_columns": "{}"}, {}, "source_columns is JSON, but not a list"),
        ({"source_columns": "[1]"}, {}, "source_columns: input should be a valid string, got 1"),
        ({"is_full_load": False}, {}, "neither of watermark_column and period_column is set"),
        ({"watermark_column": "w"}, {}, "is_full_load is true, but watermark_column is set"),
        ({}, {"output_format": "xml"}, "output_format: 'xml' is not a known word here"),
        ({}, {"output_format": "parquet", "file_properties_column_delimiter": ","}, "no delimiter"),
        ({}, {"extract_container": None}, "extract_container: path '' cannot be used"),
        ({}, {"extract_directory": "../x"}, "extract_container: path 'out/../x' cannot be used"),
        ({}, {"is_compressed": True}, "is_compressed is true, but nothing is set of it"),
        (
            {},
            {"is_compressed": False, "compressed_type": "GZIP"},
            "is_compressed is false, but compressed_type is set",
        ),
        (
            {},
            {"is_trigger_file": False, "trigger_file_extension": ".done"},
            "is_trigger_file is false, but trigger_file_extension is set",
        ),
        ({}, {"is_validation_table": True}, "is_validation_table is true, but nothing is set"),
        ({}, {"extract_file_name_ordering": 3}, "3 is no ordering of a file name"),
        ({}, {"file_properties_row_delimiter": ";"}, "';' ends no line"),
        (
            {},
            {"compressed_type": "ZIP", "compressed_is_delete_old_files": False},
            "compressed_is_delete_old_files is false",
        ),
        ({"execution_group": " g"}, {}, "execution_group: ' g' is no name"),
    ],
)
def test_a_row_that_cannot_be_used_is_told_with_its_column(
    row: Row, details: Row, message: str
) -> None:
    with pytest.raises(RowError) as told:
        by_hand({**QUERY, **row}, {**FOLDER, **details})
    assert message in str(told.value)
    assert told.value.hint


@pytest.mark.parametrize("column", sorted(REFUSED))
def test_a_column_that_is_not_served_is_refused_by_name(column: str) -> None:
    layout = EXTRACTS if column in EXTRACTS.names else EXTRACT_DETAILS
    kind = next(c.type for c in layout.columns if c.name == column)
    value = {column: True if kind == "BOOLEAN" else "x"}
    row, details = (value, {}) if layout is EXTRACTS else ({}, value)
    with pytest.raises(RowError, match=f"^{column}: not supported"):
        by_hand({**QUERY, **row}, {**FOLDER, **details})
    empty = {column: False if kind == "BOOLEAN" else ""}
    by_hand({**QUERY, **empty}, {**FOLDER, **empty})


def test_every_column_of_the_contract_is_read_or_refused() -> None:
    """A value that nobody looks at would be ignored."""
    row, details = rows()
    looked_at: set[str] = set()

    class Watched(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            looked_at.add(key)
            return super().get(key, default)

        def __getitem__(self, key: str) -> Any:
            looked_at.add(key)
            return super().__getitem__(key)

    from_rows(Watched(row), Watched(details))
    for layout in (EXTRACTS, EXTRACT_DETAILS):
        assert {*layout.names} - {*layout.stamps.names} - looked_at == set()


texts = st.none() | st.sampled_from(["", "a", "a.b", "..", "yyyyMMdd", "{}", "[]", "\\n", "\0"])
values = {
    "STRING": texts | st.text(max_size=5),
    "INT": st.none() | st.integers(-2, 40),
    "BIGINT": st.none() | st.integers(-2, 2**63 - 1),
    "BOOLEAN": st.none() | st.booleans(),
    "TIMESTAMP": st.none(),
}


def any_row(layout: TableLayout) -> st.SearchStrategy[Row]:
    served = [c for c in layout.columns if c.name not in REFUSED]
    changed = st.fixed_dictionaries({}, optional={c.name: values[c.type] for c in served})
    return changed.map(lambda row: {k: row[k] for k in list(row)[:4]})


@settings(max_examples=300, deadline=None)
@given(extracts(), any_row(EXTRACTS), any_row(EXTRACT_DETAILS))
def test_any_rows_are_an_extract_or_a_row_error(extract: Extract, one: Row, two: Row) -> None:
    row, details = to_rows(extract)
    try:
        found = from_rows({**row, **one}, {**details, **two})
    except RowError:
        return
    again = from_rows(*to_rows(found))
    assert to_rows(again) == to_rows(found)


# --------------------------------------------------------------------------- all rows


def test_a_bad_row_is_told_and_the_others_go_on() -> None:
    good, bad = rows(extract_name="good"), rows(extract_name="bad")
    bad[1]["output_format"] = "xml"
    found = read_extracts([good[0], bad[0]], [bad[1], good[1]], table=CONTROL)
    assert [e.extract_name for e in found.extracts] == ["good"]
    assert " ".join(map(str, found.problems)) == (
        "main.lakeflow.etl_control_extracts: bad: output_format: 'xml' is not a known word here"
        " (known: csv, dat, json, jsonl, parquet, tsv)"
    )


def test_nothing_can_be_wrong_with_a_row_that_is_inactive() -> None:
    bad = rows(extract_name="bad")
    bad[1]["output_format"] = "xml"
    bad[0]["is_active"] = False
    found = read_extracts([bad[0]], [bad[1]], table=CONTROL)
    assert found.problems == ()
    assert [b.extract_name for b in found.bad] == ["bad"]


def test_an_extract_is_inactive_when_one_of_its_rows_is() -> None:
    row, details = rows()
    assert from_rows(row, details).is_active is None
    assert from_rows(row, {**details, "is_active": False}).is_active is False
    found = read_extracts([{**row, "is_active": False}], [details], table=CONTROL)
    assert found.active == ()
    assert len(found.extracts) == 1


def test_half_of_an_extract_and_two_rows_of_one_key_are_told() -> None:
    row, details = rows()
    half = read_extracts([row], [], table=CONTROL).problems
    assert "no row of it in …_extract_details" in half[0].message
    orphan = read_extracts([], [details], table=CONTROL).problems
    assert "no row of it in …_extracts" in orphan[0].message
    twice = read_extracts([row, row], [details], table=CONTROL).problems
    assert "2 rows of …_extracts have this key" in twice[0].message


def test_extracts_come_by_order_then_name_those_without_an_order_last() -> None:
    pairs = [rows(extract_name="c"), rows(extract_name="b", execution_order=2)]
    pairs.append(rows(extract_name="a", execution_order=2))
    found = read_extracts([p[0] for p in pairs], [p[1] for p in pairs], table=CONTROL)
    assert [extract.extract_name for extract in found.active] == ["a", "b", "c"]
