"""An extract that exists obeys the rules; one that does not is told all that is wrong."""

from typing import Any

import pytest
from extract_samples import declared, extracts, problems_of
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lakeflow_meta.extract.config import Extract
from lakeflow_meta.extract.overlaps import overlaps
from lakeflow_meta.findings import validation_findings


def extract(**changes: Any) -> Extract:
    return Extract.model_validate(declared(**changes))


def test_an_extract_needs_a_name_a_source_and_a_folder() -> None:
    with pytest.raises(ValidationError) as told:
        Extract.model_validate({})
    assert [f.message for f in validation_findings(told.value, Extract)] == [
        "extract_name is missing",
        "source is missing",
        "target is missing",
    ]


WAREHOUSE = {"datastore": "warehouse", "procedure": "dbo.report"}


@pytest.mark.parametrize(
    ("changes", "path", "message", "hint"),
    [
        ({"fil": {}}, "fil", "unknown key 'fil'", "did you mean file?"),
        ({"file": {"fotmat": "csv"}}, "file.fotmat", "unknown key", "did you mean format?"),
        ({"file": {"format": "csw"}}, "file.format", "not a known word", "did you mean csv?"),
        ({"extract_name": " a"}, "extract_name", "' a' is no name", "without spaces"),
        ({"extract_name": "a/b"}, "extract_name", "is no file name", "write file_name: {name: …}"),
        ({"group": ""}, "group", "at least 1 character", ""),
        ({"execution_order": 2**31}, "execution_order", "less than 2147483648", ""),
        ({"source": {}}, "source", "names no rows to take", "table, view, procedure"),
        (
            {"source": {"table": "a.b.c", "view": "a.b.v", "procedure": "p"}},
            "source",
            "table and view and procedure exclude each other",
            "write one of",
        ),
        ({"source": {"table": "b.c"}}, "source.table", "is not the name", "catalog.schema.name"),
        (
            {"source": {"table": "a.b.c", "datastore": "warehouse"}},
            "source.table",
            "is not the name",
            "schema.name, as a warehouse",
        ),
        ({"source": {"procedure": "a.b.c"}}, "source.procedure", "no procedures", "write a query"),
        ({"source": {"query": " "}}, "source.query", "nothing but spaces", "remove the key"),
        (
            {"source": {"query": "SELECT :a", "parameters": {"a": 1, "b": 2}}},
            "source.parameters.b",
            "does not use :b",
            "remove it",
        ),
        (
            {"source": {"query": "SELECT 1", "parameters": {"a-b": 1}}},
            "source.parameters.a-b",
            "no name of a parameter",
            "letters",
        ),
        (
            {"source": {"table": "a.b.c", "parameters": {"a": 1}}},
            "source.parameters",
            "a table takes none",
            "write where",
        ),
        (
            {"source": {"query": "SELECT 1", "parameters": {"a": float("nan")}}},
            "source.parameters.a",
            "nan is no text, number or boolean",
            "in quotes",
        ),
        ({"source": {"template": "x.sql"}}, "source.template", "no SQL template", "x.sql.jinja"),
        (
            {"source": {"template": "../x.sql.jinja"}},
            "source.template",
            "'..' is no folder",
            "write folders",
        ),
        (
            {"source": {"table": "a.b.c", "columns": ["x", "X"]}},
            "source.columns[1]",
            "column 'X' is written twice",
            "keep one",
        ),
        ({"source": {**WAREHOUSE, "where": "a = 1"}}, "source.where", "as they are", "parameters"),
        ({"load": {"mode": "incremental"}}, "load", "needs watermark_column", "add"),
        ({"load": {"mode": "period", "period_column": "d"}}, "load", "needs period_query", "add"),
        (
            {"load": {"watermark_column": "w"}},
            "load.watermark_column",
            "load mode full has no watermark_column",
            "mode: incremental",
        ),
        (
            {"source": WAREHOUSE, "load": {"mode": "incremental", "watermark_column": "w"}},
            "load.mode",
            "cannot be chosen by a column",
            "write a query",
        ),
        ({"target": {"path": "../x"}}, "target.path", "'..' is no folder", "write folders"),
        ({"file_name": {"name": "a:b"}}, "file_name.name", "is no file name", "_ or -"),
        (
            {"file_name": {"name": "a", "timestamp_format": "HH:mm"}},
            "file_name",
            "holds ':'",
            "_ or -",
        ),
        (
            {"file_name": {"timestamp_format": "yyyymmdd"}},
            "file_name.timestamp_format",
            "cannot be read",
            "did you mean yyyyMMdd?",
        ),
        (
            {"file_name": {"timestamp_format": "yyyyMMddXX"}},
            "file_name.timestamp_format",
            "no offset",
            "time_zone",
        ),
        (
            {"file_name": {"timestamp_format": "yyyyMMdd_HH", "period_end_day": 31}},
            "file_name.timestamp_format",
            "is a date, and has no time",
            "write yyyyMMdd",
        ),
        (
            {"file_name": {"period_end_day": 31}},
            "file_name.period_end_day",
            "says nothing without timestamp_format",
            "add",
        ),
        ({"file_name": {"time_zone": "UTC"}}, "file_name.time_zone", "says nothing", "add"),
        (
            {"file_name": {"timestamp_format": "yyyy", "time_zone": "Europe/Berln"}},
            "file_name.time_zone",
            "unknown time zone",
            "Europe/Berlin",
        ),
        (
            {"file_name": {"name": "x" * 240, "timestamp_format": "yyyyMMdd_HHmmss"}},
            "file_name",
            "more than 255 bytes",
            "shorten it",
        ),
        ({"file_name": {"extension": "a/b"}}, "file_name.extension", "no file name", "target"),
        ({"file": {"encoding": "utf-88"}}, "file.encoding", "unknown encoding", "utf-8"),
        ({"file": {"encoding": "rot13"}}, "file.encoding", "unknown encoding", "utf-8"),
        ({"file": {"encoding": "idna"}}, "file.encoding", "no encoding of files", "utf-8"),
        (
            {"file": {"encoding": "ascii", "delimiter": "§"}},
            "file.delimiter",
            "cannot be written in ascii",
            "choose another",
        ),
        ({"file": {"delimiter": "||"}}, "file.delimiter", "not one character", "write one"),
        ({"file": {"quote": ","}}, "file.quote", "the same character ','", "choose another"),
        (
            {"file": {"format": "tsv", "delimiter": ","}},
            "file.delimiter",
            "delimited by tabs",
            "csv or dat",
        ),
        (
            {"file": {"format": "parquet", "header": True}},
            "file.header",
            "a parquet file has no header",
            "remove it",
        ),
        (
            {"file": {"format": "jsonl", "encoding": "cp1252"}},
            "file.encoding",
            "a jsonl file has no encoding",
            "remove it",
        ),
        (
            {"file": {"format": "parquet", "date_format": "yyyy"}},
            "file.date_format",
            "a parquet file has no date_format",
            "remove it",
        ),
        ({"file": {"date_format": "HH"}}, "file.date_format", "a date has none", "yyyy-MM-dd"),
        ({"file": {"time_zone": "UTC"}}, "file.time_zone", "says nothing", "timestamp_format"),
        ({"file": {"decimal_separator": ";"}}, "file.decimal_separator", "no decimals", "'.'"),
        ({"file": {"footer": "{row}"}}, "file.footer", "knows no {row}", "did you mean rows?"),
        ({"file": {"footer": "{rows"}}, "file.footer", "cannot be read", "{{"),
        ({"file": {"footer": "a\nb"}}, "file.footer", "one line", "remove"),
        (
            {"file": {"max_rows_per_file": 1, "max_bytes_per_file": 1}},
            "file",
            "exclude each other",
            "keep one",
        ),
        (
            {"compression": {"type": "snappy"}},
            "compression.type",
            "a csv file is not compressed by snappy",
            "gzip, zip, zstd",
        ),
        (
            {"compression": {"type": "zip"}, "file": {"format": "parquet"}},
            "compression.type",
            "a parquet file is not compressed by zip",
            "snappy",
        ),
        (
            {"compression": {"type": "gzip", "level": "most"}},
            "compression.level",
            "'most' is not a known word",
            "known: maximum, minimum, normal",
        ),
        (
            {"compression": {"type": "gzip", "level": 0}},
            "compression.level",
            "gzip has no level 0",
            "1 to 9",
        ),
        (
            {"compression": {"type": "snappy", "level": 1}, "file": {"format": "parquet"}},
            "compression.level",
            "snappy has no levels",
            "remove it",
        ),
        (
            {"compression": {"type": "gzip", "archive": {}}},
            "compression.archive",
            "is no archive",
            "type: zip",
        ),
        (
            {"compression": {"type": "gzip", "extension": "z"}, "file": {"format": "parquet"}},
            "compression.extension",
            "compressed inside",
            "remove it",
        ),
        (
            {"trigger": {"extension": ".CSV"}},
            "file_name",
            "the trigger file has the name of the data file",
            "another extension",
        ),
        ({"validation": {}}, "validation", "says nothing", "add query"),
        (
            {"validation": {"query": "q", "procedure": "a.b"}},
            "validation",
            "exclude each other",
            "keep one",
        ),
        (
            {"validation": {"max_failed_rows": 1}},
            "validation.max_failed_rows",
            "counts the rows of a query",
            "add query",
        ),
        (
            {"validation": {"min_rows": 2, "max_rows": 1}},
            "validation.min_rows",
            "min_rows 2 is more than max_rows 1",
            "",
        ),
    ],
)
def test_what_is_wrong_is_told_at_its_place(
    changes: dict[str, Any], path: str, message: str, hint: str
) -> None:
    found = problems_of(**changes)
    assert path in found, found
    assert message in found[path][0]
    assert hint in found[path][1]


def test_all_that_contradicts_is_told_at_once() -> None:
    found = problems_of(
        source={"table": "b.c"},
        file={"format": "parquet", "quote": "'"},
        load={"mode": "period"},
        trigger={"extension": "parquet"},
    )
    assert found.keys() == {"source.table", "file.quote", "load", "file_name"}


def test_words_are_read_in_any_case() -> None:
    found = extract(file={"format": "CSV"}, compression={"type": "GZIP", "level": "MAXIMUM"})
    assert found.compression
    assert (found.file.format, found.compression.level_number) == ("csv", 9)


@pytest.mark.parametrize(
    ("compression", "level"),
    [
        ({"type": "gzip"}, 6),
        ({"type": "gzip", "level": "minimum"}, 1),
        ({"type": "zip", "level": "minimum"}, 1),
        ({"type": "zip", "level": 0}, 0),
        ({"type": "zstd", "level": "maximum"}, 22),
    ],
)
def test_a_level_is_a_number_of_the_algorithm(compression: dict[str, Any], level: int) -> None:
    found = extract(compression=compression).compression
    assert found
    assert found.level_number == level


@pytest.mark.parametrize(
    ("file", "delimiter", "escape"),
    [
        ({}, ",", '"'),
        ({"format": "tsv"}, "\t", '"'),
        ({"format": "dat"}, "|", '"'),
        ({"delimiter": ";", "quote": "'"}, ";", "'"),
        ({"escape": "\\"}, ",", "\\"),
    ],
)
def test_what_is_not_written_has_the_format_s_default(
    file: dict[str, Any], delimiter: str, escape: str
) -> None:
    used = extract(file=file).file.delimited()
    assert (used.delimiter, used.escape) == (delimiter, escape)
    assert (used.header, used.null_value, used.encoding, used.line_ending) == (
        True,
        "",
        "utf-8",
        "\n",
    )


@pytest.mark.parametrize(
    ("changes", "files"),
    [
        ({}, {"data file": "customers.csv"}),
        (
            {"file_name": {"name": "c"}, "compression": {"type": "gzip"}, "manifest": True},
            {"data file": "c.csv.gz", "manifest": "c.manifest.json"},
        ),
        (
            {"file": {"format": "parquet"}, "compression": {"type": "snappy"}, "trigger": {}},
            {"data file": "customers.parquet", "trigger file": "customers.done"},
        ),
        (
            {"file_name": {"extension": ".txt"}, "compression": {"type": "zip", "extension": "z"}},
            {"data file": "customers.txt.z"},
        ),
        (
            {
                "file": {"max_rows_per_file": 5},
                "compression": {"type": "zip", "archive": {"name": "all"}},
                "trigger": {"extension": ".ok"},
            },
            {"archive": "all.zip", "trigger file": "all.ok"},
        ),
    ],
)
def test_an_extract_knows_what_its_files_are_called(
    changes: dict[str, Any], files: dict[str, str]
) -> None:
    found = extract(**changes)
    assert {what: name.write() for what, name in found.published_files().items()} == files


def test_files_inside_an_archive_keep_their_own_names() -> None:
    found = extract(
        file={"max_rows_per_file": 5}, compression={"type": "zip", "archive": {"name": "all"}}
    )
    assert found.data_file().write(part=2) == "customers_part0002.csv"


# --------------------------------------------------------------------------- several extracts


def told(*found: Extract) -> list[tuple[int, int, str]]:
    return [(later, earlier, finding.message) for later, earlier, finding in overlaps(found)]


def test_two_extracts_that_would_write_one_file_are_told() -> None:
    dated = {"name": "c", "timestamp_format": "yyyyMMdd"}
    one = extract(extract_name="one", file_name=dated)
    two = extract(extract_name="two", file_name={**dated, "name": "C"})
    assert told(one, two) == [
        (1, 0, "writes the same files as extract 'one': c_########.csv"),
    ]


def test_another_folder_another_name_or_a_soft_delete_is_no_overlap() -> None:
    name = {"name": "c"}
    one = extract(extract_name="one", file_name=name)
    elsewhere = extract(extract_name="two", file_name=name, target={"path": "out/other"})
    deleted = extract(extract_name="three", file_name=name, is_active=False)
    assert told(one, elsewhere, deleted, extract()) == []


def test_a_trigger_file_may_not_be_the_data_of_another() -> None:
    one = extract(extract_name="one", trigger={"extension": "done"}, file_name={"name": "c"})
    two = extract(extract_name="two", file_name={"name": "c", "extension": "done"})
    assert told(one, two) == [(1, 0, "writes the same files as extract 'one': c.done")]


@given(extracts())
def test_no_extract_overlaps_with_itself(found: Extract) -> None:
    assert told(found) == []


@given(st.recursive(st.text(max_size=3) | st.integers() | st.none(), st.lists), extracts())
def test_any_value_in_any_place_is_an_extract_or_findings(value: Any, found: Extract) -> None:
    for key in found.document():
        problems = problems_of(**{**found.document(), key: value})
        assert all(message for message, _ in problems.values())
