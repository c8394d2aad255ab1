"""Values into Arrow and out of it, as pyarrow itself does it, and without pandas."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeflow_meta.arrow_values import array_of, rows_of, values_of

TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 (bounds of hypothesis are naive)
KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "string": (pa.string(), st.text()),
    "bigint": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "int": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "double": (pa.float64(), st.floats(allow_nan=False)),
    "boolean": (pa.bool_(), st.booleans()),
    "time": (pa.timestamp("us", "UTC"), TIMES),
    "date": (pa.date32(), st.dates()),
    "list": (pa.list_(pa.string()), st.lists(st.text())),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(data=st.data())
def test_an_array_is_what_pyarrow_makes_and_gives_the_same_values(
    kind: str, data: st.DataObject
) -> None:
    arrow, strategy = KINDS[kind]
    values = data.draw(st.lists(st.none() | strategy, max_size=20))
    with pytest.MonkeyPatch.context() as environment:
        environment.delitem(sys.modules, "pandas", raising=False)
        array = array_of(values, arrow)
    array.validate(full=True)
    assert array.equals(pa.array(values, arrow))
    assert array.type == arrow
    assert values_of(array) == values == array.to_pylist()
    assert values_of(pa.chunked_array([array, array])) == values * 2


@pytest.mark.parametrize(
    ("value", "kind"), [("x", pa.int64()), (2**40, pa.int32()), (1, pa.string()), ("x", TIMES)]
)
def test_a_value_that_does_not_fit_is_refused_as_pyarrow_refuses_it(
    value: Any, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = pa.timestamp("us", "UTC") if kind is TIMES else kind
    with pytest.raises((pa.ArrowException, TypeError)) as theirs:
        pa.array([value], kind)
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    with pytest.raises(type(theirs.value)):
        array_of([value], kind)


def test_rows_are_those_of_pyarrow() -> None:
    times = array_of([datetime(2026, 1, 31, 8, tzinfo=UTC), None], pa.timestamp("us", "UTC"))
    for zone in ("UTC", "Europe/Berlin", None):
        table = pa.table(
            {"t": times.cast(pa.timestamp("us", zone)), "n": array_of([1, 2], pa.int64())}
        )
        assert rows_of(table) == table.to_pylist()
        assert [str(row["t"]) for row in rows_of(table)] == [str(r["t"]) for r in table.to_pylist()]
    assert rows_of(table.slice(0, 0)) == []
    assert rows_of(table.select([])) == [{}, {}]


_COMMANDS = """
import sys
from lakeflow_meta.cli.main import run
for words in (
    ["init", "."], ["sync", "metadata"], ["sync", "metadata"], ["validate", "metadata"], ["plan"],
    ["apply"], ["apply"], ["plan"], ["changes"], ["status"], ["runs"], ["history"], ["export"],
    ["sql", "SELECT * FROM etl_control"], ["ddl", "log"], ["ingest", "log"], ["extract", "log"],
    ["sql", "UPDATE etl_control SET execution_order = 9"], ["changes"],
    ["tables", "plan"], ["serve", "--list"],
    ["ingest", "--dry-run"],
):
    assert run(words) == (1 if words == ["tables", "plan"] else 0), words
    assert "pandas" not in sys.modules, words
    assert "pyspark" not in sys.modules, words
    assert "databricks.sdk" not in sys.modules, words
"""


def test_no_command_of_the_control_plane_imports_pandas_or_spark(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _COMMANDS],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
