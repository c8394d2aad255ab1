"""Errors that name the file of a row."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow_meta.backends.spark_ingest.misfits import Misfit


@given(st.text(), st.text())
def test_what_is_raised_is_read_back(uri: str, reason: str) -> None:
    assert Misfit.read(json.dumps({"file": uri, "reason": reason})) == Misfit(uri, reason)


@pytest.mark.parametrize("text", ["", "no JSON", "5", '{"file": "a"}', '{"file": 1, "x": 2}'])
def test_what_others_raise_is_left_alone(text: str) -> None:
    assert Misfit.read(text) is None
