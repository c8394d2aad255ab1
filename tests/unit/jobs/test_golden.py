"""What each kind of metadata sends to the platform, byte for byte, and that it takes it."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from databricks.sdk.service.jobs import JobSettings
from golden_requests import CASES, CONTEXT, FOLDER, Bureau, bureau, metadata, requests_text

from lakeflow_meta.control.bundle import export_bundle
from lakeflow_meta.control.declared import read_declared
from lakeflow_meta.control.rows import Module, read_recorded
from lakeflow_meta.jobs.job_settings import JobDefinition, build_job

EDITIONS = ("metadata.yml", "edited.yml")
cases = pytest.mark.parametrize("case", CASES)
editions = pytest.mark.parametrize("edition", EDITIONS)


def recorded(text: str) -> dict[str, Module]:
    declared = read_declared({"metadata.yml": text}, {}, variables={}, context=CONTEXT)
    assert declared.problems == ()
    found = read_recorded(declared.sources, declared.modules, declared.tables, table="t")
    assert found.problems == ()
    return dict(found.modules)


def definitions(text: str) -> dict[str, JobDefinition]:
    return {name: build_job(module, CONTEXT) for name, module in recorded(text).items()}


@cases
def test_what_is_sent_is_what_it_was(case: str) -> None:
    golden = (FOLDER / case / "requests.json").read_text(encoding="utf-8")
    assert requests_text(case) == golden


@cases
@editions
def test_every_body_is_of_the_sdk_s_own_type(case: str, edition: str) -> None:
    for definition in definitions(metadata(case, edition)).values():
        settings = dict(definition.settings)
        assert JobSettings.from_dict(settings).as_dict() == settings


def by_key(definition: JobDefinition) -> tuple[Any, ...]:
    """A job without the order of its tasks, which means nothing to the platform."""
    settings = dict(definition.settings)
    settings["tasks"] = {task["task_key"]: task for task in settings["tasks"]}
    return settings, definition.permissions, {q.task_key: q for q in definition.queries}


@cases
@editions
def test_a_bundle_of_it_loads_back_unchanged(case: str, edition: str) -> None:
    text = metadata(case, edition)
    modules = recorded(text).values()
    found = definitions(export_bundle(modules, context=CONTEXT))
    wanted = definitions(text)
    assert {n: by_key(d) for n, d in found.items()} == {n: by_key(d) for n, d in wanted.items()}


def live(place: Bureau) -> dict[str, Any]:
    """Every job as the platform shows it, with the text of saved queries in place of their ids."""
    texts = {f'"{key}"': json.dumps(q["query_text"]) for key, q in place.workspace.queries.items()}
    found = {}
    for job in place.jobs.list_jobs():
        settings = json.dumps(without_pause(place.jobs.get_job(job.job_id).settings))
        for query_id, text in texts.items():
            settings = settings.replace(query_id, text)
        plain = json.loads(settings)
        plain["tasks"] = {task["task_key"]: task for task in plain["tasks"]}
        found[plain["tags"]["lakeflow_meta_module"]] = plain
    return found


def without_pause(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A pause outlives an edit, so it is no matter of what the metadata says now."""
    starters = {
        n: dict(settings[n]) for n in ("schedule", "trigger", "continuous") if n in settings
    }
    for starter in starters.values():
        starter.pop("pause_status", None)
    return {**settings, **starters}


@cases
def test_a_job_that_was_updated_is_the_job_that_would_be_created(case: str) -> None:
    with bureau() as edited, bureau() as fresh:
        edited.load(metadata(case))
        edited.apply()
        ids = set(edited.workspace.jobs)
        edited.load(metadata(case, "edited.yml"))
        edited.apply()
        fresh.load(metadata(case, "edited.yml"))
        fresh.apply()
        assert live(edited) == live(fresh)
        assert len(edited.workspace.active_queries) == len(fresh.workspace.active_queries)
        assert len(ids & set(edited.workspace.jobs)) >= 1
