"""Commands of the control plane over the flights example: right, quick to repeat, without a JVM."""

from pathlib import Path
from typing import Any

import pytest
from cli_process import Cli


def test_from_yaml_to_a_plan_without_a_jvm(flights: Cli) -> None:
    assert flights.json("validate", "metadata") == {"problems": []}
    first = flights.json("sync", "metadata")
    assert (first["added"], first["changed"], first["removed"]) == (19, 0, 0)
    again = flights.json("sync", "metadata")
    assert (again["added"], again["changed"], again["unchanged"]) == (0, 0, 19)
    assert flights.json("changes")["new_modules"] == ["nyc_flights", "nyc_reference"]
    actions = flights.json("plan")["actions"]
    kinds = [(a["kind"], a["action"]) for a in actions]
    assert kinds.count(("job", "create")) == 2
    assert kinds.count(("ddl_script", "run")) == 1
    assert kinds.count(("table", "create")) == 6
    rows = flights.json("sql", "SELECT module_name, count(*) FROM etl_control GROUP BY 1")["rows"]
    assert {r["module_name"]: r["count(*)"] for r in rows} == {
        "nyc_flights": 6,
        "nyc_reference": 4,
    }
    assert flights.json("status")["sources"] == 10
    assert not flights.used_spark


def test_jobs_are_created_once_and_updated_in_place(flights: Cli) -> None:
    flights.ok("sync", "metadata")
    created = flights.json("apply")
    assert [row["action"] for row in created] == ["created", "created"]
    ids = {row["module"]: row["job_id"] for row in created}
    assert {row["action"] for row in flights.json("apply")} == {"unchanged"}
    assert flights.json("changes")["updated_modules"] == []

    flights.ok(
        "sql", "UPDATE etl_control SET execution_order = 7 WHERE source_id = 'delay_by_hour'"
    )
    assert flights.json("changes")["changed_sources"] == [
        {"source_id": "delay_by_hour", "module_name": "nyc_flights", "action": "updated"}
    ]
    jobs = [a for a in flights.json("plan")["actions"] if a["kind"] == "job"]
    assert [(a["name"], a["action"]) for a in jobs] == [("nyc_flights", "update")]
    assert any("delay_by_hour" in change["path"] for change in jobs[0]["changes"])
    applied = {row["module"]: row for row in flights.json("apply")}
    assert applied["nyc_flights"]["action"] == "updated"
    assert applied["nyc_reference"]["action"] == "unchanged"
    assert {name: row["job_id"] for name, row in applied.items()} == ids
    assert not flights.used_spark


def test_export_is_stable_and_loads_back(flights: Cli, tmp_path: Path) -> None:
    flights.ok("sync", "metadata")
    text = flights.ok("export")
    assert flights.ok("export") == text
    other = Cli(tmp_path / "other")
    other.directory.mkdir()
    for folder in ("sql", "notebooks"):
        (other.directory / folder).symlink_to(flights.directory / folder)
    other.write("all.yml", text)
    assert other.json("sync", "all.yml")["added"] == 19
    assert other.ok("export") == text


SOURCE = "modules:\n  - module_name: m\n    sources:\n      - source_id: s\n        "
QUERY = "task_type: sql_query, sql_task: {sql_query: select 1}"
CYCLE = f"""
modules:
  - module_name: m
    sources:
      - {{source_id: a, transformation_config: {{{QUERY}, depends_on: [b]}}}}
      - {{source_id: b, transformation_config: {{{QUERY}, depends_on: [a]}}}}
"""
BAD = {
    "empty": ("", "the file is empty"),
    "broken": ("modules: [\n", "this is not YAML"),
    "list": ("- a\n", "the file is not a mapping"),
    "typo": ("modules:\n  - module_nme: a\n", "did you mean module_name?"),
    "root typo": ("modulse: []\n", "did you mean modules?"),
    "duplicate": ("modules: []\nmodules: []\n", "is given twice"),
    "date": (SOURCE + "source_config: {since: 2024-01-01}\n", "unquoted date"),
    "missing file": (
        SOURCE + "transformation_config: {notebook_path: no/such.py}\n",
        "there is no file no/such.py",
    ),
    "missing variable": ("modules:\n  - module_name: ${var.nope}\n", "variable nope has no value"),
    "unknown task": (
        SOURCE + "transformation_config: {task_type: notebok, notebook_path: x.py}\n",
        "did you mean notebook?",
    ),
    "cycle": (CYCLE, "a → b → a"),
    "no script": ("modules:\n  - {module_name: m, ddl_targets: [x]}\n", "no DDL script has target"),
    "table type": (
        "tables:\n  - {table: a.b.c, columns: [{name: x, type: strin}]}\n",
        "type 'strin' is not known",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_yaml_is_one_clear_answer_and_changes_nothing(cli: Cli, name: str) -> None:
    text, message = BAD[name]
    cli.write("bad.yml", text)
    found = cli.json("validate", "bad.yml", code=2)["problems"]
    shown = " ".join(f"{p['message']} {p['hint']}" for p in found)
    assert message in shown
    assert all(p["file"] == "bad.yml" and p["line"] >= 1 for p in found)
    done = cli.run("sync", "bad.yml")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (cli.directory / ".lakeflow" / "warehouse").exists()


def test_a_target_that_needs_a_warehouse_asks_for_it(cli: Cli) -> None:
    cli.write("conf/prod.yml", "backend: databricks\n")
    for warehouse in ("", "warehouse_id: your-warehouse-id, "):
        task = f"{{task_type: sql_query, sql_task: {{{warehouse}sql_query: select 1}}}}\n"
        cli.write("m.yml", f"{SOURCE}transformation_config: {task}")
        assert cli.json("validate", "m.yml") == {"problems": []}
        (problem,) = cli.json("--target", "prod", "validate", "m.yml", code=2)["problems"]
        assert "warehouse_id is missing" in problem["message"]
        assert "name a SQL warehouse" in problem["hint"]


def test_every_problem_of_every_file_is_shown_at_once(cli: Cli) -> None:
    for i, (text, _) in enumerate(BAD.values()):
        cli.write(f"metadata/{i:02}.yml", text)
    problems: list[dict[str, Any]] = cli.json("validate", "metadata", code=2)["problems"]
    assert len({p["file"] for p in problems}) == len(BAD)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["validate", "nowhere"], "there is no such file or folder"),
        (["sync", "notes.txt"], "this is not a .yml or .yaml file"),
        (["sql", "DROP TABLE etl_control"], "DROP does not run here"),
        (["sql", "SELECT * FROM secrets"], "is not a control table"),
        (["--target", "prod", "plan"], "has no settings file"),
        (["--control-table", "nope", "plan"], "write catalog.schema.table"),
        (["changes", "--since", "yesterday"], "is not a time"),
        (["run", "nothing"], "load metadata with"),
        (["nonsense"], "No such command"),
        (["sync"], "Missing argument"),
    ],
)
def test_bad_calls_are_one_clear_line_and_exit_code_two(
    cli: Cli, arguments: list[str], message: str
) -> None:
    cli.write("notes.txt", "hello")
    done = cli.run(*arguments)
    assert done.returncode in (1, 2), done.stdout
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_home_that_cannot_be_written_is_one_clear_error(cli: Cli) -> None:
    cli.write("metadata.yml", "modules:\n  - module_name: m\n")
    blocked = cli.write("blocked", "a file, not a directory")
    for command in (["sync", "metadata.yml"], ["apply"], ["plan"]):
        done = cli.run("--home", str(blocked / "home"), *command)
        assert done.returncode in (1, 2)
        assert str(blocked) in done.stderr
        assert "Traceback" not in done.stderr
    doctor = cli.run("--home", str(blocked / "home"), "doctor")
    assert "FAIL  home" in doctor.stdout


def test_json_errors_are_json_too(cli: Cli) -> None:
    found = cli.json("sql", "VACUUM etl_control", code=2)
    assert found["error"]["type"] == "SpecError"
    assert "VACUUM does not run here" in found["problems"][0]["message"]


def test_a_new_project_is_valid_at_once(cli: Cli) -> None:
    written = cli.json("init", "shop")["written"]
    assert "shop/metadata/orders.yml" in written
    shop = Cli(cli.directory / "shop")
    assert shop.json("validate", "metadata") == {"problems": []}
    assert cli.json("init", "shop")["written"] == []


def test_the_schema_of_the_yaml_knows_the_words_of_the_example(flights: Cli) -> None:
    schema = flights.json("schema")
    assert {"modules", "tables", "ddl_scripts", "variables"} <= schema["properties"].keys()
    assert "ModuleSpec" in schema["$defs"]


def test_settings_say_where_they_come_from(flights: Cli) -> None:
    found = flights.json("config")
    assert found["catalogs"] == {"value": ["nyc"], "origin": "conf/default.yml"}
    assert found["target"] == {"value": "local", "origin": "default"}
    given = flights.json("--target", "local", "config")["target"]
    assert given == {"value": "local", "origin": "command line"}
    flights.write("conf/local.yml", "backend: local\nmax_paralel_tasks: 2\n")
    done = flights.run("plan")
    assert done.returncode == 2
    assert "did you mean max_parallel_tasks?" in done.stderr
