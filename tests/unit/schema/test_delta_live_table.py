"""Everything that a log and the notes of a workspace tell of a table or a view."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lakeflow_meta.backends.delta_log import DeltaLogReader
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.live import LiveTable, LiveView, TableState, Unreadable
from lakeflow_meta.schema.table import Column, Identity
from lakeflow_meta.schema.types import (
    Array,
    Char,
    Date,
    Long,
    Map,
    String,
    Struct,
    StructField,
    Varchar,
    Void,
)

NAME = TableName("main", "silver", "orders")
LENGTHS = "__CHAR_VARCHAR_TYPE_STRING"


def _field(name: str, kind: Any, *, nullable: bool = True, **metadata: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "nullable": nullable, "metadata": metadata}


def _text(name: str, noted: str) -> dict[str, Any]:
    return _field(name, "string", **{LENGTHS: noted})


def _struct(*fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "struct", "fields": list(fields)}


def _write(
    folder: Path, *fields: Mapping[str, Any], clustering: Any = None, **configuration: str
) -> None:
    log = folder / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    metadata = {"schemaString": json.dumps(_struct(*fields)), "configuration": configuration}
    actions: list[dict[str, Any]] = [
        {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7}},
        {"metaData": metadata},
    ]
    if clustering is not None:
        domain = {"domain": "delta.clustering", "removed": False}
        domain["configuration"] = json.dumps({"clusteringColumns": clustering})
        actions.append({"domainMetadata": domain})
    (log / f"{0:020}.json").write_text("\n".join(map(json.dumps, actions)))


def _folder(root: Path) -> Path:
    return root / "main" / "silver" / "orders"


def _state(root: Path) -> TableState:
    return DeltaLogReader(root).describe([NAME])[NAME]


def _live(root: Path, *fields: Mapping[str, Any], **parts: Any) -> LiveTable:
    _write(_folder(root), *fields, **parts)
    state = _state(root)
    assert isinstance(state, LiveTable), state
    assert (state.keys, state.tags) == (None, None)
    return state


def _columns(root: Path, *fields: Mapping[str, Any]) -> tuple[Column, ...]:
    return _live(root, *fields).columns


def test_defaults_generated_columns_and_identities_are_told(tmp_path: Path) -> None:
    numbers = {f"delta.identity.{key}": n for key, n in (("start", 5), ("step", -2))}
    explicit = "delta.identity.allowExplicitInsert"
    found = _columns(
        tmp_path,
        _field("a", "long", CURRENT_DEFAULT="1 + 2", comment="c"),
        _field("b", "date", **{"delta.generationExpression": "cast(ts as date)"}),
        _field("c", "long", **numbers, **{explicit: False, "delta.identity.highWaterMark": 7}),
        _field("d", "long", **numbers, **{explicit: True}),
        _field("e", "void", nullable=False),
    )
    assert found == (
        Column("a", Long(), comment="c", default="1 + 2"),
        Column("b", Date(), generated="cast(ts as date)"),
        Column("c", Long(), identity=Identity(5, -2, always=True)),
        Column("d", Long(), identity=Identity(5, -2, always=False)),
        Column("e", Void(), nullable=False),
    )


def test_lengths_are_laid_over_types_that_keep_all_else(tmp_path: Path) -> None:
    texts = {"type": "array", "elementType": "string", "containsNull": True}
    pairs = {"type": "map", "keyType": "string", "valueType": texts, "valueContainsNull": True}
    inner = _struct(
        _field("x", "string", nullable=False, comment="hey"),
        _field("added", "string"),
        _field("m", pairs),
    )
    noted = "struct<gone:int,m:map<char(2),array<varchar(7)>>,X:varchar(3)>"
    a, b, c = _columns(
        tmp_path,
        _text("a", "char(3)"),
        _field("b", inner, **{LENGTHS: noted}),
        _text("c", "string"),
    )
    assert (a.data_type, c.data_type) == (Char(3), String())
    assert b.data_type == Struct(
        (
            StructField("x", Varchar(3), nullable=False, comment="hey"),
            StructField("added", String()),
            StructField("m", Map(Char(2), Array(Varchar(7)))),
        )
    )


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (_field("id", "geometry"), "column 'id': type 'geometry' is not known"),
        (_text("id", "varchar(3"), "column 'id': type 'varchar(3'"),
        (_field("id", "string", __COLLATIONS={"id": "icu.UNICODE"}), "'id' has a collation"),
        (
            _field(
                "id",
                {"type": "array", "elementType": _struct(_field("x", "string", __COLLATIONS="y"))},
            ),
            "'id' has a collation: y",
        ),
    ],
)
def test_a_column_that_cannot_be_understood_makes_its_table_unreadable(
    tmp_path: Path, field: dict[str, Any], reason: str
) -> None:
    _write(_folder(tmp_path), field)
    assert isinstance(state := _state(tmp_path), Unreadable)
    assert state.kind == "unknown_type"
    assert reason in state.reason


def test_clustering_inside_structs_is_told_by_logical_names_at_every_level(tmp_path: Path) -> None:
    def mapped(name: str, kind: Any, physical: str) -> dict[str, Any]:
        return _field(name, kind, **{"delta.columnMapping.physicalName": physical})

    # At each level the physical names are the logical ones of another column.
    deep = mapped("y.z", _struct(mapped("w", "integer", "x"), mapped("x", "integer", "w")), "x2")
    a = mapped("a", _struct(mapped("x2", "integer", "y.z"), deep), "b.c")
    fields = (a, mapped("b.c", "integer", "a"), _field("plain", "integer"))
    paths = [["b.c", "y.z"], ["b.c", "x2", "x"], ["a"], ["plain"]]
    live = _live(tmp_path, *fields, clustering=paths)
    assert live.clustered_by == ("a.x2", "a.`y.z`.w", "b.c", "plain")


def test_a_table_clustered_by_none_has_no_clustering(tmp_path: Path) -> None:
    assert _live(tmp_path, _field("a", "integer"), clustering=[]).clustered_by == ()


def test_properties_leave_out_checks_and_what_delta_keeps_for_itself(tmp_path: Path) -> None:
    kept = {
        "delta.columnMapping.maxColumnId": "9",
        "delta.rowTracking.materializedRowIdColumnName": "_row-id-col-1",
        "delta.rowTracking.materializedRowCommitVersionColumnName": "_row-commit-version-col-1",
        "delta.inCommitTimestampEnablementVersion": "1",
        "delta.inCommitTimestampEnablementTimestamp": "1795274264548",
        "delta.feature.clustering": "supported",
        "delta.minReaderVersion": "1",
        "delta.constraints.Positive": "a > 0",
    }
    declared = {
        "delta.columnMapping.mode": "name",
        "delta.enableRowTracking": "true",
        "delta.enableInCommitTimestamps": "true",
        "delta.checkpointInterval": "5",
        "Mine.X": "1",
    }
    live = _live(tmp_path, _field("a", "integer"), **kept, **declared)
    assert dict(live.properties) == declared
    assert dict(live.checks) == {"positive": "a > 0"}


# --------------------------------------------------------------------------- notes


def _note(root: Path, **note: Any) -> Path:
    path = _folder(root).parent / "_lakeflow" / f"{NAME.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(note))
    return draft.replace(path)


def _stamp(root: Path) -> int | None:
    return DeltaLogReader(root).stamps([NAME]).get(NAME)


def test_a_table_that_lies_elsewhere_tells_where(tmp_path: Path) -> None:
    elsewhere = tmp_path / "a b%20c"
    _write(elsewhere, _field("id", "integer"))
    _note(tmp_path, location=f"file:{elsewhere}")
    assert isinstance(live := _state(tmp_path), LiveTable)
    assert (live.location, live.columns[0].name) == (str(elsewhere), "id")
    assert (first := _stamp(tmp_path)) is not None
    (elsewhere / "_delta_log" / f"{1:020}.json").write_text("")
    assert _stamp(tmp_path) not in (None, first)
    assert _live(tmp_path, _field("here", "integer")).location == ""


@pytest.mark.parametrize("place", ["s3a://bucket/x", "gone", "empty"])
def test_a_noted_table_that_cannot_be_found_is_not_absent(tmp_path: Path, place: str) -> None:
    (tmp_path / "empty").mkdir()
    _note(tmp_path, location=place if "://" in place else str(tmp_path / place))
    assert isinstance(_state(tmp_path), Unreadable)
    assert _stamp(tmp_path) is None


def test_a_view_is_told_with_its_query_and_comment_and_a_stamp(tmp_path: Path) -> None:
    text = "CREATE VIEW main.silver.orders COMMENT 'it''s' AS SELECT 1 AS a"
    _note(tmp_path, view=[text], current=["main", "default"])
    assert isinstance(view := _state(tmp_path), LiveView)
    assert (view.query, view.comment) == ("SELECT 1 AS a", "it's")
    assert (first := _stamp(tmp_path)) == view.version
    assert first is not None
    _note(tmp_path, view=[text], current=["main", "default"])
    assert _stamp(tmp_path) not in (None, first)


def test_a_view_may_have_the_name_of_a_table_that_was_never_made(tmp_path: Path) -> None:
    (_folder(tmp_path) / "_delta_log").mkdir(parents=True)
    _note(tmp_path, view=["CREATE VIEW orders AS SELECT 1"])
    assert isinstance(_state(tmp_path), LiveView)


@pytest.mark.parametrize(
    ("note", "kind"),
    [
        ({"table": "CREATE TABLE c (a INT) USING csv"}, "not_delta"),
        ({"view": ["CREATE VIEW …"]}, "damaged"),
        ({"view": []}, "damaged"),
        ({"location": 7}, "damaged"),
        ({"view": 7}, "damaged"),
    ],
)
def test_other_notes_are_not_absent(tmp_path: Path, note: dict[str, Any], kind: str) -> None:
    path = _note(tmp_path, **note)
    assert isinstance(state := _state(tmp_path), Unreadable)
    assert state.kind == kind
    path.write_text("{")
    assert isinstance(_state(tmp_path), Unreadable)
    assert _stamp(tmp_path) is None
