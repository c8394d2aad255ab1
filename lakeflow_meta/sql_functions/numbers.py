"""Arithmetic on 64-bit integers that never wrap and on doubles; the least and greatest value."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from lakeflow_meta.sql_functions.faults import SqlValueError


def in_range(number: int, what: str = "BIGINT", bits: int = 63) -> int:
    if not -(2**bits) <= number < 2**bits:
        raise SqlValueError(f"{number} is out of the range of {what}")
    return number


def _checked(number: float) -> float:
    return in_range(number) if isinstance(number, int) else number


def add(a: float, b: float) -> float:
    return _checked(a + b)


def sub(a: float, b: float) -> float:
    return _checked(a - b)


def mul(a: float, b: float) -> float:
    return _checked(a * b)


def neg(a: float) -> float:
    return _checked(-a)


def div(a: float, b: float) -> float:
    if b == 0:
        raise SqlValueError("division by zero")
    return a / b


def intdiv(a: float, b: float) -> int:
    if b == 0:
        raise SqlValueError("division by zero")
    if isinstance(a, int) and isinstance(b, int):
        quotient = abs(a) // abs(b)
        return in_range(quotient if (a < 0) == (b < 0) else -quotient)
    return in_range(int(a / b))


def mod(a: float, b: float) -> float:
    """The sign is that of ``a``, as in Java."""
    if b == 0:
        raise SqlValueError("division by zero")
    if isinstance(a, int) and isinstance(b, int):
        rest = abs(a) % abs(b)
        return -rest if a < 0 else rest
    return math.fmod(a, b)


def absolute(a: float) -> float:
    return _checked(abs(a))


def ceil(a: float) -> int:
    return in_range(math.ceil(a))


def floor(a: float) -> int:
    return in_range(math.floor(a))


def rounded(a: float, digits: int = 0) -> float:
    """Half away from zero, by the decimal digits that are shown."""
    if isinstance(a, int) or not math.isfinite(a):
        return a
    return float(Decimal(repr(a)).quantize(Decimal(1).scaleb(-min(digits, 300)), ROUND_HALF_UP))


def double_text(number: float) -> str:
    """Java's Double.toString: with an exponent below 0.001 and from ten million on."""
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    if number == 0 or 1e-3 <= abs(number) < 1e7:
        text = f"{Decimal(repr(number)):f}"
        return text if "." in text else f"{text}.0"
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    first, rest = str(digits[0]), "".join(map(str, digits[1:])) or "0"
    return f"{'-' if sign else ''}{first}.{rest}E{int(exponent) + len(digits) - 1}"


def greatest(*values: Any) -> Any:
    """NULLs are left out."""
    given = [value for value in values if value is not None]
    return max(given) if given else None


def least(*values: Any) -> Any:
    """NULLs are left out."""
    given = [value for value in values if value is not None]
    return min(given) if given else None
