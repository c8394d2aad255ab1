"""Statements on control tables with what they give: the same on every store."""

# ruff: noqa: E501 - a statement and its rows are read side by side

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

NOON = datetime(2025, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
"""When the rows were recorded, and what ``current_timestamp()`` is in queries."""

LATER = NOON + timedelta(hours=1)
"""What it is in statements that write."""


def source(source_id: str, module: str | None = "sales", **changes: Any) -> dict[str, Any]:
    row = {
        "source_id": source_id,
        "module_name": module,
        "source_type": "sql",
        "execution_order": 1,
        "source_config": "{}",
        "target_config": None,
        "transformation_config": "{}",
        "is_active": True,
        "created_timestamp": NOON,
        "updated_timestamp": NOON,
        "description": None,
    }
    return {**row, **changes}


NESTED = (
    '{"path": "/a b/it\'s", "n": 1.50, "big": 12345678901234567890, "deep": {"l": [1, {"x": "ü"}]},'
    ' "no": null, "yes": true, "exp": 1e3, "small": 1e-5, "empty": "", "c d": 2, "slash": "a\\/b\\n"}'
)

SOURCES = [
    source("a", execution_order=2, source_config=NESTED, description="it's \\ ${env:HOME} %"),
    source("b", source_type="file", execution_order=1, source_config=None, is_active=False),
    source("c", execution_order=None, source_config="not json", description="Ünïcödé 漢字 😀"),
    source(
        "a",
        "hr",
        source_type=None,
        execution_order=-7,
        created_timestamp=NOON - timedelta(days=400, hours=13),
        updated_timestamp=datetime(2024, 12, 30, 23, 59, 59, 999999, tzinfo=UTC),
        description="",
    ),
    source("d_1", "hr", source_type="File", is_active=None, description="a1b22c"),
]

JOBS = [
    {"module_name": "sales", "job_id": 2**40, "job_name": "Sales"},
    {"module_name": "hr", "job_id": 7, "job_name": None},
    {"module_name": "gone", "job_id": 8, "job_name": "Gone"},
]


def named(text: str) -> str:
    """A query for one expression over the row a of sales."""
    return f"SELECT {text} AS x FROM etl_control WHERE source_id = 'a' AND module_name = 'sales'"


@dataclass(frozen=True)
class Case:
    """A query, and the rows that it gives as tuples."""

    text: str
    rows: list[tuple[Any, ...]]


def one(text: str, value: Any) -> Case:
    """An expression over the row a of sales."""
    return Case(named(text), [(value,)])


EXPRESSIONS = [
    # literals and arithmetic
    one("1", 1),
    one("-5", -5),
    one("1.5", 1.5),
    one("1e3", 1000.0),
    one("NULL", None),
    one("TRUE", True),
    one("'it''s'", "it's"),
    one(r"'it\'s \\ \n'", "it's \\ \n"),
    one("\"two\" ' words'", "two words"),
    one(r"r'\d'", r"\d"),
    one("'${env:HOME} :text_0 ? `x`'", "${env:HOME} :text_0 ? `x`"),
    one("7 / 2", 3.5),
    one("6 / 2", 3.0),
    one("7 div 2", 3),
    one("-7 div 2", -3),
    one("7 % 3", 1),
    one("-7 % 3", -1),
    one("mod(7, -3)", 1),
    one("2147483647 + 1", 2147483648),
    one("execution_order + 2147483647", 2147483649),
    one("execution_order * 1.5", 3.0),
    one("-execution_order - -1", -1),
    one("1 + NULL", None),
    one("(1 + 2) * 3", 9),
    one("abs(-3)", 3),
    one("ceil(1.2)", 2),
    one("floor(-1.2)", -2),
    one("round(2.5)", 3.0),
    one("round(-2.5)", -3.0),
    one("round(1.005, 2)", 1.01),
    one("round(7)", 7),
    one("greatest(1, NULL, 3)", 3),
    one("least('b', 'a', NULL)", "a"),
    # texts
    one("upper('straße')", "STRASSE"),
    one("lower('ÀB')", "àb"),
    one("length('😀é')", 2),
    one("trim('  a ')", "a"),
    one("ltrim('  a ') || '|'", "a |"),
    one("rtrim('  a ') || '|'", "  a|"),
    one("replace('aXbX', 'X', 'yy')", "ayybyy"),
    one("replace('aXbX', 'X')", "ab"),
    one("replace('ab', '', 'x')", "ab"),
    one("substring('abcdef', 2, 3)", "bcd"),
    one("substr('abcdef', -3, 2)", "de"),
    one("substring('abc', 0, 2)", "ab"),
    one("substring('abc', -5, 3)", "a"),
    one("substring('abc', 2)", "bc"),
    one("left('abc', 2) || right('abc', 1)", "abc"),
    one("left('abc', -1)", ""),
    one("lpad('7', 3, '0')", "007"),
    one("lpad('12345', 3, '0')", "123"),
    one("rpad('a', 4, 'xy')", "axyx"),
    one("repeat('ab', 2)", "abab"),
    one("repeat('ab', -1)", ""),
    one("reverse('abc')", "cba"),
    one("startswith('abc', 'ab')", True),
    one("endswith('abc', 'x')", False),
    one("contains('abc', 'bc')", True),
    one("instr('abcabc', 'c')", 3),
    one("instr('abc', 'x')", 0),
    one("locate('b', 'abc')", 2),
    one("split_part('a,b,c', ',', 2)", "b"),
    one("split_part('a,b,c', ',', -1)", "c"),
    one("split_part('a,b', ',', 9)", ""),
    one("concat('a', 1, TRUE)", "a1true"),
    one("concat('a', NULL)", None),
    one("'a' || 1.5 || NULL", None),
    one("'a' || execution_order", "a2"),
    one("concat_ws('-', 'a', NULL, 2)", "a-2"),
    one("md5('a')", "0cc175b9c0f1b6a831c399e269772661"),
    one("left(sha2('a', 256), 8)", "ca978112"),
    # patterns
    one("'abc' LIKE 'a%'", True),
    one("'ABC' LIKE 'a%'", False),
    one("'ABC' ILIKE 'a%'", True),
    one("'a\nb' LIKE 'a_b'", True),
    one("'d_1' LIKE '%\\_1'", True),
    one("'dx1' LIKE '%\\_1'", False),
    one("'50%' LIKE '%!%' ESCAPE '!'", True),
    one("'abc' NOT LIKE '%b%'", False),
    one("NULL LIKE 'a'", None),
    one("'abc' RLIKE '^a.c$'", True),
    one("'xaby' RLIKE 'a(b|c)'", True),
    one("regexp_like('abc', '[0-9]')", False),
    one("regexp_replace('a1b22', '([0-9]+)', '<$1>')", "a<1>b<22>"),
    one(r"regexp_replace('a.b', '\\.', '')", "ab"),
    one(r"regexp_extract('foo-123', '(\\w+)-(\\d+)', 2)", "123"),
    one(r"regexp_extract('foo', '(\\d+)')", ""),
    # JSON
    one("get_json_object(source_config, '$.path')", "/a b/it's"),
    one("source_config:path", "/a b/it's"),
    one("source_config:n", "1.5"),
    one("source_config:big", "12345678901234567890"),
    one("source_config:deep", '{"l":[1,{"x":"ü"}]}'),
    one("source_config:deep.l[1].x", "ü"),
    one("get_json_object(source_config, '$.deep.l[0]')", "1"),
    one("source_config:deep.l[7]", None),
    one("source_config:no", None),
    one("source_config:yes", "true"),
    one("source_config:yes::boolean", True),
    one("source_config:exp", "1000.0"),
    one("source_config:small", "1.0E-5"),
    one("source_config:empty", ""),
    one("source_config:['c d']", "2"),
    one("source_config:slash", "a/b\n"),
    one("CAST(source_config:n AS DOUBLE) + 1", 2.5),
    one("get_json_object(description, '$.a')", None),
    # CAST
    one("CAST('12' AS INT)", 12),
    one("CAST(' 12 ' AS BIGINT)", 12),
    one("'1.5'::double", 1.5),
    one("TRY_CAST('x' AS INT)", None),
    one("TRY_CAST('99999999999' AS INT)", None),
    one("CAST(2.9 AS INT)", 2),
    one("CAST(-2.9 AS INT)", -2),
    one("CAST(1.0 AS STRING)", "1.0"),
    one("CAST(12345678.9 AS STRING)", "1.23456789E7"),
    one("CAST(0.0001 AS STRING)", "1.0E-4"),
    one("CAST(execution_order AS STRING)", "2"),
    one("CAST(is_active AS STRING)", "true"),
    one("CAST(is_active AS INT)", 1),
    one("CAST('yes' AS BOOLEAN)", True),
    one("CAST(0 AS BOOLEAN)", False),
    one("CAST(updated_timestamp AS STRING)", "2025-03-01 12:00:00.123456"),
    one("CAST(updated_timestamp AS DATE)", date(2025, 3, 1)),
    one("CAST('2025-01-31' AS DATE)", date(2025, 1, 31)),
    one("CAST(DATE '2025-01-31' AS STRING)", "2025-01-31"),
    one("CAST(DATE '2025-01-31' AS TIMESTAMP)", datetime(2025, 1, 31, tzinfo=UTC)),
    one("TIMESTAMP '2025-01-31 08:00:00'", datetime(2025, 1, 31, 8, tzinfo=UTC)),
    one("CAST('2025-01-31T08:00:00+02:00' AS TIMESTAMP)", datetime(2025, 1, 31, 6, tzinfo=UTC)),
    one("to_date('2025-01-31')", date(2025, 1, 31)),
    # times
    one("current_timestamp()", NOON),
    one("now()", NOON),
    one("current_date()", date(2025, 3, 1)),
    one("date_format(updated_timestamp, 'yyyy-MM-dd HH:mm:ss.SSS')", "2025-03-01 12:00:00.123"),
    one("date_format(updated_timestamp, 'EEEE d MMMM yy, h a')", "Saturday 1 March 25, 12 PM"),
    one("date_format(DATE '2025-01-05', 'E MMM d')", "Sun Jan 5"),
    one("date_format(updated_timestamp, \"yyyy'T'\")", "2025T"),
    one("date_trunc('MONTH', updated_timestamp)", datetime(2025, 3, 1, tzinfo=UTC)),
    one("date_trunc('week', updated_timestamp)", datetime(2025, 2, 24, tzinfo=UTC)),
    one("date_trunc('quarter', updated_timestamp)", datetime(2025, 1, 1, tzinfo=UTC)),
    one("date_trunc('hour', updated_timestamp)", datetime(2025, 3, 1, 12, tzinfo=UTC)),
    one("year(updated_timestamp)", 2025),
    one("quarter(updated_timestamp)", 1),
    one("month(updated_timestamp)", 3),
    one("day(updated_timestamp)", 1),
    one("hour(updated_timestamp)", 12),
    one("minute(updated_timestamp) + second(updated_timestamp)", 0),
    one("dayofweek(updated_timestamp)", 7),
    one("weekday(updated_timestamp)", 5),
    one("dayofyear(updated_timestamp)", 60),
    one("weekofyear(DATE '2024-12-30')", 1),
    one("EXTRACT(YEAR FROM updated_timestamp)", 2025),
    one("unix_timestamp(TIMESTAMP '1970-01-02 00:00:00')", 86400),
    one("datediff(updated_timestamp, '2025-02-01')", 28),
    one("date_add(DATE '2025-02-28', 1)", date(2025, 3, 1)),
    one("date_sub(updated_timestamp, 1)", date(2025, 2, 28)),
    one("add_months(DATE '2025-01-31', 1)", date(2025, 2, 28)),
    one("last_day(DATE '2024-02-10')", date(2024, 2, 29)),
    one("updated_timestamp - INTERVAL 1 DAY", NOON - timedelta(days=1)),
    one("updated_timestamp + INTERVAL '90' MINUTES", NOON + timedelta(minutes=90)),
    one("current_timestamp() - INTERVAL 1 DAY 2 HOURS", NOON - timedelta(hours=26)),
    # conditions and choices
    one("source_type <=> NULL", False),
    one("NULL <=> NULL", True),
    one("source_type IS DISTINCT FROM 'x'", True),
    one("execution_order BETWEEN 1 AND 2", True),
    one("execution_order NOT BETWEEN 1 AND 2", False),
    one("execution_order IN (1, 2, NULL)", True),
    one("execution_order IN (1, NULL)", None),
    one("execution_order NOT IN (1, 3)", True),
    one("execution_order = '2'", True),
    one("is_active = 'true'", True),
    one("updated_timestamp > '2025-03-01'", True),
    one("updated_timestamp < DATE '2025-03-01'", False),
    one("NOT (TRUE AND NULL)", None),
    one("FALSE AND NULL", False),
    one("(NULL OR TRUE) IS TRUE", True),
    one("is_active IS NOT FALSE", True),
    one("CASE WHEN execution_order > 1 THEN 'x' ELSE 'y' END", "x"),
    one("CASE source_type WHEN 'sql' THEN 1 WHEN 'x' THEN 2.5 END", 1.0),
    one("if(is_active, 'on', 'off')", "on"),
    one("coalesce(target_config, source_type, '-')", "sql"),
    one("ifnull(target_config, '-')", "-"),
    one("nvl2(target_config, 1, 0)", 0),
    one("nullif(source_type, 'sql')", None),
    one("isnull(target_config)", True),
    one("isnotnull(target_config)", False),
    one("'b' > 'A'", True),
    one("'é' > 'z'", True),
    one("description", "it's \\ ${env:HOME} %"),
]

QUERIES = [
    Case("SELECT source_id, module_name FROM etl_control ORDER BY 2, 1", [
        ("a", "hr"), ("d_1", "hr"), ("a", "sales"), ("b", "sales"), ("c", "sales"),
    ]),
    Case("SELECT source_id FROM main.lakeflow.etl_control ORDER BY execution_order, source_id", [
        ("c",), ("a",), ("b",), ("d_1",), ("a",),
    ]),
    Case("SELECT source_id FROM etl_control ORDER BY execution_order DESC NULLS FIRST, 1 DESC", [
        ("c",), ("a",), ("d_1",), ("b",), ("a",),
    ]),
    Case("SELECT source_id s FROM etl_control ORDER BY execution_order NULLS LAST, s LIMIT 2 OFFSET 1",
         [("b",), ("d_1",)]),
    Case("SELECT source_id s FROM etl_control ORDER BY s OFFSET 4", [("d_1",)]),
    Case("SELECT -execution_order AS execution_order FROM etl_control"
         " WHERE execution_order IS NOT NULL ORDER BY execution_order + 0", [(-2,), (-1,), (-1,), (7,)]),
    Case("SELECT 1 AS x FROM etl_control LIMIT 2", [(1,), (1,)]),
    Case("SELECT x FROM (SELECT 1 AS x FROM etl_control LIMIT 2) q", [(1,), (1,)]),
    Case("SELECT DISTINCT module_name FROM etl_control ORDER BY module_name", [("hr",), ("sales",)]),
    Case("SELECT count(*), count(source_type), count(DISTINCT source_type), sum(execution_order),"
         " avg(execution_order), min(source_id), max(updated_timestamp) FROM etl_control",
         [(5, 4, 3, -3, -0.75, "a", NOON)]),
    Case("SELECT count_if(is_active), bool_and(is_active), bool_or(is_active), any(is_active),"
         " every(is_active), count(*) FILTER (WHERE execution_order > 0) FROM etl_control",
         [(3, False, True, True, False, 3)]),
    Case("SELECT sum(execution_order), max(source_id), count(*), bool_and(is_active) FROM etl_control"
         " WHERE FALSE", [(None, None, 0, None)]),
    Case("SELECT module_name, count(*) AS n FROM etl_control GROUP BY module_name HAVING n > 2",
         [("sales", 3)]),
    Case("SELECT upper(module_name) m, count(*) FROM etl_control GROUP BY m ORDER BY count(*) DESC",
         [("SALES", 3), ("HR", 2)]),
    Case("SELECT module_name, is_active, count(*) FROM etl_control GROUP BY ALL ORDER BY 1, 2",
         [("hr", None, 1), ("hr", True, 1), ("sales", False, 1), ("sales", True, 2)]),
    Case("SELECT module_name, listagg(source_id, ', ') WITHIN GROUP (ORDER BY source_id DESC)"
         " FROM etl_control GROUP BY 1 ORDER BY 1", [("hr", "d_1, a"), ("sales", "c, b, a")]),
    Case("SELECT listagg(DISTINCT source_type) WITHIN GROUP (ORDER BY source_type) FROM etl_control",
         [("Filefilesql",)]),
    Case("SELECT string_agg(source_id, '') WITHIN GROUP (ORDER BY execution_order NULLS LAST,"
         " source_id) FROM etl_control", [("abd_1ac",)]),
    Case("SELECT c.source_id, j.job_id FROM etl_control c JOIN etl_control_jobs j"
         " ON c.module_name = j.module_name AND c.is_active ORDER BY 2, 1",
         [("a", 7), ("a", 2**40), ("c", 2**40)]),
    Case("SELECT j.module_name, c.source_id FROM etl_control_jobs j LEFT JOIN etl_control c"
         " ON c.module_name = j.module_name AND c.source_id = 'b' ORDER BY 1",
         [("gone", None), ("hr", None), ("sales", "b")]),
    Case("SELECT module_name, count(source_id) FROM etl_control RIGHT JOIN etl_control_jobs"
         " USING (module_name) GROUP BY module_name ORDER BY 1", [("gone", 0), ("hr", 2), ("sales", 3)]),
    Case("SELECT a.k, b.k FROM (VALUES (1), (2)) a(k) FULL JOIN (VALUES (2), (3)) b(k) ON a.k = b.k"
         " ORDER BY 1, 2", [(None, 3), (1, None), (2, 2)]),
    Case("SELECT count(*) FROM etl_control, etl_control_jobs", [(15,)]),
    Case("SELECT count(*) FROM etl_control CROSS JOIN etl_control_jobs", [(15,)]),
    Case("SELECT job_name FROM etl_control_jobs j WHERE EXISTS (SELECT 1 FROM etl_control c"
         " WHERE c.module_name = j.module_name) ORDER BY 1", [(None,), ("Sales",)]),
    Case("SELECT module_name FROM etl_control_jobs j WHERE NOT EXISTS (SELECT 1 FROM etl_control c"
         " WHERE c.module_name = j.module_name)", [("gone",)]),
    Case("SELECT DISTINCT module_name FROM etl_control WHERE module_name IN"
         " (SELECT module_name FROM etl_control_jobs WHERE job_id > 7)", [("sales",)]),
    Case("SELECT module_name FROM etl_control_jobs WHERE module_name NOT IN"
         " (SELECT module_name FROM etl_control)", [("gone",)]),
    Case("SELECT module_name FROM etl_control_jobs WHERE 'x' NOT IN"
         " (SELECT source_type FROM etl_control)", []),
    Case("SELECT source_id FROM etl_control WHERE execution_order ="
         " (SELECT max(execution_order) FROM etl_control)", [("a",)]),
    Case("SELECT j.module_name, (SELECT count(*) FROM etl_control c WHERE c.module_name ="
         " j.module_name) AS n FROM etl_control_jobs j ORDER BY 1", [("gone", 0), ("hr", 2), ("sales", 3)]),
    Case("WITH busy AS (SELECT module_name m, count(*) n FROM etl_control GROUP BY module_name),"
         " most(name) AS (SELECT m FROM busy WHERE n = (SELECT max(n) FROM busy))"
         " SELECT most.name, n FROM most JOIN busy ON name = m", [("sales", 3)]),
    Case("WITH etl_control AS (SELECT module_name FROM etl_control_jobs)"
         " SELECT * FROM etl_control ORDER BY 1", [("gone",), ("hr",), ("sales",)]),
    Case("SELECT module_name FROM etl_control UNION SELECT module_name FROM etl_control_jobs ORDER BY 1",
         [("gone",), ("hr",), ("sales",)]),
    Case("SELECT 1 AS x UNION ALL SELECT 1 UNION ALL SELECT NULL ORDER BY x DESC LIMIT 2",
         [(1,), (1,)]),
    Case("SELECT module_name FROM etl_control_jobs EXCEPT SELECT module_name FROM etl_control",
         [("gone",)]),
    Case("SELECT 1 INTERSECT SELECT 1", [(1,)]),
    Case("(SELECT source_id FROM etl_control ORDER BY 1 LIMIT 1) UNION ALL (SELECT 'z')",
         [("a",), ("z",)]),
    Case("SELECT 1 UNION SELECT 2 EXCEPT SELECT 2", [(1,)]),
    Case("SELECT 1 UNION (SELECT 2 EXCEPT SELECT 2)", [(1,)]),
    Case("SELECT source_id, row_number() OVER (PARTITION BY module_name ORDER BY source_id) AS n"
         " FROM etl_control ORDER BY module_name, n",
         [("a", 1), ("d_1", 2), ("a", 1), ("b", 2), ("c", 3)]),
    Case("SELECT module_name, source_id FROM etl_control QUALIFY row_number() OVER"
         " (PARTITION BY module_name ORDER BY execution_order DESC) = 1 ORDER BY length(module_name)",
         [("hr", "d_1"), ("sales", "a")]),
    Case("SELECT source_id, rank() OVER (ORDER BY source_id) r FROM etl_control QUALIFY r > 2 ORDER BY 2",
         [("b", 3), ("c", 4), ("d_1", 5)]),
    Case("SELECT source_id, lag(source_id) OVER (ORDER BY source_id, module_name) FROM etl_control"
         " ORDER BY 1, 2", [("a", None), ("a", "a"), ("b", "a"), ("c", "b"), ("d_1", "c")]),
    Case("SELECT sum(job_id) OVER (ORDER BY job_id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"
         " FROM etl_control_jobs ORDER BY 1", [(7,), (15,), (2**40 + 8,)]),
    Case("SELECT module_name, sum(count(*)) OVER (ORDER BY module_name) FROM etl_control"
         " GROUP BY module_name ORDER BY 1", [("hr", 2), ("sales", 5)]),
    Case("SELECT upper(source_id) AS u, u || '!' AS v FROM etl_control ORDER BY v LIMIT 1", [("A", "A!")]),
    Case("SELECT * EXCEPT (created_timestamp, updated_timestamp) FROM etl_control_jobs WHERE job_id = 7",
         [("hr", 7, None, None, None, None, None, None)]),
    Case("SELECT q.* FROM (SELECT source_id AS `it's`, 1 AS `\"; DROP` FROM etl_control) q"
         " ORDER BY `it's` LIMIT 1", [("a", 1)]),
    Case("SELECT * FROM (VALUES ('a', 1), ('b', NULL)) AS v(name, n) ORDER BY name",
         [("a", 1), ("b", None)]),
    Case("VALUES (1, 'x')", [(1, "x")]),
    Case("SELECT description FROM etl_control WHERE description LIKE '%漢字%'", [("Ünïcödé 漢字 😀",)]),
    Case("SELECT source_id FROM etl_control WHERE source_id = '''; DROP TABLE etl_control; --'", []),
    Case("SELECT source_id FROM etl_control WHERE source_config:path IS NOT NULL", [("a",)]),
    Case("SELECT source_config:deep.l[0]::int AS n, count(*) FROM etl_control GROUP BY n ORDER BY n",
         [(None, 4), (1, 1)]),
    Case("SELECT x.p FROM (SELECT source_id, source_config AS j, source_config:path p FROM etl_control) x"
         " WHERE x.j:yes = 'true'", [("/a b/it's",)]),
]  # fmt: skip

FAILING = [
    "SELECT CAST('x' AS INT)",
    "SELECT CAST(source_id AS BIGINT) FROM etl_control",
    "SELECT CAST('99999999999' AS INT)",
    "SELECT 1 / 0",
    "SELECT execution_order % 0 FROM etl_control WHERE execution_order = 1",
    "SELECT (SELECT source_id FROM etl_control)",
    "SELECT 9223372036854775807 + 1",
    "SELECT sum(x) FROM (VALUES (9223372036854775807), (1)) v(x)",
    "SELECT split_part('a', ',', 0)",
    "SELECT CAST('maybe' AS BOOLEAN)",
]
"""They have no result: BackendError, with one sentence."""


@dataclass(frozen=True)
class Change:
    """Statements that write, how many rows each touches, and what `SHOWN` gives afterwards."""

    text: str
    counts: list[int]
    rows: list[tuple[Any, ...]]


SHOWN = (
    "SELECT module_name, source_id, source_type, execution_order, is_active,"
    " created_timestamp < current_timestamp() AS old, updated_timestamp < current_timestamp() AS stale"
    " FROM etl_control ORDER BY 1, 2"
)

_BEFORE = [
    ("hr", "a", None, -7, True, True, True),
    ("hr", "d_1", "File", 1, None, True, True),
    ("sales", "a", "sql", 2, True, True, True),
    ("sales", "b", "file", 1, False, True, True),
    ("sales", "c", "sql", None, True, True, True),
]


def after(*rows: tuple[Any, ...], without: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
    """What is recorded before, with rows changed or added, or left out by ``module/source``."""
    found = {row[:2]: row for row in _BEFORE if "/".join(row[:2]) not in without}
    found |= {row[:2]: row for row in rows}
    return [found[key] for key in sorted(found)]


CHANGES = [
    Change("UPDATE etl_control SET is_active = false WHERE source_id = 'a'", [2], after(
        ("hr", "a", None, -7, False, True, False), ("sales", "a", "sql", 2, False, True, False))),
    Change("UPDATE etl_control SET execution_order = execution_order + 1, source_type = DEFAULT"
           " WHERE module_name = 'hr' AND execution_order IS NOT NULL", [2], after(
        ("hr", "a", None, -6, True, True, False), ("hr", "d_1", None, 2, None, True, False))),
    Change("UPDATE etl_control e SET e.source_type = 'it\\'s', updated_timestamp = '2024-01-01'"
           " WHERE e.source_id = 'b'", [1],
           after(("sales", "b", "it's", 1, False, True, True))),
    Change("UPDATE etl_control SET source_type = 'x' WHERE module_name IN"
           " (SELECT module_name FROM etl_control_jobs WHERE job_name IS NULL)", [2], after(
        ("hr", "a", "x", -7, True, True, False), ("hr", "d_1", "x", 1, None, True, False))),
    Change("UPDATE etl_control SET source_type = (SELECT j.job_name FROM etl_control_jobs j"
           " WHERE j.module_name = etl_control.module_name) WHERE source_id IN ('a', 'c')", [3], after(
        ("hr", "a", None, -7, True, True, False), ("sales", "a", "Sales", 2, True, True, False),
        ("sales", "c", "Sales", None, True, True, False))),
    Change("UPDATE etl_control SET source_type = 'y' WHERE source_config:path = '/a b/it\\'s'", [1],
           after(("sales", "a", "y", 2, True, True, False))),
    Change("UPDATE etl_control SET source_id = 'z' WHERE source_id = 'b'", [1], after(
        ("sales", "z", "file", 1, False, True, False), without=("sales/b",))),
    Change("UPDATE etl_control SET is_active = true WHERE source_id = 'none'", [0], after()),
    Change("DELETE FROM etl_control WHERE module_name = 'hr'", [2],
           after(without=("hr/a", "hr/d_1"))),
    Change("DELETE FROM etl_control c WHERE NOT EXISTS (SELECT 1 FROM etl_control o"
           " WHERE o.source_id = c.source_id AND o.module_name <> c.module_name)", [3],
           after(without=("sales/b", "sales/c", "hr/d_1"))),
    Change("DELETE FROM etl_control", [5], []),
    Change("INSERT INTO etl_control VALUES ('n', 'sales', 'sql', 9, '{}', '{}', '{}', true)", [1],
           after(("sales", "n", "sql", 9, True, False, False))),
    Change("INSERT INTO etl_control (source_id, module_name, updated_timestamp) VALUES"
           " ('n', 'sales', NULL), ('it\\'s', 'hr', DEFAULT)", [2], after(
        ("sales", "n", None, None, True, False, False), ("hr", "it's", None, None, True, False, False))),
    Change("INSERT INTO etl_control (source_id, module_name, source_type, execution_order) VALUES"
           " (upper('n'), concat('sa', 'les'), 'a' || 1, 2 + 3)", [1],
           after(("sales", "N", "a1", 5, True, False, False))),
    Change("INSERT INTO etl_control (module_name, source_id, is_active)"
           " SELECT 'copy', source_id, is_active FROM etl_control WHERE module_name = 'hr'", [2], after(
        ("copy", "a", None, None, True, False, False), ("copy", "d_1", None, None, True, False, False))),
    Change("WITH few AS (SELECT source_id FROM etl_control WHERE source_id = 'c') INSERT INTO etl_control"
           " (module_name, source_id) SELECT 'w', source_id FROM few", [1],
           after(("w", "c", None, None, True, False, False))),
    Change("MERGE INTO etl_control t USING (VALUES ('a', 'sales', 9), ('n', 'sales', 3)) AS"
           " s(source_id, module_name, execution_order) ON t.source_id = s.source_id"
           " AND t.module_name = s.module_name WHEN MATCHED THEN UPDATE SET execution_order ="
           " s.execution_order WHEN NOT MATCHED THEN INSERT (source_id, module_name, execution_order)"
           " VALUES (s.source_id, s.module_name, s.execution_order)", [2], after(
        ("sales", "a", "sql", 9, True, True, False), ("sales", "n", None, 3, True, False, False))),
    Change("MERGE INTO etl_control AS t USING (SELECT module_name, job_name FROM etl_control_jobs) s"
           " ON t.module_name = s.module_name"
           " WHEN MATCHED AND t.source_id = 'b' THEN DELETE"
           " WHEN MATCHED AND s.job_name IS NOT NULL AND t.execution_order > 1 THEN"
           " UPDATE SET t.source_type = s.job_name, execution_order = t.execution_order * 10"
           " WHEN NOT MATCHED AND s.job_name = 'Gone' THEN INSERT (module_name, source_id, is_active)"
           " VALUES (s.module_name, lower(s.job_name), false)", [3], after(
        ("sales", "a", "Sales", 20, True, True, False), ("gone", "gone", None, None, False, False, False),
        without=("sales/b",))),
    Change("MERGE INTO etl_control t USING (SELECT 'a' AS source_id, 'hr' AS module_name,"
           " CAST(NULL AS STRING) AS source_type) s ON t.source_id = s.source_id AND t.module_name ="
           " s.module_name WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
           " WHEN NOT MATCHED BY SOURCE AND t.module_name = 'hr' THEN DELETE"
           " WHEN NOT MATCHED BY SOURCE AND t.source_id = 'c' THEN UPDATE SET execution_order = 0",
           [3], after(("hr", "a", None, -7, True, True, False),
                      ("sales", "c", "sql", 0, True, True, False), without=("hr/d_1",))),
    Change("MERGE INTO etl_control t USING etl_control_jobs s ON t.module_name = s.module_name"
           " AND FALSE WHEN MATCHED THEN DELETE", [0], after()),
    Change("UPDATE etl_control SET execution_order = 1; DELETE FROM etl_control WHERE source_id <> 'a';"
           " SELECT count(*) AS n FROM etl_control", [5, 3], after(
        ("hr", "a", None, 1, True, True, False), ("sales", "a", "sql", 1, True, True, False),
        without=("hr/d_1", "sales/b", "sales/c"))),
]  # fmt: skip

REFUSED_WRITES = [
    ("INSERT INTO etl_control (source_id, module_name) VALUES ('a', 'sales')", "sales/a"),
    ("INSERT INTO etl_control (source_id, module_name) VALUES ('q', 'm'), ('q', 'm')", "m/q"),
    ("INSERT INTO etl_control (source_id) VALUES ('q')", "module_name"),
    ("INSERT INTO etl_control (module_name, source_id) SELECT module_name, 'a' FROM etl_control",
     "hr/a"),
    ("INSERT INTO etl_control (source_id, module_name, source_config) VALUES ('q', 'm', '{')",
     "not JSON"),
    ("INSERT INTO etl_control (source_id, module_name, source_config) VALUES ('q', 'm', '[1]')",
     "not an object"),
    ("UPDATE etl_control SET source_config = '{bad' WHERE source_id = 'a'", "not JSON"),
    ("UPDATE etl_control SET source_config = concat(source_config, 'x') WHERE source_id = 'd_1'",
     "not JSON"),
    ("UPDATE etl_control SET source_id = 'a'", "already has"),
    ("UPDATE etl_control SET source_id = NULL WHERE source_id = 'b'", "part of the key"),
    (("MERGE INTO etl_control t USING (VALUES ('a'), ('a')) s(k) ON t.source_id = s.k"
     " WHEN MATCHED THEN UPDATE SET execution_order = 1"), "more than one row"),
    (("MERGE INTO etl_control t USING (VALUES ('n'), ('n')) s(k) ON t.source_id = s.k"
     " WHEN NOT MATCHED THEN INSERT (source_id, module_name) VALUES (s.k, 'm')"), "m/n"),
    (("MERGE INTO etl_control t USING (VALUES ('n')) s(k) ON t.source_id = s.k"
     " WHEN NOT MATCHED THEN INSERT (source_id, module_name) VALUES ('b', 'sales')"), "sales/b"),
    (("MERGE INTO etl_control t USING (VALUES ('b', '{')) s(k, j) ON t.source_id = s.k"
     " WHEN MATCHED THEN UPDATE SET target_config = s.j"), "not JSON"),
    ("UPDATE etl_control SET execution_order = CAST(source_id AS INT)", ""),
]  # fmt: skip
"""Refused when the rows are looked at: nothing is written."""
