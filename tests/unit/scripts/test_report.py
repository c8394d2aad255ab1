"""What a run says of itself: to people in known words, to machines in one value."""

from __future__ import annotations

import pytest

from lakeflow_meta.scripts.report import ScriptOutcome, ScriptsReport, ScriptStatus, TargetReport
from lakeflow_meta.scripts.script import read_scripts
from lakeflow_meta.scripts.summary import duration

SCRIPTS, _ = read_scripts({"t/1_a/1_x.sql": "", "t/1_a/2_y.sql": ""})


def target(
    name: str, *statuses: ScriptStatus, error: str = "", raised: bool = False
) -> TargetReport:
    outcomes = [
        ScriptOutcome(script, status, "it exploded" if status is ScriptStatus.FAILED else "", 1.0)
        for script, status in zip(SCRIPTS, statuses, strict=False)
    ]
    return TargetReport(name, tuple(outcomes), error, 65.0, raised)


SUMMARY = """\
============================================================
ORCHESTRATION SUMMARY REPORT
============================================================
Total execution time: 1 h 02 min
Total lakehouses: 3
Successful: 1
Failed: 1
Exceptions: 1

DETAILED RESULTS BY LAKEHOUSE:
------------------------------------------------------------
bad
  Status: Failed
  Duration: 1 min 05 s
  Error: it exploded
good
  Status: Success
  Duration: 1 min 05 s
  Exit value: success
lost
  Status: Exception
  Duration: 1 min 05 s
  Error: another runner took it

## Execution Summary Table

| Lakehouse | Status | Duration | Orchestrator Path |
|---|---|---|---|
| bad | Failed | 1 min 05 s | ddl_scripts/bad |
| good | Success | 1 min 05 s | ddl_scripts/good |
| lost | Exception | 1 min 05 s | ddl_scripts/lost |

**Total Execution Time:** 1 h 02 min

✗ Completed with 2 failures out of 3 lakehouses"""


def test_the_summary_has_the_words_and_the_table_that_people_know() -> None:
    report = ScriptsReport(
        (
            target("bad", ScriptStatus.FAILED, ScriptStatus.SKIPPED),
            target("good", ScriptStatus.SUCCESS),
            target("lost", error="another runner took it", raised=True),
        ),
        seconds=3725.4,
    )
    text = "\n".join(report.lines())
    assert text.endswith(f"\n\n{SUMMARY}")
    assert "  ✗ t/1_a/1_x.sql: failed: it exploded\n  - t/1_a/2_y.sql: skipped\n" in text
    found = report.to_dict()
    assert found["exit_value"] == "failed: 2 of 3 lakehouses failed"
    assert [found[name] for name in ("successful", "failed", "exceptions")] == [1, 1, 1]


def test_success_is_one_word_and_warehouses_are_called_so() -> None:
    one = target("a", ScriptStatus.SUCCESS)
    warehouse = TargetReport("b", (), noun="warehouse")
    report = ScriptsReport((one, warehouse))
    assert report.to_dict()["exit_value"] == "success"
    assert list(report.lines())[-1] == "✓ All 2 targets processed successfully!"
    lines = list(ScriptsReport((warehouse,)).lines())
    assert lines[0] == "b (warehouse): unchanged"
    assert "Total warehouses: 1" in lines


def test_a_dry_run_has_no_summary() -> None:
    lines = list(ScriptsReport((target("a", ScriptStatus.PENDING),), dry_run=True).lines())
    assert lines == ["a: pending", "  + t/1_a/1_x.sql: pending", "1 target: 1 pending"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 00 s"), (3600, "1 h 00 min")],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text
