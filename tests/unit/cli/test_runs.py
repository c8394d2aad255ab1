"""`runs` and `run --repair` and `--cancel`: what people see of a run, and what they do about it."""

import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lakeflow_meta.app import App
from lakeflow_meta.cli.main import run
from lakeflow_meta.cli.output import Output, Session
from lakeflow_meta.cli.run_output import show_runs
from lakeflow_meta.ports import JobRun, RunState, TaskRun

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)

CODE = """
import pathlib, sys
print("got", sys.argv[1])
sys.exit(0 if sys.argv[1] != "eu" or pathlib.Path("mended").exists() else 3)
"""
EACH = {
    "task_key": "each",
    "spark_python_task": {"python_file": "each.py", "parameters": ["{{input.region}}"]},
    "max_retries": 1,
}
SETTINGS = {
    "name": "nightly",
    "parameters": [{"name": "day", "default": "monday"}],
    "tasks": [
        {
            "task_key": "weekday",
            "condition_task": {
                "op": "EQUAL_TO",
                "left": "{{job.parameters.day}}",
                "right": "monday",
            },
        },
        {
            "task_key": "regions",
            "depends_on": [{"task_key": "weekday", "outcome": "true"}],
            "for_each_task": {"inputs": '[{"region": "us"}, {"region": "eu"}]', "task": EACH},
        },
        {
            "task_key": "report",
            "depends_on": [{"task_key": "regions"}],
            "spark_python_task": {"python_file": "each.py", "parameters": ["report"]},
        },
    ],
}


class Commands:
    """Commands of one project, in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "each.py").write_text(CODE)

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        session = Session(Output(as_json="--json" in arguments, out=out, err=err))
        code = run(["--home", str(self.folder / ".lakeflow"), *arguments], session)
        return code, out.getvalue(), err.getvalue()

    def json(self, *arguments: str) -> Any:
        return json.loads(self("--json", *arguments)[1])

    def failed_run(self) -> int:
        jobs = App.from_environment(overrides={"home": self.folder / ".lakeflow"}).jobs
        return jobs.follow_run(jobs.run_job(jobs.create_job(SETTINGS), {})).run_id


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    monkeypatch.chdir(tmp_path)
    return Commands(tmp_path)


def test_a_failed_run_is_looked_into_and_repaired(commands: Commands) -> None:
    run_id = str(commands.failed_run())
    code, text, _ = commands("runs", run_id)
    assert code == 0
    words = " ".join(text.split())
    assert "parameters: day=monday" in words
    assert "weekday success (true)" in words
    assert 'regions[0] success {"region": "us"}' in words
    assert 'regions[1] failed (attempt 1) {"region": "eu"}' in words
    assert "report upstream_failed" in words
    assert f"lakeflow-meta run --repair {run_id}" in text
    assert "former attempts" in text

    found = commands.json("runs", run_id)
    assert (found["state"], found["trigger"], found["repair_count"]) == ("failed", "manual", 0)
    assert found["parameters"] == {"day": "monday"}
    regions = found["tasks"][1]
    assert [i["input"] for i in regions["iterations"]] == [{"region": "us"}, {"region": "eu"}]
    assert [(a["task_key"], a["iteration"], a["attempt"]) for a in found["attempts"]] == [
        ("weekday", None, 0),
        ("regions", None, 0),
        ("regions", 0, 0),
        ("regions", 1, 0),
        ("regions", 1, 1),
        ("report", None, 0),
    ]

    assert commands("runs", run_id, "--logs", "regions[0]")[:2] == (0, "got us\n")
    code, text, _ = commands("runs", run_id, "--logs", "regions[1]", "--attempt", "0")
    assert (code, text.splitlines()[0]) == (0, "got eu")
    for wanted, told in (
        (("regoins",), "did you mean 'regions'?"),
        (("regions",), "ask for regions[0]"),
        (("weekday",), "it was true"),
        (("report",), "is upstream_failed and has no log"),
        (("regions[1]", "--attempt", "7"), "has no attempt 7; it has 0, 1"),
    ):
        code, _, said = commands("runs", run_id, "--logs", *wanted)
        assert code != 0
        assert told in said

    (commands.folder / "mended").touch()
    repaired = commands.json("run", "--repair", run_id)
    assert (repaired["state"], repaired["repair_count"]) == ("success", 1)
    assert [i["attempt"] for i in repaired["tasks"][1]["iterations"]] == [0, 2]
    code, text, _ = commands("runs", run_id)
    assert "repaired once" in text
    code, _, said = commands("run", "--repair", run_id)
    assert (code, "nothing to repair" in said) == (1, True)
    code, _, said = commands("run", "--cancel", run_id)
    assert (code, f"run {run_id} had already ended" in said) == (0, True)
    assert "nightly" in commands("runs")[1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run"], "name a module"),
        (["run", "m", "--repair", "1"], "--repair takes a run id and nothing else"),
        (["run", "--repair", "1", "--cancel", "2"], "nothing else"),
        (["run", "--cancel", "1", "--param", "a=b"], "--cancel takes a run id"),
        (["runs", "--logs", "a"], "name the run first"),
        (["runs", "1", "--attempt", "0"], "goes with --logs"),
    ],
)
def test_a_mixture_of_words_that_means_nothing_is_refused(
    commands: Commands, arguments: list[str], told: str
) -> None:
    code, _, said = commands(*arguments)
    assert code == 2
    assert told in " ".join(said.split())


def test_a_run_that_does_not_exist_is_told(commands: Commands) -> None:
    for arguments in (["runs", "7"], ["run", "--repair", "7"], ["run", "--cancel", "7"]):
        code, _, said = commands(*arguments)
        assert code != 0
        assert "run 7 does not exist" in said


def test_a_log_is_given_as_json_too_and_no_run_is_said(commands: Commands) -> None:
    assert commands("runs") == (0, "", "no run yet: lakeflow-meta run MODULE\n")
    assert commands.json("runs") == []
    run_id = str(commands.failed_run())
    found = commands.json("runs", run_id, "--logs", "regions[0]")
    assert found == {"run_id": int(run_id), "task": "regions[0]", "log": "got us\n"}


def task_run(state: RunState, **fields: Any) -> TaskRun:
    return TaskRun(task_key="each", state=state, **fields)


def shown(found: JobRun) -> str:
    out = io.StringIO()
    show_runs(Session(Output(out=out)), [found])
    return out.getvalue()


def test_of_many_iterations_those_that_failed_are_shown_and_the_rest_counted() -> None:
    last = task_run(RunState.FAILED, iteration=29, error="no such region", log_path=Path("x.log"))
    others = [task_run(RunState.SUCCESS, iteration=number) for number in range(29)]
    each = task_run(RunState.FAILED, iterations=(*others, last))
    text = shown(JobRun(7, 1, "j", RunState.FAILED, BEGAN, BEGAN, tasks=(each,)))
    assert "each[18]" in text
    assert "each[19]" not in text
    assert "no such region" in text
    assert "… and 10 more iterations of each: lakeflow-meta --json runs 7\n" in text


def test_of_many_failures_the_logs_that_are_left_out_are_counted() -> None:
    failed = [
        task_run(RunState.FAILED, iteration=number, error="no", log_path=Path("x.log"))
        for number in range(8)
    ]
    each = task_run(RunState.FAILED, iterations=tuple(failed))
    text = shown(JobRun(7, 1, "j", RunState.FAILED, BEGAN, BEGAN, tasks=(each,)))
    assert text.count("log of each[") == 5
    assert "… and 3 more: lakeflow-meta runs 7 --logs TASK\n" in text


def test_of_what_is_running_the_time_so_far_is_shown() -> None:
    each = task_run(RunState.RUNNING, started_at=BEGAN)
    text = shown(JobRun(7, 1, "j", RunState.RUNNING, BEGAN, None, tasks=(each,)))
    said = re.search(r"j: running for (\d+)\.\d s", text)
    assert said is not None
    assert int(said[1]) > 3600
