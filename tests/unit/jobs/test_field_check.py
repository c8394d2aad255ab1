"""What the SDK's types do not take is refused before any call, unless it came by ``extra``."""

from typing import Any

import pytest

from lakeflow_meta.backends.databricks_settings import unknown_fields, wrong_values
from lakeflow_meta.control.rows import Module, Source
from lakeflow_meta.errors import SpecError
from lakeflow_meta.jobs.field_check import check_fields
from lakeflow_meta.jobs.job_settings import JobContext, build_job

TABLE = "main.lakeflow.etl_control"
CLUSTER = {"spark_version": "16.4.x-scala2.12", "node_type_id": "x", "num_workers": 2}


def problems(
    job: dict[str, Any] | None = None, task: dict[str, Any] | None = None, **module: Any
) -> list[str]:
    work = {} if "task_type" in (task or {}) else {"task_type": "run_job", "job_id": 1}
    config = {**work, **(task or {})}
    source = Source("sales", "load", transformation_config=config)
    one = Module("sales", job_config=job or {}, sources=(source,), **module)
    settings = build_job(one, JobContext(TABLE)).settings
    try:
        check_fields(one, [*unknown_fields(settings), *wrong_values(settings)], TABLE)
    except SpecError as error:
        return [f"{p.path}: {p.message} ({p.hint})" for p in error.problems]
    return []


def cluster(**changes: Any) -> dict[str, Any]:
    return {"job_clusters": [{"job_cluster_key": "c", "new_cluster": {**CLUSTER, **changes}}]}


WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {"job": {"extra": {"usage_policy_id": 7}}},
        "sales: usage_policy_id: is 7; it is text",
    ),
    (
        {"job": cluster(num_worker=2)},
        (
            "sales: job_clusters[0].new_cluster.num_worker: unknown field 'num_worker'"
            " (did you mean num_workers?)"
        ),
    ),
    (
        {"job": cluster(autoscale={"min_workers": "1", "max_workers": 2})},
        "new_cluster.autoscale.min_workers: is '1'; it is a whole number",
    ),
    (
        {"job": cluster(aws_attributes={"availability": "SPOTS"})},
        "aws_attributes.availability: 'SPOTS' is not a known word (did you mean SPOT?)",
    ),
    (
        {"job": cluster(runtime_engine="photon")},
        "runtime_engine: 'photon' is not a known word (did you mean PHOTON?)",
    ),
    (
        {"job": cluster(init_scripts={"workspace": {"destination": "/x"}})},
        "init_scripts: is {'workspace': {'destination': '/x'}}; it is a list",
    ),
    (
        {"job": {"environments": [{"environment_key": "e", "spec": {"dependencies": "x"}}]}},
        "sales: environments[0].spec.dependencies: is 'x'; it is a list",
    ),
    (
        {"job": {"trigger": {"model": {"condition": "MODEL_MADE"}}}},
        "sales: trigger.model.condition: 'MODEL_MADE' is not a known word",
    ),
    ({"task": {"libraries": [{"wheel": "/w.whl"}]}}, "sales/load: libraries[0].wheel: unknown"),
    ({"task": {"new_cluster": {"num_workers": "2"}}}, "sales/load: new_cluster.num_workers: is"),
    (
        {"task": {"libraries": [{"whl": 3}]}, "ddl_targets": ("t",), "tables": ("a.b.c",)},
        "sales/load: libraries[0].whl: is 3; it is text",
    ),
    (
        {
            "task": {"libraries": [{"whl": 3}], "extra": {"new_cluster": {"new_field": 1}}},
            "job": {"extra": {"libraries": 1}},
        },
        "sales/load: libraries[0].whl: is 3; it is text",
    ),
]


@pytest.mark.parametrize(("written", "expected"), WRONG)
def test_a_wrong_field_or_value_at_any_depth_is_named(
    written: dict[str, Any], expected: str
) -> None:
    found = problems(**written)
    assert len(found) == 1
    assert expected in found[0]


RIGHT: list[dict[str, Any]] = [
    {"job": cluster(autoscale={"min_workers": 1, "max_workers": 2}, runtime_engine="PHOTON")},
    {"job": {"trigger": {"model": {"condition": "MODEL_CREATED", "securable_name": "a.b"}}}},
    {"job": {"extra": {"brand_new": {"deep": 1}}}},
    {"task": {"extra": {"brand_new": 1, "run_job_task": {"newer": [1]}}}},
    {"task": {"extra": {"brand_new": {}}}, "ddl_targets": ("t",), "tables": ("a.b.c",)},
    {
        "task": {
            "task_type": "for_each",
            "inputs": "[1]",
            "task": {"task_type": "run_job", "job_id": 2, "extra": {"brand_new": 1}},
        }
    },
]


@pytest.mark.parametrize("written", RIGHT)
def test_what_the_sdk_knows_and_what_came_by_extra_passes(written: dict[str, Any]) -> None:
    assert problems(**written) == []
