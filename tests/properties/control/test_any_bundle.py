"""Any text of a module reads back from its bundle to the same job."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from unit.control.test_bundle import CONTEXT, by_key, module, read_back

from lakeflow_meta.control.bundle import export_bundle
from lakeflow_meta.errors import SpecError
from lakeflow_meta.jobs.job_settings import build_job

texts = st.text(
    alphabet=st.characters(exclude_categories=("Cs", "Cn")), min_size=1, max_size=20
) | st.sampled_from(["${var.x}", "$${var.x}", "${bundle.x}", "$$$", "a\nb\n", "\u2028", "null"])


@settings(max_examples=150)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"task_type": st.just("notebook"), "file_path": texts},
            optional={
                "parameters": st.dictionaries(texts, texts | st.integers(), max_size=3),
                "description": texts,
                "timeout_seconds": st.integers(0, 5),
                "depends_on": st.just(["s000"]),
            },
        )
        | st.fixed_dictionaries(
            {"task_type": st.just("sql_query"), "sql_query": texts.filter(str.strip)}
        ),
        min_size=1,
        max_size=4,
    ),
    st.fixed_dictionaries({}, optional={"name": texts, "tags": st.dictionaries(texts, texts)}),
)
def test_any_text_reads_back_to_the_same_job(
    tasks: list[dict[str, Any]], config: dict[str, Any]
) -> None:
    tasks[0].pop("depends_on", None)
    original = module("m", *json.loads(json.dumps(tasks)), job_config=config)
    try:
        job = build_job(original, CONTEXT)
    except SpecError:  # too many tags, a reserved one
        return
    assert by_key(read_back(export_bundle([original], context=CONTEXT))["m"]) == by_key(job)
