"""Python scripts as values: compiled under their own name, and the names that they use. Pure."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from types import CodeType


@dataclass(frozen=True, slots=True)
class SyntaxProblem:
    """Why a script cannot be compiled; ``line`` counts from 1."""

    line: int
    message: str


def compiled(body: str, file: str) -> CodeType:
    """The code of a script. Raises SyntaxError, ValueError (a NUL in the text).

    Nothing of this module is inherited: its ``from __future__`` imports are not the script's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        return compile(body, file, "exec", dont_inherit=True)


def syntax_problem(body: str, file: str) -> SyntaxProblem | None:
    """What is wrong with a script before it is run, if anything."""
    try:
        compiled(body, file)
    except SyntaxError as error:
        return SyntaxProblem(error.lineno or 1, f"this is no Python: {error.msg}")
    except ValueError as error:
        return SyntaxProblem(1, f"this is no Python: {error}")
    return None


def names_used(code: CodeType) -> frozenset[str]:
    """Every name that the code, or a function in it, may read from its module."""
    inner = (names_used(const) for const in code.co_consts if isinstance(const, CodeType))
    return frozenset(code.co_names).union(*inner)
