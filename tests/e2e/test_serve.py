"""`lakeflow-meta serve` as a process: the example as its README tells it, signals, a second one."""

import json
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_process import EXAMPLES, Cli
from serve_world import eventually

SHOP = ".lakeflow/volumes/main/shop"
METADATA = """
modules:
  - module_name: slow
    job_config: {continuous: {}}
    sources:
      - {source_id: t, source_type: x, execution_order: 1,
         transformation_config: {task_type: spark_python, python_file: slow.py}}
"""
SLOW = """
import pathlib, time
pathlib.Path("started").touch()
while not pathlib.Path("go").exists():
    time.sleep(0.05)
"""


class Served:
    """A process that serves, and what it has said so far."""

    def __init__(self, cli: Cli, *arguments: str) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            cli.command(*arguments),
            cwd=cli.directory,
            env=cli.environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines.extend(iter(self._process.stdout.readline, ""))

    def says(self, *words: str, times: int = 1) -> None:
        """Wait until so many lines hold all of the words."""

        def said() -> bool:
            assert self._process.poll() is None or self.count(*words) >= times, self.lines
            return self.count(*words) >= times

        eventually(said, seconds=20)

    def count(self, *words: str) -> int:
        return sum(all(word in line for word in words) for line in list(self.lines))

    def ended_by(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        return self._process.wait(30)

    def wait(self) -> int:
        return self._process.wait(30)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., Served]]:
    """Makes `Served`, and kills what is left."""
    made: list[Served] = []

    def make(cli: Cli, *arguments: str) -> Served:
        made.append(Served(cli, *arguments))
        return made[-1]

    yield make
    for served in made:
        served._process.kill()
        served._process.wait()
        assert served._process.stdout is not None
        served._process.stdout.close()


def commands(readme: Path) -> list[str]:
    """The commands of a README that a test is to run."""
    blocks = re.findall(r"<!-- run by .*? -->\n```\n(.*?)```", readme.read_text(), re.DOTALL)
    return [line.partition("  #")[0] for block in blocks for line in block.splitlines()]


def test_the_example_does_what_its_readme_says(
    tmp_path: Path, start: Callable[..., Served]
) -> None:
    shutil.copytree(EXAMPLES / "volume_monitor", project := tmp_path / "example")
    cli = Cli(project)
    served: Served | None = None
    expected: dict[str, Callable[[Served], None]] = {
        "cp orders.yml": lambda s: s.says("job added", "landing"),
        "cp orders_2026-11-19.csv": lambda s: s.says("shop_orders success"),
        "cp orders_2026-11-20.csv": lambda s: s.says("shop_orders success", times=2),
        "lakeflow-meta sql": lambda s: s.says("job changed", "paused"),
    }
    outputs = {}
    for command in commands(project / "README.md"):
        if command.startswith("lakeflow-meta serve --volume"):
            served = start(cli, *command.split()[1:])
            served.says("serving")
            continue
        done = _run(cli, command)
        outputs[command] = done
        for beginning, seen in expected.items():
            if command.startswith(beginning) and served is not None:
                seen(served)
                del expected[beginning]
                break
    assert not expected
    assert served is not None
    listed = outputs["lakeflow-meta serve --list"]
    assert "files in /Volumes/main/shop/landing" in listed
    assert re.search(r"process \d+ on \S+ serves this home", listed)
    [table] = [text for command, text in outputs.items() if command.startswith("cat ")]
    assert table.splitlines()[0] == "day,orders,amount_eur"
    assert [line.split(",")[0] for line in table.splitlines()[1:]] == ["2026-11-19", "2026-11-20"]
    assert outputs["lakeflow-meta runs"].count("success") == 2
    assert served.ended_by(signal.SIGTERM) == 0
    assert not cli.used_spark


def _run(cli: Cli, command: str) -> str:
    program = " ".join(cli.command())
    done = subprocess.run(
        ["/bin/bash", "-c", re.sub(r"^lakeflow-meta\b", program, command)],
        cwd=cli.directory,
        env=cli.environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_sigterm_lets_a_run_end_and_a_second_process_is_refused(
    tmp_path: Path, start: Callable[..., Served]
) -> None:
    cli = Cli(tmp_path)
    cli.write("metadata/m.yml", METADATA)
    cli.write("slow.py", SLOW)
    arguments = ("serve", "--volume", "metadata", "--settle", "0", "--poll", "0.2")
    served = start(cli, "--json", *arguments)
    eventually((tmp_path / "started").exists, seconds=20)
    second = cli.run("serve", "--no-monitor")
    assert second.returncode == 1
    assert re.search(r"process \d+ on \S+ serves this home already", second.stderr)
    served.signal(signal.SIGTERM)
    served.says("waiting for 1")
    (tmp_path / "go").touch()
    assert served.wait() == 0
    said = [json.loads(line) for line in served.lines]
    assert [line["state"] for line in said if line["what"] == "ended"] == ["success"]
    assert sum(line["what"] == "started" for line in said) == 1
    monitor = json.loads((tmp_path / ".lakeflow" / "monitor.json").read_text())
    assert monitor["state"] == "stopped"


def test_the_second_signal_cancels_what_runs(tmp_path: Path, start: Callable[..., Served]) -> None:
    cli = Cli(tmp_path)
    cli.write("metadata/m.yml", METADATA)
    cli.write("slow.py", SLOW)
    served = start(cli, "serve", "--volume", "metadata", "--settle", "0", "--poll", "0.2")
    eventually((tmp_path / "started").exists, seconds=20)
    served.signal(signal.SIGINT)
    served.says("waiting for 1")
    served.signal(signal.SIGINT)
    assert served.wait() == 0
    assert served.count("slow cancelled") == 1
