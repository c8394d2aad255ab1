"""Names and rows of DDL scripts."""

from __future__ import annotations

import pytest

from lakeflow_meta.control.rows import RowError
from lakeflow_meta.scripts.script import Language, read_script, read_scripts


def test_numbers_order_releases_and_scripts_not_the_alphabet() -> None:
    names = ["a/10_late/1_x.sql", "a/2_b/10_c.sql", "a/2_b/2_b.py", "a/002_b/1_a.sql"]
    scripts, findings = read_scripts(dict.fromkeys(names[:3], "0"))
    assert [s.script_id for s in scripts] == ["a/2_b/2_b.py", "a/2_b/10_c.sql", "a/10_late/1_x.sql"]
    assert findings == []


def test_a_name_gives_every_part_and_the_same_identity_on_windows() -> None:
    (script,), _ = read_scripts({"silver\\001_init\\003_create_orders.sql": "SELECT 1;\r\n"})
    (other,), _ = read_scripts({"silver/001_init/003_create_orders.sql": "SELECT 1;\n"})
    assert script == other
    assert script.script_id == "silver/001_init/003_create_orders.sql"
    assert (script.target, script.release, script.ordinal) == ("silver", "001_init", 3)
    assert (script.name, script.language) == ("create_orders", Language.SQL)


def test_every_misnamed_file_and_every_number_used_twice_is_found_at_once() -> None:
    names = [
        "t/001_a/001_x.sql",
        "t/001_a/1_y.sql",
        "t/001_b/001_z.sql",
        "t/init/001_x.sql",
        "t/002_c/tables.py",
        "t/002_c/001_x.txt",
        "001_x.sql",
    ]
    scripts, findings = read_scripts(dict.fromkeys(names, ""))
    assert len(scripts) == 3
    assert [f.path[0] for f in findings[:4]] == sorted([names[6], names[3], names[4], names[5]])
    numbers = " ".join(f.message for f in findings[4:])
    assert "'t/001_a/001_x.sql' and 't/001_a/1_y.sql'" in numbers
    assert "releases '001_a' and '001_b'" in numbers
    assert all(f.hint for f in findings)


def test_repeatable_scripts_lie_in_a_target_or_a_release_and_come_last() -> None:
    names = ["t/R__views.sql", "t/001_a/R__a_proc.sql", "t/900_z/001_x.sql", "t/R__a_proc.sql"]
    scripts, findings = read_scripts(dict.fromkeys(names, "SELECT 1"))
    assert findings == []
    assert [s.script_id for s in scripts] == [names[2], names[1], names[3], names[0]]
    assert [s.is_repeatable for s in scripts] == [False, True, True, True]
    assert [(s.name, s.ordinal, s.release) for s in scripts[1:]] == [
        ("a_proc", None, "001_a"),
        ("a_proc", None, ""),
        ("views", None, ""),
    ]
    assert [read_script(script.row()) for script in scripts] == scripts


def test_python_that_is_none_is_found_with_its_line() -> None:
    bodies = {"t/001_a/001_x.py": "a = 1\nif a\n", "t/001_a/002_y.py": "from __future__ import x"}
    _, findings = read_scripts(bodies)
    assert [f.path for f in findings] == [("t/001_a/001_x.py", 2), ("t/001_a/002_y.py", 1)]
    assert "expected ':'" in findings[0].message


def test_a_row_reads_back_as_the_script_that_it_was_made_of() -> None:
    (script,), _ = read_scripts({"t/001_a/001_x.sql": "SELECT 'é'"})
    row = {**script.row(), "created_timestamp": None, "updated_timestamp": None}
    assert read_script(row) == script


def test_the_checksum_follows_a_body_that_was_changed_by_sql() -> None:
    (script,), _ = read_scripts({"t/001_a/001_x.sql": "SELECT 1"})
    changed = read_script({**script.row(), "body": "SELECT 2"})
    assert changed.checksum != script.checksum


@pytest.mark.parametrize(
    ("column", "value"),
    [("release", "init"), ("ordinal", None), ("language", "scala"), ("script_name", "")],
)
def test_a_row_that_cannot_be_read_names_its_column(column: str, value: object) -> None:
    (script,), _ = read_scripts({"t/001_a/001_x.sql": "SELECT 1"})
    with pytest.raises(RowError, match=column):
        read_script({**script.row(), column: value})
