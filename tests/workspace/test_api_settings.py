"""Our lists of the API's fields, against the SDK's own."""

from __future__ import annotations

import dataclasses

from databricks.sdk.service import jobs

from lakeflow_meta.backends.local.jobs import api_settings
from lakeflow_meta.backends.local.runs.task_graph import RunIf


def fields(of: type) -> set[str]:
    return {field.name for field in dataclasses.fields(of)}


def test_the_fields_of_a_job_are_those_of_the_sdk() -> None:
    assert set(api_settings.JOB_FIELDS) == fields(jobs.JobSettings)


def test_the_fields_of_a_task_are_those_of_the_sdk() -> None:
    assert set(api_settings.TASK_FIELDS) == fields(jobs.Task)
    assert {name for name in fields(jobs.Task) if name.endswith("_task")} == set(
        api_settings.TASK_TYPES
    )


def test_the_conditions_are_those_of_the_sdk() -> None:
    assert {item.value for item in jobs.RunIf} == set(api_settings.RUN_IF) == set(RunIf)


def test_a_cycle_is_found_in_a_graph_of_a_thousand_tasks() -> None:
    chain = {f"t{i}": [f"t{i + 1}"] for i in range(999)} | {"t999": []}
    assert api_settings.find_cycle(chain) == []
    cycle = api_settings.find_cycle(chain | {"t999": ["t998"]})
    assert cycle in (["t998", "t999", "t998"], ["t999", "t998", "t999"])
