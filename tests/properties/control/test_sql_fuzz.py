"""Whatever text is given as SQL: an error of this package or an answer, and refused text writes
nothing."""

# ruff: noqa: E501 - a list of words

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from contract.sql_cases import CHANGES, EXPRESSIONS, JOBS, NOON, QUERIES, SOURCES
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lakeflow_meta.control import tables as layouts
from lakeflow_meta.control.manager import MetadataManager
from lakeflow_meta.control.sql.grammar import OWN_PREFIX
from lakeflow_meta.control.sql.statements import parse_statements
from lakeflow_meta.errors import LakeflowMetaError, SpecError
from lakeflow_meta.testing.clock import FixedClock
from lakeflow_meta.testing.fake_store import FakeStore

FRAGMENTS = [
    "SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "HAVING", "QUALIFY", "LIMIT", "OFFSET", "WITH",
    "AS", "JOIN", "LEFT", "FULL", "CROSS", "ON", "USING", "UNION", "ALL", "EXCEPT", "INTERSECT",
    "DISTINCT", "INSERT INTO", "VALUES", "UPDATE", "SET", "DELETE FROM", "MERGE INTO", "WHEN MATCHED",
    "WHEN NOT MATCHED", "BY SOURCE", "THEN", "CASE", "WHEN", "ELSE", "END", "AND", "OR", "NOT", "IN",
    "EXISTS", "BETWEEN", "LIKE", "RLIKE", "IS", "NULL", "TRUE", "DEFAULT", "INTERVAL 1 DAY", "OVER",
    "PARTITION BY", "ROWS BETWEEN", "UNBOUNDED PRECEDING", "CAST", "::int", ":a.b", "LATERAL", "PIVOT",
    "TABLESAMPLE", "VERSION AS OF 1", "TIMESTAMP AS OF '2025'", "(", ")", ",", ".", ";", "*", "=", "<=>",
    "<", "+", "-", "/", "%", "||", "|>", "->", "[0]", ":p", "?", "${x}", "@v", "$1", "$$", "--", "/*", "*/",
    "'", '"', "`", "\\", "'it''s'", "'a'", '"b"', "`c`", "1", "0", "-1", "1.5", "1e999", "9" * 30, "x'41'",
    "etl_control", "main.lakeflow.etl_control", "etl_control_jobs", "etl_control_events", "other",
    "delta.`/etc`", "csv.`/etc/passwd`", "information_schema.tables", "_lakeflow_target", "sqlite_master",
    "source_id", "module_name", "execution_order", "is_active", "updated_timestamp", "_lakeflow_row",
    "t", "s", "s.source_id", "t.*", "count(*)", "sum(execution_order)", "upper(source_id)", "row_number()",
    "listagg(source_id, ',')", "WITHIN GROUP (ORDER BY 1)", "FILTER (WHERE TRUE)", "read_files('/etc')",
    "load_extension('x')", "java_method('a', 'b')", "f_cast(1)", "explode(array(1))", "range(10)",
    "pragma_table_info('t')", "uuid()", "get_json_object(source_config, '$.a')", "COPY", "ATTACH", "PRAGMA",
    "CREATE EXTERNAL TABLE x LOCATION '/'", "DROP TABLE etl_control", "TRUNCATE TABLE etl_control",
    "VACUUM", "EXPLAIN", "DESCRIBE", "SHOW TABLES", "CALL", "EXECUTE IMMEDIATE", "USE x", "BEGIN",
    "\x00", "\u2028", "漢字", "\U0001f600", "é", "\t", "\n",
]  # fmt: skip
REAL = [case.text for case in (*EXPRESSIONS, *QUERIES, *CHANGES)]


def pieces(text: str) -> list[str]:
    """A real statement in pieces, to be put together in other ways."""
    return text.replace("(", " ( ").replace(")", " ) ").replace(",", " , ").split(" ")


def glued(parts: list[str]) -> str:
    return " ".join(parts)


MIXED = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=25).map(glued)
CHANGED = st.builds(
    lambda text, start, end, piece: glued([*pieces(text)[:start], piece, *pieces(text)[end:]]),
    st.sampled_from(REAL),
    st.integers(0, 40),
    st.integers(0, 40),
    st.sampled_from(FRAGMENTS) | st.text(max_size=5),
)
ANY_TEXT = st.one_of(
    st.text(max_size=60),
    MIXED,
    CHANGED,
    MIXED.map(lambda text: f"SELECT {text} FROM etl_control t"),
    MIXED.map(lambda text: f"SELECT * FROM etl_control t WHERE {text}"),
    MIXED.map(lambda text: f"UPDATE etl_control SET source_type = {text}"),
    MIXED.map(lambda text: f"INSERT INTO etl_control VALUES ({text})"),
    MIXED.map(lambda text: f"DELETE FROM etl_control WHERE {text}"),
    MIXED.map(lambda text: f"MERGE INTO etl_control t USING etl_control_jobs s ON {text}"),
)


@pytest.fixture(scope="module")
def store() -> FakeStore:
    return FakeStore(FixedClock(NOON))


@pytest.fixture(scope="module")
def manager(store: FakeStore) -> MetadataManager:
    found = MetadataManager("main.lakeflow.etl_control", store=store, clock=FixedClock(NOON))
    found.ensure_exists()
    return found


def versions(manager: MetadataManager, store: FakeStore) -> list[Any]:
    return [store.version(table) for table in manager.tables.all()]


def set_back(manager: MetadataManager, store: FakeStore) -> None:
    for layout, rows in ((layouts.SOURCES, SOURCES), (layouts.JOBS, JOBS)):
        store.merge(manager.tables.of(layout), rows, keys=layout.keys, scope={})


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=ANY_TEXT)
@example("SELECT * FROM sqlite_master")
@example("SELECT load_extension('x')")
@example("SELECT 1; ATTACH 'x' AS y")
@example("SELECT '\ud800'")
@example("SELECT " + "(" * 500 + "1" + ")" * 500)
@example("SELECT " + "-" * 2 + "1")
@example("SELECT " + "NOT " * 2000 + "TRUE")
@example("SELECT " + " + ".join(["1"] * 3000))
@example("SELECT source_id FROM etl_control WHERE " + " OR ".join(["source_id = 'a'"] * 2000))
@example("SELECT CASE " * 300)
@example("SELECT " + "9" * 5000)
@example("SELECT 1e400, -1e400")
@example("SELECT repeat('x', 2000000000)")
@example("SELECT lpad('x', 2000000000, 'y')")
@example("SELECT date_add(current_date(), 2000000000)")
@example("SELECT CAST('9999-12-31T23:59:59-12:00' AS TIMESTAMP)")
@example("SELECT current_timestamp() + INTERVAL 999999999 WEEKS")
@example("SELECT regexp_replace('a', '(a+)+$', 'b')")
def test_no_text_makes_it_crash_or_write_when_it_is_refused(
    manager: MetadataManager, store: FakeStore, text: str
) -> None:
    set_back(manager, store)
    before = versions(manager, store)
    try:
        parse_statements(text, manager.tables, now=NOON)
    except SpecError:
        with pytest.raises(SpecError):
            manager.sql(text)
        assert versions(manager, store) == before
        return
    with suppress(LakeflowMetaError):
        manager.sql(text)


NAMES = st.text(min_size=1, max_size=30).filter(lambda text: text.strip() and "\x00" not in text)
NASTY = ["'", '"', "`", "\\", "'; DROP TABLE etl_control; --", "${env:HOME}", ":text_0", "/*", "%_"]


def in_quotes(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=NAMES | st.sampled_from(NASTY), other=NAMES | st.sampled_from(NASTY))
@example(name="0", other=OWN_PREFIX.upper())
def test_any_name_is_kept_found_changed_and_deleted(
    manager: MetadataManager, store: FakeStore, name: str, other: str
) -> None:
    table = manager.tables.of(layouts.SOURCES)
    store.merge(table, [], keys=layouts.SOURCES.keys, scope={})
    key, text = in_quotes(name), in_quotes(other)
    manager.sql(f"INSERT INTO etl_control (source_id, module_name) VALUES ({key}, 'm')")
    manager.sql(
        f"MERGE INTO etl_control t USING (VALUES ({key}, {text})) AS s(id, what)"
        " ON t.source_id = s.id WHEN MATCHED THEN UPDATE SET source_type = s.what"
    )
    told = f"x{other}" if other.lower().startswith(OWN_PREFIX) else other  # as a value it is any
    alias = told.replace("`", "``")
    (found,) = manager.sql(
        f"SELECT source_id AS `{alias}`, source_type FROM etl_control WHERE source_id = {key}"
        f" AND source_type = {text}"
    )
    assert found.rows is not None
    assert [tuple(row.values()) for row in found.rows] == [(name, other)]
    assert found.columns[0] == told
    (gone,) = manager.sql(f"DELETE FROM etl_control WHERE source_type = {text}")
    assert gone.rows_affected == 1
