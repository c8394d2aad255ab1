"""The command line as a subprocess: a helper of the e2e tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


@dataclass
class Cli:
    """Runs `lakeflow-meta` in one directory."""

    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command; whatever it ends with is the caller's to judge."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.directory,
            env=self.environ(**environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "lakeflow_meta", *arguments]

    def environ(self, **more: str) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT), **self.environment, **more}

    def ok(self, *arguments: str) -> str:
        """Run a command that must succeed; its stdout."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Run a command with ``--json``; its result."""
        done = self.run("--json", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    @property
    def used_spark(self) -> bool:
        """Whether any command so far started a JVM."""
        return (self.directory / ".lakeflow" / "logs" / "spark.log").exists()

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path
