"""SQL that people type: what passes, what is refused, where, and what to write instead."""

from datetime import UTC, datetime
from typing import Any

import pytest

from lakeflow_meta.control.sql.functions import ALIASES, CASTS, FUNCTIONS, INSTEAD
from lakeflow_meta.control.sql.kinds import Kind
from lakeflow_meta.control.sql.statements import Change, Insert, Select, parse_statements
from lakeflow_meta.control.tables import ControlTables
from lakeflow_meta.errors import SpecError

TABLES = ControlTables.named("main.lakeflow.etl_control")
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def one(text: str) -> Any:
    (statement,) = parse_statements(text, TABLES, now=NOON)
    return statement


def refusal(text: str) -> SpecError:
    with pytest.raises(SpecError) as caught:
        parse_statements(text, TABLES, now=NOON)
    return caught.value


def test_eight_values_fill_the_first_eight_columns() -> None:
    found = one("INSERT INTO etl_control VALUES ('s', 'm', 'sql', 1, '{}', '{}', '{}', true)")
    assert isinstance(found, Insert)
    assert found.columns[0] == "source_id"
    assert found.columns[-1] == "is_active"
    assert found.rows == (("s", "m", "sql", 1, "{}", "{}", "{}", True),)


def test_values_are_read_as_spark_reads_them() -> None:
    found = one(
        r"""INSERT INTO etl_control_state (key, value, fence)
        VALUES ('it\'s', "a\\b", '3'), (NULL, DEFAULT, 1)"""
    )
    assert found.rows == (("it's", "a\\b", 3), (None, None, 1))


def test_a_value_that_has_to_be_worked_out_makes_the_rows_a_query() -> None:
    found = one("INSERT INTO etl_control_state VALUES ('a' || 'b', DEFAULT, 1 + 1)")
    assert found.columns == ("key", "value", "fence")
    assert found.query.kinds == (Kind.TEXT, Kind.TEXT, Kind.INTEGER)


def test_times_without_a_zone_are_utc() -> None:
    found = one(
        "INSERT INTO etl_control_files (file_path, processed_at)"
        " VALUES ('a', '2025-03-01 12:00'), ('b', '2025-03-01T13:00:00+01:00'),"
        " ('c', current_timestamp)"
    )
    assert [row[1] for row in found.rows] == [NOON, NOON, NOON]


@pytest.mark.parametrize(
    "name", ["etl_control", "lakeflow.etl_control", "main.lakeflow.etl_control", "`ETL_Control`"]
)
def test_a_control_table_may_be_named_short_or_full(name: str) -> None:
    assert isinstance(one(f"SELECT {name}.source_id FROM {name}"), Select)


def test_update_delete_and_merge_are_queries_for_the_rows_that_change() -> None:
    for text in (
        "UPDATE etl_control e SET is_active = false WHERE e.source_id = 'a'",
        "DELETE FROM etl_control WHERE source_id = 'a'",
        (
            "MERGE INTO etl_control t USING etl_control_jobs s ON t.module_name = s.module_name"
            " WHEN MATCHED THEN UPDATE SET is_active = true"
        ),
    ):
        found = one(text)
        assert isinstance(found, Change)
        assert found.query.names[:4] == ("action", "row", "before module_name", "before source_id")
        assert found.tables[0] == "etl_control"
    assert one("UPDATE etl_control SET is_active = false").query.names[4:] == (
        "after is_active",
        "after updated_timestamp",
    )


def test_every_name_of_a_function_means_one_that_is_there() -> None:
    assert set(ALIASES.values()) <= set(FUNCTIONS)
    assert not set(INSTEAD) & {*FUNCTIONS, *ALIASES, *CASTS}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "statement: there is no statement"),
        (" ; -- nothing", "statement: there is no statement"),
        ("selec 1", "statement:1:1: SELEC does not run here"),
        ("SELECT 1 +", "statement:1:10: "),
        ("SELECT 'a", "is a quote or a comment left open?"),
        ("DROP TABLE etl_control", "DROP does not run here (SELECT, INSERT, UPDATE, DELETE and"),
        ("TRUNCATE TABLE etl_control", "TRUNCATE does not run here"),
        ("VACUUM etl_control", "VACUUM does not run here"),
        ("COPY (SELECT 1) TO '/tmp/x'", "COPY does not run here"),
        ("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc'", "CREATE does not run here"),
        ("SET a = 1", "SET does not run here"),
        ("'SELECT' 1", "does not run here"),
        ("SELECT * FROM other", "1:15: other is not a control table"),
        ("SELECT * FROM etl_contro", "did you mean etl_control?"),
        ("SELECT * FROM other.lakeflow.etl_control", "is not a control table"),
        ("SELECT * FROM csv.`/etc/passwd`", "is not a control table"),
        ("SELECT * FROM `etl_control` VERSION AS OF 3", "time travel does not run here"),
        ("SELECT * FROM read_files('/x')", "only control tables can be named here"),
        ("SELECT * FROM IDENTIFIER('etl_control')", "only control tables can be named here"),
        ("SELECT * FROM _lakeflow_target", "is kept for this package"),
        ("UPDATE etl_control SET is_active = _lakeflow_row", "is kept for this package"),
        ("SELECT _lakeflow_wanted(1, 'x', 'y')", "is kept for this package"),
        ("SELECT java_method('a', 'b')", "java_method() does not run here"),
        ("SELECT f_cast(1, 'a', 'b')", "f_cast() does not run here"),
        ("SELECT a.upper(1) FROM etl_control a", "DOT does not run here"),
        ("SELECT uppr(source_id) FROM etl_control", "1:8: uppr() does not run here (did you mean"),
        ("SELECT split(source_id, ',')[0] FROM etl_control", "write split_part(text, ',', 1)"),
        ("SELECT collect_list(source_id) FROM etl_control", "write listagg(column, ',') WITHIN"),
        ("SELECT transform(a) USING 'sh' FROM etl_control", "does not run here"),
        ("SELECT * FROM etl_control, LATERAL explode(array(1))", "does not run here"),
        ("SELECT * FROM etl_control LATERAL VIEW explode(x) y AS z", "LATERAL VIEW does not run"),
        ("SELECT * FROM etl_control TABLESAMPLE (1 ROWS)", "does not run here"),
        ("SELECT * FROM etl_control PIVOT (count(*) FOR source_id IN ('a'))", "PIVOT does not run"),
        ("SELECT /*+ BROADCAST(x) */ 1", "a hint does not run here"),
        ("SELECT :name", "PLACEHOLDER does not run here"),
        ("SELECT ${name}", "PARAMETER does not run here"),
        ("SELECT @name", "PARAMETER does not run here"),
        ("SELECT x'41'", "HEXSTRING does not run here"),
        ("SELECT 1 INTO x", "INTO does not run here"),
        ("SELECT 1 FROM etl_control FOR UPDATE", "LOCKS does not run here"),
        ("WITH RECURSIVE r AS (SELECT 1) SELECT * FROM r", "WITH RECURSIVE does not run here"),
        ("WITH secret AS (SELECT * FROM secret) SELECT * FROM secret", "not a control table"),
        ("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a", "not a control table"),
        (
            "SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a) x JOIN a ON true",
            "not a control table",
        ),
        ("SELECT sorce_id FROM etl_control", "1:8: there is no column sorce_id (did you mean"),
        ("SELECT c.nope FROM etl_control c", "there is no column nope (there are source_id,"),
        ("SELECT x.source_id FROM etl_control c", "no source is named x (there are c)"),
        ("SELECT etl_control.source_id FROM etl_control c", "no source is named etl_control"),
        (
            "SELECT module_name FROM etl_control a, etl_control_jobs b",
            "column module_name is in a, b (say which)",
        ),
        ("SELECT 1 FROM etl_control a, etl_control_jobs a", "two sources are named a"),
        ("SELECT 1 FROM etl_control NATURAL JOIN etl_control_jobs", "does not run here"),
        ("SELECT 1 FROM etl_control a LEFT SEMI JOIN etl_control_jobs b ON TRUE", "write EXISTS"),
        ("SELECT source_id, count(*) FROM etl_control", "source_id is neither in GROUP BY nor"),
        ("SELECT count(*) FROM etl_control GROUP BY 2", "there is no column 2"),
        ("SELECT count(*) AS n FROM etl_control GROUP BY n", "GROUP BY of an aggregate"),
        ("SELECT 1 FROM etl_control GROUP BY ROLLUP (source_id)", "ROLLUP does not run here"),
        ("SELECT source_id FROM etl_control HAVING TRUE", "HAVING needs GROUP BY"),
        ("SELECT 1 FROM etl_control WHERE count(*) > 1", "count() cannot stand in WHERE"),
        ("SELECT sum(max(execution_order)) FROM etl_control", "max() cannot stand in sum()"),
        ("SELECT count(source_id, module_name) FROM etl_control", "count() takes 1 argument(s)"),
        ("SELECT row_number() FROM etl_control", "row_number() needs OVER"),
        ("SELECT row_number() OVER () FROM etl_control", "needs OVER (… ORDER BY …)"),
        ("SELECT 1 FROM etl_control WHERE rank() OVER (ORDER BY 1) = 1", "cannot stand in WHERE"),
        ("SELECT listagg(source_id, ',') FROM etl_control", "without an order does not run here"),
        ("SELECT DISTINCT source_id FROM etl_control ORDER BY module_name", "with DISTINCT,"),
        ("SELECT 1 UNION SELECT 1, 2", "1 columns meet 2 here"),
        ("SELECT 1 UNION SELECT 'a'", "mixes integer and text"),
        ("SELECT 1 EXCEPT ALL SELECT 1", "EXCEPT ALL does not run here"),
        ("SELECT source_id FROM etl_control LIMIT 1 + 1", "LIMIT takes a whole number"),
        ("SELECT 1 FROM etl_control WHERE source_id = 1", "a comparison mixes integer and text"),
        ("SELECT 1 FROM etl_control WHERE is_active = 1", "mixes boolean and integer (CAST one"),
        ("SELECT 1 FROM etl_control WHERE execution_order = 'x'", "'x' is not a number"),
        ("SELECT 1 FROM etl_control WHERE updated_timestamp > 'noon'", "'noon' is not a timestamp"),
        ("SELECT 1 FROM etl_control WHERE source_id", "a condition wants boolean, not text"),
        ("SELECT upper(1)", "upper() wants text, not integer (write CAST(… AS STRING))"),
        ("SELECT source_id + 1 FROM etl_control", "arithmetic wants a number, not text"),
        ("SELECT coalesce(source_id, 1) FROM etl_control", "coalesce() mixes integer and text"),
        ("SELECT CAST(1 AS DECIMAL(3, 1))", "CAST AS DECIMAL(3, 1) does not run here (types:"),
        ("SELECT CAST(source_id AS TIMESTAMP) FROM etl_control", "CAST of a text that is no lit"),
        ("SELECT updated_timestamp - created_timestamp FROM etl_control", "not timestamp"),
        ("SELECT now() + INTERVAL 1 MONTH", "this INTERVAL does not run here (write INTERVAL 1"),
        ("SELECT date_format(now(), 'qqq')", "the date pattern 'qqq' is not of the kind"),
        ("SELECT date_trunc('eon', now())", "date_trunc knows no 'eon'"),
        ("SELECT 'a' RLIKE '(?<=a)b'", "is not of the kind that runs here"),
        ("SELECT 'a' RLIKE source_id FROM etl_control", "a pattern that is written out"),
        ("SELECT 'a' LIKE 'a\\\\b'", "stands before %, _ or itself"),
        ("SELECT get_json_object(source_config, '$.a[*]') FROM etl_control", "not a JSON path"),
        ("SELECT source_config:a[*] FROM etl_control", "this JSON path does not run here"),
        ("SELECT 99999999999999999999", "is larger than a BIGINT"),
        ("SELECT 1e999", "is larger than a DOUBLE"),
        ("SELECT " + "(" * 200 + "1" + ")" * 200, "nested more than 150 deep"),
        ("INSERT OVERWRITE etl_control VALUES (1)", "OVERWRITE does not run here"),
        ("INSERT INTO etl_control BY NAME SELECT 1", "BY NAME does not run here"),
        ("INSERT INTO etl_control VALUES ('a', 'b'), ('c')", "differ in length"),
        ("INSERT INTO etl_control (source_id) VALUES ('a', 'b')", "2 value(s) for 1 column(s)"),
        ("INSERT INTO etl_control SELECT 1 FROM etl_control", "column source_id wants text, not"),
        ("INSERT INTO etl_control (nope) VALUES (1)", "there is no column nope"),
        ("INSERT INTO etl_control (source_id, source_id) VALUES ('a', 'b')", "is named twice"),
        ("INSERT INTO etl_control (execution_order) VALUES ('x')", "'x' is not a number"),
        ("INSERT INTO etl_control (execution_order) VALUES (1.5)", "wants integer, not double"),
        ("INSERT INTO etl_control VALUES (uuid())", "uuid() does not run here"),
        ("UPDATE etl_control SET nope = 1", "1:24: there is no column nope"),
        ("UPDATE etl_control SET is_active = 1", "column is_active wants boolean, not integer"),
        ("UPDATE etl_control SET is_active = true, is_active = false", "is set twice"),
        ("UPDATE etl_control SET x.is_active = true", "not the table"),
        ("UPDATE etl_control SET is_active = true FROM etl_control_jobs", "FROM does not run here"),
        ("UPDATE etl_control SET source_type = max(source_id)", "neither in GROUP BY nor"),
        ("DELETE FROM etl_control USING etl_control_jobs", "USING does not run here"),
        (
            "MERGE INTO etl_control USING (SELECT 1 AS a) ON TRUE WHEN MATCHED THEN DELETE",
            "give the source of MERGE a name of its own",
        ),
        (
            (
                "MERGE INTO etl_control t USING etl_control_jobs s ON TRUE"
                " WHEN MATCHED THEN DELETE WHEN MATCHED THEN DELETE"
            ),
            "this WHEN is never reached",
        ),
        (
            (
                "MERGE INTO etl_control t USING etl_control_jobs s ON t.module_name = s.module_name"
                " WHEN MATCHED THEN UPDATE SET *"
            ),
            "* holds job_id, which is no column of the table",
        ),
        (
            (
                "MERGE INTO etl_control t USING etl_control_jobs s ON TRUE"
                " WHEN NOT MATCHED THEN INSERT (module_name) VALUES (t.module_name)"
            ),
            "no source is named t (there are s)",
        ),
    ],
)
def test_the_rest_is_refused_with_a_reason(text: str, reason: str) -> None:
    assert reason in str(refusal(text))


def test_everything_that_is_wrong_is_named_at_once_and_where() -> None:
    problems = refusal(
        "DROP TABLE a;\nSELECT 'ü;', nope\nFROM etl_control;\nSELECT 1;\n  SELECT (1;\n;VACUUM b"
    ).problems
    assert [(p.file, p.line, p.column) for p in problems] == [
        ("statement 1", 1, 1),
        ("statement 2", 2, 14),
        ("statement 4", 5, 11),
        ("statement 5", 6, 2),
    ]
