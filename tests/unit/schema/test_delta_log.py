"""Live tables read from logs: written by delta-rs, and by hand as the protocol allows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakeflow_meta.backends.delta_log import DeltaLogReader
from lakeflow_meta.names import TableName
from lakeflow_meta.schema.live import LiveTable, TableState, Unreadable

NAME = TableName("Main", "Silver", "Orders")
FIELD = {"name": "id", "type": "integer", "nullable": False, "metadata": {"comment": "key"}}


def _read(root: Path, name: TableName = NAME) -> TableState:
    return DeltaLogReader(root).describe([name])[name]


def _stamp(root: Path, name: TableName = NAME) -> int | None:
    return DeltaLogReader(root).stamps([name]).get(name)


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


def _checksum(root: Path, version: int, **parts: Any) -> Path:
    path = _folder(root) / "_delta_log" / f"{version:020}.crc"
    path.write_text(json.dumps(parts, separators=(",", ":")))
    return path


def test_the_nearest_checksum_spares_what_is_older(tmp_path: Path) -> None:
    _commit(tmp_path, 3, {"metaData": "never read"})
    told = {**_metadata(FIELD), "description": "from the checksum"}
    _checksum(tmp_path, 3, metadata=told, protocol=_protocol())
    assert _live(tmp_path).comment == "from the checksum"
    _commit(tmp_path, 4)
    assert (_live(tmp_path).comment, _live(tmp_path).version) == ("from the checksum", 4)
    _commit(tmp_path, 5, {"metaData": _metadata(FIELD)})
    assert (_live(tmp_path).comment, _live(tmp_path).version) == ("", 5)


def test_a_checksum_of_a_commit_that_is_not_seen_yet_is_no_version(tmp_path: Path) -> None:
    _commit(tmp_path, 0, {"protocol": _protocol()}, {"metaData": _metadata(FIELD)})
    _checksum(tmp_path, 1, metadata=_metadata(), protocol=_protocol())
    assert _live(tmp_path).version == 0


@pytest.mark.parametrize("kept", range(0, 101, 5))
def test_a_torn_checksum_does_not_change_what_is_read(tmp_path: Path, kept: int) -> None:
    actions = ({"protocol": _protocol("clustering")}, {"metaData": _metadata(FIELD)}, _domain("id"))
    _commit(tmp_path, 0, *actions)
    whole = _live(tmp_path)
    domain = _domain("id")["domainMetadata"]
    parts = {"domainMetadata": [domain], "metadata": _metadata(FIELD)}
    files = [{"path": "a", "stats": json.dumps({"numRecords": 1})}]
    path = _checksum(tmp_path, 0, **parts, protocol=_protocol("clustering"), allFiles=files)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * kept // 100])
    assert _live(tmp_path) == whole


@pytest.mark.parametrize("content", ["[]", "{}", '{"metadata":{},"protocol":{}}', "null", "7"])
def test_a_checksum_that_tells_nothing_is_passed_over(tmp_path: Path, content: str) -> None:
    _commit(tmp_path, 0, {"protocol": _protocol()}, {"metaData": _metadata(FIELD)})
    (_folder(tmp_path) / "_delta_log" / f"{0:020}.crc").write_text(content)
    assert _live(tmp_path).version == 0


def test_a_checksum_that_lists_no_clustering_says_that_there_is_none(tmp_path: Path) -> None:
    _commit(tmp_path, 2)
    parts = {"metadata": _metadata(FIELD), "protocol": _protocol("clustering")}
    _checksum(tmp_path, 2, **parts, domainMetadata=[])
    assert _live(tmp_path).clustered_by == ()


def test_a_checksum_without_the_clustering_is_not_enough(tmp_path: Path) -> None:
    protocol = _protocol("clustering")
    _commit(tmp_path, 0, {"protocol": protocol}, {"metaData": _metadata(FIELD)}, _domain("id"))
    checksum = {"metadata": _metadata(FIELD), "protocol": protocol}
    (_folder(tmp_path) / "_delta_log" / f"{0:020}.crc").write_text(json.dumps(checksum))
    assert _live(tmp_path).clustered_by == ("id",)


def test_absent_is_told_from_no_schema_and_from_what_is_no_delta_table(tmp_path: Path) -> None:
    assert isinstance(missing := _read(tmp_path), Unreadable)
    assert (missing.kind, "CREATE SCHEMA IF NOT EXISTS Main.Silver" in missing.hint) == (
        "no_schema",
        True,
    )
    _folder(tmp_path).parent.mkdir(parents=True)
    assert _read(tmp_path) is None
    _folder(tmp_path).mkdir()
    assert _read(tmp_path) is None
    (_folder(tmp_path) / "_delta_log" / "_staged_commits").mkdir(parents=True)
    assert _read(tmp_path) is None
    (_folder(tmp_path) / "data.csv").write_text("a")
    assert isinstance(foreign := _read(tmp_path), Unreadable)
    assert (foreign.kind, "DROP TABLE" in foreign.hint) == ("not_delta", True)
    notes = _folder(tmp_path).parent / "_lakeflow"
    notes.mkdir()
    (notes / "c.json").write_text(json.dumps({"table": "CREATE TABLE c (a INT) USING csv"}))
    assert isinstance(as_csv := _read(tmp_path, NAME.sibling("C")), Unreadable)
    assert as_csv.kind == "not_delta"


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


def _part(number: int, of: int) -> str:
    return f"{7:020}.checkpoint.{number:010}.{of:010}.parquet"


def _checkpoint(root: Path, name: str, **columns: list[Mapping[str, Any] | None]) -> None:
    text, texts = pa.string(), pa.list_(pa.string())
    pairs = pa.map_(text, text)
    metadata = {"schemaString": text, "partitionColumns": texts, "configuration": pairs}
    kinds = {
        "metaData": pa.struct(metadata),
        "protocol": pa.struct({"minReaderVersion": pa.int32(), "writerFeatures": texts}),
        "domainMetadata": pa.struct({"domain": text, "configuration": text, "removed": pa.bool_()}),
        "add": pa.struct({"path": text}),
    }
    table = pa.table({key: pa.array(rows, kinds[key]) for key, rows in columns.items()})
    pq.write_table(table, _folder(root) / "_delta_log" / name)


STATE = {
    "protocol": [None, {"minReaderVersion": 3, "writerFeatures": ["clustering"]}],
    "metaData": [_metadata(FIELD, mine="1"), None],
    "domainMetadata": [None, _domain("id")["domainMetadata"]],
    "add": [{"path": "x"}, None],
}


@pytest.mark.parametrize(
    "name",
    [
        f"{7:020}.checkpoint.parquet",
        f"{7:020}.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.parquet",
    ],
)
def test_a_log_may_have_a_checkpoint_and_nothing_else(tmp_path: Path, name: str) -> None:
    (_folder(tmp_path) / "_delta_log" / "_sidecars").mkdir(parents=True)
    (_folder(tmp_path) / "_delta_log" / "_last_checkpoint").write_text("{}")
    _checkpoint(tmp_path, name, **STATE)
    live = _live(tmp_path)
    assert (live.version, live.clustered_by, dict(live.properties)) == (7, ("id",), {"mine": "1"})
    first = _stamp(tmp_path)
    _commit(tmp_path, 8)
    assert _live(tmp_path).version == 8
    assert first is not None
    assert _stamp(tmp_path) not in (None, first)


def test_the_parts_of_a_checkpoint_are_read_together(tmp_path: Path) -> None:
    _commit(tmp_path, 7)
    _checkpoint(tmp_path, _part(1, 2), protocol=STATE["protocol"], add=STATE["add"])
    _checkpoint(tmp_path, _part(2, 2), metaData=STATE["metaData"])
    (_folder(tmp_path) / "_delta_log" / _part(1, 3)).write_bytes(b"of another try")
    assert _live(tmp_path).version == 7


def test_a_checkpoint_that_cannot_be_read_leaves_older_commits(tmp_path: Path) -> None:
    _commit(tmp_path, 6, {"protocol": _protocol()}, {"metaData": _metadata(FIELD)})
    _commit(tmp_path, 7)
    broken = _folder(tmp_path) / "_delta_log" / f"{7:020}.checkpoint.parquet"
    broken.write_bytes(b"PAR1 half")
    assert _live(tmp_path).version == 7
    (broken.parent / f"{6:020}.json").unlink()
    assert isinstance(state := _read(tmp_path), Unreadable)
    assert state.kind == "damaged"


def test_actions_are_read_however_their_json_is_laid_out(tmp_path: Path) -> None:
    _commit(tmp_path, 0, {"protocol": _protocol()}, {"metaData": _metadata(FIELD)})
    newer = {"metaData": {**_metadata(FIELD), "description": "newer"}}
    path = _folder(tmp_path) / "_delta_log" / f"{1:020}.json"
    path.write_text("\n { " + json.dumps(newer)[1:] + "\n\n")
    assert _live(tmp_path).comment == "newer"


def test_a_log_is_read_while_it_is_written_and_cleaned(tmp_path: Path) -> None:
    state = ({"protocol": _protocol()}, {"metaData": _metadata(FIELD)})
    _commit(tmp_path, 0, *state)
    log = _folder(tmp_path) / "_delta_log"
    done = threading.Event()

    def write() -> None:
        for version in range(1, 150):
            draft = log / f".{version}.tmp"
            draft.write_text('{"commitInfo":{}}\n')
            draft.rename(log / f"{version:020}.json")
            lines = [json.dumps(action, separators=(",", ":")) for action in state]
            draft.write_text("\n".join(lines))
            draft.rename(log / f"{version:020}.checkpoint.{uuid.uuid4()}.json")
            for path in log.glob(f"{version - 1:020}.*"):
                path.unlink()
            time.sleep(0.001)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = [_live(tmp_path).version]
    while not done.is_set():
        seen.append(_live(tmp_path).version)
    writer.join()
    assert seen == sorted(seen)
    assert _live(tmp_path).version == 149


def test_commits_that_a_catalog_keeps_are_not_guessed(tmp_path: Path) -> None:
    _commit(tmp_path, 0, {"protocol": _protocol("catalogManaged")}, {"metaData": _metadata(FIELD)})
    assert isinstance(state := _read(tmp_path), Unreadable)
    assert "a catalog keeps the newest commits" in state.reason


@pytest.mark.parametrize(
    "line", ["[]", "7", '{"metaData":{"schemaString":"[1]"}}', '{"metaData":7}']
)
def test_what_is_no_action_makes_the_log_damaged(tmp_path: Path, line: str) -> None:
    _commit(tmp_path, 0, {"protocol": _protocol()}, {"metaData": _metadata(FIELD)})
    (_folder(tmp_path) / "_delta_log" / f"{1:020}.json").write_text(line)
    assert isinstance(state := _read(tmp_path), Unreadable)
    assert state.kind == "damaged"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("denied", ["", "_delta_log"])
def test_what_may_not_be_read_is_never_absent(tmp_path: Path, denied: str) -> None:
    _commit(tmp_path, 0, {"protocol": _protocol()}, {"metaData": _metadata(FIELD)})
    place = _folder(tmp_path) / denied if denied else _folder(tmp_path).parent
    place.chmod(0)
    try:
        assert isinstance(state := _read(tmp_path), Unreadable)
        assert state.kind == "no_permission"
        assert _stamp(tmp_path) is None
    finally:
        place.chmod(0o755)


def test_a_file_or_a_broken_link_at_the_name_is_not_absent(tmp_path: Path) -> None:
    _folder(tmp_path).parent.mkdir(parents=True)
    _folder(tmp_path).write_text("a file")
    assert isinstance(_read(tmp_path), Unreadable)
    _folder(tmp_path).unlink()
    _folder(tmp_path).symlink_to(tmp_path / "nowhere")
    assert isinstance(_read(tmp_path), Unreadable)


def test_a_log_that_is_a_file_is_not_absent(tmp_path: Path) -> None:
    _folder(tmp_path).mkdir(parents=True)
    (_folder(tmp_path) / "_delta_log").write_text("x")
    assert isinstance(_read(tmp_path), Unreadable)


# --------------------------------------------------------------------------- stamps


def test_a_stamp_stays_until_there_is_a_new_version(tmp_path: Path) -> None:
    _commit(tmp_path, 0, {"protocol": _protocol()}, {"metaData": _metadata(FIELD)})
    first = _stamp(tmp_path)
    _checksum(tmp_path, 0, metadata=_metadata(FIELD), protocol=_protocol())
    assert _stamp(tmp_path) == first
    assert _stamp(tmp_path, TableName("main", "silver", "orders")) == first
    assert first is not None
    assert 0 <= first < 2**63
    _commit(tmp_path, 1)
    assert _stamp(tmp_path) not in (None, first)


def test_a_stamp_is_the_same_in_another_process(tmp_path: Path) -> None:
    _commit(tmp_path, 0, {"protocol": _protocol()}, {"metaData": _metadata(FIELD)})
    script = (
        "import sys; from pathlib import Path\n"
        "from lakeflow_meta.backends.delta_log import DeltaLogReader\n"
        "from lakeflow_meta.names import TableName\n"
        "name = TableName.parse(sys.argv[2])\n"
        "print(DeltaLogReader(Path(sys.argv[1])).stamps([name])[name])\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path), str(NAME)]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert int(done.stdout) == _stamp(tmp_path)


def test_a_table_made_again_has_another_stamp_at_the_same_version(tmp_path: Path) -> None:
    seen = set()
    for _ in range(5):
        _commit(tmp_path, 0, {"protocol": _protocol()}, {"metaData": _metadata(FIELD)})
        seen.add(_stamp(tmp_path))
        shutil.rmtree(_folder(tmp_path))
    assert len(seen) == 5


def test_what_is_not_there_or_cannot_be_told_has_no_stamp(tmp_path: Path) -> None:
    assert _stamp(tmp_path) is None
    (_folder(tmp_path) / "_delta_log").mkdir(parents=True)
    assert _stamp(tmp_path) is None
    (_folder(tmp_path) / "data.csv").write_text("x")
    assert _stamp(tmp_path) is None


def test_names_that_differ_in_case_are_one_table(tmp_path: Path) -> None:
    _commit(tmp_path, 0, {"protocol": _protocol()}, {"metaData": _metadata(FIELD)})
    names = [NAME, TableName("main", "silver", "orders"), NAME.sibling("gone")]
    found = DeltaLogReader(tmp_path).describe(names)
    assert [found[name] is None for name in names] == [False, False, True]
