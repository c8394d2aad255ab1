"""Text functions of SQL make no text that fills the memory."""

import tracemalloc

import pytest

from lakeflow_meta.sql_functions.faults import SqlValueError
from lakeflow_meta.sql_functions.texts import lpad, repeat, rpad


def test_a_text_that_would_be_too_long_is_refused_before_it_is_made() -> None:
    tracemalloc.start()
    with pytest.raises(SqlValueError, match="more than 10 million characters"):
        repeat("ab", 100_000_000)
    for pad in (lpad, rpad):
        with pytest.raises(SqlValueError, match="more than 10 million characters"):
            pad("a", 100_000_000, "x")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1_000_000


def test_a_long_pad_is_not_repeated_where_once_is_enough() -> None:
    pad = "xyz" * 100_000
    tracemalloc.start()
    assert (lpad("7", 300_001, pad), rpad("7", 4, pad)) == (pad + "7", "7xyz")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5_000_000


def test_short_ones_are_as_in_spark() -> None:
    assert [repeat("ab", times) for times in (2, 1, 0, -1)] == ["abab", "ab", "", ""]
    assert [lpad("7", length, "ab") for length in (4, 1, 0, -1)] == ["aba7", "7", "", ""]
    assert [rpad("7", length, "") for length in (4, 1)] == ["7", "7"]
