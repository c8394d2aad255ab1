"""What a new user types wrong, and what is answered: what is the matter, and what to do."""

import errno
import io
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer

from lakeflow_meta.cli.main import cli, run
from lakeflow_meta.cli.output import Output, Session
from lakeflow_meta.cli.remedies import OPTIONS, globals_first, of_the_machine, project_above


@dataclass
class Project:
    """A new project, its metadata recorded."""

    folder: Path
    environment: pytest.MonkeyPatch
    recorded: Path = Path()
    code: int = field(default=-1, init=False)

    def types(self, *words: str) -> str:
        """What is printed for people; of a crash, pytest shows the traceback."""
        output = Output(as_json="--json" in words, out=io.StringIO(), err=io.StringIO())
        self.code = run(list(words), Session(output))
        assert isinstance(output.out, io.StringIO)
        assert isinstance(output.err, io.StringIO)
        return output.out.getvalue() + output.err.getvalue()

    def write(self, name: str, text: str | bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)

    def go(self, folder: str) -> None:
        (self.folder / folder).mkdir(parents=True, exist_ok=True)
        self.environment.chdir(self.folder / folder)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two projects to copy: a new one, and one whose metadata is recorded."""
    folder = tmp_path_factory.mktemp("samples")
    with pytest.MonkeyPatch.context() as environment:
        for name in ("new", "recorded"):
            made = Project(folder / name, environment)
            made.types("init", str(made.folder))
            made.go(".")
        made.types("sync", "metadata")
    assert made.code == 0
    return folder


@pytest.fixture
def project(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in [name for name in os.environ if name.startswith("LAKEFLOW_META_")]:
        monkeypatch.delenv(name)
    made = Project(tmp_path / "bar", monkeypatch, samples / "recorded")
    shutil.copytree(samples / "new", made.folder)
    made.go(".")
    return made


def nothing(_project: Project) -> None:
    """The mistake is in what is typed."""


def recorded(project: Project) -> None:
    shutil.copytree(project.recorded, project.folder, dirs_exist_ok=True)


def elsewhere(project: Project) -> None:
    project.go("../elsewhere")


def in_a_folder_of_it(project: Project) -> None:
    project.go("metadata")


def broken_jobs(project: Project) -> None:
    recorded(project)
    project.write(".lakeflow/workspace.db", b"this is no database " * 500)


def a_file_as_home(project: Project) -> None:
    project.write(".lakeflow", "a file")


def settings(text: str) -> Callable[[Project], None]:
    return lambda project: project.write("conf/local.yml", text)


def metadata(text: str) -> Callable[[Project], None]:
    return lambda project: project.write("m.yml", text)


def no_java(project: Project) -> None:
    project.environment.setenv("JAVA_HOME", "")
    project.environment.setenv("PATH", "/nonexistent")


MISTAKES: dict[str, tuple[Callable[[Project], None], list[str], int, list[str]]] = {
    # name: what happened before, what is typed, exit code, what is answered
    "wrong folder": (
        elsewhere,
        ["sync", "metadata"],
        2,
        ["metadata: there is no such file", "lakeflow-meta init"],
    ),
    "nothing recorded": (elsewhere, ["apply"], 1, ["load metadata with `lakeflow-meta sync PATH`"]),
    "a folder of the project": (in_a_folder_of_it, ["apply"], 1, ["is no project, and", "cd /"]),
    "no module yet": (nothing, ["plan", "orders"], 2, ["there are none yet; load metadata with"]),
    "command": (nothing, ["pln"], 2, ["No such command 'pln'. Did you mean 'plan'?"]),
    "command of a group": (nothing, ["tables", "snc"], 2, ["mean 'sync'?", "tables --help'"]),
    "option": (nothing, ["plan", "--chek"], 2, ["Did you mean --check?", "'lakeflow-meta plan"]),
    "global option": (nothing, ["plan", "--jsn"], 2, ["Did you mean --json?"]),
    "unknown option": (nothing, ["plan", "--quux"], 2, ["No such option: --quux.", "--help"]),
    "nothing to validate": (nothing, ["validate"], 2, ["Missing argument 'paths'", "--help"]),
    "module": (recorded, ["apply", "order"], 2, ["no module 'order' is recorded; did you mean"]),
    "module to run": (recorded, ["run", "order"], 2, ["no module 'order'", "did you mean orders?"]),
    "job before apply": (recorded, ["run", "orders"], 2, ["has no job yet: apply it first"]),
    "file for module": (
        recorded,
        ["apply", "metadata/orders.yml"],
        2,
        ["wants names of modules", "`lakeflow-meta sync metadata/orders.yml`"],
    ),
    "file for module to run": (recorded, ["run", "m.yaml"], 2, ["wants names of modules"]),
    "source": (recorded, ["ingest", "oders"], 2, ["did you mean orders?"]),
    "table": (recorded, ["tables", "show", "shop.bronze.order"], 2, ["mean shop.bronze.orders?"]),
    "extract": (recorded, ["extract", "run", "daily_totl"], 2, ["did you mean daily_total?"]),
    "script target": (recorded, ["ddl", "run", "shp"], 2, ["did you mean shop?"]),
    "run": (recorded, ["runs", "12"], 1, ["run 12 does not exist; `lakeflow-meta runs` lists"]),
    "run that is no number": (nothing, ["runs", "abc"], 2, ["'run_id'", "valid integer"]),
    "target": (nothing, ["--target", "prd", "plan"], 2, ["conf/prd.yml", "did you mean prod?"]),
    "settings folder": (
        nothing,
        ["--conf", "cfg", "plan"],
        2,
        ["settings folder cfg", "default.y"],
    ),
    "workspace not filled in": (nothing, ["--target", "prod", "plan"], 2, ["conf/prod.yml"]),
    "parameter": (recorded, ["run", "orders", "--param", "day"], 2, ["--param 'day' is not name="]),
    "variable": (nothing, ["sync", "metadata", "--var", "x"], 2, ["--var 'x' is not name=value"]),
    "setting": (
        settings("backend: local\nhme: x\n"),
        ["plan"],
        2,
        ["conf/local.yml", "mean home?"],
    ),
    "settings file": (settings("backend: [\n"), ["plan"], 2, ["conf/local.yml:2:1", "not YAML"]),
    "YAML": (metadata("modules: [\n"), ["sync", "m.yml"], 2, ["m.yml:2:1: this is not YAML"]),
    "key": (metadata("modulse: []\n"), ["sync", "m.yml"], 2, ["m.yml:1:1", "mean modules?"]),
    "format": (nothing, ["export", "--format", "json"], 2, ["write yaml or bundle"]),
    "choice": (recorded, ["apply", "--prune", "remove"], 2, ["one of pause, delete, keep"]),
    "time": (recorded, ["changes", "--since", "yesterday"], 2, ["write 2025-01-31T08:00:00+00:00"]),
    "SQL": (recorded, ["sql", "SELECT * FROM etl_contrl"], 2, ["did you mean etl_control?"]),
    "no file to write": (recorded, ["export", "-o", "/no/x.yml"], 2, ["cannot write /no/x.yml"]),
    "broken workspace.db": (broken_jobs, ["apply"], 1, ["workspace.db", "move it away"]),
    "broken workspace.db shown": (broken_jobs, ["status"], 1, ["`lakeflow-meta apply` makes the"]),
    "home is a file": (a_file_as_home, ["sync", "metadata"], 1, [".lakeflow"]),
    "older tables": (nothing, ["migrate"], 2, ["lakeflow-meta migrate CATALOG.SCHEMA.TABLE"]),
    "deploy here": (nothing, ["deploy"], 2, ["needs a Databricks workspace", "--target prod"]),
    "no Java": (no_java, ["doctor"], 1, ["Java 17"]),
    "project into a file": (nothing, ["init", "README.md"], 2, ["README.md is a file"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_with_what_to_do(project: Project, name: str) -> None:
    before, words, code, answers = MISTAKES[name]
    before(project)
    said = project.types(*words)
    assert project.code == code, said
    assert [answer for answer in answers if answer not in said] == [], said
    assert "Traceback" not in said


@pytest.mark.parametrize("words", [["pln"], ["plan", "--chek"], ["runs", "abc"], ["apply", "x"]])
def test_with_json_a_mistake_is_json_too(project: Project, words: list[str]) -> None:
    said = json.loads(project.types(*words, "--json"))
    assert said["error"]["type"] == ("NotFoundError" if words[0] == "apply" else "ConfigError")
    assert said["error"]["message"]


def test_global_options_may_stand_anywhere(project: Project) -> None:
    here = json.loads(project.types("config", "--target", "local", "--json", "--home=there"))
    assert (project.code, here["home"]["value"]) == (0, "there")
    assert globals_first(["sql", "--", "--home", "x"]) == ["sql", "--", "--home", "x"]
    assert globals_first(["plan", "--home"]) == ["--home", "plan"]


def test_no_command_has_an_option_of_a_global_ones_name() -> None:
    def walk(command: Any, path: str) -> Iterator[tuple[str, str]]:
        for name, inner in getattr(command, "commands", {}).items():
            yield from ((f"{path} {name}", o) for p in inner.params for o in p.opts)
            yield from walk(inner, f"{path} {name}")

    root = typer.main.get_command(cli)
    assert not [pair for pair in walk(root, "") if pair[1] in (*OPTIONS, "--json", "--verbose")]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "the disk is full: free some space"),
        (errno.EACCES, "give this user permission"),
        (errno.EROFS, "choose another place with --home"),
        (errno.EADDRINUSE, "--port 0"),
        (errno.EIO, "x.parquet"),
    ],
)
def test_the_machines_errors_come_with_a_remedy(number: int, remedy: str) -> None:
    error = of_the_machine(OSError(number, os.strerror(number), "x.parquet"))
    assert remedy in str(error)
    assert error.code == errno.errorcode[number]


def test_a_port_that_is_taken_is_one_clear_error(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = project.types("ui", "--port", str(taken.getsockname()[1]))
    assert (project.code, "--port" in said) == (2, True)


def test_an_ingest_without_sources_and_a_report_into_a_folder_say_so(project: Project) -> None:
    assert project.types("ingest") == "nothing to ingest: no file source is recorded\n"
    assert project.code == 0
    assert "it is a folder; name a file in it" in project.types("report", "-o", ".")
    assert project.code == 2


def test_a_full_disk_is_one_clear_error(project: Project) -> None:
    """The device is Linux's own: whatever is written to it does not fit."""
    recorded(project)
    project.environment.setattr("pathlib.Path.replace", lambda *_: None)
    (project.folder / ".full.yml.partial").symlink_to("/dev/full")
    said = project.types("export", "-o", "full.yml")
    assert (project.code, "No space left on device" in said) == (2, True)


def test_the_project_above_is_found_only_from_inside(tmp_path: Path) -> None:
    (tmp_path / "p" / "conf").mkdir(parents=True)
    (tmp_path / "p" / "conf" / "default.yml").touch()
    (tmp_path / "p" / "sql" / "deep").mkdir(parents=True)
    assert project_above(tmp_path / "p" / "sql" / "deep") == tmp_path / "p"
    assert project_above(tmp_path / "p") is None
