"""The project that `init` makes."""

import io
import json
import re
from pathlib import Path

import pytest
import typer

from lakeflow_meta.cli.main import cli, run
from lakeflow_meta.cli.output import Output, Session
from lakeflow_meta.cli.templates import FILES


def typed(*words: str, code: int = 0) -> str:
    output = Output(as_json="--json" in words, out=io.StringIO(), err=io.StringIO())
    assert run(list(words), Session(output)) == code
    assert isinstance(output.out, io.StringIO)
    assert isinstance(output.err, io.StringIO)
    return output.out.getvalue() + output.err.getvalue()


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_was_written_and_what_to_type_next_is_said() -> None:
    said = typed("init", "my bar").splitlines()
    assert [line for line in said if line.startswith("+")] == [
        *(f"+ my bar/{name}" for name in FILES),
        "+ my bar/lakeflow.schema.json",
    ]
    assert [line.partition("#")[0].strip() for line in said[-4:]] == [
        "cd 'my bar'",
        "lakeflow-meta sync metadata",
        "lakeflow-meta apply --run",
        "lakeflow-meta status",
    ]
    assert "cd" not in typed("init").splitlines()[-4]


def test_files_that_are_there_are_never_overwritten_and_named(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "default.yml").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine too")
    result = json.loads(typed("init", "--json"))
    assert result["kept"] == ["conf/default.yml"]
    assert "metadata/orders.yml" in result["written"]
    assert (tmp_path / "conf" / "default.yml").read_text() == "mine"
    again = json.loads(typed("init", "--json"))
    assert again["written"] == []
    assert len(again["kept"]) == len(FILES) + 1
    assert "= README.md (there already, left as it is)" in typed("init")


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "README.md").symlink_to(tmp_path / "elsewhere")
    assert json.loads(typed("init", "--json"))["kept"] == ["README.md"]
    assert not (tmp_path / "elsewhere").exists()


def test_a_new_project_is_right_on_this_machine_and_on_a_workspace(tmp_path: Path) -> None:
    typed("init")
    assert typed("validate", "metadata").startswith("no problems: 1 module, 5 sources, 1 table")
    prod = tmp_path / "conf" / "prod.yml"
    prod.write_text(prod.read_text().replace("# warehouse_id:", "warehouse_id:"))
    assert typed("--target", "prod", "validate", "metadata").startswith("no problems")
    assert ".lakeflow/" in (tmp_path / ".gitignore").read_text().split()


def test_the_commands_that_its_readme_names_are_there() -> None:
    root = typer.main.get_command(cli)
    named = re.findall(r"lakeflow-meta (\w+)", FILES["README.md"])
    assert len(named) > 5
    assert set(named) <= set(root.commands)  # type: ignore[attr-defined]


def test_its_schema_is_the_one_that_is_printed(tmp_path: Path) -> None:
    typed("init")
    assert (tmp_path / "lakeflow.schema.json").read_text() == typed("schema")
