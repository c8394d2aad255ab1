"""The pages under docs/ are true: their commands are run in order, and print what the page shows.

In a block of a page a line that begins with ``$`` is a command, and what follows is its output;
``…`` stands for any text, and ids and times may differ. ``$ cat FILE`` shows a file that the next
commands need. ``<!-- before: COMMAND -->`` runs unseen. YAML blocks are valid metadata.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import ROOT, Cli

DOCS = ROOT / "docs"
RUN = [
    "changes.md",
    "control-tables.md",
    "ddl-scripts.md",
    "extracts.md",
    "ingest.md",
    "jobs.md",
    "sql.md",
    "tables.md",
    "warehouse.md",
    "yaml.md",
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```|^<!-- before: (.*?) -->", re.MULTILINE | re.DOTALL)
VARYING = [
    (re.compile(r"\d{12,}"), r"\d{12,}"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\+00:00)?"), r"\d{4}-\d\d-\d\d[ T].{8,14}"),
]


def steps(page: str) -> Iterator[tuple[str, str | None]]:
    """Every command of a page with the output that it shows, None where nobody sees it."""
    for language, block, unseen in BLOCK.findall(page):
        if unseen:
            yield unseen, None
        elif not language:
            yield from shown(block.splitlines())


def shown(lines: list[str]) -> Iterator[tuple[str, str]]:
    command, output = "", []
    for line in lines:
        if command and not whole(command):
            command += f"\n{line}"
        elif line.startswith("$ "):
            if command:
                yield command, "\n".join(output)
            command, output = line[2:], []
        elif command:
            output.append(line)
    if command:
        yield command, "\n".join(output)


def whole(command: str) -> bool:
    """Whether all of its quotes are closed."""
    try:
        shlex.split(command)
    except ValueError:
        return False
    return True


def pattern(output: str) -> re.Pattern[str]:
    lines = [
        re.sub(r"(?<=\S)\s{2,}# .*", "", line).rstrip() for line in output.strip().splitlines()
    ]
    text = "\n".join(lines)
    marks: list[str] = []

    def mark(regex: str) -> str:
        marks.append(regex)
        return f"\x00{len(marks) - 1}\x00"

    for varying, regex in VARYING:
        text = varying.sub(lambda _match, regex=regex: mark(regex), text)
    text = re.escape(text.replace("…", mark(".*?")))
    return re.compile(re.sub(r"\x00(\d+)\x00", lambda m: marks[int(m[1])], text), re.DOTALL)


@pytest.fixture
def shell(tmp_path: Path) -> Cli:
    """A directory in which ``lakeflow-meta`` and ``python`` are commands."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, arguments in (("python", ""), ("lakeflow-meta", "-m lakeflow_meta")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n')
        program.chmod(0o755)
    project = tmp_path / "project"
    project.mkdir()
    return Cli(project, {"PATH": f"{programs}:{os.environ['PATH']}"})


@pytest.mark.parametrize("name", RUN)
def test_the_commands_of_a_page_print_what_it_shows(shell: Cli, name: str) -> None:
    found = list(steps((DOCS / name).read_text(encoding="utf-8")))
    assert any(output for _, output in found), "a page that shows nothing proves nothing"
    for command, output in found:
        file = re.fullmatch(r"cat (\S+)", command)
        if file and output and not (shell.directory / file[1]).exists():
            shell.write(file[1], f"{output}\n")
            continue
        done = subprocess.run(
            ["bash", "-c", command],  # noqa: S607 (the shell of whoever reads the page)
            cwd=shell.directory,
            env=shell.environ(),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if not output:
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
            continue
        printed = done.stdout if done.stdout else done.stderr
        said = "\n".join(line.rstrip() for line in printed.strip().splitlines())
        assert pattern(output).fullmatch(said), f"$ {command}\n{said}\n--- the page shows\n{output}"


@pytest.mark.parametrize("name", RUN)
def test_yaml_of_a_page_is_valid_metadata(cli: Cli, name: str) -> None:
    page = (DOCS / name).read_text(encoding="utf-8")
    for number, (language, block, _) in enumerate(BLOCK.findall(page)):
        if language == "yaml":
            cli.write(f"block{number}.yml", block)
            cli.ok("validate", f"block{number}.yml")
