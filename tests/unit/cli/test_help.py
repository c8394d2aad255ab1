"""Help that cannot be wrong: each command has an example, and each example is understood."""

import io
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from lakeflow_meta import __version__
from lakeflow_meta.cli.help_text import SECTIONS, split_help
from lakeflow_meta.cli.main import PROGRAM, cli, run
from lakeflow_meta.cli.output import Output, Session
from lakeflow_meta.cli.remedies import globals_first

ROOT: Any = typer.main.get_command(cli)


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


COMMANDS = dict(commands(ROOT))


def understood(words: list[str]) -> Any:
    """The command that the words call, all of them parsed. Raises what typing them would."""
    command, name, parent = ROOT, PROGRAM, None
    while True:
        context = command.make_context(name, words, parent=parent)
        rest = [*context._protected_args, *context.args]
        if not hasattr(command, "commands"):
            assert not rest
            return command
        name, command, words = command.resolve_command(context, rest)
        parent = context


def words_of(example: str) -> list[str]:
    program, *words = shlex.split(example)
    assert program == PROGRAM
    return globals_first(words[: words.index(">")] if ">" in words else words)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_examples_and_each_is_understood(name: str) -> None:
    _, examples = split_help(COMMANDS[name].help)
    assert examples, f"{name} has no example"
    for example in examples:
        assert understood(words_of(example)).name == COMMANDS[name].name, example


def test_an_example_that_is_wrong_would_be_found() -> None:
    with pytest.raises(typer.TyperException):
        understood(words_of("lakeflow-meta plan --chek"))
    with pytest.raises(typer.TyperException):
        understood(words_of("lakeflow-meta tables snc"))


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_each_argument_and_each_option_says_what_it_is(name: str) -> None:
    prose, _ = split_help(COMMANDS[name].help)
    assert prose.split("\n\n")[0].rstrip().endswith("."), "the first sentence"
    assert [p.name for p in COMMANDS[name].params if not p.help] == []


def test_each_command_has_its_place_in_the_help() -> None:
    placed = [name for names in SECTIONS.values() for name in names]
    assert len(placed) == len(set(placed))
    assert set(ROOT.commands) == set(placed)


def printed(*words: str) -> tuple[int, str]:
    output = Output(as_json="--json" in words, out=io.StringIO(), err=io.StringIO())
    code = run(list(words), Session(output))
    assert isinstance(output.out, io.StringIO)
    return code, output.out.getvalue()


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed("--version") == (0, f"lakeflow-meta {__version__}\n")
    assert printed("--version", "--json")[1] == f'{{\n  "version": "{__version__}"\n}}\n'


def test_help_of_a_command_is_that_of_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["help", "tables", "sync"]) == 0
    asked = capsys.readouterr().out
    assert run(["tables", "sync", "--help"]) == 0
    assert capsys.readouterr().out == asked
    assert "\nExamples:\n  lakeflow-meta tables sync --module nyc_flights\n" in asked


def test_nothing_typed_is_answered_with_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "\nStart:\n  init " in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80


def test_examples_are_taken_from_the_end_of_a_text() -> None:
    text = "Do it.\n\nWith care. Examples: lakeflow-meta a 'x; y';\n    lakeflow-meta b\n"
    assert split_help(text) == (
        "Do it.\n\nWith care.",
        ["lakeflow-meta a 'x; y'", "lakeflow-meta b"],
    )
    assert split_help("For example: this.") == ("For example: this.", [])
