"""Tags that say whose job it is."""

import re

from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.jobs.ownership import is_owned, ownership_tags, tag_value


@given(st.text(max_size=300))
def test_every_name_becomes_a_value_that_every_cloud_takes(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9_-]{1,63}", tag_value(name))


@given(st.lists(st.text(max_size=80), unique=True, max_size=20))
def test_different_names_have_different_values(names: list[str]) -> None:
    assert len({tag_value(name) for name in names}) == len(names)


def test_plain_names_are_kept_and_others_stay_readable() -> None:
    assert tag_value("sales_eu") == "sales_eu"
    assert tag_value("main.lakeflow.etl_control").startswith("main-lakeflow-etl_control-")
    assert tag_value("Sales") != tag_value("sales")


def test_the_value_of_a_digested_name_is_not_the_value_of_another_name() -> None:
    assert tag_value(tag_value("Sales")) != tag_value("Sales")


def test_a_job_is_owned_by_one_table_and_module() -> None:
    settings = {"tags": {**ownership_tags("Main.L.C", "m"), "team": "x"}}
    assert is_owned(settings, "main.l.c", "m")
    assert not is_owned(settings, "main.l.c", "other")
    assert not is_owned(settings, "main.l.d", "m")
    assert not is_owned({}, "main.l.c", "m")
