"""What the pages show is true: commands run in order and print what the page shows, Python runs.

`doc_pages` has the rule; that no block is left out is shown by tests/unit/docs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import EXAMPLES, Cli
from doc_pages import ROOT, Block, Kind, blocks, commands, pages, pattern
from warm_cli import warm_cli

ON_A_WORKSPACE = {"docs/deploy.md"}
"""Pages whose ``--target prod`` is a stand-in of a workspace's APIs."""

RUN = {Kind.COMMANDS, Kind.PYTHON}
SECONDS = 240


def found(page: Path) -> list[Block]:
    return list(blocks(page.read_text(encoding="utf-8")))


NAMES = [
    str(page.relative_to(ROOT)) for page in pages() if RUN & {block.kind for block in found(page)}
]


@pytest.fixture
def shell(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cli]:
    """A directory in which ``lakeflow-meta`` and ``python`` are commands."""
    name = request.getfixturevalue("name")
    programs = tmp_path / "bin"
    page = ROOT / name
    project = tmp_path / "project"
    if page.parent.parent.name == "examples":
        shutil.copytree(page.parent, project, ignore=shutil.ignore_patterns(".lakeflow"))
    else:
        project.mkdir()
    with warm_cli(programs, workspace=name in ON_A_WORKSPACE):
        yield Cli(project, {"PATH": f"{programs}:{os.environ['PATH']}", "EXAMPLES": str(EXAMPLES)})


@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_what_happens(shell: Cli, name: str) -> None:
    for block in found(ROOT / name):
        if block.kind is Kind.PYTHON:
            done = typed(shell, "run-python", block.text)
            assert done.returncode == 0, f"{name}:{block.line}\n{done.stdout}{done.stderr}"
        elif block.kind in (Kind.COMMANDS, Kind.UNSEEN):
            for command, output in commands(block):
                follow(shell, f"{name}:{block.line}", command, output)


def follow(shell: Cli, where: str, command: str, output: str | None) -> None:
    """Do what the page says; what is printed is what it shows."""
    file = re.fullmatch(r"cat (\S+)", command)
    if file and output and not (shell.directory / file[1]).exists():
        shell.write(file[1], f"{output}\n")
        return
    if folder := re.fullmatch(r"cd (\S+)", command):
        shell.directory = shell.directory / folder[1]
        assert shell.directory.is_dir()
        return
    if value := re.match(r"([A-Z_]+)=\$\(", command):
        kept = typed(shell, f'{command} && printf %s "${value[1]}"')
        assert kept.returncode == 0, f"{where}\n{kept.stderr}"
        shell.environment = {**shell.environment, value[1]: kept.stdout}
        return
    done = typed(shell, command)
    if not output:
        assert done.returncode == 0, f"{where}\n$ {command}\n{done.stdout}{done.stderr}"
        return
    printed = done.stdout if done.stdout else done.stderr
    said = "\n".join(line.rstrip() for line in printed.strip().splitlines())
    assert pattern(output).fullmatch(said), (
        f"{where}\n$ {command}\n{said}\n--- the page shows\n{output}\n--- stderr\n{done.stderr}"
    )


def typed(shell: Cli, command: str, content: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command],  # noqa: S607 (the shell of whoever reads the page)
        cwd=shell.directory,
        env=shell.environ(),
        input=content,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
