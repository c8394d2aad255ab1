"""Which functions are the same script."""

from __future__ import annotations

import hashlib
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum, IntEnum
from functools import partial, wraps
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from pydantic import BaseModel
from pyspark.sql.types import StringType, StructType

from lakeflow_meta import ConfigError
from lakeflow_meta.fingerprint import canonical_json
from lakeflow_meta.scripts.work import WorkFunctionError, _value, check_callable, work_guid

TABLE = "orders"
LIMIT: Any = object()
DONE: list[int] = []


def plain() -> None:
    """Carries nothing."""


def reads_a_constant() -> str:
    return TABLE


def reads_a_tool() -> Any:
    DONE.append(1)
    return LIMIT


def made(value: Any) -> Callable[[], object]:
    def work() -> object:
        return value

    return work


def with_default(value: Any) -> Callable[[], object]:
    def work(value: Any = value) -> object:
        return value

    return work


class Maker:
    def __init__(self, name: str) -> None:
        self.name = name

    def work(self) -> str:
        return self.name


@dataclass(frozen=True)
class Spec:
    name: str

    def work(self) -> str:
        return self.name


class Colour(Enum):
    RED = 1
    BLUE = 2


class Level(IntEnum):
    LOW = 1


class Named(BaseModel):
    name: str

    def __init__(self, name: str) -> None:
        super().__init__(name=name)


def test_a_function_that_carries_nothing_has_the_hash_of_its_source() -> None:
    source = inspect.getsource(plain)
    assert work_guid(plain) == hashlib.sha256(source.encode()).hexdigest()


VALUES = [
    *(None, True, 1, 1.0, "1", b"1", Decimal("1"), date(2025, 1, 1), date(2025, 1, 2)),
    *([1], (1,), {1}, [1, 2], {"a": 1}, {"a": 2}, {1: "a"}, Colour.RED, Colour.BLUE),
    *(PurePosixPath("a/b"), Level.LOW, Named("a"), StructType([]), StringType()),
    *(Spec("a"), Spec("b"), len, made(1), made(2), Spec, int),
]


@pytest.mark.parametrize("make", [made, with_default, lambda value: partial(made, value)])
def test_another_value_makes_another_script_and_the_same_one_the_same(
    make: Callable[[Any], Callable[[], object]],
) -> None:
    guids = [work_guid(make(value)) for value in VALUES]
    assert len(set(guids)) == len(VALUES)
    assert guids == [work_guid(make(value)) for value in VALUES]


def test_the_order_of_a_set_and_of_a_mapping_means_nothing() -> None:
    assert work_guid(made({"a": 1, "b": 2})) == work_guid(made({"b": 2, "a": 1}))
    words = [f"w{number}" for number in range(20)]
    assert work_guid(made(set(words))) == work_guid(made({*words[10:], *words[:10]}))


def test_the_same_path_is_the_same_on_every_system() -> None:
    assert work_guid(made(PurePosixPath("a/b"))) == work_guid(made(PureWindowsPath("a\\b")))


def test_a_guid_is_stored_data_and_does_not_change() -> None:
    """Whoever changes the recipe lets every script with captured values run again."""
    values = [None, 1.5, "a", {"b": (1, 2)}, {"x"}, Decimal("1.10"), Colour.RED, made(b"1")]
    forms = canonical_json(_value(values, ()))
    name = f"{__name__}.Colour"
    assert json.loads(forms)[1][:-1] == [
        *(None, ["float", "1.5"], "a", ["mapping", [["b", ["tuple", [1, 2]]]]]),
        *(["set", ["x"]], ["decimal", "1.10"], [name, "RED"]),
    ]
    source = "    def work() -> object:\n        return value\n"
    assert json.loads(forms)[1][-1] == [
        "function",
        source,
        {"captured": {"value": ["bytes", "31"]}},
    ]


def test_a_method_goes_with_its_object_where_that_is_a_value() -> None:
    assert work_guid(Spec("a").work) != work_guid(Spec("b").work)
    assert work_guid(Spec("a").work) == work_guid(Spec("a").work)
    with pytest.raises(WorkFunctionError, match="Maker is not the same in another process"):
        work_guid(Maker("a").work)


def test_plain_values_of_the_module_count_and_its_tools_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = work_guid(reads_a_constant), work_guid(reads_a_tool)
    monkeypatch.setattr(sys.modules[__name__], "TABLE", "customers")
    monkeypatch.setattr(sys.modules[__name__], "LIMIT", object())
    reads_a_tool()
    assert work_guid(reads_a_constant) != before[0]
    assert work_guid(reads_a_tool) == before[1]


def test_a_loop_over_a_variable_of_the_module_makes_as_many_scripts() -> None:
    found = set()
    names = {"inspect": inspect, "work_guid": work_guid, "found": found}
    text = "for table in ('a', 'b', 'c'):\n    def f():\n        return table\n    add(f)\n"
    import linecache

    linecache.cache["<loop>"] = (len(text), None, text.splitlines(keepends=True), "<loop>")
    exec(compile(text, "<loop>", "exec"), {**names, "add": lambda f: found.add(work_guid(f))})  # noqa: S102 - a cell of a notebook
    assert len(found) == 3


def test_what_a_decorator_hides_counts() -> None:
    def decorated(times: int) -> Callable[[], object]:
        def decorate(inner: Callable[[], object]) -> Callable[[], object]:
            @wraps(inner)
            def outer() -> object:
                return [inner() for _ in range(times)]

            return outer

        return decorate(plain)

    assert len({work_guid(decorated(1)), work_guid(decorated(2)), work_guid(plain)}) == 3


def test_a_function_that_captures_itself_has_an_identity() -> None:
    def again() -> object:
        return again

    assert work_guid(again) == work_guid(again)


def test_the_identity_is_the_same_in_another_process() -> None:
    code = (
        "import test_work as t; from lakeflow_meta.scripts.work import work_guid as g;"
        "print(g(t.made({'b', 'a', 'c'})), g(t.Spec('x').work), g(t.plain))"
    )
    folder = __file__.rpartition("/")[0]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{folder}:{':'.join(sys.path)}", "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = done.stdout.split()
    assert theirs[2] == work_guid(plain)
    assert theirs[0] == work_guid(made({"a", "b", "c"}))


NAMELESS: dict[str, Any] = {}
exec("def sourceless(): pass", NAMELESS)  # noqa: S102 - a function that has no source


@pytest.mark.parametrize(
    "work",
    [lambda: None, NAMELESS["sourceless"], partial(print, 1), len, Maker, partial(lambda: 1)],
)
def test_what_cannot_be_told_apart_needs_a_guid(work: Callable[[], object]) -> None:
    with pytest.raises(WorkFunctionError) as raised:
        work_guid(work)
    assert str(raised.value).startswith("work_fn must be a named function defined at top-level")
    assert "guid=" in str(raised.value)
    assert isinstance(raised.value, ValueError)
    assert isinstance(raised.value, ConfigError)


def test_a_value_without_a_lasting_form_is_named() -> None:
    with pytest.raises(WorkFunctionError, match=r"captures 'value': a builtins.object is not"):
        work_guid(made(object()))


async def waits() -> None: ...


def yields() -> Any:
    yield 1


@pytest.mark.parametrize("work", [waits, yields, partial(waits), 3])
def test_what_does_nothing_when_it_is_called_is_refused(work: Any) -> None:
    with pytest.raises(WorkFunctionError):
        check_callable(work)
