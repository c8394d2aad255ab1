"""SQL on control tables: the same statements give and write the same on every store."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from contract import sql_cases as cases

from lakeflow_meta.backends.deltars import DeltaRsStore
from lakeflow_meta.control.manager import MetadataManager
from lakeflow_meta.control.tables import JOBS, SOURCES
from lakeflow_meta.errors import BackendError, ConflictError, LakeflowMetaError, RunFailedError
from lakeflow_meta.ports import ControlStore
from lakeflow_meta.testing.clock import FixedClock
from lakeflow_meta.testing.fake_store import FakeStore

CONTROL = "main.lakeflow.etl_control"

Make = Callable[[], ControlStore]


@pytest.fixture(params=["deltars", "fake"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes stores that share their tables."""
    if request.param == "deltars":
        return lambda: DeltaRsStore(tmp_path)
    fake = FakeStore()
    return lambda: fake


def filled(make_store: Make, at: datetime = cases.NOON) -> MetadataManager:
    """A manager over tables that hold the rows of the cases; its clock stands at ``at``."""
    store = make_store()
    manager = MetadataManager(CONTROL, store=store, clock=FixedClock(at))
    manager.ensure_exists()
    store.append(manager.tables.of(SOURCES), cases.SOURCES)
    store.append(manager.tables.of(JOBS), cases.JOBS)
    return manager


def rows_of(manager: MetadataManager, text: str) -> list[tuple[Any, ...]]:
    result = manager.sql(text)[-1]
    assert result.rows is not None
    return [tuple(row.values()) for row in result.rows]


def exactly(found: Any) -> Any:
    """Rows with their types: 1 is not 1.0, and not True."""
    if not isinstance(found, list):
        return found
    return [[(type(value).__name__, value) for value in row] for row in found]


def check_queries(manager: MetadataManager, chosen: list[cases.Case]) -> None:
    """Every case that differs, at once."""
    wrong = []
    for case in chosen:
        try:
            found: Any = rows_of(manager, case.text)
        except LakeflowMetaError as error:
            found = error
        if exactly(found) != exactly(case.rows):
            wrong.append(f"{case.text}\n   gives {found!r}\n   not   {case.rows!r}")
    assert not wrong, "\n" + "\n".join(wrong)


def check_in_one_query(manager: MetadataManager, chosen: list[cases.Case]) -> None:
    """Expressions over one row as columns of one query: an engine starts once for all of them."""
    start, end = cases.one("§", None).text.split("§ AS x")
    items = [case.text.removeprefix(start).removesuffix(f" AS x{end}") for case in chosen]
    columns = ", ".join(f"{item} AS x{number}" for number, item in enumerate(items))
    (found,) = rows_of(manager, start + columns + end)
    wrong = [
        f"{item} gives {value!r}, not {case.rows[0][0]!r}"
        for item, value, case in zip(items, found, chosen, strict=True)
        if exactly([(value,)]) != exactly(case.rows)
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_expressions_mean_what_they_mean_in_spark(make_store: Make) -> None:
    check_queries(filled(make_store), cases.EXPRESSIONS)


def test_many_expressions_in_one_query_mean_the_same(make_store: Make) -> None:
    check_in_one_query(filled(make_store), cases.EXPRESSIONS)


def test_queries_give_the_rows_that_they_give_in_spark(make_store: Make) -> None:
    check_queries(filled(make_store), cases.QUERIES)


def check_failing(manager: MetadataManager, chosen: list[str]) -> None:
    for text in chosen:
        with pytest.raises(BackendError) as caught:
            manager.sql(text)
        assert "\n" not in str(caught.value).strip(), text
        assert len(str(caught.value)) < 400, text


def test_what_has_no_result_is_one_sentence(make_store: Make) -> None:
    check_failing(filled(make_store), cases.FAILING)


def check_change(
    manager: MetadataManager, change: cases.Change, reader: MetadataManager | None = None
) -> None:
    """``reader`` looks at what was written, where another store does that faster."""
    results = manager.sql(change.text)
    assert [r.rows_affected for r in results if r.rows is None] == change.counts, change.text
    assert rows_of(reader or manager, cases.SHOWN) == change.rows, change.text


@pytest.mark.parametrize("change", cases.CHANGES, ids=lambda change: change.text[:60])
def test_statements_write_the_rows_that_they_write_in_spark(
    make_store: Make, change: cases.Change
) -> None:
    check_change(filled(make_store, cases.LATER), change)


def test_a_statement_is_one_commit_and_nothing_to_do_is_none(make_store: Make) -> None:
    manager, store = filled(make_store), make_store()
    table = manager.tables.of(SOURCES)
    before = store.version(table) or 0
    for change in cases.CHANGES:
        if ";" not in change.text:
            fresh = store.version(table)
            try:
                (result,) = manager.sql(change.text)
            except ConflictError:
                continue
            assert (store.version(table) or 0) - (fresh or 0) == bool(result.rows_affected)
    assert (store.version(table) or 0) > before


def check_refused(manager: MetadataManager, store: ControlStore) -> None:
    table = manager.tables.of(SOURCES)
    for text, reason in cases.REFUSED_WRITES:
        before = store.version(table)
        with pytest.raises(LakeflowMetaError) as caught:
            manager.sql(text)
        assert reason in str(caught.value), text
        assert store.version(table) == before, text


def test_what_must_not_be_recorded_is_refused_before_it_is_written(make_store: Make) -> None:
    check_refused(filled(make_store), make_store())


def test_a_failure_in_the_middle_says_what_ran(make_store: Make) -> None:
    manager = filled(make_store)
    with pytest.raises(RunFailedError) as caught:
        manager.sql(
            "UPDATE etl_control SET execution_order = 3 WHERE source_id = 'b'; SELECT 1 / 0;"
            "DELETE FROM etl_control"
        )
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("statement 2 of 3 (SELECT) failed: ")
    assert lines[1:] == [
        "  statement 1 (UPDATE) ran: 1 row(s) affected",
        "  statement 3 (DELETE) did not run",
    ]
    assert [result.rows_affected for result in caught.value.report] == [1]
    assert len(rows_of(manager, cases.SHOWN)) == len(cases.SOURCES)


def test_columns_of_one_name_are_told_apart(make_store: Make) -> None:
    (result,) = filled(make_store).sql(
        "SELECT c.module_name, j.module_name, 1 AS MODULE_NAME FROM etl_control c"
        " JOIN etl_control_jobs j USING (module_name) WHERE c.source_id = 'b'"
    )
    assert result.columns == ("module_name", "module_name_2", "MODULE_NAME_3")


def test_rows_that_sql_made_twice_are_all_changed(make_store: Make) -> None:
    manager, store = filled(make_store), make_store()
    table = manager.tables.of(SOURCES)
    store.append(table, [cases.source("b", source_type="file", is_active=False)] * 2)
    found = manager.sql("UPDATE etl_control SET description = 'x' WHERE source_id = 'b'")
    assert found[0].rows_affected == 3
    assert manager.sql("DELETE FROM etl_control WHERE source_id = 'b'")[0].rows_affected == 3


def test_every_statement_is_in_the_journal_with_what_it_did(make_store: Make) -> None:
    manager = filled(make_store)
    manager.sql("UPDATE etl_control SET is_active = false; DELETE FROM etl_control WHERE FALSE")
    manager.sql("INSERT INTO etl_control (source_id, module_name) VALUES ('n', 'm')")
    assert rows_of(manager, "SELECT verb, object, action FROM etl_control_events ORDER BY 3") == [
        ("sql", "etl_control", "1 inserted"),
        ("sql", "etl_control", "5 updated"),
    ]


@pytest.fixture
def crowd() -> tuple[int, int]:
    """How many writers at once, and how many statements each."""
    return 6, 4


def test_writers_at_once_lose_no_update(make_store: Make, crowd: tuple[int, int]) -> None:
    filled(make_store)
    writers, statements = crowd

    def count_up(_writer: int) -> None:
        mine = MetadataManager(CONTROL, store=make_store(), clock=FixedClock(cases.NOON))
        for _ in range(statements):
            mine.sql(
                "UPDATE etl_control SET execution_order = execution_order + 1 WHERE source_id = 'b'"
            )

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(count_up, range(writers)))
    manager = MetadataManager(CONTROL, store=make_store(), clock=FixedClock(cases.NOON))
    found = rows_of(manager, "SELECT execution_order FROM etl_control WHERE source_id = 'b'")
    assert found == [(1 + writers * statements,)]


def test_of_two_inserts_of_one_key_at_once_one_stays(make_store: Make) -> None:
    filled(make_store)

    def insert(writer: int) -> str:
        mine = MetadataManager(CONTROL, store=make_store(), clock=FixedClock(cases.NOON))
        try:
            mine.sql(
                "INSERT INTO etl_control (source_id, module_name, execution_order)"
                f" VALUES ('n', 'm', {writer})"
            )
        except ConflictError:
            return "refused"
        return "inserted"

    with ThreadPoolExecutor(4) as pool:
        outcomes = sorted(pool.map(insert, range(4)))
    manager = MetadataManager(CONTROL, store=make_store(), clock=FixedClock(cases.NOON))
    found = rows_of(manager, "SELECT count(*) FROM etl_control WHERE source_id = 'n'")
    assert (outcomes, found) == (["inserted", *["refused"] * 3], [(1,)])
