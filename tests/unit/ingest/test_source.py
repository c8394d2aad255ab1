"""What people may declare of a file source, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lakeflow_meta.control.rows import Source
from lakeflow_meta.errors import SpecError
from lakeflow_meta.ingest.formats import FileFormat
from lakeflow_meta.ingest.source import (
    FileSource,
    check_file_source,
    check_source,
    is_file_source,
)

CONFIG = {"path": "data/in", "format": "csv"}
TARGET = {"table": "main.raw.people"}


def refused(config: dict[str, Any], target: dict[str, Any] | None = None) -> str:
    with pytest.raises(SpecError) as caught:
        FileSource.parse("m/s", config, target or TARGET)
    return str(caught.value)


def test_the_target_is_one_name_or_three_parts() -> None:
    parts = {"catalog": "main", "schema": "raw", "table": "people"}
    for target in (TARGET, parts):
        assert str(FileSource.parse("m/s", CONFIG, target).target) == "main.raw.people"
    assert "catalog, schema and table" in refused(CONFIG, {"table": "people", "catalog": "main"})
    assert "2 part(s)" in refused(CONFIG, {"table": "raw.people"})


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"path": "in", "glob": "*.csv.gz"}, FileFormat.CSV),
        ({"path": "in/day.ndjson"}, FileFormat.JSONL),
        ({"path": "in/*.PARQUET"}, FileFormat.PARQUET),
        ({"path": "in/notes.txt"}, FileFormat.TEXT),
    ],
)
def test_the_format_may_be_told_by_a_name(config: dict[str, Any], expected: FileFormat) -> None:
    assert FileSource.parse("m/s", config, TARGET).file_format is expected


def test_a_format_that_nothing_tells_is_missing() -> None:
    assert "format is missing" in refused({"path": "in"})


def test_every_problem_of_both_columns_is_told_at_once() -> None:
    text = refused({"path": "in", "formt": "csv"}, {"tabel": "main.raw.people"})
    assert "did you mean format?" in text
    assert "did you mean table?" in text


@pytest.mark.parametrize(
    ("config", "target", "told"),
    [
        ({"on_change": "sometimes"}, {}, "on_change"),
        ({"after_success": "archive"}, {}, "archive_path"),
        ({"archive_path": "old"}, {}, "after_success: archive"),
        ({"row_wise": True}, {}, "transform"),
        ({"transform": "clean"}, {}, "transform"),
        ({"max_bytes": "many"}, {}, "is no size"),
        ({"format": "delta", "after_success": "delete"}, {}, "a Delta table is not archived"),
        ({}, {"write_mode": "merge"}, "needs keys"),
        ({}, {"merge_keys": ["id"]}, "belong to write_mode: merge"),
        ({}, {"partition_by": ["a"], "cluster_by": ["b"]}, "not both"),
        ({}, {"quarantine_table": "main.raw.bad"}, "drops rows"),
        ({}, {"expectations": [{"name": "a", "condition": "x > 0"}] * 2}, "named twice: a"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(
    config: dict[str, Any], target: dict[str, Any], told: str
) -> None:
    assert told in refused({**CONFIG, **config}, {**TARGET, **target})


def test_sizes_are_numbers_of_bytes_or_text_with_a_unit() -> None:
    sizes = {"500": 500, "2 KB": 2048, "1.5GB": 1536 * 2**20, "1g": 2**30}
    for text, expected in sizes.items():
        parsed = FileSource.parse("m/s", {**CONFIG, "max_bytes": text}, TARGET)
        assert parsed.source_config.max_bytes == expected


@pytest.mark.parametrize("option", ["ignoreCorruptFiles", "pathGlobFilter", "BASEPATH"])
def test_options_that_lose_files_or_have_a_key_of_their_own_are_refused(option: str) -> None:
    assert option in refused({**CONFIG, "options": {option: "x"}})


def test_a_mistyped_reader_option_is_found_and_an_unknown_one_is_left_to_spark() -> None:
    assert "did you mean delimiter?" in refused({**CONFIG, "options": {"delimeter": ";"}})
    kept = FileSource.parse("m/s", {**CONFIG, "options": {"someNewOption": 1}}, TARGET)
    assert kept.source_config.options == {"someNewOption": 1}


def test_json_lines_are_never_read_as_one_document() -> None:
    config = {"path": "in", "format": "jsonl", "options": {"multiLine": True}}
    assert "multiLine" in refused(config)


def test_xml_needs_its_row_element() -> None:
    assert "rowTag" in refused({"path": "in", "format": "xml"})


def row(**changes: Any) -> Source:
    return Source(**{"module_name": "m", "source_id": "s", "source_type": "file", **changes})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (row(), True),
        (row(source_type="csv"), True),
        (row(source_type="sql"), False),
        (row(transformation_config={"timeout_seconds": 60}), True),
        (row(transformation_config={"task_type": "notebook"}), False),
        (row(transformation_config={"notebook_path": "x.py"}), False),
        (row(source_type="sql", transformation_config={"task_type": "ingest"}), True),
    ],
)
def test_the_ingestor_serves_file_sources_without_another_task(
    source: Source, expected: bool
) -> None:
    assert is_file_source(source) is expected


def test_a_source_type_may_name_the_format() -> None:
    source = row(source_type="csv", source_config={"path": "in"}, target_config=TARGET)
    assert FileSource.of(source).file_format is FileFormat.CSV
    assert FileSource.of(source).name == "m/s"


def test_a_delta_table_is_not_appended() -> None:
    """Each version has all rows of the one before."""
    (found,) = check_file_source({"path": "t", "format": "delta"}, {"table": "a.b.c"})
    assert found.path == ("target_config", "write_mode")
    assert "overwrite, or merge" in found.hint
    merge = {"table": "a.b.c", "write_mode": "merge", "keys": ["id"]}
    assert not check_file_source({"path": "t", "format": "delta"}, merge)


def test_metadata_is_checked_with_the_format_that_the_source_type_names() -> None:
    source = Source("s", "m", "json", source_config={"path": "in"}, target_config=TARGET)
    assert not check_source(source)
    assert FileSource.of(source).file_format is FileFormat.JSON
    assert check_source(replace(source, source_type="file"))[0].path == ("source_config",)
