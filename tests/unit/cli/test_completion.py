"""What the Tab key offers, asked as bash, zsh and fish ask."""

import io
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lakeflow_meta.cli.main import run
from lakeflow_meta.cli.output import Output, Session

ROOT = Path(__file__).parents[3]

METADATA = """
modules:
  - module_name: sales
    sources:
      - {source_id: hello, transformation_config: {task_type: spark_python, python_file: hello.py}}
      - source_id: landing
        source_type: file
        source_config: {path: landing, format: csv}
        target_config: {table: main.default.sales}
  - module_name: stock
    sources:
      - {source_id: count, transformation_config: {task_type: spark_python, python_file: hello.py}}
  - {module_name: gone, is_active: false}
tables:
  - {table: main.default.sales, module: sales, columns: [{name: id, type: int}]}
ddl_scripts:
  - {target: shop, release: 001_one, file: 001_one.sql, body: SELECT 1}
extracts:
  - extract_name: daily
    group: NIGHT
    source: {table: main.default.sales}
    target: {path: out}
"""

Tab = Callable[..., list[str]]


def typed(*words: str) -> None:
    assert run(list(words), Session(Output(out=io.StringIO(), err=io.StringIO()))) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that is recorded, applied, and whose module `stock` has run."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "conf").mkdir()
    (folder / "conf" / "default.yml").write_text("control_table: main.lakeflow.etl_control\n")
    (folder / "conf" / "prod.yml").write_text("backend: databricks\n")
    (folder / "hello.py").write_text("print('hello')\n")
    (folder / "m.yml").write_text(METADATA)
    with pytest.MonkeyPatch.context() as environment:
        environment.chdir(folder)
        typed("sync", "m.yml")
    return folder


@pytest.fixture
def tab(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tab:
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("LAKEFLOW_META_")]:
        monkeypatch.delenv(name)

    def press(line: str, shell: str = "bash") -> list[str]:
        """What the shell is told; the line ends where the cursor is."""
        words = shlex.split(line) + ([""] if line.endswith(" ") else [])
        asked = {
            "_LAKEFLOW_META_COMPLETE": f"complete_{shell}",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
            "_TYPER_COMPLETE_ARGS": line,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        }
        with monkeypatch.context() as environment:
            for name, value in asked.items():
                environment.setenv(name, value)
            with pytest.raises(SystemExit) as stop:
                run([])
        assert stop.value.code == 0
        told = capsys.readouterr()
        assert told.err == ""
        return told.out.split("\n") if shell != "bash" else told.out.split()

    return press


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("lakeflow-meta pl", ["plan"]),
        ("lakeflow-meta tables s", ["sync", "show"]),
        ("lakeflow-meta plan --che", ["--check"]),
        ("lakeflow-meta plan ", ["sales", "stock"]),
        ("lakeflow-meta plan st", ["stock"]),
        ("lakeflow-meta apply sales st", ["stock"]),
        ("lakeflow-meta run s", ["sales", "stock"]),
        ("lakeflow-meta history sa", ["sales"]),
        ("lakeflow-meta restore sa", ["sales"]),
        ("lakeflow-meta tables sync --module st", ["stock"]),
        ("lakeflow-meta ingest ", ["landing", "sales/landing"]),
        ("lakeflow-meta ingest log sales/", ["sales/landing"]),
        ("lakeflow-meta tables show ma", ["main.default.sales"]),
        ("lakeflow-meta extract run ", ["daily"]),
        ("lakeflow-meta extract run --group ", ["NIGHT"]),
        ("lakeflow-meta ddl run ", ["shop"]),
        ("lakeflow-meta --target ", ["local", "prod"]),
        ("lakeflow-meta export --format ", ["yaml", "bundle"]),
        ("lakeflow-meta apply --prune ", ["pause", "delete", "keep"]),
        ("lakeflow-meta ingest log --status f", ["failed"]),
        ("lakeflow-meta help sta", ["status"]),
        ("lakeflow-meta plan gone", []),
        ("lakeflow-meta --home elsewhere plan ", []),
        ("lakeflow-meta --target prod plan ", []),
        ("lakeflow-meta --target nowhere plan ", []),
        ("lakeflow-meta runs 12", []),
    ],
)
def test_names_are_completed(tab: Tab, line: str, offered: list[str]) -> None:
    assert tab(line) == offered


def test_runs_and_their_tasks_are_completed(tab: Tab) -> None:
    typed("apply", "stock")
    typed("run", "stock")
    (run_id,) = tab("lakeflow-meta runs ")
    assert tab(f"lakeflow-meta runs {run_id} --logs ") == ["count"]
    assert tab("lakeflow-meta runs 1 --logs ") == []
    told, _ = tab("lakeflow-meta run --repair ", "fish")
    assert told.startswith(f"{run_id}\tstock: success, 2")


def test_zsh_and_fish_are_told_the_same_with_a_word_on_each(tab: Tab) -> None:
    commands = "\n".join(tab("lakeflow-meta p", "zsh"))
    assert commands.startswith('_arguments \'*: :(("plan":"Show what')
    assert tab("lakeflow-meta plan st", "zsh") == ["_arguments '*: :((\"stock\"))'", ""]
    assert tab("lakeflow-meta plan st", "fish") == ["stock", ""]


@pytest.mark.parametrize("damage", ["conf/local.yml", ".lakeflow/workspace.db"])
def test_a_broken_project_offers_nothing_and_says_nothing(
    tab: Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    (tmp_path / damage).parent.mkdir()
    (tmp_path / damage).write_text("backend: [" * 100)
    monkeypatch.chdir(tmp_path)
    assert tab("lakeflow-meta runs ") == []
    assert tab("lakeflow-meta plan ") == []


def test_no_project_is_made_by_asking(
    tab: Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in ("plan ", "runs ", "runs 1 --logs ", "ingest ", "tables show ", "extract run "):
        assert tab(f"lakeflow-meta {line}") == []
    assert list(tmp_path.iterdir()) == []


def test_a_real_bash_completes_with_what_show_completion_prints(
    folder: Path, tmp_path: Path
) -> None:
    program = tmp_path / "lakeflow-meta"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m lakeflow_meta "$@"\n')
    program.chmod(0o755)
    script = """
        eval "$(lakeflow-meta --show-completion)"
        complete -p lakeflow-meta
        COMP_WORDS=(lakeflow-meta plan "") COMP_CWORD=2
        _lakeflow_meta_completion lakeflow-meta
        echo "${COMPREPLY[@]}"
    """
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/bash", "--norc", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "complete -o default -F _lakeflow_meta_completion lakeflow-meta",
        "sales stock",
    ]
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("shell", "begins", "file"),
    [
        ("bash", "_lakeflow_meta_completion() {", ".bash_completions/lakeflow-meta.sh"),
        ("zsh", "#compdef lakeflow-meta", ".zfunc/_lakeflow-meta"),
        ("fish", "complete --command lakeflow-meta", ".config/fish/completions/lakeflow-meta.fish"),
    ],
)
def test_a_shell_can_be_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    shell: str,
    begins: str,
    file: str,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "")  # to be undone
    for option in ("--show-completion", "--install-completion"):
        with pytest.raises(SystemExit) as stop:
            run([option, shell])
        assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(begins)
    assert (tmp_path / file).read_text().startswith(begins)


_HEAVY = {"pyarrow", "pandas", "numpy", "pyspark", "databricks.sdk", "sqlglot", "jinja2"}


def test_an_answer_loads_nothing_that_is_slow(folder: Path) -> None:
    asked = {
        "_LAKEFLOW_META_COMPLETE": "complete_bash",
        "COMP_WORDS": "lakeflow-meta plan ",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "lakeflow_meta"],
        cwd=folder,
        env={**os.environ, **asked, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["sales", "stock"]
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "deltalake" in loaded
    assert not _HEAVY & loaded
