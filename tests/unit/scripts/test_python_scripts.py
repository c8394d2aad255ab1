"""Python scripts: their namespace, what they print, and where they fail."""

from __future__ import annotations

import io
from typing import Any

import pytest

from lakeflow_meta.backends.python_scripts import run_script
from lakeflow_meta.errors import BackendError, RunFailedError

FILE = "ddl_scripts/t/001_a/001_x.py"


def run(body: str, **scope: Any) -> str:
    output = io.StringIO()
    run_script(body, FILE, {name: (lambda v=value: v) for name, value in scope.items()}, output)
    return output.getvalue()


def test_a_script_finds_what_it_names_and_prints_where_it_should() -> None:
    body = "if __name__ == '__main__':\n    print(target, __file__)\n"
    assert run(body, target="shop") == f"shop {FILE}\n"


def test_only_what_a_script_names_is_made() -> None:
    def never() -> Any:
        raise AssertionError

    output = io.StringIO()
    run_script("def f():\n    return du\nf()", FILE, {"du": lambda: 1, "spark": never}, output)


def test_a_namespace_is_the_scripts_own() -> None:
    run("leftover = 1")
    with pytest.raises(BackendError, match="NameError: name 'leftover' is not defined"):
        run("leftover")
    with pytest.raises(BackendError, match="NameError"):
        run("builtins")


def test_lines_of_strings_and_imports_are_as_they_were_written() -> None:
    body = 'from math import *\ntext = """a\n  b\n"""\nprint(repr(text), floor(1.5))'
    assert run(body) == "'a\\n  b\\n' 1\n"


def test_annotations_of_ours_are_not_the_scripts() -> None:
    assert run("def f(x: 1 + 1): ...\nprint(f.__annotations__)") == "{'x': 2}\n"


def test_a_failure_names_the_line_of_the_script_and_keeps_its_cause() -> None:
    with pytest.raises(BackendError) as raised:
        run("import json\n\n\ndef f():\n    json.loads('{')\n\nf()\n")
    assert str(raised.value).startswith("JSONDecodeError: Expecting property name")
    assert str(raised.value).endswith(f"({FILE}, line 5, in f)")
    assert type(raised.value.__cause__).__name__ == "JSONDecodeError"


def test_errors_of_this_package_are_the_scripts_too() -> None:
    def fail() -> None:
        raise RunFailedError("no", None)

    with pytest.raises(BackendError, match="RunFailedError: no"):
        run("fail()", fail=fail)


@pytest.mark.parametrize(("end", "said"), [("", None), ("0", None), ("2", "exit code 2")])
def test_a_script_may_end_itself(end: str, said: str | None) -> None:
    body = f"import sys\nprint('a')\nsys.exit({end})\nprint('b')"
    if said is None:
        assert run(body) == "a\n"
    else:
        with pytest.raises(BackendError, match=said):
            run(body)


def test_functions_of_a_script_have_their_source() -> None:
    body = "import inspect\ndef f():\n    return 1\nprint(inspect.getsource(f))"
    assert run(body) == "def f():\n    return 1\n\n"


def test_spark_brings_its_types() -> None:
    assert run("spark\nprint(StructType, target)", spark=1, target="t").endswith("StructType'> t\n")
