"""Dynamic value references in the fields of a task."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.backends.local.runs.references import (
    RunContext,
    Surroundings,
    TaskFacts,
    is_known_late,
    named_tasks,
    reference_problems,
    resolved,
)
from lakeflow_meta.backends.local.tasks.task_work import UnrunnableTaskError
from lakeflow_meta.ports import RunState, Trigger, TriggerKind

CONTEXT = RunContext(
    job_id=11,
    job_name="nightly",
    run_id=22,
    started_at=datetime(2026, 2, 7, 3, 4, 5, 678000, tzinfo=UTC),
    parameters={"day": "mon'day", "empty": "", "odd key!": "x", "nested": "{{job.id}}"},
    task_key="load",
    attempt=2,
    repair_count=1,
    trigger=Trigger(
        TriggerKind.FILE_ARRIVAL,
        datetime(2026, 2, 6, 23, 0, tzinfo=UTC),
        {"location": "/Volumes/a/b/c"},
    ),
    tasks={
        "first": TaskFacts(RunState.TIMED_OUT, attempts=3),
        "second": TaskFacts(RunState.UPSTREAM_FAILED),
        "third": TaskFacts(
            RunState.SUCCESS,
            values={"n": 3, "flag": True, "list": ["ä", 1], "text": "a b"},
            output={"rows": [{"id": 7, "name": "x"}, {"id": 8, "name": None}]},
        ),
        "empty": TaskFacts(RunState.SUCCESS, output={"rows": []}),
        "exit": TaskFacts(RunState.SUCCESS, output="done"),
    },
    input={"region": "eu", "days": [1, 2], "deep": {"x": 1}},
)
AROUND = Surroundings({"load", "first", "later"}, {"first"})


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
        ("{{job.repair_count}} {{tasks.first.execution_count}}", "1 3"),
        ("{{job.trigger.type}} at {{job.trigger.time.iso_date}}", "file_arrival at 2026-02-06"),
        ("{{job.trigger.file_arrival.location}}", "/Volumes/a/b/c"),
        ("[{{job.trigger.table_update.updated_tables}}]", "[]"),
        ("{{tasks.first.error_code}}|{{tasks.third.error_code}}", "RunExecutionError|"),
        ("{{tasks.third.values.n}} {{tasks.third.values.flag}}", "3 true"),
        ("{{tasks.third.values.list}} {{tasks.third.values.text}}", '["ä", 1] a b'),
        ("{{tasks.third.output.first_row.id}}", "7"),
        ("{{tasks.third.output.first_row}}", '{"id": 7, "name": "x"}'),
        ("{{tasks.third.output.rows}}", '[{"id": 7, "name": "x"}, {"id": 8, "name": null}]'),
        ("{{tasks.exit.output}}", "done"),
        ("{{input.region}} {{input.days}} {{input.deep.x}}", "eu [1, 2] 1"),
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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{{tasks.third.values.m}}", "has set no task value 'm'; it set: flag, list, n, text"),
        (
            "{{tasks.first.values.m}}",
            "'first' \\(timed_out\\) has set no task value 'm'; it set: none",
        ),
        ("{{tasks.first.output.rows}}", "gave nothing back"),
        ("{{tasks.third.output.first_row.key}}", "no 'key'; there are: id, name"),
        ("{{tasks.empty.output.first_row.id}}", "gave no row back"),
        ("{{tasks.exit.output.rows}}", "no 'rows'"),
        ("{{input.country}}", "no 'country'; there are: region, days, deep"),
    ],
)
def test_what_a_task_did_not_leave_is_told_when_the_reference_is_replaced(
    text: str, told: str
) -> None:
    with pytest.raises(UnrunnableTaskError, match=told):
        resolved([text], CONTEXT)


def test_only_what_lies_in_a_known_namespace_can_be_unknown() -> None:
    value = [
        "{{job.naem}} {{job.parameters.dya}}",
        {"a": "{{tasks.third.result_state}} {{tasks.first.values.x}} {{workspace.id}}"},
        "{{job.id}} {{my.value}} {{something}} {{job.start_time.eon}} {{input.x}}",
        "{{tasks.frist.values.x}} {{tasks.later.output.rows}} {{tasks.first.notebook_path}}",
    ]
    assert list(reference_problems(value, CONTEXT, AROUND)) == [
        "{{job.naem}} refers to nothing that is known here",
        "{{job.parameters.dya}} refers to nothing that is known here",
        "{{tasks.third.result_state}} names task 'third', which this job does not have",
        "{{workspace.id}} refers to nothing that is known here",
        "{{job.start_time.eon}} refers to nothing that is known here",
        (
            "{{tasks.frist.values.x}} names task 'frist', which this job does not have;"
            " did you mean 'first'?"
        ),
        "{{tasks.later.output.rows}} names task 'later', which this task does not depend on",
        "{{tasks.first.notebook_path}} refers to nothing that is known here",
    ]


def test_what_is_known_during_the_run_stays_as_it_is_before_it() -> None:
    early = RunContext(1, "j", 0, CONTEXT.started_at, {})
    text = "{{tasks.a.values.x}} {{input}} {{input.y}} {{tasks.b.result_state}}"
    assert resolved(text, early) == text
    assert named_tasks({"x": [text]}) == {"a", "b"}
    assert [is_known_late(t) for t in (text, "{{input}}", "{{job.id}} {{inputs}}")] == [
        True,
        True,
        False,
    ]


@given(st.text(alphabet=st.characters(exclude_characters="{}")))
def test_text_without_braces_is_never_changed(text: str) -> None:
    assert resolved(text, CONTEXT) == text
    assert list(reference_problems(text, CONTEXT, AROUND)) == []
