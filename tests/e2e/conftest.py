"""Projects to run the command line in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_process import EXAMPLES, Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """An empty directory."""
    return Cli(tmp_path)


@pytest.fixture
def flights(tmp_path: Path) -> Cli:
    """A copy of the flights example, nothing landed yet."""
    project = tmp_path / "flights"
    ignored = shutil.ignore_patterns(".lakeflow", "__pycache__")
    shutil.copytree(EXAMPLES / "flights", project, ignore=ignored)
    return Cli(project)
