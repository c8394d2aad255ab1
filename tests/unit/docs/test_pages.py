"""No page shows what nobody checks: every block is run, held against something, or says why not."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer.main
import yaml
from doc_pages import ROOT, Block, Kind, blocks, pages, usage_lines

from lakeflow_meta.cli.main import cli, run
from lakeflow_meta.cli.output import Output, Session
from lakeflow_meta.settings import Layer, resolve

PAGES = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in pages()}
ALL = [(name, block) for name, text in PAGES.items() for block in blocks(text)]


def of(kind: Kind) -> list[Any]:
    return [
        pytest.param(block, id=f"{name}:{block.line}") for name, block in ALL if block.kind is kind
    ]


def test_every_block_is_proven_or_says_why_not() -> None:
    unproven = [f"{name}:{block.line}" for name, block in ALL if block.kind is Kind.UNKNOWN]
    assert unproven == [], "see tests/doc_pages.py"


def test_what_runs_elsewhere_runs_there() -> None:
    for name, block in ALL:
        if block.mark.startswith("run by "):
            test = block.mark.removeprefix("run by ").split("::")[0]
            assert (ROOT / test).is_file(), f"{name}:{block.line}"
        elif block.mark:
            assert len(block.mark) > len("not run: ") + 10, f"{name}:{block.line}: no reason"


def test_no_block_hides_behind_spaces() -> None:
    """Blocks by indentation are seen by nobody here."""
    hidden = []
    for name, text in PAGES.items():
        plain = re.sub(r"^(```+).*?^\1$", "```", text, flags=re.MULTILINE | re.DOTALL)
        hidden += [
            f"{name}: {found[0].strip()}"
            for found in re.finditer(r"(?<=\n\n) {4}\S.*", plain)
            if not found[0].strip().startswith(("-", "*"))
        ]
    assert hidden == []


def test_nothing_is_wrong_in_how_blocks_are_fenced() -> None:
    for name, text in PAGES.items():
        fences = re.findall(r"^```+", text, re.MULTILINE)
        assert len(fences) % 2 == 0, name
        seen = [b for b in blocks(text) if b.kind is not Kind.UNSEEN]
        assert len(seen) == len(fences) // 2, name


# --- what blocks say


@pytest.mark.parametrize("block", of(Kind.METADATA))
def test_yaml_is_valid_metadata(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("block.yml").write_text(block.text)
    for path in re.findall(
        r"(?:notebook_path|file_path|sql_file_path|python_file): ([\w./]+)", block.text
    ):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    said = io.StringIO()
    assert run(["validate", "block.yml"], Session(Output(out=said, err=said))) == 0, said.getvalue()


@pytest.mark.parametrize("block", of(Kind.SETTINGS))
def test_yml_is_valid_settings(block: Block) -> None:
    resolve([Layer("the page", yaml.safe_load(block.text))])


def test_json_is_json() -> None:
    for _, block in ALL:
        if block.kind is Kind.JSON:
            json.loads(block.text)


# --- usage

COMMAND = typer.main.get_command(cli)


@pytest.mark.parametrize("block", of(Kind.USAGE))
def test_usage_names_only_what_there_is(block: Block) -> None:
    for line in usage_lines(block.text):
        if line.startswith("lakeflow-meta "):
            check_usage(line.removeprefix("lakeflow-meta "))


def test_commands_in_running_text_are_real_too() -> None:
    for name, text in PAGES.items():
        plain = re.sub(r"^(```+).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
        for found in re.findall(r"`lakeflow-meta ((?:[a-z]|--)[^`]*)`", plain):
            try:
                check_usage(re.sub(r'"[^"]*"|<[^>]*>', "X", found))
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from None


def check_usage(line: str) -> None:
    """``[--flag]``, ``a|b`` and NAMES… as people write them; command and options must be real."""
    words = [word for word in re.split(r"[\s\[\]]+", line.replace("…", "")) if word]
    command: Any = COMMAND
    known = options_of(command)
    while words:
        word = words.pop(0)
        if word.startswith("-"):
            assert word.split("=")[0] in known, f"{line}: no option {word}"
            continue
        alternatives = word.split("|")
        commands = getattr(command, "commands", {})
        if set(alternatives) <= set(commands):
            known = set().union(*(options_of(commands[each]) for each in alternatives))
            command = commands[alternatives[0]]
        elif commands and command is COMMAND and not previous_takes_value(line, word):
            raise AssertionError(f"{line}: no command {word}")


def previous_takes_value(line: str, word: str) -> bool:
    return re.search(rf"--[\w-]+ {re.escape(word)}", line) is not None


def options_of(command: Any) -> set[str]:
    inner = getattr(command, "commands", {})
    hidden = inner["run"].params if "run" in inner else []
    of_all = [*command.params, *hidden, *COMMAND.params]
    return {"--help"}.union(*((set(p.opts) | set(p.secondary_opts)) for p in of_all))


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("sync PATH… [--dry-run]", False),
        ("tables plan|sync [NAME…] [--module M]", False),
        ("--target prod deploy [--grant]", False),
        ("snyc PATH", True),
        ("sync PATH [--dryrun]", True),
    ],
)
def test_the_check_of_usage_can_fail(line: str, wrong: bool) -> None:
    if not wrong:
        check_usage(line)
        return
    with pytest.raises(AssertionError):
        check_usage(line)


# --- links


def links(text: str) -> Iterator[str]:
    plain = re.sub(r"^(```+).*?^\1$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"\]\(([^)\s]+)\)", plain)


def anchors(text: str) -> set[str]:
    plain = re.sub(r"^(```+).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", plain, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", t.replace("`", "").lower()).replace(" ", "-") for t in titles}
    return slugs | set(re.findall(r'<a id="([\w-]+)">', text))


def test_links_lead_somewhere() -> None:
    broken = []
    for name, text in PAGES.items():
        for link in links(text):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = unquote(link).partition("#")
            target = ((ROOT / name).parent / path).resolve() if path else ROOT / name
            lacks = anchor and target.suffix == ".md" and target.is_file()
            if not target.exists() or (lacks and anchor not in anchors(target.read_text())):
                broken.append(f"{name}: {link}")
    assert broken == []


def test_the_map_names_every_page() -> None:
    """Of docs/: what nobody links to, nobody finds."""
    shown = PAGES["docs/README.md"]
    missing = [
        name
        for name in PAGES
        if name.startswith("docs/")
        and not name.startswith(("docs/decisions/", "docs/README.md"))
        and f"({name.removeprefix('docs/')}" not in shown
    ]
    assert missing == []
