"""Live tables read from logs: written by delta-rs, and by hand as the protocol allows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pytest

from lakeflow_meta.backends.delta_log import DeltaLogReader
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.live import LiveTable, TableState, Unreadable

NAME = TableName("Main", "Silver", "Orders")
FIELD = {"name": "id", "type": "integer", "nullable": False, "metadata": {"comment": "key"}}


def _read(root: Path, name: TableName = NAME) -> TableState:
    return DeltaLogReader(root).describe([name])[name]


def _live(root: Path) -> LiveTable:
    state = _read(root)
    assert isinstance(state, LiveTable), state
    return state


def _folder(root: Path) -> Path:
    return root / "main" / "silver" / "orders"


def _metadata(*fields: Mapping[str, Any], **configuration: str) -> dict[str, Any]:
    schema = json.dumps({"type": "struct", "fields": list(fields)})
    found = {key.replace("__", "."): value for key, value in configuration.items()}
    return {"schemaString": schema, "partitionColumns": [], "configuration": found}


def _commit(root: Path, version: int, *actions: Mapping[str, Any]) -> None:
    log = _folder(root) / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(action, separators=(",", ":")) for action in ({"commitInfo": {}}, *actions)]
    (log / f"{version:020}.json").write_text("\n".join(lines) + "\n")


def _protocol(*features: str) -> dict[str, Any]:
    return {"minReaderVersion": 3, "minWriterVersion": 7, "writerFeatures": list(features)}


def _domain(*columns: str, removed: bool = False) -> dict[str, Any]:
    configuration = json.dumps({"clusteringColumns": [[column] for column in columns]})
    domain = {"domain": "delta.clustering", "configuration": configuration, "removed": removed}
    return {"domainMetadata": domain}


def test_a_table_of_delta_rs_is_read_through_its_checkpoints(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    folder.parent.mkdir(parents=True)
    data = pa.table({"id": pa.array([1], pa.int64()), "day": ["x"]})
    deltalake.write_deltalake(
        folder,
        data,
        partition_by=["day"],
        description="all orders",
        configuration={"delta.appendOnly": "true"},
    )
    for _ in range(3):
        deltalake.write_deltalake(folder, data, mode="append")
    table = deltalake.DeltaTable(folder)
    table.create_checkpoint()
    deltalake.write_deltalake(folder, data, mode="append")
    for version in range(3):
        (folder / "_delta_log" / f"{version:020}.json").unlink()

    live = _live(tmp_path)

    assert live.version == 4
    assert live.comment == "all orders"
    assert dict(live.properties) == {"delta.appendOnly": "true"}
    assert live.partitioned_by == ("day",)
    assert [(c.name, str(c.data_type)) for c in live.columns] == [
        ("id", "bigint"),
        ("day", "string"),
    ]


def test_the_newest_metadata_wins_and_checks_are_no_properties(tmp_path: Path) -> None:
    old = _metadata(FIELD)
    new = _metadata(FIELD, delta__constraints__Positive="id > 0", mine="1")
    _commit(tmp_path, 0, {"protocol": _protocol()}, {"metaData": old})
    _commit(tmp_path, 1, {"metaData": new})
    _commit(tmp_path, 2)
    live = _live(tmp_path)
    assert (live.version, dict(live.checks)) == (2, {"positive": "id > 0"})
    assert dict(live.properties) == {"mine": "1"}
    assert (live.columns[0].comment, live.columns[0].nullable) == ("key", False)


def test_clustering_is_told_by_logical_names_and_its_removal_is_seen(tmp_path: Path) -> None:
    mapped = {**FIELD, "metadata": {"delta.columnMapping.physicalName": "col-1"}}
    protocol = {"protocol": _protocol("clustering", "domainMetadata")}
    _commit(tmp_path, 0, protocol, {"metaData": _metadata(mapped)}, _domain("col-1"))
    assert _live(tmp_path).clustered_by == ("id",)
    _commit(tmp_path, 1, _domain("col-1", removed=True))
    assert _live(tmp_path).clustered_by == ()


def test_a_checksum_spares_the_log_but_only_that_of_the_newest_commit(tmp_path: Path) -> None:
    _commit(tmp_path, 0, {"protocol": _protocol()}, {"metaData": _metadata(FIELD)})
    other = {**_metadata(FIELD), "description": "from the checksum"}
    checksum = {"metadata": other, "protocol": _protocol()}
    log = _folder(tmp_path) / "_delta_log"
    (log / f"{0:020}.crc").write_text(json.dumps(checksum))
    assert _live(tmp_path).comment == "from the checksum"
    _commit(tmp_path, 1)
    assert _live(tmp_path).comment == ""


def test_a_checksum_without_the_clustering_is_not_enough(tmp_path: Path) -> None:
    protocol = _protocol("clustering")
    _commit(tmp_path, 0, {"protocol": protocol}, {"metaData": _metadata(FIELD)}, _domain("id"))
    checksum = {"metadata": _metadata(FIELD), "protocol": protocol}
    (_folder(tmp_path) / "_delta_log" / f"{0:020}.crc").write_text(json.dumps(checksum))
    assert _live(tmp_path).clustered_by == ("id",)


def test_absent_is_told_from_no_schema_from_no_delta_table_and_from_a_view(tmp_path: Path) -> None:
    assert isinstance(missing := _read(tmp_path), Unreadable)
    assert (missing.kind, "CREATE SCHEMA IF NOT EXISTS Main.Silver" in missing.hint) == (
        "no_schema",
        True,
    )
    _folder(tmp_path).parent.mkdir(parents=True)
    assert _read(tmp_path) is None
    _folder(tmp_path).mkdir()
    assert _read(tmp_path) is None
    (_folder(tmp_path) / "data.csv").write_text("a")
    assert isinstance(foreign := _read(tmp_path), Unreadable)
    assert foreign.kind == "not_delta"
    notes = _folder(tmp_path).parent / "_lakeflow"
    notes.mkdir()
    (notes / "v.json").write_text(json.dumps({"view": ["CREATE VIEW …"]}))
    assert isinstance(view := _read(tmp_path, NAME.sibling("V")), Unreadable)
    assert view.reason == "Main.Silver.V is a view"
    (notes / "c.json").write_text(json.dumps({"table": "CREATE TABLE c (a INT) USING csv"}))
    assert isinstance(as_csv := _read(tmp_path, NAME.sibling("C")), Unreadable)
    assert as_csv.kind == "not_delta"


def test_a_table_that_lies_elsewhere_is_found_by_its_note(tmp_path: Path) -> None:
    _commit(tmp_path, 0, {"protocol": _protocol()}, {"metaData": _metadata(FIELD)})
    elsewhere = tmp_path / "a b%20c"
    _folder(tmp_path).rename(elsewhere)
    notes = _folder(tmp_path).parent / "_lakeflow"
    notes.mkdir()
    note = notes / f"{NAME.name.lower()}.json"
    note.write_text(json.dumps({"location": f"file:{elsewhere}"}))
    assert [column.name for column in _live(tmp_path).columns] == [FIELD["name"]]
    for place in ("s3a://bucket/x", str(tmp_path / "gone")):
        note.write_text(json.dumps({"location": place}))
        assert isinstance(_read(tmp_path), Unreadable)


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ({**FIELD, "type": "void"}, "column 'id': type 'void' is not known"),
        ({**FIELD, "metadata": {"__COLLATIONS": {"id": "icu.UNICODE"}}}, "has a collation"),
    ],
)
def test_a_column_that_cannot_be_understood_makes_its_table_unreadable(
    tmp_path: Path, field: dict[str, Any], reason: str
) -> None:
    _commit(tmp_path, 0, {"protocol": _protocol()}, {"metaData": _metadata(field)})
    assert isinstance(state := _read(tmp_path), Unreadable)
    assert state.kind == "unknown_type"
    assert reason in state.reason


def test_a_log_with_a_hole_or_with_broken_text_is_damaged_not_absent(tmp_path: Path) -> None:
    _commit(tmp_path, 0, {"protocol": _protocol()}, {"metaData": _metadata(FIELD)})
    _commit(tmp_path, 2)
    assert isinstance(hole := _read(tmp_path), Unreadable)
    assert "commit 1 is missing" in hole.reason
    (_folder(tmp_path) / "_delta_log" / f"{2:020}.json").write_text('{"metaData"oops\n')
    assert isinstance(broken := _read(tmp_path), Unreadable)
    assert broken.kind == "damaged"


def test_a_checkpoint_of_which_a_part_is_missing_is_not_used(tmp_path: Path) -> None:
    _commit(tmp_path, 0, {"protocol": _protocol()}, {"metaData": _metadata(FIELD)})
    _commit(tmp_path, 1)
    log = _folder(tmp_path) / "_delta_log"
    (log / f"{1:020}.checkpoint.{1:010}.{2:010}.parquet").write_bytes(b"half")
    assert _live(tmp_path).version == 1


def test_a_newer_checkpoint_in_json_is_read_like_the_others(tmp_path: Path) -> None:
    _commit(tmp_path, 7)
    log = _folder(tmp_path) / "_delta_log"
    actions = [{"protocol": _protocol("clustering")}, {"metaData": _metadata(FIELD)}, _domain("id")]
    name = f"{7:020}.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json"
    lines = [json.dumps(action, separators=(",", ":")) for action in actions]
    (log / name).write_text("\n".join(lines))
    live = _live(tmp_path)
    assert (live.version, live.clustered_by) == (7, ("id",))


def test_names_that_differ_in_case_are_one_table(tmp_path: Path) -> None:
    _commit(tmp_path, 0, {"protocol": _protocol()}, {"metaData": _metadata(FIELD)})
    names = [NAME, TableName("main", "silver", "orders"), NAME.sibling("gone")]
    found = DeltaLogReader(tmp_path).describe(names)
    assert [found[name] is None for name in names] == [False, False, True]
