"""Dynamic value references in the fields of a task."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.backends.local.jobs.references import RunContext, resolved, unknown_references
from lakeflow_meta.ports import RunState

CONTEXT = RunContext(
    job_id=11,
    job_name="nightly",
    run_id=22,
    started_at=datetime(2026, 2, 7, 3, 4, 5, 678000, tzinfo=UTC),
    parameters={"day": "mon'day", "empty": "", "odd key!": "x", "nested": "{{job.id}}"},
    task_key="load",
    attempt=2,
    states={"first": RunState.TIMED_OUT, "second": RunState.UPSTREAM_FAILED},
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{job.id}}", "11"),
        ("{{job.name}}-{{ job.run_id }}", "nightly-22"),
        ("{{run.id}}", "22"),
        ("{{job.parameters.day}}", "mon'day"),
        ("[{{job.parameters.empty}}]", "[]"),
        ("{{job.parameters.`odd key!`}}", "x"),
        ("{{job.parameters.nested}}", "{{job.id}}"),
        ("{{task.name}} {{task.execution_count}}", "load 3"),
        ("{{tasks.first.result_state}}", "timedout"),
        ("{{tasks.second.result_state}}", "upstream_failed"),
        ("{{job.start_time.iso_date}}", "2026-02-07"),
        ("{{job.start_time.iso_datetime}}", "2026-02-07T03:04:05"),
        ("{{job.start_time.is_weekday}}", "false"),
        ("{{job.start_time.day}}", "7"),
        ("{{job.start_time.timestamp_ms}}", "1770433445678"),
        ("{{job_id}} {{run_id}} {{task_key}} {{start_date}}", "11 22 load 2026-02-07"),
        ("{{my.value}", "{{my.value}"),
        ("{{something}}", "{{something}}"),
        ("{{ 1 + 1 }}", "{{ 1 + 1 }}"),
        ("{{job.naem}}", "{{job.naem}}"),
        ("", ""),
    ],
)
def test_a_reference_is_replaced_and_everything_else_stays(text: str, expected: str) -> None:
    assert resolved(text, CONTEXT) == expected


def test_references_are_found_at_any_depth_but_not_in_keys() -> None:
    value = {"{{job.id}}": ["{{job.id}}", {"a": "x{{run.id}}"}, 5, None, True]}
    assert resolved(value, CONTEXT) == {"{{job.id}}": ["11", {"a": "x22"}, 5, None, True]}


def test_only_what_lies_in_a_known_namespace_can_be_unknown() -> None:
    value = [
        "{{job.naem}} {{job.parameters.dya}}",
        {"a": "{{tasks.third.result_state}} {{tasks.first.values.x}} {{workspace.id}}"},
        "{{job.id}} {{my.value}} {{something}} {{job.start_time.eon}}",
    ]
    assert unknown_references(value, CONTEXT) == [
        "{{job.naem}}",
        "{{job.parameters.dya}}",
        "{{tasks.third.result_state}}",
        "{{tasks.first.values.x}}",
        "{{workspace.id}}",
        "{{job.start_time.eon}}",
    ]


@given(st.text(alphabet=st.characters(exclude_characters="{}")))
def test_text_without_braces_is_never_changed(text: str) -> None:
    assert resolved(text, CONTEXT) == text
    assert unknown_references(text, CONTEXT) == []
