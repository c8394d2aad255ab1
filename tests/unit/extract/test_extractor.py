"""Runs of extracts: which of them, which rows, what is told, and what a failure leaves."""

from __future__ import annotations

import csv
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from extract_samples import declared
from extract_world import TABLES, FakeRows, World
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.control.tables import EXTRACT_DETAILS, EXTRACT_RUNS, EXTRACTS
from lakeflow_meta.errors import ConfigError, RunFailedError
from lakeflow_meta.extract.publication import Publication
from lakeflow_meta.extract.selection import HighestValue, Period, Watermark, WatermarkKind
from lakeflow_meta.extract.words import RefusedError
from lakeflow_meta.progress import StepState


@pytest.fixture
def world(tmp_path: Path) -> World:
    found = World(tmp_path)
    found.rows.tables["customers"] = pa.table({"id": [1, 2, 3], "name": ["a", "b", "c"]})
    return found


def extract(name: str, **changes: Any) -> dict[str, Any]:
    return declared(extract_name=name, target={"path": f"out/{name}"}, **changes)


def ids(data: bytes) -> list[str]:
    return [row["id"] for row in csv.DictReader(data.decode().splitlines())]


INCREMENTAL: dict[str, Any] = {
    "load": {"mode": "incremental", "watermark_column": "id"},
    "file_name": {"timestamp_format": "yyyyMMdd_HHmmss"},
}


# --------------------------------------------------------------------------- which


def test_all_active_extracts_run_by_order_then_name(world: World) -> None:
    world.record(
        extract("late", execution_order=2),
        extract("b", execution_order=1),
        extract("a", execution_order=1),
        extract("last"),
        extract("off", is_active=False),
    )
    report = world.run()
    assert [o.extract_name for o in report.outcomes] == ["a", "b", "late", "last"]
    assert (report.success_rate, report.has_failures) == (100.0, False)
    assert world.history("extract_name", "run_status")[:2] == [
        ("a", "IN_PROGRESS"),
        ("a", "SUCCESS"),
    ]


def test_a_group_or_names_choose(world: World) -> None:
    world.record(extract("a", group="G"), extract("b"), extract("c", group="G", is_active=False))
    assert [(o.extract_name, str(o.status)) for o in world.run(group="G").outcomes] == [
        ("a", "success"),
        ("c", "skipped"),
    ]
    assert [o.extract_name for o in world.run("b").outcomes] == ["b"]
    with pytest.raises(ConfigError, match=r"No active extract configurations found .* 'X'"):
        world.run(group="X")
    with pytest.raises(ConfigError, match="no extract 'bb' is recorded; did you mean b"):
        world.run("bb")


def test_no_extracts_are_nothing_to_do(tmp_path: Path) -> None:
    report = World(tmp_path).run()
    assert list(report.lines()) == ["no extracts: nothing to do"]
    assert report.to_dict()["success_rate"] == 0.0


def test_one_that_fails_stops_no_other_and_only_it_is_repeated(world: World) -> None:
    world.record(extract("a"), extract("b", source={"table": "main.gold.wrong"}), extract("c"))
    world.rows.tables["wrong"] = pa.table({"takes": pa.array([1], pa.duration("s"))})
    report = world.run()
    assert [str(o.status) for o in report.outcomes] == ["success", "failed", "success"]
    assert f"{report.success_rate:.1f}" == "66.7"
    with pytest.raises(RunFailedError, match="1 of 3 extracts failed: b: column 'takes'"):
        report.raise_failures()
    world.rows.tables["wrong"] = pa.table({"takes": [1]})
    world.clock.advance(60)
    again = world.run(failed=True)
    assert [(o.extract_name, str(o.status)) for o in again.outcomes] == [("b", "success")]
    assert world.run(failed=True).outcomes == ()


def test_rows_that_cannot_be_used_are_failures_of_their_own(world: World) -> None:
    world.record(extract("a", group="G"), extract("b", group="G"))
    world.set(EXTRACTS, "b", workspace_id="w")
    for report in (world.run(), world.run(group="G"), world.run("b")):
        failed = report.outcomes[-1]
        assert (failed.extract_name, str(failed.status)) == ("b", "failed")
        assert "workspace_id: not supported" in failed.error


def test_two_extracts_that_would_write_one_file_are_told(world: World) -> None:
    world.record(declared(), declared(extract_name="second", file_name={"name": "customers"}))
    first, second = world.run().outcomes
    assert str(first.status) == "success"
    assert "writes the same files as extract 'customers'" in second.error


def test_extracts_run_at_the_same_time_and_no_more_than_asked(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    busy, most, lock = 0, 0, threading.Lock()
    gate = threading.Barrier(3, timeout=20)

    class Slow(FakeRows):
        def stream(self, *args: Any, **options: Any) -> Any:
            nonlocal busy, most
            with lock:
                busy += 1
                most = max(most, busy)
            gate.wait()
            with lock:
                busy -= 1
            return super().stream(*args, **options)

    tables, world.rows = world.rows.tables, Slow()
    world.rows.tables = tables
    world.record(*(extract(f"e{number}") for number in range(6)))
    assert not world.extractor().run(max_parallel=3).has_failures
    assert most == 3
    gate = threading.Barrier(1)
    with caplog.at_level(logging.WARNING):
        assert not world.extractor().run(max_parallel=0).has_failures
    assert "less than 1: one extract at a time" in caplog.text


def test_a_dry_run_asks_no_datastore_and_writes_nothing(world: World) -> None:
    world.record(
        extract("a", source={"table": "main.gold.customers", "where": "name = 'a'"}, trigger={}),
        extract("b", **INCREMENTAL),
        extract(
            "c",
            load={"mode": "period", "period_column": "d", "period_query": "SELECT 1"},
            source={"query": "SELECT 1 AS d;"},
        ),
    )
    report = world.extractor().run(dry_run=True)
    assert [o.statement for o in report.outcomes] == [
        "SELECT * FROM `main`.`gold`.`customers` WHERE (\nname = 'a'\n)",
        "SELECT * FROM `main`.`gold`.`customers`",
        (
            "SELECT * FROM (\nSELECT 1 AS d\n) AS extract_rows"
            " WHERE `d` >= :lakeflow_from AND `d` < :lakeflow_until"
        ),
    ]
    assert report.outcomes[0].files == ("a.csv", "a.done")
    assert next(iter(report.lines())) == "+ a (TABLE, csv): would write rows to out/a/a.csv, a.done"
    assert world.rows.asked == []
    assert not (world.folder / "out").exists()
    assert world.store.version(TABLES.of(EXTRACT_RUNS)) is None


# --------------------------------------------------------------------------- what is told


def test_history_has_a_first_and_a_last_row_of_each_run(world: World) -> None:
    world.record(declared(compression={"type": "gzip"}, trigger={}, group="G"))
    world.one()
    first, last = world.history()
    assert (first["run_status"], last["run_status"]) == ("IN_PROGRESS", "SUCCESS")
    assert first["run_id"] == last["run_id"]
    assert first["log_id"] != last["log_id"]
    shown = {
        "extract_name": "customers",
        "execution_group": "G",
        "run_type": "FULL",
        "source_type": "TABLE",
        "source_object": "customers",
        "source_schema": "gold",
        "lakehouse_id": "main",
        "output_format": "csv",
        "output_file_path": "out/customers",
        "output_file_name": "customers.csv.gz",
        "output_file_size_bytes": 20,
        "rows_extracted": 3,
        "rows_written": 3,
        "files_generated": 1,
        "is_compressed": True,
        "compressed_file_name": "customers.csv.gz",
        "compression_type": "GZIP",
        "trigger_file_created": True,
        "trigger_file_path": "out/customers/customers.done",
        "created_by": "ann",
    }
    assert {name: last[name] for name in shown} == shown
    (file,) = json.loads(last["files"])
    assert (file["rows"], file["bytes"]) == (3, last["compressed_file_size_bytes"])


def test_a_failure_is_in_history_with_its_reason(world: World) -> None:
    world.record(declared())
    world.rows.breaks_after = 1
    outcome = world.one()
    assert outcome.error == "the connection was lost"
    last = world.history()[-1]
    assert (last["run_status"], last["error_message"], last["error_details"]) == (
        "FAILED",
        "the connection was lost",
        "08006",
    )
    assert (world.files(), world.hidden()) == ({}, [])


def test_progress_tells_how_far_each_extract_is(world: World) -> None:
    world.record(declared())
    world.one()
    states = [event.state for event in world.events]
    assert states == [StepState.STARTED, StepState.RUNNING, StepState.RUNNING, StepState.DONE]
    last = world.events[-1]
    assert (last.done, last.unit) == (3, "rows")


# --------------------------------------------------------------------------- files


def test_the_trigger_is_empty_and_the_manifest_lists_the_files(world: World) -> None:
    world.record(declared(trigger={"extension": ".ok"}, manifest=True))
    world.one()
    files = world.files()
    assert files["customers.ok"] == b""
    manifest = json.loads(files["customers.manifest.json"])
    assert [entry["name"] for entry in manifest["files"]] == ["customers.csv"]


def test_a_source_that_breaks_leaves_the_former_files_as_they_were(world: World) -> None:
    world.record(declared(trigger={}))
    world.one()
    before = world.files()
    world.rows.breaks_after = 1
    assert world.one().error
    assert (world.files(), world.hidden()) == (before, [])


def test_a_folder_that_cannot_be_written_to_is_told(world: World) -> None:
    (world.folder / "out").write_text("no folder")
    world.record(declared())
    assert "out" in world.one().error
    assert world.history("run_status") == ["IN_PROGRESS", "FAILED"]


# --------------------------------------------------------------------------- incremental


def test_the_second_run_takes_what_is_new_ties_of_the_last_value_once(world: World) -> None:
    world.record(declared(**INCREMENTAL))
    world.rows.tables["customers"] = pa.table({"id": [3, 7, 7, None], "x": ["y"] * 4})
    assert world.one().watermark == "7"
    world.clock.advance(1)
    world.rows.tables["customers"] = pa.table({"id": [3, 7, 7, 8, 8]})
    assert world.one().watermark == "8"
    world.clock.advance(1)
    assert world.one().rows == 0
    assert [ids(data) for data in world.files().values()] == [["3", "7", "7", ""], ["8", "8"], []]
    assert world.watermark() == "8"
    assert world.history("watermark_before", "watermark_after")[1::2] == [
        (None, "7"),
        ("7", "8"),
        ("8", "8"),
    ]


def test_a_run_that_failed_does_not_move_the_watermark(world: World) -> None:
    world.record(declared(**INCREMENTAL))
    world.rows.breaks_after = 1
    assert world.one().error
    assert world.watermark() is None
    world.rows.breaks_after = None
    assert world.one().rows == 3


def test_rows_that_come_while_the_source_is_read_are_of_the_next_run(world: World) -> None:
    """The watermark is the highest value that was written, not the highest that is there."""

    class Busy(FakeRows):
        @contextmanager
        def stream(self, statement: str, *args: Any, **options: Any) -> Iterator[Any]:
            with super().stream(statement, *args, **options) as rows:
                if not statement.endswith("LIMIT 0"):
                    self.tables["customers"] = pa.table({"id": [1, 2, 3, 4]})
                yield rows

    busy = Busy()
    busy.tables["customers"] = pa.table({"id": [1, 2, 3]})
    world.rows = busy
    world.record(declared(**INCREMENTAL))
    assert world.one().watermark == "3"
    world.clock.advance(1)
    assert world.one().watermark == "4"
    assert [ids(data) for data in world.files().values()] == [["1", "2", "3"], ["4"]]


def test_a_watermark_that_is_not_among_the_columns_is_read_and_not_written(world: World) -> None:
    source = {"table": "main.gold.customers", "columns": ["name"]}
    world.record(declared(source=source, **INCREMENTAL))
    world.one()
    assert list(world.files().values()) == [b"name\na\nb\nc\n"]
    assert world.watermark() == "3"


def test_files_of_an_incremental_run_are_not_overwritten(world: World) -> None:
    world.record(declared(load=INCREMENTAL["load"]))
    world.one()
    world.rows.tables["customers"] = pa.table({"id": [4]})
    assert "customers.csv is there already" in world.one().error
    assert world.watermark() == "3"
    (world.folder / "out/customers/customers.csv").unlink()
    assert world.one().rows == 1


def test_the_first_run_begins_after_the_initial_watermark(world: World) -> None:
    changed = {"load": {**INCREMENTAL["load"], "initial_watermark": "2"}}
    world.record(declared(**{**INCREMENTAL, **changed}))
    assert world.one().rows == 1
    assert world.rows.asked[-1][1] == {"lakeflow_after": 2}


def test_another_watermark_column_needs_a_word(world: World) -> None:
    world.record(declared(**INCREMENTAL))
    world.one()
    world.rows.tables["customers"] = pa.table({"id": [4], "at": [date(2026, 1, 1)]})
    world.record(
        declared(**{**INCREMENTAL, "load": {"mode": "incremental", "watermark_column": "at"}})
    )
    world.clock.advance(1)
    assert "forget it: lakeflow-meta extract reset customers" in world.one().error
    assert world.extractor().reset(["customers"]) == ["customers"]
    assert world.extractor().reset(["customers"]) == []
    assert world.one().watermark == "2026-01-01"
    with pytest.raises(ConfigError, match="no extract 'x' is recorded"):
        world.extractor().reset(["x"])


def test_a_column_that_is_not_there_is_told_with_those_that_are(world: World) -> None:
    world.record(declared(load={"mode": "incremental", "watermark_column": "changed"}))
    assert world.one().error == "the rows have no column 'changed' (they have id, name)"


@pytest.mark.parametrize(
    ("kind", "values", "text"),
    [
        (pa.int32(), [3, 9], "9"),
        (pa.decimal128(20, 2), [Decimal("1.50"), Decimal("10.25")], "10.25"),
        (pa.date32(), [date(2025, 1, 2), date(2024, 1, 1)], "2025-01-02"),
        (pa.timestamp("us"), [datetime(2025, 1, 2, 3)], "2025-01-02T03:00:00"),  # noqa: DTZ001
        (
            pa.timestamp("us", "Europe/Berlin"),
            [datetime(2025, 1, 2, 3, 4, 5, 6, tzinfo=UTC)],
            "2025-01-02T03:04:05.000006+00:00",
        ),
        (pa.string(), ["a", "ä", "b"], "ä"),
    ],
    ids=str,
)
def test_a_watermark_keeps_its_value_exactly(
    kind: pa.DataType, values: list[Any], text: str
) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(values, kind)], ["Seen"])
    highest = HighestValue("seen", batch.schema)
    highest.add(batch)
    found = highest.watermark(None)
    assert found is not None
    assert found.text == text
    assert Watermark.from_dict(found.to_dict()).value == max(values)
    assert Watermark.parse("seen", found.kind, text) == found
    highest.add(batch.slice(0, 0))
    assert highest.watermark(found) == found


def test_what_is_no_watermark_is_refused() -> None:
    with pytest.raises(RefusedError, match="of type double is no watermark"):
        WatermarkKind.of(pa.float64())
    with pytest.raises(RefusedError, match="initial_watermark 'x' is no integer"):
        Watermark.parse("id", WatermarkKind.INTEGER, "x")


# --------------------------------------------------------------------------- period, validation


def test_a_period_includes_its_last_day(world: World) -> None:
    days = [date(2025, 1, 31), date(2025, 2, 1), date(2025, 2, 28), date(2025, 3, 1)]
    world.rows.tables["customers"] = pa.table({"id": range(4), "d": days})
    world.rows.answers["the month"] = [{"START_DATE": days[1], "end_date": "2025-02-28"}]
    load = {"mode": "period", "period_column": "d", "period_query": "the month"}
    world.record(declared(load=load))
    assert world.one().rows == 2
    last = world.history()[-1]
    assert (last["run_type"], last["period_start"].date(), last["period_end"].date()) == (
        "PERIOD",
        days[1],
        days[2],
    )


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{}, {}],
        [{"start_date": None, "end_date": None}],
        [{"start_date": "x", "end_date": "y"}],
    ],
)
def test_a_query_that_gives_no_period_is_told(world: World, rows: list[dict[str, Any]]) -> None:
    world.rows.answers["the month"] = rows
    load = {"mode": "period", "period_column": "id", "period_query": "the month"}
    world.record(declared(load=load))
    assert "period_query gives" in world.one().error


def test_a_period_that_ends_before_it_begins_is_told() -> None:
    with pytest.raises(RefusedError, match="from 2025-02-01 to 2025-01-01"):
        Period.of_row({"start_date": date(2025, 2, 1), "end_date": date(2025, 1, 1)})


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ({"min_rows": 4}, "3 rows, and min_rows is 4"),
        ({"max_rows": 2}, "more than 2 rows"),
        ({"query": "wrong rows"}, "5 rows are wrong, 0 may be"),
        ({"query": "wrong rows", "max_failed_rows": 4}, "5 rows are wrong, 4 may be"),
    ],
)
def test_what_does_not_hold_publishes_nothing(
    world: World, validation: dict[str, Any], message: str
) -> None:
    world.rows.answers["wrong rows"] = [{"failed_rows": 5}]
    world.record(declared(validation=validation, trigger={}))
    assert message in world.one().error
    assert (world.files(), world.hidden()) == ({}, [])


def test_what_holds_is_published(world: World) -> None:
    world.rows.answers["wrong rows"] = [{"failed_rows": 5}]
    checks = {"query": "wrong rows", "max_failed_rows": 5, "min_rows": 3, "max_rows": 3}
    world.record(declared(validation=checks))
    assert world.one().rows == 3


# --------------------------------------------------------------------------- notes


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.none() | st.integers() | st.text() | st.datetimes(timezones=st.just(UTC)),
    ),
    st.none() | st.integers(),
)
def test_the_note_of_a_run_reads_back_as_it_was(row: dict[str, Any], mark: int | None) -> None:
    watermark = None if mark is None else Watermark.of("id", WatermarkKind.INTEGER, mark)
    note = Publication("n", "r", "f", ("a",), (("s", "t"),), watermark, 3, row)
    assert Publication.from_json(note.to_json()) == note


def test_a_changed_detail_is_another_definition(world: World) -> None:
    world.record(declared())
    world.one()
    world.set(EXTRACT_DETAILS, "customers", file_properties_header=False)
    world.clock.advance(1)
    world.one()
    first, second = world.history("definition_fingerprint")[1::2]
    assert first != second
