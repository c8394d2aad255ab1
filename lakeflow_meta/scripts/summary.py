"""The summary of a run in the words that users of orchestrated DDL know. Pure.

One exit value for machines (``success``, or how many failed), one report for people that also reads
well as Markdown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakeflow_meta.scripts.report import ScriptsReport, TargetReport

_RULE = "=" * 60


def status_word(target: TargetReport) -> str:
    """Success, Failed (a script did), or Exception (the run itself could not go on)."""
    if target.status != "failed":
        return "Success"
    return "Exception" if target.raised else "Failed"


def noun_of(report: ScriptsReport) -> str:
    """What its targets are called: lakehouses, warehouses, or targets where both are among them."""
    nouns = {target.noun for target in report.targets}
    return f"{nouns.pop()}s" if len(nouns) == 1 else "targets"


def exit_value(report: ScriptsReport) -> str:
    """``success``, or ``failed: 1 of 3 lakehouses failed``."""
    failed = sum(status_word(target) != "Success" for target in report.targets)
    if not failed:
        return "success"
    return f"failed: {failed} of {len(report.targets)} {noun_of(report)} failed"


def totals(report: ScriptsReport) -> dict[str, Any]:
    """The summary as JSON."""
    words = [status_word(target) for target in report.targets]
    return {
        "exit_value": exit_value(report),
        "successful": words.count("Success"),
        "failed": words.count("Failed"),
        "exceptions": words.count("Exception"),
        "seconds": round(report.seconds, 3),
    }


def summary_lines(report: ScriptsReport) -> Iterator[str]:
    """The report, from its title to the last line that says how it ended."""
    noun, found = noun_of(report), totals(report)
    yield from ("", _RULE, "ORCHESTRATION SUMMARY REPORT", _RULE)
    yield f"Total execution time: {duration(report.seconds)}"
    yield f"Total {noun}: {len(report.targets)}"
    yield f"Successful: {found['successful']}"
    yield f"Failed: {found['failed']}"
    yield f"Exceptions: {found['exceptions']}"
    yield from ("", f"DETAILED RESULTS BY {noun.removesuffix('s').upper()}:", "-" * 60)
    for target in report.targets:
        yield from _details(target)
    yield from _table(report, noun.removesuffix("s").capitalize())
    yield from ("", _last(report, noun))


def _details(target: TargetReport) -> Iterator[str]:
    yield f"{target.target}"
    yield f"  Status: {status_word(target)}"
    yield f"  Duration: {duration(target.seconds)}"
    if status_word(target) == "Success":
        yield "  Exit value: success"
    else:
        yield f"  Error: {_one_line(target.first_error)}"


def _table(report: ScriptsReport, title: str) -> Iterator[str]:
    yield from ("", "## Execution Summary Table", "")
    yield f"| {title} | Status | Duration | Orchestrator Path |"
    yield "|---|---|---|---|"
    for target in report.targets:
        cells = (target.target, status_word(target), duration(target.seconds))
        yield f"| {' | '.join(map(_cell, cells))} | {_cell(f'ddl_scripts/{target.target}')} |"
    yield from ("", f"**Total Execution Time:** {duration(report.seconds)}")


def _last(report: ScriptsReport, noun: str) -> str:
    count = len(report.targets)
    failed = sum(status_word(target) != "Success" for target in report.targets)
    if failed:
        return f"✗ Completed with {failed} failures out of {count} {noun}"
    return f"✓ All {count} {noun} processed successfully!"


def duration(seconds: float) -> str:
    """``0.4 s``, ``2 min 05 s``, ``1 h 02 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02} min" if hours else f"{minutes} min {rest:02} s"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|")
