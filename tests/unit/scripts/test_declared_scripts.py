"""Scripts that YAML declares: repeatable ones too, there and back, and what is wrong with them."""

from __future__ import annotations

from lakeflow_meta.control.declared import Declared, read_declared
from lakeflow_meta.control.export import export_yaml
from lakeflow_meta.jobs.job_settings import JobContext

YAML = """
ddl_scripts:
  - {target: t, file: R__views.sql, body: SELECT 1}
  - {target: t, release: 001_a, file: R__more.sql, body: SELECT 2}
  - {target: t, release: 001_a, file: 001_x.py, body: "a = ("}
"""


def _read(text: str, files: dict[str, str] | None = None) -> Declared:
    context = JobContext(control_table="main.lakeflow.etl_control")
    return read_declared({"m.yml": text}, files or {}, variables={}, context=context)


def test_repeatable_scripts_are_declared_and_exported_again() -> None:
    declared = _read(YAML.replace('"a = ("', "a = 1"))
    assert not declared.problems
    assert [(row["script_id"], row["release"]) for row in declared.ddl_scripts] == [
        ("t/001_a/001_x.py", "001_a"),
        ("t/001_a/R__more.sql", "001_a"),
        ("t/R__views.sql", ""),
    ]
    text = export_yaml(sources=(), modules=(), tables=(), scripts=declared.ddl_scripts)
    assert _read(text).ddl_scripts == declared.ddl_scripts


def test_python_that_is_none_is_found_where_it_is_written() -> None:
    (problem,) = _read(YAML).problems
    assert str(problem).startswith("m.yml:5:5: ddl_scripts[2]: this is no Python: ")
    (problem,) = _read("description: d", {"t/001_a/001_x.py": "a = 1\nb = (\n"}).problems
    assert str(problem).startswith("ddl_scripts/t/001_a/001_x.py:2:1: this is no Python: ")


def test_a_numbered_script_needs_its_release() -> None:
    (problem,) = _read("ddl_scripts:\n  - {target: t, file: 001_x.sql, body: X}").problems
    assert "script 't/001_x.sql' does not lie in <target>/<release>/" in str(problem)
